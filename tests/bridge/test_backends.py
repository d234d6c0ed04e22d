"""The same federation gives the same history on every backend, whatever the algorithm."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hansa.algorithms import ALGORITHMS

SCRIPT = Path(__file__).parent / "federate.py"
OTHERS = [name for name in ("tensorflow", "torch") if importlib.util.find_spec(name)]
RUNS = (*ALGORITHMS, "carried", "fedprox_padded", "server_optimizer")


@dataclass(frozen=True)
class Outcome:
    logs: dict[str, dict[str, list[float]]]
    weights: dict[str, Any]


@pytest.fixture(scope="session")
def outcomes(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Outcome]:
    """Run the script once on each installed backend."""
    found = {}
    for backend in ("jax", *OTHERS):
        folder = tmp_path_factory.mktemp(backend)
        environment = {**os.environ, "KERAS_BACKEND": backend, "TF_CPP_MIN_LOG_LEVEL": "3"}
        command = [sys.executable, str(SCRIPT), str(folder)]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr[-3000:]
        told = json.loads((folder / "logs.json").read_text())
        assert told["backend"] == backend
        with np.load(folder / "weights.npz") as arrays:
            found[backend] = Outcome(told["logs"], dict(arrays))
    return found


@pytest.mark.xdist_group("histories")  # one process runs the script on each backend
@pytest.mark.skipif(not OTHERS, reason="only JAX is installed")
@pytest.mark.parametrize("name", RUNS)
def test_histories_are_the_same_on_every_backend(outcomes, name):
    first = outcomes["jax"]
    assert set(first.logs) == set(RUNS)
    moved = np.abs(first.weights[name] - first.weights[f"{name}/start"]).max()
    assert moved > 1e-3
    assert len(first.logs[name]["loss"]) == 3
    for backend in OTHERS:
        other = outcomes[backend]
        assert other.logs[name].keys() == first.logs[name].keys()
        for key, values in first.logs[name].items():
            np.testing.assert_allclose(
                other.logs[name][key], values, rtol=2e-4, atol=2e-5, err_msg=f"{backend}: {key}"
            )
        np.testing.assert_allclose(other.weights[name], first.weights[name], rtol=1e-4, atol=1e-5)

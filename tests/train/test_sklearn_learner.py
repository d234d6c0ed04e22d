"""The example that brings a scikit-learn model in."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import hansa
from hansa.errors import ConfigurationError, DataError
from hansa.testing.contracts import check_learner
from hansa.types import Examples

pytest.importorskip("sklearn")
SCRIPT = Path(__file__).parents[2] / "examples" / "sklearn_learner.py"


@pytest.fixture(scope="module")
def example() -> Any:
    spec = importlib.util.spec_from_file_location("sklearn_learner", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def rows(classes: int) -> Examples:
    rng = np.random.default_rng(0)
    y = np.arange(24) % classes
    return Examples(x=(rng.normal(size=(24, 4)) + y[:, None]).astype("float32"), y=y)


@pytest.mark.parametrize("classes", [2, 3])
def test_it_keeps_the_contract(example, classes):
    check_learner(lambda: example.SGDClassifierLearner(classes), rows(classes))


def test_the_script_learns(example, capsys):
    example.main()
    before, after = (float(line.split()[-1]) for line in capsys.readouterr().out.splitlines())
    assert before < 0.2
    assert after > 0.8


def test_what_it_cannot_do_is_refused(example):
    good, bad = rows(2), rows(3)
    clients = {"a": (good.x, good.y), "b": (bad.x, bad.y)}
    with pytest.raises(DataError, match=r"client 'b' has labels \['2'\] beyond the 2 classes"):
        hansa.Federation(example.SGDClassifierLearner(2), clients).prepare()
    for algorithm in (hansa.FedProx(), hansa.Scaffold()):
        with pytest.raises(ConfigurationError, match="corrects_gradients is False"):
            hansa.Federation(example.SGDClassifierLearner(3), clients, algorithm=algorithm).fit(1)
    with pytest.raises(ConfigurationError, match="no gradients to give"):
        hansa.Federation(example.SGDClassifierLearner(3), clients, algorithm=hansa.FedSGD()).fit(1)

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import hypothesis
import pytest

# One process has one Keras backend. `make test` runs the tests marked `backends` on each of them.
os.environ.setdefault("KERAS_BACKEND", "jax")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

hypothesis.settings.register_profile("hansa", deadline=None)  # no test may fail because the machine is busy
hypothesis.settings.load_profile("hansa")


def pytest_configure(config: pytest.Config) -> None:
    # Keras 3.15 itself turns TensorFlow and PyTorch tensors into arrays in a way that NumPy 2 deprecates.
    config.addinivalue_line(
        "filterwarnings", "ignore:__array__ implementation doesn't accept:DeprecationWarning"
    )


@pytest.fixture(scope="session")
def run_of(tmp_path_factory) -> Callable[[str], Path]:
    """Returns the folder of a small run of a kind (`verified_runs`), made once. Do not change it."""
    base, made = tmp_path_factory.mktemp("runs"), {}

    def get(kind: str) -> Path:
        from verified_runs import KINDS

        if kind not in made:
            made[kind] = base / kind.replace(" ", "-")
            KINDS[kind](made[kind])
        return made[kind]

    return get

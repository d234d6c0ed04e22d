from __future__ import annotations

import os

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

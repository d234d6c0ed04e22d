"""The only place that knows what is inside a Keras backend: one file each for JAX, TensorFlow, PyTorch."""

from __future__ import annotations

import importlib
import importlib.metadata
import importlib.util
import os
import sys
from typing import Any

from hansa.errors import ConfigurationError, MissingExtraError

BACKENDS = {"jax": "JAX", "tensorflow": "TensorFlow", "torch": "PyTorch"}
_DISTRIBUTIONS = {"jax": ("jax",), "tensorflow": ("tensorflow-cpu", "tensorflow"), "torch": ("torch",)}
_SETTLED_HERE: set[str] = set()  # what choose_backend set itself; the user chose anything else


def choose_backend() -> str:
    """Settle which Keras backend this process uses, and return its name.

    A set KERAS_BACKEND, or a Keras that is imported already, decides. Otherwise the first
    installed of JAX, TensorFlow, PyTorch is chosen and KERAS_BACKEND set to it. Imports nothing.

    Where that is a TensorFlow that is not imported yet, TF_ENABLE_ONEDNN_OPTS is set to 1 unless it is set.

    Raises:
        MissingExtraError: If KERAS_BACKEND names a backend that is not installed.
        ConfigurationError: If it names one that Hansa does not know, or none is installed.
    """
    chosen = sys.modules["keras"].config.backend() if "keras" in sys.modules else None
    chosen = chosen or os.environ.get("KERAS_BACKEND") or None  # empty counts as not set, as in Keras
    if chosen is None:
        chosen = next((name for name in BACKENDS if importlib.util.find_spec(name)), None)
        if chosen is None:
            raise ConfigurationError(
                "no Keras backend is installed; install one of JAX, TensorFlow, PyTorch (pip install jax)."
            )
        os.environ["KERAS_BACKEND"] = chosen
        _SETTLED_HERE.add(chosen)
    if chosen not in BACKENDS:
        raise ConfigurationError(
            f"KERAS_BACKEND is {chosen!r}; Hansa trains on {', '.join(BACKENDS)}. Set it to one of these."
        )
    if importlib.util.find_spec(chosen) is None:
        raise MissingExtraError(f"KERAS_BACKEND={chosen}", chosen, chosen)
    if chosen == "tensorflow" and "tensorflow" not in sys.modules:
        # Without it convolutions take half as long again on processors where TensorFlow does not choose it.
        os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")
    return chosen


def user_chose() -> bool:
    """Return whether KERAS_BACKEND was set by someone else than `choose_backend`."""
    return os.environ.get("KERAS_BACKEND") not in {None, "", *_SETTLED_HERE}


def backend_version(name: str) -> str:
    """Return a backend's name and version for people, for example ``"JAX 0.10.2"``."""
    for distribution in _DISTRIBUTIONS[name]:
        try:
            return f"{BACKENDS[name]} {importlib.metadata.version(distribution)}"
        except importlib.metadata.PackageNotFoundError:
            continue
    return BACKENDS[name]


def load_program() -> Any:
    """Import the chosen backend's file and return its `Program` class."""
    return importlib.import_module(f"hansa.bridge.{choose_backend()}_program").Program


def load_trainer() -> Any:
    """Import the chosen backend's file and return its `Trainer` class."""
    return importlib.import_module(f"hansa.bridge.{choose_backend()}_trainer").Trainer

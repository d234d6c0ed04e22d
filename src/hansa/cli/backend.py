"""Which Keras backend a run uses, and why."""

from __future__ import annotations

import os
import sys

from hansa import bridge


def why() -> str:
    """Return why the backend in use is used, in words."""
    if _BEGUN_WITH:
        return "as the run was begun"
    if bridge.user_chose():
        return "KERAS_BACKEND is set"
    return f"first installed of {', '.join(bridge.BACKENDS.values())}"


def prefer(name: str) -> None:
    """Use the backend that a run was begun with, unless the user has set one or Keras is there already."""
    if name in bridge.BACKENDS and not bridge.user_chose() and "keras" not in sys.modules:
        os.environ["KERAS_BACKEND"] = name
        _BEGUN_WITH.append(name)


def hush() -> None:
    """Keep an idle TensorFlow quiet: where it is installed, Keras imports it to save a model.

    Its notice on oneDNN comes with the import; where TensorFlow computes, its settings are left alone.
    """
    if os.environ.get("KERAS_BACKEND") != "tensorflow":
        os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "0")


_BEGUN_WITH: list[str] = []

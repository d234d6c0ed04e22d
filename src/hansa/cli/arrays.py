"""The datasets that come as one set of rows, to be divided among clients."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from hansa import datasets


def _mnist() -> tuple[Any, Any]:
    (x, y), _ = datasets.mnist()
    return _pixels(x), y.astype(np.int64)


def _mnist_test() -> tuple[Any, Any]:
    _, (x, y) = datasets.mnist()
    return _pixels(x), y.astype(np.int64)


def _pixels(x: Any) -> Any:
    return x.astype(np.float32) / np.float32(255)


def _tennessee() -> tuple[Any, Any]:
    rows = datasets.tennessee_eastman()
    return _stacked({fault: train for fault, (train, _) in rows.items()})


def _stacked(rows: dict[int, Any]) -> tuple[Any, Any]:
    labels = [np.full(len(part), fault, np.int64) for fault, part in rows.items()]
    return np.concatenate(list(rows.values())), np.concatenate(labels)


ARRAY_SETS: dict[str, Callable[[], tuple[Any, Any]]] = {
    "mnist": _mnist,
    "tennessee_eastman": _tennessee,
    **{
        name: partial(datasets.sklearn_set, name)
        for name in ("breast_cancer", "digits", "wine", "iris", "diabetes")
    },
}
"""Functions that return all training rows ``(x, y)``. Pixels of MNIST are scaled to 0..1."""


def server_rows(name: str) -> tuple[Any, Any] | None:
    """Return the test rows that a dataset keeps apart, ready for a model of its training rows, or None."""
    return _mnist_test() if name == "mnist" else None

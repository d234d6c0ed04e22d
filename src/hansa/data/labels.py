"""Read labels as classes, where they are classes."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

MAX_CLASSES = 1000


def class_labels(y: Any) -> NDArray[np.int64] | None:
    """Return the class of each row, or None where the labels are not classes.

    Classes are integers, or floats that are all 0 or 1, of shape ``(n,)`` or ``(n, 1)`` with at
    most `MAX_CLASSES` distinct values; or one-hot rows of shape ``(n, k)``, whose class is the
    position of the one.

    Args:
        y: Labels as in `hansa.types.Examples`.

    Example:
        >>> class_labels(np.array([[0.0], [1.0], [1.0]])).tolist()
        [0, 1, 1]
        >>> class_labels(np.array([0.5, 1.0])) is None
        True
    """
    if not isinstance(y, np.ndarray) or y.ndim not in (1, 2):
        return None
    if y.dtype.kind == "f" and not np.isin(y, (0.0, 1.0)).all():
        return None
    if y.ndim == 2 and y.shape[1] != 1:
        one_hot = y.shape[1] > 0 and bool(np.isin(y, (0, 1)).all() and (y.sum(axis=1) == 1).all())
        return y.argmax(axis=1).astype(np.int64) if one_hot else None
    classes = y.reshape(-1).astype(np.int64)
    return classes if len(np.unique(classes)) <= MAX_CLASSES else None


def count_labels(classes: NDArray[np.int64]) -> dict[str, int]:
    """Return the number of rows by class, in the order of the classes.

    Example:
        >>> count_labels(np.array([2, 0, 2]))
        {'0': 1, '2': 2}
    """
    values, counts = np.unique(classes, return_counts=True)
    return {str(int(v)): int(c) for v, c in zip(values, counts, strict=True)}

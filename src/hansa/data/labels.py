"""Read labels as classes, where they are classes."""

from __future__ import annotations

from dataclasses import dataclass
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
    read = row_classes(y)
    if read is None or not read.known.all():
        return None
    return read.classes if read.one_hot or len(np.unique(read.classes)) <= MAX_CLASSES else None


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class RowClasses:
    """Labels read as classes row by row, for any number of clients that have some of the rows each.

    Attributes:
        classes: The class of each row, shape ``(n,)``; 0 where it is not known.
        known: Whether the row's label can be one of a class, shape ``(n,)``.
        one_hot: Whether the labels are one-hot rows, which may be of any number of classes.
    """

    classes: NDArray[np.int64]
    known: NDArray[np.bool_]
    one_hot: bool


def row_classes(y: Any) -> RowClasses | None:
    """Return the class of each row by itself, or None where labels of this shape are never classes.

    Guarantees:
        ``class_labels(y[rows])`` is ``classes[rows]`` where all ``known[rows]`` hold and the labels are
        one-hot or at most `MAX_CLASSES` different ones; else None.
    """
    if not isinstance(y, np.ndarray) or y.ndim not in (1, 2):
        return None
    if y.ndim == 2 and y.shape[1] != 1:
        if not y.shape[1]:
            return None
        ones = y == 1
        known = (ones | (y == 0)).all(axis=1) & (ones.sum(axis=1) == 1)
        return RowClasses(classes=ones.argmax(axis=1).astype(np.int64), known=known, one_hot=True)
    y = y.reshape(-1)
    if y.dtype.kind == "f":
        ones = y == 1
        return RowClasses(classes=ones.astype(np.int64), known=ones | (y == 0), one_hot=False)
    known = np.ones(len(y), dtype=bool)
    return RowClasses(classes=y.astype(np.int64, copy=False), known=known, one_hot=False)


def count_labels(classes: NDArray[np.int64]) -> dict[str, int]:
    """Return the number of rows by class, in the order of the classes.

    Example:
        >>> count_labels(np.array([2, 0, 2]))
        {'0': 1, '2': 2}
    """
    values, counts = np.unique(classes, return_counts=True)
    return {str(int(v)): int(c) for v, c in zip(values, counts, strict=True)}

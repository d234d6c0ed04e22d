"""The cards of clients that share their arrays: sums over all of them, rather than over one after another."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from hansa.data.labels import MAX_CLASSES, row_classes
from hansa.data.parts import Parts
from hansa.types import Array, DataCard

Counts = Mapping[str, int]


def part_cards(parts: Parts) -> list[DataCard]:
    """Return the card of each client, in the order of ``parts.names``.

    Equal values are one object in all cards, so that a card takes little memory.

    Args:
        parts: Clients that train on all of their rows.
    """
    features, columns = row_shapes(parts.base.x), parts.base.columns
    sizes = parts.sizes.tolist()
    examples = {size: {"train": size} for size in set(sizes)}
    y = parts.base.y[parts.index] if isinstance(parts.base.y, np.ndarray) else None
    return [
        DataCard(examples=examples[size], features=features, columns=columns, labels=count, label_range=ends)
        for size, count, ends in zip(sizes, _label_counts(parts, y), _label_ranges(parts, y), strict=True)
    ]


def row_shapes(x: Any) -> Any:
    """Return the shape of one row of features, or shapes by name."""
    if isinstance(x, dict):
        return {name: row_shapes(value) for name, value in x.items()}
    if isinstance(x, tuple):
        return {str(i): row_shapes(value) for i, value in enumerate(x)}
    return tuple(int(size) for size in x.shape[1:])


def _label_ranges(parts: Parts, y: Array | None) -> list[tuple[float, float] | None]:
    if y is None or not y.size:
        return [None] * len(parts.names)
    rest = tuple(range(1, y.ndim))
    low = parts.reduce(np.minimum, y.min(axis=rest))
    high = parts.reduce(np.maximum, y.max(axis=rest))
    known: dict[tuple[float, float], tuple[float, float]] = {}
    ends = zip(low.astype(np.float64).tolist(), high.astype(np.float64).tolist(), strict=True)
    return [known.setdefault(pair, pair) for pair in ends]


def _label_counts(parts: Parts, y: Array | None) -> list[Counts | None]:
    """Return the number of rows of each class for each client, None for one whose labels are no classes."""
    labels = row_classes(y)
    if labels is None:
        return [None] * len(parts.names)
    rows, values = np.unique_inverse(labels.classes)[::-1]
    pairs, times = np.unique(parts.owners() * len(values) + rows, return_counts=True)
    owner, value = np.divmod(pairs, len(values))
    different = np.bincount(owner, minlength=len(parts.names))
    classes = parts.reduce(np.logical_and, labels.known)
    if not labels.one_hot:
        classes &= different <= MAX_CLASSES
    if not classes.any():
        return [None] * len(parts.names)
    texts = [str(value) for value in values.tolist()]
    names, counts = [texts[i] for i in value.tolist()], times.tolist()
    ends = [0, *np.cumsum(different).tolist()]
    return [
        dict(zip(names[low:high], counts[low:high], strict=True)) if are_classes else None
        for low, high, are_classes in zip(ends, ends[1:], classes.tolist(), strict=False)
    ]

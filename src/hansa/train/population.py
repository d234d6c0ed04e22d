"""All clients' training rows as one set of arrays, in which each client's rows have numbers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from hansa.errors import DataError
from hansa.train.learner import class_weighted
from hansa.types import Array, Examples, TrainRows, View


@dataclass(frozen=True, kw_only=True)
class Population:
    """The training rows of many clients.

    Attributes:
        rows: The rows of all clients, in any order.
        index: Numbers of each client's rows among them, int64, by client.
    """

    rows: Examples
    index: Mapping[str, Array]


def population(rows: Mapping[str, TrainRows], class_weight: Mapping[int, float] | None = None) -> Population:
    """Return clients' rows as a population.

    Parts of one shared dataset stay where they are; other rows are copied once, client after client.

    Args:
        rows: Training rows by client.
        class_weight: Weight by class, multiplied into the rows' weights, or None.

    Raises:
        DataError: If clients' rows do not have the same structure and shapes.

    Example:
        >>> ones = lambda n: Examples(x=np.ones((n, 2)), y=np.ones(n))
        >>> {name: index.tolist() for name, index in population({"a": ones(2), "b": ones(1)}).index.items()}
        {'a': [0, 1], 'b': [2]}
    """
    parts = list(rows.values())
    first = parts[0]
    if isinstance(first, View) and all(isinstance(p, View) and p.base is first.base for p in parts):
        index = {name: part.index for name, part in rows.items() if isinstance(part, View)}
        return Population(rows=class_weighted(first.base, class_weight), index=index)
    whole = [part.whole() for part in parts]
    ends = np.cumsum([0, *(len(part) for part in whole)])
    index = {name: np.arange(a, b) for name, a, b in zip(rows, ends[:-1], ends[1:], strict=True)}
    try:
        joined = Examples(
            x=_joined([part.x for part in whole]),
            y=_joined([part.y for part in whole]),
            sample_weight=_weights(whole),
            columns=whole[0].columns,
        )
    except (ValueError, TypeError, KeyError) as error:
        raise DataError(
            f"the clients' rows do not have the same structure ({error}), so that they cannot be trained "
            "together. Give all clients the same inputs and outputs, or use engine='local'."
        ) from error
    return Population(rows=class_weighted(joined, class_weight), index=index)


def _joined(trees: list[Any]) -> Any:
    first = trees[0]
    if isinstance(first, dict):
        if any(tree.keys() != first.keys() for tree in trees):
            raise KeyError("names differ")
        return {key: _joined([tree[key] for tree in trees]) for key in first}
    if isinstance(first, tuple):
        return tuple(_joined(list(parts)) for parts in zip(*trees, strict=True))
    return np.concatenate(trees)


def _weights(parts: list[Examples]) -> Array | None:
    if all(part.sample_weight is None for part in parts):
        return None
    ones = (np.ones(len(p), np.float32) if p.sample_weight is None else p.sample_weight for p in parts)
    return np.concatenate(list(ones))

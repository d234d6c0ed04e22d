"""Rows of many clients in blocks of a few arrays, as Ray's object store holds them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from hansa.train.population import population
from hansa.types import Array, Examples, TrainRows, map_arrays

BLOCK_BYTES = 8 << 20
"""A block is closed when it is so large: small enough to travel for one of its clients' sake."""

Place = tuple[int, int]
"""Number of a block, and of a client in it."""


@dataclass(frozen=True)
class Block:
    """The rows of consecutive clients.

    Attributes:
        rows: All of them, client after client.
        ends: Where the rows of each client end.
    """

    rows: Examples
    ends: Array

    def of(self, place: int) -> Examples:
        """Return one client's rows, as views."""
        rows, low, high = self.rows, int(self.ends[place - 1]) if place else 0, int(self.ends[place])
        weight = rows.sample_weight
        return Examples(
            x=map_arrays(rows.x, lambda a: a[low:high]),
            y=map_arrays(rows.y, lambda a: a[low:high]),
            sample_weight=None if weight is None else weight[low:high],
            columns=rows.columns,
        )


def pack(rows: Mapping[str, TrainRows]) -> Iterator[tuple[list[str], Block]]:
    """Yield blocks, and the names of the clients in each.

    Only clients whose rows have the same structure and dtypes share a block, so that `Block.of` gives
    what was put in, bit for bit.

    Example:
        >>> ones = lambda n: Examples(x=np.ones((n, 2)), y=np.ones(n))
        >>> [(names, len(block.of(1))) for names, block in pack({"a": ones(2), "b": ones(1)})]
        [(['a', 'b'], 1)]
    """
    group: dict[str, Examples] = {}
    size, kind = 0, None
    for name, part in rows.items():
        whole = part.whole()
        if group and (size >= BLOCK_BYTES or _kind(whole) != kind):
            yield list(group), _block(group)
            group, size = {}, 0
        group[name], kind = whole, _kind(whole)
        size += sum(array.nbytes for array in arrays_of(whole))
    if group:
        yield list(group), _block(group)


def arrays_of(rows: Examples) -> list[Array]:
    """Return all arrays of some rows, in a fixed order."""
    found: list[Array] = []
    for tree in (rows.x, rows.y, () if rows.sample_weight is None else rows.sample_weight):
        map_arrays(tree, found.append)
    return found


def _block(group: Mapping[str, Examples]) -> Block:
    return Block(population(group).rows, np.cumsum([len(part) for part in group.values()]))


def _kind(rows: Examples) -> Any:
    """Return what rows must have in common to be in one block."""
    shape = lambda tree: map_arrays(tree, lambda a: (a.dtype.str, a.shape[1:]))  # noqa: E731
    return shape(rows.x), shape(rows.y), rows.sample_weight is None, rows.columns

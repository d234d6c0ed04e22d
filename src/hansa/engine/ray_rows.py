"""Rows of many clients in blocks of a few arrays, as Ray's object store holds them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
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


class Packer:
    """Puts clients' rows into blocks, and each block away once it is full, so that none stays here.

    Only clients whose rows have the same structure and dtypes share a block, so that `Block.of` gives
    what was put in, bit for bit.

    Example:
        >>> packer = Packer(lambda block: block.ends.tolist())
        >>> for name, n in {"a": 2, "b": 1}.items():
        ...     packer.add(name, Examples(x=np.ones((n, 2)), y=np.ones(n)))
        >>> packer.close()
        >>> packer.blocks, packer.places
        ([[2, 3]], {'a': (0, 0), 'b': (0, 1)})

    Attributes:
        blocks: What putting each block away returned.
        places: Where each client's rows are.
        forms: A table without rows for each structure that clients' rows have.
    """

    def __init__(self, put: Callable[[Block], Any]) -> None:
        """Begin with nothing.

        Args:
            put: Puts a block away.
        """
        self.blocks: list[Any] = []
        self.places: dict[str, Place] = {}
        self.forms: list[Examples] = []
        self._kinds: list[Any] = []
        self._put = put
        self._group: dict[str, Examples] = {}
        self._size, self._kind = 0, None

    def add(self, name: str, rows: TrainRows) -> None:
        """Take a client's rows in."""
        whole = rows.whole()
        kind = _kind(whole)
        if self._size >= BLOCK_BYTES or kind != self._kind:
            self.close()
        if kind not in self._kinds:
            self._kinds.append(kind)
            self.forms.append(whole.take(np.zeros(0, np.int64)))
        self.places[name] = len(self.blocks), len(self._group)
        self._group[name], self._kind = whole, kind
        self._size += sum(array.nbytes for array in arrays_of(whole))

    def close(self) -> None:
        """Put away what there is."""
        if self._group:
            group, self._group, self._size = self._group, {}, 0
            self.blocks.append(self._put(_block(group)))


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

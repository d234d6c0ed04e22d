"""The tree in which a plain sum is added up: fast, lean, and the same bits whoever computes it.

The order of the additions is part of the result; `docs/adr/0006-the-tree-of-a-plain-sum.md` says why it
is this one. In short, for a cohort of n positions:

1. Leaf k holds the positions ``k * leaf_size(n)`` and following. Its sum is ``Σ weight · vector`` in float64
   in order of position, each product rounded before it is added.
2. The total begins at zero, and the leaves are added to it in order of their numbers.

A leaf may begin at its first product or at zero: that decides the sign of zeros alone, which a total that
begins at +0 does not keep.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from hansa.errors import UpdateError
from hansa.secure_sum.blocks import Doubles, add_leaves, add_pieces
from hansa.secure_sum.checks import check_delta, check_finite, check_leaf, sum_weights, unusable
from hansa.types import Array, Delta, Total

__all__ = ["TreeSum", "check_delta", "leaf_size", "unusable", "weighted_sum"]


def leaf_size(cohort: int) -> int:
    """Return how many positions a leaf holds: one in small cohorts, 8 in those of 256 or more.

    Example:
        >>> [leaf_size(n) for n in (1, 63, 64, 100, 256, 10_000)]
        [1, 1, 2, 3, 8, 8]
    """
    return min(8, max(1, cohort // 32))


HELD = 8
"""Most updates that are added together, so that the total goes through memory once for all of them."""


class TreeSum:
    """A weighted sum in float64 over a fixed tree of cohort positions.

    Updates are added a few at a time, and looked at for NaN and infinity in the same pass over memory, by
    the sum that they give; that one is dropped and made again without those that spoil it.

    Not for several threads at once: who shares one, locks it. (It uses threads of its own where vectors
    are large.)

    Guarantees:
        The result depends on positions, vectors and weights alone, bit for bit: not on the order
        of arrival nor on who summed a leaf. Memory does not depend on the number of clients: the total,
        the next one, and fewer than 8 updates as they came; plus what came before its turn. Where leaves are
        summed elsewhere, it is the total alone.

    Example:
        >>> total = TreeSum(2, cohort=3)
        >>> total.add(1, Delta(vector=np.array([1, 2], np.float32), weight=10))
        >>> total.add_leaf(0, np.array([3.0, 4.0]), {0: 1.0})
        >>> total.result()
        Total(vector=array([13., 24.]), weight=11.0, count=2)

    Attributes:
        size: Length of the vectors.
        cohort: Number of positions.
        leaf: Number of positions in a leaf; the last leaf may hold fewer.
        count: Number of updates that are in the sum so far.
        refused: Why an update is not in the sum, by position; complete once the sum is closed.
    """

    def __init__(self, size: int, cohort: int) -> None:
        """Begin a sum.

        Args:
            size: Length of the vectors.
            cohort: Number of positions, those that will stay empty included.
        """
        self.size = size
        self.cohort = cohort
        self.leaf = leaf_size(cohort)
        self.refused: dict[int, str] = {}
        self._total = np.zeros(size)
        self._spare: Doubles | None = None
        self._next = 0  # the leaf whose turn it is
        self._seen: set[int] = set()
        self._weights: dict[int, float] = {}
        self._waiting: dict[int, Delta | None] = {}  # by position: their leaf has gaps
        self._ready: list[dict[int, Delta]] = []  # leaves that are to be added to the total next
        self._closed: dict[int, Doubles | dict[int, Delta]] = {}  # by leaf: earlier leaves are missing

    @property
    def count(self) -> int:
        """Number of updates that are in the sum so far."""
        return len(self._weights)

    def add(self, position: int, delta: Delta | None, *, client: str = "") -> None:
        """Add the update at a cohort position, or None for one that does not come.

        An update is kept until it is added, not copied: do not change its vector afterwards. One that holds
        NaN or infinity counts as one that does not come, and `refused` tells of it once it was its turn.

        Raises:
            UpdateError: If it does not fit the model, its weight is negative or not finite, or the position
                was filled before or does not exist. The sum is as before.
        """
        if not 0 <= position < self.cohort:
            raise UpdateError(
                f"client {client!r} answered for position {position} of a cohort of {self.cohort}; positions "
                "go from 0. Send each answer once, for the position that was asked."
            )
        if position in self._seen:
            raise UpdateError(
                f"client {client!r} answered twice for position {position} of {self.cohort}. "
                "Only its first answer counts."
            )
        if delta is not None:
            check_delta(delta, self.size, client)
            self._weights[position] = float(delta.weight)
        self._seen.add(position)
        self._waiting[position] = delta
        number = position // self.leaf
        positions = self._positions(number)
        if all(p in self._waiting for p in positions):
            came = {p: self._waiting.pop(p) for p in positions}
            leaf = {p: d for p, d in came.items() if d is not None}
            # Before its turn a leaf waits as one vector, where that is less than its updates.
            early = number != self._next and len(leaf) > 2
            self._closed[number] = self._sum([leaf], np.broadcast_to(0.0, self.size)) if early else leaf
            self._close()

    def add_leaf(
        self, number: int, vector: Array | Sequence[Array] | None, weights: Mapping[int, float]
    ) -> None:
        """Add a whole leaf that was summed elsewhere.

        Whoever sums it leaves out what `unusable` names, and rounds each product before adding it; a
        `TreeSum` over the leaf's positions alone does so. The vector may be changed after the call.

        Args:
            number: Number of the leaf: its first position divided by `leaf`.
            vector: Sum of the leaf, float64, of shape ``(size,)``, or a sequence of float64 arrays that are
                it when they are raveled and joined; None if no position of the leaf is in it.
            weights: Weight by cohort position, of those that are in it. Others of the leaf do not come.

        Raises:
            UpdateError: If the vector does not fit the model or is not finite, a weight is negative or not
                finite, or a position was filled before or is not of this leaf. The sum is as before.
        """
        leaves = -(-self.cohort // self.leaf)
        if not 0 <= number < leaves:
            raise UpdateError(
                f"leaf {number} does not exist; a cohort of {self.cohort} has {leaves} leaves of {self.leaf} "
                "positions, numbered from 0."
            )
        positions = self._positions(number)
        twice = [p for p in positions if p in self._seen]
        if twice:
            raise UpdateError(
                f"leaf {number} was sent, and position {twice[0]} of it had answered before. "
                "Add a leaf once, and its positions either by the leaf or one by one."
            )
        pieces = check_leaf(number, vector, weights, positions=positions, size=self.size)
        self._seen.update(positions)
        self._weights.update({int(p): float(w) for p, w in weights.items()})
        if pieces is None:
            self._closed[number] = {}
        elif number != self._next:
            self._closed[number] = np.concatenate(pieces, out=self._buffer())
        else:
            self._flush()
            add_pieces(self._total, pieces)
            self._next += 1
        self._close()

    def result(self) -> Total:
        """Close the sum; positions that were never filled count as zero. The vector is the sum's own.

        Raises:
            UpdateError: If the sum, or that of the weights, is more than a float64 holds.
        """
        for position in range(self.cohort):
            if position not in self._seen:
                self.add(position, None)
        self._flush()
        self._spare = None
        check_finite(self._total)
        return Total(vector=self._total, weight=sum_weights(self._weights.values()), count=self.count)

    def _positions(self, number: int) -> range:
        return range(number * self.leaf, min((number + 1) * self.leaf, self.cohort))

    def _close(self) -> None:
        """Add the leaves whose turn has come, once they are enough to be worth it."""
        while self._next in self._closed:
            leaf = self._closed.pop(self._next)
            self._next += 1
            if isinstance(leaf, dict):
                self._ready += [leaf] if leaf else []
                continue
            self._flush()
            add_pieces(self._total, [leaf])
            self._spare = leaf
        if sum(map(len, self._ready)) + self.leaf > HELD:
            self._flush()

    def _flush(self) -> None:
        """Add the leaves that are ready to the total."""
        if self._ready:
            leaves, self._ready = self._ready, []
            self._total, self._spare = self._sum(leaves, self._total), self._total

    def _sum(self, leaves: Sequence[dict[int, Delta]], base: Doubles) -> Doubles:
        """Return another sum and the leaves that follow it, without updates that are not finite."""
        out = self._buffer()
        if add_leaves(out, [list(leaf.values()) for leaf in leaves], base):
            return out
        reasons = {p: unusable(delta) for leaf in leaves for p, delta in leaf.items()}
        bad = {p: reason for p, reason in reasons.items() if reason}
        if bad:
            self.refused |= bad
            for position in bad:
                del self._weights[position]
            good = [[delta for p, delta in leaf.items() if p not in bad] for leaf in leaves]
            out[:] = base
            add_leaves(out, [leaf for leaf in good if leaf], out)
        return out

    def _buffer(self) -> Doubles:
        spare, self._spare = self._spare, None
        return np.empty(self.size) if spare is None else spare


def weighted_sum(deltas: Sequence[Delta | None], size: int) -> Total:
    """Sum the updates of a cohort that are all at hand, in order of position.

    Block by block over all cores; beyond the result it needs a few blocks of memory.

    Guarantees:
        The same bits as a `TreeSum` that is given these positions, on any number of cores. Updates that
        `unusable` names are left out.

    Args:
        deltas: Update by cohort position, or None for one that does not come.
        size: Length of the vectors.

    Raises:
        UpdateError: If an update does not fit the model, or the sum, or that of the weights, is more than
            a float64 holds.

    Example:
        >>> weighted_sum([Delta(vector=np.array([1, 2], np.float32), weight=10), None], 2)
        Total(vector=array([10., 20.]), weight=10.0, count=1)
    """
    for position, delta in enumerate(deltas):
        if delta is not None:
            check_delta(delta, size, f"at position {position}")
    vector, good = _sum_leaves(deltas, size)
    if not good:
        # NaN and infinity never leave a sum, whatever the weight: only now can an update have held one.
        # That saves a look at every update where all is well.
        del vector
        deltas = [None if delta is None or unusable(delta) else delta for delta in deltas]
        vector, _ = _sum_leaves(deltas, size)
        check_finite(vector)
    weights = [float(delta.weight) for delta in deltas if delta is not None]
    return Total(vector=vector, weight=sum_weights(weights), count=len(weights))


def _sum_leaves(deltas: Sequence[Delta | None], size: int) -> tuple[Doubles, bool]:
    """Return the sum over the tree, and whether it is surely finite."""
    per = leaf_size(len(deltas))
    leaves = [[d for d in deltas[k : k + per] if d is not None] for k in range(0, len(deltas), per)]
    total = np.zeros(size)
    return total, add_leaves(total, [leaf for leaf in leaves if leaf], total)

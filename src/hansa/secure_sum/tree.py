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
from hansa.secure_sum.blocks import BLOCK, Doubles, add_pieces, add_terms, count_bad, fold, spread
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


class TreeSum:
    """A weighted sum in float64 over a fixed tree of cohort positions.

    Not for several threads at once: who shares one, locks it. (It uses threads of its own where vectors
    are large.)

    Guarantees:
        The result depends on positions, vectors and weights alone, bit for bit: not on the order
        of arrival nor on who summed a leaf. Memory does not depend on the number of clients: one total
        and, where leaves hold more than one position, one open leaf; plus what came before its turn.

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
        self._total = np.zeros(size)
        self._next = 0  # the leaf that is added to the total next
        self._seen: set[int] = set()
        self._weights: dict[int, float] = {}
        self._waiting: dict[int, Delta | None] = {}  # by position: earlier ones of the leaf are missing
        self._open: dict[int, tuple[int, Doubles | None]] = {}  # by leaf: next position, sum of those before
        self._closed: dict[int, Doubles | Delta | None] = {}  # by leaf: earlier leaves are missing
        self._spare: Doubles | None = None

    @property
    def count(self) -> int:
        """Number of updates that are in the sum so far."""
        return len(self._weights)

    def add(self, position: int, delta: Delta | None, *, client: str = "") -> str | None:
        """Add the update at a cohort position, or None for one that does not come.

        An update that comes before its turn is kept, not copied: do not change its vector afterwards.

        Returns:
            Why the update was left out, or None if it is in the sum.

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
        reason = None
        if delta is not None:
            check_delta(delta, self.size, client)
            reason = unusable(delta)
        kept = None if reason else delta
        self._seen.add(position)
        if kept is not None:
            self._weights[position] = float(kept.weight)
        self._waiting[position] = kept
        self._advance(position // self.leaf)
        return reason

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
        if number != self._next:
            self._closed[number] = None if pieces is None else self._copy(pieces)
            return
        if pieces is not None:
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
        check_finite(self._total)
        return Total(vector=self._total, weight=sum_weights(self._weights.values()), count=self.count)

    def _positions(self, number: int) -> range:
        return range(number * self.leaf, min((number + 1) * self.leaf, self.cohort))

    def _advance(self, number: int) -> None:
        """Add to a leaf what has come of it without a gap, and close it if it is complete."""
        positions = self._positions(number)
        position, partial = self._open.pop(number, (positions.start, None))
        terms: list[Delta] = []
        while position < positions.stop and position in self._waiting:
            delta = self._waiting.pop(position)
            if delta is not None:
                terms.append(delta)
            position += 1
        if self.leaf == 1:
            self._closed[number] = terms[0] if terms else None
            self._close()
            return
        if terms:
            fresh = partial is None
            partial = self._buffer() if partial is None else partial
            add_terms(partial, terms, fresh=fresh)
        if position < positions.stop:
            self._open[number] = position, partial
            return
        self._closed[number] = partial
        self._close()

    def _close(self) -> None:
        """Add to the total the leaves whose turn has come."""
        terms: list[Delta] = []
        while self._next in self._closed:
            leaf = self._closed.pop(self._next)
            self._next += 1
            if isinstance(leaf, Delta):
                terms.append(leaf)
                continue
            if leaf is not None:
                add_terms(self._total, terms)
                terms = []
                add_pieces(self._total, [leaf])
                self._spare = leaf
        add_terms(self._total, terms)

    def _buffer(self) -> Doubles:
        spare, self._spare = self._spare, None
        return np.empty(self.size) if spare is None else spare

    def _copy(self, pieces: Sequence[Doubles]) -> Doubles:
        return np.concatenate(pieces, out=self._buffer())


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
    vector = _sum_leaves(deltas, size)
    if count_bad(vector):
        # NaN and infinity never leave a sum, whatever the weight: only now can an update have held one.
        # That saves a look at every update where all is well.
        del vector
        deltas = [None if delta is None or unusable(delta) else delta for delta in deltas]
        vector = _sum_leaves(deltas, size)
        check_finite(vector)
    weights = [float(delta.weight) for delta in deltas if delta is not None]
    return Total(vector=vector, weight=sum_weights(weights), count=len(weights))


def _sum_leaves(deltas: Sequence[Delta | None], size: int) -> Doubles:
    """Return the sum over the tree."""
    per = leaf_size(len(deltas))
    leaves = [[d for d in deltas[k : k + per] if d is not None] for k in range(0, len(deltas), per)]
    total = np.zeros(size)

    def work(start: int, stop: int, scratch: Doubles) -> None:
        leaf, product = scratch
        for a in range(start, stop, BLOCK):
            b = min(a + BLOCK, stop)
            out = total[a:b]
            for terms in leaves:
                if len(terms) == 1:
                    fold(out, terms, a, b, product)
                elif terms:
                    fold(leaf[: b - a], terms, a, b, product, fresh=True)
                    np.add(out, leaf[: b - a], out=out)

    spread(work, size, passes=len(deltas))
    return total

"""The hat that proposals are drawn from: a staircase of blocks of equal width, above the density.

Block ``j`` is proposed with probability ``counts[j] / total``, whole numbers, so that random bits give it
exactly (the alias method). Within it a proposal is uniform. A proposal at ``y`` is accepted with probability
``per_density * f(y) / counts[j]``, which is at most 1 and makes the accepted ones follow the density ``f``.
Behind the last block is the tail, one entry more: block ``blocks + i`` has ``(1/64) (63/64)^i`` of its share.

Source:
    Marsaglia and Tsang, The ziggurat method for generating random variables, 2000 (the staircase);
    Walker, An efficient method for generating discrete random variables, 1977, and Vose 1991 (aliases).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from hansa.privacy.noise.law import Floats, Integers, Law

COLUMN_BITS = 11  # of the first word: the column, if there are so many
SIGN_BIT = 11
LEVEL_SHIFT = 12
LEVEL_BITS = 64 - LEVEL_SHIFT
TAIL_BITS = 6  # the tail's blocks fall by 63/64

_SLACK = 1 + 2.0**-30  # more than the error of a law's log density and of the exponential


@dataclass(frozen=True, eq=False)
class Strips:
    """A hat, as tables.

    Attributes:
        law: The law below it.
        counts: Of ``total``, the share of each block and, last, of the tail.
        per_density: Shares for a density of 1.
        log_heights: ``log(counts / per_density)`` of each block, shape ``(blocks + 1,)``; NaN for the tail,
            which thereby is left to exact arithmetic.
        thresholds: Of each column, what a level must be below for the column's own block, ``uint64``.
        gaps: What to subtract from a column for its other block.
        chances: Where a block is one whole number, the probability that it is accepted; NaN for the tail.
        acceptance: The probability that a proposal is accepted, a little too low.
    """

    law: Law
    counts: tuple[int, ...]
    per_density: int
    log_heights: Floats
    thresholds: NDArray[np.uint64]
    gaps: Integers
    chances: Floats | None
    acceptance: float

    def block(self, head: int) -> int:
        """Return the block that a first word proposes."""
        column = head & len(self.gaps) - 1
        other = head >> LEVEL_SHIFT >= int(self.thresholds[column])
        return column - int(self.gaps[column]) * other


@lru_cache(maxsize=64)
def strips(law: Law) -> Strips:
    """Return the hat of a law.

    Guarantees:
        The hat is nowhere below the density: heights are those at a block's left end with `_SLACK`, and the
        tail falls more slowly than the density does, since the law is log-concave and falls below 63/64 from
        the first block of the tail to the next.
    """
    edges = np.arange(law.blocks + 2, dtype=np.float64) * 2.0**law.width_bits
    density = np.exp(law.log_density(edges))
    if density[-1] > density[-2] * (1 - 2.0**-TAIL_BITS):
        raise AssertionError(f"the blocks of {law} are too narrow for its tail")
    heights = density[:-1] * _SLACK
    heights[-1] *= 2**TAIL_BITS
    single = not law.continuous and law.width_bits == 0
    if single:
        density[0] /= 2
        heights[0] /= 2
    columns = 1 << (len(heights) - 1).bit_length()
    if columns > 1 << COLUMN_BITS:
        raise AssertionError(f"{law} has {law.blocks} blocks, more than a table holds")
    total = columns << LEVEL_BITS
    exact = [Fraction(float(height)) for height in heights]
    per_density = int((total - 2 * len(exact)) / sum(exact))
    counts = [math.ceil(per_density * height) + 1 for height in exact]
    counts[0] += total - sum(counts)
    thresholds, gaps = _aliases(counts, columns)
    mass = density[:-2].sum() if single else (density[:-2] + density[1:-1]).sum() / 2
    log_heights = np.array([math.log(c) - math.log(per_density) for c in counts[:-1]] + [math.nan])
    return Strips(
        law=law,
        counts=tuple(counts),
        per_density=per_density,
        log_heights=log_heights,
        thresholds=thresholds,
        gaps=gaps,
        chances=density[:-1] / np.exp(log_heights) if single else None,
        acceptance=float(mass) * per_density / total * (1 - 2.0**-10),
    )


def _aliases(counts: Sequence[int], columns: int) -> tuple[NDArray[np.uint64], Integers]:
    """Return columns of equal size: each is its own block's up to a threshold and one other's above."""
    full = 1 << LEVEL_BITS
    left = [*counts, *(0 for _ in range(columns - len(counts)))]
    thresholds, other = [full] * columns, list(range(columns))
    short = [i for i, count in enumerate(left) if count < full]
    long = [i for i, count in enumerate(left) if count >= full]
    while short:
        poor, rich = short.pop(), long[-1]
        thresholds[poor], other[poor] = left[poor], rich
        left[rich] -= full - left[poor]
        if left[rich] < full:
            short.append(long.pop())
    gaps = np.arange(columns) - np.array(other)
    return np.array(thresholds, np.uint64), gaps.astype(np.int64)

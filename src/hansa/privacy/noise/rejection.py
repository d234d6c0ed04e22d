"""Drawing from a law by rejection: a fixed number of proposals, in floating point where that is certain.

A proposal is three words of a keystream: block and sign, place within the block, and a level; it is accepted
if the level is below the acceptance probability. The words are the first 64 bits of real numbers. Where the
comparison in float64 is closer than `MARGIN`, many times its error, or the proposal is in the tail, exact
arithmetic decides, with as many further bits as it takes.
"""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from hansa.privacy.noise.exact import Bracket, Uniform
from hansa.privacy.noise.law import Floats, Integers, Law, checked_size
from hansa.privacy.noise.source import Bytes, Source, Words, derived, new_key, words
from hansa.privacy.noise.strips import LEVEL_SHIFT, SIGN_BIT, TAIL_BITS, Strips, strips

MARGIN = 2.0**-40
"""More than the error of an acceptance probability in float64, below ``2**-41``: a law's log density is off
by at most ``2**-42``, its difference to a log height by ``2**-46`` more, a level by ``2**-53``. NumPy states
no error of its exponential, which this takes to be below ``2**-43``; the tests compare."""

CHUNK = 1 << 14
"""Proposals worked on at a time, so that they stay in a core's cache. It does not change what is drawn."""

SHORTFALL_BITS = 60
_WORDS = 3


def draw(law: Law, size: int, source: Bytes) -> Integers:
    """Return so many independent values of a law.

    Guarantees:
        If the source's bytes are uniform and float64 errs by less than `MARGIN`, the values follow the law
        exactly. The work is that of `proposals`, whatever the values: a batch that yields too few, one in
        ``2**60``, is followed by another for the rest.
    """
    out = np.empty(checked_size(size), np.int64)
    hat, filled = strips(law), 0
    while filled < len(out):
        filled += _batch(hat, new_key(source), out[filled:])
    return out


def proposals(size: int, acceptance: float) -> int:
    """Return a number of proposals of which fewer than a size are accepted with probability below 2^-60.

    Source:
        Chernoff's bound: ``exp(-n KL(size / n, acceptance))``.
    """
    low, high = size, 2 * math.ceil((size + 64) / acceptance)
    while low < high:
        middle = (low + high) // 2
        if _shortfall(middle, size, acceptance) <= -SHORTFALL_BITS * math.log(2):
            high = middle
        else:
            low = middle + 1
    return low


def _shortfall(count: int, size: int, acceptance: float) -> float:
    """Return a bound of the logarithm of the probability that fewer than a size of a count are accepted."""
    share = (size - 1) / count
    if share >= acceptance:
        return 0.0
    lost = (1 - share) * math.log((1 - share) / (1 - acceptance))
    return -count * ((share * math.log(share / acceptance) if share else 0.0) + lost)


def _batch(hat: Strips, key: bytes, out: Integers) -> int:
    """Fill an array with the values of one batch, in order, and return how many there were."""
    filled, count = 0, proposals(len(out), hat.acceptance)
    for first in range(0, count, CHUNK):
        drawn = words(key, _WORDS * first, _WORDS * min(CHUNK, count - first)).reshape(-1, _WORDS)
        values, accepted, open_still = _proposed(hat, drawn)
        for i in open_still:
            extra = Source(derived(key, "undecided", int(first + i)))
            accepted[i], values[i] = _settled(hat, [int(word) for word in drawn[i]], extra)
        good = values[accepted][: len(out) - filled]
        out[filled : filled + len(good)] = good
        filled += len(good)
    return filled


def _proposed(hat: Strips, drawn: Words) -> tuple[Integers, NDArray[np.bool_], Integers]:
    """Return proposals, which are accepted, and the indices of those that are undecided."""
    head, law = drawn[:, 0], hat.law
    column = (head & np.uint64(len(hat.gaps) - 1)).view(np.int64)
    block = (head >> np.uint64(LEVEL_SHIFT) >= hat.thresholds.take(column)) * hat.gaps.take(column)
    np.subtract(column, block, out=block)
    if hat.chances is None:
        magnitude, chance = _placed(hat, block, drawn[:, 1])
    else:
        magnitude, chance = block, hat.chances.take(block)
    chance -= drawn[:, 2] * 2.0**-64
    accepted = chance > 0
    np.abs(chance, out=chance)
    open_still = np.flatnonzero(~(chance > MARGIN))  # NaN, the tail, is among them
    if law.continuous:
        magnitude += 1
        magnitude >>= 1
    negative = -((head >> np.uint64(SIGN_BIT)) & np.uint64(1)).view(np.int64)
    magnitude ^= negative
    magnitude -= negative
    return magnitude, accepted, open_still


def _placed(hat: Strips, block: Integers, place: Words) -> tuple[Integers, Floats]:
    """Return magnitudes, rounded down, and the probabilities that they are accepted."""
    law, bits = hat.law, hat.law.width_bits
    if bits >= 0:
        magnitude = (place >> np.uint64(1) >> np.uint64(63 - bits)).view(np.int64)
        magnitude |= block << np.int64(bits)
    else:
        magnitude = block >> np.int64(min(-bits, 63))
    if law.continuous:
        real: Floats = place * np.float64(2.0**-64)
        real += block
        real *= 2.0**bits
    else:
        real = magnitude.astype(np.float64)
    chance = law.log_density(real)
    chance -= hat.log_heights.take(block)
    np.exp(chance, out=chance)
    if not law.continuous:
        chance[magnitude == 0] *= 0.5
    return magnitude, chance


def _settled(hat: Strips, drawn: list[int], extra: Source) -> tuple[bool, int]:
    """Decide one proposal exactly: return whether it is accepted, and its value."""
    block = hat.block(drawn[0])
    height = Fraction(hat.counts[block], hat.per_density)
    if block == hat.law.blocks:
        height /= 2**TAIL_BITS
        while extra(1)[0] % 2**TAIL_BITS:
            block, height = block + 1, height * (1 - Fraction(1, 2**TAIL_BITS))
    place, level, bits = Uniform(drawn[1], extra), Uniform(drawn[2], extra), 128
    while True:
        low, high = _density(hat.law, block, place, bits)
        if level.above() * height * 2**bits <= low:
            break
        if level.below() * height * 2**bits >= high:
            return False, 0
        place.extend()
        level.extend()
        bits *= 2
    magnitude = _magnitude(hat.law, block, place)
    magnitude = magnitude + 1 >> 1 if hat.law.continuous else magnitude
    return True, -magnitude if drawn[0] >> SIGN_BIT & 1 else magnitude


def _magnitude(law: Law, block: int, place: Uniform) -> int:
    """Return a magnitude, rounded down."""
    whole, bits = block << place.bits | place.numerator, place.bits - law.width_bits
    return whole >> bits


def _density(law: Law, block: int, place: Uniform, bits: int) -> Bracket:
    """Return a bracket of the density at a place in a block."""
    if law.continuous:
        width = Fraction(2) ** law.width_bits
        low, _ = law.density((block + place.above()) * width, bits)
        _, high = law.density((block + place.below()) * width, bits)
        return low, high
    magnitude = _magnitude(law, block, place)
    low, high = law.density(Fraction(magnitude), bits)
    return (low, high) if magnitude else (low // 2, (high + 1) // 2)

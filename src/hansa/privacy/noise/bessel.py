"""Brackets of modified Bessel functions ``I_n(v)`` of whole order, in whole numbers."""

from __future__ import annotations

import math
from fractions import Fraction
from functools import lru_cache

from hansa.privacy.noise.exact import Bracket


@lru_cache(maxsize=16)
def ratios(argument: Fraction, count: int, bits: int) -> list[Bracket]:
    """Return brackets of ``I_n(v) / I_0(v)`` for n from 0 to a count, in units of ``2**-bits``.

    Guarantees:
        The true numbers are within. A bracket is at most ``4 count sqrt(v + 1)`` units wide.

    Source:
        The recurrence ``I_{n-1} - I_{n+1} = (2n / v) I_n`` (DLMF 10.29.1), downwards from a ratio
        ``I_{n+1} / I_n`` that is only known to be between 0 and 1, an error that shrinks in each step by the
        product of two ratios.
    """
    one, top, bottom = 1 << bits, argument.numerator, argument.denominator
    begin = count + bits + math.isqrt(count * count + int(argument) * bits)
    low, high, steps = 0, one, []
    for n in range(begin, 0, -1):
        fixed = 2 * n * bottom * one
        low, high = top * one * one // (fixed + top * high), -(-top * one * one // (fixed + top * low))
        if n <= count:
            steps.append((low, high))
    out = [(one, one)]
    for low, high in reversed(steps):
        least, most = out[-1]
        out.append((least * low >> bits, -(-most * high >> bits)))
    return out


def scaled(order: int, argument: Fraction, bits: int) -> Bracket:
    """Return a bracket of ``sqrt(2 pi v) exp(-v) I_n(v)``, in units of ``2**-bits``, for a large argument.

    Args:
        order: n, from 0 on; of the order of ``sqrt(v)``, or it takes long.
        argument: v, at least ``2**10``.
        bits: Small beside v.

    Guarantees:
        The true number is within. The bracket is at most 4 units wide.

    Source:
        Hankel's expansion: ``sum (-1)^k a_k(n) / v^k``, and its remainder after l terms as that of ``K_n`` at
        ``v exp(pi i)``: at most ``2 chi(l) |a_l| / v^l exp(chi(1) |n^2 - 1/4| / v)``, where
        ``chi(1) = pi / 2`` and ``chi(l) <= l + 1`` (DLMF 10.34.2, 10.40.10 to 10.40.12).
    """
    top, bottom = argument.numerator, argument.denominator
    growth = order * order * 2267 * bottom // (1000 * top) + 2  # log2 of the remainder's exponential
    work = bits + growth + 64
    one = 1 << work
    terms, size = 0, one
    while (2 * (terms + 1) * size << growth) >> growth + 64:
        terms += 1
        size = -(-size * abs(4 * order * order - (2 * terms - 1) ** 2) * bottom // (8 * terms * top))
    total, error = one, 0
    for k in range(terms - 1, 0, -1):
        factor, divisor = (4 * order * order - (2 * k - 1) ** 2) * bottom, 8 * k * top
        total = one - total * factor // divisor
        error = error * abs(factor) // divisor + 2
    error += (2 * (terms + 1) * size << growth) + 1
    shift = work - bits
    return max(0, total - error >> shift), -(-(total + error) >> shift)

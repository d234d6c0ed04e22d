"""Which values of a polynomial are wrong: decoding of one Reed–Solomon word.

Source:
    Gao, "A New Algorithm for Decoding Reed–Solomon Codes", 2003.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numba import njit

from hansa.crypto import arithmetic, field
from hansa.crypto.arithmetic import P
from hansa.crypto.field import Field

Poly = list[int]


def wrong_positions(points: Sequence[int], values: Sequence[int], size: int) -> list[int] | None:
    """Return the positions at which values differ from a polynomial of fewer than ``size`` coefficients.

    Args:
        points: Where the polynomial was evaluated: distinct, below p.
        values: What is said to be its values.
        size: How many coefficients it has at most.

    Returns:
        Positions in order, or None if no such polynomial is within ``(len(points) - size) // 2`` errors.
        Then there are more errors than can be located.
    """
    count = len(points)
    first = _interpolated(points[:size], values[:size])
    if all(value_at(first, x) == y % P for x, y in zip(points[size:], values[size:], strict=True)):
        return []
    everywhere: Poly = [1]
    for point in points:
        everywhere = _times(everywhere, [-point % P, 1])
    through = _interpolated(points, values)
    # The extended Euclidean algorithm, stopped half-way.
    before, now = everywhere, through
    v_before, v_now = [], [1]
    while 2 * len(now) > count + size:
        quotient, rest = _divided(before, now)
        before, now = now, rest
        v_before, v_now = v_now, _minus(v_before, _times(quotient, v_now))
    message, rest = _divided(now, v_now)
    if rest or len(message) > size:
        return None
    wrong = [i for i, (x, y) in enumerate(zip(points, values, strict=True)) if value_at(message, x) != y % P]
    return wrong if len(wrong) <= (count - size) // 2 else None


def value_at(poly: Sequence[int], point: int) -> int:
    """Return the value of a polynomial, its lowest coefficient first."""
    total = 0
    for coefficient in reversed(poly):
        total = (total * point + coefficient) % P
    return total


def weights_at_zero(points: Sequence[int]) -> Field:
    """Return Lagrange's weights: the value at 0 is the sum of the values at the points times these.

    Args:
        points: Distinct modulo p.

    Raises:
        ZeroDivisionError: If they are not distinct.
    """
    at = field.from_ints(list(points))
    above, below = np.ones_like(at), np.ones_like(at)
    _fractions(at, above, below)
    return field.mul(above, field.inverses(below))


@njit(cache=True, nogil=True)
def _fractions(at: Any, above: Any, below: Any) -> None:
    for i in range(len(at)):
        for j in range(len(at)):
            if j != i:
                above[i] = arithmetic.mul(above[i], at[j])
                below[i] = arithmetic.mul(below[i], arithmetic.sub(at[j], at[i]))


def _interpolated(points: Sequence[int], values: Sequence[int]) -> Poly:
    """Newton's divided differences, then Horner's scheme."""
    table = [value % P for value in values]
    for level in range(1, len(points)):
        for i in range(len(points) - 1, level - 1, -1):
            gap = (points[i] - points[i - level]) % P
            table[i] = (table[i] - table[i - 1]) * pow(gap, -1, P) % P
    poly: Poly = []
    for point, coefficient in zip(reversed(points), reversed(table), strict=True):
        poly = _plus(_times(poly, [-point % P, 1]), [coefficient])
    return poly


def _trimmed(poly: Poly) -> Poly:
    while poly and poly[-1] == 0:
        poly.pop()
    return poly


def _plus(a: Poly, b: Poly) -> Poly:
    long, short = (a, b) if len(a) >= len(b) else (b, a)
    out = list(long)
    for i, value in enumerate(short):
        out[i] = (out[i] + value) % P
    return _trimmed(out)


def _minus(a: Poly, b: Poly) -> Poly:
    return _plus(a, [-value % P for value in b])


def _times(a: Poly, b: Poly) -> Poly:
    if not a or not b:
        return []
    out = [0] * (len(a) + len(b) - 1)
    for i, x in enumerate(a):
        if x:
            for j, y in enumerate(b):
                out[i + j] = (out[i + j] + x * y) % P
    return _trimmed(out)


def _divided(a: Poly, b: Poly) -> tuple[Poly, Poly]:
    rest, quotient = list(a), [0] * max(0, len(a) - len(b) + 1)
    scale = pow(b[-1], -1, P)
    for shift in range(len(a) - len(b), -1, -1):
        factor = rest[shift + len(b) - 1] * scale % P
        quotient[shift] = factor
        if factor:
            for i, value in enumerate(b):
                rest[shift + i] = (rest[shift + i] - factor * value) % P
    return _trimmed(quotient), _trimmed(rest)

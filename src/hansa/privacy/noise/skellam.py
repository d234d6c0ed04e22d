"""Skellam noise: the difference of two Poisson variables, of which sums are such differences again."""

from __future__ import annotations

import math
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache

import numpy as np

from hansa.privacy.noise.bessel import ratios, scaled
from hansa.privacy.noise.exact import Bracket
from hansa.privacy.noise.law import STEEPNESS, Floats, Integers, checked, exponent_of
from hansa.privacy.noise.rejection import draw
from hansa.privacy.noise.source import Bytes

LEAST, MOST = -80, 100
"""A variance is between these powers of two."""

LARGE = 14
"""From this power of two on a variance's probabilities are computed; below it they are in a table."""

_REACH = 9.25  # standard deviations, behind which less than 2^-60 of the density at 0 is left
_RANGE = 90  # of n^2 / v in `LargeSkellam.log_density`; one block behind the last is at 88.4
_TABLE_BITS = 256


def skellam(variance: Fraction | float, size: int, source: Bytes) -> Integers:
    """Return noise that is the difference of two Poisson variables, each of half the variance as its mean.

    The sum of independent Skellam variables is one, of the sum of the variances. So parties who each add a
    share make noise in a secure sum that no one of them knows.

    Args:
        variance: From ``2**-80`` to ``2**100``, in squared units of the grid. Fractions are shared exactly.
        size: How many values, from 0 on.
        source: Where random bytes come from: `system_source`, or a key's `Source` in simulation and tests.

    Returns:
        Noise, ``int64``, shape ``(size,)``.

    Raises:
        ConfigurationError: An argument is none of these. A variance of 0 is refused.

    Guarantees:
        Each value ``n`` has exactly the probability ``exp(-v) I_n(v)``, if the source's bytes are uniform; no
        tail is cut off. The same bytes give the same values.

    Source:
        Skellam, 1946; Agarwal, Kairouz and Liu, The Skellam mechanism for differentially private federated
        learning, 2021.

    Example:
        >>> from hansa.privacy.noise.source import Source
        >>> skellam(Fraction(100, 3), 5, Source(bytes(32))).shape
        (5,)
    """
    exact = checked("the variance", variance, LEAST, MOST)
    law = LargeSkellam(exact) if exact >= 2**LARGE else SmallSkellam(exact)
    return draw(law, size, source)


@dataclass(frozen=True)
class SmallSkellam:
    """The law of the magnitude for a variance below ``2**14``: ``I_n(v) / I_0(v)``, one number a block."""

    variance: Fraction

    @property
    def continuous(self) -> bool:
        """Whole numbers."""
        return False

    @property
    def width_bits(self) -> int:
        """A block is one number."""
        return 0

    @property
    def blocks(self) -> int:
        """As many numbers as there are before less than ``2**-60`` of the density at 0."""
        return len(_logarithms(self.variance)) - 2

    def log_density(self, magnitude: Floats) -> Floats:
        """Return ``log(I_n(v) / I_0(v))`` from a table."""
        return _logarithms(self.variance).take(magnitude.astype(np.int64))

    def density(self, magnitude: Fraction, bits: int) -> Bracket:
        """Return a bracket of ``I_n(v) / I_0(v)``."""
        return ratios(self.variance, max(self.blocks, int(magnitude)), bits)[int(magnitude)]


@lru_cache(maxsize=64)
def _logarithms(variance: Fraction) -> Floats:
    """Return ``log(I_n(v) / I_0(v))`` from n = 0 up to two numbers behind the first below ``2**-60``."""
    brackets = ratios(variance, 72 + 10 * math.isqrt(int(variance)), _TABLE_BITS)
    reached = next(n for n, (_, high) in enumerate(brackets) if high < 1 << _TABLE_BITS - 60)
    unit = _TABLE_BITS * math.log(2)
    return np.array([math.log(low) - unit for low, _ in brackets[: reached + 2]])


@dataclass(frozen=True)
class LargeSkellam:
    """The law of the magnitude for a variance from ``2**14`` on: ``sqrt(2 pi v) exp(-v) I_n(v)``.

    Guarantees:
        With ``x = n / v``, ``R = sqrt(n^2 + v^2)`` and ``p = n / R`` the logarithm of the density is
        ``v (sqrt(1 + x^2) - 1 - x asinh x) - log(R / v) / 2 + log B``, where, exactly,
        ``B = sqrt(R / 2 pi) * integral of exp(-R s^2 / 2) cos(n phi) / sqrt(1 - s^2 / 4) ds`` from -2 to 2,
        with ``s = 2 sin(theta / 2)`` and ``phi = theta - sin theta = s^3 / 6 + s^5 / 80 + …`` (Bessel's
        integral on the path through the saddle point). Expanded in s, with moments ``(2k - 1)!! / R^k``, this
        is Debye's expansion (DLMF 10.41.3):
        ``log B = (3 - 5 p^2) / 24 R + (1 - 6 p^2 + 5 p^4) / 16 R^2`` and a rest that begins with
        ``(375 - 4779 p^2 + 9945 p^4 - 5525 p^6) / 5760 R^3``: for ``v >= 2**14`` and ``n^2 <= 90 v`` it is
        below ``2**-45``. In powers of ``x^2`` all is one polynomial; what is cut off of
        it is below ``2**-49``, and rounding below ``2**-44``. The error is below ``2**-43``.
    """

    variance: Fraction

    @property
    def continuous(self) -> bool:
        """Whole numbers."""
        return False

    @property
    def width_bits(self) -> int:
        """A block is ``2**width_bits`` numbers."""
        return exponent_of(self.variance) // 2 - STEEPNESS

    @property
    def blocks(self) -> int:
        """Up to 9.25 standard deviations."""
        return math.ceil(_REACH * math.sqrt(self.variance) / 2.0**self.width_bits)

    def log_density(self, magnitude: Floats) -> Floats:
        """Return the logarithm by Horner's scheme in ``(n / v)^2``; the argument is overwritten."""
        terms = _polynomial(self.variance)
        magnitude *= float(1 / self.variance)
        magnitude *= magnitude
        out = terms[-1] * magnitude
        for term in terms[-2:0:-1]:
            out += term
            out *= magnitude
        out += terms[0]
        return out

    def density(self, magnitude: Fraction, bits: int) -> Bracket:
        """Return a bracket of ``sqrt(2 pi v) exp(-v) I_n(v)``."""
        return scaled(int(magnitude), self.variance, bits)


@lru_cache(maxsize=64)
def _polynomial(variance: Fraction) -> list[float]:
    """Return the log density's coefficients of powers of ``x^2``, as many as count."""
    v, degree = variance, 10
    arcsinh = [Fraction((-1) ** k * math.comb(2 * k, k), 4**k * (2 * k + 1)) for k in range(degree)]
    power = {a: [_binomial(-a, k) for k in range(degree + 1)] for a in (0.5, 1, 1.5, 2, 3)}
    terms = [3 * power[0.5][0] / (24 * v) + 1 / (16 * v**2)]
    for k in range(1, degree + 1):
        saddle = -v * arcsinh[k - 1] / (2 * k) + Fraction((-1) ** k, 4 * k)
        first = (3 * power[0.5][k] - 5 * power[1.5][k - 1]) / (24 * v)
        second = power[1][k] - 6 * power[2][k - 1] + (5 * power[3][k - 2] if k > 1 else 0)
        terms.append(saddle + first + second / (16 * v**2))
    while len(terms) > 2 and abs(terms[-1]) * (_RANGE / v) ** (len(terms) - 1) < Fraction(1, 2**50):
        terms.pop()
    return [float(term) for term in terms]


def _binomial(exponent: float, k: int) -> Fraction:
    """Return the coefficient of ``x^k`` in ``(1 + x)^exponent``."""
    out = Fraction(1)
    for i in range(k):
        out = out * (Fraction(exponent) - i) / (i + 1)
    return out

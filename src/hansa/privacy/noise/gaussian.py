"""Gaussian noise, rounded to whole numbers."""

from __future__ import annotations

import math
from dataclasses import dataclass
from fractions import Fraction

from hansa.privacy.noise.exact import Bracket, exponential
from hansa.privacy.noise.law import STEEPNESS, Floats, Integers, checked, exponent_of
from hansa.privacy.noise.rejection import draw
from hansa.privacy.noise.source import Bytes

LEAST, MOST = -40, 50
"""A standard deviation is between these powers of two."""

_REACH = 9.2  # exp(-9.2^2 / 2) is below 2^-60


def rounded_gaussian(sigma: float, size: int, source: Bytes) -> Integers:
    """Return real Gaussian noise, each value rounded to the nearest whole number.

    Added to whole numbers, that is the continuous Gaussian mechanism and then rounding, which is
    post-processing: what an accountant says of the Gaussian mechanism holds as it is.

    Args:
        sigma: Standard deviation before rounding, from ``2**-40`` to ``2**50``, in units of the grid.
        size: How many values, from 0 on.
        source: Where random bytes come from: `system_source`, or a key's `Source` in simulation and tests.

    Returns:
        Noise, ``int64``, shape ``(size,)``.

    Raises:
        ConfigurationError: An argument is none of these. A sigma of 0 is refused.

    Guarantees:
        Each value ``n`` has exactly the probability that a normal variate of this standard deviation is
        within 1/2 of ``n``, if the source's bytes are uniform; no tail is cut off. The same bytes give the
        same values.

    Source:
        Karney, Sampling exactly from the normal distribution, 2016, for the idea to decide with as few
        bits of a real number as it takes. The proposals are those of `strips`.

    Example:
        >>> from hansa.privacy.noise.source import Source
        >>> rounded_gaussian(10.0, 5, Source(bytes(32))).shape
        (5,)
    """
    return draw(Gaussian(checked("the sigma", sigma, LEAST, MOST)), size, source)


@dataclass(frozen=True)
class Gaussian:
    """The law of twice a normal variate's magnitude: ``exp(-y^2 / 8 sigma^2)``, continuous.

    Guarantees:
        The log density of a place that is known within ``2**-52`` has a relative error below ``2**-49``, and
        it is at most 44 large: its error is below ``2**-43``.
    """

    sigma: Fraction

    @property
    def continuous(self) -> bool:
        """Real numbers."""
        return True

    @property
    def width_bits(self) -> int:
        """A block is ``2**width_bits`` halves."""
        return exponent_of(self.sigma) + 1 - STEEPNESS

    @property
    def blocks(self) -> int:
        """Up to 9.2 standard deviations."""
        return math.ceil(Fraction(_REACH) * 2 * self.sigma / Fraction(2) ** self.width_bits)

    def log_density(self, magnitude: Floats) -> Floats:
        """Return ``-y^2 / 8 sigma^2``; the argument is overwritten."""
        magnitude *= magnitude
        magnitude *= float(-1 / (8 * self.sigma**2))
        return magnitude

    def density(self, magnitude: Fraction, bits: int) -> Bracket:
        """Return a bracket of ``exp(-y^2 / 8 sigma^2)``."""
        return exponential(magnitude**2 / (8 * self.sigma**2), bits)

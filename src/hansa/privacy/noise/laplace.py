"""Discrete Laplace noise."""

from __future__ import annotations

import math
from dataclasses import dataclass
from fractions import Fraction

from hansa.privacy.noise.exact import Bracket, exponential
from hansa.privacy.noise.law import STEEPNESS, Floats, Integers, checked, exponent_of
from hansa.privacy.noise.rejection import draw
from hansa.privacy.noise.source import Bytes

LEAST, MOST = -40, 50
"""A scale is between these powers of two."""

_REACH = 42  # exp(-42) is below 2^-60


def discrete_laplace(scale: Fraction | float, size: int, source: Bytes) -> Integers:
    """Return noise of the discrete Laplace law, also called two-sided geometric.

    With a scale of ``sensitivity / epsilon`` it makes a whole number epsilon-differentially private.

    Args:
        scale: From ``2**-40`` to ``2**50``, in units of the grid.
        size: How many values, from 0 on.
        source: Where random bytes come from: `system_source`, or a key's `Source` in simulation and tests.

    Returns:
        Noise, ``int64``, shape ``(size,)``.

    Raises:
        ConfigurationError: An argument is none of these. A scale of 0 is refused.

    Guarantees:
        Each value ``n`` has exactly the probability ``(q - 1) / (q + 1) * exp(-|n| / scale)`` with
        ``q = exp(1 / scale)``, if the source's bytes are uniform; no tail is cut off. The same bytes give the
        same values.

    Source:
        Ghosh, Roughgarden and Sundararajan, Universally utility-maximizing privacy mechanisms, 2009;
        Canonne, Kamath and Steinke, The discrete Gaussian for differential privacy, 2020, section 5.

    Example:
        >>> from hansa.privacy.noise.source import Source
        >>> discrete_laplace(Fraction(10, 3), 5, Source(bytes(32))).shape
        (5,)
    """
    return draw(Laplace(checked("the scale", scale, LEAST, MOST)), size, source)


@dataclass(frozen=True)
class Laplace:
    """The law of the magnitude: ``exp(-n / scale)``.

    Guarantees:
        The log density's relative error is below ``2**-51``, and it is at most 43 large.
    """

    scale: Fraction

    @property
    def continuous(self) -> bool:
        """Whole numbers."""
        return False

    @property
    def width_bits(self) -> int:
        """A block is ``2**width_bits`` numbers."""
        return max(0, exponent_of(self.scale) - STEEPNESS)

    @property
    def blocks(self) -> int:
        """Up to 42 scales."""
        return math.ceil(_REACH * self.scale / 2**self.width_bits)

    def log_density(self, magnitude: Floats) -> Floats:
        """Return ``-n / scale``; the argument is overwritten."""
        magnitude *= float(-1 / self.scale)
        return magnitude

    def density(self, magnitude: Fraction, bits: int) -> Bracket:
        """Return a bracket of ``exp(-n / scale)``."""
        return exponential(magnitude / self.scale, bits)

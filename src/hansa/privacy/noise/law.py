"""What a sampler has to know of a law of noise."""

from __future__ import annotations

from fractions import Fraction
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from hansa.errors import ConfigurationError
from hansa.privacy.noise.exact import Bracket

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]

STEEPNESS = 4
"""A block is from ``2**-5`` to ``2**-4`` of the law's scale wide, which rejects about 2 proposals in 100."""


class Law(Protocol):
    """The law of a magnitude, up to a constant: a log-concave density that does not grow.

    A discrete law has the density at 0, 1, 2, …; with a random sign it is the symmetric law of whole numbers.
    A continuous law is that of a real number in halves, which is rounded: 0 to 1 gives 0, 1 to 3 gives 1, …
    Laws are values: equal ones have one table of proposals.

    Attributes:
        continuous: Which of the two it is.
        width_bits: Proposals come in blocks of ``2**width_bits``; a discrete law's is 0 or more.
        blocks: So many blocks reach to where less than about ``2**-60`` of the density at 0 is left.
    """

    @property
    def continuous(self) -> bool:
        """Return which of the two it is."""
        ...

    @property
    def width_bits(self) -> int:
        """Return the logarithm of a block's width."""
        ...

    @property
    def blocks(self) -> int:
        """Return how many blocks are before the tail."""
        ...

    def log_density(self, magnitude: Floats) -> Floats:
        """Return the logarithm of the density up to one block behind the last, within ``2**-42``."""
        ...

    def density(self, magnitude: Fraction, bits: int) -> Bracket:
        """Return a bracket of the density anywhere, in units of ``2**-bits``, narrower the more bits."""
        ...


def exponent_of(value: Fraction | float) -> int:
    """Return the ``e`` with ``2**e <= value < 2**(e+1)``."""
    ratio = Fraction(value)
    guess = ratio.numerator.bit_length() - ratio.denominator.bit_length()
    return guess if ratio >= Fraction(2) ** guess else guess - 1


def checked(what: str, value: Any, least: int, most: int) -> Fraction:
    """Return a parameter as a fraction.

    Args:
        what: Its name.
        value: A number.
        least: It is at least ``2**least``.
        most: It is at most ``2**most``.

    Raises:
        ConfigurationError: It is none, not finite, or out of this range.
    """
    expected = f"{what} of noise must be a number from 2**{least} to 2**{most}, got {value!r}."
    if isinstance(value, bool) or not isinstance(value, int | float | Fraction | np.integer | np.floating):
        raise ConfigurationError(f"{expected} Give a float or a Fraction.")
    if isinstance(value, float | np.floating) and not np.isfinite(value):
        raise ConfigurationError(expected)
    ratio = Fraction(int(value)) if isinstance(value, np.integer) else Fraction(*value.as_integer_ratio())
    if ratio <= 0:
        raise ConfigurationError(f"{expected} Where no noise is wanted, draw none.")
    if not Fraction(2) ** least <= ratio <= Fraction(2) ** most:
        raise ConfigurationError(f"{expected} Choose other units.")
    return ratio


def checked_size(size: Any) -> int:
    """Return a number of values.

    Raises:
        ConfigurationError: It is none.
    """
    if isinstance(size, bool) or not isinstance(size, int | np.integer) or size < 0:
        raise ConfigurationError(f"the number of values to draw is a whole number from 0 on, got {size!r}.")
    return int(size)

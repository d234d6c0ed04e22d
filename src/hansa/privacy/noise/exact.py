"""Real numbers between whole ones: brackets of a wanted width, for what floating point leaves open."""

from __future__ import annotations

from decimal import MAX_EMAX, MIN_EMIN, Context, Decimal
from fractions import Fraction

from hansa.privacy.noise.source import Source

Bracket = tuple[int, int]
"""Two numbers in units of ``2**-bits``, the first not above, the second not below the real one."""


def exponential(exponent: Fraction, bits: int) -> Bracket:
    """Return a bracket of ``exp(-exponent)`` for an exponent from 0 on, a few units wide.

    Source:
        `decimal` rounds a quotient and an exponential correctly (Python's library reference), so each is
        within ``10**(1 - digits)`` of the true one, relatively.
    """
    digits = bits * 302 // 1000 + len(str(int(exponent))) + 8
    context = Context(prec=digits, Emin=MIN_EMIN, Emax=MAX_EMAX)
    power = context.divide(Decimal(-exponent.numerator), Decimal(exponent.denominator))
    middle = Fraction(context.exp(power)) if power > -4 * digits else Fraction(0)
    slack = Fraction(2 * (int(exponent) + 3), 10 ** (digits - 1)) * middle
    if not middle:  # exp(-4 digits) is far below 2^-bits
        return 0, 1
    return int((middle - slack) * 2**bits), int((middle + slack) * 2**bits) + 1


class Uniform:
    """A real number, uniform on [0, 1), of which as many bits are drawn as are asked for.

    Attributes:
        numerator: The bits that are known, as a whole number.
        bits: How many.
    """

    def __init__(self, word: int, source: Source) -> None:
        """Begin with 64 bits; the others come from the source."""
        self.numerator, self.bits, self._source = word, 64, source

    def extend(self) -> None:
        """Draw 64 bits more."""
        self.numerator = self.numerator << 64 | int.from_bytes(self._source(8), "little")
        self.bits += 64

    def below(self) -> Fraction:
        """Return the largest number known not to be above it."""
        return Fraction(self.numerator, 1 << self.bits)

    def above(self) -> Fraction:
        """Return the least number known to be above it."""
        return Fraction(self.numerator + 1, 1 << self.bits)

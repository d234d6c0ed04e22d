"""Numbers as short integers that add up: exact, the same in any order and through every secure sum.

A secure sum adds integers of a few bits. A number is cut into limbs of `BITS` bits, all with its sign; limbs
are summed one by one, and the sums of limbs put together are the exact sum of the numbers.

Leaks:
    Sums of limbs tell the sum and the carries between limbs: up to log2(2m) bits a limb more, of m clients.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hansa.errors import DataError

BITS = 16
"""Bits of a limb: so few that sealed sums of 1,000 clients of any number of limbs have one opening."""
BOUND = 1 << BITS
"""Limbs are below this in magnitude."""


@dataclass(frozen=True)
class FixedPoint:
    """Integer multiples of ``2**unit`` that are below ``2**(unit + 16 · limbs)`` in magnitude.

    Attributes:
        unit: Exponent of the smallest step.
        limbs: Limbs of a number.

    Example:
        >>> halves = FixedPoint(unit=-1, limbs=2)
        >>> total = halves.encode([halves.units(40000.5)]) + halves.encode([halves.units(-0.5)])
        >>> halves.number(halves.decode(total)[0])
        40000.0
    """

    unit: int
    limbs: int

    def units(self, value: float) -> int:
        """Return a finite number of Python as a number of steps, exactly.

        Raises:
            DataError: If it is not finite, or not a multiple of the step.
        """
        try:
            above, below = float(value).as_integer_ratio()  # below is a power of two
        except (OverflowError, ValueError):
            raise DataError(f"{value} is not a finite number.") from None
        scaled, rest = divmod(above << -self.unit, below)
        if rest:
            raise DataError(f"{value} is finer than 2^{self.unit}, the resolution of federated sums.")
        return scaled

    def number(self, units: int, over: int = 1) -> float:
        """Return ``units · 2**unit / over``, rounded once to the nearest float64."""
        return units / (over << -self.unit)

    # client half
    def encode(self, units: Sequence[int]) -> NDArray[np.int64]:
        """Return the limbs of numbers of steps, the least limb first, int64, shape ``(len(units), limbs)``.

        Raises:
            DataError: If a number does not fit.
        """
        size = 2 * self.limbs
        for number in units:
            if abs(number).bit_length() > 8 * size:
                raise DataError(
                    f"{number / (1 << -self.unit):g} is too large: federated sums take numbers below "
                    f"2^{self.unit + BITS * self.limbs}."
                )
        raw = b"".join(abs(number).to_bytes(size, "little") for number in units)
        limbs = np.frombuffer(raw, "<u2").astype(np.int64).reshape(len(units), self.limbs)
        signs = np.array([-1 if number < 0 else 1 for number in units], np.int64)
        return limbs * signs[:, None]

    # server half
    def decode(self, total: NDArray[np.int64]) -> list[int]:
        """Return the sums, in steps, from sums of limbs; an array of integers with limbs at its end, flat."""
        rows: list[Any] = total.reshape(-1, self.limbs).tolist()
        return [sum(limb << (BITS * k) for k, limb in enumerate(row)) for row in rows]


COUNT_LIMBS = 2
"""A client's counts are below 2^32."""
SUMS = FixedPoint(unit=-149, limbs=20)
"""Every sum of fewer than 2^42 float32 numbers."""
SQUARES = FixedPoint(unit=-298, limbs=37)
"""Every sum of the squares of fewer than 2^38 float32 numbers."""


# client half
def encode_counts(counts: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the limbs of counts from 0 to 2^32 − 1, int64, shape ``(*counts.shape, COUNT_LIMBS)``."""
    if counts.size and not 0 <= int(counts.min()) <= int(counts.max()) < 1 << (BITS * COUNT_LIMBS):
        raise DataError("a count is 2^32 or more: federated counts take fewer rows of a client.")
    return np.stack([counts & (BOUND - 1), counts >> BITS], axis=-1)


# server half
def decode_counts(total: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the sums of counts from sums of their limbs, without the last axis."""
    return total[..., 0] + (total[..., 1] << BITS)

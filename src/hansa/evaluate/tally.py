"""Averages of metrics through a secure sum: one client's numbers are not seen.

A client's metrics become integers: for each metric the number of rows it was measured on, and that number
times the metric, in steps of 2^-20, cut into digits of 16 bits. Digits add up, whatever is summed.

Leaks:
    With the sums of the digits, the sum of the numbers and how many carries there were between digits, which
    is a few bits about all of the clients together.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hansa.errors import UpdateError
from hansa.types import Metrics

DIGIT = 16
"""Bits of a digit."""
BOUND = 1 << DIGIT
"""Most that a digit's absolute value is."""
OCCASIONS = ("training", "validation")

_STEP = 20
_DIGITS = 4  # so that rows times metric stay below 2^43
_LARGEST = (1 << (DIGIT * _DIGITS - 1)) - 1


@dataclass(frozen=True)
class Tally:
    """Turns metrics into integers, and a sum of such into means.

    Attributes:
        names: The metrics, in order.

    Example:
        >>> tally = Tally(("loss",))
        >>> one = tally.encode({"training": (10, {"loss": 0.5}), "validation": (0, {})})
        >>> other = tally.encode({"training": (30, {"loss": 0.25}), "validation": (0, {})})
        >>> tally.decode(one + other)
        ({'training': {'loss': 0.3125}, 'validation': {}}, 0)
    """

    names: tuple[str, ...]

    @property
    def dimension(self) -> int:
        """Integers of a client."""
        return 2 * _DIGITS * len(self.names) * len(OCCASIONS) + 1

    # client half
    def encode(self, told: Mapping[str, tuple[int, Metrics]], *, clipped: bool = False) -> NDArray[np.int64]:
        """Return a client's integers, shape ``(dimension,)``, each at most `BOUND` in magnitude.

        Args:
            told: Number of rows and metrics, by occasion. A metric that is not finite, or that times its
                rows is 2^43 or more, does not count, nor do its rows.
            clipped: Whether its update was clipped.
        """
        numbers: list[int] = []
        for occasion in OCCASIONS:
            rows, metrics = told.get(occasion, (0, {}))
            for name in self.names:
                value = metrics.get(name, math.nan) * rows
                good = math.isfinite(value) and abs(value) * 2.0**_STEP < _LARGEST
                numbers += [rows, round(value * 2.0**_STEP)] if good else [0, 0]
        digits = [digit for number in numbers for digit in _digits(number)]
        return np.array([*digits, int(clipped)], np.int64)

    # server half
    def decode(self, total: NDArray[Any]) -> tuple[dict[str, dict[str, float]], int]:
        """Return the mean of each metric by occasion, and how many updates were clipped.

        Metrics that nobody measured are left out.

        Raises:
            UpdateError: If the sum cannot be one of such integers.
        """
        if total.shape != (self.dimension,):
            raise UpdateError(f"a sum of metrics has the shape {total.shape}; expected {(self.dimension,)}.")
        numbers = iter(_joined(total[:-1].reshape(-1, _DIGITS)))
        means: dict[str, dict[str, float]] = {}
        for occasion in OCCASIONS:
            pairs = {name: (next(numbers), next(numbers)) for name in self.names}
            if any(rows < 0 for rows, _ in pairs.values()):
                raise UpdateError("a sum of metrics has fewer than 0 rows: a client sent something else.")
            means[occasion] = {n: value / rows / 2.0**_STEP for n, (rows, value) in pairs.items() if rows}
        return means, int(total[-1])


def _digits(number: int) -> list[int]:
    """Return the digits of a number, the least first, all with its sign."""
    sign, rest = (-1 if number < 0 else 1), abs(number)
    return [sign * ((rest >> (DIGIT * k)) & (BOUND - 1)) for k in range(_DIGITS)]


def _joined(digits: NDArray[Any]) -> list[int]:
    return [sum(int(digit) << (DIGIT * k) for k, digit in enumerate(row)) for row in digits]

"""Sums of float32 numbers and of their squares, as whole numbers, without any error."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from hansa.statistics.columns import Table
from hansa.statistics.limbs import SQUARES, SUMS

_EXPONENTS = (
    277  # of float32 numbers m · 2^e with 2^23 ≤ |m| < 2^24, where subnormal ones have zeros at the end
)
_LOWEST = -172
_CELLS = (
    1 << 20
)  # summed at once, so that sums of 24-bit integers are exact in float64, and memory stays small


def exact_sums(table: Table, *, squares: bool) -> tuple[list[int], list[int]]:
    """Return each column's sum of values and of squares in steps of `SUMS` and `SQUARES`; without NaN."""
    sums, sums_of_squares = [0] * table.shape[1], [0] * table.shape[1]
    height = min(len(table), _CELLS) or 1
    width = max(1, _CELLS // height)
    for top in range(0, len(table), height):
        for left in range(0, table.shape[1], width):
            block = table[top : top + height, left : left + width]
            mantissa, exponent = np.frexp(np.where(np.isnan(block), np.float32(0), block))
            whole = mantissa.astype(np.float64) * 2.0**24
            keys = (exponent - 24 - _LOWEST) + _EXPONENTS * np.arange(block.shape[1])
            _add_up(sums, left, keys, whole, power=1, drop=SUMS.unit - _LOWEST)
            if squares:
                high = np.floor(whole * whole * 2.0**-24)
                low = whole * whole - high * 2.0**24
                _add_up(sums_of_squares, left, keys, low, power=2, drop=SQUARES.unit - 2 * _LOWEST)
                _add_up(sums_of_squares, left, keys, high, power=2, drop=SQUARES.unit - 2 * _LOWEST - 24)
    return sums, sums_of_squares


def _add_up(
    sums: list[int], left: int, keys: NDArray[Any], weights: NDArray[np.float64], *, power: int, drop: int
) -> None:
    """Add Σ weight · 2^(power · exponent - drop) to each column's sum; it is a whole number."""
    table = np.bincount(keys.reshape(-1), weights.reshape(-1), minlength=_EXPONENTS * keys.shape[1])
    of = table.reshape(-1, _EXPONENTS)
    for column, row in enumerate(of):
        at = np.flatnonzero(row)
        units = sum(int(row[e]) << (power * int(e)) for e in at)
        sums[left + column] += units >> drop if drop > 0 else units << -drop

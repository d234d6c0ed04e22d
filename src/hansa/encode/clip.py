"""Clipping: the only thing that bounds what one client can add to a sum.

The bound travels with the vector: whoever holds a `Clipped` holds a vector of at most that norm.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from hansa.encode.checks import check_floats, read_only, real_number, settle
from hansa.errors import UpdateError
from hansa.types import FloatVector

SMALLEST_BOUND = 2.0**-126
"""The smallest normal float32: a smaller bound would leave nothing but denormals."""
LARGEST_BOUND = float(np.finfo(np.float32).max)
_BLOCK = 1 << 13


@dataclass(frozen=True, kw_only=True, eq=False)
class Clipped:
    """A vector with a bound on its norm.

    Attributes:
        vector: Float32, shape ``(d,)``, finite.
        bound_l2: At least the Euclidean norm of ``vector``; from ``2**-126`` to the largest float32.

    Raises:
        UpdateError: The vector is malformed, or its norm is above the bound (or so little below it that
            float64 cannot tell).
        ConfigurationError: The bound is out of its range.

    Guarantees:
        The exact norm of the vector, in real numbers, is at most the bound.
    """

    vector: FloatVector
    bound_l2: float

    def __post_init__(self) -> None:
        check_floats(self.vector, "the clipped vector")
        settle(self, bound_l2=check_bound(self.bound_l2))
        square = _sum_of_squares(self.vector)
        if not _fits(square, self.vector.size, self.bound_l2):
            raise UpdateError(
                f"a vector of norm {math.sqrt(square):.9g} was said to be clipped to {self.bound_l2:.9g}. "
                "Make such values with clip()."
            )


def clip(vector: FloatVector, bound_l2: float) -> Clipped:
    """Shorten a vector to a norm; a vector that is short enough stays as it is.

    Args:
        vector: Float32, shape ``(d,)``, finite, any norm: zeros and denormals are fine.
        bound_l2: The largest norm, from ``2**-126`` to the largest float32.

    Returns:
        A copy of the vector, times at most 1, with the bound. It is read-only.

    Raises:
        UpdateError: The vector is no flat float32 array, is empty, or holds NaN or an infinity.
        ConfigurationError: The bound is out of its range.

    Guarantees:
        The exact norm of the result is at most the bound, after all rounding. Clipping again changes
        nothing. No coordinate grows or changes its sign. A vector that is shortened keeps its direction to
        float32 precision, and a norm within ``2**-22`` of the bound (coordinates that become denormal apart).

    Example:
        >>> clip(np.array([3, 4], np.float32), 10.0).vector.tolist()
        [3.0, 4.0]
        >>> clip(np.array([3, 4], np.float32), 2.5).vector.round(5).tolist()
        [1.5, 2.0]
    """
    check_floats(vector, "the update")
    bound = check_bound(bound_l2)
    factor = shortening(_sum_of_squares(vector), vector.size, bound)
    if factor == 1:
        return Clipped(vector=read_only(vector.copy()), bound_l2=bound)
    return Clipped(vector=read_only(_scaled_toward_zero(vector, factor)), bound_l2=bound)


def shortening(square: float, size: int, bound_l2: float) -> float:
    """Return by what to multiply a vector so that its norm is within a bound: 1 where it is.

    For who has a vector's sum of squares and multiplies it where it lies. Let ``u = 2**-53``.

    Args:
        square: The sum of the squares of the vector's float32 values, added up in float64 in any order.
            Squares of float32 are exact there, so that it is off by at most ``1.01 (size - 1) u`` of itself.
            It may have been multiplied by a weight, twice.
        size: Length of the vector.
        bound_l2: The bound, from ``2**-126`` to the largest float32.

    Guarantees:
        The vector times the factor, times the weight, has a norm of at most the bound, in real numbers,
        after each of its values has been rounded in float64: so has its share in a float64 sum. Where the
        factor is 1, what the test leaves, ``(2 size + 16) u`` of the square, is more than those errors,
        ``1.01 size u + 8 u``. Where it is less, ``(4 size + 32) u`` of the norm are taken off, and square,
        root, quotient and products may be wrong by ``size u + 8 u``. Nothing overflows, nor does what matters
        underflow: a float32 is from ``2**-149`` to ``2**128``, so that squares and factors are normal
        float64; a weight that makes the square vanish makes the vector shorter than any bound.

    Raises:
        ConfigurationError: The bound is out of its range.

    Example:
        >>> shortening(25.0, 2, 10.0), round(shortening(25.0, 2, 2.5), 12)
        (1, 0.5)
    """
    bound = check_bound(bound_l2)
    if _fits(square, size, bound):
        return 1
    # Twice the margin of `_fits` is taken off, so that the result fits for certain; see there.
    return bound / math.sqrt(square) * (1 - 2 * _margin(size))


def check_bound(bound_l2: Any) -> float:
    """Return a norm to clip to as a float.

    Raises:
        ConfigurationError: It is not a number from ``2**-126`` to the largest float32.
    """
    return real_number("the norm to clip to", bound_l2, low=SMALLEST_BOUND, high=LARGEST_BOUND)


def _sum_of_squares(vector: FloatVector) -> float:
    # The square of a float32 is exact in float64 (48 bits, and no exponent that overflows or underflows).
    # Not a dot product, which would start the threads of a BLAS.
    return float(np.add.reduce(np.square(vector, dtype=np.float64)))


def _margin(size: int) -> float:
    """Return a bound on the relative error of a sum of ``size`` squares, with room for a few roundings more.

    Adding n numbers that are not negative, in any order, has a relative error below
    1.01 · (n - 1) · 2**-53 (Higham 2002, Accuracy and Stability of Numerical Algorithms, section 4.2).
    This is about twice that.
    """
    return (size + 8) * 2.0**-52


def _fits(square: float, size: int, bound: float) -> bool:
    # The left side is above the true sum, the right one at most one rounding above the true square, and the
    # margin pays for that rounding too.
    return square * (1 + _margin(size)) <= bound * bound


def _scaled_toward_zero(vector: FloatVector, factor: float) -> FloatVector:
    """Return the vector times a factor below 1, each product rounded toward zero.

    So the exact norm is at most that of the products, of which each has one rounding of float64.
    """
    result = np.empty(len(vector), np.float32)
    exact, rounded = np.empty((2, _BLOCK), np.float64)
    for start in range(0, len(vector), _BLOCK):
        part = result[start : start + _BLOCK]
        product, near = exact[: len(part)], rounded[: len(part)]
        np.multiply(vector[start : start + _BLOCK], factor, out=product, dtype=np.float64)
        part[...] = product
        near[...] = part
        grew = np.abs(near, out=near) > np.abs(product, out=product)
        part.view(np.uint32)[...] -= grew  # one step toward zero: the bits of a magnitude are in its order
    return result

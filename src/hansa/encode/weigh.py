"""Weighted sums of integers: a client sends its update times its weight, and the weight beside it.

Sums of ``y = (w·u, w)`` are ``(Σ w u, Σ w)``, so that the mean comes from the sum alone and nobody learns one
client's weight. What bounds a client is ``‖w u‖ <= C·w`` with its own w, not ``w_max·C``: a client of weight
nearly 0 could otherwise push with an update of full size.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hansa.encode.checks import IntegerVector, check_integers, power_of_two, read_only, settle, whole_number
from hansa.encode.grid import LARGEST_NORM
from hansa.encode.integers import check_total
from hansa.encode.quantise import Quantised, decode
from hansa.errors import ConfigurationError, UpdateError

LARGEST_WEIGHTED = 2**62
"""Bound on weighted magnitudes, so that int64 holds them."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Weighted:
    """One client's integers times its weight, and its weight.

    Attributes:
        vector: ``(w·u_1, …, w·u_d, w)``, int64, shape ``(d + 1,)``.
        unit_l2: Bound C on the norm of u.
        unit_each: Bound on the magnitude of each coordinate of u.
        max_weight: Bound on w, 1 or more.
        scale: Length of a step of u, a power of two.

    Raises:
        UpdateError: The vector is malformed or beyond a bound.
        ConfigurationError: A bound is out of its range, or together they are more than int64 holds.

    Guarantees:
        In exact integers: ``0 <= w <= max_weight``, ``Σ (w u_j)² <= C² w²``, ``|w u_j| <= unit_each · w``, so
        a weight of 0 has zeros beside it; and the whole vector is within `bound_l2` and `bound_each`.
    """

    vector: IntegerVector
    unit_l2: int
    unit_each: int
    max_weight: int
    scale: float

    def __post_init__(self) -> None:
        check_integers(self.vector, "the weighted vector")
        settle(
            self,
            unit_l2=whole_number("unit_l2", self.unit_l2, low=0, high=LARGEST_NORM),
            unit_each=whole_number("unit_each", self.unit_each, low=0, high=LARGEST_NORM),
            max_weight=whole_number("max_weight", self.max_weight),
            scale=power_of_two("scale", self.scale),
        )
        check_weighted_total(
            self.vector, 1, unit_l2=self.unit_l2, unit_each=self.unit_each, max_weight=self.max_weight
        )

    @property
    def bound_l2(self) -> int:
        """Bound on the norm of the whole vector: ``⌈w_max · √(C² + 1)⌉``."""
        square = self.max_weight**2 * (self.unit_l2**2 + 1)
        root = math.isqrt(square)
        return root if root * root == square else root + 1

    @property
    def bound_each(self) -> int:
        """Bound on the magnitude of each coordinate, the weight included."""
        return self.max_weight * max(1, self.unit_each)


def weigh(quantised: Quantised, weight: int, *, max_weight: int) -> Weighted:
    """Multiply a client's integers by its weight and put the weight beside them.

    Args:
        quantised: The integers.
        weight: The client's weight, an integer from 0 to ``max_weight`` (its number of examples, capped).
        max_weight: The largest weight that any client may have, part of the run's configuration.

    Raises:
        UpdateError: The weight is not an integer of the range.
        ConfigurationError: ``max_weight`` times the bounds is more than int64 holds.

    Guarantees:
        The last coordinate is the weight, the others are the exact products.

    Example:
        >>> unit = Quantised(vector=np.array([2, -1]), bound_l2=3, bound_each=2, scale=0.5)
        >>> weigh(unit, 10, max_weight=100).vector.tolist()
        [20, -10, 10]
    """
    max_weight = _check_units(quantised.bound_l2, quantised.bound_each, max_weight)
    if isinstance(weight, (bool, np.bool_)) or not isinstance(weight, (int, np.integer)):
        raise UpdateError(
            f"the weight {weight!r} is a {type(weight).__name__}; weights of an integer sum are integers. "
            "Round it, for example with int(weight)."
        )
    if not 0 <= weight <= max_weight:
        raise UpdateError(
            f"the weight {weight} is out of range; weights are from 0 to {max_weight} in this run. "
            "Cap it with min(weight, max_weight)."
        )
    vector = np.empty(quantised.vector.size + 1, np.int64)
    np.multiply(quantised.vector, int(weight), out=vector[:-1])
    vector[-1] = weight
    return Weighted(
        vector=read_only(vector),
        unit_l2=quantised.bound_l2,
        unit_each=quantised.bound_each,
        max_weight=max_weight,
        scale=quantised.scale,
    )


def check_weighted_total(
    total: Any, count: int, *, unit_l2: int, unit_each: int, max_weight: int
) -> IntegerVector:
    """Check that a sum can be the sum of so many weighted vectors within their bounds.

    Args:
        total: ``(Σ w u, Σ w)``, int64, shape ``(d + 1,)``.
        count: Number of vectors in it, 0 or more.
        unit_l2: Bound C on the norm of each u.
        unit_each: Bound on the magnitude of each coordinate of each u.
        max_weight: Bound on each weight.

    Returns:
        The sum.

    Raises:
        UpdateError: It is malformed or beyond a bound.
        ConfigurationError: A bound is out of its range, or ``count`` vectors can be more than int64 holds.

    Guarantees:
        Decided in exact integers: ``0 <= Σw <= count · max_weight``, ``‖Σ w u‖ <= C · Σw`` and
        ``|Σ w u_j| <= unit_each · Σw``, which the triangle inequality gives for honest clients.

    Example:
        >>> check_weighted_total(np.array([20, -10, 10]), 1, unit_l2=3, unit_each=2, max_weight=100)[-1]
        np.int64(10)
    """
    check_integers(total, "the weighted sum")
    if total.size < 2:
        raise UpdateError("a weighted sum has a weight after its coordinates; this has 1 number only.")
    max_weight = _check_units(unit_l2, unit_each, max_weight)
    count = whole_number("count", count, low=0)
    if count * max_weight * max(1, unit_each) >= LARGEST_WEIGHTED:
        raise ConfigurationError(
            f"{count} clients of weights up to {max_weight} and coordinates up to {unit_each} sum to "
            f"{count * max_weight * max(1, unit_each)}, more than 2**62. Take a smaller "
            "max_weight or fewer bits."
        )
    weight = int(total[-1])
    if not 0 <= weight <= count * max_weight:
        raise UpdateError(
            f"the weights of {count} clients sum to {weight}; each is from 0 to {max_weight}, so that "
            f"the sum is from 0 to {count * max_weight}. It is not the sum of honest weights: the "
            "round is void."
        )
    # A vector of weight w is w vectors of weight 1 for every bound, so the unweighted check says it all.
    check_total(total[:-1], weight, bound_l2=unit_l2, bound_each=unit_each)
    return total


def decode_weighted(total: IntegerVector, scale: float) -> tuple[NDArray[np.float64], int]:
    """Return the weighted mean of a sum of weighted vectors, and the sum of their weights.

    Args:
        total: ``(Σ w u, Σ w)``, int64, shape ``(d + 1,)``. Check it first with `check_weighted_total`.
        scale: The grid's scale, a power of two.

    Returns:
        The mean ``scale · Σ w u / Σ w``, float64, shape ``(d,)``, and ``Σ w``.

    Raises:
        UpdateError: The total is malformed, or its weight is not above 0: there is nothing to average.
        ConfigurationError: The scale is no power of two.

    Guarantees:
        Those of `hansa.encode.quantise.decode`.

    Example:
        >>> mean, weight = decode_weighted(np.array([20, -10, 10]), 0.5)
        >>> mean.tolist(), weight
        ([1.0, -0.5], 10)
    """
    check_integers(total, "the weighted sum")
    if total.size < 2:
        raise UpdateError("a weighted sum has a weight after its coordinates; this has 1 number only.")
    weight = int(total[-1])
    if not 0 <= weight <= LARGEST_NORM:
        raise UpdateError(
            f"the weights of the sum are {weight} together; expected 0 to 2**53. It is not the sum of honest "
            "weights: the round is void."
        )
    return decode(total[:-1], scale, weight), weight


def _check_units(unit_l2: Any, unit_each: Any, max_weight: Any) -> int:
    unit_l2 = whole_number("unit_l2", unit_l2, low=0, high=LARGEST_NORM)
    unit_each = whole_number("unit_each", unit_each, low=0, high=LARGEST_NORM)
    max_weight = whole_number("max_weight", max_weight)
    if max_weight * max(1, unit_l2, unit_each) >= LARGEST_WEIGHTED:
        raise ConfigurationError(
            f"weights up to {max_weight} times a bound of {max(1, unit_l2, unit_each)} are "
            f"{max_weight * max(1, unit_l2, unit_each)}, not below 2**62. Take a smaller max_weight or a "
            "coarser scale."
        )
    return max_weight

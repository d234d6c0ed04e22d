"""From floats to integers and back: stochastic rounding on a grid, and the decoding of a sum.

Before `quantise` all is floats, after `decode` again; between them integers are exact.

Source:
    Kairouz, Liu, Steinke 2021, The Distributed Discrete Gaussian Mechanism for Federated Learning with Secure
    Aggregation (arXiv 2102.06387), section 4 on conditional randomised rounding, and algorithm 1.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hansa.encode.checks import IntegerVector, check_integers, power_of_two, read_only, settle, whole_number
from hansa.encode.clip import Clipped
from hansa.encode.grid import LARGEST_NORM, Grid
from hansa.encode.integers import largest_each, square_norm
from hansa.encode.randomness import Randomness, coins
from hansa.errors import UpdateError

DRAWS = 64
"""Draws of a rounding before it falls back to rounding toward zero."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Quantised:
    """One client's integers, with the bounds that hold for them.

    Attributes:
        vector: Int64, shape ``(d,)``.
        bound_l2: At least the norm, from 0 to ``2**53``.
        bound_each: At least the magnitude of each coordinate, from 0 to ``2**53``.
        scale: Length of a step, a power of two: the update is about ``scale · vector``.
        saturated: How many coordinates were cut to ``bound_each``. The client's own to know: it is
            not covered by what hides the update.

    Raises:
        UpdateError: The vector is malformed or beyond a bound.
        ConfigurationError: A bound or the scale is out of its range.

    Guarantees:
        ``‖vector‖² <= bound_l2²`` and ``|vector_j| <= bound_each``, in exact integers.
    """

    vector: IntegerVector
    bound_l2: int
    bound_each: int
    scale: float
    saturated: int = 0

    def __post_init__(self) -> None:
        check_integers(self.vector, "the quantised vector")
        norm = whole_number("bound_l2", self.bound_l2, low=0, high=LARGEST_NORM)
        each = whole_number("bound_each", self.bound_each, low=0, high=LARGEST_NORM)
        saturated = whole_number("saturated", self.saturated, low=0, high=self.vector.size)
        scale = power_of_two("scale", self.scale)
        settle(self, bound_l2=norm, bound_each=each, scale=scale, saturated=saturated)
        if largest_each(self.vector) > each:
            raise UpdateError(
                f"a quantised vector has a coordinate of magnitude {largest_each(self.vector)}, beyond its "
                f"bound of {each}. Make such values with quantise()."
            )
        if square_norm(self.vector) > norm * norm:
            raise UpdateError(
                f"a quantised vector has a squared norm of {square_norm(self.vector)}, beyond its bound of "
                f"{norm}² = {norm * norm}. Make such values with quantise()."
            )


def quantise(clipped: Clipped, grid: Grid, *, randomness: Randomness) -> Quantised:
    """Round a clipped update to the integers of a grid, up or down at random.

    A coordinate y = x / scale becomes ⌊y⌋ or ⌊y⌋ + 1, with a chance that makes the mean y. A draw that is
    longer than ``grid.bound_l2`` is drawn again as a whole, at most `DRAWS` times; then all coordinates are
    rounded toward zero, which always fits, because that shortens a vector of norm at most c / scale.

    Args:
        clipped: The update, clipped to the grid's norm or less, of the grid's size.
        grid: The grid.
        randomness: **Where privacy or secrecy matters, `hansa.encode.randomness.system_source`**, or another
            cryptographically secure function from a size to bytes; a draw takes about one byte a
            coordinate. A `numpy.random.Generator` is for simulation and tests: who knows its seed knows more
            of the update than the integers say.

    Returns:
        The integers with their bounds; read-only.

    Raises:
        UpdateError: The update has another size than the grid, or was clipped to more than it.
        ConfigurationError: The randomness is of no use.

    Assumes:
        That an observer does not measure time: another draw takes longer. Its chance is at most
        ``2**-redraw_bits``.

    Guarantees:
        ``‖x‖² <= bound_l2²`` and ``|x_j| <= bound_each`` hold exactly. Without saturation each coordinate is
        less than one step from y, integers stay as they are, no coordinate changes its sign; and the mean
        over draws is y to ``2**-61`` steps, apart from what redrawing changes (at most
        ``2**-redraw_bits`` of draws are affected). The same randomness gives the same integers on
        any machine.

    Example:
        >>> from hansa.encode.clip import clip
        >>> grid = Grid(clip_l2=4.0, scale=0.5, size=3)
        >>> update = clip(np.array([1.0, -0.5, 0.3], np.float32), 4.0)
        >>> quantise(update, grid, randomness=np.random.default_rng(0)).vector.tolist()
        [2, -1, 0]
    """
    vector = clipped.vector
    if vector.size != grid.size:
        raise UpdateError(f"an update of {vector.size} coordinates does not fit a grid of size {grid.size}.")
    if clipped.bound_l2 > grid.clip_l2:
        raise UpdateError(
            f"an update clipped to {clipped.bound_l2:g} was given to a grid for updates clipped to "
            f"{grid.clip_l2:g}. Clip it to the grid's clip_l2."
        )
    # Exact: float32 has 24 bits of 53, and a power of two changes the exponent only.
    steps = np.abs(vector.astype(np.float64)) / grid.scale
    saturated = int(np.count_nonzero(steps > grid.bound_each))
    np.minimum(steps, grid.bound_each, out=steps)
    whole = np.floor(steps)
    integers = _draw(whole, steps - whole, grid.bound_l2, randomness)
    np.negative(integers, out=integers, where=vector < 0)
    return Quantised(
        vector=read_only(integers),
        bound_l2=grid.bound_l2,
        bound_each=grid.bound_each,
        scale=grid.scale,
        saturated=saturated,
    )


def decode(total: IntegerVector, scale: float, weight: int = 1) -> NDArray[np.float64]:
    """Turn a sum of integer vectors back into floats: their sum, or their mean.

    Args:
        total: The sum, int64, shape ``(d,)``. Check it first with `hansa.encode.integers.check_total`.
        scale: The grid's scale, a power of two.
        weight: What to divide by, from 1 to ``2**53``: 1 gives the sum, the number of clients their mean.

    Returns:
        ``total · scale / weight``, float64, shape ``(d,)``.

    Raises:
        UpdateError: The total is malformed, or the weight is 0: there is nothing to average.
        ConfigurationError: The scale or the weight is out of its range.

    Guarantees:
        With magnitudes of at most ``2**53`` the sum is exact and the mean is the float64 nearest to the
        exact one; beyond, there is one rounding more.

    Example:
        >>> decode(np.array([6, -3]), 0.5, 3).tolist()
        [1.0, -0.5]
    """
    check_integers(total, "the sum")
    scale = power_of_two("scale", scale)
    weight = whole_number("weight", weight, low=0, high=2**53)
    if weight == 0:
        raise UpdateError(
            "the weights of the sum are 0 together: there is nothing to average; the round is void."
        )
    return total.astype(np.float64) / float(weight) * scale


def _draw(
    whole: NDArray[np.float64], fraction: NDArray[np.float64], bound_l2: int, randomness: Randomness
) -> IntegerVector:
    """Return magnitudes, rounded up or down with these chances, of at most this norm."""
    base = whole.astype(np.int64)
    for _ in range(DRAWS):
        drawn = base + coins(randomness, fraction)
        if square_norm(drawn) <= bound_l2 * bound_l2:
            return drawn
    return base

"""The grid on which updates become integers, and the bounds that follow from it.

A vector x of norm at most c becomes x / scale, rounded up or down at random. Rounding lengthens it, so the
integer vector has a larger bound. With a = c / scale, d coordinates and a chance β = 2**-redraw_bits::

    B = ⌈ min( a + √d,  √( a² + d/4 + √(2 ln(1/β)) · (a + √d/2) ) ) ⌉

The first holds always (no coordinate moves by a whole step); the second but with chance β in a draw, which is
then drawn again. Both are computed in exact fractions, rounded up: two machines never disagree on B.

Source:
    Kairouz, Liu, Steinke 2021, The Distributed Discrete Gaussian Mechanism for Federated Learning with Secure
    Aggregation (arXiv 2102.06387), section 4 on conditional randomised rounding, and algorithm 1. Their
    granularity γ is our ``scale``. Where a paper has a multiplier s, it is 1 / scale.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property
from typing import Any

from hansa.encode.checks import power_of_two, settle, whole_number
from hansa.encode.clip import check_bound
from hansa.errors import ConfigurationError

LARGEST_NORM = 2**53
"""Bound on integer norms: what float64 counts exactly, so that rounding starts from exact numbers."""
_LN2 = Fraction(math.nextafter(math.log(2), 1))  # just above ln 2


@dataclass(frozen=True, kw_only=True)
class Grid:
    """How updates become integers.

    Attributes:
        clip_l2: Norm that updates are clipped to; see `hansa.encode.clip.check_bound` for its range.
        scale: Length of a step, a power of two: an update is ``scale`` times its integers, about.
        size: Number of coordinates d, that is after rotation and padding.
        bits: Bits for one client's coordinate: magnitudes are at most ``2**(bits - 1)``. None lets the
            clip alone bound them.
        saturate: Whether coordinates beyond the bits are cut to them, which shortens such an update (and
            so biases the mean). Without it, a grid on which they could occur is refused.
        redraw_bits: A rounding is drawn again with chance at most ``2**-redraw_bits``, from 1 to 256. The
            bias is of the order of that chance; the norm bound hardly depends on it.

    Raises:
        ConfigurationError: A setting is out of its range, or coordinates do not fit the bits.

    Guarantees:
        `hansa.encode.quantise.quantise` on this grid never exceeds `bound_l2` and `bound_each`. Grids that
        are equal have equal bounds on every machine.

    Example:
        >>> grid = Grid(clip_l2=1.0, scale=2.0**-10, size=10_000)
        >>> grid.bound_l2, grid.bound_each
        (1030, 1024)
    """

    clip_l2: float
    scale: float
    size: int
    bits: int | None = None
    saturate: bool = False
    redraw_bits: int = 40

    def __post_init__(self) -> None:
        settle(
            self,
            clip_l2=check_bound(self.clip_l2),
            scale=power_of_two("scale", self.scale),
            size=whole_number("size", self.size, high=2**32 - 1),
            bits=None if self.bits is None else whole_number("bits", self.bits, high=54),
            redraw_bits=whole_number("redraw_bits", self.redraw_bits, high=256),
        )
        if not isinstance(self.saturate, bool):
            raise ConfigurationError(f"saturate must be True or False, got {self.saturate!r}.")
        if self.bound_l2 > LARGEST_NORM:
            raise ConfigurationError(
                f"a norm of {self.clip_l2:g} is {float(self._reach):g} steps of {self.scale:g}, so that "
                f"integers have a norm of up to {self.bound_l2}; at most 2**53 is exact. Take a larger scale."
            )
        if self.saturate and self.bits is None:
            raise ConfigurationError("saturate=True needs bits, to which coordinates are cut. Give bits=16.")
        if self.bits is not None and not self.saturate and math.ceil(self._reach) > 2 ** (self.bits - 1):
            raise ConfigurationError(
                f"{self.bits} bits hold coordinates up to {2 ** (self.bits - 1)}, but an update clipped to "
                f"{self.clip_l2:g} can have one of {math.ceil(self._reach)} steps of {self.scale:g}. Take "
                "more bits or a larger scale; or rotate updates, so that such are rare, with saturate=True."
            )

    @classmethod
    def fitting(
        cls,
        clip_l2: float,
        size: int,
        *,
        bound_l2: int = 2**24,
        bits: int | None = None,
        saturate: bool = False,
        redraw_bits: int = 40,
    ) -> Grid:
        """Return the finest grid with integer norms of at most ``bound_l2``, and coordinates within the bits.

        Args:
            clip_l2: Norm that updates are clipped to.
            size: Number of coordinates.
            bound_l2: Largest integer norm, from 1 to ``2**53``. The proofs of the sealed sum take 2**26.
            bits: See `Grid`.
            saturate: See `Grid`. If True, the bits do not make the grid coarser.
            redraw_bits: See `Grid`.

        Raises:
            ConfigurationError: A setting is out of its range, or no grid of use fits: rounding alone
                adds up to √d/2 to a norm, so that the clip would be less than one step.

        Guarantees:
            The grid with half the scale does not fit.

        Example:
            >>> grid = Grid.fitting(1.0, 1_000_000, bound_l2=2**24)
            >>> grid.scale == 2.0**-23, grid.bound_l2
            (True, 8388612)
        """
        clip_l2, size = check_bound(clip_l2), whole_number("size", size, high=2**32 - 1)
        most = whole_number("bound_l2", bound_l2, high=LARGEST_NORM)
        redraw_bits = whole_number("redraw_bits", redraw_bits, high=256)
        each = most if bits is None or saturate else 2 ** (whole_number("bits", bits, high=54) - 1)
        top = Fraction(clip_l2)
        for exponent in range(max(-100, math.frexp(clip_l2 / most)[1] - 1), 101):
            reach = top / Fraction(2) ** exponent
            if reach < 1:
                break
            if rounded_bound(reach, size, redraw_bits) <= most and math.ceil(reach) <= each:
                return cls(
                    clip_l2=clip_l2,
                    scale=2.0**exponent,
                    size=size,
                    bits=bits,
                    saturate=saturate,
                    redraw_bits=redraw_bits,
                )
        raise ConfigurationError(
            f"no grid with a scale from 2**-100 to 2**100 keeps {size} coordinates clipped to {clip_l2:g} "
            f"within an integer norm of {most}{f' and {bits} bits' if bits is not None else ''} in steps of "
            f"at most the clip: rounding alone can reach {rounded_bound(Fraction(1), size, redraw_bits)}. "
            "Take a larger bound or more bits, or a clip of another magnitude."
        )

    @cached_property
    def bound_l2(self) -> int:
        """The integer B, a bound on the norm of one client's integers."""
        return rounded_bound(self._reach, self.size, self.redraw_bits)

    @cached_property
    def bound_each(self) -> int:
        """Bound on the magnitude of each of one client's integers."""
        each = math.ceil(self._reach)
        return each if self.bits is None else min(each, 2 ** (self.bits - 1))

    def describe(self) -> dict[str, Any]:
        """Return the settings and the bounds that follow, for the run's configuration."""
        return {
            "kind": "grid",
            "clip_l2": self.clip_l2,
            "scale": self.scale,
            "size": self.size,
            "bits": self.bits,
            "saturate": self.saturate,
            "redraw_bits": self.redraw_bits,
            "bound_l2": self.bound_l2,
            "bound_each": self.bound_each,
        }

    @cached_property
    def _reach(self) -> Fraction:
        return Fraction(self.clip_l2) / Fraction(self.scale)


def rounded_bound(reach: Fraction, size: int, redraw_bits: int) -> int:
    """Return B of this file's formula, in exact fractions and rounded up.

    Args:
        reach: The clip in steps, a = c / scale.
        size: Number of coordinates d.
        redraw_bits: Minus the binary logarithm of β.

    Example:
        >>> rounded_bound(Fraction(100), 4, 40)  # a + √d
        102
    """
    root = _root_above(Fraction(size))
    tail = _root_above(2 * redraw_bits * _LN2)
    likely = _root_above(reach * reach + Fraction(size, 4) + tail * (reach + root / 2))
    return math.ceil(min(reach + root, likely))


def _root_above(value: Fraction) -> Fraction:
    """Return a fraction at or just above the square root: exact where the root is a multiple of 2**-32."""
    scaled = math.ceil(value * 4**32)
    root = math.isqrt(scaled)
    return Fraction(root if root * root == scaled else root + 1, 2**32)

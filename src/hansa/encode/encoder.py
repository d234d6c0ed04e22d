"""The whole line of this stage for one run: what `Quantise` declares, and both halves of it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hansa.encode.checks import IntegerVector, real_number, whole_number
from hansa.encode.clip import LARGEST_BOUND, SMALLEST_BOUND, clip
from hansa.encode.grid import Grid
from hansa.encode.integers import check_total
from hansa.encode.quantise import decode, quantise
from hansa.encode.randomness import Randomness
from hansa.encode.rotate import Rotation, rotate, unrotate
from hansa.encode.weigh import check_weighted_total, decode_weighted, weigh
from hansa.errors import ConfigurationError
from hansa.types import FloatVector


@dataclass(frozen=True, kw_only=True)
class Quantise:
    """Updates become integers, as secure sums need them: clipped to a norm, and rounded at random.

    Attributes:
        clip: Norm that an update is shortened to where it is longer. Choose it above the usual norm of
            updates: the run's record counts how many were clipped.
        bound: Largest norm of an update in steps of the grid, from 1 to ``2**53``: the finest grid that
            keeps it is taken. Fewer steps make seals and masks smaller, where they fit.
        bits: Bits for each coordinate; larger ones are cut, which is rare with ``rotate``. None does not cut.
        rotate: Whether updates are rotated first, which spreads them evenly over all coordinates.
        max_weight: Largest weight of a client, where updates are weighed by examples: clients with more
            count as so many. None takes the largest number of training rows of any client.

    Raises:
        ConfigurationError: If a setting is out of its range.

    Example:
        >>> Quantise(clip=10.0).encoder(size=1000, weighs=False).grid.scale == 2.0**-20
        True
    """

    clip: float = 32.0
    bound: int = 2**24
    bits: int | None = None
    rotate: bool = False
    max_weight: int | None = None

    def __post_init__(self) -> None:
        real_number("clip", self.clip, low=SMALLEST_BOUND, high=LARGEST_BOUND)
        whole_number("bound", self.bound, high=2**53)
        if self.bits is not None:
            whole_number("bits", self.bits, low=2, high=54)
        if not isinstance(self.rotate, bool):
            raise ConfigurationError(f"rotate must be True or False, got {self.rotate!r}.")
        if self.max_weight is not None:
            whole_number("max_weight", self.max_weight)

    def encoder(self, *, size: int, weighs: bool, proven: bool = False) -> Encoder:
        """Return both halves for updates of a size.

        Args:
            size: Number of scalars of an update.
            weighs: Whether updates are weighed; then ``max_weight`` must be known.
            proven: Whether clients prove the norms of what they send.
        """
        if weighs and self.max_weight is None:
            raise ConfigurationError(
                "updates that are weighed need max_weight, the largest weight of a client."
            )
        rotated = Rotation(size=size, seed=bytes(16)).padded if self.rotate else size
        grid = Grid.fitting(
            self.clip, rotated, bound_l2=self.bound, bits=self.bits, saturate=self.bits is not None
        )
        weight = self.max_weight if weighs else None
        return Encoder(size=size, grid=grid, rotates=self.rotate, max_weight=weight, proven=proven)


@dataclass(frozen=True, kw_only=True)
class Encoder:
    """Rotate, clip, quantise and weigh an update; and decode a sum of such.

    Attributes:
        size: Number of scalars of an update.
        grid: The grid of its integers.
        rotates: Whether updates are rotated.
        max_weight: Largest weight, or None where updates are not weighed.
        proven: Whether clients prove the norms of what they send. Then a sum is checked for what proofs leave
            a corrupt client, and for no more: it could make rounds void, and none would know who did.
    """

    size: int
    grid: Grid
    rotates: bool
    max_weight: int | None
    proven: bool = False

    @property
    def dimension(self) -> int:
        """Integers that a client sends: one for each coordinate, and its weight where there are weights."""
        return self.grid.size + (self.max_weight is not None)

    @cached_property
    def bound(self) -> int:
        """Largest magnitude of one of them."""
        return self._each * (self.max_weight or 1)

    @property
    def _each(self) -> int:
        return self.grid.bound_l2 if self.proven else self.grid.bound_each

    def describe(self) -> dict[str, Any]:
        """Return grid, rotation and largest weight, for the run's configuration."""
        return {**self.grid.describe(), "rotate": self.rotates, "max_weight": self.max_weight}

    # client half
    def encode(
        self, vector: FloatVector, weight: float, *, seed: bytes, randomness: Randomness
    ) -> tuple[IntegerVector, bool]:
        """Return the integers that stand for an update, and whether it was clipped.

        Args:
            vector: The update, float32, finite, shape ``(size,)``.
            weight: Its weight, a whole number; what is above ``max_weight`` counts as that.
            seed: Of the round's rotation, 32 bytes, public.
            randomness: Of the rounding (`hansa.encode.quantise.quantise`).

        Raises:
            UpdateError: If the update is not what this encoder is for.
        """
        rotated = rotate(vector, self._rotation(seed)) if self.rotates else vector
        clipped = clip(rotated, self.grid.clip_l2)
        was_clipped = not np.array_equal(clipped.vector, rotated)
        integers = quantise(clipped, self.grid, randomness=randomness)
        if self.max_weight is None:
            return integers.vector, was_clipped
        capped = min(int(weight), self.max_weight)
        return weigh(integers, capped, max_weight=self.max_weight).vector, was_clipped

    # server half
    def check(self, total: IntegerVector, count: int) -> None:
        """Raise `UpdateError` if a sum cannot be that of so many bounded updates."""
        norm, each = self.grid.bound_l2, self._each
        if self.max_weight is None:
            check_total(total, count, bound_l2=norm, bound_each=each)
        else:
            check_weighted_total(total, count, unit_l2=norm, unit_each=each, max_weight=self.max_weight)

    def mean(self, total: IntegerVector, count: int, *, seed: bytes) -> NDArray[np.float64]:
        """Return the mean of the updates in a sum.

        Args:
            total: Sum of what clients sent, int64, shape ``(dimension,)``.
            count: How many clients are in it.
            seed: Of the round's rotation.

        Raises:
            UpdateError: If it cannot be the sum of so many bounded updates.
        """
        self.check(total, count)
        if self.max_weight is None:
            return self.decoded(total, count, seed=seed)
        return self._turned(decode_weighted(total, self.grid.scale)[0], seed)

    def decoded(self, total: IntegerVector, divisor: float, *, seed: bytes) -> NDArray[np.float64]:
        """Return a sum of updates that are not weighed as floats, divided by a number, unchecked."""
        return self._turned(decode(total, self.grid.scale) / divisor, seed)

    def _turned(self, mean: NDArray[np.float64], seed: bytes) -> NDArray[np.float64]:
        return unrotate(mean, self._rotation(seed)) if self.rotates else mean

    def _rotation(self, seed: bytes) -> Rotation:
        return Rotation(size=self.size, seed=seed)

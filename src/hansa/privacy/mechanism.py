"""Noise for statistics: how much, of which law, and what it is charged as."""

from __future__ import annotations

import math
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache
from typing import TYPE_CHECKING, Any, final

import numpy as np
from numpy.typing import NDArray

from hansa.errors import ConfigurationError
from hansa.privacy import calibrate
from hansa.privacy.budget import check_unit, is_real, is_whole, relation
from hansa.privacy.events import DiscreteLaplace, Event, Gaussian
from hansa.privacy.terms import Neighbours

if TYPE_CHECKING:
    from hansa.privacy.noise import Source


@final
@dataclass(frozen=True, kw_only=True)
class Noise:
    """Noise on whole numbers that depend on records: Laplace's for a delta of 0, else Gaussian.

    The noise grows with the *sensitivity*, the most that one record can move a number, and with
    ``1 / epsilon``: Laplace's scale is ``sensitivity / epsilon``. Tutorials that draw
    ``laplace(scale=epsilon / delta)`` have it upside down: there a stricter epsilon brings less noise, a sum
    of incomes gets as little as a count of people, and delta has no part in Laplace noise at all.

    Attributes:
        epsilon: The privacy loss of one release, above 0: of all its columns and cells together.
        delta: The chance with which the loss may be larger, from 0 to below 1. Take 0, or well below one over
            the number of records.
        protects: ``"record"``: one row of one client.
        neighbours: ``"add/remove"`` (a row is there or not), ``"zero-out"`` (it counts or not; how many rows
            there are is known) or ``"replace"`` (it is any other row; likewise).
        seed: For simulations that are to be repeated bit for bit: who knows it takes the noise off again.
            None takes the operating system's generator.

    Raises:
        ConfigurationError: A value is out of range.

    Guarantees:
        Whole numbers that a record moves by at most the stated sensitivity, with this noise, are
        (epsilon, delta)-DP, exactly: floating point has no part in it. Its deviation falls as epsilon grows.

    Source:
        Dwork and Roth 2014, The algorithmic foundations of differential privacy, theorem 3.6; Ghosh,
        Roughgarden and Sundararajan 2012, Universally utility-maximizing privacy mechanisms, for whole
        numbers; Balle and Wang 2018, theorem 8, for Gaussian noise.

    Example:
        >>> [round(Noise(epsilon=0.5, delta=delta).deviation(1), 2) for delta in (0, 1e-6)]
        [2.8, 8.06]
        >>> round(Noise(epsilon=5.0).deviation(1), 2)
        0.12
    """

    epsilon: float
    delta: float = 0.0
    protects: str = "record"
    neighbours: Neighbours = "add/remove"
    seed: int | None = None

    def __post_init__(self) -> None:
        if not is_real(self.epsilon) or not 0 < self.epsilon < math.inf:
            raise ConfigurationError(
                f"Noise.epsilon must be a finite number above 0, got {self.epsilon!r}. For exact results "
                "leave privacy out."
            )
        if not is_real(self.delta) or not 0 <= self.delta < 1:
            raise ConfigurationError(
                f"Noise.delta must be 0 (Laplace noise) or above, and below 1, got {self.delta!r}."
            )
        check_unit(self.protects, ("record",))
        relation(self.neighbours)
        if self.seed is not None and (not is_whole(self.seed) or not 0 <= self.seed < 1 << 256):
            raise ConfigurationError(
                f"Noise.seed must be None or a whole number from 0 on, got {self.seed!r}."
            )

    @property
    def law(self) -> str:
        """Which noise it is: ``"Laplace"`` or ``"Gaussian"``."""
        return "Gaussian" if self.delta else "Laplace"

    @property
    def event(self) -> Event:
        """What one release is charged as. Events are stated for *zero-out*: replace costs twice as much."""
        doubled = 2 if self.neighbours == "replace" else 1
        if self.delta:
            return Gaussian(noise_multiplier=doubled * self._sigma)
        return DiscreteLaplace(epsilon=self.epsilon / doubled)

    def scale(self, sensitivity: int, parts: int = 1) -> Fraction:
        """Return Laplace's scale, or the Gaussian's standard deviation, exactly.

        Args:
            sensitivity: The most that a record moves the numbers of a part, summed over these (L1).
            parts: Groups of numbers that are released together; one record may move all.
        """
        if self.delta:
            return Fraction(sensitivity) * Fraction(math.sqrt(parts) * (1 + 1e-15)) * Fraction(self._sigma)
        return Fraction(sensitivity * parts) / Fraction(self.epsilon)

    def deviation(self, sensitivity: int, parts: int = 1) -> float:
        """Return the standard deviation of the noise; arguments as in `scale`."""
        scale = float(self.scale(sensitivity, parts))
        if self.delta:
            return math.sqrt(scale**2 + 1 / 12)  # rounding to whole numbers adds about that much
        return 1 / (math.sqrt(2) * math.sinh(1 / (2 * scale))) if scale > 1e-3 else 0.0

    def draw(self, sensitivity: int, parts: int, size: int, *label: str) -> NDArray[np.int64]:
        """Return fresh noise for as many whole numbers.

        Args:
            sensitivity: As in `scale`.
            parts: As in `scale`.
            size: How many numbers.
            label: What they are. With a seed, the same gets the same noise.

        Raises:
            ConfigurationError: The scale is beyond what the sampler takes.
            MissingExtraError: A package for differential privacy is missing.
        """
        from hansa.privacy.noise import discrete_laplace, rounded_gaussian

        scale, source = self.scale(sensitivity, parts), source_of(self.seed, *label)
        if self.delta:
            return rounded_gaussian(scale, size, source)  # type: ignore[arg-type]  # it takes fractions too
        return discrete_laplace(scale, size, source)

    def describe(self) -> dict[str, Any]:
        """Return the declaration as plain JSON values, without the seed."""
        return {
            "epsilon": self.epsilon,
            "delta": self.delta,
            "protects": self.protects,
            "neighbours": self.neighbours,
            "law": self.law,
            "seeded": self.seed is not None,
        }

    @property
    def _sigma(self) -> float:
        return _sigma(self.epsilon, self.delta)


@lru_cache(maxsize=256)
def _sigma(epsilon: float, delta: float) -> float:
    return calibrate.gaussian_sigma(epsilon=epsilon, delta=delta)


def source_of(seed: int | None, *label: str) -> Source:
    """Return random bytes from the operating system's generator; with a seed, those of a label."""
    from hansa.privacy.noise import Source, derived, system_source

    if seed is None:
        return system_source()
    return Source(derived(seed.to_bytes(32, "little"), "hansa.privacy.mechanism", *label))

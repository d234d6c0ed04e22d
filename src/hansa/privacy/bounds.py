"""What bounds the influence of one client: the clip of its update, and the cap of its weight."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from hansa.errors import ConfigurationError
from hansa.privacy.budget import is_real, is_whole
from hansa.privacy.calibrate import adaptive_split


@dataclass(frozen=True)
class Clip:
    """Updates are shortened to a norm.

    Attributes:
        norm: The L2 norm, above 0.
    """

    norm: float

    def __post_init__(self) -> None:
        _positive("Clip.norm", self.norm)

    def describe(self) -> dict[str, Any]:
        """Return the settings for the run's configuration."""
        return {"kind": "fixed", "norm": self.norm}


@dataclass(frozen=True, kw_only=True)
class AdaptiveClip:
    """The norm that updates are shortened to follows a quantile of their norms.

    Each client also tells whether its update was within the norm. The noisy share b of those moves the norm
    C for the next round: ``C ← C · exp(-lr · (b - target_unclipped))``. The bits' noise is paid for by a
    little more noise on the updates, so that the noise multiplier of both together is the plan's.

    Attributes:
        target_unclipped: Share of updates that are to stay as they are, from 0 to 1.
        initial: The norm of the first round, above 0.
        lr: How quickly the norm moves, above 0.
        bit_noise: Standard deviation of the noise in the number of updates that stayed as they are. None
            takes a twentieth of the expected cohort, or more where the noise multiplier needs it.

    Source:
        Andrew, Thakkar, McMahan, Ramaswamy 2021, Differentially Private Learning with Adaptive Clipping,
        algorithm 1 and section 3.
    """

    target_unclipped: float = 0.5
    initial: float = 0.1
    lr: float = 0.2
    bit_noise: float | None = None

    def __post_init__(self) -> None:
        if not is_real(self.target_unclipped) or not 0 <= self.target_unclipped <= 1:
            raise ConfigurationError(
                f"AdaptiveClip.target_unclipped is a share from 0 to 1, got {self.target_unclipped!r}."
            )
        _positive("AdaptiveClip.initial", self.initial)
        _positive("AdaptiveClip.lr", self.lr)
        if self.bit_noise is not None:
            _positive("AdaptiveClip.bit_noise", self.bit_noise)

    def describe(self) -> dict[str, Any]:
        """Return the settings for the run's configuration."""
        return {
            "kind": "adaptive",
            "target_unclipped": self.target_unclipped,
            "initial": self.initial,
            "lr": self.lr,
            "bit_noise": self.bit_noise,
        }

    def noise_of_bits(self, noise_multiplier: float, expected: float) -> float:
        """Return the standard deviation of the noise in the number of unclipped updates.

        It must be above half the noise multiplier, or the bits alone would spend more than there is.
        """
        return max(expected / 20, noise_multiplier) if self.bit_noise is None else self.bit_noise

    def noise_of_updates(self, noise_multiplier: float, expected: float) -> float:
        """Return the noise multiplier of the updates (`hansa.privacy.calibrate.adaptive_split`).

        Raises:
            ConfigurationError: If the bits' noise is too small for the plan's noise multiplier.
        """
        return adaptive_split(noise_multiplier, self.noise_of_bits(noise_multiplier, expected))

    def moved(self, norm: float, halves: float, expected: float) -> float:
        """Return the next norm.

        Args:
            norm: The norm of this round.
            halves: Noisy sum over the clients: a half for each that was within the norm, minus a half for
                each that was not (so that one client changes the sum by a half, not by one).
            expected: Expected number of clients of a round.
        """
        share = min(max(halves / expected + 0.5, 0.0), 1.0)
        moved = norm * math.exp(-self.lr * (share - self.target_unclipped))
        return min(max(moved, 2.0**-100), 2.0**100)


@dataclass(frozen=True)
class Capped:
    """Updates are weighed by training rows, up to so many: ``min(rows, cap) / cap`` times the update.

    The weighed update is what is clipped, and the denominator is that of a cohort in which everyone has the
    cap: a number that depends on nobody's data.

    Attributes:
        cap: Rows beyond which a client weighs no more, 1 or more.
    """

    cap: int

    def __post_init__(self) -> None:
        if not is_whole(self.cap) or self.cap < 1:
            raise ConfigurationError(f"Capped.cap must be a whole number of 1 or more, got {self.cap!r}.")

    def of(self, rows: int) -> float:
        """Return the weight of a client, from 0 to 1."""
        return min(rows, self.cap) / self.cap

    def describe(self) -> dict[str, Any]:
        """Return the settings for the run's configuration."""
        return {"kind": "capped", "cap": self.cap}


def _positive(name: str, value: Any) -> None:
    if not is_real(value) or not 0 < value < math.inf:
        raise ConfigurationError(f"{name} must be a finite number above 0, got {value!r}.")

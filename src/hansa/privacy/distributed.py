"""DistributedDP: every client adds a share of the noise, inside a sum of integers."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar, final

from hansa.errors import ConfigurationError
from hansa.privacy.budget import group_of, is_whole
from hansa.privacy.events import Event, Skellam
from hansa.privacy.interface import TAIL, ClientLevel, Facts
from hansa.privacy.tails import skellam_norm


@final
@dataclass(frozen=True, kw_only=True)
class DistributedDP(ClientLevel):
    """Each update is clipped, rotated, rounded to integers, given a share of Skellam noise, and summed.

    Through a secure sum nobody sees anything without noise, the server included, and the noise is no more
    than that of `CentralDP`. The fewest clients that a sum is opened with bring all of it; below, the round
    is void, and with more there is more noise than is told.

    Attributes:
        corrupt: Clients of a round that may tell the server their noise: the others' shares are larger, so
            that theirs are enough.
        threshold: Fewest clients of a sum, where the sum itself does not say; None takes all of a cohort.

    Assumes:
        Clients add their shares, up to ``corrupt`` of them. With a plain sum the server sees single updates,
        each with its small share alone: use a secure one.

    Source:
        Agarwal, Kairouz, Liu 2021, The Skellam Mechanism for Differentially Private Federated Learning,
        theorem 3.5; Kairouz, Liu, Steinke 2021, The Distributed Discrete Gaussian Mechanism for Federated
        Learning with Secure Aggregation, for rotation and conditional rounding.
    """

    corrupt: int = 0
    threshold: int | None = None

    integers: ClassVar[bool] = True

    def __post_init__(self) -> None:
        super().__post_init__()
        if not is_whole(self.corrupt) or self.corrupt < 0:
            raise ConfigurationError(f"DistributedDP.corrupt must be 0 or more, got {self.corrupt!r}.")
        if self.threshold is not None and (not is_whole(self.threshold) or self.threshold < 1):
            raise ConfigurationError(f"DistributedDP.threshold must be 1 or more, got {self.threshold!r}.")

    @property
    def sharers(self) -> int:
        """Clients whose shares make up the noise: the fewest of a sum that are not corrupt."""
        fewest = self.facts.fewest if self.facts is not None else 0
        fewest = fewest or self.threshold or int(self.expected)
        return fewest - self.corrupt

    @cached_property
    def share(self) -> float:
        """Variance of one client's share, in squared steps of the grid."""
        bound = self.facts.bound if self.facts is not None else 0
        return (self.noise * bound) ** 2 / self.sharers

    @property
    def largest_noise(self) -> int:
        """The most noise that a client adds to one of its integers; more has a chance below ``2**-100``."""
        return math.ceil(TAIL * (self.share**0.5 + TAIL)) if self.share else 0

    @property
    def noise_norm(self) -> int:
        """The most that the norm of a client's noise may be; more has a chance below ``2**-72``."""
        return skellam_norm(self.share, self.facts.size) if self.facts is not None and self.share else 0

    def step(self, noise: float) -> Event:
        """Return what one release spends: that of the Skellam noise on the grid, where it is known."""
        if self.facts is None or not self.facts.bound:
            return super().step(noise)
        group, bound = group_of(self.protects), self.facts.bound
        longest = min(bound * bound, int(bound * self.facts.size**0.5) + 1)
        return Skellam(variance=(noise * bound) ** 2, l2=float(group * bound), l1=float(group * longest))

    def bound(self, facts: Facts) -> DistributedDP:
        """Return the plan with what it has to know of its run."""
        plan = super().bound(facts)
        if not isinstance(plan, DistributedDP):
            raise TypeError("a plan bound is of its own kind")
        if plan.sharers < 1:
            raise ConfigurationError(
                f"of {plan.sharers + self.corrupt} clients at least in a sum, corrupt={self.corrupt} "
                "leaves nobody "
                "who adds noise. Take fewer, or a larger cohort."
            )
        return plan

    def trust(self) -> str:
        """Return who sees what without noise, in words."""
        if self.facts is not None and not self.facts.fewest:
            return (
                "The sum is plain: the server sees single updates, each with its share of the noise alone. "
                "The promise is to those who see no more than sums."
            )
        seen = f" {self.facts.sums}" if self.facts is not None else ""
        honest = f"{self.sharers} honest clients bring all of it"
        return f"The noise is in the sum before anyone sees it, the server included; {honest}.{seen}"

    def describe(self) -> dict[str, Any]:
        """Return kind, settings and the noise in use, for the run's configuration."""
        told = {"corrupt": self.corrupt, "sharers": self.sharers, "share_variance": self.share}
        return {**super().describe(), **told}

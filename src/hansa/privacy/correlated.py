"""MatrixDP: the server adds noise that is correlated over the rounds."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar, Literal, final

from hansa.cohort import AllClients, AtMost, Cohort
from hansa.errors import ConfigurationError, UnknownNameError
from hansa.privacy.budget import group_of
from hansa.privacy.events import Event, Gaussian
from hansa.privacy.interface import ClientLevel
from hansa.privacy.matrix import CorrelatedNoise, Strategy, optimal

KINDS = ("blt", "banded")


@final
@dataclass(frozen=True, kw_only=True)
class MatrixDP(ClientLevel):
    """Each update is clipped, and the server adds noise to the sum that is correlated over the rounds.

    Nothing is assumed of sampling, only that a client takes part at most so many times with a gap between
    (`AtMost`). In the model, which is a sum over the rounds, the noise is then far less than that of
    independent draws. Else it is like `CentralDP`: the server sees what is under the noise.

    Attributes:
        strategy: ``"blt"`` keeps a few vectors of the model's size; ``"banded"`` keeps one for each round of
            the gap, and is a little better.
        bands: Of a banded strategy; None takes the gap.

    Guarantees:
        All rounds together are one Gaussian mechanism. The noise's state is kept with each round; a run
        that goes on after a crash draws nothing again. A void round releases noise alone.

    Source:
        Denisov et al. 2022; Choquette-Choo et al. 2023 (BandMF); McMahan, Xu, Zhang 2024 (BLT). See
        `hansa.privacy.matrix`.
    """

    strategy: Literal["blt", "banded"] = "blt"
    bands: int | None = None

    amplified: ClassVar[bool] = False

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.strategy not in KINDS:
            raise UnknownNameError("strategy of MatrixDP", str(self.strategy), KINDS)
        if not isinstance(self.participation, (AtMost, AllClients)):
            raise ConfigurationError(
                "MatrixDP rests on how often a client takes part, at most, and with which gap: "
                "participation is "
                f"AtMost(times=, min_gap=) or None for everyone in every round, got {self.participation!r}."
            )

    @property
    def _gap(self) -> int:
        who: Cohort | None = self.participation
        return min(who.min_gap, self.rounds) if isinstance(who, AtMost) else 1

    @cached_property
    def correlation(self) -> Strategy:
        """How noise is correlated over the rounds."""
        return optimal(rounds=self.rounds, min_gap=self._gap, strategy=self.strategy, bands=self.bands)

    def noise_on(self, *, size: int, bound: float, largest: int) -> CorrelatedNoise:
        """Return the noise of a run on a grid of integers.

        Args:
            size: Numbers in a sum.
            bound: Most that one client changes a sum, in steps.
            largest: Largest magnitude of a number in it.
        """
        return CorrelatedNoise(
            strategy=self.correlation,
            dimension=size,
            clip_l2=bound,
            largest=largest,
            noise_multiplier=self.noise,
        )

    def event(self, rounds: int, noise: float | None = None) -> Event:
        """Return what so many rounds spend: one Gaussian mechanism on all of them together."""
        used = self.noise if noise is None else noise
        grown = self.correlation.sensitivity() / self.correlation.sensitivity(rounds)
        return Gaussian(noise_multiplier=used * grown / group_of(self.protects))

    def describe(self) -> dict[str, Any]:
        """Return kind, settings and the noise in use, for the run's configuration."""
        return {**super().describe(), "strategy": self.correlation.describe()}

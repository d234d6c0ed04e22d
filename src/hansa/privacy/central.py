"""CentralDP: clients clip, the server adds noise to the sum."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar, final

from hansa.privacy.bounds import AdaptiveClip
from hansa.privacy.interface import ClientLevel


@final
@dataclass(frozen=True, kw_only=True)
class CentralDP(ClientLevel):
    """Each update is clipped, and the server adds Gaussian noise to their sum.

    Who reads the model learns little about any one client. The server, which adds the noise, sees what is
    under it: single updates with a plain sum, sums without noise with a secure one.

    Guarantees:
        The mean that enters the model is (the sum of clipped updates + noise) / a denominator that depends
        on nobody's data. The noise is that of the Gaussian mechanism, rounded to a grid of integers, so
        that the binary digits of floats give nothing away. An empty cohort still releases noise. The same
        noise is never added to two different sums.

    Assumes:
        The server is honest, draws its secret from a good generator, and keeps it.

    Source:
        McMahan, Ramage, Talwar, Zhang 2018, Learning Differentially Private Recurrent Language Models,
        algorithm 1 with the fixed denominator of section 2; Andrew et al. 2021 for the adaptive clip.

    Example:
        >>> plan = CentralDP(rounds=10, population=100, noise_multiplier=4.0, clip=1.0)
        >>> round(plan.spent(10).epsilon, 2), plan.expected
        (3.34, 100.0)
    """

    adapts: ClassVar[bool] = True
    where: ClassVar[str] = "on the server"

    @cached_property
    def noise_of_updates(self) -> float:
        """The noise multiplier of the sum of updates: with an adaptive clip a little above ``noise``."""
        if isinstance(self.clip, AdaptiveClip):
            return self.clip.noise_of_updates(self.noise, self.expected)
        return self.noise

    def trust(self) -> str:
        """Return who sees what without noise, in words."""
        seen = "The server sees what is under the noise, which it adds itself"
        sums = self.facts.sums if self.facts is not None else ""
        return f"{seen}. {sums} The promise is to those who see the model.".replace("  ", " ")

    def describe(self) -> dict[str, Any]:
        """Return kind, settings and the noise in use, for the run's configuration."""
        if not isinstance(self.clip, AdaptiveClip):
            return super().describe()
        bits = self.clip.noise_of_bits(self.noise, self.expected)
        return {**super().describe(), "noise_of_updates": self.noise_of_updates, "noise_of_bits": bits}

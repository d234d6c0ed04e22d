"""LocalDP: every client adds all the noise itself, and trusts nobody."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar, final

from hansa.errors import ConfigurationError
from hansa.privacy.interface import TAIL, ClientLevel
from hansa.privacy.tails import gaussian_norm
from hansa.privacy.terms import Neighbours


@final
@dataclass(frozen=True, kw_only=True)
class LocalDP(ClientLevel):
    """Each update is clipped and made noisy before it leaves its client.

    The promise holds towards the server too. Its price: the noise of n clients adds up, so that the mean has
    √n times that of `CentralDP` at the same noise multiplier, and no secret draw helps. It takes thousands of
    clients, or a large epsilon.

    Guarantees:
        What a client sends in a round is its clipped update on a grid of integers, and a rounded Gaussian of
        noise multiplier times clip. Its loss is composed over the rounds that it takes part in, at most.

    Source:
        Kasiviswanathan et al. 2011, What Can We Learn Privately?; Balle, Wang 2018, Improving the Gaussian
        Mechanism for Differential Privacy, for one release; sums of releases by the accountant.
    """

    integers: ClassVar[bool] = True
    amplified: ClassVar[bool] = False

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.neighbours not in (None, "replace"):
            raise ConfigurationError(
                "LocalDP protects what a client sends against any other that it might have sent: its "
                "relation "
                f"is 'replace', got {self.neighbours!r}."
            )

    @property
    def compared(self) -> Neighbours:
        """The neighbouring relation in use."""
        return "replace"

    @property
    def largest_noise(self) -> int:
        """The most noise that a client adds to one of its integers; more has a chance below ``2**-100``."""
        return 0 if self.facts is None else math.ceil(TAIL * self.noise * self.facts.bound) + 1

    @property
    def noise_norm(self) -> int:
        """The most that the norm of a client's noise may be; more has a chance below ``2**-72``."""
        return 0 if self.facts is None else gaussian_norm(self.noise * self.facts.bound, self.facts.size)

    def trust(self) -> str:
        """Return who sees what without noise, in words."""
        return (
            "Nobody is trusted: what a client sends is noisy before it leaves, and the server sees no more."
        )

    def notes(self) -> tuple[str, ...]:
        """Return how much noise is left in the mean."""
        share = self.noise / self.expected**0.5
        loud = " The model will hardly learn." if share > 1 else ""
        told = (
            f"The noise of all clients together is {share:.2g} times the clip in every coordinate of the mean"
        )
        return (f"{told}.{loud}",)

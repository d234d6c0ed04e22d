"""What a run of canaries gave, in units of the noise that the plan claims.

With noise in units of what the plan claims, each direction of each release that nobody sends is a standard
normal number, and a canary's is one with its part in the release as mean. Bounds leave so much to chance that
each question fails a pipeline that does what it says about once in a million times.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
TOLERANCE = 0.05
"""What rounding to coarse grids and the like may add to a ratio."""
ROUNDING = 0.005
"""What it may take from the noise."""
RARE = 1e-6
"""The chance with which a question may fail a pipeline that does what it says."""


def far(questions: int = 1) -> float:
    """Return how many standard deviations chance is given where so many numbers are looked at.

    Example:
        >>> round(far(), 2), round(far(1000), 2)
        (4.89, 6.11)
    """
    from scipy.stats import norm  # dp-accounting needs SciPy itself

    return float(norm.isf(RARE / 2 / questions))


@dataclass(frozen=True, kw_only=True)
class Scores:
    """What was seen, in units in which the noise that the plan claims has deviation 1.

    Attributes:
        values: Releases along the directions, shape ``(n, d)``; the first ``m`` are the canaries'.
        patterns: What each canary adds to each release along its direction if it is sent, shape ``(n, m)``.
        sent: The sign of what each sends, or 0, shape ``(m,)``.
        tossed: Of which of them a coin decided that, shape ``(m,)``.
        apart: How far what is sent and what is not are apart, in clips: 1, or 2 where the other is minus it.
        secret: Whether who is in which release is not known to those who see them.
        turned: Noise as it was drawn, where releases show it rotated, shape ``(n, d)``; None elsewhere.
    """

    values: Floats
    patterns: Floats
    sent: Floats
    tossed: NDArray[np.bool_]
    apart: float = 1.0
    secret: bool = False
    turned: Floats | None = None

    @cached_property
    def noise(self) -> Floats:
        """Directions that nobody sends, shape ``(n, d - m)``."""
        return self.values[:, len(self.sent) :]

    @cached_property
    def covariance(self) -> Floats:
        """Of the noise of releases, from directions that nobody sends."""
        return self.noise @ self.noise.T / self.noise.shape[1]

    @cached_property
    def parts(self) -> Floats:
        """How strong each canary is in all releases together, in deviations of the claimed noise."""
        return np.sqrt(np.einsum("ri,ri->i", self.patterns, self.patterns))

    @cached_property
    def inserted(self) -> NDArray[np.bool_]:
        """Which canaries were sent by the toss of a coin and are in a release."""
        return self.tossed & (self.sent > 0) & (self.parts > 0)

    @cached_property
    def held_out(self) -> NDArray[np.bool_]:
        """Which were not sent by the toss of a coin, and would be in a release."""
        return self.tossed & (self.sent <= 0) & (self.parts > 0)

    @cached_property
    def raw(self) -> Floats:
        """Each canary's direction in all releases together, in deviations of the claimed noise."""
        values = self.values[:, : len(self.sent)]
        return np.einsum("ri,ri->i", self.patterns, values) / np.where(self.parts > 0, self.parts, 1.0)

    @cached_property
    def found(self) -> Floats:
        """The same, in deviations of the noise that was found."""
        spread = np.einsum("ri,rs,si->i", self.patterns, self.covariance, self.patterns, optimize=True)
        spread = np.sqrt(np.maximum(spread, 1e-18)) / np.where(self.parts > 0, self.parts, 1.0)
        return self.raw / spread

    @cached_property
    def guessed(self) -> Floats:
        """How much each canary seems to be there to those who see releases."""
        return self.values[:, : len(self.sent)].sum(axis=0) if self.secret else self.found

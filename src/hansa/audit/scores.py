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

from hansa.audit.pipeline import Seen
from hansa.privacy import CentralDP, DistributedDP, LocalDP, MatrixDP

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

    With `MatrixDP` releases are brought back to independent ones by the strategy's own matrix.

    Attributes:
        seen: What was seen.
    """

    seen: Seen

    @cached_property
    def _units(self) -> tuple[Floats, Floats]:
        """Return releases and parts of clients in them, in units of the noise."""
        seen, private = self.seen, self.seen.private
        there = seen.there.astype(np.float64)
        if isinstance(private, MatrixDP):
            column = private.correlation.coefficients()
            apart = np.subtract.outer(np.arange(len(column)), np.arange(len(column)))
            matrix = np.where(apart >= 0, column[apart], 0.0)
            matrix /= private.correlation.sensitivity()
            return matrix @ seen.releases / private.noise, matrix @ there / private.noise
        return seen.releases / self.claimed[:, None], there / self.claimed[:, None]

    @cached_property
    def claimed(self) -> Floats:
        """Deviation of the noise of each release, in clips, as the plan has it; 0 where none is due."""
        seen, private = self.seen, self.seen.private
        z = private.noise_of_updates if isinstance(private, CentralDP) else private.noise
        claimed = np.full(len(seen.releases), z)
        if isinstance(private, DistributedDP):
            # All who answer bring a share; those who must, bring all of it.
            claimed *= np.sqrt(seen.answered / private.sharers)
        elif isinstance(private, LocalDP) and not seen.single:
            claimed *= np.sqrt(seen.answered)
        return np.where(claimed > 0, claimed, 1.0)

    @cached_property
    def opened(self) -> NDArray[np.bool_]:
        """Which releases there were: those of void rounds are none, but with `MatrixDP`."""
        seen, private = self.seen, self.seen.private
        if seen.single or isinstance(private, MatrixDP):
            return np.ones(len(seen.releases), np.bool_)
        void = np.array([bool(record.void) for record in seen.records])
        return ~void & ((seen.answered > 0) | isinstance(private, CentralDP))

    @cached_property
    def noise(self) -> Floats:
        """Directions that nobody sends, shape ``(releases that were opened, unused)``."""
        return self._units[0][self.opened, self.seen.there.shape[1] :]

    @cached_property
    def covariance(self) -> Floats:
        """Of the noise of releases, from directions that nobody sends."""
        return self.noise @ self.noise.T / self.noise.shape[1]

    @cached_property
    def _patterns(self) -> Floats:
        """What each client adds to each release along its direction, if it sends its canary."""
        return self._units[1][self.opened]

    @cached_property
    def parts(self) -> Floats:
        """How strong each client is in all releases together, in deviations of the claimed noise."""
        return np.sqrt(np.einsum("ri,ri->i", self._patterns, self._patterns))

    @cached_property
    def played(self) -> NDArray[np.bool_]:
        """Which clients took part at all."""
        return self.parts > 0

    @cached_property
    def raw(self) -> Floats:
        """Each client's direction in all releases together, in deviations of the claimed noise."""
        values = self._units[0][self.opened][:, : len(self.parts)]
        return np.einsum("ri,ri->i", self._patterns, values) / np.where(self.played, self.parts, 1.0)

    @cached_property
    def found(self) -> Floats:
        """The same, in deviations of the noise that was found."""
        spread = np.einsum("ri,rs,si->i", self._patterns, self.covariance, self._patterns, optimize=True)
        spread = np.sqrt(np.maximum(spread, 1e-18)) / np.where(self.played, self.parts, 1.0)
        return self.raw / spread

    @cached_property
    def blind(self) -> Floats:
        """Each client's direction in the sum of all releases: for who does not know who took part when."""
        return self._units[0][self.opened][:, : len(self.parts)].sum(axis=0)

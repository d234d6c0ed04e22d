"""The release of a round with correlated noise, and the state that is kept between rounds.

Assumes:
    The server is trusted with sums and state. Participation keeps the promise that the strategy was made for
    (`check_participation`), every client's integers have norm ``clip_l2`` or less, and fresh noise is rounded
    Gaussian integers of standard deviation `CorrelatedNoise.fresh_sigma`, from a CSPRNG and never used twice.

Leaks:
    Readers of all releases learn what one Gaussian mechanism with ``noise_multiplier`` tells of a client,
    under the zero-out relation (for replacement, give twice the clip). Holders of the state learn the sums.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from hansa.errors import ConfigurationError, RoundError, RunError
from hansa.privacy.matrix.participation import whole
from hansa.privacy.matrix.strategy import Integers, State, Strategy

MOST_BYTES = 1 << 31
"""Size of the state that is kept without being asked for more."""
MOST_ROUNDING = 0.05
"""Share of the sensitivity that may come of rounding."""
_COUNT = "releases_made"


@dataclass(frozen=True, kw_only=True)
class CorrelatedNoise:
    """Adds correlated noise to the integer sums of a run, round by round.

    Attributes:
        strategy: How noise is correlated.
        dimension: Entries d of a sum, 1 or more.
        clip_l2: Norm of one client's integers at most, above 0.
        largest: Magnitude of an entry of a sum at most, from 1 to ``2**53``.
        noise_multiplier: Noise of the whole run over its sensitivity, above 0: the run is one Gaussian
            mechanism with this multiplier, however many rounds.
        most_bytes: Size of the state at most.

    Raises:
        ConfigurationError: A value is out of its range, the state is too large, rounding would add more than
            5 % to the sensitivity, or numbers could outgrow 64 bits.

    Guarantees:
        A release is made from ``R(x) + w`` in integers and from earlier releases, and of nothing else. The
        same state, sum and fresh noise give the same release and state, bit for bit.

    Example:
        >>> from hansa.privacy.matrix import square_root
        >>> noise = CorrelatedNoise(
        ...     strategy=square_root(rounds=4, min_gap=2),
        ...     dimension=3,
        ...     clip_l2=8,
        ...     largest=100,
        ...     noise_multiplier=1.0,
        ... )
        >>> fresh = np.full(3, 2**20)
        >>> state = noise.begin()
        >>> released, state = noise.release(state, np.array([5, -3, 0]), fresh)
        >>> released.tolist()
        [21, 13, 16]
        >>> noise.release(state, np.zeros(3, np.int64), 0 * fresh)[0].tolist()
        [-8, -8, -8]
    """

    strategy: Strategy
    dimension: int
    clip_l2: float
    largest: int
    noise_multiplier: float
    most_bytes: int = MOST_BYTES

    def __post_init__(self) -> None:
        whole("dimension", self.dimension)
        whole("largest", self.largest, high=1 << 53)
        whole("most_bytes", self.most_bytes)
        for name in ("clip_l2", "noise_multiplier"):
            value = getattr(self, name)
            if not (0 < value < math.inf):
                raise ConfigurationError(f"{name} must be above 0 and finite, got {value!r}.")
        size = self.strategy.state_bytes(self.dimension)
        if size > self.most_bytes:
            raise ConfigurationError(
                f"the state of correlated noise would be {size:,} bytes for {self.dimension:,} parameters; "
                f"{self.most_bytes:,} is the most. Use strategy='blt', fewer bands, or raise most_bytes."
            )
        if self.rounding_share > MOST_ROUNDING:
            raise ConfigurationError(
                f"rounding would add {self.rounding_share:.0%} to the sensitivity; {MOST_ROUNDING:.0%} is "
                "the most. Make the strategy with more bits, use a finer grid for the updates, or "
                "strategy='banded', which adds nothing."
            )
        self.strategy.check_room(self.fresh_sigma, self.largest)

    @cached_property
    def fresh_sigma(self) -> float:
        """Standard deviation of fresh noise: rounded Gaussian integers on the grid ``2**-bits``."""
        return self.noise_multiplier * self.sensitivity()

    def sensitivity(self, releases: int | None = None) -> float:
        """Return how far one client moves ``R(x)`` in so many releases, in L2 on the grid ``2**-bits``.

        What rounding adds is counted: twice its bound for each entry.
        """
        count = self.strategy.rounds if releases is None else releases
        exact = math.ldexp(self.strategy.sensitivity(count) * self.clip_l2, self.strategy.bits)
        return exact + 2 * self.strategy.rounding(self.largest) * math.sqrt(count * self.dimension)

    @cached_property
    def rounding_share(self) -> float:
        """What rounding adds to the sensitivity of the run, as a share of it; 0 for a banded strategy."""
        exact = math.ldexp(self.strategy.sensitivity() * self.clip_l2, self.strategy.bits)
        return self.sensitivity() / exact - 1

    def spent_multiplier(self, releases: int) -> float:
        """Return the noise multiplier of the one Gaussian mechanism that so many releases are.

        Args:
            releases: From 0 to the strategy's rounds.

        Returns:
            Infinite before the first release; ``noise_multiplier`` after the last; does not rise in between.
        """
        moved = self.sensitivity(releases)
        return self.fresh_sigma / moved if moved else math.inf

    def begin(self) -> State:
        """Return the state before the first release."""
        return {_COUNT: np.array(0, np.int64), **self.strategy.begin(self.dimension)}

    def release(self, state: State, total: Integers, fresh: Integers) -> tuple[Integers, State]:
        """Return the sum with its noise, and the state after it. Pure: the given state is left as it is.

        Keep the state with the round: a release that is made again after a crash must be made from the same
        state and the same fresh noise. A void round, of which nothing is published, is no release.

        Args:
            state: From `begin` or the last release.
            total: The round's sum, int64, shape ``(d,)``, entries within ``±largest``.
            fresh: Rounded Gaussian integers of deviation `fresh_sigma`, int64, shape ``(d,)``.

        Returns:
            The release, int64, shape ``(d,)``, in the sum's steps, and the state.

        Raises:
            RoundError: All releases are made, or the sum or the noise is malformed or out of range.
            RunError: The state is not one of this noise.
        """
        number = self._made(state)
        if number >= self.strategy.rounds:
            raise RoundError(
                f"all {self.strategy.rounds} releases are made. Another one needs a plan with more rounds."
            )
        for name, vector in (("the sum", total), ("fresh noise", fresh)):
            if vector.shape != (self.dimension,) or vector.dtype != np.int64:
                raise RoundError(
                    f"{name} must be int64 of shape ({self.dimension},), got {vector.dtype} {vector.shape}."
                )
        if total.max() > self.largest or total.min() < -self.largest:
            raise RoundError(f"an entry of the sum is beyond {self.largest}, which the noise was made for.")
        released, after = self.strategy.step(state, number, total, fresh)
        return released, {**after, _COUNT: np.array(number + 1, np.int64)}

    def _made(self, state: State) -> int:
        wanted = self.begin()
        odd = sorted(set(wanted) ^ set(state))
        odd += [
            name
            for name, array in wanted.items()
            if name in state and (state[name].shape, state[name].dtype) != (array.shape, array.dtype)
        ]
        if odd or int(state[_COUNT]) < 0:
            raise RunError(
                f"the state of correlated noise is not this strategy's: {', '.join(odd) or _COUNT}."
            )
        return int(state[_COUNT])

"""Banded strategies: each release's noise takes back part of the noise of the last few releases.

The coefficients are ``m_j / 2**bits`` with integers m_j and m_0 = 2^bits, and the noise is made in integers:

    Z_t = ⌊(w_t − Σ_{j≥1} m_j Z_{t−j}) / 2^bits⌉.

For integers x_t, ``x_t + ⌊a⌉ = ⌊x_t + a⌉``, so the release ``x̃_t = x_t + Z_t`` is
``⌊(y_t − Σ_{j≥1} m_j x̃_{t−j}) / 2^bits⌉`` with ``y = 2^bits C x + w``: made from y alone, exactly.

Source:
    Choquette-Choo et al. 2023, (Amplified) Banded Matrix Factorization, section 4 and algorithm 1.
    Kalinin, Lampert 2024, Banded Square Root Matrix Factorization, section 3.
"""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from hansa.errors import ConfigurationError, RoundError
from hansa.privacy.matrix.participation import most_participations, whole
from hansa.privacy.matrix.strategy import (
    FAR,
    ROOM,
    Integers,
    State,
    Strategy,
    Vector,
    check_fresh,
    check_sigma,
)


@dataclass(frozen=True, kw_only=True)
class Banded(Strategy):
    """A banded Toeplitz matrix with coefficients ``numerators / 2**bits``.

    Attributes:
        numerators: From the diagonal down: ``2**bits`` first, then integers of 0 or more that do not
            increase. At most ``min_gap`` and at most ``rounds`` of them.

    Guarantees:
        The columns of a client's participations are orthogonal. The state is ``bands − 1`` vectors of int64.
    """

    numerators: tuple[int, ...]

    def __post_init__(self) -> None:
        super().__post_init__()
        m, most = self.numerators, min(self.min_gap, self.rounds)
        if not 1 <= len(m) <= most:
            raise ConfigurationError(
                f"{len(m)} bands, but it must be 1 to {most}: no more than the gap of {self.min_gap} and the "
                f"{self.rounds} rounds."
            )
        whole("the first numerator", m[0], low=1 << self.bits, high=1 << self.bits)
        for before, after in itertools.pairwise(m):
            whole("a numerator after the first", after, low=0, high=before)

    def coefficients(self) -> Vector:
        """Return the first column of C, shape ``(rounds,)``."""
        column = np.zeros(self.rounds)
        column[: len(self.numerators)] = np.ldexp(np.array(self.numerators, np.float64), -self.bits)
        return column

    def solve(self, values: Vector) -> Vector:
        """Return ``C⁻¹ values`` for at most ``rounds`` values."""
        reverse = self.coefficients()[: len(self.numerators)][:0:-1]
        before = len(reverse)
        out = np.zeros(before + len(values))
        for t, value in enumerate(values):
            out[before + t] = value - reverse @ out[t : t + before]
        return out[before:]

    def begin(self, dimension: int) -> State:
        """Return ``bands − 1`` past noises of zero, int64 of shape ``(dimension,)``."""
        zero = np.zeros(dimension, np.int64)
        return {f"noise_{row}": zero for row in range(len(self.numerators) - 1)}

    def step(self, state: State, number: int, total: Integers, fresh: Integers) -> tuple[Integers, State]:
        """Return ``total + Z`` and the state in which Z took the place of the oldest noise."""
        check_fresh(fresh)
        past = len(self.numerators) - 1
        rest = fresh.copy()
        for j in range(1, min(past, number) + 1):
            rest -= self.numerators[j] * state[f"noise_{(number - j) % past}"]
        noise = _nearest(rest, self.bits)
        if not past:
            return total + noise, {}
        if noise.max(initial=0) > self._most or noise.min(initial=0) < -self._most:
            raise RoundError("correlated noise outgrew 64 bits: fresh noise is not what it was said to be.")
        return total + noise, {**state, f"noise_{number % past}": noise}

    @property
    def _most(self) -> int:
        return ROOM // max(sum(self.numerators[1:]), 1)

    def state_bytes(self, dimension: int) -> int:
        """Return the size of the state."""
        return 8 * (len(self.numerators) - 1) * dimension

    def rounding(self, largest: int) -> float:  # noqa: ARG002 - it does not depend on it
        """Return 0: R is ``2**bits · C x``."""
        return 0.0

    def check_room(self, sigma: float, largest: int) -> None:  # noqa: ARG002 - the noise alone is multiplied
        """Raise `ConfigurationError` where noise of this deviation could overflow."""
        check_sigma(sigma, self.bits)
        unit = np.zeros(self.rounds)
        unit[0] = 1
        spread = math.ldexp(sigma, -self.bits) * float(np.linalg.norm(self.solve(unit)))
        if FAR * spread + self.rounds > self._most:
            raise ConfigurationError(
                f"noise of a standard deviation of {spread:.3g} steps could outgrow 64 bits with "
                f"{len(self.numerators)} bands of {self.bits} bits. Make the strategy with fewer bits, or "
                "use a coarser grid for the updates."
            )

    def describe(self) -> dict[str, Any]:
        """Return plain numbers from which `as_strategy` makes an equal strategy."""
        numbers = {name: getattr(self, name) for name in ("rounds", "min_gap", "times", "bits")}
        return {"kind": "banded", **numbers, "numerators": list(self.numerators)}


def _nearest(values: Integers, bits: int) -> Integers:
    """Return ``values / 2**bits`` to the nearest integer, halves up: it commutes with adding an integer."""
    return (values + ((1 << bits) >> 1)) >> bits


def on_grid(coefficients: Vector, bits: int) -> tuple[int, ...]:
    """Return the numerators that are nearest to coefficients whose first is 1, made not to increase."""
    scaled = np.rint(np.ldexp(np.minimum.accumulate(np.maximum(coefficients, 0.0)), bits))
    return tuple(int(m) for m in scaled)


def independent(*, rounds: int, min_gap: int, times: int | None = None, bits: int = 16) -> Banded:
    """Return the strategy of noise that is fresh in every round: what the others are measured against."""
    whole("min_gap", min_gap)
    times = most_participations(whole("rounds", rounds), min_gap) if times is None else times
    whole("bits", bits, low=0, high=30)
    return Banded(rounds=rounds, min_gap=min_gap, times=times, bits=bits, numerators=(1 << bits,))


def square_root(
    *, rounds: int, min_gap: int, times: int | None = None, bands: int | None = None, bits: int = 16
) -> Banded:
    """Return the banded square root of the prefix sums: in closed form, without an optimiser.

    Args:
        rounds: Releases of the run.
        min_gap: Two releases that a client is in differ by so many or more.
        times: Most releases that a client is in; None is as many as the gap lets.
        bands: From 1 to the smaller of gap and rounds; None is that.
        bits: Binary places of the coefficients.

    Source:
        Kalinin, Lampert 2024, Banded Square Root Matrix Factorization, section 3.
    """
    plain = independent(rounds=rounds, min_gap=min_gap, times=times, bits=bits)
    most = min(rounds, min_gap)
    bands = most if bands is None else whole("bands", bands, high=most)
    j = np.arange(1, bands)
    column = np.cumprod(np.concatenate([[1.0], (j - 0.5) / j]), dtype=np.float64)
    return Banded(
        rounds=rounds, min_gap=min_gap, times=plain.times, bits=bits, numerators=on_grid(column, bits)
    )

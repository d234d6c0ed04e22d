"""Buffered strategies (BLT): all earlier noise, remembered in a few decaying buffers.

The first column is ``1, Σω_i, Σω_i θ_i, Σω_i θ_i², ...``: C x is x plus a weighted sum of buffers S_i, each
of which decays by θ_i and takes in x. θ and ω are reals, so C x is not on any grid and is rounded:

    R_t(x) = 2^bits x_t + ⌊2^bits Σ_i ω_i S_i(x)_t⌉,            S_i(x)_{t+1} = θ_i S_i(x)_t + x_t,
    y_t    = R_t(x) + w_t,
    x̃_t    = ⌊y_t / 2^bits − Σ_i ω_i S_i(x̃)_t⌉.

The buffers of x are float64 and secret; those of x̃ are made from releases alone, so x̃ is made from y alone.
Rounding moves an entry of R by `rounding` at most, neighbouring runs apart by twice that, and
`hansa.privacy.matrix.noise` adds it to the sensitivity: 1e-5 of it for 1,000 rounds at a gap of 100, a
million parameters, a clip of 2^20 steps and sums up to 2^32.

Source:
    Dvijotham et al. 2024, Efficient and Near-Optimal Noise Generation for Streaming Differential Privacy.
    McMahan, Xu, Zhang 2024, A Hassle-free Algorithm for Private Learning in Practice, section 3.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hansa.errors import ConfigurationError
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

SLOWEST = 1 - 2.0**-20
"""A buffer decays at least so fast: beyond it nothing is gained in 100,000 rounds, and rounding adds up."""
MOST_BUFFERS = 8


@dataclass(frozen=True, kw_only=True)
class Buffered(Strategy):
    """A Toeplitz matrix whose coefficients are a sum of decaying exponentials.

    Attributes:
        decays: θ of each buffer, from 0 to ``1 − 2**-20``.
        weights: ω of each buffer, 0 or more, with a sum of 1 at most.

    Guarantees:
        The state is two vectors of float64 for each buffer.
    """

    decays: tuple[float, ...]
    weights: tuple[float, ...]

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 1 <= len(self.decays) <= MOST_BUFFERS or len(self.decays) != len(self.weights):
            raise ConfigurationError(
                f"a buffered strategy has 1 to {MOST_BUFFERS} decays and as many weights, got "
                f"{len(self.decays)} and {len(self.weights)}."
            )
        if not all(0 <= decay <= SLOWEST for decay in self.decays):
            raise ConfigurationError(f"a decay is from 0 to 1 - 2**-20, got {self.decays}.")
        if not all(weight >= 0 for weight in self.weights) or not math.fsum(self.weights) <= 1:
            raise ConfigurationError(
                f"weights are 0 or more with a sum of 1 at most, got {self.weights}: otherwise coefficients "
                "would rise, and the worst participation would not be known."
            )

    def coefficients(self) -> Vector:
        """Return the first column of C, shape ``(rounds,)``."""
        powers = np.array(self.decays) ** np.arange(self.rounds - 1)[:, None]
        return np.concatenate([[1.0], powers @ np.array(self.weights)])

    def solve(self, values: Vector) -> Vector:
        """Return ``C⁻¹ values`` for at most ``rounds`` values."""
        decays, weights = np.array(self.decays), np.array(self.weights)
        buffers, out = np.zeros(len(decays)), np.empty(len(values))
        for t, value in enumerate(values):
            out[t] = value - weights @ buffers
            buffers = decays * buffers + out[t]
        return out

    def begin(self, dimension: int) -> State:
        """Return empty buffers of the sums and of the releases, float64 of shape ``(buffers, dimension)``."""
        zero = np.zeros((len(self.decays), dimension))
        return {"sums": zero, "releases": zero}

    def step(self, state: State, number: int, total: Integers, fresh: Integers) -> tuple[Integers, State]:  # noqa: ARG002
        """Return x̃ and the buffers that took in ``total`` and x̃."""
        check_fresh(fresh)
        recalled = np.rint(np.ldexp(self._recalled(state["sums"]), self.bits)).astype(np.int64)
        private = (total << self.bits) + recalled + fresh
        released = np.rint(np.ldexp(private, -self.bits) - self._recalled(state["releases"]))
        after = {
            "sums": self._taken(state["sums"], total),
            "releases": self._taken(state["releases"], released),
        }
        return released.astype(np.int64), after

    def _recalled(self, buffers: NDArray[Any]) -> Vector:
        # One product and one sum at a time: the bound of `rounding` counts these.
        out = self.weights[0] * buffers[0]
        for weight, buffer in zip(self.weights[1:], buffers[1:], strict=True):
            out += weight * buffer
        return out

    def _taken(self, buffers: NDArray[Any], values: NDArray[Any]) -> Vector:
        after = np.array(self.decays)[:, None] * buffers
        after += values
        return after

    def state_bytes(self, dimension: int) -> int:
        """Return the size of the state."""
        return 16 * len(self.decays) * dimension

    def rounding(self, largest: int) -> float:
        """Return how far an entry of R is from ``2**bits · C x`` at most, for ``|x|`` up to ``largest``.

        With u = 2^-53 and M = ``largest``: a buffer stays within M / (1 − θ). A step of it rounds a product
        and a sum, each by u of that; such errors decay by θ, so together they are at most 2 u M / (1 − θ)².
        The sum over n buffers rounds at most n + 1 times. ½ is the rounding to an integer; 3 for 2, and n + 3
        for n + 1, cover the second order.
        """
        u, n = 2.0**-53, len(self.decays)
        slack = [
            weight * ((n + 3) / (1 - decay) + 3 / (1 - decay) ** 2)
            for decay, weight in zip(self.decays, self.weights, strict=True)
        ]
        return 0.5 + math.ldexp(u * largest * math.fsum(slack), self.bits)

    def check_room(self, sigma: float, largest: int) -> None:
        """Raise `ConfigurationError` where fresh noise of this deviation or such sums could overflow."""
        check_sigma(sigma, self.bits)
        gains = [weight / (1 - decay) for decay, weight in zip(self.decays, self.weights, strict=True)]
        reach = math.ldexp(largest * (1 + math.fsum(gains)), self.bits)
        if FAR * sigma > ROOM or reach > ROOM:
            raise ConfigurationError(
                f"sums of up to {largest} with {self.bits} more bits outgrow 64 bits in this strategy's "
                "buffers. Make the strategy with fewer bits, or use a coarser grid for the updates."
            )

    def describe(self) -> dict[str, Any]:
        """Return plain numbers from which `as_strategy` makes an equal strategy."""
        numbers = {name: getattr(self, name) for name in ("rounds", "min_gap", "times", "bits")}
        return {"kind": "blt", **numbers, "decays": list(self.decays), "weights": list(self.weights)}

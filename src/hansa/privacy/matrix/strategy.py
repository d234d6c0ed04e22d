"""What a strategy is: a lower-triangular Toeplitz matrix, its sensitivity, and how noise is made with it.

Why integers stay integers. A round's sum x_t is a vector of integers. What is private is

    y_t = R_t(x) + w_t,    R_t(x) ≈ 2^bits · (C x)_t  in integers,  w_t rounded Gaussian integers,

and rounding before or after the addition of an integer is the same, so y is the rounding of a Gaussian
mechanism on R(x). The release ``x̃_t ≈ (C⁻¹ y)_t / 2^bits``, an integer, is made from y_t and earlier releases
*alone*, so that no low-order bit of a float says more than y does. `Banded` has R = 2^bits · C exactly;
`Buffered` rounds within R and adds a proven bound for that to its sensitivity.

Sums may depend on earlier releases: neighbouring runs that saw the same releases differ in R_t by δ_t with
Σ‖δ_t‖² at most the squared sensitivity, and such adaptive Gaussian releases are no worse than one.

Source:
    Kalinin, Lampert 2024, Banded Square Root Matrix Factorization, theorem 2 (the worst participation).
    Choquette-Choo et al. 2023, (Amplified) Banded Matrix Factorization, section 3 (bands within the gap).
    Denisov et al. 2022, section 2 (adaptive streams); Smith, Thakurta 2022, Fully Adaptive Composition for
    Gaussian Differential Privacy.
"""

from __future__ import annotations

import abc
import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hansa.errors import ConfigurationError, RoundError
from hansa.privacy.matrix.participation import check_promise, whole

Vector = NDArray[np.float64]
Integers = NDArray[np.int64]
State = Mapping[str, NDArray[Any]]
"""What a run keeps between releases, by name. Secret: whoever holds it can take the noise off."""

MARGIN = 1 + 1e-9
"""Sensitivities are raised by so much: more than the rounding of their computation."""
FAR = 40
"""No Gaussian of this work comes so many standard deviations out (probability below 1e-340 each)."""
ROOM = 1 << 61
"""Fresh noise, and what is taken off it, are each at most so large; their difference fits 64 bits."""


def participations(coefficients: NDArray[Any], min_gap: int, times: int) -> NDArray[Any]:
    """Return the sum of the columns 0, b, 2b, ... of the Toeplitz matrix: what the worst client changes.

    Args:
        coefficients: First column of the matrix, shape ``(rounds,)``.
        min_gap: The gap b.
        times: How many columns.

    Returns:
        Shape ``(rounds,)``, of the same dtype.
    """
    rounds = len(coefficients)
    rows = -(-rounds // min_gap)
    table = np.zeros(rows * min_gap, coefficients.dtype)
    table[:rounds] = coefficients
    table = np.cumsum(table.reshape(rows, min_gap), axis=0)
    if times < rows:
        table[times:] -= table[:-times].copy()
    return table.ravel()[:rounds]


@dataclass(frozen=True, kw_only=True)
class Strategy(abc.ABC):
    """A lower-triangular Toeplitz matrix C for runs under a promise of participation.

    Attributes:
        rounds: Releases of the run, from 1 to 100,000.
        min_gap: Two releases that a client is in differ by so many or more.
        times: Most releases that a client is in, at most ``⌈rounds / min_gap⌉``.
        bits: Fresh noise is on a grid of ``2**-bits`` of the sums' steps, from 0 to 30.

    Raises:
        ConfigurationError: A value is out of its range, or the matrix is not one that the theorem covers.

    Guarantees:
        The first column starts with 1, is not negative and does not increase. So the worst client takes part
        in releases 0, b, 2b, ..., and the recursion that makes the noise is stable (Eneström, Kakeya).
    """

    rounds: int
    min_gap: int
    times: int
    bits: int = 16

    def __post_init__(self) -> None:
        check_promise(self.rounds, self.min_gap, self.times)
        whole("bits", self.bits, low=0, high=30)

    @abc.abstractmethod
    def coefficients(self) -> Vector:
        """Return the first column of C, shape ``(rounds,)``."""

    @abc.abstractmethod
    def solve(self, values: Vector) -> Vector:
        """Return ``C⁻¹ values`` for at most ``rounds`` values."""

    @abc.abstractmethod
    def begin(self, dimension: int) -> State:
        """Return the state before the first release."""

    @abc.abstractmethod
    def step(self, state: State, number: int, total: Integers, fresh: Integers) -> tuple[Integers, State]:
        """Return what is released, and the state after it. Pure: the given state is left as it is."""

    @abc.abstractmethod
    def state_bytes(self, dimension: int) -> int:
        """Return the size of the state."""

    @abc.abstractmethod
    def rounding(self, largest: int) -> float:
        """Return how far an entry of R is from ``2**bits · C x`` at most, for ``|x|`` up to ``largest``."""

    @abc.abstractmethod
    def check_room(self, sigma: float, largest: int) -> None:
        """Raise `ConfigurationError` where fresh noise of this deviation or such sums could overflow."""

    @abc.abstractmethod
    def describe(self) -> dict[str, Any]:
        """Return plain numbers from which `as_strategy` makes an equal strategy."""

    def sensitivity(self, rounds: int | None = None) -> float:
        """Return how far one client can move the first so many rows of ``C x``, in L2.

        Args:
            rounds: Releases so far, from 0 to the run's; None is all.

        Returns:
            For contributions of norm 1 or less. Does not fall with ``rounds``.

        Guarantees:
            No participation that keeps the promise moves them farther; releases 0, b, 2b, ... do.

        Source:
            Kalinin, Lampert 2024, theorem 2. Entries of CᵀC are not negative, so contributions in one
            direction are worst; ⟨C_i, C_j⟩ falls with i and with j − i, so the earliest and closest are.
        """
        if rounds is None:
            rounds = self.rounds
        return float(self._sensitivities[whole("rounds", rounds, low=0, high=self.rounds)])

    @cached_property
    def _sensitivities(self) -> Vector:
        moved = participations(self.coefficients(), self.min_gap, self.times)
        return np.sqrt(np.concatenate([[0.0], np.cumsum(moved**2)])) * MARGIN


def check_fresh(fresh: Integers) -> None:
    """Raise `RoundError` where fresh noise could overflow: it is not what it was said to be."""
    if fresh.size and (fresh.max() > ROOM or fresh.min() < -ROOM):
        raise RoundError("fresh noise is beyond 2**61: it does not have the standard deviation fresh_sigma.")


def check_sigma(sigma: float, bits: int) -> None:
    """Raise `ConfigurationError` where float64 cannot tell neighbouring integers of such noise apart."""
    if not 0 <= sigma <= 2.0**50:
        few = math.ceil(math.log2(sigma) - 50) if 0 < sigma < math.inf else bits
        raise ConfigurationError(
            f"fresh noise would have a standard deviation of {sigma:.3g} steps, and 2**50 is the most. Make "
            f"the strategy with bits={max(bits - few, 0)} instead of {bits}, or use a coarser grid."
        )

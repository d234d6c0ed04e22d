"""Strategies of least error: which coefficients, for how many rounds and what promise.

Minimised is the logarithm of ``sensitivity · rmse``. With ``v = C⁻¹ 1`` the squared error of prefix sum t is
``Σ_{i≤t} v_i²``, and ``dv = −C⁻¹ (dc * v)``, so a gradient is a correlation; with u the sum of the columns of
a client's participations, the squared sensitivity is ``u·u``. An evaluation takes O(rounds · bands), or
O(rounds log rounds) for buffers.

Source:
    Choquette-Choo et al. 2023, (Amplified) Banded Matrix Factorization, section 4.
    McKenna 2024, Scaling up the Banded Matrix Factorization Mechanism, section 3 (banded Toeplitz).
    McMahan, Xu, Zhang 2024, A Hassle-free Algorithm for Private Learning in Practice, section 4 (buffers).
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from typing import Any, Literal

import numpy as np

from hansa.errors import ConfigurationError, MissingExtraError, UnknownNameError
from hansa.privacy.matrix.banded import Banded, independent, on_grid, square_root
from hansa.privacy.matrix.buffered import MOST_BUFFERS, SLOWEST, Buffered
from hansa.privacy.matrix.error import errors
from hansa.privacy.matrix.participation import whole
from hansa.privacy.matrix.strategy import Strategy, Vector, participations

ENOUGH = 1e-3
"""A further buffer is used where it lessens the error by this share or more."""
AUTOMATIC = 5
"""Buffers at most, where their number is not given."""
MANY = 1000
"""Bands at most, where their number is not given: each is a vector of the state."""

_OPTIONS = {"maxiter": 3000, "maxfun": 6000, "ftol": 1e-12, "gtol": 1e-8}
_KINDS: dict[str, type[Strategy]] = {"banded": Banded, "blt": Buffered}

Problem = tuple[Vector, int, int]
"""Weight of each squared ``v_i``, the gap, and how often a client takes part."""


@functools.lru_cache(maxsize=64)
def optimal(
    *,
    rounds: int,
    min_gap: int,
    times: int | None = None,
    strategy: Literal["blt", "banded"] = "blt",
    bands: int | None = None,
    buffers: int | None = None,
    error: Literal["mean", "last"] = "mean",
    bits: int = 16,
) -> Strategy:
    """Return the strategy whose prefix sums are least off, for a guarantee.

    ``"blt"`` keeps a few vectors and is the default; ``"banded"`` keeps ``bands − 1``, and is about 5 %
    better with 100 bands at a gap of 100 and 1,000 rounds.

    Args:
        rounds: Releases of the run, from 1 to 100,000.
        min_gap: Two releases that a client is in differ by so many or more.
        times: Most releases that a client is in; None is as many as the gap lets.
        strategy: ``"blt"`` or ``"banded"``.
        bands: Of a banded strategy, from 1 to the smaller of gap and rounds; None is that, and 1,000 at most.
        buffers: Of a buffered strategy, from 1 to 8; None is as many as help, at most 5.
        error: ``"mean"`` of the squared errors, or the ``"last"`` one, which is the largest.
        bits: Fresh noise is on a grid of ``2**-bits``.

    Returns:
        A `Buffered` or `Banded` strategy; `independent` noise where no correlation helps. Keep its
        `describe()` with the run: another machine may find other last digits.

    Raises:
        ConfigurationError: A value is out of its range.
        MissingExtraError: SciPy is missing.

    Guarantees:
        Deterministic. Never worse than `independent`.
    """
    alone = independent(rounds=rounds, min_gap=min_gap, times=times, bits=bits)
    if strategy not in _KINDS:
        raise UnknownNameError("strategy of correlated noise", strategy, _KINDS)
    if error not in ("mean", "last"):
        raise UnknownNameError("error of a strategy", error, ("mean", "last"))
    if (bands if strategy == "blt" else buffers) is not None:
        raise ConfigurationError("bands are of a banded strategy, and buffers of strategy='blt'.")
    weights = (np.arange(rounds, 0, -1) / rounds) if error == "mean" else np.ones(rounds)
    problem = (weights, min_gap, alone.times)
    made = _banded(alone, problem, bands) if strategy == "banded" else _buffered(alone, problem, buffers)
    return made if _cost(made, error) < _cost(alone, error) else alone


def as_strategy(described: Mapping[str, Any]) -> Strategy:
    """Return the strategy of a `Strategy.describe`.

    Raises:
        ConfigurationError: It is not one.
    """
    settings: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in described.items()}
    kind = settings.pop("kind", None)
    if kind not in _KINDS:
        raise UnknownNameError("strategy of correlated noise", str(kind), _KINDS)
    try:
        return _KINDS[kind](**settings)
    except TypeError as e:
        raise ConfigurationError(f"a {kind} strategy cannot be made of {sorted(settings)}: {e}") from e


def _cost(strategy: Strategy, error: str) -> float:
    each = errors(strategy) ** 2
    return float(np.sqrt(np.mean(each) if error == "mean" else each[-1]))


def _banded(alone: Banded, problem: Problem, bands: int | None) -> Strategy:
    """Return the best banded strategy, from the square root on."""
    bands = min(alone.rounds, alone.min_gap, MANY) if bands is None else bands
    first = square_root(
        rounds=alone.rounds, min_gap=alone.min_gap, times=alone.times, bands=bands, bits=alone.bits
    )
    column = first.coefficients()
    size = len(first.numerators)
    if size == 1:
        return alone
    lfilter = _scipy("signal").lfilter

    def objective(free: Vector) -> tuple[float, Vector]:
        column[1:size] = free
        value, gradient = _loss(column, lambda v: lfilter([1.0], column[:size], v), problem)
        return value, gradient[1:size]

    found = _minimum(objective, column[1:size].copy(), bounds=[(0.0, 1.0)] * (size - 1))
    numerators = on_grid(np.concatenate([[1.0], found]), alone.bits)
    return Banded(
        rounds=alone.rounds,
        min_gap=alone.min_gap,
        times=alone.times,
        bits=alone.bits,
        numerators=numerators,
    )


def _buffered(alone: Banded, problem: Problem, buffers: int | None) -> Strategy:
    """Return the best buffered strategy of a number of buffers, or of as many as help."""
    if buffers is not None:
        whole("buffers", buffers, high=MOST_BUFFERS)
    if alone.rounds == 1:
        return alone
    best, least = None, np.inf
    for count in range(1, AUTOMATIC + 1) if buffers is None else [buffers]:
        value, decays, weights = _buffers(count, problem)
        if value > least + np.log1p(-ENOUGH):
            break
        best, least = (decays, weights), value
    if best is None:
        raise ConfigurationError("no buffered strategy was found. Use strategy='banded'.")
    return Buffered(
        rounds=alone.rounds,
        min_gap=alone.min_gap,
        times=alone.times,
        bits=alone.bits,
        decays=best[0],
        weights=best[1],
    )


def _buffers(count: int, problem: Problem) -> tuple[float, tuple[float, ...], tuple[float, ...]]:
    """Return the least loss with so many buffers, their decays and their weights.

    Free are the logits of the decays, and logits of the weights beside a slack of 0, so that the weights' sum
    stays below 1. The start is ``1/√(πt) = ∫ e^{−ts} / (π√s) ds`` on a logarithmic grid of rates s.
    """
    steps = np.arange(len(problem[0]) - 1)
    lfilter = _scipy("signal").lfilter
    rates = np.geomspace(1 / len(problem[0]), 1.0, count + 2)
    decays = np.exp(-rates[1:-1])
    weights = np.sqrt(rates[1:-1]) * np.log(rates[1] / rates[0]) / np.pi
    weights *= min(1.0, 0.5 / weights.sum())

    def objective(free: Vector) -> tuple[float, Vector]:
        decays, weights = _unpacked(free)
        powers = decays ** steps[:, None]
        below = np.poly(decays)
        above = below.copy()
        for i, weight in enumerate(weights):
            above[1:] += weight * np.poly(np.delete(decays, i))
        column = np.concatenate([[1.0], powers @ weights])
        value, gradient = _loss(column, lambda v: lfilter(below, above, v), problem)
        to_weights = powers.T @ gradient[1:]
        to_decays = weights * ((powers[:-1] * steps[1:, None]).T @ gradient[2:])
        return value, np.concatenate(
            [to_decays * decays * (1 - decays), weights * (to_weights - weights @ to_weights)]
        )

    start = np.concatenate([np.log(decays / (1 - decays)), np.log(weights / (1 - weights.sum()))])
    found = _minimum(objective, start)
    decays, weights = _unpacked(found)
    return objective(found)[0], tuple(np.minimum(decays, SLOWEST).tolist()), tuple(weights.tolist())


def _unpacked(free: Vector) -> tuple[Vector, Vector]:
    half = len(free) // 2
    odds = np.exp(np.clip(free[half:], -60, 60))
    return 1 / (1 + np.exp(-np.clip(free[:half], -60, 30))), odds / (1 + odds.sum())


def _loss(column: Vector, solve: Callable[[Vector], Vector], problem: Problem) -> tuple[float, Vector]:
    """Return the logarithm of sensitivity times error, and its gradient by the column's entries."""
    weights, min_gap, times = problem
    decoded = solve(np.ones(len(column)))
    square = decoded @ (weights * decoded)
    backward = solve(decoded)[::-1]
    by_error = -_scipy("signal").fftconvolve(2 * weights * decoded, backward)[len(column) - 1 :]
    moved = participations(column, min_gap, times)
    by_sensitivity = 2 * participations(moved[::-1], min_gap, times)[::-1]
    far = moved @ moved
    return float(np.log(square * far) / 2), (by_error / square + by_sensitivity / far) / 2


def _minimum(objective: Callable[[Vector], tuple[float, Vector]], start: Vector, **bounds: Any) -> Vector:
    minimize = _scipy("optimize").minimize
    return minimize(objective, start, jac=True, method="L-BFGS-B", options=_OPTIONS, **bounds).x


def _scipy(part: str) -> Any:
    try:
        import scipy.optimize
        import scipy.signal
    except ImportError as e:
        raise MissingExtraError("finding a strategy of correlated noise", "scipy", "privacy") from e
    return getattr(scipy, part)

"""Renyi curves of events: cheap, additive, and there for every mechanism. The looser of the two accountants.

A curve is the Renyi divergence at each of `ORDERS`. The curve of a composition is the sum of the curves.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import lru_cache

import numpy as np

from hansa.privacy import upstream
from hansa.privacy.events import (
    DiscreteLaplace,
    Event,
    FixedSampled,
    Gaussian,
    Laplace,
    NotPrivate,
    PoissonSampled,
    Pure,
    Repeated,
    Several,
    Skellam,
)
from hansa.privacy.terms import Neighbours, UnaccountableError

Curve = np.ndarray
Base = Callable[[np.ndarray], np.ndarray]

ORDERS = np.array([1 + x / 10 for x in range(1, 100)] + [*range(11, 64), 128, 256, 512, 1024], dtype=float)
"""The orders that dp-accounting uses, so that figures can be compared."""

_WHOLE = np.array([*range(2, 64), 128, 256, 512, 1024])
_LOG_FACTORIAL = np.cumsum(np.log(np.maximum(np.arange(_WHOLE[-1] + 1), 1)))
_LEAST = 1e-12  # below this a curve is rounding error, which must not turn into a promise of epsilon 0


def curve_of(terms: dict[Event, int], neighbours: Neighbours) -> Curve:
    """Return the Renyi curve of all terms together.

    Raises:
        UnaccountableError: If a term has no Renyi bound here.
    """
    total = np.zeros(len(ORDERS))
    for term, count in terms.items():
        total += count * _curve(term, neighbours)
    return total


@lru_cache(maxsize=4096)
def _curve(term: Event, neighbours: Neighbours) -> Curve:
    factor = 2.0 if neighbours == "replace" else 1.0
    match term:
        case NotPrivate():
            return np.full(len(ORDERS), np.inf)
        case PoissonSampled():
            curve = _poisson(term, neighbours)
        case FixedSampled():
            curve = _fixed(term, neighbours)
        case _:
            curve = _base(term, factor)(ORDERS)
    curve = np.maximum(curve, _LEAST)
    curve.flags.writeable = False
    return curve


def _base(event: Event, factor: float) -> Base:  # noqa: PLR0911 - one for each mechanism
    """Return the divergence of an event without sampling, for `factor` times the zero-out sensitivity."""
    match event:
        case Gaussian():
            return lambda a: a * factor**2 / (2 * event.noise_multiplier**2)
        case Laplace():
            return lambda a: _laplace(a, factor / event.noise_multiplier)
        case DiscreteLaplace():
            return lambda a: _randomised_response(a, factor * event.epsilon)
        case Pure():
            return lambda a: _randomised_response(a, event.epsilon)
        case Skellam():
            return lambda a: skellam_rdp(a, event.variance, l2=factor * event.l2, l1=factor * event.l1)
        case Repeated():
            inner = _base(event.event, factor)
            return lambda a: event.count * inner(a)
        case Several():
            parts = [_base(part, factor) for part in event.events]
            return lambda a: np.sum([part(a) for part in parts], axis=0)
        case NotPrivate():
            return lambda a: np.full(len(a), np.inf)
        case _:
            raise UnaccountableError(f"no Renyi bound is known here for {event}.")


def skellam_rdp(orders: np.ndarray, variance: float, *, l2: float, l1: float) -> np.ndarray:
    """Bound the Renyi divergence of symmetric Skellam noise on integer vectors.

    Args:
        orders: Renyi orders, greater than 1. The theorem is for whole orders; between them the curve of
            (order - 1) * divergence is convex and is replaced by its chord, which is never below it.
        variance: Of the noise in each coordinate, in units of the grid squared.
        l2: L2 sensitivity in units of the grid.
        l1: L1 sensitivity in units of the grid.

    Source: Agarwal, Kairouz and Liu, "The Skellam Mechanism for Differentially Private Federated Learning",
    2021, Theorem 3.5 and Corollary 3.6.
    """

    def at(a: np.ndarray) -> np.ndarray:
        near = ((2 * a - 1) * l2**2 + 6 * l1) / (4 * variance**2)
        return a * l2**2 / (2 * variance) + np.minimum(near, 3 * l1 / (2 * variance))

    low, high = np.floor(orders), np.ceil(orders)
    part = orders - low
    below, above = (low - 1) * at(np.maximum(low, 2)), (high - 1) * at(np.maximum(high, 2))
    return ((1 - part) * below + part * above) / (orders - 1)


def _laplace(a: np.ndarray, shift: float) -> np.ndarray:
    """Mironov, "Renyi Differential Privacy", 2017, Proposition 6; `shift` is L1 sensitivity over scale."""
    logs = np.logaddexp(np.log(a / (2 * a - 1)) + (a - 1) * shift, np.log((a - 1) / (2 * a - 1)) - a * shift)
    return np.maximum(logs / (a - 1), 0.0)


def _randomised_response(a: np.ndarray, epsilon: float) -> np.ndarray:
    """The divergence of the pair that dominates everything epsilon-DP (Kairouz, Oh and Viswanath, 2015)."""
    yes, no = -math.log1p(math.exp(-epsilon)), -epsilon - math.log1p(math.exp(-epsilon))
    return np.maximum(np.logaddexp(a * yes + (1 - a) * no, a * no + (1 - a) * yes) / (a - 1), 0.0)


def _poisson(term: PoissonSampled, neighbours: Neighbours) -> Curve:
    if neighbours == "replace":
        raise UnaccountableError(
            "for a Poisson sample under the relation replace there is no Renyi bound here; Gaussian noise "
            "has one by privacy losses (accountant pld), any noise under zero-out."
        )
    z = _gaussian_alone(term.event)
    if z is None:
        if term.cap is not None:
            raise UnaccountableError(
                f"a cap on a Poisson sample is accounted for Gaussian noise only, not {term}."
            )
        return _poisson_amplified(_base(term.event, 1.0), term.rate)
    plain = upstream.poisson_gaussian_rdp(term.rate, z, ORDERS)
    return plain if term.cap is None else _truncated(plain, term, z)


def _truncated(plain: Curve, term: PoissonSampled, z: float) -> Curve:
    """Bound one release on a Poisson sample of which at most `cap` units are kept.

    Either fewer than `cap` others were drawn, and the sample is Poisson; or as many or more were, and the
    unit is in the sample, in another's place, with some probability: a sample without replacement, in which
    the sum moves by twice the clip. The output is a mixture of the two cases with the same weights in both
    worlds, and exp((a-1) D_a) is jointly convex.
    """
    weight, rate = truncation(term)
    if weight == 0:
        return plain
    weight = min(weight, 1 - 1e-16)
    crowded = upstream.fixed_gaussian_rdp(rate, z / 2, ORDERS)
    crowded = np.minimum(crowded, ORDERS / (2 * (z / 2) ** 2))
    a = ORDERS - 1
    mixed = np.logaddexp(math.log1p(-weight) + a * plain, math.log(weight) + a * crowded) / a
    return np.maximum(mixed, 0.0)


def truncation(term: PoissonSampled) -> tuple[float, float]:
    """Return how probable a crowded sample is, and how probable it is to be in it then.

    Source: Ganesh et al., 2025 (arXiv 2508.15089), section 4.
    """
    population, cap = term.population or 0, term.cap or 0
    crowded = upstream.binomial_above(cap - 1, population - 1, term.rate)
    if crowded == 0:
        return 0.0, 0.0
    kept = upstream.binomial_above(cap, population, term.rate) * cap / population
    return crowded, min(1.0, kept / crowded)


def _fixed(term: FixedSampled, neighbours: Neighbours) -> Curve:
    if neighbours == "add/remove":
        raise UnaccountableError(
            "a cohort of a fixed size fixes the population as well, so that nobody can be added or removed; "
            "ask for the relation zero-out or replace."
        )
    z = _gaussian_alone(term.event)
    if z is not None:
        return upstream.fixed_gaussian_rdp(term.size / term.population, z / 2, ORDERS)
    return _fixed_amplified(_base(term.event, 2.0), term.size / term.population)


def _poisson_amplified(base: Base, rate: float) -> Curve:
    """Amplify any noise that is symmetric about 0, for whole orders; chords between them.

    With P and Q the outputs with and without the unit, E_Q[((1-q) + q P/Q)^a] is expanded by the binomial
    theorem. The opposite divergence is not greater, for x -> shift - x exchanges P and Q.

    Source: Zhu and Wang, "Poisson Subsampled Renyi Differential Privacy", 2019, Theorem 6; Mironov, Talwar
    and Zhang, 2019, Theorem 5, for the exchange.
    """

    def cgf(a: int, inner: np.ndarray) -> float:
        k = np.arange(2, a + 1)
        first = (a - 1) * math.log1p(-rate) + math.log1p((a - 1) * rate)
        logs = _log_choose(a, k) + (a - k) * math.log1p(-rate) + k * math.log(rate) + (k - 1) * inner[k - 2]
        return min(float(np.logaddexp.reduce([first, *logs])), (a - 1) * float(inner[a - 2]))

    return _chords(base, cgf)


def _fixed_amplified(base: Base, rate: float) -> Curve:
    """Amplify any noise for a sample without replacement, relation replace (base: for that sensitivity).

    Source: Wang, Balle and Kasiviswanathan, 2019, Theorem 9, with the divergence of infinite order unknown.
    """

    def cgf(a: int, inner: np.ndarray) -> float:
        k = np.arange(2, a + 1)
        factor = np.full(len(k), math.log(2))
        logs = _log_choose(a, k) + k * math.log(rate) + (k - 1) * inner[k - 2] + factor
        square = math.log(4) + float(inner[0]) + _log1mexp(float(inner[0]))  # 4 (e^D2 - 1)
        logs[0] = min(logs[0], 2 * math.log(rate) + _log_choose(a, 2) + square)
        return min(float(np.logaddexp.reduce([0.0, *logs])), (a - 1) * float(inner[a - 2]))

    return _chords(base, cgf)


def _chords(base: Base, cgf: Callable[[int, np.ndarray], float]) -> Curve:
    inner = base(np.arange(2, _WHOLE[-1] + 1, dtype=float))
    values = [0.0, *(cgf(int(a), inner) for a in _WHOLE)]
    return np.interp(ORDERS, [1, *_WHOLE], values) / (ORDERS - 1)


def _gaussian_alone(event: Event) -> float | None:
    """Return the noise multiplier if all that happened to a sample is (merged) Gaussian noise."""
    return event.noise_multiplier if isinstance(event, Gaussian) else None


def _log_choose(n: int, k: np.ndarray | int) -> np.ndarray:
    return _LOG_FACTORIAL[n] - _LOG_FACTORIAL[k] - _LOG_FACTORIAL[n - k]


def _log1mexp(x: float) -> float:
    return math.log(-math.expm1(-x)) if x > 0 else -math.inf

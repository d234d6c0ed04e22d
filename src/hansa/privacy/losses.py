"""Privacy loss distributions of events: exact up to a grid, and rounded so that epsilon is never too low.

One release is discretised once and kept; a run of many is a Fourier transform away.
"""

from __future__ import annotations

import math
from functools import lru_cache, reduce
from typing import Any

import numpy as np

from hansa.privacy import upstream
from hansa.privacy.events import DiscreteLaplace, Event, Gaussian, Laplace, PoissonSampled, Pure
from hansa.privacy.terms import Neighbours, UnaccountableError

FINE = 1e-4
"""Width of the grid of losses for figures that are reported. Off by less than 2e-4 in the test vectors."""
COARSE = 1e-3
"""Width for figures in passing. Epsilon is up to about 0.001 higher in a run of 1,000 rounds."""
MOST_TERMS = 32
"""More different releases than this are left to the Renyi accountant: each would cost up to a second."""
_MOST_POINTS = 500_000
_MOST_LOSS = 300.0


def losses_of(terms: dict[Event, int], neighbours: Neighbours, interval: float = FINE) -> Any:
    """Return the privacy loss distribution of all terms together.

    Raises:
        UnaccountableError: If a term has none here, or there are too many different ones.
    """
    if len(terms) > MOST_TERMS:
        raise UnaccountableError(
            f"privacy losses are composed of up to {MOST_TERMS} different releases here, not {len(terms)}."
        )
    one = [_repeated(term, count, neighbours, interval) for term, count in terms.items()]
    return reduce(lambda a, b: a.compose(b), one)


def extended(before: Any | None, terms: dict[Event, int], neighbours: Neighbours, tail: float) -> Any:
    """Return losses on the coarse grid with some more releases: a convolution, much quicker than a whole run.

    Args:
        before: What this function returned for the releases before these, or None for none.
        terms: The releases to add.
        neighbours: The neighbouring relation.
        tail: Mass of the tails that may be counted as infinite loss.
    """
    for term, count in terms.items():
        one = _repeated(term, count, neighbours, COARSE)
        before = one if before is None else before.compose(one, tail)
    return before


def interval_for(terms: dict[Event, int], about: float, interval: float = FINE) -> float:
    """Return a width of the grid with which the work stays within seconds and the error far below epsilon.

    Args:
        terms: What is to be composed.
        about: A rough epsilon, possibly infinite.
        interval: The width wanted.
    """
    widest = max((_range_of(term) for term in terms), default=1.0)
    needed = max(widest, min(about, 1e4)) / _MOST_POINTS
    return interval if needed <= interval else 10 ** math.ceil(math.log10(needed))


def least_delta(terms: dict[Event, int]) -> float:
    """Return the delta below which rounding errors of the Fourier transforms would be seen."""
    return max(1e-11, 1e-15 * sum(terms.values()))


def _range_of(term: Event) -> float:
    """Return how far the losses of one release reach, about."""
    inner = term.event if isinstance(term, PoissonSampled) else term
    match inner:
        case Gaussian():
            return 1 / (2 * inner.noise_multiplier**2) + 10 / inner.noise_multiplier
        case Laplace():
            return 2 / inner.noise_multiplier
        case _:
            return 1.0


def _repeated(term: Event, count: int, neighbours: Neighbours, interval: float) -> Any:
    one = _once(term, neighbours == "replace", interval)
    return one if count == 1 else one.self_compose(count)


@lru_cache(maxsize=64)
def _once(term: Event, replace: bool, interval: float) -> Any:
    shrunk = 0.5 if replace else 1.0
    match term:
        case Gaussian():
            z = term.noise_multiplier * shrunk
            return upstream.gaussian_pld(z, rate=1.0, replace=False, interval=interval)
        case Laplace():
            _check_range(shrunk, term)
            return upstream.laplace_pld(term.noise_multiplier * shrunk, rate=1.0, interval=interval)
        case DiscreteLaplace():
            return _pure(term.epsilon / shrunk, interval)
        case Pure():
            return _pure(term.epsilon, interval)
        case PoissonSampled():
            return _sampled(term, replace, interval)
        case _:
            raise UnaccountableError(f"privacy losses are not known here for {term}; its Renyi bound is.")


def _sampled(term: PoissonSampled, replace: bool, interval: float) -> Any:
    match term.event:
        case Gaussian(noise_multiplier=z):
            if term.cap is None or term.population is None:
                return upstream.gaussian_pld(z, rate=term.rate, replace=replace, interval=interval)
            return upstream.truncated_gaussian_pld(
                z,
                rate=term.rate,
                population=term.population,
                cap=term.cap,
                replace=replace,
                interval=interval,
            )
        case Laplace(noise_multiplier=b) if not replace and term.cap is None:
            _check_range(1.0, term.event)
            return upstream.laplace_pld(b, rate=term.rate, interval=interval)
        case _:
            relation = "replace" if replace else "zero-out and add/remove"
            raise UnaccountableError(f"privacy losses under {relation} are not known here for {term}.")


def _check_range(shrunk: float, event: Laplace | Pure) -> None:
    """Raise where exponentials would overflow; nothing is protected there anyway."""
    loss = event.epsilon if isinstance(event, Pure) else 1 / (event.noise_multiplier * shrunk)
    if loss > _MOST_LOSS:
        raise UnaccountableError(
            f"privacy losses of one release reach up to {_MOST_LOSS:g} here, not {loss:g}."
        )


def _pure(epsilon: float, interval: float) -> Any:
    """Return the losses of the pair that dominates everything epsilon-DP: a bit told with odds e^eps.

    As a function of e^x the least delta has corners at x = -epsilon and epsilon only, so that four points of
    the grid, two around each, dominate it with an error of the order of the width squared.

    Source: Kairouz, Oh and Viswanath, "The Composition Theorem for Differential Privacy", 2015.
    """
    _check_range(1.0, Pure(epsilon=epsilon))
    rung = epsilon / interval
    rungs = np.unique([math.floor(-rung), math.ceil(-rung), math.floor(rung), math.ceil(rung)])
    yes = 1 / (1 + math.exp(-epsilon))
    x = rungs * interval
    deltas = np.maximum(yes - np.exp(x) * (1 - yes), 0) + np.maximum((1 - yes) - np.exp(x) * yes, 0)
    return upstream.pld_through(rungs, np.minimum(deltas, 1.0), interval=interval)

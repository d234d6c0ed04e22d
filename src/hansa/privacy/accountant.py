"""What events promise: the smallest epsilon that an accountant can prove for a delta.

Four accountants, all of which give upper bounds, so that the least of them holds:

- ``exact``: the closed form of the Gaussian mechanism, where all noise is Gaussian and nobody is sampled;
- ``pld``: privacy loss distributions on a grid, rounded upwards; where a mechanism has one, this is tight;
- ``rdp``: Renyi divergences, for nearly every mechanism, some 15 % above;
- ``sum``: the sum of epsilons, where no release needs a delta.

Never a central limit approximation: it says 11.99 where 13.36 is right, and is no bound.

The neighbouring relations, that is, what changes between the two worlds that must be hard to tell apart:

- ``zero-out``: one unit's contribution becomes zero, the population stays (Kairouz et al., 2021, def. 1.1);
- ``add/remove``: one unit is there or not; noise of the sums here costs the same as under zero-out;
- ``replace``: one unit's contribution becomes any other, so that a sum moves by up to twice the clip.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal, cast

from hansa.errors import ConfigurationError, UnknownNameError
from hansa.privacy import losses, renyi, upstream
from hansa.privacy.budget import check_delta
from hansa.privacy.events import DiscreteLaplace, Event, Gaussian, Laplace, NotPrivate, Pure
from hansa.privacy.terms import NEIGHBOURS, Neighbours, UnaccountableError, terms_of

Accountant = Literal["exact", "pld", "rdp", "sum"]
ACCOUNTANTS: tuple[Accountant, ...] = ("exact", "sum", "rdp", "pld")
Terms = dict[Event, int]

_NO_PROTECTION = 100.0  # an epsilon beyond which a tighter bound is not worth minutes


@dataclass(frozen=True, kw_only=True)
class Spent:
    """A privacy loss, with everything needed to read it.

    Attributes:
        epsilon: An upper bound; infinite if something was released without protection.
        delta: The probability with which the bound may fail, roughly speaking.
        neighbours: What changes between the two worlds.
        accountant: Which bound it is: ``exact``, ``pld``, ``rdp`` or ``sum``.
        version: The package that computed it.
    """

    epsilon: float
    delta: float
    neighbours: Neighbours
    accountant: Accountant
    version: str


def spent(
    event: Event,
    *,
    delta: float,
    neighbours: Neighbours,
    accountant: Accountant | Literal["best"] = "best",
    interval: float = losses.FINE,
) -> Spent:
    """Return the epsilon of an event for a delta.

    Args:
        event: What happened, or would happen.
        delta: Between 0 and 1, both excluded; below 1/population to mean anything.
        neighbours: The neighbouring relation.
        accountant: ``best`` is the least bound of all that apply; else the one named.
        interval: Width of the grid of privacy losses. A wider one is faster and epsilon a little higher.

    Raises:
        ConfigurationError: If a value is out of range, or no accountant (or not the one named) has a bound.
        MissingExtraError: If dp-accounting is not installed.

    Guarantees:
        The event is (epsilon, delta)-DP for the relation. Where both apply, ``best`` is at most ``rdp``.

    Example:
        >>> from hansa.privacy.events import PoissonSampled, Repeated
        >>> release = PoissonSampled(rate=0.01, event=Gaussian(noise_multiplier=1.0))
        >>> of_run = spent(Repeated(event=release, count=1000), delta=1e-5, neighbours="zero-out")
        >>> round(of_run.epsilon, 3), of_run.accountant
        (1.828, 'pld')
    """
    check_delta(delta)
    _check_names(neighbours, accountant)
    return _spent(event, float(delta), neighbours, accountant, interval)


@lru_cache(maxsize=1024)
def _spent(
    event: Event,
    delta: float,
    neighbours: Neighbours,
    accountant: Accountant | Literal["best"],
    interval: float,
) -> Spent:
    def bound(how: Accountant, terms: Terms, width: float) -> float:
        match how:
            case "exact":
                return upstream.gaussian_epsilon(_only_gaussian(terms, neighbours), delta)
            case "sum":
                return _sum_of_epsilons(terms, neighbours)
            case "rdp":
                return upstream.epsilon_of_rdp(renyi.ORDERS, renyi.curve_of(terms, neighbours), delta)
            case "pld":
                least = losses.least_delta(terms)
                if delta < least:
                    raise UnaccountableError(
                        f"privacy losses hold for a delta of {least:g} or more, got {delta:g}: use rdp."
                    )
                return float(losses.losses_of(terms, neighbours, width).get_epsilon_for_delta(delta))

    least, how = _least(terms_of(event), neighbours, accountant, interval, bound, unprotected=math.inf)
    return Spent(
        epsilon=least, delta=delta, neighbours=neighbours, accountant=how, version=upstream.version()
    )


def delta_of(
    event: Event,
    epsilon: float,
    *,
    neighbours: Neighbours,
    accountant: Accountant | Literal["best"] = "best",
) -> float:
    """Return the delta of an event for an epsilon; arguments and errors as in `spent`.

    Example:
        >>> f"{delta_of(Gaussian(noise_multiplier=1.0), 4.377178, neighbours='zero-out'):.3g}"
        '1e-05'
    """
    if not epsilon >= 0:
        raise ConfigurationError(f"epsilon must be 0 or greater, got {epsilon}.")
    _check_names(neighbours, accountant)

    def bound(how: Accountant, terms: Terms, width: float) -> float:
        match how:
            case "exact":
                return upstream.gaussian_delta(_only_gaussian(terms, neighbours), epsilon)
            case "sum":
                return 0.0 if _sum_of_epsilons(terms, neighbours) <= epsilon else 1.0
            case "rdp":
                return upstream.delta_of_rdp(renyi.ORDERS, renyi.curve_of(terms, neighbours), epsilon)
            case "pld":
                delta = float(losses.losses_of(terms, neighbours, width).get_delta_for_epsilon(epsilon))
                return min(max(delta, losses.least_delta(terms)), 1.0)

    return _least(terms_of(event), neighbours, accountant, losses.FINE, bound, unprotected=1.0)[0]


def _check_names(neighbours: str, accountant: str) -> None:
    if neighbours not in NEIGHBOURS:
        raise UnknownNameError("neighbouring relation", neighbours, NEIGHBOURS)
    if accountant not in {"best", *ACCOUNTANTS}:
        raise UnknownNameError("accountant", accountant, ("best", *ACCOUNTANTS))


def _least(
    terms: Terms,
    neighbours: Neighbours,
    accountant: str,
    interval: float,
    bound: Callable[[Accountant, Terms, float], float],
    *,
    unprotected: float,
) -> tuple[float, Accountant]:
    """Return the least bound of the accountant named, or of all that apply, and which it is."""
    upstream.dp_accounting()
    if any(isinstance(term, NotPrivate) for term in terms):
        return unprotected, "exact"
    if not terms:
        return 0.0, "exact"
    if accountant != "best":
        named = cast(Accountant, accountant)
        rough = _rough(terms, neighbours) if named == "pld" else 0.0
        return bound(named, terms, losses.interval_for(terms, rough, interval)), named
    found: dict[Accountant, float] = {}
    reasons: list[str] = []
    for how in ACCOUNTANTS:
        rough = _rough(terms, neighbours) if how == "pld" and "exact" not in found else 0.0
        if how == "pld" and found and ("exact" in found or rough > _NO_PROTECTION):
            continue
        try:
            found[how] = bound(how, terms, losses.interval_for(terms, rough, interval))
        except UnaccountableError as error:
            reasons.append(str(error))
    if not found:
        raise UnaccountableError("no accountant has a bound for this: " + " ".join(reasons[2:]))
    how = min(found, key=lambda name: found[name])
    return found[how], how


def _rough(terms: Terms, neighbours: Neighbours) -> float:
    """Return about what epsilon will be, for the width of the grid; 0 if nothing quick says so."""
    try:
        about = upstream.epsilon_of_rdp(renyi.ORDERS, renyi.curve_of(terms, "zero-out"), 1e-5)
    except UnaccountableError:
        return 0.0
    return about * (2 if neighbours == "replace" else 1)


def _only_gaussian(terms: Terms, neighbours: Neighbours) -> float:
    """Return the noise multiplier, for the sensitivity of the relation, if there is Gaussian noise alone."""
    alone = next(iter(terms))
    if len(terms) > 1 or not isinstance(alone, Gaussian):
        raise UnaccountableError("the closed form is for Gaussian noise without sampling only.")
    return alone.noise_multiplier / (2 if neighbours == "replace" else 1)


def _sum_of_epsilons(terms: Terms, neighbours: Neighbours) -> float:
    total = 0.0
    for term, count in terms.items():
        match term:
            case Pure():
                total += count * term.epsilon
            case Laplace():
                total += count * (2 if neighbours == "replace" else 1) / term.noise_multiplier
            case DiscreteLaplace():
                total += count * (2 if neighbours == "replace" else 1) * term.epsilon
            case _:
                raise UnaccountableError(f"there is no epsilon without a delta for {term}.")
    return total

"""An event as what the accountant can add up: single releases, each with the number of times it happened."""

from __future__ import annotations

import dataclasses
import math
from collections import Counter
from typing import Literal

from hansa.errors import ConfigurationError
from hansa.privacy.events import Event, FixedSampled, Gaussian, PoissonSampled, Pure, Repeated, Several

Neighbours = Literal["zero-out", "add/remove", "replace"]
NEIGHBOURS: tuple[Neighbours, ...] = ("zero-out", "add/remove", "replace")


class UnaccountableError(ConfigurationError):
    """An accountant has no bound for an event under a neighbouring relation. Says which, and what has one."""


def terms_of(event: Event) -> dict[Event, int]:
    """Return the single releases of an event and their counts, merged where that is exact.

    - Gaussian releases of the same contribution are one, with noise multiplier (sum of z^-2)^(-1/2): together
      they are one vector with noise whose coordinates are scaled (the argument of Andrew et al., 2021).
    - A sample that is everybody is no sample.
    - A pure release with epsilon on a Poisson sample with rate q is pure with log(1 + q (e^epsilon - 1)).
      Source: Balle, Barthe and Gaboardi, 2018, Theorems 8 and 10; valid under all three relations, for
      `Pure.epsilon` bounds the change between any two contributions.

    Example:
        >>> terms_of(Several(events=[Gaussian(noise_multiplier=2.0), Gaussian(noise_multiplier=2.0)]))
        {Gaussian(noise_multiplier=1.414...): 1}
    """
    counted: Counter[Event] = Counter()
    _add(event, 1, counted)
    return _merged(counted)


def _add(event: Event, times: int, counted: Counter[Event]) -> None:
    match event:
        case Repeated():
            _add(event.event, times * event.count, counted)
        case Several():
            for part in event.events:
                _add(part, times, counted)
        case PoissonSampled() | FixedSampled():
            _add_sampled(event, times, counted)
        case _:
            counted[event] += times


def _add_sampled(event: PoissonSampled | FixedSampled, times: int, counted: Counter[Event]) -> None:
    inner = terms_of(event.event)
    if _is_everybody(event):
        for term, count in inner.items():
            counted[term] += times * count
        return
    if not inner:
        return
    if any(isinstance(term, (PoissonSampled, FixedSampled)) for term in inner):
        raise ConfigurationError(
            "a sample of a sample has no accountant here. Multiply the rates of independent Poisson samples."
        )
    if isinstance(event, PoissonSampled):
        if all(isinstance(term, Pure) for term in inner) and event.cap is None:
            total = sum(term.epsilon * count for term, count in inner.items() if isinstance(term, Pure))
            counted[Pure(epsilon=_amplified(total, event.rate))] += times
            return
        if event.cap is None:
            event = dataclasses.replace(event, population=None)  # says nothing without a cap
    parts = tuple(Repeated(event=term, count=count) if count > 1 else term for term, count in inner.items())
    whole = parts[0] if len(parts) == 1 else Several(events=parts)
    counted[dataclasses.replace(event, event=whole)] += times


def _is_everybody(event: PoissonSampled | FixedSampled) -> bool:
    if isinstance(event, FixedSampled):
        return event.size == event.population
    return event.rate == 1 and (event.cap is None or event.cap >= (event.population or 0))


def _amplified(epsilon: float, rate: float) -> float:
    if epsilon < 1:
        return math.log1p(rate * math.expm1(epsilon))
    return epsilon + math.log(rate + (1 - rate) * math.exp(-epsilon))  # the same, and never overflows


def _merged(counted: Counter[Event]) -> dict[Event, int]:
    gaussians = [(term, count) for term, count in counted.items() if isinstance(term, Gaussian)]
    if not gaussians:
        return dict(counted)
    rest = {term: count for term, count in counted.items() if not isinstance(term, Gaussian)}
    if len(gaussians) == 1 and gaussians[0][1] == 1:
        return dict(counted)
    precision = math.fsum(count / term.noise_multiplier**2 for term, count in gaussians)
    return {Gaussian(noise_multiplier=precision**-0.5): 1, **rest}

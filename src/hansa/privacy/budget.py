"""What a user states: how much privacy may be spent, and on whose behalf."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from hansa.errors import ConfigurationError, UnknownNameError
from hansa.privacy.terms import NEIGHBOURS, Neighbours

UNITS = ("client", "silo", "record")


@dataclass(frozen=True, kw_only=True)
class Budget:
    """The most that a run may reveal.

    Attributes:
        epsilon: The privacy loss, above 0. Below 1 is strong; above 10 says little.
        delta: The chance with which the loss may be larger, above 0 and below 1. It must be well below one
            over the number of those who are protected: with that chance a mechanism may give one of them
            away.
    """

    epsilon: float
    delta: float

    def __post_init__(self) -> None:
        check_epsilon(self.epsilon)
        check_delta(self.delta)


@dataclass(frozen=True, kw_only=True)
class Person:
    """Protect a person whose data may be at several clients.

    Attributes:
        max_clients: At how many, at most. Hansa cannot see this: the promise holds if it is so.
    """

    max_clients: int

    def __post_init__(self) -> None:
        if not is_whole(self.max_clients) or self.max_clients < 1:
            raise ConfigurationError(
                f"Person.max_clients must be a whole number of 1 or more, got {self.max_clients!r}."
            )


Unit = str | Person
"""Who is protected: ``"client"``, ``"silo"`` (the same, for organisations), ``"record"``, or a `Person`."""


def group_of(unit: Unit) -> int:
    """Return how many clients may hold the data of one who is protected."""
    return unit.max_clients if isinstance(unit, Person) else 1


def unit_words(unit: Unit) -> str:
    """Return who is protected, in words.

    Example:
        >>> unit_words("client"), unit_words(Person(max_clients=3))
        ('each client', 'each person with data at up to 3 clients')
    """
    return (
        f"each person with data at up to {unit.max_clients} clients"
        if isinstance(unit, Person)
        else f"each {unit}"
    )


def describe_unit(unit: Unit) -> Any:
    """Return who is protected for the run's configuration."""
    return {"person": unit.max_clients} if isinstance(unit, Person) else unit


def check_unit(unit: Unit, allowed: tuple[str, ...]) -> None:
    """Raise `ConfigurationError` unless a plan can protect this unit."""
    if isinstance(unit, Person) and "client" in allowed:
        return
    if unit not in allowed:
        raise UnknownNameError("unit that this plan protects", str(unit), allowed)


def relation(name: str | None) -> Neighbours:
    """Return a neighbouring relation by its name.

    Raises:
        UnknownNameError: There is no such relation.
    """
    for known in NEIGHBOURS:
        if name == known:
            return known
    raise UnknownNameError("neighbouring relation", str(name), NEIGHBOURS)


def check_epsilon(epsilon: float) -> None:
    """Raise `ConfigurationError` unless an epsilon can be a budget."""
    if not is_real(epsilon) or not 0 < epsilon < math.inf:
        raise ConfigurationError(
            f"epsilon must be a finite number above 0, got {epsilon!r}. Without noise there is no budget to "
            "keep: leave privacy out."
        )


def check_delta(delta: float) -> None:
    """Raise `ConfigurationError` unless a delta is above 0 and below 1."""
    if not is_real(delta) or not 0 < delta < 1:
        raise ConfigurationError(
            f"delta must be above 0 and below 1, got {delta!r}. Take a tenth of one over the number of those "
            "who are protected, or less."
        )


def check_delta_for(delta: float, members: int, *, of: str) -> None:
    """Raise `ConfigurationError` if a delta is larger than one over the number of the protected."""
    if delta > 1 / members:
        raise ConfigurationError(
            f"delta={delta:g} is larger than 1/{members}, one over {of}: a mechanism that publishes one of "
            f"them at random would pass. Take at most {1 / (10 * members):.1g}."
        )


def is_real(value: Any) -> bool:
    """Whether a setting is a Python number; True and False are none."""
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def is_whole(value: Any) -> bool:
    """Whether a setting is a whole number; True and False are none."""
    return isinstance(value, int) and not isinstance(value, bool)

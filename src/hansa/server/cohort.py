"""Who takes part in a round: all clients, a fixed number, or each with the same probability."""

from __future__ import annotations

import abc
from dataclasses import dataclass
from typing import Any

import numpy as np

from hansa.errors import ConfigurationError
from hansa.rng import Seeds


class Cohort(abc.ABC):
    """Draws the clients of a round."""

    @abc.abstractmethod
    def draw(self, clients: tuple[str, ...], number: int, seeds: Seeds) -> tuple[str, ...]:
        """Return the names of the clients of the round of this number, in population order."""

    @abc.abstractmethod
    def check(self, population: int) -> None:
        """Raise `ConfigurationError` if the cohort cannot be drawn from a population of this size."""

    def members(self, population: int) -> int | None:  # noqa: ARG002 - it may depend on it
        """Return the number of clients of every round, or None where it is not the same in each."""
        return None

    @abc.abstractmethod
    def describe(self) -> dict[str, Any]:
        """Return the settings for the run's configuration."""


@dataclass(frozen=True)
class AllClients(Cohort):
    """Every client takes part in every round."""

    def draw(self, clients: tuple[str, ...], number: int, seeds: Seeds) -> tuple[str, ...]:  # noqa: ARG002
        """Return all clients."""
        return clients

    def check(self, population: int) -> None:
        """Accept any population."""

    def members(self, population: int) -> int:
        """Return the size of the population."""
        return population

    def describe(self) -> dict[str, Any]:
        """Return the settings for the run's configuration."""
        return {"kind": "all"}


@dataclass(frozen=True)
class FixedSize(Cohort):
    """A fixed number of clients, drawn uniformly without replacement.

    Attributes:
        size: Number of clients a round, from 1 to the population.
    """

    size: int

    def __post_init__(self) -> None:
        if isinstance(self.size, bool) or not isinstance(self.size, int) or self.size < 1:
            raise ConfigurationError(f"a cohort has at least 1 client, got {self.size!r}.")

    def draw(self, clients: tuple[str, ...], number: int, seeds: Seeds) -> tuple[str, ...]:
        """Return ``size`` clients."""
        chosen = seeds.stream("cohort", number).choice(len(clients), size=self.size, replace=False)
        return tuple(clients[i] for i in np.sort(chosen).tolist())

    def check(self, population: int) -> None:
        """Raise `ConfigurationError` if the cohort is larger than the population."""
        if self.size > population:
            raise ConfigurationError(
                f"the cohort is {self.size} clients but there are only {population}; ask for at most "
                f"{population}, or leave cohort out to use all clients."
            )

    def members(self, population: int) -> int:  # noqa: ARG002 - it does not depend on it
        """Return ``size``."""
        return self.size

    def describe(self) -> dict[str, Any]:
        """Return the settings for the run's configuration."""
        return {"kind": "fixed", "size": self.size}


@dataclass(frozen=True)
class Poisson(Cohort):
    """Each client takes part with the same probability, independently of the others and of other rounds.

    An empty cohort is possible; such a round leaves the model as it is.

    Attributes:
        rate: The probability, above 0 and at most 1.
    """

    rate: float

    def __post_init__(self) -> None:
        if isinstance(self.rate, bool) or not isinstance(self.rate, (int, float)) or not (0 < self.rate <= 1):
            raise ConfigurationError(f"a Poisson cohort's rate is above 0 and at most 1, got {self.rate!r}.")

    def draw(self, clients: tuple[str, ...], number: int, seeds: Seeds) -> tuple[str, ...]:
        """Return the clients whose coin came up."""
        coins = seeds.stream("cohort", number).random(len(clients)) < self.rate
        return tuple(clients[i] for i in np.flatnonzero(coins).tolist())

    def check(self, population: int) -> None:
        """Accept any population."""

    def describe(self) -> dict[str, Any]:
        """Return the settings for the run's configuration."""
        return {"kind": "poisson", "rate": self.rate}


def as_cohort(value: Cohort | int | None) -> Cohort:
    """Return a cohort for what the user wrote: None is all, an int a fixed size."""
    if value is None:
        return AllClients()
    if isinstance(value, Cohort):
        return value
    if isinstance(value, int) and not isinstance(value, bool):
        return FixedSize(value)
    raise ConfigurationError(
        "cohort must be None (all clients), a number of clients, FixedSize(n) or Poisson(rate), "
        f"got {value!r}."
    )

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

    An empty cohort is possible; such a round leaves the model as it is, or as noise alone makes it.

    Attributes:
        rate: The probability, above 0 and at most 1.
        cap: Most clients of a round; of more that many are taken, each with the same chance. None takes all.
    """

    rate: float
    cap: int | None = None

    def __post_init__(self) -> None:
        if isinstance(self.rate, bool) or not isinstance(self.rate, (int, float)) or not (0 < self.rate <= 1):
            raise ConfigurationError(f"a Poisson cohort's rate is above 0 and at most 1, got {self.rate!r}.")
        if self.cap is not None and (
            isinstance(self.cap, bool) or not isinstance(self.cap, int) or self.cap < 1
        ):
            raise ConfigurationError(f"a Poisson cohort's cap is a number of clients, got {self.cap!r}.")

    def draw(self, clients: tuple[str, ...], number: int, seeds: Seeds) -> tuple[str, ...]:
        """Return the clients whose coin came up."""
        stream = seeds.stream("cohort", number)
        chosen = np.flatnonzero(stream.random(len(clients)) < self.rate)
        if self.cap is not None and len(chosen) > self.cap:
            chosen = np.sort(stream.choice(chosen, size=self.cap, replace=False))
        return tuple(clients[i] for i in chosen.tolist())

    def check(self, population: int) -> None:
        """Raise `ConfigurationError` if the cap is below the expected number of clients."""
        if self.cap is not None and self.cap < self.rate * population:
            raise ConfigurationError(
                f"a cohort of at most {self.cap} clients is fewer than the {self.rate * population:g} that a "
                f"rate of {self.rate:g} draws on average of {population}. Take a cap of "
                f"{roomy_cap(self.rate, population)} or more, or a lower rate."
            )

    def describe(self) -> dict[str, Any]:
        """Return the settings for the run's configuration."""
        capped = {} if self.cap is None else {"cap": self.cap}
        return {"kind": "poisson", "rate": self.rate, **capped}


@dataclass(frozen=True, kw_only=True)
class AtMost(Cohort):
    """Each client takes part a limited number of times, with a gap between.

    Clients are dealt into ``min_gap`` groups of about the same size, which take turns: nobody needs to be
    drawn in secret, and no assumption about sampling is made.

    Attributes:
        times: Rounds that a client takes part in, at most (k).
        min_gap: Rounds from one of them to the next, at least (b): 1 is every round.
    """

    times: int
    min_gap: int

    def __post_init__(self) -> None:
        for name, value in (("times", self.times), ("min_gap", self.min_gap)):
            if isinstance(value, bool) or not isinstance(value, int) or value < 1:
                raise ConfigurationError(f"AtMost.{name} must be a whole number of 1 or more, got {value!r}.")

    def draw(self, clients: tuple[str, ...], number: int, seeds: Seeds) -> tuple[str, ...]:
        """Return the group whose turn it is; nobody once each has had all of its turns."""
        turn, group = divmod(number, self.min_gap)
        if turn >= self.times:
            return ()
        dealt = seeds.stream("groups").permutation(len(clients))
        return tuple(clients[i] for i in np.sort(dealt[group :: self.min_gap]).tolist())

    def check(self, population: int) -> None:
        """Raise `ConfigurationError` if a round would have no client."""
        if self.min_gap > population:
            raise ConfigurationError(
                f"with a gap of {self.min_gap} rounds and only {population} clients some rounds have none. "
                f"Take a gap of at most {population}."
            )

    def members(self, population: int) -> int | None:
        """Return the number of clients of a round, where groups are of the same size."""
        return None if population % self.min_gap else population // self.min_gap

    def describe(self) -> dict[str, Any]:
        """Return the settings for the run's configuration."""
        return {"kind": "at_most", "times": self.times, "min_gap": self.min_gap}


def roomy_cap(rate: float, population: int) -> int:
    """Return a cap for a Poisson cohort that is hardly ever reached: five deviations above the mean."""
    mean = rate * population
    return min(population, int(np.ceil(mean + 5 * np.sqrt(mean))) + 1)


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

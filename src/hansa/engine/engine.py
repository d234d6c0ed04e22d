"""What an engine is: it answers Asks, and knows nothing of learning."""

from __future__ import annotations

import abc
from collections.abc import Iterable, Mapping
from typing import Any, ClassVar, Protocol

from hansa.client import Site
from hansa.errors import ConfigurationError
from hansa.plan import Plan
from hansa.rng import Seeds
from hansa.train.learner import Learner
from hansa.types import Answer, Ask, Examples, Memory


class Engine(Protocol):
    """Answers the Asks of a run's rounds.

    What clients learn in a round is staged, and becomes theirs with `commit`, so that a round that fails
    leaves nothing behind.

    Attributes:
        memories: What each client remembers of the committed rounds.
    """

    memories: dict[str, Memory]

    @property
    def learned(self) -> Mapping[str, Memory]:
        """What clients learned in the last round and do not yet remember, by name."""
        ...

    def answer(self, ask: Ask) -> Answer:
        """Let the clients do what is asked."""
        ...

    def forget(self, names: Iterable[str]) -> None:
        """Let clients forget what they learned in the last round: their updates are not in it."""
        ...

    def commit(self) -> None:
        """Make what the clients learned in the last round their memory."""
        ...

    def describe(self) -> dict[str, Any]:
        """Return what of the engine decides the result, bit for bit, JSON-able; empty for the local one."""
        ...

    def facts(self) -> dict[str, Any]:
        """Return what people may want to know of it: kind, strategy, workers, programs compiled."""
        ...

    def close(self) -> None:
        """Stop its workers; does nothing the second time."""
        ...


class Staging:
    """What clients remember, and what they learned in the round that goes on.

    Attributes:
        memories: What each client remembers of the committed rounds.
    """

    def __init__(self) -> None:
        """Begin with nothing."""
        self.memories: dict[str, Memory] = {}
        self._staged: dict[str, Memory] = {}

    @property
    def learned(self) -> Mapping[str, Memory]:
        """What clients learned in the last round and do not yet remember, by name."""
        return self._staged

    def forget(self, names: Iterable[str]) -> None:
        """Let clients forget what they learned in the last round: their updates are not in it."""
        for name in names:
            self._staged.pop(name, None)

    def commit(self) -> None:
        """Make what the clients learned in the last round their memory."""
        self.memories.update(self._staged)
        self._staged = {}

    def remembered(self, name: str) -> Memory:
        """Return what a client knows now: what it learned in this round, or what it remembers."""
        return self._staged.get(name, self.memories.get(name, {}))


class Declared(abc.ABC):
    """An engine as a user declares it. Nothing is started yet.

    Attributes:
        keeps_rows: Whether the clients' rows stay in this process. Else the engine gets sites whose rows are
            read when they are looked at, and takes them in when it starts.
    """

    keeps_rows: ClassVar[bool] = True

    @abc.abstractmethod
    def start(
        self,
        plan: Plan,
        sites: Mapping[str, Site],
        learner: Learner,
        seeds: Seeds,
        *,
        server: Examples | None,
        known: Mapping[str, Any],
    ) -> Engine:
        """Return the engine, ready to answer.

        Args:
            plan: The plan of the run.
            sites: Each client's name and rows.
            learner: The model, built.
            seeds: The run's seeds.
            server: The server's validation rows, or None.
            known: What `Engine.describe` returned when the run began, where it is gone on with; else empty.
        """


def check_workers(workers: Any) -> None:
    """Raise `ConfigurationError` unless this is a number of workers, or None."""
    whole = isinstance(workers, int) and not isinstance(workers, bool)
    if workers is not None and (not whole or workers < 1):
        raise ConfigurationError(f"workers must be a whole number of 1 or more, got {workers!r}.")


def told(facts: Mapping[str, Any]) -> str:
    """Return an engine's facts as one line for people.

    Example:
        >>> told({"kind": "vector", "strategy": "loop", "workers": 2, "compilations": 1})
        'vector engine, 2 workers, strategy loop, 1 compiled program'
    """
    words = [f"{facts['kind']} engine"]
    for name, one in (("workers", "worker"), ("nodes", "node")):
        if name in facts:
            words.append(f"{facts[name]} {one}{'' if facts[name] == 1 else 's'}")
    if "strategy" in facts:
        words.append(f"strategy {facts['strategy']}")
    if "compilations" in facts:
        words.append(f"{facts['compilations']} compiled program{'' if facts['compilations'] == 1 else 's'}")
    return ", ".join(words)

"""The local engine: every client in this process, one after another."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, final

from hansa import client
from hansa.engine.cohort import Cohort
from hansa.engine.crew import Part
from hansa.engine.engine import Declared, Staging
from hansa.engine.parties import Parties, answer_of
from hansa.errors import ConfigurationError
from hansa.plan import Plan
from hansa.rng import Seeds
from hansa.train.learner import Learner
from hansa.types import Answer, Ask, Examples, FloatVector, Reply


@final
@dataclass(frozen=True)
class Local(Declared):
    """Clients in this process, one after another: the engine that all others are measured by.

    Example:
        >>> Local()
        Local()
    """

    def start(
        self,
        plan: Plan,
        sites: Mapping[str, client.Site],
        learner: Learner,
        seeds: Seeds,
        *,
        server: Examples | None,
        known: Mapping[str, Any],  # noqa: ARG002 - nothing of it decides the result
    ) -> LocalEngine:
        """Return the engine."""
        return LocalEngine(plan, sites, learner, seeds, server=server)


class LocalEngine(Staging):
    """Runs clients in this process, in cohort order, with one learner that they share.

    What clients remember is staged during a round and becomes theirs with `commit`, so that a round
    that fails leaves nothing behind.
    """

    def __init__(
        self,
        plan: Plan,
        sites: Mapping[str, client.Site],
        learner: Learner,
        seeds: Seeds,
        *,
        server: Examples | None,
    ) -> None:
        """Take the population.

        Args:
            plan: The plan of the run.
            sites: Each client's name and rows.
            learner: The model, built.
            seeds: The run's seeds.
            server: The server's validation rows, or None.
        """
        super().__init__()
        self._plan, self._sites, self._learner = plan, sites, learner
        self._seeds, self._server = seeds, server
        self._parties = Parties.of(plan, sites, seeds)

    def answer(self, ask: Ask) -> Answer:
        """Let the clients do what is asked."""
        if ask.phase == "train":
            return self._train(ask)
        if ask.phase == "tell":
            return self._tell(ask)
        if ask.place is not None:
            return answer_of(ask, {name: self._parties.reply(name, ask) for name in ask.clients})
        if ask.phase == "evaluate":
            return self._evaluate(ask)
        if ask.phase == "validate" and self._server is not None:
            reply = client.validate(self._plan, self._server, self._learner, weights=ask.payload)
            return Answer(replies={"@server": reply})
        raise ConfigurationError(f"the local engine cannot answer the phase {ask.phase!r}.")

    def describe(self) -> dict[str, Any]:
        """Return nothing: this is the engine that results are told by."""
        return {}

    def facts(self) -> dict[str, Any]:
        """Return the engine's kind."""
        return {"kind": "local"}

    def close(self) -> None:
        """Nothing is to be stopped."""

    def _train(self, ask: Ask) -> Answer:
        cohort = Cohort(ask, self._plan)
        self._staged = cohort.learned
        for position, name in enumerate(ask.clients):
            part = Part()
            with part.timed("train"):
                part.replies[name], memory = client.train(
                    self._plan,
                    self._sites[name],
                    self._learner,
                    start=ask.payload,
                    memory=self.memories.get(name, {}),
                    seeds=self._seeds,
                )
            if memory:
                part.learned[name] = memory
            cohort.take(self._parties.sent(part, ask), first=position)
        return cohort.answer()

    def _tell(self, ask: Ask) -> Answer:
        replies = {}
        for name in ask.clients:
            measured = None if ask.payload is None else self._measure(name, ask.payload)
            replies[name] = self._parties.told(name, measured, ask)
        return answer_of(ask, replies)

    def _measure(self, name: str, weights: FloatVector) -> Reply:
        memory = self.remembered(name)
        return client.evaluate(self._plan, self._sites[name], self._learner, weights=weights, memory=memory)

    def _evaluate(self, ask: Ask) -> Answer:
        replies = {name: self._measure(name, ask.payload) for name in ask.clients}
        return Answer(replies=replies, bytes_down=ask.payload.nbytes * len(ask.clients))

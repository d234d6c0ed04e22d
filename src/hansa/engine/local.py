"""The local engine: every client in this process, one after another."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, final

from hansa import client
from hansa.engine.engine import Declared
from hansa.errors import ConfigurationError
from hansa.plan import Plan
from hansa.rng import Seeds
from hansa.secure_sum.tree import TreeSum
from hansa.train.learner import Learner
from hansa.types import Answer, Ask, Examples, Memory, Reply, Start


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


class LocalEngine:
    """Runs clients in this process, in cohort order, with one learner that they share.

    What clients remember is staged during a round and becomes theirs with `commit`, so that a round
    that fails leaves nothing behind.

    Attributes:
        memories: What each client remembers of the committed rounds.
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
        self.memories: dict[str, Memory] = {}
        self._staged: dict[str, Memory] = {}
        self._plan, self._sites, self._learner = plan, sites, learner
        self._seeds, self._server = seeds, server

    def answer(self, ask: Ask) -> Answer:
        """Let the clients do what is asked."""
        if ask.phase == "train":
            return self._train(ask)
        if ask.phase == "evaluate":
            return self._evaluate(ask)
        if ask.phase == "validate" and self._server is not None:
            reply = client.validate(self._plan, self._server, self._learner, weights=ask.payload)
            return Answer(replies={"@server": reply})
        raise ConfigurationError(f"the local engine cannot answer the phase {ask.phase!r}.")

    @property
    def learned(self) -> Mapping[str, Memory]:
        """What clients learned in the last round and do not yet remember, by name."""
        return self._staged

    def commit(self) -> None:
        """Make what the clients learned in the last round their memory."""
        self.memories.update(self._staged)
        self._staged = {}

    def describe(self) -> dict[str, Any]:
        """Return nothing: this is the engine that results are told by."""
        return {}

    def facts(self) -> dict[str, Any]:
        """Return the engine's kind."""
        return {"kind": "local"}

    def close(self) -> None:
        """Nothing is to be stopped."""

    def _train(self, ask: Ask) -> Answer:
        start: Start = ask.payload
        self._staged = {}
        total = TreeSum(self._plan.update_size, len(ask.clients))
        replies: dict[str, Reply] = {}
        dropped: dict[str, str] = {}
        for position, name in enumerate(ask.clients):
            reply, memory = client.train(
                self._plan,
                self._sites[name],
                self._learner,
                start=start,
                memory=self.memories.get(name, {}),
                seeds=self._seeds,
            )
            reason = total.add(position, reply.delta, client=name)
            if reason:
                dropped[name] = reason
                continue
            if memory:
                self._staged[name] = memory
            kept = reply.delta if ask.reduce == "keep" else None
            replies[name] = Reply(delta=kept, examples=reply.examples, metrics=reply.metrics)
        down = start.weights.nbytes + sum(a.nbytes for a in start.extra.values())
        return Answer(
            replies=replies,
            total=total.result(),
            dropped=dropped,
            bytes_down=down * len(ask.clients),
            bytes_up=4 * self._plan.update_size * len(ask.clients),
        )

    def _evaluate(self, ask: Ask) -> Answer:
        replies = {
            name: client.evaluate(
                self._plan,
                self._sites[name],
                self._learner,
                weights=ask.payload,
                memory=self._staged.get(name, self.memories.get(name, {})),
            )
            for name in ask.clients
        }
        return Answer(replies=replies, bytes_down=ask.payload.nbytes * len(ask.clients))

"""An engine that is listened to, and whose clients fall silent in the last rounds."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping
from typing import Any, final

import numpy as np
from numpy.typing import NDArray

from hansa.client import Site
from hansa.engine import Declared, Engine
from hansa.plan import Plan
from hansa.rng import Seeds
from hansa.train.learner import Learner
from hansa.types import Answer, Ask, Examples, Memory, Total

SILENT = "it did not answer"


@final
class Watched(Declared):
    """An engine whose clients fall silent in the last two rounds, and whose plain sums may be listened to.

    Attributes:
        plan: The plan of the run, once it is started.
        seeds: Of the rotation of each round.
        messages: What each client sent, as floats, by round and name, where that is listened to.
    """

    def __init__(self, engine: Declared, *, taps: bool, rounds: int) -> None:
        """Take the engine that does the work.

        Args:
            engine: The engine.
            taps: Whether to ask clients one by one, and keep what each sends.
            rounds: Rounds of the run.
        """
        self._engine, self._taps, self._rounds = engine, taps, rounds
        self.plan: Plan | None = None
        self.seeds: dict[int, bytes] = {}
        self.messages: dict[tuple[int, str], NDArray[np.float64]] = {}

    def start(
        self,
        plan: Plan,
        sites: Mapping[str, Site],
        learner: Learner,
        seeds: Seeds,
        *,
        server: Examples | None,
        known: Mapping[str, Any],
    ) -> WatchedEngine:
        """Return the engine."""
        self.plan = plan
        inner = self._engine.start(plan, sites, learner, seeds, server=server, known=known)
        return WatchedEngine(inner, self)

    def silent(self, number: int, names: tuple[str, ...]) -> tuple[str, ...]:
        """Return who does not answer in a round: a quarter in the last but one, all in the last."""
        quarter = names[: len(names) // 4]
        return {self._rounds - 2: quarter, self._rounds - 1: names}.get(number, ())

    def listened(self, ask: Ask, answer: Answer) -> None:
        """Keep what one client sent."""
        if self.plan is None or self.plan.encoder is None or answer.total is None or not answer.replies:
            return
        integers = answer.total.vector.astype(np.int64)
        sent = self.plan.encoder.decoded(integers, 1.0, seed=ask.payload.seed)
        self.messages[ask.payload.round, ask.clients[0]] = sent

    @property
    def taps(self) -> bool:
        """Whether clients are asked one by one."""
        return self._taps


class WatchedEngine:
    """Hands Asks on to an engine, and loses what the silent ones would say."""

    def __init__(self, engine: Engine, watched: Watched) -> None:
        """Take the engine and what to keep of it."""
        self._engine, self._watched = engine, watched
        self.memories: dict[str, Memory] = engine.memories

    def answer(self, ask: Ask) -> Answer:
        """Let the clients do what is asked."""
        if ask.phase == "train":
            self._watched.seeds[ask.payload.round] = ask.payload.seed
        number = ask.place.round if ask.place is not None else getattr(ask.payload, "round", None)
        lost = self._watched.silent(-1 if number is None else number, ask.clients)
        if ask.place is not None:
            answer = self._engine.answer(ask)
            replies = {name: reply for name, reply in answer.replies.items() if name not in lost}
            answer = dataclasses.replace(answer, replies=replies)
        else:
            there = dataclasses.replace(ask, clients=tuple(name for name in ask.clients if name not in lost))
            answer = self._one_by_one(there) if self._watched.taps else self._engine.answer(there)
        return dataclasses.replace(answer, dropped={**answer.dropped, **dict.fromkeys(lost, SILENT)})

    def _one_by_one(self, ask: Ask) -> Answer:
        answers = [self._engine.answer(dataclasses.replace(ask, clients=(name,))) for name in ask.clients]
        if not answers:
            return self._engine.answer(ask)
        for name, answer in zip(ask.clients, answers, strict=True):
            self._watched.listened(dataclasses.replace(ask, clients=(name,)), answer)
        totals = [answer.total for answer in answers if answer.total is not None]
        total = Total(
            vector=np.sum([each.vector for each in totals], axis=0),
            weight=sum(each.weight for each in totals),
            count=sum(each.count for each in totals),
        )
        replies = {name: reply for answer in answers for name, reply in answer.replies.items()}
        dropped = {name: why for answer in answers for name, why in answer.dropped.items()}
        return Answer(replies=replies, total=total, dropped=dropped)

    @property
    def learned(self) -> Mapping[str, Memory]:
        """What clients learned in the last round and do not yet remember, by name."""
        return self._engine.learned

    def forget(self, names: Iterable[str]) -> None:
        """Let clients forget what they learned in the last round."""
        self._engine.forget(names)

    def commit(self) -> None:
        """Make what the clients learned in the last round their memory."""
        self._engine.commit()

    def describe(self) -> dict[str, Any]:
        """Return what of the engine decides the result."""
        return self._engine.describe()

    def facts(self) -> dict[str, Any]:
        """Return what the engine tells of itself."""
        return self._engine.facts()

    def close(self) -> None:
        """Stop the engine."""
        self._engine.close()

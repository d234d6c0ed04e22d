"""Clients that fall silent, on purpose: to see what a run does when some do not answer."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, final

from hansa.client import Site
from hansa.engine.engine import Declared, Engine
from hansa.plan import Plan
from hansa.rng import Seeds
from hansa.train.learner import Learner
from hansa.types import Answer, Ask, Examples, Memory

SILENT = "it did not answer"


@final
@dataclass(frozen=True)
class Unreliable(Declared):
    """An engine in which some clients do not answer in some phases.

    Attributes:
        engine: The engine that answers for the others.
        silent: Names of the clients that do not answer, by number of the round and phase. In the phase
            ``"train"`` and in those of a secure sum.

    Example:
        >>> from hansa.engine import Local
        >>> Unreliable(Local(), {(0, "train"): ("ward 3",)}).silent
        {(0, 'train'): ('ward 3',)}
    """

    engine: Declared
    silent: Mapping[tuple[int, str], tuple[str, ...]]

    def start(
        self,
        plan: Plan,
        sites: Mapping[str, Site],
        learner: Learner,
        seeds: Seeds,
        *,
        server: Examples | None,
        known: Mapping[str, Any],
    ) -> UnreliableEngine:
        """Return the engine."""
        inner = self.engine.start(plan, sites, learner, seeds, server=server, known=known)
        return UnreliableEngine(inner, self.silent)


class UnreliableEngine:
    """Hands Asks on to an engine, and loses some of the answers.

    Attributes:
        memories: What each client remembers of the committed rounds.
    """

    def __init__(self, engine: Engine, silent: Mapping[tuple[int, str], tuple[str, ...]]) -> None:
        """Take the engine and who is silent when."""
        self._engine, self._silent = engine, silent
        self.memories: dict[str, Memory] = engine.memories

    def answer(self, ask: Ask) -> Answer:
        """Let the clients do what is asked, and lose what the silent ones say."""
        number = ask.place.round if ask.place is not None else getattr(ask.payload, "round", None)
        lost = self._silent.get((number, ask.phase), ()) if number is not None else ()
        lost = tuple(name for name in ask.clients if name in lost)
        if not lost:
            return self._engine.answer(ask)
        if ask.place is not None:
            answer = self._engine.answer(ask)
        else:  # an update that is lost is not in the sum either
            there = tuple(name for name in ask.clients if name not in lost)
            answer = self._engine.answer(dataclasses.replace(ask, clients=there))
        self._engine.forget(lost)
        return dataclasses.replace(
            answer,
            replies={name: reply for name, reply in answer.replies.items() if name not in lost},
            dropped={**answer.dropped, **dict.fromkeys(lost, SILENT)},
        )

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
        """Return what of the engine decides the result, and who is silent when."""
        told = {f"{number} {phase}": list(names) for (number, phase), names in self._silent.items()}
        return {**self._engine.describe(), "silent": told}

    def facts(self) -> dict[str, Any]:
        """Return what the engine tells of itself."""
        return self._engine.facts()

    def close(self) -> None:
        """Stop the engine."""
        self._engine.close()

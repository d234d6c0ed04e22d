"""The vector engine: a cohort's local training in compiled programs, on all cores of this machine."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import dataclass
from typing import Any, TypeVar, final

from hansa import client
from hansa.engine.cohort import Cohort
from hansa.engine.crew import Crew, leaves_by_call
from hansa.engine.engine import Declared, Staging, check_workers
from hansa.engine.parties import Parties, answer_of
from hansa.errors import ConfigurationError
from hansa.plan import Plan
from hansa.rng import Seeds
from hansa.round import first_state
from hansa.secure_sum.tree import leaf_size
from hansa.train.cohort import CohortTrainer
from hansa.train.keras_learner import KerasLearner
from hansa.train.learner import Learner
from hansa.types import Answer, Ask, Examples, Reply, Start

T = TypeVar("T")
DONE: Any = object()


@final
@dataclass(frozen=True)
class Vector(Declared):
    """All cores of this machine, each training clients in compiled programs (Keras models only).

    Attributes:
        workers: Number of threads that train; None takes one for each core. The result does not depend on it.
        strategy: How a client's minibatches are compiled (see the backend's file in `hansa.bridge`); None
            measures which is fastest, and keeps the answer.
    """

    workers: int | None = None
    strategy: str | None = None

    def __post_init__(self) -> None:
        check_workers(self.workers)

    def start(
        self,
        plan: Plan,
        sites: Mapping[str, client.Site],
        learner: Learner,
        seeds: Seeds,
        *,
        server: Examples | None,
        known: Mapping[str, Any],
    ) -> VectorEngine:
        """Return the engine, with the rows on the device and the strategy chosen."""
        if not isinstance(learner, KerasLearner):
            raise ConfigurationError(
                f"the vector engine compiles Keras models; {type(learner).__name__} is none. "
                "Use engine='local'."
            )
        return VectorEngine(
            plan,
            sites,
            learner,
            seeds,
            server=server,
            workers=self.workers,
            strategy=self.strategy or known.get("strategy"),
        )


class VectorEngine(Staging):
    """Runs a cohort on several threads, each with compiled programs over rows that stay on the device.

    Where the sum is plain and an algorithm sends the change of the weights, changes are added up where they
    arise, leaf by leaf of the sum's tree, and no single update is kept; clipped, where a plan of privacy says
    so (`Plan.adds_changes`). Otherwise every client's weights
    come back and go through the client's own code.

    Guarantees:
        The result depends on plan, seeds and strategy, not on the number of workers or on timing.
    """

    def __init__(
        self,
        plan: Plan,
        sites: Mapping[str, client.Site],
        learner: KerasLearner,
        seeds: Seeds,
        *,
        server: Examples | None,
        workers: int | None = None,
        strategy: str | None = None,
    ) -> None:
        """Take the population.

        Args:
            plan: The plan of the run.
            sites: Each client's name and rows.
            learner: The model, built.
            seeds: The run's seeds.
            server: The server's validation rows, or None.
            workers: Number of threads, or None for one a core.
            strategy: How to compile, or None to choose.
        """
        super().__init__()
        self._plan, self._learner, self._server = plan, learner, server
        self._parties = Parties.of(plan, sites, seeds)
        state = first_state(plan)
        start = Start(round=0, weights=state.weights, extra=plan.algorithm.broadcast(state))
        sample = client.begin(plan, next(iter(sites.values())), start=start, memory={}, seeds=seeds)
        size = len(plan.draw(0, seeds)) or 1
        leaf = leaf_size(size)
        trainer = CohortTrainer(
            learner,
            {name: site.data.train for name, site in sites.items()},
            sample=sample,
            class_weight=plan.class_weight,
            workers=workers,
            strategy=strategy,
            leaf=leaf,
            room=len(leaves_by_call(size, leaf, plan.layout.size)[0]) * leaf if plan.adds_changes else 1,
        )
        self._crew = Crew(plan=plan, sites=sites, seeds=seeds, trainer=trainer)
        self._pool = ThreadPoolExecutor(trainer.workers, thread_name_prefix="hansa")
        self._lock = threading.Lock()

    def answer(self, ask: Ask) -> Answer:
        """Let the clients do what is asked."""
        if ask.phase == "train":
            return self._train(ask)
        if ask.phase == "tell":
            return self._tell(ask)
        if ask.place is not None:
            return self._speak(ask)
        if ask.phase == "evaluate":
            return self._evaluate(ask)
        if ask.phase == "validate" and self._server is not None:
            reply = client.validate(self._plan, self._server, self._learner, weights=ask.payload)
            return Answer(replies={"@server": reply})
        raise ConfigurationError(f"the vector engine cannot answer the phase {ask.phase!r}.")

    def describe(self) -> dict[str, Any]:
        """Return kind and strategy."""
        return {"kind": "vector", "strategy": self._crew.trainer.strategy}

    def facts(self) -> dict[str, Any]:
        """Return kind, strategy, number of workers and of compiled programs."""
        return {
            **self.describe(),
            "workers": self._crew.trainer.workers,
            "compilations": self._crew.trainer.compilations,
        }

    def close(self) -> None:
        """Stop the threads."""
        self._pool.shutdown(wait=True, cancel_futures=True)

    # ------------------------------------------------------------------ training

    def _train(self, ask: Ask) -> Answer:
        cohort = Cohort(ask, self._plan)
        self._staged = cohort.learned
        if ask.reduce == "sum" and self._crew.trainer.adds and self._plan.adds_changes:
            calls = leaves_by_call(len(ask.clients), cohort.total.leaf, self._plan.layout.size)
            self._share(calls, lambda worker, leaves: self._add(worker, leaves, cohort, len(calls[0])))
        else:
            positions = range(len(ask.clients))
            self._share(positions, lambda worker, position: self._send(worker, position, cohort))
        return cohort.answer()

    def _add(self, worker: int, leaves: range, cohort: Cohort, most: int) -> None:
        """Train the clients of a few leaves, at most so many, and add each leaf's sum to the total."""
        ask, leaf = cohort.ask, cohort.total.leaf
        first = leaves.start * leaf
        names = ask.clients[first : leaves.stop * leaf]
        part = self._crew.add(worker, names, ask.payload, self.memories, leaf=leaf, room=most * leaf)
        with self._lock:
            cohort.take(part, first=first, leaves=leaves)

    def _send(self, worker: int, position: int, cohort: Cohort) -> None:
        """Train one client and add what it sends."""
        ask = cohort.ask
        part = self._crew.send(worker, ask.clients[position], ask.payload, self.memories)
        part = self._parties.sent(part, ask)
        with self._lock:
            cohort.take(part, first=position)

    def _tell(self, ask: Ask) -> Answer:
        """Let clients measure the new model, where that is asked, and tell metrics through a secure sum."""
        replies: dict[str, Reply] = {}

        def one(worker: int, name: str) -> None:
            measured = None
            if ask.payload is not None:
                measured = self._crew.evaluate(worker, name, ask.payload, self.remembered(name))
            replies[name] = self._parties.told(name, measured, ask)

        self._share(ask.clients, one)
        return answer_of(ask, replies)

    def _speak(self, ask: Ask) -> Answer:
        """Let clients answer in a phase of the secure sum."""
        replies: dict[str, Reply] = {}

        def one(_: int, name: str) -> None:
            replies[name] = self._parties.reply(name, ask)

        self._share(ask.clients, one)
        return answer_of(ask, replies)

    def _evaluate(self, ask: Ask) -> Answer:
        replies: dict[str, Reply] = {}

        def one(worker: int, name: str) -> None:
            replies[name] = self._crew.evaluate(worker, name, ask.payload, self.remembered(name))

        self._share(ask.clients, one)
        ordered = {name: replies[name] for name in ask.clients}
        return Answer(replies=ordered, bytes_down=ask.payload.nbytes * len(ask.clients))

    # ------------------------------------------------------------------ threads

    def _share(self, items: Iterable[T], work: Callable[[int, T], None]) -> None:
        """Let the workers take the items one after another; the first error ends it and is raised."""
        queue = iter(items)
        failed = threading.Event()

        def drain(worker: int) -> None:
            while not failed.is_set():
                with self._lock:
                    item = next(queue, DONE)
                if item is DONE:
                    return
                try:
                    work(worker, item)
                except BaseException:
                    failed.set()
                    raise

        if self._crew.trainer.workers == 1:
            drain(0)
            return
        running = [self._pool.submit(drain, worker) for worker in range(self._crew.trainer.workers)]
        try:
            errors = [error for future in running if (error := future.exception())]
        except BaseException:  # Ctrl-C: the workers end after what they are at
            failed.set()
            wait(running)
            raise
        if errors:
            raise errors[0]

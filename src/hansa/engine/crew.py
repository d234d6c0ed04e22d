"""What one worker of an engine does with its part of an Ask."""

from __future__ import annotations

import dataclasses
import math
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from hansa import client
from hansa.plan import Plan
from hansa.privacy import ClientLevel
from hansa.protect import weight_in_sum
from hansa.rng import Seeds
from hansa.secure_sum.blocks import count_bad
from hansa.secure_sum.checks import not_finite
from hansa.secure_sum.tree import unusable, weighted_sum
from hansa.train.cohort import CohortTrainer
from hansa.types import Array, Delta, Examples, FloatVector, LocalTask, Memory, Metrics, Reply, Start

CALLS = 16  # into about so many programs a cohort is cut, so that workers end at about the same time
MOST_CLIENTS = 32  # in one program
CALL_BYTES = 8 << 20  # of float64 sums that one program may hold


@dataclass(frozen=True)
class Part:
    """What came of a part of a cohort.

    Attributes:
        sums: For each leaf of the sum its float64 vector, as arrays in the layout's order, and the weight of
            each client in it by place in the part; empty where clients sent their updates one by one.
            The arrays are valid until the worker's next part.
        replies: Reply of each client whose update can be used.
        dropped: Reason by client, for the others.
        learned: What clients remember from now on, by name.
        spent_s: Seconds by phase.
    """

    sums: list[tuple[list[Array], dict[int, float]]] = field(default_factory=list)
    replies: dict[str, Reply] = field(default_factory=dict)
    dropped: dict[str, str] = field(default_factory=dict)
    learned: dict[str, Memory] = field(default_factory=dict)
    spent_s: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def timed(self, phase: str) -> Iterator[None]:
        """Count the time of a block towards a phase."""
        begun = time.perf_counter()
        yield
        self.spent_s[phase] = self.spent_s.get(phase, 0.0) + time.perf_counter() - begun


@dataclass(frozen=True)
class Bounds:
    """Bounds what clients change a sum by, where whole clients are protected and changes added up.

    Attributes:
        plan: The plan of the run.
        rows: Training rows of each client.
        start: What the server sent.
        clipped: Places of those whose change was shortened.
        refused: Why a change is not in the sum, by place.
    """

    plan: Plan
    rows: Sequence[int]
    start: Start
    clipped: set[int] = field(default_factory=set)
    refused: dict[int, str] = field(default_factory=dict)

    def weigh(self, place: int, square: float, changes: Sequence[Any]) -> float | None:
        """Return a change's weight, as `hansa.types.Weigh` says; None if it is not finite.

        Squares of float32 are finite in float64, and NaN and infinity never leave their sum.
        """
        if not math.isfinite(square):
            bad = sum(count_bad(np.asarray(change).reshape(-1)) for change in changes)
            self.refused[place] = not_finite(bad, self.plan.sum_size)
            return None
        weight, shortened = weight_in_sum(self.plan, self.rows[place], square, start=self.start)
        if shortened:
            self.clipped.add(place)
        return weight


@dataclass(frozen=True, kw_only=True)
class Crew:
    """Workers that train and measure clients with one plan.

    Attributes:
        plan: The plan of the run.
        sites: Each client's name and rows.
        seeds: The run's seeds.
        trainer: The model on the clients' rows.
    """

    plan: Plan
    sites: Mapping[str, client.Site]
    seeds: Seeds
    trainer: CohortTrainer

    def add(
        self,
        worker: int,
        names: Sequence[str],
        start: Start,
        memories: Mapping[str, Memory],
        *,
        leaf: int,
        room: int,
    ) -> Part:
        """Train clients, and add the changes of the weights up (`Plan.adds_changes`).

        Args:
            worker: Number of the worker.
            names: The clients.
            start: What the server sent.
            memories: What clients remember.
            leaf: How many clients, one after another, are one sum; the last may have fewer.
            room: How many clients the round's calls have at most.
        """
        plan, part = self.plan, Part()
        rows = [len(self.sites[name].data.train) for name in names]
        bounds = Bounds(plan, rows, start) if isinstance(plan.private, ClientLevel) else None
        with part.timed("gather"):
            tasks = [self._begin(name, start, memories) for name in names]
            weights = [client.weight_in_mean(plan, count) for count in rows]
        with part.timed("train"), client.naming(", ".join(names), start.round):
            given = weights if bounds is None else bounds.weigh
            sums, metrics = self.trainer.add(worker, names, tasks, given, leaf=leaf, room=room)
        for number, vector in enumerate(sums):
            inside = range(number * leaf, min((number + 1) * leaf, len(names)))
            if bounds is not None:
                part.dropped.update((names[i], bounds.refused[i]) for i in inside if i in bounds.refused)
                inside = [i for i in inside if i not in bounds.refused]
            elif any(count_bad(array.reshape(-1)) for array in vector):
                apart = [names[i] for i in inside]
                good, weighed = self._add_apart(part, worker, apart, start, memories)
                part.sums.append((good, {inside.start + i: weight for i, weight in weighed.items()}))
                continue
            part.sums.append((vector, {i: weights[i] for i in inside}))
            for i in inside:
                told = {"training": metrics[i], "before": {}, "after": {}}
                clipped = bounds is not None and i in bounds.clipped
                part.replies[names[i]] = Reply(examples=rows[i], metrics=told, clipped=clipped)
                memory = memories.get(names[i], {})
                if place := client.remembered_place(plan, memory, len(tasks[i].batches)):
                    part.learned[names[i]] = place
        return part

    def _add_apart(
        self, part: Part, worker: int, names: Sequence[str], start: Start, memories: Mapping[str, Memory]
    ) -> tuple[list[Array], dict[int, float]]:
        """Sum a leaf that is not finite again, client by client, without those that spoil it."""
        weights: dict[int, float] = {}
        deltas: list[Delta] = []
        for i, name in enumerate(names):
            sent = self.send(worker, name, start, memories)
            delta = sent.replies[name].delta
            reason = None if delta is None else unusable(delta)
            if delta is None or reason:
                part.dropped[name] = reason or "no update came"
                continue
            deltas.append(delta)
            weights[i] = delta.weight
            part.replies[name] = dataclasses.replace(sent.replies[name], delta=None)
            part.learned.update(sent.learned)
        return [weighted_sum(deltas, self.plan.sum_size).vector], weights

    def send(self, worker: int, name: str, start: Start, memories: Mapping[str, Memory]) -> Part:
        """Train one client; its reply has the update that it sends."""
        part, site, memory = Part(), self.sites[name], memories.get(name, {})
        with part.timed("gather"):
            task = self._begin(name, start, memories)
        with part.timed("train"), client.naming(name, start.round):
            before = self._measured(worker, site, task.start)
            trained = self.trainer.train(worker, name, task)
            after = self._measured(worker, site, trained.weights)
        with part.timed("encode"):
            part.replies[name], new = client.finish(
                self.plan,
                site,
                start=start,
                memory=memory,
                trained=trained,
                seeds=self.seeds,
                before=before,
                after=after,
            )
        if new:
            part.learned[name] = new
        return part

    def evaluate(self, worker: int, name: str, weights: FloatVector, memory: Memory) -> Reply:
        """Measure the global weights on a client's validation rows."""
        measurer = Measurer(self.trainer, worker)
        return client.evaluate(self.plan, self.sites[name], measurer, weights=weights, memory=memory)

    def _begin(self, name: str, start: Start, memories: Mapping[str, Memory]) -> LocalTask:
        memory = memories.get(name, {})
        return client.begin(self.plan, self.sites[name], start=start, memory=memory, seeds=self.seeds)

    def _measured(self, worker: int, site: client.Site, weights: FloatVector) -> Metrics:
        if not self.plan.local_metrics:
            return {}
        return client.measure(self.plan, site, Measurer(self.trainer, worker), weights)


@dataclass(frozen=True)
class Measurer:
    """One worker's way to measure weights, as `hansa.client` asks a learner for it."""

    trainer: CohortTrainer
    worker: int

    def evaluate(self, weights: FloatVector, examples: Examples, batch_size: int) -> Metrics:
        """Return loss and metrics of these weights on these rows."""
        return self.trainer.evaluate(self.worker, weights, examples, batch_size)


def leaves_by_call(cohort: int, leaf: int, size: int) -> list[range]:
    """Return which leaves of a sum each compiled call works on; it does not depend on the workers.

    Args:
        cohort: Number of clients.
        leaf: Clients in a leaf.
        size: Number of weights of the model.

    Example:
        >>> [list(r) for r in leaves_by_call(5, leaf=2, size=10)]
        [[0], [1], [2]]
    """
    leaves = -(-cohort // leaf)
    many = min(max(1, leaves // CALLS), max(1, CALL_BYTES // (8 * size)), max(1, MOST_CLIENTS // leaf))
    many = 1 << (many.bit_length() - 1)  # a power of two, so that there are few programs
    return [range(first, min(first + many, leaves)) for first in range(0, leaves, many)]

"""One Keras model trained on many clients' rows, by several workers at once."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any

from hansa import bridge
from hansa.errors import ConfigurationError
from hansa.train.keras_learner import KerasLearner
from hansa.train.population import Population, population
from hansa.train.strategy import choose
from hansa.types import Array, Examples, FloatVector, LocalTask, Metrics, Trained, TrainRows, Weigh


class CohortTrainer:
    """Trains clients of a population, each worker with a trainer of its own.

    Rows stay on the device. How a client's minibatches become compiled programs is the strategy, chosen
    by a short measurement unless it is given.

    Attributes:
        workers: Number of workers; each is one thread's.
        strategy: How clients are trained, one of the backend's strategies.
        adds: Whether workers add changes where they arise (`add`).
    """

    def __init__(
        self,
        learner: KerasLearner,
        rows: Mapping[str, TrainRows],
        *,
        sample: LocalTask,
        class_weight: Mapping[int, float] | None = None,
        workers: int | None = None,
        strategy: str | None = None,
        leaf: int = 1,
        room: int = 1,
    ) -> None:
        """Put the rows on the device and choose the strategy.

        Args:
            learner: The model, built.
            rows: Training rows by client.
            sample: Local work like that of the rounds, of the first client; it is what is measured.
            class_weight: Weight by class in the clients' loss.
            workers: Number of workers; None takes one for each core.
            strategy: The strategy, or None to choose one.
            leaf: How many clients a sum of `add` will have.
            room: How many clients a call of `add` will have; so many are measured together.

        Raises:
            UnknownNameError: If the backend has no such strategy.
        """
        people = population(rows, class_weight)
        self._index = people.index
        self._layout = learner.layout()
        self._arrays: tuple[Any, list[Array]] = (None, [])
        trainer = bridge.load_trainer()
        programs = _programs(learner, cores() if workers is None else workers, trainer.shares_model)
        self.workers = len(programs)
        make = lambda name, like=None: trainer(programs[0], people.rows, strategy=name, like=like)  # noqa: E731
        mine = sample.batches.of(people.index[next(iter(rows))])
        candidates = trainer.candidates(programs[0]) if strategy is None else (strategy,)
        first, self.strategy = choose(make, candidates, learner, sample, mine, leaf=leaf, room=room)
        self._trainers = [first] + [
            trainer(program, people.rows, strategy=self.strategy, like=first, worker=worker)
            for worker, program in enumerate(programs[1:], 1)
        ]
        self._programs = programs
        self.adds = trainer.adds

    def place(self, people: Population) -> None:
        """Train on these rows from now on; compiled programs are kept."""
        self._index = people.index
        self._trainers = [trainer.on(people.rows) for trainer in self._trainers]

    @property
    def compilations(self) -> int:
        """Number of programs compiled so far."""
        if self._trainers[0].shares_model:
            return self._trainers[0].compilations
        return sum(trainer.compilations for trainer in self._trainers)

    def train(self, worker: int, name: str, task: LocalTask) -> Trained:
        """Do one client's local work."""
        control = [] if task.control is None else self._layout.unflatten(task.control)
        here = _placed(task, self._index[name])
        weights, steps, rate, metrics = self._trainers[worker].train(self._start(task), control, here)
        return Trained(
            weights=self._layout.flatten(weights), steps=steps, learning_rate=rate, metrics=metrics
        )

    def add(
        self,
        worker: int,
        names: Sequence[str],
        tasks: Sequence[LocalTask],
        weights: Sequence[float] | Weigh,
        *,
        leaf: int,
        room: int,
    ) -> tuple[list[list[Array]], list[Metrics]]:
        """Do the local work of several clients that start from the same weights, and add the changes up.

        Args:
            worker: Number of the worker.
            names: The clients.
            tasks: What each does.
            weights: Weight of each in its sum, or what gives it once its change is there. Then each is
                trained by itself, and its change depends on nobody else's rows.
            leaf: How many clients, one after another, are one sum; the last may have fewer.
            room: How many clients a call of the round has at most.

        Returns:
            For each leaf ``Σ weight · change``, float64, as arrays in the layout's order, valid until the
            worker's next call and not finite where a change is not, unless its weight is None; and each
            client's metrics.
        """
        here = [_placed(task, self._index[name]) for name, task in zip(names, tasks, strict=True)]
        return self._trainers[worker].add(self._start(tasks[0]), here, weights, leaf=leaf, room=room)

    def evaluate(self, worker: int, weights: FloatVector, examples: Examples, batch_size: int) -> Metrics:
        """Return loss and metrics of these weights on these rows."""
        return self._programs[worker].evaluate(self._layout.unflatten(weights), examples, batch_size)

    def _start(self, task: LocalTask) -> list[Array]:
        """Return the weights as arrays; the same list while the weights are the same."""
        held, arrays = self._arrays
        if held is not task.start:
            arrays = self._layout.unflatten(task.start)
            self._arrays = (task.start, arrays)
        return arrays


def cores() -> int:
    """Return how many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _placed(task: LocalTask, index: Array) -> LocalTask:
    """Return the task with rows of the population."""
    placed = object.__new__(LocalTask)  # a copy; `dataclasses.replace` takes ten times as long
    placed.__dict__.update(task.__dict__, batches=task.batches.of(index))
    return placed


def _programs(learner: KerasLearner, workers: int, shares_model: bool) -> list[Any]:
    """Return a program for each worker: the learner's own, or those of copies where models are not shared."""
    if workers < 1:
        raise ConfigurationError(f"workers must be a whole number of 1 or more, got {workers!r}.")
    programs = [learner.program]
    for _ in range(workers - 1):
        copy = None if shares_model else learner.another()
        if copy is not None and copy.model is learner.model:
            break  # a model function that returns one and the same object each time serves one worker
        programs.append(learner.program if copy is None else copy.program)
    return programs

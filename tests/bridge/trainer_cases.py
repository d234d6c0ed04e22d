"""A learner's program, and its backend's trainer for the same rows among others."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest
from bridge_cases import Case

from hansa.bridge import load_trainer
from hansa.train.keras_learner import KerasLearner
from hansa.train.learner import class_weighted
from hansa.types import Examples, LocalTask

BEFORE = 3  # rows of another client, before those of the one that is trained


def population(examples: Examples) -> Examples:
    """Return the rows among others, in another order, so that a wrong row is seen."""
    order = np.concatenate([np.arange(BEFORE), np.arange(len(examples))[::-1]])
    return examples.take(order)


def places(order: Any, n: int) -> Any:
    """Return where these rows are in `population`."""
    return BEFORE + n - 1 - order


class Pair:
    """A learner's program, and a trainer for the same rows."""

    def __init__(self, chosen: Case, strategy: str, *, n: int | None = None) -> None:
        examples = class_weighted(chosen.examples, chosen.class_weight)
        self.n = n or len(examples)
        self.examples = examples
        learner = KerasLearner(chosen.build)
        learner.build(examples, 5)
        self.learner, self.layout = learner, learner.layout()
        self.program = learner._program
        self.trainer = load_trainer()(self.program, population(examples), strategy=strategy)
        self.start = learner.initial_weights()

    def task(self, batch_size: int = 4, *, passes: int = 1, n: int | None = None, **more: Any) -> LocalTask:
        n = n or self.n
        order = np.arange(n)
        batches = [order[i : i + batch_size] for _ in range(passes) for i in range(0, n, batch_size)]
        return LocalTask(
            **{"start": self.start, "batches": batches, "batch_size": batch_size, "seed": 5, **more}
        )

    def control(self, task: LocalTask) -> list[Any]:
        return [] if task.control is None else self.layout.unflatten(task.control)

    def expected(self, task: LocalTask) -> Any:
        arrays = self.layout.unflatten(task.start)
        return self._flat(self.program.train(arrays, self.control(task), self.examples, task))

    def found(self, task: LocalTask) -> Any:
        moved = [places(batch, len(self.examples)) for batch in task.batches]
        task = dataclasses.replace(task, batches=moved)
        return self._flat(self.trainer.train(self.layout.unflatten(task.start), self.control(task), task))

    def _flat(self, result: Any) -> Any:
        return self.layout.flatten(result[0]), *result[1:]

    def check(self, task: LocalTask, *, rtol: float = 1e-4, atol: float = 1e-5) -> None:
        expected, found = self.expected(task), self.found(task)
        np.testing.assert_allclose(found[0], expected[0], rtol=rtol, atol=atol)
        assert found[1] == expected[1]
        assert found[2] == pytest.approx(expected[2], rel=1e-6)
        assert sorted(found[3]) == sorted(expected[3])
        for name, value in expected[3].items():
            np.testing.assert_allclose(found[3][name], value, rtol=rtol, atol=atol, err_msg=name)

"""A learner in a few lines of NumPy, fast and exact, and federations of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

import hansa
from hansa.tree import Entry, Layout
from hansa.types import DataCard, Examples, LocalTask, Trained

RATE = 0.05


def gradient(weights, x, y):
    """Gradient of the mean of (x·w + b - y)² / 2."""
    error = x @ weights[:-1] + weights[-1] - y
    return np.append(x.T @ error, error.sum()) / len(y)


def loss(weights, x, y):
    return float(np.mean((x @ weights[:-1] + weights[-1] - y) ** 2) / 2)


@dataclass
class LeastSquares:
    """Plain SGD on least squares. ``hook(examples, task)`` runs before each local training.

    With ``personal`` it also has a batch-normalization variable that becomes the number of rows seen
    plus what it was, and a moving statistic with ``statistic``, which becomes the mean of x.
    """

    width: int = 3
    corrects_gradients: bool = True
    plain_sgd: bool = True
    personal: bool = False
    statistic: bool = False
    hook: Callable[[Examples, LocalTask], None] | None = None
    rates: list[float | None] = field(default_factory=list)

    def build(self, examples: Examples, seed: int) -> None:
        self.width = examples.x.shape[1]

    def layout(self) -> Layout:
        entries = [
            Entry(name="0/Dense/kernel", shape=(self.width, 1)),
            Entry(name="1/Dense/bias", shape=(1,)),
        ]
        if self.personal:
            entries.append(Entry(name="2/BN/gamma", shape=(), layer="BatchNormalization"))
        if self.statistic:
            entries.append(Entry(name="3/N/mean", shape=(), trainable=False, layer="Normalization"))
        return Layout(tuple(entries))

    def initial_weights(self) -> np.ndarray:
        return np.linspace(-0.1, 0.1, self.layout().size).astype(np.float32)

    def check_data(self, card: DataCard) -> str | None:
        return None

    def train(self, examples: Examples, task: LocalTask) -> Trained:
        if self.hook is not None:
            self.hook(examples, task)
        self.rates.append(task.learning_rate)
        rate = RATE if task.learning_rate is None else task.learning_rate
        n = self.width + 1
        all_start = np.array(task.start, np.float64)
        start, weights = all_start[:n], all_start[:n].copy()
        control = np.zeros(n) if task.control is None else task.control[:n].astype(np.float64)
        total, rows, steps = np.zeros(n), 0, 0
        for batch in task.batches:
            x, y = examples.x[batch].astype(np.float64), np.asarray(examples.y[batch], np.float64)
            change = gradient(weights, x, y)
            if task.kind == "gradient":
                total += change * len(batch)
            else:
                if task.correct is not None:
                    change = task.correct(change, weights, start, control)
                weights = weights - rate * change
            rows, steps = rows + len(batch), steps + 1
        if task.kind == "gradient":
            weights = start - total / rows
        rest = []
        if self.personal:
            rest.append(all_start[n] + rows)
        if self.statistic:
            rest.append(examples.x.mean())
        return Trained(
            weights=np.append(weights, rest).astype(np.float32),
            steps=steps,
            learning_rate=rate,
            metrics={"loss": loss(weights, examples.x, examples.y)},
        )

    def evaluate(self, weights: np.ndarray, examples: Examples, batch_size: int) -> Mapping[str, float]:
        n = self.width + 1
        result = {"loss": loss(weights[:n].astype(np.float64), examples.x, examples.y)}
        return {**result, "gamma": float(weights[n])} if self.personal else result


def rows(n: int, *, seed: int = 0, width: int = 3) -> tuple[np.ndarray, np.ndarray]:
    """Rows whose best weights depend on the seed."""
    stream = np.random.default_rng(seed)
    x = stream.normal(size=(n, width)).astype(np.float32)
    target = x @ np.linspace(-1, 1, width) + 0.3 * seed + 0.01 * stream.normal(size=n)
    return x, target.astype(np.float32)


def population(sizes=(5, 8, 13, 21), *, split: Any = None) -> tuple[Any, ...]:
    """Clients ``c0``, ``c1``, … with so many rows each."""
    split = hansa.data.Split() if split is None else split
    return tuple(
        hansa.data.Client(name=f"c{i}", source=hansa.data.Arrays(*rows(n, seed=i)), split=split)
        for i, n in enumerate(sizes)
    )


def federation(clients: Any = None, **settings: Any) -> hansa.Federation:
    """A federation of least squares."""
    learner = settings.pop("learner", None) or LeastSquares()
    return hansa.Federation(learner, population() if clients is None else clients, **settings)

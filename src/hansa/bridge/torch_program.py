"""Local training and evaluation of a Keras model as a plain PyTorch loop."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
import torch

from hansa.bridge import model as bridge
from hansa.types import Array, Examples, LocalTask, Metrics, map_arrays


class Program:
    """The steps of one model, run eagerly: nothing is compiled, so sizes do not matter."""

    pads = False

    def __init__(self, model: Any, *, outputs: int) -> None:
        """Prepare the steps.

        Args:
            model: A compiled, built `keras.Model` (see `bridge.model.complete`).
            outputs: Number of outputs of the model.
        """
        del outputs
        self.model = model
        self._weights = bridge.weight_variables(model)
        self._seeds = bridge.seed_variables(model)
        self._trainable = list(model.trainable_variables)
        self._starts = [(v, _numpy(v.value)) for v in model.optimizer.variables]

    def initial(self) -> list[Array]:
        """Return the model's initial weights in the layout's order."""
        return [_numpy(v.value) for v in self._weights]

    def train(self, arrays: Sequence[Array], control: Sequence[Array], examples: Examples, task: LocalTask) -> Any:
        """Run the task's minibatches from these weights.

        Returns:
            The arrays after training (or start minus mean gradient), number of steps, learning
            rate at the end, and metrics.
        """
        optimizer = self.model.optimizer
        bridge.check_learning_rate(optimizer, task.learning_rate)
        self._load(arrays, task.seed)
        for variable, start in self._starts:
            variable.assign(start)
        if task.learning_rate is not None:
            optimizer.learning_rate = task.learning_rate
        starts, controls = self._correction(arrays, control, task)
        totals = [torch.zeros_like(v.value) for v in self._trainable] if task.kind == "gradient" else []
        sums, steps = [0.0, 0.0], 0
        for rows in task.batches:
            grads = self._gradients(examples, rows, sums)
            with torch.no_grad():
                if task.kind == "gradient":
                    for total, grad in zip(totals, grads, strict=True):
                        total += grad * len(rows)
                else:
                    if task.correct is not None:
                        values = [v.value for v in self._trainable]
                        grads = [
                            task.correct(g, v, s, c)
                            for g, v, s, c in zip(grads, values, starts, controls, strict=True)
                        ]
                    optimizer.apply(grads, self._trainable)
            steps += 1
        for variable, total in zip(self._trainable, totals, strict=False):
            variable.assign(variable.value.detach() - total / max(sums[1], 1.0))
        rate = float(keras.ops.convert_to_numpy(optimizer.learning_rate))
        return self.initial(), steps, rate, self._results(sums)

    def evaluate(self, arrays: Sequence[Array], examples: Examples, batch_size: int) -> Metrics:
        """Return loss and metrics of these weights on the examples, in inference mode."""
        self._load(arrays, 0)
        sums = [0.0, 0.0]
        with torch.no_grad():
            for first in range(0, len(examples), batch_size):
                rows = np.arange(first, min(first + batch_size, len(examples)))
                self._forward(examples, rows, sums, training=False)
        return self._results(sums)

    def _load(self, arrays: Sequence[Array], seed: int) -> None:
        for variable, array in zip(self._weights, arrays, strict=True):
            variable.assign(np.array(array))
        for position, variable in enumerate(self._seeds):
            variable.assign(np.array([seed, position], dtype=str(variable.dtype)))
        self.model.reset_metrics()

    def _correction(self, arrays: Sequence[Array], control: Sequence[Array], task: LocalTask) -> Any:
        if task.correct is None:
            return [], []
        bridge.check_correction(self.model.optimizer)
        starts = {id(v): a for v, a in zip(self._weights, arrays, strict=True)}
        controls = {id(v): a for v, a in zip(self._weights, control, strict=False)}
        return (
            [_tensor(starts[id(v)]) for v in self._trainable],
            [_tensor(controls[id(v)]) if controls else _tensor(np.float32(0)) for v in self._trainable],
        )

    def _gradients(self, examples: Examples, rows: Array, sums: list[float]) -> list[Any]:
        loss = self.model.optimizer.scale_loss(self._forward(examples, rows, sums, training=True))
        values = [v.value for v in self._trainable]
        grads = torch.autograd.grad(loss, values, allow_unused=True)
        return [torch.zeros_like(v) if g is None else g for g, v in zip(grads, values, strict=True)]

    def _forward(self, examples: Examples, rows: Array, sums: list[float], *, training: bool) -> Any:
        x, y, weight = bridge.batch_of(examples, rows)
        x, y = map_arrays(x, _tensor), map_arrays(y, _tensor)
        weight = None if weight is None else _tensor(weight)
        y_pred = self.model(x, training=training)
        loss = bridge.compute_loss(self.model, x, y, y_pred, weight, training=training)
        sums[0] += float(loss.detach()) * len(rows)
        sums[1] += len(rows)
        bridge.update_metrics(self.model, x, y, y_pred, weight, None)
        return loss

    def _results(self, sums: list[float]) -> Metrics:
        return {"loss": sums[0] / max(sums[1], 1.0), **bridge.metric_results(self.model)}


def _tensor(array: Any) -> Any:
    return keras.ops.convert_to_tensor(np.ascontiguousarray(array))


def _numpy(tensor: Any) -> Array:
    return np.array(keras.ops.convert_to_numpy(tensor))

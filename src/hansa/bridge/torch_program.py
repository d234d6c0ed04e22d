"""Local training and evaluation of a Keras model as a plain PyTorch loop."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
import torch

from hansa.bridge import model as bridge
from hansa.bridge.torch_private import PrivateLoop
from hansa.types import Array, Examples, LocalTask, Metrics, map_arrays


class Program:
    """The steps of one model, run eagerly: nothing is compiled, so sizes do not matter."""

    def __init__(self, model: Any, *, outputs: list[tuple[int, ...]]) -> None:  # noqa: ARG002
        """Prepare the steps.

        Args:
            model: A compiled, built `keras.Model` (see `bridge.model.complete`).
            outputs: Shape of one row of each output.
        """
        self.model = model
        self._weights = bridge.weight_variables(model)
        self._seeds = bridge.seed_variables(model)
        self._trainable = list(model.trainable_variables)
        slots = (*bridge.state_variables(model), *model.optimizer.variables)
        self._starts = [(v, v.value.detach().clone()) for v in slots]
        self.private = PrivateLoop(self)

    def initial(self) -> list[Array]:
        """Return the weights that the model object holds, in the layout's order."""
        return [_numpy(v.value) for v in self._weights]

    def train(
        self, arrays: Sequence[Array], control: Sequence[Array], examples: Examples, task: LocalTask
    ) -> tuple[list[Array], int, float, Metrics]:
        """Run the task's minibatches from these weights.

        Returns:
            The arrays after training (or start minus mean gradient), number of steps, learning
            rate at the end, and metrics.
        """
        optimizer = self.model.optimizer
        bridge.check_learning_rate(optimizer, task.learning_rate)
        self._load(arrays, task.seed)
        if task.learning_rate is not None:
            optimizer.learning_rate = task.learning_rate
        extra = self._correction(arrays, control, task)
        sums, steps = [torch.zeros(()), 0], 0
        # Keras draws a Dropout layer's noise from PyTorch's own generator if the layer has no seed.
        with torch.random.fork_rng():
            torch.manual_seed(task.seed)
            if task.kind == "gradient" and task.private is None:
                weights, steps = self._mean_gradient(arrays, examples, task, sums)
            else:
                steps = self._steps(examples, task, sums, extra)
                if bridge.averages_weights(optimizer):
                    optimizer.finalize_variable_values(self._trainable)
                weights = self.initial()
        return weights, steps, _number(optimizer.learning_rate), self._results(sums)

    def evaluate(self, arrays: Sequence[Array], examples: Examples, batch_size: int) -> Metrics:
        """Return loss and metrics of these weights on the examples, in inference mode."""
        self._load(arrays, 0)
        sums = [torch.zeros(()), 0]
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
        self.restart()
        self.model.reset_metrics()

    def restart(self) -> None:
        """Give optimizer and counters of the model object the values that every client begins with."""
        for variable, start in self._starts:
            variable.assign(start)

    def _correction(self, arrays: Sequence[Array], control: Sequence[Array], task: LocalTask) -> Any:
        if task.correct is None:
            return ()
        bridge.check_correction(self.model.optimizer)
        starts = {id(v): a for v, a in zip(self._weights, arrays, strict=True)}
        controls = {id(v): a for v, a in zip(self._weights, control, strict=False)}
        zero = np.float32(0)
        return (
            [_tensor(starts[id(v)]).to(v.value.dtype) for v in self._trainable],
            [_tensor(controls[id(v)] if controls else zero).to(v.value.dtype) for v in self._trainable],
        )

    def _steps(self, examples: Examples, task: LocalTask, sums: list[Any], extra: Any) -> int:
        """Take a step for each minibatch and return how many they were."""
        if task.private is not None:
            return self.private.train(examples, task, sums, extra)
        for rows in task.batches:
            self._train_step(examples, rows, sums, task.correct, extra)
        return len(task.batches)

    def _train_step(self, examples: Examples, rows: Array, sums: list[Any], correct: Any, extra: Any) -> None:
        grads = self._gradients(examples, rows, sums, scale=True)
        with torch.no_grad():
            if correct is not None:
                values = [v.value for v in self._trainable]
                grads = [correct(g, v, s, c) for g, v, s, c in zip(grads, values, *extra, strict=True)]
            self.model.optimizer.apply(grads, self._trainable)

    def _mean_gradient(
        self, arrays: Sequence[Array], examples: Examples, task: LocalTask, sums: list[Any]
    ) -> tuple[list[Array], int]:
        """Return float32 start weights minus the mean gradient; other weights as they became."""
        totals = {id(v): np.zeros(tuple(v.shape), np.float32) for v in self._trainable}
        steps = 0
        for rows in task.batches:
            grads = self._gradients(examples, rows, sums, scale=False)
            for variable, grad in zip(self._trainable, grads, strict=True):
                totals[id(variable)] += _numpy(grad).astype(np.float32) * len(rows)
            steps += 1
        weights = [
            start - totals[id(v)] / max(sums[1], 1) if id(v) in totals else weight
            for v, start, weight in zip(self._weights, arrays, self.initial(), strict=True)
        ]
        return weights, steps

    def _gradients(self, examples: Examples, rows: Array, sums: list[Any], *, scale: bool) -> list[Any]:
        loss = self._forward(examples, rows, sums, training=True)
        loss = self.model.optimizer.scale_loss(loss) if scale else loss
        values = [v.value for v in self._trainable]
        grads = torch.autograd.grad(loss, values, allow_unused=True)
        return [torch.zeros_like(v) if g is None else g for g, v in zip(grads, values, strict=True)]

    def _forward(self, examples: Examples, rows: Array, sums: list[Any], *, training: bool) -> Any:
        x, y, weight = bridge.batch_of(examples, rows)
        x, y = map_arrays(x, _tensor), map_arrays(y, _tensor)
        weight = None if weight is None else _tensor(weight)
        y_pred = self.model(x, training=training)
        loss = bridge.compute_loss(self.model, x, y, y_pred, weight, training=training)
        with torch.no_grad():
            sums[0] = sums[0] + loss.detach().float().cpu() * len(rows)
            sums[1] += len(rows)
            bridge.update_metrics(self.model, x, y, y_pred, weight)
        return loss

    def _results(self, sums: list[Any]) -> Metrics:
        metrics = bridge.metric_tensors(self.model)
        return {"loss": float(sums[0]) / max(sums[1], 1), **{name: _number(v) for name, v in metrics.items()}}


def _tensor(array: Any) -> Any:
    return keras.ops.convert_to_tensor(np.ascontiguousarray(array))


def _numpy(tensor: Any) -> Array:
    tensor = tensor.detach().cpu()
    return (tensor.float() if tensor.dtype == torch.bfloat16 else tensor).numpy().copy()


def _number(value: Any) -> float:
    """Return the mean of a tensor, variable or number."""
    return float(np.mean(_numpy(keras.ops.convert_to_tensor(value))))

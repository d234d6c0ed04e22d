"""Local training and evaluation of a Keras model as compiled TensorFlow functions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from hansa.bridge import model as bridge
from hansa.types import Array, Examples, LocalTask, Metrics, map_arrays


class Program:
    """The compiled steps of one model.

    Weights are assigned to the model's variables, which one `tf.function` per kind of step
    updates (Keras' `stateless_apply` is not available on TensorFlow). The batch dimension is
    dynamic, so that clients of different sizes share one compiled step.
    """

    pads = False

    def __init__(self, model: Any, *, outputs: int) -> None:
        """Prepare the steps; nothing is traced before the first batch.

        Args:
            model: A compiled, built `keras.Model` (see `bridge.model.complete`).
            outputs: Number of outputs of the model.
        """
        del outputs
        self.model = model
        self._weights = bridge.weight_variables(model)
        self._seeds = bridge.seed_variables(model)
        self._starts = [(v, np.asarray(v.numpy())) for v in model.optimizer.variables]
        self._trainable = list(model.trainable_variables)
        self._first = self.initial()
        self._sums = [tf.Variable(0.0, trainable=False) for _ in range(2)]
        self._totals: list[Any] = []
        self._steps: dict[Any, Any] = {}

    def initial(self) -> list[Array]:
        """Return the model's initial weights in the layout's order."""
        return [np.asarray(v.numpy()) for v in self._weights]

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
        extra = self._correction(arrays, control, task)
        if task.kind == "gradient":
            self._totals = self._totals or [tf.Variable(tf.zeros_like(v.value), trainable=False) for v in self._trainable]
            for total in self._totals:
                total.assign(tf.zeros_like(total))
        step = self._step(task.kind, task.correct, examples)
        steps = 0
        for rows in task.batches:
            step(*_packed(examples, rows), extra)
            steps += 1
        if task.kind == "gradient":
            count = max(float(self._sums[1]), 1.0)
            for variable, total in zip(self._trainable, self._totals, strict=True):
                variable.assign_sub(total / count)
        rate = float(keras.ops.convert_to_numpy(optimizer.learning_rate))
        return self.initial(), steps, rate, self._results()

    def evaluate(self, arrays: Sequence[Array], examples: Examples, batch_size: int) -> Metrics:
        """Return loss and metrics of these weights on the examples, in inference mode."""
        self._load(arrays, 0)
        step = self._step("evaluate", None, examples)
        for first in range(0, len(examples), batch_size):
            rows = np.arange(first, min(first + batch_size, len(examples)))
            step(*_packed(examples, rows), ())
        return self._results()

    def _load(self, arrays: Sequence[Array], seed: int) -> None:
        for variable, array in zip(self._weights, arrays, strict=True):
            variable.assign(array)
        for position, variable in enumerate(self._seeds):
            variable.assign(np.array([seed, position], dtype=str(variable.dtype)))
        self.model.reset_metrics()
        for total in self._sums:
            total.assign(0.0)

    def _correction(self, arrays: Sequence[Array], control: Sequence[Array], task: LocalTask) -> Any:
        if task.correct is None:
            return ()
        bridge.check_correction(self.model.optimizer)
        starts = {id(v): a for v, a in zip(self._weights, arrays, strict=True)}
        controls = {id(v): a for v, a in zip(self._weights, control, strict=False)}
        return (
            [tf.constant(starts[id(v)]) for v in self._trainable],
            [tf.constant(controls[id(v)]) if controls else tf.constant(0.0) for v in self._trainable],
        )

    def _step(self, kind: str, correct: Any, examples: Examples) -> Any:
        weighted = examples.sample_weight is not None
        if (kind, correct, weighted) not in self._steps:
            build = {"train": self._train_step, "gradient": self._gradient_step, "evaluate": self._evaluate_step}
            signature = [_batch_spec(examples.x), _batch_spec(examples.y)]
            signature.append((_batch_spec(examples.sample_weight),) if weighted else ())
            corrected: Any = ()
            if correct is not None:
                full = [tf.TensorSpec(v.shape, v.dtype) for v in self._trainable]
                corrected = (full, [tf.TensorSpec(None, v.dtype) for v in self._trainable])
            self._steps[kind, correct, weighted] = tf.function(
                build[kind](correct), input_signature=[*signature, corrected], autograph=False
            )
        return self._steps[kind, correct, weighted]

    def _train_step(self, correct: Any) -> Any:
        def step(x: Any, y: Any, weight: Any, extra: Any) -> None:
            grads = self._gradients(x, y, weight)
            if correct is not None:
                values = [tf.convert_to_tensor(v.value) for v in self._trainable]
                grads = [
                    correct(tf.convert_to_tensor(g), v, s, c)
                    for g, v, s, c in zip(grads, values, *extra, strict=True)
                ]
            self.model.optimizer.apply(grads, self._trainable)

        return step

    def _gradient_step(self, _: Any) -> Any:
        def step(x: Any, y: Any, weight: Any, extra: Any) -> None:  # noqa: ARG001
            rows = tf.cast(tf.shape(keras.tree.flatten(x)[0])[0], "float32")
            for total, grad in zip(self._totals, self._gradients(x, y, weight), strict=True):
                total.assign_add(tf.convert_to_tensor(grad) * tf.cast(rows, total.dtype))

        return step

    def _evaluate_step(self, _: Any) -> Any:
        def step(x: Any, y: Any, weight: Any, extra: Any) -> None:  # noqa: ARG001
            self._forward(x, y, weight, training=False)

        return step

    def _gradients(self, x: Any, y: Any, weight: Any) -> list[Any]:
        with tf.GradientTape() as tape:
            loss = self.model.optimizer.scale_loss(self._forward(x, y, weight, training=True))
        variables = [v.value for v in self._trainable]
        return tape.gradient(loss, variables, unconnected_gradients="zero")

    def _forward(self, x: Any, y: Any, weight: Any, *, training: bool) -> Any:
        weight = weight[0] if weight else None
        y_pred = self.model(x, training=training)
        loss = bridge.compute_loss(self.model, x, y, y_pred, weight, training=training)
        rows = tf.cast(tf.shape(keras.tree.flatten(x)[0])[0], "float32")
        self._sums[0].assign_add(tf.cast(loss, "float32") * rows)
        self._sums[1].assign_add(rows)
        bridge.update_metrics(self.model, x, y, y_pred, weight, None)
        return loss

    def _results(self) -> Metrics:
        loss = float(self._sums[0]) / max(float(self._sums[1]), 1.0)
        return {"loss": loss, **bridge.metric_results(self.model)}


def _batch_spec(tree: Any) -> Any:
    """Return the signature of a batch: the arrays' shapes with a free first dimension."""
    return map_arrays(tree, lambda a: tf.TensorSpec((None, *a.shape[1:]), a.dtype))


def _packed(examples: Examples, rows: Array) -> tuple[Any, Any, tuple[Any, ...]]:
    """Return a batch in which absent sample weights are an empty tuple, as signatures want it."""
    x, y, weight = bridge.batch_of(examples, rows)
    return x, y, () if weight is None else (weight,)

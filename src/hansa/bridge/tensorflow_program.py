"""Local training and evaluation of a Keras model as compiled TensorFlow functions."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from hansa.bridge import model as bridge
from hansa.bridge.tensorflow_private import PrivateLoop
from hansa.types import Array, Examples, LocalTask, Metrics, map_arrays

CHUNK_STEPS = 64
CHUNK_BYTES = 1 << 24


class Program:
    """The compiled steps of one model.

    Weights are assigned to the model's variables, which one `tf.function` per kind of step
    updates (Keras' `stateless_apply` is not available on TensorFlow). One call runs a chunk of
    minibatches in a loop inside the graph. Numbers of rows are dynamic, so that clients of
    different sizes share one trace.
    """

    def __init__(self, model: Any, *, outputs: list[tuple[int, ...]]) -> None:  # noqa: ARG002
        """Prepare the steps; nothing is traced before the first batch.

        Args:
            model: A compiled, built `keras.Model` (see `bridge.model.complete`).
            outputs: Shape of one row of each output.
        """
        self.model = model
        self._weights = bridge.weight_variables(model)
        self._seeds = bridge.seed_variables(model)
        self._trainable = list(model.trainable_variables)
        slots = (*bridge.state_variables(model), *model.optimizer.variables)
        self.starts = [(v, v.numpy()) for v in slots]
        self.sums = [_zeros(()), _zeros(())]
        self._totals: list[Any] = []
        self._steps: dict[Any, Any] = {}
        self._private = PrivateLoop(self)

    def initial(self) -> list[Array]:
        """Return the weights that the model object holds, in the layout's order."""
        return [v.numpy() for v in self._weights]

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
        if task.kind == "gradient":
            self._reset_totals()
        if task.private is None:
            steps = self._run(task.kind, task.correct, examples, task.batches, extra)
        else:
            steps = self._private.train(examples, task, extra)
        if task.kind == "train" and bridge.averages_weights(optimizer):
            optimizer.finalize_variable_values(self._trainable)
        weights = self.initial()
        if task.kind == "gradient":
            rows = max(float(self.sums[1].numpy()), 1.0)
            totals = {id(v): t.numpy() / rows for v, t in zip(self._trainable, self._totals, strict=True)}
            weights = [
                start - totals[id(v)] if id(v) in totals else weight
                for v, start, weight in zip(self._weights, arrays, weights, strict=True)
            ]
        return weights, steps, _number(optimizer.learning_rate), self._results()

    def evaluate(self, arrays: Sequence[Array], examples: Examples, batch_size: int) -> Metrics:
        """Return loss and metrics of these weights on the examples, in inference mode."""
        self._load(arrays, 0)
        order = np.arange(len(examples))
        batches = (order[first : first + batch_size] for first in range(0, len(order), batch_size))
        self._run("evaluate", None, examples, batches, ())
        return self._results()

    def _load(self, arrays: Sequence[Array], seed: int) -> None:
        for variable, array in zip(self._weights, arrays, strict=True):
            variable.assign(array)
        for position, variable in enumerate(self._seeds):
            variable.assign(np.array([seed, position], dtype=str(variable.dtype)))
        self.restart()
        self.model.reset_metrics()
        for total in self.sums:
            total.assign(0.0)

    def restart(self) -> None:
        """Give optimizer and counters of the model object the values that every client begins with."""
        for variable, start in self.starts:
            variable.assign(start)

    def _reset_totals(self) -> None:
        if not self._totals:
            self._totals = [_zeros(v.shape) for v in self._trainable]
        for total in self._totals:
            total.assign(tf.zeros_like(total))

    def _correction(self, arrays: Sequence[Array], control: Sequence[Array], task: LocalTask) -> Any:
        if task.correct is None:
            return ()
        bridge.check_correction(self.model.optimizer)
        starts = {id(v): a for v, a in zip(self._weights, arrays, strict=True)}
        controls = {id(v): a for v, a in zip(self._weights, control, strict=False)}
        zero = np.float32(0)
        return (
            tuple(tf.cast(starts[id(v)], v.dtype) for v in self._trainable),
            tuple(tf.cast(controls[id(v)] if controls else zero, v.dtype) for v in self._trainable),
        )

    def _run(self, kind: str, correct: Any, examples: Examples, batches: Iterable[Array], extra: Any) -> int:
        """Run these minibatches and return how many they were."""
        steps, step = 0, None
        for x, y, weight, ends in _chunks(examples, batches):
            if step is None:
                step = self._step(kind, correct, (x, y, weight, ends), extra)
            step(x, y, weight, ends, extra)
            steps += len(ends) - 1
        return steps

    def _step(self, kind: str, correct: Any, chunk: tuple[Any, ...], extra: Any) -> Any:
        rows = map_arrays(chunk, lambda a: tf.TensorSpec((None, *a.shape[1:]), a.dtype))
        signature = (*rows, map_arrays(extra, lambda t: tf.TensorSpec(t.shape, t.dtype)))
        key = (kind, correct, str(signature))
        if key not in self._steps:
            steps = {
                "train": self._train_step,
                "gradient": self._gradient_step,
                "evaluate": self._evaluate_step,
            }
            body = steps[kind](correct)

            def loop(x: Any, y: Any, weight: Any, ends: Any, extra: Any) -> None:
                def once(i: Any) -> tuple[Any]:
                    first, last = ends[i], ends[i + 1]
                    cut = [map_arrays(part, lambda a: a[first:last]) for part in (x, y, weight)]
                    body(*cut, extra)
                    return (i + 1,)

                last_step = tf.shape(ends)[0] - 1
                tf.while_loop(lambda i: i < last_step, once, (tf.constant(0),), parallel_iterations=1)

            self._steps[key] = tf.function(loop, input_signature=signature, autograph=False)
        return self._steps[key]

    # ------------------------------------------------------------------ compiled

    def _train_step(self, correct: Any) -> Any:
        def step(x: Any, y: Any, weight: Any, extra: Any) -> None:
            grads = self._gradients(x, y, weight, scale=True)
            if correct is not None:
                values = [tf.convert_to_tensor(v.value) for v in self._trainable]
                dense = [tf.convert_to_tensor(g) for g in grads]
                grads = [correct(g, v, s, c) for g, v, s, c in zip(dense, values, *extra, strict=True)]
            self.model.optimizer.apply(grads, self._trainable)

        return step

    def _gradient_step(self, _: Any) -> Any:
        def step(x: Any, y: Any, weight: Any, extra: Any) -> None:  # noqa: ARG001
            rows = _row_count(x)
            for total, grad in zip(self._totals, self._gradients(x, y, weight, scale=False), strict=True):
                total.assign_add(tf.cast(tf.convert_to_tensor(grad), "float32") * rows)

        return step

    def _evaluate_step(self, _: Any) -> Any:
        def step(x: Any, y: Any, weight: Any, extra: Any) -> None:  # noqa: ARG001
            self._forward(x, y, weight, training=False)

        return step

    def _gradients(self, x: Any, y: Any, weight: Any, *, scale: bool) -> list[Any]:
        with tf.GradientTape() as tape:
            loss = self._forward(x, y, weight, training=True)
            loss = self.model.optimizer.scale_loss(loss) if scale else loss
        variables = [v.value for v in self._trainable]
        return tape.gradient(loss, variables, unconnected_gradients=tf.UnconnectedGradients.ZERO)

    def _forward(self, x: Any, y: Any, weight: Any, *, training: bool) -> Any:
        weight = weight[0] if weight else None
        y_pred = self.model(x, training=training)
        loss = bridge.compute_loss(self.model, x, y, y_pred, weight, training=training)
        rows = _row_count(x)
        self.sums[0].assign_add(tf.cast(loss, "float32") * rows)
        self.sums[1].assign_add(rows)
        bridge.update_metrics(self.model, x, y, y_pred, weight)
        return loss

    def _results(self) -> Metrics:
        loss = float(self.sums[0].numpy()) / max(float(self.sums[1].numpy()), 1.0)
        return {
            "loss": loss,
            **{name: _number(value) for name, value in bridge.metric_tensors(self.model).items()},
        }


def _chunks(
    examples: Examples, batches: Iterable[Array]
) -> Iterator[tuple[Any, Any, tuple[Any, ...], Array]]:
    """Yield features, labels, weights (none: an empty tuple) and boundaries of several minibatches."""
    held: list[Array] = []
    size = 0
    one = sum(a[:1].nbytes for a in keras.tree.flatten((examples.x, examples.y)))

    def gathered() -> tuple[Any, Any, tuple[Any, ...], Array]:
        x, y, weight = bridge.batch_of(examples, np.concatenate(held))
        ends = np.cumsum([0, *map(len, held)], dtype=np.int32)
        return x, y, () if weight is None else (weight,), ends

    for rows in batches:
        held.append(rows)
        size += len(rows) * one
        if len(held) == CHUNK_STEPS or size >= CHUNK_BYTES:
            yield gathered()
            held, size = [], 0
    if held:
        yield gathered()


def _zeros(shape: Any) -> tf.Variable:
    return tf.Variable(tf.zeros(shape, "float32"), trainable=False)


def _row_count(x: Any) -> Any:
    return tf.cast(tf.shape(keras.tree.flatten(x)[0])[0], "float32")


def _number(tensor: Any) -> float:
    """Return the mean of a tensor, variable or number."""
    return float(np.mean(tf.convert_to_tensor(tensor).numpy()))

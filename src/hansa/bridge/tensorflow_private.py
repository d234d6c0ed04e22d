"""Private training steps (DP-SGD) on TensorFlow; what they are is in `hansa.bridge.private`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, final

import keras
import numpy as np
import tensorflow as tf

from hansa.bridge import model as bridge
from hansa.bridge.noise import Keystream, normals
from hansa.bridge.per_example import Part, Whole, clipped_sum
from hansa.bridge.private import Held, check_private, micros, most_rows, steps_of, width_of
from hansa.bridge.taps import Taps, taps_of
from hansa.types import Array, Examples, LocalTask, map_arrays


@final
class PrivateLoop:
    """The private steps of one model, on the variables that it holds: two compiled functions.

    One adds a microbatch's clipped gradients to the sum, the other adds noise and lets the optimizer step.
    """

    def __init__(self, program: Any) -> None:
        """Take the program (`hansa.bridge.tensorflow_program.Program`)."""
        self._program, self._model = program, program.model
        self._trainable = list(self._model.trainable_variables)
        self._ends = np.cumsum([0, *(int(np.prod(v.shape)) for v in self._trainable)]).tolist()
        self._totals: list[Any] = []
        self._functions: dict[Any, Any] = {}
        self._normals = tf.function(normals, jit_compile=True, autograph=False)
        self._taps: Taps | None = None
        self._settled = False

    def train(self, rows: Examples, task: LocalTask, extra: Any) -> int:
        """Run a task's minibatches on the model's variables and return how many they were.

        Args:
            rows: The rows that the task's numbers are of.
            task: The task.
            extra: What gradients are corrected with, or an empty tuple.

        Raises:
            ConfigurationError: If the model cannot take private steps, or the task has none.
        """
        private = steps_of(task)
        self._settle(rows)
        noise = Keystream(private.key)
        longest = int(task.batches.sizes.max(initial=1))
        width = width_of(longest, most_rows(self._model, self._taps, private))
        clip, scale, expected = (
            tf.constant(n, "float32") for n in (private.clip_l2, private.noise, private.expected)
        )
        for total in self._totals:
            total.assign(tf.zeros_like(total))
        end = self._function(("end", task.correct), lambda *given: self._end(task.correct, *given))
        with _exact_products():
            for micro in micros(task, width):
                if len(micro.rows):
                    self._add(rows, micro.rows, clip)
                if micro.ends:
                    end(tf.constant(noise.bits(self._ends[-1])), scale, expected, extra)
        return len(task.batches)

    def _settle(self, rows: Examples) -> None:
        """Find out how gradients of examples are taken: by taps only if each tapped layer is called once."""
        if self._settled:
            return
        check_private(self._model)
        taps = taps_of(self._model)
        if taps is not None:
            x, _, _ = bridge.batch_of(rows, np.zeros(1, np.int64))
            seeds = [(v, v.numpy()) for v in bridge.seed_variables(self._model)]
            with taps.recording() as record:
                self._model(map_arrays(x, tf.convert_to_tensor), training=True)
            for variable, value in seeds:
                variable.assign(value)
            taps = taps if all(len(calls) == 1 for calls in record) else None
        self._totals = [tf.Variable(tf.zeros(v.shape, "float32"), trainable=False) for v in self._trainable]
        self._taps, self._settled = taps, True

    def _add(self, rows: Examples, index: Array, clip: Any) -> None:
        x, y, weight = bridge.batch_of(rows, index)
        data = (x, y, () if weight is None else (weight,))
        specs = map_arrays(data, lambda a: tf.TensorSpec((None, *a.shape[1:]), a.dtype))
        add = self._function(("add", str(specs)), self._micro, (*specs, tf.TensorSpec((), "float32")))
        add(*data, clip)

    def _function(self, name: Any, body: Callable[..., Any], signature: Any = None) -> Any:
        if name not in self._functions:
            self._functions[name] = tf.function(body, input_signature=signature, autograph=False)
        return self._functions[name]

    # ------------------------------------------------------------------ compiled

    def _micro(self, x: Any, y: Any, weights: Any, clip: Any) -> None:
        """Add a microbatch's clipped gradients to the sum."""
        weight = weights[0] if weights else None
        fixed = self._fixed()
        held = [tf.identity(v.value) for v in fixed]
        gradients = self._apart if self._taps is None else self._tapped
        parts, loss, y_pred = gradients(x, y, weight)
        for variable, value in zip(fixed, held, strict=True):
            variable.assign(value)
        rows = tf.cast(tf.shape(keras.tree.flatten(x)[0])[0], "float32")
        sums = self._program.sums
        sums[0].assign_add(tf.cast(loss, "float32"))
        sums[1].assign_add(rows)
        bridge.update_metrics(self._model, x, y, y_pred, weight)
        clipped = clipped_sum(parts, clip, tf.ones(tf.cast(rows, "int32")))
        for total, more in zip(self._totals, clipped, strict=True):
            total.assign_add(tf.reshape(more, total.shape))

    def _fixed(self) -> list[Any]:
        """Return the variables that are to stay as they are."""
        seeds = {id(v) for v in bridge.seed_variables(self._model)}
        return [v for v in self._model.non_trainable_variables if id(v) not in seeds]

    def _tapped(self, x: Any, y: Any, weight: Any) -> tuple[list[Part], Any, Any]:
        """Return gradients of examples, of layers' inputs and output gradients; loss and outputs."""
        taps: Any = self._taps
        rows = tf.cast(tf.shape(keras.tree.flatten(x)[0])[0], "float32")
        with tf.GradientTape() as tape:
            with taps.recording() as record:
                y_pred = self._model(x, training=True)
            loss = bridge.compute_loss(self._model, x, y, y_pred, weight, training=True)
            loss = tf.cast(loss, "float32") * rows
        inputs, outputs = (list(each) for each in zip(*(calls[0] for calls in record), strict=True))
        zero = tf.UnconnectedGradients.ZERO
        return taps.parts(inputs, tape.gradient(loss, outputs, unconnected_gradients=zero)), loss, y_pred

    def _apart(self, x: Any, y: Any, weight: Any) -> tuple[list[Part], Any, Any]:
        """Return gradients of examples, each taken of the model on that example alone; loss and outputs."""
        model, variables, fixed = self._model, [v.value for v in self._trainable], self._fixed()
        held = [tf.identity(v.value) for v in fixed]

        def one(row: Any) -> Any:
            for variable, value in zip(fixed, held, strict=True):
                variable.assign(value)  # else an example's gradient would follow from those before it
            alone: Any = keras.tree.map_structure(lambda a: a[None], row)
            x, y, *weights = alone
            with tf.GradientTape() as tape:
                y_pred = model(x, training=True)
                weight = weights[0] if weights else None
                loss = bridge.compute_loss(model, x, y, y_pred, weight, training=True)
                own = loss - sum(tf.reduce_sum(more) for more in model._get_regularization_losses())
            grads = tape.gradient(own, variables, unconnected_gradients=tf.UnconnectedGradients.ZERO)
            dense = [tf.cast(tf.convert_to_tensor(grad), "float32") for grad in grads]
            return tf.cast(loss, "float32"), y_pred, dense

        row = (x, y) if weight is None else (x, y, weight)
        state = model.non_trainable_variables or bridge.tells_losses(model)
        if state:  # what changes variables is done in turn
            given = keras.tree.map_structure(lambda a: tf.TensorSpec(a.shape[1:], a.dtype), row)
            traced = tf.function(one, autograph=False).get_concrete_function(given).structured_outputs
            spec = keras.tree.map_structure(lambda t: tf.TensorSpec(t.shape, t.dtype), traced)
            losses, y_pred, grads = tf.map_fn(one, row, fn_output_signature=spec)
        else:
            losses, y_pred, grads = tf.vectorized_map(one, row)
        y_pred = keras.tree.map_structure(lambda a: tf.squeeze(a, 1), y_pred)
        return [Whole(grad) for grad in grads], tf.reduce_sum(losses), y_pred

    def _end(self, correct: Any, bits: Any, scale: Any, expected: Any, extra: Any) -> None:
        """Add noise to the sum and let the optimizer step; the sum is zero after it."""
        noise = scale * self._normals(bits)
        grads = []
        for total, first, last in zip(self._totals, self._ends, self._ends[1:], strict=False):
            grads.append((total + tf.reshape(noise[first:last], total.shape)) / expected)
        if self._model._get_regularization_losses():
            values = [v.value for v in self._trainable]
            with tf.GradientTape() as tape:
                loss: Any = sum(tf.reduce_sum(more) for more in self._model._get_regularization_losses())
            added: Any = tape.gradient(loss, values, unconnected_gradients=tf.UnconnectedGradients.ZERO)
            grads = [grad + tf.cast(more, "float32") for grad, more in zip(grads, added, strict=True)]
        grads = [tf.cast(grad, v.dtype) for grad, v in zip(grads, self._trainable, strict=True)]
        if correct is not None:
            values = [tf.convert_to_tensor(v.value) for v in self._trainable]
            grads = [correct(g, v, s, c) for g, v, s, c in zip(grads, values, *extra, strict=True)]
        self._model.optimizer.apply(grads, self._trainable)
        for total in self._totals:
            total.assign(tf.zeros_like(total))


_exact_products = Held(
    lambda: tf.config.experimental.tensor_float_32_execution_enabled(),  # noqa: PLW0108 - when it is called
    lambda to: tf.config.experimental.enable_tensor_float_32_execution(to),  # noqa: PLW0108
    value=False,
)
"""Lets products of matrices be of float32: of ten bits, as on GPUs by default, norms would not hold."""

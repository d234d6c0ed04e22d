"""Local training and evaluation of a Keras model as compiled JAX steps."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import keras
import numpy as np

from hansa.bridge import model as bridge
from hansa.bridge.jax_device import on_cpu
from hansa.bridge.jax_pooling import pools, with_fast_pooling
from hansa.bridge.jax_private import PrivateLoops
from hansa.bridge.padding import padded_size, pads
from hansa.types import Array, Examples, LocalTask, Metrics

State = dict[str, list[Any]]
Batch = tuple[Any, Any, Any, Any]


class Program:
    """The compiled steps of one model.

    The model's variables are inputs and outputs of pure functions (`keras.StatelessScope`); the
    model object itself is never changed. Every batch has the same shape: a short one is filled
    with rows of weight zero where that changes nothing (see `hansa.bridge.padding`), so that
    clients of different sizes share one compiled step.
    """

    def __init__(self, model: Any, *, outputs: list[tuple[int, ...]]) -> None:
        """Prepare the steps; nothing is compiled before the first batch.

        Args:
            model: A compiled, built `keras.Model` (see `bridge.model.complete`).
            outputs: Shape of one row of each output.
        """
        self.model = model
        self.pads_training = pads(model, outputs, training=True)
        self.pads_evaluation = pads(model, outputs, training=False)
        self.weights = bridge.weight_variables(model)
        self.pools = on_cpu() and pools(model)
        self._seeds = bridge.seed_variables(model)
        self._rate = bridge.learning_rate_variable(model.optimizer)
        self._variables = {
            "trainable": list(model.trainable_variables),
            "fixed": list(model.non_trainable_variables),
            "optimizer": list(model.optimizer.variables),
            "metrics": list(model.metrics_variables),
        }
        # What every client begins with, beside weights and seeds, which are given. These are copies: Keras'
        # own fit, which the user may call on the model, gives the variables' buffers away.
        given = {id(v) for v in (*self.weights, *self._seeds)}
        self.initials = {
            name: [None if id(v) in given else jnp.array(v.value) for v in vs]
            for name, vs in self._variables.items()
        }
        self.seed_dtypes = [str(v.dtype) for v in self._seeds]
        self.result_names = ("loss", *bridge.metric_tensors(model))
        self._begin = jax.jit(self.first_state)
        self._end = jax.jit(self.final_values)
        self._steps: dict[Any, Any] = {}
        self.private = PrivateLoops(self)

    def initial(self) -> list[Array]:
        """Return the weights that the model object holds, in the layout's order."""
        return [np.asarray(v.value) for v in self.weights]

    def restart(self) -> None:
        """Do nothing: training here leaves the model object's optimizer and counters as they are."""

    def train(
        self, arrays: Sequence[Array], control: Sequence[Array], examples: Examples, task: LocalTask
    ) -> tuple[list[Array], int, float, Metrics]:
        """Run the task's minibatches from these weights.

        Returns:
            The arrays after training (or start minus mean gradient), number of steps, learning
            rate at the end, and metrics.
        """
        bridge.check_learning_rate(self.model.optimizer, task.learning_rate)
        state, sums = self._start(arrays, task.seed, task.learning_rate)
        if task.correct is not None:
            bridge.check_correction(self.model.optimizer)
        extra = self.correction(task.kind, task.correct, arrays, control)
        if task.private is not None:
            state, sums = self.private.train(self._call, (state, sums), extra, examples, task)
            weights, rate, results = self._end(state, sums)
            return [np.asarray(w) for w in weights], len(task.batches), float(rate), _numbers(results)
        step = self._step(task.kind, task.correct)
        steps = 0
        for rows in task.batches:
            batch = self._batch(examples, rows, task.batch_size, pads=self.pads_training)
            state, sums, extra = step(state, sums, extra, batch)
            steps += 1
        weights, rate, results = self._end(state, sums)
        if task.kind == "gradient":
            weights = self.minus_gradient(arrays, weights, extra, rows=max(float(sums[1]), 1.0))
        weights = [np.asarray(w) for w in weights]
        return weights, steps, float(rate), _numbers(results)

    def evaluate(self, arrays: Sequence[Array], examples: Examples, batch_size: int) -> Metrics:
        """Return loss and metrics of these weights on the examples, in inference mode."""
        state, sums = self._start(arrays, 0, None)
        step = self._step("evaluate", None)
        for first in range(0, len(examples), batch_size):
            rows = np.arange(first, min(first + batch_size, len(examples)))
            batch = self._batch(examples, rows, batch_size, pads=self.pads_evaluation)
            state, sums, _ = step(state, sums, None, batch)
        return _numbers(self._end(state, sums)[2])

    def _start(self, arrays: Sequence[Array], seed: int, rate: float | None) -> tuple[State, Any]:
        seeds = [np.array([seed, position], dtype=str(v.dtype)) for position, v in enumerate(self._seeds)]
        given = None if rate is None else np.float32(rate)
        return self._begin(self.initials, list(arrays), seeds, given)

    def _batch(self, examples: Examples, rows: Array, size: int, *, pads: bool) -> Batch:
        if not pads:
            return (*bridge.batch_of(examples, rows), None)
        if len(rows) == size:
            return (*bridge.batch_of(examples, rows), np.ones(size, np.float32))
        size = padded_size(size, rows=len(examples))
        filled = np.full(size, rows[0])
        filled[: len(rows)] = rows
        mask = np.zeros(size, np.float32)
        mask[: len(rows)] = 1.0
        return (*bridge.batch_of(examples, filled), mask)

    # ------------------------------------------------------------------ compiled

    def correction(self, kind: str, correct: Any, start: Sequence[Any], control: Sequence[Any]) -> Any:
        """Return what a step needs beside state and batch: start and control, or the sum of gradients."""
        trainable = self._variables["trainable"]
        if kind == "gradient":
            return [jnp.zeros(v.shape, jnp.float32) for v in trainable]
        if correct is None:
            return None
        starts = {id(v): a for v, a in zip(self.weights, start, strict=True)}
        controls = {id(v): a for v, a in zip(self.weights, control, strict=False)}
        return (
            [jnp.array(starts[id(v)], str(v.dtype)) for v in trainable],
            [jnp.array(controls[id(v)] if controls else 0, str(v.dtype)) for v in trainable],
        )

    def minus_gradient(
        self, start: Sequence[Any], weights: Sequence[Any], totals: Sequence[Any], *, rows: Any
    ) -> list[Any]:
        """Return float32 start weights minus the mean gradient; other weights as they became."""
        gradients = {id(v): t / rows for v, t in zip(self._variables["trainable"], totals, strict=True)}
        return [
            before - gradients[id(v)] if id(v) in gradients else after
            for v, before, after in zip(self.weights, start, weights, strict=True)
        ]

    def _call(self, name: Any, function: Callable[..., Any], *arguments: Any, gives: Any) -> Any:
        """Run a function that is compiled once for each name."""
        if name not in self._steps:
            self._steps[name] = jax.jit(function, donate_argnums=gives)
        return self._steps[name](*arguments)

    def _step(self, kind: str, correct: Any) -> Callable[..., Any]:
        if (kind, correct) not in self._steps:
            # Gradient totals are carried from step to step; start and control are used again.
            donated = (0, 1, 2) if kind == "gradient" else (0, 1)
            self._steps[kind, correct] = jax.jit(self.step_function(kind, correct), donate_argnums=donated)
        return self._steps[kind, correct]

    def step_function(self, kind: str, correct: Any) -> Callable[..., Any]:
        """Return the function of state, sums, extra values and batch that one minibatch is."""
        steps = {"train": self._train_step, "gradient": self._gradient_step, "evaluate": self._evaluate_step}
        return steps[kind](correct)

    def _train_step(self, correct: Any) -> Any:
        optimizer = self.model.optimizer

        def step(state: State, sums: Any, extra: Any, batch: Batch) -> Any:
            (_, (sums, state)), grads = self._gradients(state, sums, batch, scale=True)
            weights = state["trainable"]
            if correct is not None:
                grads = [correct(g, v, s, c) for g, v, s, c in zip(grads, weights, *extra, strict=True)]
            weights, slots = optimizer.stateless_apply(state["optimizer"], grads, weights)
            return (
                {**state, "trainable": weights, "optimizer": slots},
                sums,
                None if correct is None else extra,
            )

        return step

    def _gradient_step(self, _: Any) -> Any:
        def step(state: State, sums: Any, totals: Any, batch: Batch) -> Any:
            (_, (new, state)), grads = self._gradients(state, sums, batch, scale=False)
            rows = new[1] - sums[1]
            return state, new, [t + g.astype(t.dtype) * rows for t, g in zip(totals, grads, strict=True)]

        return step

    def _evaluate_step(self, _: Any) -> Any:
        def step(state: State, sums: Any, _: Any, batch: Batch) -> Any:
            _, (sums, state) = self._forward(state["trainable"], state, sums, batch, training=False)
            return state, sums, None

        return step

    def _gradients(self, state: State, sums: Any, batch: Batch, *, scale: bool) -> Any:
        def loss_of(trainable: list[Any]) -> Any:
            return self._forward(trainable, state, sums, batch, training=True, scale=scale)

        function = with_fast_pooling(loss_of) if self.pools else loss_of
        return jax.value_and_grad(function, has_aux=True)(state["trainable"])

    def _forward(
        self,
        trainable: list[Any],
        state: State,
        sums: Any,
        batch: Batch,
        *,
        training: bool,
        scale: bool = False,
    ) -> Any:
        """Return the loss to differentiate, and as auxiliary values the new sums and state."""
        x, y, weight, mask = jax.tree.map(jnp.asarray, batch)
        now = {**state, "trainable": trainable}
        with keras.StatelessScope(state_mapping=self.mapping(now), collect_losses=True) as scope:
            y_pred = self.model(x, training=training)
            rows, loss_weight = jnp.float32(len(jax.tree.leaves(x)[0])), weight
            if mask is not None:
                # A mean over the padded batch becomes the mean over its real rows.
                rows = mask.sum()
                loss_weight = mask * (len(mask) / rows)
                loss_weight = loss_weight if weight is None else weight * loss_weight
            loss = bridge.compute_loss(self.model, x, y, y_pred, loss_weight, training=training)
            if mask is None:
                bridge.update_metrics(self.model, x, y, y_pred, weight)
            else:
                bridge.update_padded_metrics(self.model, y, y_pred, weight, mask)
            scaled = self.model.optimizer.scale_loss(loss) if scale else loss
        sums = (sums[0] + loss.astype("float32") * rows, sums[1] + rows)
        return scaled, (sums, {**self.read(scope, now), "trainable": trainable})

    def first_state(self, initial: Any, arrays: list[Any], seeds: list[Any], rate: Any) -> Any:
        """Return the state before the first step, and sums of zero: loss times rows, and rows."""
        values = {id(v): a for v, a in zip((*self.weights, *self._seeds), (*arrays, *seeds), strict=True)}
        if rate is not None:
            values[id(self._rate)] = rate
        # Copies: a step may overwrite its state, and the initial values are used again.
        state = {
            name: [
                jnp.array(values.get(id(v), a), str(v.dtype), copy=True)
                for v, a in zip(vs, initial[name], strict=True)
            ]
            for name, vs in self._variables.items()
        }
        return state, (jnp.zeros(()), jnp.zeros(()))

    def final_values(self, state: State, sums: Any) -> Any:
        """Return weights, learning rate, and loss and metrics."""
        optimizer = self.model.optimizer
        with keras.StatelessScope(state_mapping=self.mapping(state)) as scope:
            results = {"loss": sums[0] / jnp.maximum(sums[1], 1.0), **bridge.metric_tensors(self.model)}
            if bridge.averages_weights(optimizer):
                optimizer.finalize_variable_values(self._variables["trainable"])
            rate = jnp.asarray(optimizer.learning_rate)
        state = self.read(scope, state)
        values = {
            id(v): a for name, vs in self._variables.items() for v, a in zip(vs, state[name], strict=True)
        }
        return [values[id(v)] for v in self.weights], rate, results

    def mapping(self, state: State) -> list[tuple[Any, Any]]:
        """Return each variable with its value, for a scope."""
        return [(v, a) for name, vs in self._variables.items() for v, a in zip(vs, state[name], strict=True)]

    def read(self, scope: Any, state: State) -> State:
        """Return what the variables hold at the end of a scope that began with this state."""
        new = {name: [scope.get_current_value(v) for v in vs] for name, vs in self._variables.items()}
        return {
            name: [old if a is None else a for old, a in zip(state[name], new[name], strict=True)]
            for name in new
        }


def _numbers(results: dict[str, Any]) -> Metrics:
    return {name: float(np.mean(np.asarray(value))) for name, value in results.items()}

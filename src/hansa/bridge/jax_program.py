"""Local training and evaluation of a Keras model as compiled JAX steps."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import keras
import numpy as np

from hansa.bridge import model as bridge
from hansa.types import Array, Examples, LocalTask, Metrics, map_arrays

State = dict[str, list[Any]]


class Program:
    """The compiled steps of one model.

    The model's variables are inputs and outputs of pure functions (`keras.StatelessScope`); the
    model object itself is never changed. Every batch has the same shape: a short one is filled
    with rows of weight zero where that changes nothing (see `bridge.model.pads`), so that clients
    of different sizes share one compiled step.
    """

    def __init__(self, model: Any, *, outputs: int) -> None:
        """Prepare the steps; nothing is compiled before the first batch.

        Args:
            model: A compiled, built `keras.Model` (see `bridge.model.complete`).
            outputs: Number of outputs of the model.
        """
        self.model = model
        self.pads = bridge.pads(model, outputs)
        self._weights = bridge.weight_variables(model)
        self._seeds = bridge.seed_variables(model)
        self._variables = {
            "trainable": list(model.trainable_variables),
            "fixed": list(model.non_trainable_variables),
            "optimizer": list(model.optimizer.variables),
            "metrics": list(model.metrics_variables),
        }
        self._initial = {name: [np.asarray(v.value) for v in vs] for name, vs in self._variables.items()}
        self._steps: dict[Any, Any] = {}

    def initial(self) -> list[Array]:
        """Return the model's initial weights in the layout's order."""
        return [np.asarray(v.value) for v in self._weights]

    def train(self, arrays: Sequence[Array], control: Sequence[Array], examples: Examples, task: LocalTask) -> Any:
        """Run the task's minibatches from these weights.

        Returns:
            The arrays after training (or start minus mean gradient), number of steps, learning
            rate at the end, and metrics.
        """
        rate = bridge.learning_rate_variable(self.model.optimizer)
        bridge.check_learning_rate(self.model.optimizer, task.learning_rate)
        state = self._state(arrays, task.seed)
        if task.learning_rate is not None:
            position = next(i for i, v in enumerate(self._variables["optimizer"]) if v is rate)
            state["optimizer"][position] = jnp.asarray(task.learning_rate, state["optimizer"][position].dtype)
        sums = (jnp.zeros(()), jnp.zeros(()))
        extra = self._correction(arrays, control, task)
        if task.kind == "gradient":
            extra = [jnp.zeros_like(v) for v in state["trainable"]]
        steps = 0
        for rows in task.batches:
            batch = self._batch(examples, rows, task.batch_size)
            if task.kind == "gradient":
                state, sums, extra = self._step("gradient", None)(state, sums, extra, batch)
            else:
                state, sums = self._step("train", task.correct)(state, sums, extra, batch)
            steps += 1
        if task.kind == "gradient":
            count = jnp.maximum(sums[1], 1.0)
            state["trainable"] = [v - g / count for v, g in zip(state["trainable"], extra, strict=True)]
        values = self._by_variable(state)
        final_rate = float(np.asarray(values[id(rate)])) if rate is not None else self._scheduled_rate(state)
        return [np.asarray(values[id(v)]) for v in self._weights], steps, final_rate, self._results(state, sums)

    def evaluate(self, arrays: Sequence[Array], examples: Examples, batch_size: int) -> Metrics:
        """Return loss and metrics of these weights on the examples, in inference mode."""
        state, sums = self._state(arrays, 0), (jnp.zeros(()), jnp.zeros(()))
        for first in range(0, len(examples), batch_size):
            rows = np.arange(first, min(first + batch_size, len(examples)))
            state, sums = self._step("evaluate", None)(state, sums, self._batch(examples, rows, batch_size))
        return self._results(state, sums)

    def _state(self, arrays: Sequence[Array], seed: int) -> State:
        values = {id(v): a for v, a in zip(self._weights, arrays, strict=True)}
        for position, v in enumerate(self._seeds):
            values[id(v)] = np.array([seed, position], dtype=str(v.dtype))
        return {
            name: [jnp.array(values.get(id(v), start)) for v, start in zip(vs, self._initial[name], strict=True)]
            for name, vs in self._variables.items()
        }

    def _batch(self, examples: Examples, rows: Array, size: int) -> tuple[Any, Any, Any, Any]:
        if not self.pads:
            return (*bridge.batch_of(examples, rows), None)
        mask = np.zeros(size, np.float32)
        mask[: len(rows)] = 1.0
        if len(rows) < size:
            rows = np.concatenate([rows, np.full(size - len(rows), rows[0])])
        return (*bridge.batch_of(examples, rows), mask)

    def _correction(self, arrays: Sequence[Array], control: Sequence[Array], task: LocalTask) -> Any:
        if task.correct is None:
            return None
        bridge.check_correction(self.model.optimizer)
        starts = {id(v): a for v, a in zip(self._weights, arrays, strict=True)}
        controls = {id(v): a for v, a in zip(self._weights, control, strict=False)}
        trainable = self._variables["trainable"]
        return (
            [jnp.asarray(starts[id(v)]) for v in trainable],
            [jnp.asarray(controls[id(v)]) if controls else jnp.zeros(()) for v in trainable],
        )

    def _step(self, kind: str, correct: Any) -> Any:
        if (kind, correct) not in self._steps:
            build = {"train": self._train_step, "gradient": self._gradient_step, "evaluate": self._evaluate_step}
            self._steps[kind, correct] = jax.jit(build[kind](correct), donate_argnums=(0, 1))
        return self._steps[kind, correct]

    def _train_step(self, correct: Any) -> Any:
        optimizer = self.model.optimizer

        def step(state: State, sums: Any, extra: Any, batch: Any) -> Any:
            (_, (loss, rows, state)), grads = self._gradients(state, batch)
            if correct is not None:
                grads = [
                    correct(g, v, s, c)
                    for g, v, s, c in zip(grads, state["trainable"], *extra, strict=True)
                ]
            state["trainable"], state["optimizer"] = optimizer.stateless_apply(
                state["optimizer"], grads, state["trainable"]
            )
            return state, (sums[0] + loss * rows, sums[1] + rows)

        return step

    def _gradient_step(self, _: Any) -> Any:
        def step(state: State, sums: Any, total: Any, batch: Any) -> Any:
            (_, (loss, rows, state)), grads = self._gradients(state, batch)
            total = [t + g * rows for t, g in zip(total, grads, strict=True)]
            return state, (sums[0] + loss * rows, sums[1] + rows), total

        return step

    def _evaluate_step(self, _: Any) -> Any:
        def step(state: State, sums: Any, batch: Any) -> Any:
            _, (loss, rows, state) = self._forward(state["trainable"], state, batch, training=False)
            return state, (sums[0] + loss * rows, sums[1] + rows)

        return step

    def _gradients(self, state: State, batch: Any) -> Any:
        def loss_of(trainable: list[Any]) -> Any:
            return self._forward(trainable, state, batch, training=True)

        return jax.value_and_grad(loss_of, has_aux=True)(state["trainable"])

    def _forward(self, trainable: list[Any], state: State, batch: Any, *, training: bool) -> Any:
        """Return the scaled loss, and as auxiliary values loss, rows and the new state."""
        x, y, weight, mask = map_arrays_or_none(batch)
        now = {**state, "trainable": trainable}
        mapping = [(v, a) for name, vs in self._variables.items() for v, a in zip(vs, now[name], strict=True)]
        with keras.StatelessScope(state_mapping=mapping, collect_losses=True) as scope:
            y_pred = self.model(x, training=training)
            rows, loss_weight = jnp.float32(bridge.row_count(x)), weight
            if mask is not None:
                # A mean over the padded batch becomes the mean over its real rows.
                rows = mask.sum()
                loss_weight = mask * (mask.shape[0] / rows)
                loss_weight = loss_weight if weight is None else weight * loss_weight
            loss = bridge.compute_loss(self.model, x, y, y_pred, loss_weight, training=training)
            bridge.update_metrics(self.model, x, y, y_pred, weight, mask)
            scaled = self.model.optimizer.scale_loss(loss) if training else loss
        new = {name: [scope.get_current_value(v) for v in vs] for name, vs in self._variables.items()}
        kept = {name: [o if n is None else n for o, n in zip(now[name], new[name], strict=True)] for name in new}
        return scaled, (loss, rows, {**kept, "trainable": trainable})

    def _by_variable(self, state: State) -> dict[int, Any]:
        return {id(v): a for name, vs in self._variables.items() for v, a in zip(vs, state[name], strict=True)}

    def _scheduled_rate(self, state: State) -> float:
        mapping = list(zip(self._variables["optimizer"], state["optimizer"], strict=True))
        with keras.StatelessScope(state_mapping=mapping):
            return float(np.asarray(keras.ops.convert_to_numpy(self.model.optimizer.learning_rate)))

    def _results(self, state: State, sums: Any) -> Metrics:
        loss = float(sums[0] / jnp.maximum(sums[1], 1.0))
        mapping = list(zip(self._variables["metrics"], state["metrics"], strict=True))
        with keras.StatelessScope(state_mapping=mapping):
            return {"loss": loss, **bridge.metric_results(self.model)}


def map_arrays_or_none(batch: Any) -> tuple[Any, Any, Any, Any]:
    """Return a batch as JAX arrays; absent weights and masks stay None."""
    x, y, weight, mask = batch
    return (
        map_arrays(x, jnp.asarray),
        map_arrays(y, jnp.asarray),
        None if weight is None else jnp.asarray(weight),
        None if mask is None else jnp.asarray(mask),
    )

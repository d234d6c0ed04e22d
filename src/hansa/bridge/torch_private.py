"""Private training steps (DP-SGD) on PyTorch; what they are is in `hansa.bridge.private`."""

from __future__ import annotations

from typing import Any, final

import keras
import numpy as np
import torch

from hansa.bridge import model as bridge
from hansa.bridge.noise import Keystream, normals
from hansa.bridge.per_example import Part, Whole, clipped_sum
from hansa.bridge.private import Held, check_private, micros, most_rows, steps_of, width_of
from hansa.bridge.taps import Taps, taps_of
from hansa.types import Array, Examples, LocalTask, map_arrays


@final
class PrivateLoop:
    """The private steps of one model, on the variables that it holds; nothing is compiled."""

    def __init__(self, program: Any) -> None:
        """Take the program (`hansa.bridge.torch_program.Program`)."""
        self._model = program.model
        self._trainable = list(self._model.trainable_variables)
        self._sizes = [int(np.prod(v.shape)) for v in self._trainable]
        self._fixed: list[Any] = []
        self._taps: Taps | None = None
        self._settled = False
        self._side_by_side = (
            True  # whether examples are taken one by one at once (vmap); False once that failed
        )

    def train(self, rows: Examples, task: LocalTask, sums: list[Any], extra: Any) -> int:
        """Run a task's minibatches on the model's variables and return how many they were.

        Args:
            rows: The rows that the task's numbers are of.
            task: The task.
            sums: Loss times rows, and rows, so far.
            extra: What gradients are corrected with, or an empty tuple.

        Raises:
            ConfigurationError: If the model cannot take private steps, or the task has none.
        """
        private = steps_of(task)
        self._settle(rows)
        noise = Keystream(private.key)
        longest = int(task.batches.sizes.max(initial=1))
        width = width_of(longest, most_rows(self._model, self._taps, private))
        totals = self._zeros()
        for micro in micros(task, width):
            if len(micro.rows):
                clipped = self._micro(rows, micro.rows, private.clip_l2, sums)
                totals = [total + more for total, more in zip(totals, clipped, strict=True)]
            if micro.ends:
                bits = keras.ops.convert_to_tensor(noise.bits(sum(self._sizes)).copy())
                drawn = torch.split(normals(bits) * private.noise, self._sizes)
                pairs = zip(totals, drawn, strict=True)
                self._end(
                    [(t + n.reshape(t.shape)) / private.expected for t, n in pairs], task.correct, extra
                )
                totals = self._zeros()
        return len(task.batches)

    def _zeros(self) -> list[Any]:
        return [torch.zeros_like(v.value, dtype=torch.float32) for v in self._trainable]

    def _settle(self, rows: Examples) -> None:
        """Find out how gradients of examples are taken: by taps only if each tapped layer is called once."""
        if self._settled:
            return
        check_private(self._model)
        seeds = bridge.seed_variables(self._model)
        known = {id(v) for v in seeds}
        self._fixed = [v for v in self._model.non_trainable_variables if id(v) not in known]
        taps = taps_of(self._model)
        if taps is not None:
            x, _, _ = bridge.batch_of(rows, np.zeros(1, np.int64))
            before = [(v, v.value.detach().clone()) for v in seeds]
            with torch.no_grad(), torch.random.fork_rng(), taps.recording() as record:
                self._model(map_arrays(x, _tensor), training=True)
            for variable, value in before:
                variable.assign(value)
            taps = taps if all(len(calls) == 1 for calls in record) else None
        self._taps, self._settled = taps, True

    def _micro(self, rows: Examples, index: Array, clip: float, sums: list[Any]) -> list[Any]:
        """Return the sum of a microbatch's clipped gradients; tell its loss and metrics."""
        x, y, weight = bridge.batch_of(rows, index)
        x, y = map_arrays(x, _tensor), map_arrays(y, _tensor)
        weight = None if weight is None else _tensor(weight)
        held = [v.value.detach().clone() for v in self._fixed]
        gradients = self._apart if self._taps is None else self._tapped
        parts, loss, y_pred = gradients(x, y, weight)
        with torch.no_grad():
            for variable, value in zip(self._fixed, held, strict=True):
                variable.assign(value)
            sums[0] = sums[0] + loss.float().cpu()
            sums[1] += len(index)
            bridge.update_metrics(self._model, x, y, y_pred, weight)
            counts = torch.ones(len(index), device=loss.device)
            with _exact_products():
                return clipped_sum(parts, torch.tensor(clip, device=loss.device), counts)

    def _tapped(self, x: Any, y: Any, weight: Any) -> tuple[list[Part], Any, Any]:
        """Return gradients of examples, of layers' inputs and output gradients; loss and outputs."""
        taps: Any = self._taps
        with taps.recording() as record:
            y_pred = self._model(x, training=True)
        loss = bridge.compute_loss(self._model, x, y, y_pred, weight, training=True)
        loss = loss * len(keras.tree.flatten(x)[0])
        inputs, outputs = (list(each) for each in zip(*(calls[0] for calls in record), strict=True))
        found = torch.autograd.grad(loss, outputs, allow_unused=True)
        with torch.no_grad():
            pairs = zip(found, outputs, strict=True)
            dense = [torch.zeros_like(z) if g is None else g for g, z in pairs]
            return taps.parts([a.detach() for a in inputs], dense), loss.detach(), _detached(y_pred)

    def _apart(self, x: Any, y: Any, weight: Any) -> tuple[list[Part], Any, Any]:
        """Return gradients of examples, each taken of the model on that example alone; loss and outputs."""
        row = (x, y) if weight is None else (x, y, weight)
        changes = self._model.non_trainable_variables or bridge.tells_losses(self._model)
        if self._side_by_side and not changes:
            try:
                return self._at_once(row)
            except (
                Exception
            ):  # vmap takes no model whose code depends on values, and has no list of what it takes
                self._side_by_side = False
        values = [v.value for v in self._trainable]
        held, each = [v.value.detach().clone() for v in self._fixed], []
        for place in range(len(keras.tree.flatten(x)[0])):
            own, (loss, y_pred) = self._one(keras.tree.map_structure(lambda a, i=place: a[i], row))
            found = torch.autograd.grad(own, values, allow_unused=True)
            pairs = zip(found, values, strict=True)
            each.append(([torch.zeros_like(v) if g is None else g for g, v in pairs], loss, y_pred))
            for variable, value in zip(self._fixed, held, strict=True):
                variable.assign(value)  # else the next example's gradient would follow from this one
        grads, losses, outputs = zip(*each, strict=True)
        y_pred = keras.tree.map_structure(lambda *parts: torch.cat(parts), *outputs)
        stacked: list[Part] = [Whole(torch.stack(g).float()) for g in zip(*grads, strict=True)]
        return stacked, torch.stack(losses).sum().detach(), _detached(y_pred)

    def _at_once(self, row: Any) -> tuple[list[Part], Any, Any]:
        def loss_of(values: list[Any], row: Any) -> Any:
            mapping = list(zip(self._trainable, values, strict=True))
            with keras.StatelessScope(state_mapping=mapping, collect_losses=True):
                return self._one(row)

        values = [v.value.detach() for v in self._trainable]
        each = torch.func.vmap(torch.func.grad(loss_of, has_aux=True), in_dims=(None, 0))
        grads, (losses, y_pred) = each(values, row)
        y_pred = keras.tree.map_structure(lambda a: a.squeeze(1), y_pred)
        return [Whole(g.float()) for g in grads], losses.sum().detach(), _detached(y_pred)

    def _one(self, row: Any) -> Any:
        """Return one example's loss without penalties on weights, and beside it the whole and the outputs."""
        alone: Any = keras.tree.map_structure(lambda a: a[None], row)
        x, y, *weights = alone
        y_pred = self._model(x, training=True)
        weight = weights[0] if weights else None
        loss = bridge.compute_loss(self._model, x, y, y_pred, weight, training=True)
        own = loss - sum(more.sum() for more in self._model._get_regularization_losses())
        return own, (loss, y_pred)

    def _end(self, grads: list[Any], correct: Any, extra: Any) -> None:
        """Let the optimizer step with a noised gradient."""
        values = [v.value for v in self._trainable]
        penalties = self._model._get_regularization_losses()
        if penalties:
            penalty: Any = sum(more.sum() for more in penalties)
            added = torch.autograd.grad(penalty, values, allow_unused=True)
            grads = [g if more is None else g + more for g, more in zip(grads, added, strict=True)]
        with torch.no_grad():
            grads = [grad.to(value.dtype) for grad, value in zip(grads, values, strict=True)]
            if correct is not None:
                grads = [correct(g, v, s, c) for g, v, s, c in zip(grads, values, *extra, strict=True)]
            self._model.optimizer.apply(grads, self._trainable)


_exact_products = Held(
    lambda: torch.get_float32_matmul_precision(),  # noqa: PLW0108 - looked up when it is called
    lambda to: torch.set_float32_matmul_precision(to),  # noqa: PLW0108
    value="highest",
)
"""Lets products of matrices be of float32: of ten bits, as users may ask for, norms would not hold."""


def _tensor(array: Any) -> Any:
    return keras.ops.convert_to_tensor(np.ascontiguousarray(array))


def _detached(tree: Any) -> Any:
    return keras.tree.map_structure(lambda a: a.detach(), tree)

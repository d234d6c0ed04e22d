"""Private training steps (DP-SGD) on JAX; what they are is in `hansa.bridge.private`."""

from __future__ import annotations

import threading
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple, final

import jax
import jax.numpy as jnp
import keras
import numpy as np

from hansa.bridge import model as bridge
from hansa.bridge.jax_device import on_cpu
from hansa.bridge.jax_pooling import with_fast_pooling
from hansa.bridge.noise import Keystream, normals
from hansa.bridge.per_example import Part, Whole, clipped_sum
from hansa.bridge.private import Micro, check_private, filled, micros, most_rows, steps_of, width_of
from hansa.bridge.taps import Taps, taps_of
from hansa.types import Examples, LocalTask

_SEGMENT_BYTES = 8 << 20  # of rows and noise that one call gets
_SEGMENT = 64  # microbatches that one call works on, at most
Call = Callable[..., Any]


class Inputs(NamedTuple):
    """What one call works on: microbatches, one after another, and the bits of their steps' noise.

    Attributes:
        data: Features, labels and weights, shape ``(micros, width, ...)``.
        counts: Real rows of each microbatch, shape ``(micros,)``.
        steps: Number of the step that each belongs to, from 0, shape ``(micros,)``.
        ends: Whether it is the step's last, shape ``(micros,)``.
        bits: For each step, shape ``(steps, weights)``.
    """

    data: Any
    counts: Any
    steps: Any
    ends: Any
    bits: Any


@final
class PrivateLoops:
    """The private steps of one model.

    Several microbatches are one call, and a loop in it. XLA's convolutions on a CPU are slow inside a loop,
    so that such models work on one at a time.
    """

    def __init__(self, program: Any) -> None:
        """Take the program (`hansa.bridge.jax_program.Program`)."""
        self._program, self._model = program, program.model
        self._trainable = list(self._model.trainable_variables)
        self._fixed = list(self._model.non_trainable_variables)
        self._size = sum(int(np.prod(v.shape)) for v in self._trainable)
        self._segment = 1 if on_cpu() and any(len(v.shape) > 2 for v in program.weights) else _SEGMENT
        self._lock = threading.Lock()
        self._settled = False
        self._seeds: set[int] = set()
        self._taps: Taps | None = None
        self._shapes: list[tuple[int, ...]] = []

    def train(self, call: Call, carry: Any, extra: Any, rows: Examples, task: LocalTask) -> Any:
        """Run a task's minibatches and return state and sums after them.

        Args:
            call: Runs a function: of a name that tells what its code depends on, the function, its arguments,
                and ``gives``, the numbers of those whose memory it may take over.
            carry: State and sums before.
            extra: What gradients are corrected with, or None.
            rows: The rows that the task's numbers are of.
            task: The task.

        Raises:
            ConfigurationError: If the model cannot take private steps, or the task has none.
        """
        private = steps_of(task)
        with self._lock:
            if not self._settled:
                self._settle(carry[0], rows)
        longest = int(task.batches.sizes.max(initial=1))
        width = width_of(longest, most_rows(self._model, self._taps, private))
        numbers = tuple(map(np.float32, (private.clip_l2, private.noise, private.expected)))
        single, noise = longest <= width, Keystream(private.key)
        carry = (*carry[:2], [] if single else [jnp.zeros(v.shape) for v in self._trainable])
        run = partial(self._run, single, task.correct)
        parts = list(micros(task, width))
        size = _few(min(self._segment_of(rows, width), len(parts)))
        name = (
            "private",
            width,
            size,
            single,
            task.correct,
            task.control is None,
            task.learning_rate is None,
        )
        for first in range(0, len(parts), size):
            segment = parts[first : first + size]
            inputs = self._inputs(segment, rows, noise, (size, width))
            carry = call(name, run, carry, extra, inputs, numbers, np.int32(len(segment)), gives=(0,))
        return carry[:2]

    # ------------------------------------------------------------------ what a call needs

    def _settle(self, state: Any, rows: Examples) -> None:
        """Find out how gradients of examples are taken: by taps only if each tapped layer is called once."""
        check_private(self._model)
        self._seeds = {id(v) for v in bridge.seed_variables(self._model)}
        taps: Any = taps_of(self._model)
        if taps is not None:
            calls: list[int] = []

            def forward(batch: Any) -> list[Any]:
                with taps.recording() as record:
                    self._forward(state, batch)
                calls[:] = map(len, record)
                return [z for each in record for _, z in each]

            one = (*bridge.batch_of(rows, np.zeros(1, np.int64)), np.ones(1, np.float32))
            shapes = jax.eval_shape(forward, jax.tree.map(jnp.asarray, one))
            self._shapes = [shape.shape[1:] for shape in shapes]
            taps = taps if all(count == 1 for count in calls) else None
        self._taps, self._settled = taps, True

    def _segment_of(self, rows: Examples, width: int) -> int:
        """Return how many microbatches one call works on, at most."""
        row = sum(a[:1].nbytes for a in jax.tree.leaves((rows.x, rows.y)))
        return min(self._segment, max(1, _SEGMENT_BYTES // (width * row + 4 * self._size)))

    def _inputs(
        self, segment: list[Micro], rows: Examples, noise: Keystream, shape: tuple[int, int]
    ) -> Inputs:
        size, width = shape
        places = np.zeros(shape, np.int64)
        counts, steps = np.zeros((2, size), np.int32)
        ends = np.zeros(size, bool)
        for number, micro in enumerate(segment):
            places[number] = filled(micro.rows, width)
            counts[number], ends[number] = len(micro.rows), micro.ends
        steps[1:] = np.cumsum(ends)[:-1]
        data = jax.tree.map(lambda a: np.take(a, places, axis=0), (rows.x, rows.y, rows.sample_weight))
        drawn = noise.bits(int(ends.sum()), self._size)
        bits = np.zeros((size, self._size), np.int32) if len(drawn) < size else drawn
        if len(drawn) < size:
            bits[: len(drawn)] = drawn
        return Inputs(data, counts, steps, ends, bits)

    # ------------------------------------------------------------------ compiled

    def _run(  # noqa: PLR0917
        self, single: bool, correct: Any, carry: Any, extra: Any, inputs: Inputs, numbers: Any, count: Any
    ) -> Any:
        """Work on so many microbatches. ``single`` says that each is a minibatch."""
        clip, noise, expected = numbers

        def end(i: Any, state: Any, total: list[Any]) -> Any:
            drawn = noise * normals(inputs.bits[inputs.steps[i]])
            cuts = np.cumsum([t.size for t in total])[:-1]
            pairs = zip(total, jnp.split(drawn, cuts), strict=True)
            return self._end(correct, state, [(t + n.reshape(t.shape)) / expected for t, n in pairs], extra)

        def micro(i: Any, carry: Any) -> Any:
            state, sums, held = carry
            data = jax.tree.map(lambda a: a[i], inputs.data)
            mask = (jnp.arange(jax.tree.leaves(data)[0].shape[0]) < inputs.counts[i]).astype("float32")
            total, state, sums = self._micro(state, sums, (*data, mask), clip)
            if single:
                return end(i, state, total), sums, held
            held = [h + t for h, t in zip(held, total, strict=True)]
            done = lambda: (end(i, state, held), [jnp.zeros_like(h) for h in held])  # noqa: E731
            state, held = jax.lax.cond(inputs.ends[i], done, lambda: (state, held))
            return state, sums, held

        if len(inputs.counts) == 1:
            return micro(0, carry)
        return jax.lax.fori_loop(0, count, micro, carry)

    def _end(self, correct: Any, state: Any, grads: list[Any], extra: Any) -> Any:
        """Return the state after the optimizer's step with a noised gradient."""
        weights = state["trainable"]
        if self._model._get_regularization_losses():
            added = jax.grad(self._regularization)(weights, state)
            grads = [g + a for g, a in zip(grads, added, strict=True)]
        grads = [g.astype(w.dtype) for g, w in zip(grads, weights, strict=True)]
        if correct is not None:
            grads = [correct(g, v, s, c) for g, v, s, c in zip(grads, weights, *extra, strict=True)]
        weights, slots = self._model.optimizer.stateless_apply(state["optimizer"], grads, weights)
        return {**state, "trainable": weights, "optimizer": slots}

    def _regularization(self, trainable: list[Any], state: Any) -> Any:
        mapping = self._program.mapping({**state, "trainable": trainable})
        with keras.StatelessScope(state_mapping=mapping):
            return sum(jnp.sum(loss) for loss in self._model._get_regularization_losses())

    def _micro(self, state: Any, sums: Any, batch: Any, clip: Any) -> Any:
        """Return the clipped sum of a microbatch, the state, and loss times rows and rows so far."""
        gradients = self._apart if self._taps is None else self._tapped
        with jax.default_matmul_precision("float32"):  # a GPU would round to ten bits
            parts, (loss, state) = gradients(state, batch)
            total = clipped_sum(parts, clip, batch[-1])
        rows = batch[-1].sum()
        sums = (sums[0] + jnp.where(rows > 0, loss, 0.0), sums[1] + rows)
        return total, state, sums

    def _tapped(self, state: Any, batch: Any) -> tuple[list[Part], Any]:
        """Return gradients of examples, as layers' inputs and output gradients give them; loss and state."""
        taps: Any = self._taps

        def loss_of(shifts: list[Any]) -> Any:
            with taps.recording(lambda number, z: z + shifts[number].astype(z.dtype)) as record:
                loss, after = self._forward(state, batch)
            return loss, (after, [inputs for ((inputs, _),) in record])

        function = with_fast_pooling(loss_of) if self._program.pools else loss_of
        zeros = [jnp.zeros((len(batch[-1]), *shape)) for shape in self._shapes]
        (loss, (after, inputs)), gradients = jax.value_and_grad(function, has_aux=True)(zeros)
        return taps.parts(inputs, gradients), (loss, after)

    def _forward(self, state: Any, batch: Any) -> Any:
        """Return the sum of the examples' losses, and the state."""
        with self._scope(state) as scope:
            y_pred = self._model(batch[0], training=True)
            loss = self._told(batch, y_pred, whole=True)
        return loss, self._after(scope, state)

    def _apart(self, state: Any, batch: Any) -> tuple[list[Part], Any]:
        """Return gradients of examples, each taken of the model on that example alone; loss and state."""
        random = [id(v) in self._seeds for v in self._fixed]

        def loss_of(trainable: list[Any], place: Any, row: Any) -> Any:
            # Every example has random layers of its own.
            pairs = zip(random, state["fixed"], strict=True)
            fixed = [a.at[-1].add(place << 16) if drawn else a for drawn, a in pairs]
            now = {**state, "trainable": trainable, "fixed": fixed}
            x, y, weight = jax.tree.map(lambda a: a[None], row)
            with self._scope(now) as scope:
                y_pred = self._model(x, training=True)
                loss = bridge.compute_loss(self._model, x, y, y_pred, weight, training=True)
                own = loss - sum(jnp.sum(more) for more in self._model._get_regularization_losses())
            return own.astype("float32"), (loss, y_pred, self._after(scope, now)["fixed"])

        places = jnp.arange(len(batch[-1]), dtype="uint32")
        each = jax.vmap(jax.value_and_grad(loss_of, has_aux=True), in_axes=(None, 0, 0))
        (_, (losses, y_pred, fixed)), gradients = each(state["trainable"], places, batch[:3])
        pairs = zip(random, state["fixed"], fixed, strict=True)
        state = {**state, "fixed": [new[0] if drawn else old for drawn, old, new in pairs]}
        with self._scope(state) as scope:
            self._told(batch, jax.tree.map(lambda a: a.reshape(-1, *a.shape[2:]), y_pred), whole=False)
        loss = jnp.sum(jnp.where(batch[-1] > 0, losses, 0.0).astype("float32"))
        return [Whole(g.astype("float32")) for g in gradients], (loss, self._after(scope, state))

    def _told(self, batch: Any, y_pred: Any, *, whole: bool) -> Any:
        """Update what is told of a microbatch, and return its loss times its rows if that is wanted."""
        x, y, weight, mask = batch
        real = mask if weight is None else weight * mask
        model, loss = self._model, jnp.zeros(())
        if whole or bridge.tells_losses(model):
            filling = len(mask) - mask.sum()
            loss = len(mask) * bridge.compute_loss(model, x, y, y_pred, real, training=True)
            # In the mean over the filled microbatch rows that only fill it up add nothing but penalties.
            loss -= filling * sum(jnp.sum(more) for more in model._get_regularization_losses())
            for mean in model._compile_loss.metrics:
                mean.count.assign(mean.count - filling)
        if type(model).compute_metrics is not keras.Model.compute_metrics:
            model.compute_metrics(x, y, y_pred, real)
        else:
            bridge.update_padded_metrics(model, y, y_pred, weight, mask)
        return loss.astype("float32")

    def _scope(self, state: Any) -> Any:
        return keras.StatelessScope(state_mapping=self._program.mapping(state), collect_losses=True)

    def _after(self, scope: Any, state: Any) -> Any:
        """Return the state after a scope: metrics and random layers change, other weights do not."""
        new = self._program.read(scope, state)
        pairs = zip(self._fixed, state["fixed"], new["fixed"], strict=True)
        fixed = [after if id(v) in self._seeds else before for v, before, after in pairs]
        return {**state, "fixed": fixed, "metrics": new["metrics"]}


def _few(count: int) -> int:
    """Return the power of four that a number is cut down to, so that there are few programs."""
    return 1 << (max(count.bit_length() - 1, 0) // 2 * 2)

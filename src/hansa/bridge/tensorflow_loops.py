"""What the TensorFlow trainer compiles: a client's minibatches as a loop, and many clients as one program."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from hansa.bridge import model as bridge
from hansa.bridge.tensorflow_program import Program
from hansa.types import Array, map_arrays

Carry = tuple[Any, ...]
"""What one minibatch hands to the next beside variables: loss times rows, rows, and sums of gradients."""

_SMALL = 16
_ALIGNMENT = 64  # bytes; what TensorFlow takes over without a copy


@dataclass(frozen=True)
class Work:
    """What a program is compiled for.

    Attributes:
        kind: Kind of the task.
        correct: The task's correction of gradients.
        width: Rows of a minibatch, or 0 if dynamic.
        steps: Number of minibatches that there is room for, or 0 if dynamic.
        masked: Whether rows that fill minibatches up are weighted with zero.
        laid: Whether the data are minibatches that lie ready, not all rows.
        room: For how many clients there is room.
        leaf: How many clients are one sum.
    """

    kind: str
    correct: Any
    width: int = 0
    steps: int = 0
    masked: bool = False
    laid: bool = False
    room: int = 1
    leaf: int = 1

    @property
    def leaves(self) -> int:
        """For how many sums there is room."""
        return -(-self.room // self.leaf)

    def plan(self, head: Array, order: Array, sizes: Array) -> Any:
        """Return the vector of numbers that a program takes: a head, then the minibatches.

        With a fixed width these are sizes, and the rows in a matrix of fixed shape unless rows lie ready;
        else the number of minibatches, their ends from 0 on, and the rows.
        """
        if not self.width:
            return tensor(head, np.array([len(sizes), 0]), np.cumsum(sizes), order)
        filled = np.zeros(self.steps, np.int64)
        filled[: len(sizes)] = sizes
        if self.laid:
            return tensor(head, filled)
        matrix = np.zeros((self.steps, self.width), np.int64)
        matrix[: len(sizes)] = self.matrix(order, sizes)
        return tensor(head, filled, matrix)

    def matrix(self, order: Array, sizes: Array) -> Array:
        """Return the rows of minibatches, one a line; its first row takes the places that are left."""
        if len(order) == len(sizes) * self.width:
            return order.reshape(-1, self.width)
        matrix = np.zeros((len(sizes), self.width), np.int64)
        real = np.arange(self.width) < sizes[:, None]
        matrix[real] = order
        return np.where(real, matrix, matrix[:, :1])


class Loops:
    """Functions to compile, of one model.

    Their ``data`` are features, labels and sample weights, ``floats`` is a vector of start weights, control
    (none or as many) and learning rate, and ``plan`` what `Work.plan` returns.

    Attributes:
        names: Names of the metrics, once a function has been compiled.
        size: Number of weights.
    """

    def __init__(self, program: Program) -> None:
        """Take the model."""
        self._model, self._optimizer = program.model, program.model.optimizer
        self._weights = bridge.weight_variables(self._model)
        self._seeds = bridge.seed_variables(self._model)
        self._trainable = list(self._model.trainable_variables)
        self._rate = bridge.learning_rate_variable(self._optimizer)
        self._starts = [(v, _fresh(value)) for v, value in program.starts if v is not self._rate]
        self.shapes = [tuple(v.shape) for v in self._weights]
        self._ends = np.cumsum([0, *(int(np.prod(shape)) for shape in self.shapes)]).tolist()
        self.size: int = self._ends[-1]
        self.names: list[str] = []

    def whole(self, work: Work, data: Any, floats: Any, plan: Any) -> tuple[Any, Any]:
        """Train one client; the plan's head is its seed. Return as `end`."""
        carry = self.begin(work, data, floats, plan)
        return self.end(work, data, floats, *self.loop(work, data, floats, plan, *carry))

    def begin(self, work: Work, data: Any, floats: Any, plan: Any) -> Carry:  # noqa: ARG002
        """Make a client's training begin; the plan's head is its seed."""
        return self._begin(work, floats, plan[0])

    def loop(self, work: Work, data: Any, floats: Any, plan: Any, *carry: Any) -> Carry:
        """Run the minibatches, whose plan stands after one number."""
        count, batch = self._batches(work, data, plan[1:])
        return self._loop(work, floats, batch, (tf.zeros_like(count), count), carry)

    def end(self, work: Work, data: Any, floats: Any, *carry: Any) -> tuple[Any, Any]:  # noqa: ARG002
        """Return the vector of weights, and loss times rows, rows, learning rate and metrics."""
        values, numbers = self._end(work, floats, carry)
        return tf.concat([tf.reshape(value, [-1]) for value in values], 0), numbers

    def clients(self, work: Work, data: Any, floats: Any, plan: Any, factors: Any) -> tuple[list[Any], Any]:
        """Train several clients, one after another, and add up what they change, leaf by leaf.

        The plan's head is each client's seed, the number of each client's first minibatch and that of all,
        and the number of each leaf's first client and that of all. ``factors`` are the clients' weights.

        Returns:
            For each variable the float64 sums, with the leaf as first axis; and for each client the numbers
            that `end` returns.
        """
        room, leaves = work.room, work.leaves
        seeds, firsts, ends = plan[:room], plan[room : 2 * room + 1], plan[2 * room + 1 :][: leaves + 1]
        _, batch = self._batches(work, data, plan[2 * room + leaves + 2 :])
        starts = self._cut(floats)

        def trained(g: Any) -> tuple[list[Any], Any]:
            carry = self._begin(work, floats, seeds[g])
            carry = self._loop(work, floats, batch, (firsts[g], firsts[g + 1]), carry)
            values, numbers = self._end(work, floats, carry)
            changes = [value - start for value, start in zip(values, starts, strict=True)]
            return [tf.cast(change, "float64") * factors[g] for change in changes], numbers

        def client(g: Any, results: Any, *held: Any) -> tuple[Any, ...]:
            changes, numbers = trained(g)
            sums = [h + change for h, change in zip(held, changes, strict=True)]
            return (g + 1, results.write(tf.cast(g, "int32"), numbers), *sums)

        def leaf(number: Any, results: Any) -> tuple[list[Any], Any]:
            if work.leaf == 1:
                changes, numbers = trained(number)
                return changes, results.write(tf.cast(number, "int32"), numbers)
            first = (ends[number], results, *(tf.zeros(shape, "float64") for shape in self.shapes))
            _, results, *held = _while(lambda g, *_: g < ends[number + 1], client, first)
            return held, results

        def more(number: Any, results: Any, *sums: Any) -> tuple[Any, ...]:
            held, results = leaf(number, results)
            place = tf.cast(number, "int32")
            return (number + 1, results, *(s.write(place, h) for s, h in zip(sums, held, strict=True)))

        # Leaves and clients that are not there keep zeros.
        results = _places(room, (3 + len(bridge.metric_tensors(self._model)),), "float32")
        if leaves == 1:
            held, results = leaf(tf.constant(0, "int64"), results)
            return [h[None] for h in held], results.stack()
        sums = [_places(leaves, shape, "float64") for shape in self.shapes]
        _, results, *sums = _while(
            lambda number, *_: ends[number] < ends[-1], more, (tf.constant(0, "int64"), results, *sums)
        )
        return [s.stack() for s in sums], results.stack()

    # ------------------------------------------------------------------ one client

    def _begin(self, work: Work, floats: Any, seed: Any) -> Carry:
        """Write start weights, learning rate, seeds and fresh states into the variables."""
        for variable, value in zip(self._weights, self._cut(floats), strict=True):
            variable.assign(tf.cast(value, variable.dtype))
        for position, variable in enumerate(self._seeds):
            variable.assign(tf.cast(tf.stack([seed, position]), variable.dtype))
        for variable, fresh in self._starts:
            variable.assign(fresh())
        if self._rate is not None:
            self._rate.assign(floats[-1])
        self._model.reset_metrics()
        totals = [tf.zeros(v.shape) for v in self._trainable] if work.kind == "gradient" else []
        return (tf.constant(0.0), tf.constant(0.0), *totals)

    def _loop(self, work: Work, floats: Any, batch: Callable[..., Any], span: Any, carry: Carry) -> Carry:
        """Run the minibatches from the first of a span to before its last."""
        first, last = span
        starts = dict(zip(map(id, self._weights), self._cut(floats), strict=True))
        controls = dict(zip(map(id, self._weights), self._cut(floats[self.size : -1]), strict=False))

        def corrected(v: Any, gradient: Any) -> Any:
            near = (starts[id(v)], controls.get(id(v), 0.0))
            return work.correct(gradient, tf.convert_to_tensor(v.value), *(tf.cast(a, v.dtype) for a in near))

        def step(i: Any, loss: Any, rows: Any, *totals: Any) -> Carry:
            grads, more, seen = self._gradients(*batch(i), scale=work.kind == "train")
            if work.kind == "gradient" or work.correct is not None:
                grads = [tf.convert_to_tensor(grad) for grad in grads]
            if work.kind == "gradient":
                totals = tuple(t + tf.cast(g, "float32") * seen for t, g in zip(totals, grads, strict=True))
            else:
                if work.correct is not None:
                    grads = [corrected(v, grad) for v, grad in zip(self._trainable, grads, strict=True)]
                self._optimizer.apply(grads, self._trainable)
            return (i + 1, loss + more * seen, rows + seen, *totals)

        return _while(lambda i, *_: i < last, step, (first, *carry))[1:]

    def _batches(self, work: Work, data: Any, plan: Any) -> tuple[Any, Callable[[Any], tuple[Any, Any]]]:
        """Return the number of minibatches, and a function that gives one and which of its rows count."""
        if not work.width:
            count, ends, order = plan[0], plan[1:], plan[plan[0] + 2 :]
            return count, lambda i: (_taken(data, order[ends[i] : ends[i + 1]]), None)
        sizes = plan[: work.steps]
        rows = None if work.laid else tf.reshape(plan[work.steps :], (work.steps, work.width))
        places = tf.range(work.width, dtype=plan.dtype)

        def filled(i: Any) -> tuple[Any, Any]:
            taken = map_arrays(data, lambda a: a[i]) if rows is None else _taken(data, rows[i])
            return taken, tf.cast(places < sizes[i], "float32") if work.masked else None

        return tf.reduce_sum(tf.cast(sizes > 0, plan.dtype)), filled

    def _gradients(self, data: Any, mask: Any, *, scale: bool) -> tuple[list[Any], Any, Any]:
        """Return gradients, loss and number of rows of a minibatch."""
        x, y, weights = data
        weight = weights[0] if weights else None
        rows = tf.cast(tf.shape(keras.tree.flatten(x)[0])[0], "float32")
        loss_weight = weight
        if mask is not None:
            # A mean over the padded batch becomes the mean over its real rows.
            size, rows = rows, tf.reduce_sum(mask)
            loss_weight = mask * (size / rows)
            loss_weight = loss_weight if weight is None else tf.cast(weight, "float32") * loss_weight
        with tf.GradientTape() as tape:
            y_pred = self._model(x, training=True)
            loss = bridge.compute_loss(self._model, x, y, y_pred, loss_weight, training=True)
            scaled = self._optimizer.scale_loss(loss) if scale else loss
        if mask is None:
            bridge.update_metrics(self._model, x, y, y_pred, weight)
        else:
            bridge.update_padded_metrics(self._model, y, y_pred, weight, mask)
        variables = [v.value for v in self._trainable]
        grads = tape.gradient(scaled, variables, unconnected_gradients=tf.UnconnectedGradients.ZERO)
        return grads, tf.cast(loss, "float32"), rows

    def _end(self, work: Work, floats: Any, carry: Carry) -> tuple[list[Any], Any]:
        """Return float32 weights, and loss times rows, rows, learning rate and metrics."""
        loss, rows, *totals = carry
        results = bridge.metric_tensors(self._model)
        self.names[:] = list(results)
        if work.kind == "train" and bridge.averages_weights(self._optimizer):
            self._optimizer.finalize_variable_values(self._trainable)
        values = {id(v): tf.cast(v.value, "float32") for v in self._weights}
        if work.kind == "gradient":
            starts = dict(zip(map(id, self._weights), self._cut(floats), strict=True))
            for v, total in zip(self._trainable, totals, strict=True):
                values[id(v)] = starts[id(v)] - total / tf.maximum(rows, 1.0)
        numbers = [loss, rows, self._optimizer.learning_rate, *results.values()]
        return list(values.values()), tf.stack([tf.reduce_mean(tf.cast(n, "float32")) for n in numbers])

    def _cut(self, vector: Any) -> list[Any]:
        """Return the weights' parts of a vector; none of an empty one."""
        if vector.shape[0] == 0:
            return []
        cuts = zip(self._ends, self._ends[1:], self.shapes, strict=False)
        return [tf.reshape(vector[first:last], shape) for first, last, shape in cuts]

    def arrays(self, vector: Array) -> list[Array]:
        """Return the weights of a vector as arrays in the layout's order."""
        cuts = zip(self._ends, self._ends[1:], self.shapes, strict=False)
        return [vector[first:last].reshape(shape) for first, last, shape in cuts]


def tensor(*arrays: Array) -> Any:
    """Return the values of arrays of one dtype, one after another, as a vector."""
    values = aligned((sum(array.size for array in arrays),), arrays[0].dtype)
    np.concatenate([array.reshape(-1) for array in arrays], out=values)
    # TensorFlow takes such memory as it is; nobody else has it.
    return tf.experimental.dlpack.from_dlpack(values.__dlpack__())


def aligned(shape: tuple[int, ...], dtype: Any) -> Array:
    """Return an empty array that begins where TensorFlow wants memory to begin."""
    size = int(np.prod(shape)) * np.dtype(dtype).itemsize
    raw = np.empty(size + _ALIGNMENT, np.uint8)
    first = -raw.ctypes.data % _ALIGNMENT
    return raw[first : first + size].view(dtype).reshape(shape)


def _while(condition: Callable[..., Any], body: Callable[..., Any], first: tuple[Any, ...]) -> Any:
    return tf.while_loop(condition, body, first, parallel_iterations=1)


def _places(count: int, shape: tuple[int, ...], dtype: str) -> Any:
    """Return places for so many tensors of a shape, zeros at first."""
    places = tf.TensorArray(dtype, count, element_shape=shape, clear_after_read=False)
    return places.unstack(tf.zeros((count, *shape), dtype))


def _taken(data: Any, rows: Any) -> Any:
    return map_arrays(data, lambda values: tf.gather(values, rows))


def _fresh(value: Array) -> Callable[[], Any]:
    """Return a function that gives this value inside a graph, which does not hold large arrays itself."""
    if not value.any():
        return lambda: tf.zeros(value.shape, value.dtype)
    kept = tf.constant(value) if value.size > _SMALL else value
    return lambda: tf.convert_to_tensor(kept)

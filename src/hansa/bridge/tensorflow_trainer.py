"""Local training of many clients by one worker: a client's whole training is one TensorFlow function."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, final

import keras
import numpy as np
import tensorflow as tf

from hansa.bridge import model as bridge
from hansa.bridge.padding import padded_size, pads
from hansa.bridge.tensorflow_program import Program
from hansa.errors import ConfigurationError, UnknownNameError
from hansa.types import Array, Examples, LocalTask, Metrics, map_arrays

Carry = tuple[Any, ...]
"""What one minibatch hands to the next beside variables: loss times rows, rows, and sums of gradients."""

_SMALL = 16
_ALIGNMENT = 64
_NOISE = ("Random", "Multinomial", "TruncatedNormal")


@final
class Trainer:
    """One worker's local training, with the rows of all clients at hand.

    A client's whole training is one call of a compiled function, which takes the start weights and the
    numbers of the rows, and gives the weights after it. The rows themselves are handed to TensorFlow once.

    With the strategy ``"xla"`` minibatches have a fixed size and their number is filled up to a power of
    two, so that clients of different sizes share programs. Short minibatches are filled up as well where
    that changes nothing (see `hansa.bridge.padding`); otherwise each run of minibatches of one size is a
    call of its own. With ``"graph"`` sizes are dynamic and TensorFlow runs one kernel per operation.

    A trainer belongs to one thread, as do its program and model: TensorFlow's variables are state.

    Attributes:
        strategies: The ways to compile; which is faster depends on model and machine.
    """

    strategies: ClassVar[tuple[str, ...]] = ("xla", "graph")
    shares_model: ClassVar[bool] = False
    """TensorFlow's variables are state, so that each thread has a model."""
    adds: ClassVar[bool] = False

    def __init__(
        self,
        program: Program,
        population: Examples,
        *,
        strategy: str,
        like: Trainer | None = None,
        worker: int = 0,  # noqa: ARG002 - all are alike here
    ) -> None:
        """Take the rows; nothing is compiled before the first training.

        Args:
            program: The program of this worker's own model.
            population: The training rows of all clients.
            strategy: One of `strategies`.
            like: Another trainer, whose copy of the rows this one shares if they are the same, and whose
                compiled functions if the program is the same.
            worker: Number of the worker.

        Raises:
            UnknownNameError: If there is no such strategy.
        """
        if strategy not in self.strategies:
            raise UnknownNameError("strategy", strategy, self.strategies)
        self.strategy, self._program = strategy, program
        self._model, self._optimizer = program.model, program.model.optimizer
        # Models whose outputs Keras does not know are not padded anyway.
        outputs = [
            tuple(o.shape[1:]) for o in keras.tree.flatten(getattr(self._model, "outputs", None) or [])
        ]
        self._xla = strategy == "xla"
        self._pads = self._xla and pads(self._model, outputs, training=True)
        self._weights = bridge.weight_variables(self._model)
        self._seeds = bridge.seed_variables(self._model)
        self._trainable = list(self._model.trainable_variables)
        self._shapes = [tuple(v.shape) for v in self._weights]
        self._ends = np.cumsum([0, *(int(np.prod(shape)) for shape in self._shapes)]).tolist()
        self._rate = bridge.learning_rate_variable(self._optimizer)
        self._starts = [(v, _fresh(value)) for v, value in program.starts if v is not self._rate]
        self._own_rate = next((float(value) for v, value in program.starts if v is self._rate), 0.0)
        weight = population.sample_weight
        data = (population.x, population.y, () if weight is None else (weight,))
        self._population = population
        same = like if like is not None and like._population is population else None
        self._flat = [tf.constant(a) for a in keras.tree.flatten(data)] if same is None else same._flat
        self._structure = data
        self._data: Any = ()  # the rows inside a function that is being traced
        self._rows = len(population)
        kin = like if like is not None and like._model is self._model else None
        self._names: list[str] = [] if kin is None else kin._names
        self._compiled: dict[Any, Any] = {} if kin is None else kin._compiled

    def on(self, population: Examples) -> Trainer:
        """Return a trainer like this one with other rows; compiled functions are shared."""
        return Trainer(self._program, population, strategy=self.strategy, like=self)

    @classmethod
    def candidates(cls, program: Program) -> tuple[str, ...]:
        """Return the strategies that are worth measuring for a model, the likely best first."""
        convolves = any(len(v.shape) > 2 for v in bridge.weight_variables(program.model))
        # XLA's convolutions on a CPU are slow inside a loop, and take long to compile.
        return ("graph",) if convolves else ("xla", "graph")

    @property
    def compilations(self) -> int:
        """Number of programs compiled so far."""
        return len(self._compiled)

    def train(
        self, arrays: Sequence[Array], control: Sequence[Array], task: LocalTask
    ) -> tuple[list[Array], int, float, Metrics]:
        """Run the task's minibatches from these weights.

        Args:
            arrays: Start weights, in the layout's order.
            control: Arrays that ``task.correct`` takes, in the same order, or none.
            task: The work; its minibatches are row numbers in the population.

        Returns:
            The arrays after training (or start minus mean gradient) in float32, number of steps,
            learning rate at the end, and metrics.

        Raises:
            ConfigurationError: If XLA cannot compile the model.
        """
        bridge.check_learning_rate(self._optimizer, task.learning_rate)
        if task.correct is not None:
            bridge.check_correction(self._optimizer)
        batches = list(task.batches)
        order = np.concatenate([np.zeros(0, np.int64), *batches], casting="same_kind")
        # XLA would take the nearest row that there is.
        if len(order) and not 0 <= order.min() <= order.max() < self._rows:
            raise IndexError(f"rows are from 0 to {self._rows - 1}, got {order.min()} to {order.max()}.")
        rate = self._own_rate if task.learning_rate is None else task.learning_rate
        floats = _tensor(*(np.asarray(a, np.float32) for a in (*arrays, *control, rate)))
        sizes = np.array([len(rows) for rows in batches], np.int64)
        vector, numbers = (t.numpy() for t in self._run(task, floats, order, sizes))
        loss, rows, rate, *results = numbers.tolist()
        cuts = zip(self._ends, self._ends[1:], self._shapes, strict=False)
        weights = [vector[first:last].reshape(shape) for first, last, shape in cuts]
        metrics = {"loss": loss / max(rows, 1.0), **dict(zip(self._names, results, strict=True))}
        return weights, len(batches), rate, metrics

    def _run(self, task: LocalTask, floats: Any, order: Array, sizes: Array) -> Any:
        """Return the vector of weights after the work, and loss, rows, learning rate and metrics.

        Compiled functions take two vectors: start weights, control and learning rate; and the seed, sizes
        of minibatches and numbers of rows.
        """
        kind, correct, seed = task.kind, task.correct, np.array([task.seed], np.int64)
        if not self._xla:
            plan = _tensor(seed, np.array([len(sizes), 0]), np.cumsum(sizes), order)
            return self._call(self._whole, _Work(kind, correct), floats, plan)
        if self._pads:
            width = padded_size(task.batch_size, rows=int(sizes.max(initial=1)))
            work = _Work(kind, correct, width, _bucket(len(sizes)))
            return self._call(self._whole, work, floats, work.plan(seed, order, sizes))
        carry = self._call(self._begin, _Work(kind, None), floats, _tensor(seed))
        done = 0
        for width, group in itertools.groupby(sizes.tolist()):
            same = np.array(list(group))
            rows = order[done : done + width * len(same)]
            work = _Work(kind, correct, width, _bucket(len(same)))
            carry = self._call(self._loop, work, floats, work.plan(seed, rows, same), *carry)
            done += len(rows)
        return self._call(self._end, _Work(kind, None), floats, *carry)

    def _call(self, function: Callable[..., Any], work: _Work, *arguments: Any) -> Any:
        """Call a function, compiled for this work and this number of floats.

        Raises:
            ConfigurationError: If XLA cannot compile it, or would give other numbers.
        """
        arguments = (*arguments, *self._flat)
        key = (function.__name__, work, arguments[0].shape[0], *(a.shape for a in self._flat if work.width))
        known = self._compiled.get(key)
        if known is not None:
            compiled, captured = known
            # As compiled(*arguments), without Python's checks, which would take as long as a step.
            return compiled._call_flat(list(arguments), captured)

        def bound(*given: Any) -> Any:
            count = len(given) - len(self._flat)
            self._data = keras.tree.pack_sequence_as(self._structure, given[count:])
            return function(work, *given[:count])

        if work.width:
            compiled, result = self._first_call(bound, arguments)
        else:
            own = arguments[: len(arguments) - len(self._flat)]
            plan = tf.TensorSpec((None,), tf.int64)
            taken = [plan if a.dtype == tf.int64 else a for a in own]
            taken += [tf.TensorSpec((None, *a.shape[1:]), a.dtype) for a in self._flat]
            compiled = tf.function(bound, autograph=False).get_concrete_function(*taken)
            result = compiled(*arguments)
        self._compiled[key] = compiled, compiled.captured_inputs
        return result

    def _first_call(self, function: Callable[..., Any], arguments: tuple[Any, ...]) -> tuple[Any, Any]:
        """Return a function as XLA compiles it with its first call, and what that call returned."""
        try:
            compiled = tf.function(function, autograph=False, jit_compile=True).get_concrete_function(
                *arguments
            )
            reason = _noise(compiled) or _loss_by_output(self._model)
            if not reason:
                return compiled, compiled(*arguments)
        except tf.errors.OpError as error:
            raise ConfigurationError(f"XLA cannot compile the model: {str(error).splitlines()[0]}") from error
        raise ConfigurationError(f"XLA cannot compile the model faithfully: {reason}.")

    # ------------------------------------------------------------------ compiled

    def _whole(self, work: _Work, floats: Any, plan: Any) -> tuple[Any, Any]:
        return self._end(work, floats, *self._loop(work, floats, plan, *self._begin(work, floats, plan)))

    def _begin(self, work: _Work, floats: Any, plan: Any) -> Carry:
        """Write start weights, learning rate, seeds and fresh states into the variables."""
        for variable, value in zip(self._weights, self._cut(floats), strict=True):
            variable.assign(tf.cast(value, variable.dtype))
        for position, variable in enumerate(self._seeds):
            variable.assign(tf.cast(tf.stack([plan[0], position]), variable.dtype))
        for variable, fresh in self._starts:
            variable.assign(fresh())
        if self._rate is not None:
            self._rate.assign(floats[-1])
        self._model.reset_metrics()
        totals = [tf.zeros(v.shape) for v in self._trainable] if work.kind == "gradient" else []
        return (tf.constant(0.0), tf.constant(0.0), *totals)

    def _loop(self, work: _Work, floats: Any, plan: Any, *carry: Any) -> Carry:
        """Run the minibatches."""
        count, batch = self._batches(work, plan)
        starts = dict(zip(map(id, self._weights), self._cut(floats), strict=True))
        controls = dict(zip(map(id, self._weights), self._cut(floats[self._ends[-1] : -1]), strict=False))

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

        first = (tf.zeros((), count.dtype), *carry)
        return tf.while_loop(lambda i, *_: i < count, step, first, parallel_iterations=1)[1:]

    def _batches(self, work: _Work, plan: Any) -> tuple[Any, Callable[[Any], tuple[Any, Any]]]:
        """Return the number of minibatches, and a function that gives one and which of its rows count."""
        if not self._xla:
            count, ends, order = plan[1], plan[2:], plan[plan[1] + 3 :]
            return count, lambda i: (self._take(order[ends[i] : ends[i + 1]]), None)
        sizes = plan[1 : 1 + work.steps]
        order = tf.reshape(plan[1 + work.steps :], (work.steps, work.width))
        places = tf.range(work.width, dtype=plan.dtype)

        def padded(i: Any) -> tuple[Any, Any]:
            return self._take(order[i]), tf.cast(places < sizes[i], "float32") if self._pads else None

        return tf.reduce_sum(tf.cast(sizes > 0, "int32")), padded

    def _take(self, rows: Any) -> Any:
        return map_arrays(self._data, lambda values: tf.gather(values, rows))

    def _end(self, work: _Work, floats: Any, *carry: Any) -> tuple[Any, Any]:
        """Return the vector of weights, and loss times rows, rows, learning rate and metrics."""
        loss, rows, *totals = carry
        results = bridge.metric_tensors(self._model)
        self._names[:] = list(results)
        if work.kind == "train" and bridge.averages_weights(self._optimizer):
            self._optimizer.finalize_variable_values(self._trainable)
        values = {id(v): tf.cast(v.value, "float32") for v in self._weights}
        if work.kind == "gradient":
            starts = dict(zip(map(id, self._weights), self._cut(floats), strict=True))
            for v, total in zip(self._trainable, totals, strict=True):
                values[id(v)] = starts[id(v)] - total / tf.maximum(rows, 1.0)
        numbers = [loss, rows, self._optimizer.learning_rate, *results.values()]
        return (
            tf.concat([tf.reshape(value, [-1]) for value in values.values()], 0),
            tf.stack([tf.reduce_mean(tf.cast(number, "float32")) for number in numbers]),
        )

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

    def _cut(self, vector: Any) -> list[Any]:
        """Return the weights' parts of a vector; none of an empty one."""
        if vector.shape[0] == 0:
            return []
        cuts = zip(self._ends, self._ends[1:], self._shapes, strict=False)
        return [tf.reshape(vector[first:last], shape) for first, last, shape in cuts]


@dataclass(frozen=True)
class _Work:
    """What a program is compiled for.

    Attributes:
        kind: Kind of the task.
        correct: The task's correction of gradients.
        width: Rows of a minibatch, or 0 if dynamic.
        steps: Number of minibatches that there is room for, or 0 if dynamic.
    """

    kind: str
    correct: Any
    width: int = 0
    steps: int = 0

    def plan(self, seed: Array, order: Array, sizes: Array) -> Any:
        """Return seed, sizes of minibatches, and their rows in a matrix of fixed shape.

        The first row of a short minibatch takes the places that are left. Minibatches that are not there
        have no size.
        """
        filled = np.zeros(self.steps, np.int64)
        filled[: len(sizes)] = sizes
        matrix = np.zeros((self.steps, self.width), np.int64)
        if len(order) == len(sizes) * self.width:
            matrix.reshape(-1)[: len(order)] = order
        else:
            real = np.arange(self.width) < filled[:, None]
            matrix[real] = order
            matrix = np.where(real, matrix, matrix[:, :1])
        return _tensor(seed, filled, matrix)


def _tensor(*arrays: Array) -> Any:
    """Return the values of arrays of one dtype, one after another, as a vector."""
    size = sum(array.size for array in arrays)
    dtype = arrays[0].dtype
    memory = np.empty(size * dtype.itemsize + _ALIGNMENT, np.uint8)
    first = -memory.ctypes.data % _ALIGNMENT
    values = memory[first : first + size * dtype.itemsize].view(dtype)
    np.concatenate([array.reshape(-1) for array in arrays], out=values)
    # TensorFlow takes such memory as it is; nobody else has it.
    return tf.experimental.dlpack.from_dlpack(values.__dlpack__())


def _noise(compiled: Any) -> str | None:
    graph = compiled.graph.as_graph_def()
    nodes = itertools.chain(graph.node, *(function.node_def for function in graph.library.function))
    drawn = {node.op for node in nodes if any(word in node.op for word in _NOISE)}
    return (
        f"it draws other random numbers than TensorFlow's own kernels ({sorted(drawn)[0]})" if drawn else None
    )


def _loss_by_output(model: Any) -> str | None:
    # Keras weighs the loss of each output by the size of the minibatch where that is fixed, and only there.
    compiled = model._compile_loss
    return "the losses of its outputs would be averaged otherwise" if compiled and compiled.metrics else None


def _bucket(steps: int) -> int:
    return 1 << max(steps - 1, 0).bit_length()


def _fresh(value: Array) -> Callable[[], Any]:
    """Return a function that gives this value inside a graph, which does not hold large arrays itself."""
    if not value.any():
        return lambda: tf.zeros(value.shape, value.dtype)
    kept = tf.constant(value) if value.size > _SMALL else value
    return lambda: tf.convert_to_tensor(kept)

"""Local training of many clients by one worker, in compiled TensorFlow functions."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable, Sequence
from typing import Any, ClassVar, final

import keras
import numpy as np
import tensorflow as tf

from hansa.bridge import model as bridge
from hansa.bridge.padding import padded_size, pads
from hansa.bridge.tensorflow_loops import Loops, Work, aligned, tensor
from hansa.bridge.tensorflow_program import Program
from hansa.errors import ConfigurationError, UnknownNameError
from hansa.types import Array, Examples, LocalTask, Metrics, Weigh

HELD_BYTES = 64 << 20  # of minibatches that are laid out at once
_MOST_BUFFERS = 16
_LAID_KINDS = "biuf"  # of numpy's dtypes
_NOISE = ("Random", "Multinomial", "TruncatedNormal")


@final
class Trainer:
    """One worker's local training, with the rows of all clients at hand.

    A client's whole training, or that of several clients (`add`), is one call of a compiled function, which
    takes the start weights and the numbers of the rows, and gives the weights or sums after it.

    With the strategy ``"xla"`` minibatches have a fixed size and their number is filled up to a power of
    two, so that clients of different sizes share programs. Short minibatches are filled up as well where
    that changes nothing (see `hansa.bridge.padding`); otherwise each run of minibatches of one size is a
    call of its own. With ``"graph"`` sizes are dynamic and TensorFlow runs one kernel per operation.

    A trainer belongs to one thread, as do its program and model: TensorFlow's variables are state.

    Guarantees:
        What a client's training gives does not depend on how many workers there are.

    Attributes:
        strategies: The ways to compile; which is faster depends on model and machine.
    """

    strategies: ClassVar[tuple[str, ...]] = ("xla", "graph")
    shares_model: ClassVar[bool] = False
    """TensorFlow's variables are state, so that each thread has a model."""
    adds: ClassVar[bool] = True
    """Whether `add` is there."""

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
        rate = bridge.learning_rate_variable(self._optimizer)
        self._own_rate = next((float(value) for v, value in program.starts if v is rate), 0.0)
        same = like is not None and like._rows.population is population
        self._rows = like._rows if like is not None and same else _Rows(population)
        kin = like if like is not None and like._model is self._model else None
        self._loops = Loops(program) if kin is None else kin._loops
        self._compiled: dict[Any, Any] = {} if kin is None else kin._compiled
        self._start: tuple[Any, Any, Any] = (None, None, None)
        self._buffers: dict[Any, tuple[Array, Any]] = {}

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
        self._check(task)
        order, sizes = self._order([task])
        if task.private is not None:
            return self._program.train(arrays, control, self._rows.population, task)
        rate = self._own_rate if task.learning_rate is None else task.learning_rate
        floats = tensor(*(np.asarray(a, np.float32) for a in (*arrays, *control, rate)))
        vector, numbers = (t.numpy() for t in self._run(task, floats, order, sizes))
        (metrics,) = self._metrics(numbers[None])
        return self._loops.arrays(vector), len(sizes), float(numbers[2]), metrics

    def add(
        self,
        arrays: Sequence[Array],
        tasks: Sequence[LocalTask],
        weights: Sequence[float] | Weigh,
        *,
        leaf: int,
        room: int,
    ) -> tuple[list[list[Array]], list[Metrics]]:
        """Train several clients from the same weights and add up the changes of the weights.

        Args:
            arrays: The weights, in the layout's order.
            tasks: What each client does; they have the same kind and learning rate.
            weights: Weight of each client in its sum, or what gives it once its change is there. Then each
                client is trained by itself, and its change depends on nobody else's rows.
            leaf: How many clients, one after another, are one sum; the last may have fewer.
            room: For how many clients programs are compiled: as many as a call has at most.

        Returns:
            The float64 sums ``Σ weight · change`` by leaf, each as arrays in the layout's order, which are
            valid until the next call; and each client's metrics. A change that is not finite makes its
            sum so, unless its weight is None.

        Raises:
            ConfigurationError: If XLA cannot compile the model.
        """
        self._check(tasks[0])
        order, sizes = self._order(tasks)
        apart = self._xla and not self._pads and len(set(sizes.tolist())) > 1
        if callable(weights) or apart or tasks[0].private is not None:
            return self._one_by_one(arrays, tasks, weights, leaf)
        leaves = -(-len(tasks) // leaf)
        sums, results = self._fused(arrays, tasks, weights, (order, sizes), leaf, room)
        host = [np.asarray(s) for s in sums]
        return [[h[number] for h in host] for number in range(leaves)], self._metrics(results[: len(tasks)])

    # ------------------------------------------------------------------ ways to train

    def _run(self, task: LocalTask, floats: Any, order: Array, sizes: Array) -> Any:
        """Return the vector of weights after the work, and loss, rows, learning rate and metrics."""
        kind, correct, seed = task.kind, task.correct, np.array([task.seed], np.int64)
        loops, data = self._loops, self._rows.tensors()
        if not self._xla:
            work = Work(kind, correct)
            return self._call(loops.whole, work, data, floats, work.plan(seed, order, sizes))
        if self._pads:
            width = padded_size(task.batch_size, rows=int(sizes.max(initial=1)))
            work = Work(kind, correct, width, _bucket(len(sizes)), masked=True)
            return self._call(loops.whole, work, data, floats, work.plan(seed, order, sizes))
        carry = self._call(loops.begin, Work(kind, None), data, floats, tensor(seed))
        done = 0
        for width, group in itertools.groupby(sizes.tolist()):
            same = np.array(list(group))
            rows = order[done : done + width * len(same)]
            work = Work(kind, correct, width, _bucket(len(same)))
            carry = self._call(loops.loop, work, data, floats, work.plan(seed, rows, same), *carry)
            done += len(rows)
        return self._call(loops.end, Work(kind, None), data, floats, *carry)

    def _fused(  # noqa: PLR0917
        self,
        arrays: Sequence[Array],
        tasks: Sequence[LocalTask],
        weights: Sequence[float],
        batches: tuple[Array, Array],
        leaf: int,
        room: int,
    ) -> tuple[Any, Array]:
        """Train the clients in one program; return sums by variable, and each client's numbers."""
        order, sizes = batches
        work = self._work(tasks, sizes, leaf, room)
        cuts = np.cumsum([0, *(len(task.batches) for task in tasks)])
        head = np.zeros(2 * room + 1 + work.leaves + 1, np.int64)
        head[: len(tasks)] = [task.seed for task in tasks]
        head[room : 2 * room + 1] = cuts[-1]
        head[room : room + len(cuts)] = cuts
        head[2 * room + 1 :] = np.minimum(np.arange(work.leaves + 1) * leaf, len(tasks))
        factors = np.zeros(room)
        factors[: len(tasks)] = weights
        data = self._laid(work, order, sizes) if work.laid else self._rows.tensors()
        floats = self._floats(arrays, tasks[0].learning_rate)
        plan = work.plan(head, order, sizes)
        sums, results = self._call(self._loops.clients, work, data, floats, plan, tensor(factors))
        return sums, np.asarray(results)

    def _work(self, tasks: Sequence[LocalTask], sizes: Array, leaf: int, room: int) -> Work:
        """Return what a program for these minibatches is compiled for."""
        task = tasks[0]
        if not self._xla:
            return Work(task.kind, task.correct, room=room, leaf=leaf)
        longest = int(sizes.max(initial=1))
        width = padded_size(task.batch_size, rows=longest) if self._pads else longest
        # The last call has fewer clients, and the same program.
        steps = _bucket(-(-len(sizes) * room // len(tasks)))
        masked = self._pads and not bool((sizes == width).all())
        laid = self._rows.can_be_laid and steps * width * self._rows.row_bytes <= HELD_BYTES
        return Work(task.kind, task.correct, width, steps, masked=masked, laid=laid, room=room, leaf=leaf)

    def _one_by_one(
        self,
        arrays: Sequence[Array],
        tasks: Sequence[LocalTask],
        weights: Sequence[float] | Weigh,
        leaf: int,
    ) -> tuple[list[list[Array]], list[Metrics]]:
        """Train client after client in calls of their own, and add each one's change to its leaf."""
        sums: list[list[Array]] = []
        metrics: list[Metrics] = []
        for number, task in enumerate(tasks):
            if number % leaf == 0:
                sums.append([np.zeros(shape) for shape in self._loops.shapes])
            after, _, _, told = self.train(arrays, [], task)
            metrics.append(told)
            with np.errstate(all="ignore"):  # what is not finite makes the sum so, or has no weight
                changes = [new - old for new, old in zip(after, arrays, strict=True)]
                wide = [change.astype(np.float64) for change in changes]
                if callable(weights):
                    weight = weights(number, _sum_of_squares(wide), changes)
                else:
                    weight = weights[number]
                if weight is not None:
                    sums[-1] = [total + weight * change for total, change in zip(sums[-1], wide, strict=True)]
        return sums, metrics

    # ------------------------------------------------------------------ what a call needs

    def _check(self, task: LocalTask) -> None:
        bridge.check_learning_rate(self._optimizer, task.learning_rate)
        if task.correct is not None:
            bridge.check_correction(self._optimizer)

    def _order(self, tasks: Sequence[LocalTask]) -> tuple[Array, Array]:
        """Return the rows of all minibatches, and the sizes of these."""
        order = np.concatenate([task.batches.order for task in tasks])
        # XLA would take the nearest row that there is.
        if len(order) and not 0 <= order.min() <= order.max() < len(self._rows):
            raise IndexError(f"rows are from 0 to {len(self._rows) - 1}, got {order.min()} to {order.max()}.")
        return order, np.concatenate([task.batches.sizes for task in tasks])

    def _floats(self, arrays: Sequence[Array], rate: float | None) -> Any:
        """Return weights and learning rate as a vector; they are the same for all clients of most rounds."""
        held, of, vector = self._start
        if held is not arrays or of != rate:
            own = self._own_rate if rate is None else rate
            vector = tensor(*(np.asarray(a, np.float32) for a in (*arrays, own)))
            self._start = (arrays, rate, vector)
        return vector

    def _metrics(self, results: Array) -> list[Metrics]:
        """Return each client's metrics from loss times rows, rows, learning rate and metrics."""
        return [
            {"loss": loss / max(rows, 1.0), **dict(zip(self._loops.names, more, strict=True))}
            for loss, rows, _, *more in results.tolist()
        ]

    def _laid(self, work: Work, order: Array, sizes: Array) -> list[Any]:
        """Return minibatches in memory that this worker uses again for the next ones.

        XLA takes rows out of many one value at a time; numpy copies them as fast as memory is.
        """
        matrix, laid = work.matrix(order, sizes), []
        for number, array in enumerate(self._rows.arrays):
            name = (number, work.steps, work.width)
            if name not in self._buffers:
                if len(self._buffers) >= _MOST_BUFFERS:
                    self._buffers.clear()
                buffer = aligned((work.steps, work.width, *array.shape[1:]), array.dtype)
                buffer.fill(0)  # not every place is written
                # The same memory as TensorFlow sees it. No program runs while it is written.
                self._buffers[name] = buffer, tf.experimental.dlpack.from_dlpack(buffer.__dlpack__())
            buffer, seen = self._buffers[name]
            np.take(array, matrix, axis=0, out=buffer[: len(matrix)], mode="clip")
            laid.append(seen)
        return laid

    def _call(self, function: Callable[..., Any], work: Work, data: list[Any], *arguments: Any) -> Any:
        """Call a function, compiled for this work and this number of floats.

        Raises:
            ConfigurationError: If XLA cannot compile it, or would give other numbers.
        """
        given = (*data, *arguments)
        key = (function.__name__, work, arguments[0].shape[0], *(a.shape for a in data if work.width))
        known = self._compiled.get(key)
        if known is not None:
            compiled, captured = known
            # As compiled(*given), without Python's checks, which would take as long as a step.
            return compiled._call_flat(list(given), captured)

        def bound(*given: Any) -> Any:
            rows = keras.tree.pack_sequence_as(self._rows.structure, given[: len(data)])
            return function(work, rows, *given[len(data) :])

        if work.width:
            compiled, result = self._first_call(bound, given)
        else:
            plan = tf.TensorSpec((None,), tf.int64)
            taken = [tf.TensorSpec((None, *a.shape[1:]), a.dtype) for a in data]
            taken += [plan if a.dtype == tf.int64 else a for a in arguments]
            compiled = tf.function(bound, autograph=False).get_concrete_function(*taken)
            result = compiled(*given)
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


class _Rows:
    """The rows of all clients, and TensorFlow's copy of them where one is needed."""

    def __init__(self, population: Examples) -> None:
        weight = population.sample_weight
        self.population = population
        self.structure = (population.x, population.y, () if weight is None else (weight,))
        self.arrays: list[Array] = keras.tree.flatten(self.structure)
        self.row_bytes = sum(a[:1].nbytes for a in self.arrays)
        # On other devices all rows lie there, and are taken by number.
        on_cpu = not tf.config.list_physical_devices("GPU")
        self.can_be_laid = on_cpu and all(a.dtype.kind in _LAID_KINDS for a in self.arrays)
        self._tensors: list[Any] | None = None
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self.population)

    def tensors(self) -> list[Any]:
        """Return TensorFlow's copy, which all workers share."""
        with self._lock:
            if self._tensors is None:
                self._tensors = [tf.constant(a) for a in self.arrays]
            return self._tensors


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


def _sum_of_squares(arrays: Sequence[Array]) -> float:
    return sum(float(np.einsum("i,i->", flat, flat)) for flat in (a.reshape(-1) for a in arrays))


def _bucket(steps: int) -> int:
    return 1 << max(steps - 1, 0).bit_length()

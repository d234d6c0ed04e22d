"""The whole local training of one client, or of a few, as compiled JAX programs."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import numpy as np

from hansa.bridge import model as bridge
from hansa.bridge.jax_program import Program
from hansa.bridge.padding import padded_size
from hansa.types import Array, Examples, LocalTask, Metrics

Key = tuple[str, Any, int, int]  # kind of work, correction, size of short batches, width of a batch

CHUNK = 4
_SMALL = 20_000
_UNROLLED_ROWS = 64  # up to here a batch is gathered row by row, which XLA turns into plain copies


class Trainer:
    """Local training on rows that stay on the device. One for each worker thread.

    Strategies:
        ``loop``: a client's minibatches are one compiled loop, and several clients are one program.
        ``vmap``: as ``loop``, the clients of a program side by side.
        ``chunk``: four minibatches a call. XLA's convolutions on a CPU are slow inside a loop.
        ``step``: one minibatch a call.

    Guarantees:
        What a client's training gives does not depend on how many workers there are.
    """

    strategies: ClassVar[tuple[str, ...]] = ("loop", "vmap", "chunk", "step")
    shares_model: ClassVar[bool] = True
    """Whether the trainers of several threads may have one `Program`."""
    adds: ClassVar[bool] = True
    """Whether `add` is there."""

    def __init__(
        self, program: Program, population: Examples, *, strategy: str, like: Trainer | None = None
    ) -> None:
        """Put the rows on the device; nothing is compiled before the first training.

        Args:
            program: The compiled steps of the model.
            population: The training rows of all clients.
            strategy: One of ``strategies``.
            like: Another trainer whose compiled programs this one shares, and its rows if they are the same.
        """
        self.strategy = strategy
        self._program = program
        self._population = population
        shared = like._data if like is not None and like._population is population else None
        self._data = _on_device(population) if shared is None else shared
        self._programs: dict[Any, Any] = {} if like is None else like._programs
        self._lock = threading.Lock() if like is None else like._lock
        self._sums: dict[int, list[Any]] = {}
        self._start: tuple[Any, list[Any]] = (None, [])
        self._shapes = [tuple(v.shape) for v in program.weights]

    @classmethod
    def candidates(cls, program: Program) -> tuple[str, ...]:
        """Return the strategies that are worth measuring for a model, the likely best first."""
        size = sum(int(np.prod(v.shape)) for v in program.weights)
        convolves = any(len(v.shape) > 2 for v in program.weights)
        if convolves and _on_cpu():
            return "step", "chunk", "loop"
        # Side by side, small models share the cost of each operation's start.
        return ("loop", "vmap") if size <= _SMALL and program.pads_training else ("loop",)

    @property
    def compilations(self) -> int:
        """Number of programs compiled so far, by all workers together."""
        return len(self._programs)

    def train(
        self, arrays: Sequence[Array], control: Sequence[Array], task: LocalTask
    ) -> tuple[list[Array], int, float, Metrics]:
        """Run the task's minibatches, given as rows of the population, from these weights.

        Returns:
            The arrays after training (or start minus mean gradient), number of steps, learning
            rate at the end, and metrics.
        """
        bridge.check_learning_rate(self._program.model.optimizer, task.learning_rate)
        if task.correct is not None:
            bridge.check_correction(self._program.model.optimizer)
        start = self._device_start(arrays)
        weights, rate, results = self._one(start, control, task)
        names = self._program.result_names
        metrics = dict(zip(names, np.asarray(results).tolist(), strict=True))
        return [np.asarray(w) for w in weights], len(task.batches), float(rate), metrics

    def add(
        self, arrays: Sequence[Array], tasks: Sequence[LocalTask], weights: Sequence[float], leaf: int
    ) -> tuple[list[list[Array]], list[Metrics]]:
        """Train several clients from the same weights and add up the changes of the weights.

        Args:
            arrays: The weights, in the layout's order.
            tasks: What each client does; they have the same kind and learning rate.
            weights: Weight of each client in its sum.
            leaf: How many clients, one after another, are one sum; the last may have fewer.

        Returns:
            The float64 sums ``Σ weight · change`` by leaf, each as arrays in the layout's order, which are
            overwritten by the next call; and each client's metrics. A change that is not finite makes its
            sum so.
        """
        bridge.check_learning_rate(self._program.model.optimizer, tasks[0].learning_rate)
        if tasks[0].correct is not None:
            bridge.check_correction(self._program.model.optimizer)
        start = self._device_start(arrays)
        leaves = -(-len(tasks) // leaf)
        count = _bucket(leaves)
        sums = self._sums.pop(count, None) or self._empty(count)
        ends = np.minimum(np.arange(count + 1) * leaf, len(tasks)).astype(np.int32)
        fused = self.strategy in ("loop", "vmap") and self._program.pads_training
        run = self._fused if fused else self._one_by_one
        sums, results = run(start, tasks, weights, ends, sums)
        self._sums[count] = sums
        names = self._program.result_names
        rows = np.asarray(results)[: len(tasks)].tolist()
        metrics: list[Metrics] = [dict(zip(names, row, strict=True)) for row in rows]
        host = [np.asarray(s) for s in sums]
        return [[h[number] for h in host] for number in range(leaves)], metrics

    # ------------------------------------------------------------------ what a call needs

    def _device_start(self, arrays: Sequence[Array]) -> list[Any]:
        """Return the weights on the device, which are the same for all clients of most rounds."""
        held, start = self._start
        if held is not arrays:
            start = [jnp.array(a) for a in arrays]
            self._start = (arrays, start)
        return start

    def _empty(self, count: int) -> list[Any]:
        with jax.enable_x64(True):
            return [jnp.zeros((count, *shape), "float64") for shape in self._shapes]

    def _batch_matrix(self, tasks: Sequence[LocalTask]) -> tuple[Array, Array, Array]:
        """Return the rows of all minibatches, how many of each are real, and where each client's begin."""
        size = tasks[0].batch_size
        longest = max(int(task.batches.sizes.max(initial=1)) for task in tasks)
        pads = self._program.pads_training
        width = padded_size(size, rows=longest) if pads else min(size, longest)
        counts = np.concatenate([task.batches.sizes for task in tasks])
        rows = np.zeros((_bucket(len(counts)), width), np.int32)
        filled = np.zeros(len(rows), np.int32)
        filled[: len(counts)] = counts
        order = (
            tasks[0].batches.order if len(tasks) == 1 else np.concatenate([t.batches.order for t in tasks])
        )
        if (counts == width).all():
            rows[: len(counts)] = order.reshape(-1, width)
        else:
            rows[: len(counts)][np.arange(width) < counts[:, None]] = order
        ends = np.cumsum([0, *(len(task.batches) for task in tasks)], dtype=np.int32)
        return rows, filled, ends

    def _tail(self, task: LocalTask, width: int) -> int:
        """Return the size of short batches, where those must be run at their exact size; else 0."""
        if self._program.pads_training:
            return 0
        short = {int(n) for n in task.batches.sizes if n != width}
        return short.pop() if short else 0

    # ------------------------------------------------------------------ strategies

    def _one(self, start: list[Any], control: Sequence[Array], task: LocalTask) -> Any:
        """Train one client; return weights, learning rate and results, on the device."""
        rows, counts, ends = self._batch_matrix([task])
        key = (task.kind, task.correct, self._tail(task, rows.shape[1]), rows.shape[1])
        given = [jnp.asarray(c) for c in control]
        rate = None if task.learning_rate is None else np.float32(task.learning_rate)
        settings = (np.uint32(task.seed), rate, start, given)
        name = (*key, len(given), rate is None, len(rows))
        initials = self._program.initials
        if self.strategy in ("loop", "vmap"):
            local = partial(self._local, key)
            span = (np.int32(0), ends[1])
            return self._call(("one", *name), local, initials, settings, (self._data, (rows, counts)), span)
        carry = self._call(("begin", *name[:-1]), partial(self._begin, *key[:2]), initials, settings)
        inputs = (self._data, (jnp.asarray(rows), jnp.asarray(counts)))
        position, last = 0, int(ends[1])
        while position < last:
            size = CHUNK if self.strategy == "chunk" and position + CHUNK <= last else 1
            steps = partial(self._steps, key, size)
            at = np.int32(position)
            carry = self._call(("steps", size, *name), steps, carry, inputs, at, gives=(0,))
            position += size
        return self._call(("end", *name[:-1]), partial(self._end, task.kind), carry, start)

    def _one_by_one(
        self, start: list[Any], tasks: Sequence[LocalTask], weights: Sequence[float], ends: Array, sums: Any
    ) -> Any:
        """Train client after client in calls of their own, and add each one's change to its leaf."""
        results = []
        for number, (first, last) in enumerate(zip(ends[:-1], ends[1:], strict=True)):
            held = self._call(("empty",), self._nothing, wide=True)
            for task, weight in zip(tasks[first:last], weights[first:last], strict=True):
                after, _, result = self._one(start, [], task)
                factor = np.float64(weight)
                held = self._call(("plus",), _plus, held, start, after, factor, gives=(0,), wide=True)
                results.append(np.asarray(result))
            place = np.int32(number)
            sums = self._call(("placed", len(ends)), _placed, sums, held, place, gives=(0,), wide=True)
        return sums, np.stack(results)

    def _fused(
        self, start: list[Any], tasks: Sequence[LocalTask], weights: Sequence[float], ends: Array, sums: Any
    ) -> Any:
        """Train the clients in one program."""
        rows, counts, cuts = self._batch_matrix(tasks)
        most = _bucket(len(tasks))
        firsts = np.full(most + 1, cuts[-1], np.int32)
        firsts[: len(cuts)] = cuts
        seeds, factors = np.zeros(most, np.uint32), np.zeros(most)
        seeds[: len(tasks)] = [task.seed for task in tasks]
        factors[: len(tasks)] = weights
        task = tasks[0]
        rate = None if task.learning_rate is None else np.float32(task.learning_rate)
        key = (task.kind, task.correct, 0, rows.shape[1])
        name = (self.strategy, len(ends), most, len(rows), rate is None, *key)
        function = partial(self._leaves if self.strategy == "loop" else self._side_by_side, key)
        clients = (firsts, seeds, factors, ends)
        given = ((self._program.initials, rate, start), (self._data, (rows, counts)), clients)
        return self._call(name, function, sums, *given, gives=(0,), wide=True)

    def _nothing(self) -> list[Any]:
        return [jnp.zeros(shape, "float64") for shape in self._shapes]

    def _call(
        self, name: Any, function: Callable[..., Any], *arguments: Any, gives: Any = (), wide: bool = False
    ) -> Any:
        """Run a program; the first call of each compiles it, while the other workers wait.

        Args:
            name: What tells the program from others: all that its shapes and code depend on.
            function: What is compiled.
            arguments: Its arguments.
            gives: Numbers of the arguments whose memory it may take over.
            wide: Whether float64 is allowed in it.
        """
        with jax.enable_x64(wide):
            if name in self._programs:
                return self._programs[name](*arguments)
            with self._lock:
                if name not in self._programs:
                    # One thread for a program: it is the workers that use all cores.
                    options: Any = {"xla_cpu_multi_thread_eigen": False} if _on_cpu() else None
                    program = jax.jit(function, donate_argnums=gives, compiler_options=options)
                    result = program(*arguments)
                    self._programs[name] = program
                    return result
            return self._programs[name](*arguments)

    # ------------------------------------------------------------------ compiled

    def _begin(self, kind: str, correct: Any, initials: Any, settings: Any) -> Any:
        """Return state, sums and extra values before the first minibatch."""
        seed, rate, start, control = settings
        program = self._program
        seeds = [
            jnp.stack([seed, jnp.uint32(position)]).astype(dtype)
            for position, dtype in enumerate(program.seed_dtypes)
        ]
        state, sums = program.first_state(initials, start, seeds, rate)
        return state, sums, program.correction(kind, correct, start, control)

    def _step(self, key: Key, carry: Any, inputs: Any, position: Any) -> Any:
        kind, correct, tail, width = key
        data, (rows, counts) = inputs
        step = self._program.step_function(kind, correct)
        index = jax.lax.dynamic_index_in_dim(rows, position, keepdims=False)
        count = counts[position]
        if self._program.pads_training:
            mask = (jnp.arange(width) < count).astype("float32")
            return step(*carry, (*_gathered(data, index), mask))
        full = lambda: step(*carry, (*_gathered(data, index), None))  # noqa: E731
        if not tail:
            return full()
        return jax.lax.cond(
            count == width, full, lambda: step(*carry, (*_gathered(data, index[:tail]), None))
        )

    def _steps(self, key: Key, size: int, carry: Any, inputs: Any, first: Any) -> Any:
        for i in range(size):
            carry = self._step(key, carry, inputs, first + i)
        return carry

    def _end(self, kind: str, carry: Any, start: list[Any]) -> Any:
        """Return float32 weights, the learning rate, and loss and metrics as one vector."""
        state, sums, extra = carry
        program = self._program
        weights, rate, results = program.final_values(state, sums)
        weights = [w.astype("float32") for w in weights]
        if kind == "gradient":
            weights = program.minus_gradient(start, weights, extra, rows=jnp.maximum(sums[1], 1.0))
        numbers = [jnp.mean(results[name]).astype("float32") for name in program.result_names]
        return weights, rate, jnp.stack(numbers)

    def _local(self, key: Key, initials: Any, settings: Any, inputs: Any, span: Any) -> Any:
        """Run the minibatches from the first of a span to before its last."""
        kind, correct, _, _ = key
        carry = self._begin(kind, correct, initials, settings)
        body = lambda i, c: self._step(key, c, inputs, i)  # noqa: E731
        return self._end(kind, jax.lax.fori_loop(*span, body, carry), settings[2])

    def _leaves(self, key: Key, sums: Any, shared: Any, inputs: Any, clients: Any) -> Any:
        """Train one client after another, leaf by leaf, and add its change to its leaf."""
        (initials, rate, start), (firsts, seeds, factors, ends) = shared, clients

        def client(g: Any, carry: Any) -> Any:
            held, results = carry
            with jax.enable_x64(False):
                settings, span = (seeds[g], rate, start, []), (firsts[g], firsts[g + 1])
                after, _, result = self._local(key, initials, settings, inputs, span)
            return _plus(held, start, after, factors[g]), results.at[g].set(result)

        def leaf(number: Any, carry: Any) -> Any:
            sums, results = carry
            begin = (self._nothing(), results)
            held, results = jax.lax.fori_loop(ends[number], ends[number + 1], client, begin)
            return _placed(sums, held, number), results

        results = jnp.zeros((len(seeds), len(self._program.result_names)), "float32")
        return jax.lax.fori_loop(0, len(ends) - 1, leaf, (sums, results))

    def _side_by_side(self, key: Key, sums: Any, shared: Any, inputs: Any, clients: Any) -> Any:
        """Train the clients side by side, then add the changes one after another."""
        (initials, rate, start), (firsts, seeds, factors, ends) = shared, clients
        with jax.enable_x64(False):
            one = lambda seed, *span: self._local(key, initials, (seed, rate, start, []), inputs, span)  # noqa: E731
            afters, _, results = jax.vmap(one)(seeds, firsts[:-1], firsts[1:])

        def client(g: Any, held: Any) -> Any:
            after = [jax.lax.dynamic_index_in_dim(a, g, keepdims=False) for a in afters]
            return _plus(held, start, after, factors[g])

        def leaf(number: Any, sums: Any) -> Any:
            held = jax.lax.fori_loop(ends[number], ends[number + 1], client, self._nothing())
            return _placed(sums, held, number)

        return jax.lax.fori_loop(0, len(ends) - 1, leaf, sums), results


def _on_cpu() -> bool:
    return jax.default_backend() == "cpu"


def _bucket(count: int) -> int:
    """Return the power of two that a number of clients or minibatches is filled up to."""
    return 1 << (count - 1).bit_length()


def _on_device(population: Examples) -> tuple[Any, Any, Any]:
    parts = (population.x, population.y, population.sample_weight)
    return jax.tree.map(jnp.asarray, parts)


def _gathered(data: Any, index: Any) -> Any:
    """Return features, labels and sample weights of these rows of the population."""

    def rows(array: Any) -> Any:
        if len(index) <= _UNROLLED_ROWS and array.ndim > 1:
            one = lambda i: jax.lax.dynamic_index_in_dim(array, index[i], keepdims=False)  # noqa: E731
            return jnp.stack([one(i) for i in range(len(index))])
        return jnp.take(array, index, axis=0, mode="clip")

    return jax.tree.map(rows, data)


def _plus(held: list[Any], start: list[Any], after: list[Any], weight: Any) -> list[Any]:
    """Return a leaf's sum with one client's weighted change added."""
    changes = [a - s for a, s in zip(after, start, strict=True)]
    return [h + c.astype("float64") * weight for h, c in zip(held, changes, strict=True)]


def _placed(sums: list[Any], held: list[Any], number: Any) -> list[Any]:
    """Return the sums with a leaf's in its place."""
    pairs = zip(sums, held, strict=True)
    return [jax.lax.dynamic_update_index_in_dim(s, h, number, 0) for s, h in pairs]

"""Local training of clients in compiled JAX programs, on rows that stay where they are."""

from __future__ import annotations

import contextlib
import copy
import functools
import hashlib
import itertools
import platform
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import numpy as np

from hansa.bridge import model as bridge
from hansa.bridge.jax_device import device_of, on_cpu
from hansa.bridge.jax_loops import ALL_FULL, MASKED, Key, Loops, changed, placed, plus, weighed
from hansa.bridge.jax_program import Program
from hansa.bridge.padding import padded_size
from hansa.cache import cache_folder
from hansa.errors import HansaError, UnknownNameError
from hansa.types import Array, Batches, Examples, LocalTask, Metrics, Weigh

CHUNK = 4
SMALL = 100_000  # weights; up to here clients may gain from being trained side by side
HELD_BYTES = 64 << 20  # of minibatches that are laid out at once
_HELD_WEIGHTS = 8 << 20  # bytes
_MOST_BUFFERS = 16
_ALIGNED = 64  # bytes; what JAX takes over without a copy
_Places = Sequence[tuple[Any, Array, Array]]  # where, rows of minibatches, how many of each are real


class Trainer:
    """Local training of a population's clients. One for each worker thread.

    Strategies:
        ``loop``: a client's minibatches are one compiled loop, and several clients are one program.
        ``vmap``: as ``loop``, the clients of a program side by side.
        ``chunk``: four minibatches a call. XLA's convolutions on a CPU are slow inside a loop.
        ``step``: one minibatch a call.

    Rows lie on the device once and are taken by number. Where the device is the CPU itself, that is the
    user's own memory, and only a client's minibatches are laid out for the time of a call.

    Guarantees:
        What a client's training gives does not depend on how many workers there are.
    """

    strategies: ClassVar[tuple[str, ...]] = ("loop", "vmap", "chunk", "step")
    shares_model: ClassVar[bool] = True
    """Whether the trainers of several threads may have one `Program`."""
    adds: ClassVar[bool] = True
    """Whether `add` is there."""

    def __init__(
        self,
        program: Program,
        population: Examples,
        *,
        strategy: str,
        like: Trainer | None = None,
        worker: int = 0,
    ) -> None:
        """Take the rows; nothing is compiled before the first training.

        Args:
            program: The compiled steps of the model.
            population: The training rows of all clients.
            strategy: One of ``strategies``.
            like: Another trainer whose compiled programs this one shares, and its rows if they are the same.
            worker: Number of the worker. On a CPU each has a device of its own.

        Raises:
            UnknownNameError: If there is no such strategy.
        """
        if strategy not in self.strategies:
            raise UnknownNameError("strategy", strategy, self.strategies)
        _keep_programs()
        self.strategy = strategy
        self._program, self._loops = program, Loops(program)
        self._population = population
        shared = like._data if like is not None and like._population is population else None
        self._device = device_of(worker)
        self._initials = jax.device_put(program.initials, self._device)
        self._data = _data(population) if shared is None else shared
        self._row_bytes = sum(a[:1].nbytes for a in jax.tree.leaves(self._data))
        self._programs: dict[Any, Any] = {} if like is None else like._programs
        self._lock = threading.Lock() if like is None else like._lock
        self._size = sum(int(np.prod(v.shape)) for v in program.weights)
        self._sums: dict[int, Any] = {}
        self._buffers: dict[Any, tuple[Array, Any]] = {}
        self._start: tuple[Any, list[Any]] = (None, [])

    def on(self, population: Examples) -> Trainer:
        """Return this trainer with other rows, which takes its place: programs and memory are shared."""
        other = copy.copy(self)
        other._population, other._data = population, _data(population)
        other._row_bytes = sum(a[:1].nbytes for a in jax.tree.leaves(other._data))
        return other

    @classmethod
    def candidates(cls, program: Program) -> tuple[str, ...]:
        """Return the strategies that are worth measuring for a model, the likely best first."""
        size = sum(int(np.prod(v.shape)) for v in program.weights)
        convolves = any(len(v.shape) > 2 for v in program.weights)
        if convolves and on_cpu():
            return "step", "chunk", "loop"
        # Side by side, clients of small models share the cost of each operation's start.
        return ("loop", "vmap") if size <= SMALL and program.pads_training else ("loop",)

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
        self._check(task)
        with self._here():
            weights, rate, results = self._one(self._device_start(arrays), control, task)
        metrics = dict(zip(self._program.result_names, np.asarray(results).tolist(), strict=True))
        return [np.asarray(w) for w in weights], len(task.batches), float(rate), metrics

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
            overwritten by the next call; and each client's metrics. A change that is not finite makes its
            sum so, unless its weight is None.
        """
        self._check(tasks[0])
        leaves, count = -(-len(tasks) // leaf), -(-room // leaf)
        ends = np.minimum(np.arange(count + 1) * leaf, len(tasks)).astype(np.int32)
        steps = sum(len(task.batches) for task in tasks)
        fits = steps * tasks[0].batch_size * self._row_bytes <= HELD_BYTES or not on_cpu()
        fused = self.strategy in ("loop", "vmap") and self._program.pads_training and fits
        with self._here():
            start = self._device_start(arrays)
            if fused and tasks[0].private is None and not callable(weights):
                sums = self._held(count) if self._large(room) else None
                sums, results = self._fused(start, tasks, weights, ends, sums, room)
            else:
                sums, results = self._one_by_one(start, tasks, weights, ends)
        self._sums = {count: sums}
        rows = np.asarray(results)[: len(tasks)].tolist()
        metrics: list[Metrics] = [dict(zip(self._program.result_names, row, strict=True)) for row in rows]
        host = [np.asarray(s) for s in sums]
        return [[h[number] for h in host] for number in range(leaves)], metrics

    # ------------------------------------------------------------------ strategies

    def _one(self, start: list[Any], control: Sequence[Array], task: LocalTask) -> Any:
        """Train one client; return weights, learning rate and results, on the device."""
        loops, initials = self._loops, self._initials
        given = [jnp.asarray(c) for c in control]
        settings = (np.uint32(task.seed), _rate(task), start, given)
        if task.private is not None:
            return self._private(settings, task)
        looped = self.strategy in ("loop", "vmap")
        parts = list(self._segments(task.batches, task.batch_size))
        key, steps = self._key([task])
        name = (*key, len(given), task.learning_rate is None)
        if looped and len(parts) == 1:
            inputs, span = self._inputs([task.batches], key, steps), (np.int32(0), np.int32(steps))
            run = partial(loops.local, key)
            return self._call(("one", _bucket(steps), *name), run, initials, settings, inputs, span)
        carry = self._call(("begin", *name), partial(loops.begin, key), initials, settings)
        for part in parts:
            steps = len(part)
            inputs = self._inputs([part], key, steps)
            position = 0
            while position < steps:
                chunk = CHUNK if self.strategy == "chunk" and position + CHUNK <= steps else 1
                run = partial(loops.loop, key) if looped else partial(loops.steps, key, chunk)
                at = (np.int32(0), np.int32(steps)) if looped else np.int32(position)
                which = ("steps", 0 if looped else chunk, _bucket(steps), *name)
                carry = self._call(which, run, carry, inputs, at, gives=(0,))
                position += steps if looped else chunk
            if on_cpu():
                jax.block_until_ready(carry)  # the next part is laid out in the same memory
        return self._call(("end", *name), partial(loops.end, key), carry, start)

    def _private(self, settings: Any, task: LocalTask) -> Any:
        """Train one client in private steps."""
        key = Key(task.kind, task.correct, MASKED, 0)
        name = (*key, len(settings[3]), task.learning_rate is None)
        carry = self._call(("begin", *name), partial(self._loops.begin, key), self._initials, settings)
        private, extra = self._program.private, carry[2]
        state, sums = private.train(self._call, carry[:2], extra, self._population, task)
        return self._call(("end", *name), partial(self._loops.end, key), (state, sums, extra), settings[2])

    def _one_by_one(
        self, start: list[Any], tasks: Sequence[LocalTask], weights: Sequence[float] | Weigh, ends: Array
    ) -> Any:
        """Train client after client in calls of their own, and add each one's change to its leaf."""
        sums, results = self._held(len(ends) - 1), []
        for number, (first, last) in enumerate(itertools.pairwise(ends)):
            held = self._call(("nothing",), self._loops.nothing, wide=True)
            for place in range(first, last):
                after, _, result = self._one(start, [], tasks[place])
                held = self._plus(held, start, after, place, weights)
                results.append(np.asarray(result))
            place = np.int32(number)
            sums = self._call(("placed", len(ends)), placed, sums, held, place, gives=(0,), wide=True)
        return sums, np.stack(results)

    def _plus(
        self, held: Any, start: list[Any], after: list[Any], place: int, weights: Sequence[float] | Weigh
    ) -> Any:
        """Return a leaf's sum with a client's change added, if it has a weight."""
        if not callable(weights):
            factor = np.float64(weights[place])
            return self._call(("plus",), plus, held, start, after, factor, gives=(0,), wide=True)
        changes, square = self._call(("changed",), changed, start, after, wide=True)
        weight = weights(place, float(square), changes)
        if weight is None:
            return held
        return self._call(("weighed",), weighed, held, changes, np.float64(weight), gives=(0,), wide=True)

    def _fused(  # noqa: PLR0917
        self,
        start: list[Any],
        tasks: Sequence[LocalTask],
        weights: Sequence[float],
        ends: Array,
        sums: Any,
        room: int,
    ) -> Any:
        """Train the clients in one program."""
        cuts = np.cumsum([0, *(len(task.batches) for task in tasks)])
        firsts = np.full(room + 1, cuts[-1], np.int32)
        firsts[: len(cuts)] = cuts
        seeds, factors = np.zeros(room, np.uint32), np.zeros(room)
        seeds[: len(tasks)] = [task.seed for task in tasks]
        factors[: len(tasks)] = weights
        key, steps = self._key(tasks)
        parts = [task.batches for task in tasks]
        looped, lengths = self.strategy == "loop", np.diff(cuts)
        even = bool((lengths == lengths[0]).all())
        if not looped:
            steps = int(lengths.max())
            # Places without a client repeat what stands there, and leave the others as even as they are.
            firsts = np.arange(room + 1, dtype=np.int32) * steps if even else firsts
        else:
            steps = -(-steps * room // len(tasks))  # the last call has fewer clients, and the same program
        inputs = self._inputs(parts, key, steps) if looped else self._side_by_side(parts, key, room, steps)
        rate = _rate(tasks[0])
        given = ((self._initials, rate, start), inputs, (firsts, seeds, factors, ends))
        name = (self.strategy, len(ends), room, _bucket(steps), rate is None, *key)
        if looped and self._large(room):
            alone = room == len(ends) - 1
            run = partial(self._loops.leaves, key, alone)
            return self._call((*name, alone), run, sums, *given, gives=(0,), wide=True)
        if looped:
            return self._call(name, partial(self._loops.in_turn, key), *given, wide=True)
        return self._call((*name, even), partial(self._loops.side_by_side, key, even), *given, wide=True)

    # ------------------------------------------------------------------ what a call needs

    def _here(self) -> AbstractContextManager[Any]:
        return contextlib.nullcontext() if self._device is None else jax.default_device(self._device)

    def _check(self, task: LocalTask) -> None:
        bridge.check_learning_rate(self._program.model.optimizer, task.learning_rate)
        if task.correct is not None:
            bridge.check_correction(self._program.model.optimizer)

    def _device_start(self, arrays: Sequence[Array]) -> list[Any]:
        """Return the weights on the device, which are the same for all clients of most rounds."""
        held, start = self._start
        if held is not arrays:
            start = [jnp.array(a) for a in arrays]
            self._start = (arrays, start)
        return start

    def _large(self, clients: int) -> bool:
        """Whether the weights of so many clients are too much to be held at once."""
        return clients * self._size * 4 > _HELD_WEIGHTS

    def _held(self, count: int) -> list[Any]:
        """Return memory for so many leaves' sums: that of the last call, which nobody reads any more."""
        held = self._sums.pop(count, None)
        return held or self._call(("sums", count), partial(self._empty, count), wide=True)

    def _empty(self, count: int) -> list[Any]:
        return [jnp.zeros((count, *s.shape), "float64") for s in self._loops.nothing()]

    def _key(self, tasks: Sequence[LocalTask]) -> tuple[Key, int]:
        """Return what the code of the tasks' minibatches depends on, and how many there are."""
        sizes = np.concatenate([task.batches.sizes for task in tasks])
        task, longest = tasks[0], int(sizes.max())
        pads = self._program.pads_training
        width = padded_size(task.batch_size, rows=longest) if pads else min(task.batch_size, longest)
        least = int(sizes.min())
        short = ALL_FULL if least == width else MASKED if pads else least
        return Key(task.kind, task.correct, short, width), len(sizes)

    def _segments(self, batches: Batches, size: int) -> Iterator[Batches]:
        """Cut a client's minibatches into parts that can be laid out at once."""
        most = max(1, HELD_BYTES // max(1, size * self._row_bytes)) if on_cpu() else len(batches)
        most = max(CHUNK, 1 << (most.bit_length() - 1))
        if len(batches) <= most:
            yield batches
            return
        ends = np.cumsum([0, *batches.sizes])
        for first in range(0, len(batches), most):
            last = min(first + most, len(batches))
            yield Batches(batches.order[ends[first] : ends[last]], batches.sizes[first:last])

    def _inputs(self, parts: Sequence[Batches], key: Key, steps: int) -> Any:
        """Return minibatches, one after another, for a program with room for at least so many."""
        sizes = np.concatenate([part.sizes for part in parts])
        rows = _matrix(np.concatenate([part.order for part in parts]), sizes, key.width)
        shape = (_bucket(steps), key.width)
        return self._given([(np.s_[: len(sizes)], rows, sizes)], shape)

    def _side_by_side(self, parts: Sequence[Batches], key: Key, room: int, steps: int) -> Any:
        """Return minibatches with the client as first axis."""
        places = [
            (np.s_[place, : len(part)], _matrix(part.order, part.sizes, key.width), part.sizes)
            for place, part in enumerate(parts)
        ]
        return self._given(places, (room, _bucket(steps), key.width))

    def _given(self, places: _Places, shape: tuple[int, ...]) -> Any:
        """Return minibatches for a program, of this shape, with rows at some places and any at others."""
        counts = np.full(shape[:-1], shape[-1], np.int32)
        for place, _, sizes in places:
            counts[place] = sizes
        if on_cpu():
            leaf = iter(range(len(jax.tree.leaves(self._data))))
            laid = jax.tree.map(lambda a: self._laid(next(leaf), a, places, shape), self._data)
            return laid, None, counts
        wide = np.zeros(shape, np.int32)
        for place, rows, _ in places:
            wide[place] = rows
        return self._data, wide, counts

    def _laid(self, number: int, array: Array, places: _Places, shape: tuple[int, ...]) -> Any:
        """Return rows laid out for a program, in memory that the worker uses again for the next one."""
        shape = (*shape, *array.shape[1:])
        name = (number, shape)
        if name not in self._buffers:
            if len(self._buffers) > _MOST_BUFFERS:
                self._buffers.clear()
            buffer = _aligned(shape, array.dtype)
            buffer.fill(0)  # not every place is written
            # The same memory as JAX sees it. No program runs while it is written: a worker waits for each.
            self._buffers[name] = buffer, jax.device_put(buffer, self._device, may_alias=True)
        buffer, seen = self._buffers[name]
        for place, rows, _ in places:
            np.take(array, rows, axis=0, out=buffer[place], mode="clip")
        aliased = seen.unsafe_buffer_pointer() == buffer.ctypes.data
        return seen if aliased else jax.device_put(buffer, self._device)

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
            if name not in self._programs:
                with self._lock:
                    if name not in self._programs:
                        # One thread for a program: it is the workers that use all cores.
                        options: Any = {"xla_cpu_multi_thread_eigen": False} if on_cpu() else None
                        program = jax.jit(function, donate_argnums=gives, compiler_options=options)
                        result = program(*arguments)
                        self._programs[name] = program
                        return result
            # On another worker's device JAX finds the trace in its memory and the code on the disk.
            return self._programs[name](*arguments)


@functools.cache
def _keep_programs() -> None:
    """Let JAX keep compiled programs on the disk, unless the user or another library has settled that."""
    if jax.config.jax_compilation_cache_dir is not None:  # type: ignore[attr-defined]
        return
    with contextlib.suppress(HansaError, OSError):
        # Programs hold instructions of the processor that they were compiled for.
        lines = Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").exists() else []
        flags = next((line for line in lines if line.startswith(("flags", "Features"))), platform.machine())
        kind = hashlib.sha256(flags.encode()).hexdigest()[:16]
        jax.config.update("jax_compilation_cache_dir", str(cache_folder() / "jax" / kind))
        jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.2)


def _bucket(count: int) -> int:
    """Return the power of two that a number of clients or minibatches is filled up to."""
    return 1 << (count - 1).bit_length()


def _matrix(order: Array, sizes: Array, width: int) -> Array:
    """Return the rows of minibatches, one a line; short ones end in zeros."""
    if len(order) == len(sizes) * width:
        return order.reshape(-1, width)
    rows = np.zeros((len(sizes), width), order.dtype)
    rows[np.arange(width) < sizes[:, None]] = order
    return rows


def _rate(task: LocalTask) -> Any:
    return None if task.learning_rate is None else np.float32(task.learning_rate)


def _data(population: Examples) -> Any:
    """Return features, labels and sample weights as the device has them: on the CPU as they are."""
    parts = (population.x, population.y, population.sample_weight)
    if not on_cpu():
        return jax.tree.map(jnp.asarray, parts)
    # JAX has no 64-bit numbers here; labels are small, and features that wide are none of the sources'.
    narrow = {"int64": np.int32, "uint64": np.uint32, "float64": np.float32}
    return jax.tree.map(lambda a: a.astype(narrow.get(str(a.dtype), a.dtype), copy=False), parts)


def _aligned(shape: tuple[int, ...], dtype: Any) -> Array:
    """Return an empty array that begins where JAX wants memory to begin."""
    size = int(np.prod(shape)) * np.dtype(dtype).itemsize
    raw = np.empty(size + _ALIGNED, np.uint8)
    first = -raw.ctypes.data % _ALIGNED
    return raw[first : first + size].view(dtype).reshape(shape)

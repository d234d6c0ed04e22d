"""What the JAX trainer compiles: a client's minibatches as a loop, and several clients as one program."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from hansa.bridge.jax_program import Program

_UNROLLED_ROWS = 64  # up to here rows are gathered one by one, which XLA turns into plain copies
ALL_FULL, MASKED = -1, 0


class Key(NamedTuple):
    """What the code of a minibatch depends on.

    Attributes:
        kind: Kind of work, as in `hansa.types.LocalTask`.
        correct: How gradients are corrected, or None.
        short: ``ALL_FULL`` where every minibatch has all rows, ``MASKED`` where rows of weight zero fill
            short ones, else the exact size of short ones.
        width: Rows of a full minibatch.
    """

    kind: str
    correct: Any
    short: int
    width: int


class Loops:
    """Functions to compile, of one model.

    Their ``inputs`` are minibatches, ``(data, rows, counts)``: data of shape ``(steps, width, ...)`` that lie
    ready, if ``rows`` is None; else data of all rows, of which ``rows``, shape ``(steps, width)``, are taken;
    and how many of each minibatch are real. ``settings`` are a client's seed, learning rate or None,
    start weights, and control or an empty list.
    """

    def __init__(self, program: Program) -> None:
        """Take the model."""
        self._program = program
        self._shapes = [tuple(v.shape) for v in program.weights]

    def begin(self, key: Key, initials: Any, settings: Any) -> Any:
        """Return state, sums and extra values before the first minibatch."""
        seed, rate, start, control = settings
        program = self._program
        seeds = [
            jnp.stack([seed, jnp.uint32(position)]).astype(dtype)
            for position, dtype in enumerate(program.seed_dtypes)
        ]
        state, sums = program.first_state(initials, start, seeds, rate)
        return state, sums, program.correction(key.kind, key.correct, start, control)

    def step(self, key: Key, carry: Any, batch: Any, count: Any) -> Any:
        """Run one minibatch, of which so many rows are real."""
        step = self._program.step_function(key.kind, key.correct)
        if key.short == ALL_FULL:
            return step(*carry, (*batch, None))
        if key.short == MASKED:
            return step(*carry, (*batch, (jnp.arange(key.width) < count).astype("float32")))

        def exact(size: int) -> Any:
            return step(*carry, (*jax.tree.map(lambda a: a[:size], batch), None))

        return jax.lax.cond(count == key.width, lambda: exact(key.width), lambda: exact(key.short))

    def steps(self, key: Key, size: int, carry: Any, inputs: Any, first: Any) -> Any:
        """Run so many minibatches, one after another in the program."""
        for i in range(size):
            carry = self.step(key, carry, *_at(inputs, first + i))
        return carry

    def loop(self, key: Key, carry: Any, inputs: Any, span: Any) -> Any:
        """Run the minibatches from the first of a span to before its last."""
        first, last = span
        return jax.lax.fori_loop(first, last, lambda i, c: self.step(key, c, *_at(inputs, i)), carry)

    def end(self, key: Key, carry: Any, start: list[Any]) -> Any:
        """Return float32 weights, the learning rate, and loss and metrics as one vector."""
        state, sums, extra = carry
        program = self._program
        weights, rate, results = program.final_values(state, sums)
        weights = [w.astype("float32") for w in weights]
        if key.kind == "gradient":
            weights = program.minus_gradient(start, weights, extra, rows=jnp.maximum(sums[1], 1.0))
        numbers = [jnp.mean(results[name]).astype("float32") for name in program.result_names]
        return weights, rate, jnp.stack(numbers)

    def local(self, key: Key, initials: Any, settings: Any, inputs: Any, span: Any) -> Any:
        """Train one client."""
        carry = self.loop(key, self.begin(key, initials, settings), inputs, span)
        return self.end(key, carry, settings[2])

    def leaves(  # noqa: PLR0917
        self, key: Key, alone: bool, sums: Any, shared: Any, inputs: Any, clients: Any
    ) -> Any:
        """Train one client after another, leaf by leaf, and add its change to its leaf: for large models.

        ``alone`` says that a leaf is one client.
        """
        (initials, rate, start), (firsts, seeds, factors, ends) = shared, clients

        def trained(g: Any) -> Any:
            with jax.enable_x64(False):
                settings, span = (seeds[g], rate, start, []), (firsts[g], firsts[g + 1])
                after, _, result = self.local(key, initials, settings, inputs, span)
            return after, result

        def client(g: Any, carry: Any) -> Any:
            held, results = carry
            after, result = trained(g)
            return plus(held, start, after, factors[g]), results.at[g].set(result)

        def one(g: Any, carry: Any) -> Any:
            sums, results = carry
            after, result = trained(g)
            change = [(a - s).astype("float64") * factors[g] for a, s in zip(after, start, strict=True)]
            return placed(sums, change, g), results.at[g].set(result)

        def leaf(number: Any, carry: Any) -> Any:
            sums, results = carry
            begin = (self.nothing(), results)
            held, results = jax.lax.fori_loop(ends[number], ends[number + 1], client, begin)
            return placed(sums, held, number), results

        results = jnp.zeros((len(seeds), len(self._program.result_names)), "float32")
        count, step = (ends[-1], one) if alone else (len(ends) - 1, leaf)
        return jax.lax.fori_loop(0, count, step, (sums, results))

    def in_turn(self, key: Key, shared: Any, inputs: Any, clients: Any) -> Any:
        """Train one client after another, then add the changes: for models whose weights fit a few times."""
        (initials, rate, start), (firsts, seeds, factors, ends) = shared, clients

        def client(g: Any, carry: Any) -> Any:
            afters, results = carry
            settings, span = (seeds[g], rate, start, []), (firsts[g], firsts[g + 1])
            after, _, result = self.local(key, initials, settings, inputs, span)
            return placed(afters, after, g), results.at[g].set(result)

        with jax.enable_x64(False):
            most = len(seeds)
            afters = [jnp.zeros((most, *shape), "float32") for shape in self._shapes]
            results = jnp.zeros((most, len(self._program.result_names)), "float32")
            afters, results = jax.lax.fori_loop(jnp.int32(0), ends[-1], client, (afters, results))
        return self.combined(afters, start, factors, ends), results

    def side_by_side(self, key: Key, even: bool, shared: Any, inputs: Any, clients: Any) -> Any:
        """Train the clients side by side, then add the changes one after another.

        Here ``inputs`` have the client as their first axis, before the minibatch. ``even`` says that all
        clients have as many minibatches, so that none has to wait for others unchanged.
        """
        (initials, rate, start), (firsts, seeds, factors, ends) = shared, clients
        lengths = firsts[1:] - firsts[:-1]

        def begin(seed: Any) -> Any:
            return self.begin(key, initials, (seed, rate, start, []))

        def step(i: Any, carry: Any) -> Any:
            batches, counts = _at(inputs, i, axis=1)
            new = jax.vmap(lambda *one: self.step(key, *one))(carry, batches, counts)
            if even:
                return new
            live = i < lengths

            def kept(old: Any, now: Any) -> Any:
                return jnp.where(live.reshape(-1, *[1] * (now.ndim - 1)), now, old)

            return jax.tree.map(kept, carry, new)

        with jax.enable_x64(False):
            carry = jax.lax.fori_loop(0, lengths.max(), step, jax.vmap(begin)(seeds))
            afters, _, results = jax.vmap(lambda c: self.end(key, c, start))(carry)

        return self.combined(afters, start, factors, ends), results

    def combined(self, afters: list[Any], start: list[Any], factors: Any, ends: Any) -> list[Any]:
        """Return the sums of all leaves from the clients' weights, in one pass over them."""

        def summed(after: Any, before: Any, number: int) -> Any:
            total = jnp.zeros(before.shape, "float64")
            for g in range(len(factors)):
                inside = (ends[number] <= g) & (g < ends[number + 1])
                total += jnp.where(inside, (after[g] - before).astype("float64") * factors[g], 0.0)
            return total

        pairs = zip(afters, start, strict=True)
        return [jnp.stack([summed(a, s, n) for n in range(len(ends) - 1)]) for a, s in pairs]

    def nothing(self) -> list[Any]:
        """Return an empty leaf's sum."""
        return [jnp.zeros(shape, "float64") for shape in self._shapes]


def plus(held: list[Any], start: list[Any], after: list[Any], weight: Any) -> list[Any]:
    """Return a leaf's sum with one client's weighted change added."""
    return weighed(held, [a - s for a, s in zip(after, start, strict=True)], weight)


def weighed(held: list[Any], changes: list[Any], weight: Any) -> list[Any]:
    """Return a leaf's sum with a weighted change added."""
    return [h + c.astype("float64") * weight for h, c in zip(held, changes, strict=True)]


def changed(start: list[Any], after: list[Any]) -> tuple[list[Any], Any]:
    """Return what a client changed, and the float64 sum of its squares, which are exact."""
    changes = [a - s for a, s in zip(after, start, strict=True)]
    square = jnp.zeros((), "float64")
    for change in changes:
        squares = jnp.square(change.astype("float64"))
        while squares.ndim:  # axis by axis, which XLA does for many values at once
            squares = jnp.sum(squares, 0)
        square += squares
    return changes, square


def placed(sums: list[Any], held: list[Any], number: Any) -> list[Any]:
    """Return the sums with a leaf's in its place."""
    pairs = zip(sums, held, strict=True)
    return [jax.lax.dynamic_update_index_in_dim(s, h, number, 0) for s, h in pairs]


def _at(inputs: Any, position: Any, *, axis: int = 0) -> tuple[Any, Any]:
    """Return features, labels and sample weights of a minibatch, and how many of its rows are real."""
    data, rows, counts = inputs

    def here(array: Any) -> Any:
        return jax.lax.dynamic_index_in_dim(array, position, axis, keepdims=False)

    if rows is None:
        return jax.tree.map(here, data), here(counts)
    index = here(rows)

    def taken(array: Any) -> Any:
        if index.size <= _UNROLLED_ROWS and array.ndim > 1:
            each = [jax.lax.dynamic_index_in_dim(array, i, keepdims=False) for i in index.reshape(-1)]
            return jnp.stack(each).reshape(*index.shape, *array.shape[1:])
        return jnp.take(array, index, axis=0, mode="clip")

    return jax.tree.map(taken, data), here(counts)

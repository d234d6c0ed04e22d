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

    def step(self, key: Key, carry: Any, inputs: Any, position: Any) -> Any:
        """Run one minibatch."""
        step = self._program.step_function(key.kind, key.correct)
        data, rows, counts = inputs
        x, y, weight = _at(data, rows, position)
        if key.short == ALL_FULL:
            return step(*carry, (x, y, weight, None))
        if key.short == MASKED:
            mask = (jnp.arange(key.width) < counts[position]).astype("float32")
            return step(*carry, (x, y, weight, mask))

        def exact(size: int) -> Any:
            return step(*carry, (*jax.tree.map(lambda a: a[:size], (x, y, weight)), None))

        full = counts[position] == key.width
        return jax.lax.cond(full, lambda: exact(key.width), lambda: exact(key.short))

    def steps(self, key: Key, size: int, carry: Any, inputs: Any, first: Any) -> Any:
        """Run so many minibatches, one after another in the program."""
        for i in range(size):
            carry = self.step(key, carry, inputs, first + i)
        return carry

    def loop(self, key: Key, carry: Any, inputs: Any, span: Any) -> Any:
        """Run the minibatches from the first of a span to before its last."""
        return jax.lax.fori_loop(*span, lambda i, c: self.step(key, c, inputs, i), carry)

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

    def leaves(self, key: Key, sums: Any, shared: Any, inputs: Any, clients: Any) -> Any:
        """Train one client after another, leaf by leaf, and add its change to its leaf."""
        (initials, rate, start), (firsts, seeds, factors, ends) = shared, clients

        def client(g: Any, carry: Any) -> Any:
            held, results = carry
            with jax.enable_x64(False):
                settings, span = (seeds[g], rate, start, []), (firsts[g], firsts[g + 1])
                after, _, result = self.local(key, initials, settings, inputs, span)
            return plus(held, start, after, factors[g]), results.at[g].set(result)

        def leaf(number: Any, carry: Any) -> Any:
            sums, results = carry
            begin = (self.nothing(), results)
            held, results = jax.lax.fori_loop(ends[number], ends[number + 1], client, begin)
            return placed(sums, held, number), results

        results = jnp.zeros((len(seeds), len(self._program.result_names)), "float32")
        return jax.lax.fori_loop(0, len(ends) - 1, leaf, (sums, results))

    def side_by_side(self, key: Key, sums: Any, shared: Any, inputs: Any, clients: Any) -> Any:
        """Train the clients side by side, then add the changes one after another."""
        (initials, rate, start), (firsts, seeds, factors, ends) = shared, clients

        def one(seed: Any, first: Any, last: Any) -> Any:
            return self.local(key, initials, (seed, rate, start, []), inputs, (first, last))

        with jax.enable_x64(False):
            afters, _, results = jax.vmap(one)(seeds, firsts[:-1], firsts[1:])

        def client(g: Any, held: Any) -> Any:
            after = [jax.lax.dynamic_index_in_dim(a, g, keepdims=False) for a in afters]
            return plus(held, start, after, factors[g])

        def leaf(number: Any, sums: Any) -> Any:
            held = jax.lax.fori_loop(ends[number], ends[number + 1], client, self.nothing())
            return placed(sums, held, number)

        return jax.lax.fori_loop(0, len(ends) - 1, leaf, sums), results

    def nothing(self) -> list[Any]:
        """Return an empty leaf's sum."""
        return [jnp.zeros(shape, "float64") for shape in self._shapes]


def plus(held: list[Any], start: list[Any], after: list[Any], weight: Any) -> list[Any]:
    """Return a leaf's sum with one client's weighted change added."""
    changes = [a - s for a, s in zip(after, start, strict=True)]
    return [h + c.astype("float64") * weight for h, c in zip(held, changes, strict=True)]


def placed(sums: list[Any], held: list[Any], number: Any) -> list[Any]:
    """Return the sums with a leaf's in its place."""
    pairs = zip(sums, held, strict=True)
    return [jax.lax.dynamic_update_index_in_dim(s, h, number, 0) for s, h in pairs]


def _at(data: Any, rows: Any, position: Any) -> Any:
    """Return features, labels and sample weights of a minibatch."""
    if rows is None:
        return jax.tree.map(lambda a: jax.lax.dynamic_index_in_dim(a, position, keepdims=False), data)
    index = jax.lax.dynamic_index_in_dim(rows, position, keepdims=False)

    def taken(array: Any) -> Any:
        if len(index) <= _UNROLLED_ROWS and array.ndim > 1:
            each = [jax.lax.dynamic_index_in_dim(array, i, keepdims=False) for i in index]
            return jnp.stack(each)
        return jnp.take(array, index, axis=0, mode="clip")

    return jax.tree.map(taken, data)

"""Max-pooling whose gradient is fast on a CPU.

XLA on a CPU finds each window's largest value a second time and scatters the gradient to it, value by
value: a sixth of the training time of a small CNN. Where windows do not overlap, comparing each value with
its window's largest does the same.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import keras
from jax.extend import core

MOST_PLACES = 16  # of a window: above, the comparisons cost more than they save


def pools(model: Any) -> bool:
    """Whether a Keras model has max-pooling that can be differentiated faster."""
    layers = keras.layers
    kinds = (layers.MaxPooling1D, layers.MaxPooling2D, layers.MaxPooling3D)
    return any(isinstance(layer, kinds) for layer in model._flatten_layers())


def with_fast_pooling(function: Callable[..., Any]) -> Callable[..., Any]:
    """Return the function with max-pooling that is differentiated fast; all values are the same, bit for bit.

    Pooling with overlapping windows or inside loops and conditionals stays as it is.
    """

    def replaced(*arguments: Any) -> Any:
        closed, shapes = jax.make_jaxpr(function, return_shape=True)(*arguments)
        values = _run(closed.jaxpr, closed.consts, jax.tree.leaves(arguments))
        return jax.tree.unflatten(jax.tree.structure(shapes), values)

    return replaced


def _run(jaxpr: Any, consts: Sequence[Any], arguments: Sequence[Any]) -> list[Any]:
    """Evaluate a traced function, equation by equation."""
    known = dict(zip([*jaxpr.constvars, *jaxpr.invars], [*consts, *arguments], strict=True))

    def value(atom: Any) -> Any:
        return atom.val if isinstance(atom, core.Literal) else known[atom]

    for equation in jaxpr.eqns:
        given = [value(atom) for atom in equation.invars]
        primitive, settings = equation.primitive, equation.params
        if primitive.name == "reduce_window_max" and _apart(given[0].shape, settings):
            results: Any = [_pool(given[0], tuple(settings["window_dimensions"]))]
        elif primitive.name in {"jit", "pjit"}:
            inner = settings["jaxpr"]
            results = _run(inner.jaxpr, inner.consts, given)
        else:
            inputs = [atom for atom in equation.invars if not isinstance(atom, core.Literal)]
            outputs = list(equation.outvars)
            alone = core.Jaxpr((), inputs, outputs, [equation], equation.effects, debug_info=jaxpr.debug_info)
            results = core.jaxpr_as_fun(core.ClosedJaxpr(alone, ()))(*(known[atom] for atom in inputs))
        known.update(zip(equation.outvars, results, strict=True))
    return [value(atom) for atom in jaxpr.outvars]


def _apart(shape: Sequence[int], settings: Any) -> bool:
    """Whether windows stand side by side, without gaps, and fill the shape."""
    window = tuple(settings["window_dimensions"])
    return (
        window == tuple(settings["window_strides"])
        and 1 < math.prod(window) <= MOST_PLACES
        and all(pad == (0, 0) for pad in map(tuple, settings["padding"]))
        and all(d == 1 for d in (*settings["base_dilation"], *settings["window_dilation"]))
        and all(size >= w for size, w in zip(shape, window, strict=True))
    )


def _pool(x: Any, window: tuple[int, ...]) -> Any:
    def plain(x: Any) -> Any:
        least = -jnp.inf if jnp.issubdtype(x.dtype, jnp.floating) else jnp.iinfo(x.dtype).min
        return jax.lax.reduce_window(x, jnp.array(least, x.dtype), jax.lax.max, window, window, "VALID")

    pool = jax.custom_vjp(plain)

    def forward(x: Any) -> Any:
        y = plain(x)
        return y, (x, y)

    def backward(kept: Any, gradient: Any) -> Any:
        x, y = kept
        return (_to_first_largest(x, y, gradient, window),)

    pool.defvjp(forward, backward)
    return pool(x)


def _to_first_largest(x: Any, y: Any, gradient: Any, window: tuple[int, ...]) -> Any:
    """Return the gradient at the first of each window's largest values, and zero elsewhere."""
    whole = tuple(size // w * w for size, w in zip(x.shape, window, strict=True))
    inside = x[tuple(slice(size) for size in whole)]
    split = [part for size, w in zip(whole, window, strict=True) for part in (size // w, w)]
    apart = inside.reshape(split)
    found = jnp.zeros(y.shape, bool)
    parts = []
    for place in itertools.product(*map(range, window)):
        here = apart[tuple(index for p in place for index in (slice(None), p))] == y
        parts.append(jnp.where(here & ~found, gradient, jnp.zeros((), gradient.dtype)))
        found = found | here
    for axis, w in reversed(list(enumerate(window))):  # the last axis of the window comes first in order
        if w > 1:
            parts = [jnp.stack(parts[i : i + w], axis + 1) for i in range(0, len(parts), w)]
    result = parts[0].reshape(whole)
    rest = [(0, size - w) for size, w in zip(x.shape, whole, strict=True)]
    return jnp.pad(result, rest) if any(after for _, after in rest) else result

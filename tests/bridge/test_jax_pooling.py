"""Fast max-pooling is max-pooling: the same values and gradients, bit for bit."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import pytest

if keras.config.backend() != "jax":
    pytest.skip("the pooling is JAX's", allow_module_level=True)

import jax
import jax.numpy as jnp
from keras import layers

from hansa.bridge import jax_pooling
from hansa.bridge.jax_pooling import pools, with_fast_pooling

SHAPES = {
    "even": ((2, 8, 8, 3), (2, 2), (2, 2)),
    "left over": ((2, 7, 9, 3), (2, 3), (2, 3)),
    "long": ((1, 12, 4, 1), (4, 1), (4, 1)),
    "overlapping": ((2, 8, 8, 3), (3, 3), (2, 2)),
    "with gaps": ((2, 9, 9, 3), (2, 2), (3, 3)),
}


def gradient(x: Any, window: Any, strides: Any, *, fast: bool) -> Any:
    def loss(x: Any) -> Any:
        pooled = keras.ops.max_pool(jax.nn.relu(x), window, strides, data_format="channels_last")
        return (jnp.sin(pooled) * pooled).sum(), pooled

    return jax.jit(jax.value_and_grad(with_fast_pooling(loss) if fast else loss, has_aux=True))(x)


@pytest.mark.parametrize("name", SHAPES)
def test_it_gives_the_same_bits(name: str) -> None:
    shape, window, strides = SHAPES[name]
    rng = np.random.default_rng(0)
    # Few values, so that windows have several that are largest; relu makes whole windows zero.
    for x in (rng.normal(size=shape), rng.integers(-2, 2, size=shape)):
        given = jnp.asarray(x, "float32")
        slow, fast = (gradient(given, window, strides, fast=fast) for fast in (False, True))
        for a, b in zip(jax.tree.leaves(slow), jax.tree.leaves(fast), strict=True):
            np.testing.assert_array_equal(np.asarray(a), np.asarray(b))


def test_windows_side_by_side_are_replaced_and_others_not(monkeypatch: Any) -> None:
    replaced = []
    pool = jax_pooling._pool
    monkeypatch.setattr(jax_pooling, "_pool", lambda x, window: replaced.append(window) or pool(x, window))
    for name, (shape, window, strides) in SHAPES.items():
        replaced.clear()
        gradient(jnp.zeros(shape), window, strides, fast=True)
        assert bool(replaced) == (name not in ("overlapping", "with gaps")), name


def test_what_is_not_pooling_is_untouched() -> None:
    def function(x: Any, tree: Any) -> Any:
        y = jax.lax.scan(lambda c, a: (c + a, c * a), jnp.zeros(()), x)[1]
        z = jax.lax.cond(x[0] > 0, lambda v: v * 2, lambda v: v - 1, y)
        return {"z": jax.nn.gelu(z) + tree["a"], "same": tree["b"]}, 3.0

    x, tree = jnp.arange(4.0), {"a": jnp.ones(4), "b": jnp.arange(2)}
    for a, b in zip(
        jax.tree.leaves(function(x, tree)), jax.tree.leaves(with_fast_pooling(function)(x, tree)), strict=True
    ):
        np.testing.assert_array_equal(np.asarray(a), np.asarray(b))


def test_which_models_pool() -> None:
    inner = keras.Sequential([keras.Input((4, 4, 1)), layers.MaxPooling2D(2)])
    assert pools(keras.Sequential([keras.Input((4, 4, 1)), inner, layers.Flatten()]))
    assert not pools(keras.Sequential([keras.Input((4, 4, 1)), layers.AveragePooling2D(2)]))

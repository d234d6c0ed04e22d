from __future__ import annotations

import numpy as np
import pytest

import crypto_reference as reference
from hansa.crypto import field, ring
from hansa.crypto.arithmetic import P


def random(*shape, seed=0):
    return np.random.default_rng(seed).integers(P, size=shape, dtype=np.uint64)


@pytest.mark.parametrize("degree", [2, 4, 16, 64])
def test_product_and_transform_are_those_of_the_reference(degree):
    a, b = random(degree), random(degree, seed=1)
    assert ring.to_ntt(a).tolist() == reference.transform(a.tolist())
    assert ring.multiply(a, b).tolist() == reference.ring_product(a.tolist(), b.tolist())


@pytest.mark.parametrize("value", [0, 1, P - 1])
def test_extreme_coefficients(value):
    a = np.full(32, value, np.uint64)
    assert ring.multiply(a, a).tolist() == reference.ring_product(a.tolist(), a.tolist())


def test_the_transform_is_undone_and_inputs_stay():
    a = random(3, ring.N)
    before = a.copy()
    assert (ring.from_ntt(ring.to_ntt(a)) == a).all()
    assert (a == before).all()


def test_the_power_n_is_minus_one():
    x = np.zeros(ring.N, np.uint64)
    x[1] = 1
    a = random(ring.N)
    turned = ring.multiply(a, x)
    assert turned[1:].tolist() == a[:-1].tolist()
    assert int(turned[0]) == (P - int(a[-1])) % P


def test_rows_are_independent_and_the_transform_is_linear():
    a, b = random(ring.N), random(ring.N, seed=1)
    together = ring.to_ntt(np.stack([a, b]))
    assert (together[0] == ring.to_ntt(a)).all()
    assert (ring.to_ntt(field.add(a, b)) == field.add(together[0], together[1])).all()


@pytest.mark.parametrize("degree", [1, 3, 12])
def test_other_degrees_are_refused(degree):
    with pytest.raises(ValueError, match="power of two"):
        ring.to_ntt(np.zeros(degree, np.uint64))

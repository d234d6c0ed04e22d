from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hansa.crypto import ntt
from hansa.crypto.arithmetic import P

EDGES = [0, 1, 2**32 - 1, 2**32, P - 2**32, P - 1]
words = st.sampled_from(EDGES) | st.integers(0, P - 1)


def values(coefficients, shift):
    """The polynomial's values at the points, by their definition."""
    points = ntt.points(len(coefficients), shift).tolist()
    return [sum(c * pow(x, k, P) for k, c in enumerate(coefficients)) % P for x in points]


@given(st.sampled_from([2, 4, 8, 16, 32]), st.sampled_from([1, 7, P - 1, 2**40]), st.data())
def test_values_are_those_at_the_points(degree, shift, data):
    coefficients = data.draw(st.lists(words, min_size=degree, max_size=degree))
    fast = ntt.to_values(np.array(coefficients, np.uint64), shift)
    assert fast.tolist() == values(coefficients, shift)
    assert ntt.from_values(fast, shift).tolist() == coefficients


@pytest.mark.parametrize("degree", [64, 512, 2048, 8192])
@pytest.mark.parametrize("extreme", [P - 1, 2**32 - 1, P - 2**32])
def test_extreme_coefficients_stay_canonical(degree, extreme):
    rows = np.full((2, degree), extreme, np.uint64)
    rows[1, ::3] = P - 1
    found = ntt.to_values(rows, 7)
    assert (found < np.uint64(P)).all()
    assert (ntt.from_values(found, 7) == rows).all()


def test_points_are_the_coset_in_the_order_of_the_butterflies():
    points = ntt.points(8, 7).tolist()
    omega = ntt.root_of_unity(8)
    assert points == [7 * pow(omega, k, P) % P for k in (0, 4, 2, 6, 1, 5, 3, 7)]
    assert {pow(x, 8, P) for x in points} == {pow(7, 8, P)}
    assert pow(omega, 4, P) == P - 1


def test_lazy_sums_stay_below_two_to_the_64():
    for a in (0, 1, P, 2**64 - 1, 2**64 - 2, 2**32 - 1):
        for b in (0, 1, 2**32 - 1, P - 1):
            for work, expected in ((ntt.lazy_add, a + b), (ntt.lazy_sub, a - b)):
                assert int(work(np.uint64(a), np.uint64(b))) % P == expected % P


@pytest.mark.parametrize("order", [0, 3, 2**33, -4])
def test_orders_that_do_not_exist(order):
    with pytest.raises(ValueError, match="power of two"):
        ntt.root_of_unity(order)

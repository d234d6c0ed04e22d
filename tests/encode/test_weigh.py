from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hansa.encode.quantise import Quantised
from hansa.encode.weigh import Weighted, check_weighted_total, decode_weighted, weigh
from hansa.errors import ConfigurationError, UpdateError

UNITS = {"unit_l2": 5, "unit_each": 4}


def unit(*values):
    return Quantised(vector=np.array(values), bound_l2=5, bound_each=4, scale=0.5)


small = st.sampled_from([(3, 4), (-3, 4), (0, 0), (4, -3), (1, 2), (-4, 0)])


@given(st.lists(st.tuples(small, st.integers(0, 100)), min_size=1, max_size=20))
def test_the_decoded_mean_is_the_weighted_mean(clients):
    parts = [weigh(unit(*values), weight, max_weight=100) for values, weight in clients]
    for part in parts:
        assert sum(v * v for v in part.vector.tolist()) <= part.bound_l2**2
        assert max(map(abs, part.vector.tolist())) <= part.bound_each
    total = np.sum([part.vector for part in parts], axis=0)
    weight = sum(w for _, w in clients)
    check_weighted_total(total, len(parts), **UNITS, max_weight=100)
    if weight == 0:
        with pytest.raises(UpdateError, match="nothing to average"):
            decode_weighted(total, 0.5)
        return
    mean, found = decode_weighted(total, 0.5)
    sums = [sum(w * values[j] for values, w in clients) for j in (0, 1)]
    assert found == weight
    assert mean.tolist() == [float(Fraction(s, 2) / weight) for s in sums]


def test_bounds_account_for_the_largest_weight():
    part = weigh(unit(3, 4), 7, max_weight=100)
    assert part.vector.tolist() == [21, 28, 7]
    assert (part.bound_l2, part.bound_each) == (510, 400)  # 100 √26 = 509.9


@pytest.mark.parametrize(
    "vector", [[3, 4, 0], [21, 29, 7], [29, 0, 7], [0, 0, 101], [0, 0, -1], [300, 400, 1], [-(2**63), 0, 1]]
)
def test_an_update_larger_than_its_own_weight_allows_does_not_exist(vector):
    with pytest.raises(UpdateError, match="round is void"):
        Weighted(vector=np.array(vector), **UNITS, max_weight=100, scale=0.5)


def test_forged_totals_are_refused():
    check_weighted_total(np.array([6, 8, 2]), 2, **UNITS, max_weight=1)
    for forged in ([7, 8, 2], [6, 8, 3], [6, 8, -2], [9, 0, 2], [0, -9, 2]):
        with pytest.raises(UpdateError, match="round is void"):
            check_weighted_total(np.array(forged), 2, **UNITS, max_weight=1)
    with pytest.raises(UpdateError, match="1 number only"):
        check_weighted_total(np.array([1]), 2, **UNITS, max_weight=1)


@pytest.mark.parametrize(
    ("weight", "told"),
    [
        (-1, "out of range"),
        (101, r"Cap it with min\(weight, max_weight\)"),
        (2.0, "float"),
        (True, "bool"),
        ("3", "str"),
    ],
)
def test_bad_weights_are_refused(weight, told):
    with pytest.raises(UpdateError, match=told):
        weigh(unit(1, 1), weight, max_weight=100)


def test_weights_that_would_overflow_are_refused_before_any_product():
    with pytest.raises(ConfigurationError, match=r"not below 2\*\*62"):
        weigh(unit(1, 1), 1, max_weight=2**60)
    with pytest.raises(ConfigurationError, match=r"more than 2\*\*62"):
        check_weighted_total(np.array([0, 0, 0]), 2**30, **UNITS, max_weight=2**40)
    with pytest.raises(ConfigurationError, match="max_weight must be an integer of 1"):
        weigh(unit(1, 1), 0, max_weight=0)


def test_decoding_refuses_what_is_no_weighted_sum():
    for total, told in [([1, -1], "-1 together"), ([1, 2**53 + 1], "together"), ([5], "1 number only")]:
        with pytest.raises(UpdateError, match=told):
            decode_weighted(np.array(total), 0.5)
    with pytest.raises(ConfigurationError, match="power of two"):
        decode_weighted(np.array([1, 1]), 0.7)


def test_numpy_numbers_do_not_overflow_the_bounds():
    part = Weighted(
        vector=np.array([0, 0, 1]),
        unit_l2=np.int64(2**30),
        unit_each=np.int64(4),
        max_weight=np.int64(2**31),
        scale=0.5,
    )
    assert part.bound_l2 == 2**61 + 1

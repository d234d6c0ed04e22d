import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hansa.errors import DataError
from hansa.secure_sum.sealed.parameters import choose
from hansa.statistics.limbs import (
    BOUND,
    SQUARES,
    SUMS,
    FixedPoint,
    decode_counts,
    encode_counts,
)

floats32 = st.floats(width=32, allow_nan=False, allow_infinity=False)
largest = (1 << (16 * SUMS.limbs)) - 1


@given(st.lists(st.integers(-largest, largest), max_size=5))
def test_numbers_come_back(units):
    limbs = SUMS.encode(units)
    assert limbs.shape == (len(units), SUMS.limbs)
    assert limbs.dtype == np.int64
    assert not limbs.size or abs(limbs).max() < BOUND
    assert SUMS.decode(limbs) == units


@given(st.lists(floats32, min_size=1, max_size=20), st.randoms(use_true_random=False))
def test_sums_of_float32_are_exact_in_any_order(values, random):
    total = sum(SUMS.encode([SUMS.units(v)]) for v in values)
    assert SUMS.number(SUMS.decode(total)[0]) == math.fsum(values)
    random.shuffle(values)
    assert (sum(SUMS.encode([SUMS.units(v)]) for v in values) == total).all()


@given(st.lists(floats32, min_size=1, max_size=20))
def test_sums_of_squares_of_float32_are_exact(values):
    total = sum(SQUARES.encode([SQUARES.units(float(v) * float(v))]) for v in values)
    exact = sum((Fraction(v) ** 2 for v in values), Fraction(0))
    assert Fraction(SQUARES.decode(total)[0]) * Fraction(2) ** SQUARES.unit == exact
    assert SQUARES.number(SQUARES.decode(total)[0]) == float(exact)


@pytest.mark.parametrize("value", [3.4028234663852886e38, -3.4028234663852886e38, 1e-45, -1e-45, 0.0, -0.0])
def test_the_extremes_of_float32(value):
    value = float(np.float32(value))
    assert SUMS.number(SUMS.decode(SUMS.encode([SUMS.units(value)]))[0]) == value
    assert SQUARES.number(SQUARES.decode(SQUARES.encode([SQUARES.units(value * value)]))[0]) == value * value


def test_rounding_happens_once():
    third = FixedPoint(unit=0, limbs=1)
    assert third.number(1, 3) == 1 / 3
    assert FixedPoint(unit=-60, limbs=8).number((1 << 60) + 1) == 1.0


def test_what_is_out_of_range_is_refused():
    small = FixedPoint(unit=-1, limbs=1)
    with pytest.raises(DataError, match=r"too large.*below 2\^15"):
        small.encode([small.units(2.0**15)])
    assert small.encode([small.units(-(2.0**15) + 0.5)]).tolist() == [[-65535]]
    with pytest.raises(DataError, match=r"0\.25 is finer than 2\^-1"):
        small.units(0.25)
    for value in (math.inf, -math.inf, math.nan):
        with pytest.raises(DataError, match="not a finite number"):
            small.units(value)


@given(st.lists(st.lists(st.integers(0, 2**32 - 1), min_size=3, max_size=3), min_size=1, max_size=5))
def test_counts_come_back_and_add_up(parts):
    arrays = [np.array(part, np.int64) for part in parts]
    limbs = [encode_counts(a) for a in arrays]
    assert all(0 <= a.min() <= a.max() < BOUND for a in limbs)
    assert (decode_counts(sum(limbs)) == sum(arrays)).all()


@pytest.mark.parametrize("count", [-1, 2**32])
def test_counts_that_are_none(count):
    with pytest.raises(DataError, match=r"2\^32"):
        encode_counts(np.array([count]))


@pytest.mark.parametrize("dimension", [1, 100, 5000, 100_000])
def test_limbs_fit_sealed_sums_of_a_thousand_clients(dimension):
    assert choose(dimension=dimension, members=1000, bound=BOUND)

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from hansa.encode.clip import LARGEST_BOUND, SMALLEST_BOUND, Clipped, clip, shortening
from hansa.errors import ConfigurationError, UpdateError

finite = st.floats(width=32, allow_nan=False, allow_infinity=False)
vectors = hnp.arrays(np.float32, st.integers(1, 40), elements=finite)
bounds = st.floats(SMALLEST_BOUND, LARGEST_BOUND)


def exact_square(vector):
    return sum(Fraction(value) ** 2 for value in vector.tolist())


@given(vectors, bounds)
def test_the_exact_norm_is_never_above_the_bound_and_clipping_again_changes_nothing(vector, bound):
    before = vector.copy()
    clipped = clip(vector, bound)
    assert np.array_equal(vector, before)
    assert exact_square(clipped.vector) <= Fraction(bound) ** 2
    assert clipped.vector.dtype == np.float32
    assert np.array_equal(clip(clipped.vector, bound).vector, clipped.vector)
    assert (np.abs(clipped.vector) <= np.abs(vector)).all()
    assert (clipped.vector * np.sign(vector) >= 0).all()


@given(st.integers(0, 10**6), st.integers(1, 500), st.floats(1e-3, 1e3))
def test_the_bound_holds_on_the_edge_for_long_vectors(seed, size, bound):
    vector = np.random.default_rng(seed).normal(size=size).astype(np.float32)
    vector *= np.float32(bound / np.linalg.norm(vector.astype(np.float64)))
    clipped = clip(vector, bound)
    assert exact_square(clipped.vector) <= Fraction(bound) ** 2
    norm = np.linalg.norm(clip(vector * np.float32(3), bound).vector.astype(np.float64))
    assert bound * (1 - 2.0**-22) <= norm <= bound


def weighed(vector, weight, bound):
    """A vector's share in a float64 sum, as it is made where changes are added up."""
    wide = vector.astype(np.float64)
    return wide * (weight * shortening(float(wide @ wide) * weight * weight, vector.size, bound))


@given(vectors, st.floats(1e-9, 1), bounds)
def test_a_share_of_a_sum_is_never_above_the_bound(vector, weight, bound):
    share = weighed(vector, weight, bound)
    assert exact_square(share) <= Fraction(bound) ** 2
    whole = vector.astype(np.float64) * weight
    norm = float(np.linalg.norm(whole))
    if norm <= bound * (1 - 2.0**-40):
        assert np.array_equal(share, whole)
    if norm >= bound * (1 + 2.0**-40):
        assert exact_square(share) >= (Fraction(bound) * (1 - Fraction(1, 2**40))) ** 2


@given(st.integers(0, 10**6), st.integers(1, 500), st.floats(1e-3, 1e3), st.sampled_from([1.0, 0.7, 1 / 3]))
def test_a_share_is_within_the_bound_on_the_edge_for_long_vectors(seed, size, bound, weight):
    vector = np.random.default_rng(seed).normal(size=size).astype(np.float32)
    vector *= np.float32(bound / weight / np.linalg.norm(vector.astype(np.float64)))
    assert exact_square(weighed(vector, weight, bound)) <= Fraction(bound) ** 2


def test_a_vector_that_is_clipped_keeps_its_direction():
    vector = np.random.default_rng(0).normal(size=1000).astype(np.float32)
    clipped = clip(vector, 1.0).vector.astype(np.float64)
    wide = vector.astype(np.float64)
    np.testing.assert_allclose(clipped / np.linalg.norm(clipped), wide / np.linalg.norm(wide), rtol=2.0**-22)


def test_zeros_denormals_and_extremes():
    assert clip(np.zeros(3, np.float32), 1.0).vector.tolist() == [0, 0, 0]
    tiny = np.full(3, 2.0**-149, np.float32)
    assert np.array_equal(clip(tiny, 1.0).vector, tiny)
    assert np.array_equal(clip(tiny, SMALLEST_BOUND).vector, tiny)
    huge = np.full(1000, np.finfo(np.float32).max, np.float32)
    assert exact_square(clip(huge, LARGEST_BOUND).vector) <= Fraction(LARGEST_BOUND) ** 2
    assert exact_square(clip(huge, SMALLEST_BOUND).vector) <= Fraction(SMALLEST_BOUND) ** 2


def test_the_result_is_a_copy_that_cannot_be_written():
    vector = np.ones(2, np.float32)
    clipped = clip(vector, 10.0)
    vector[:] = 9
    assert clipped.vector.tolist() == [1, 1]
    with pytest.raises(ValueError, match="read-only"):
        clipped.vector[0] = 5


@pytest.mark.parametrize(
    ("vector", "told"),
    [
        (np.array([1, np.nan], np.float32), "1 of 2 values of the update are NaN or infinite"),
        (np.array([np.inf, -np.inf], np.float32), "2 of 2 values"),
        (np.ones((2, 2), np.float32), r"shape \(2, 2\)"),
        (np.zeros(0, np.float32), r"shape \(0,\)"),
        (np.ones(2), "dtype float64; expected float32"),
        (np.ones(2, np.int64), "dtype int64"),
        ([1.0, 2.0], "is a list"),
        (None, "is a NoneType"),
    ],
)
def test_bad_vectors_are_refused(vector, told):
    with pytest.raises(UpdateError, match=told):
        clip(vector, 1.0)


@pytest.mark.parametrize("bound", [0, -1.0, np.nan, np.inf, 1e-40, 1e39, True, "1", None, 1j])
def test_bad_bounds_are_refused(bound):
    with pytest.raises(ConfigurationError, match="norm to clip to must be a finite number"):
        clip(np.ones(2, np.float32), bound)


def test_a_vector_cannot_be_said_to_be_clipped():
    with pytest.raises(UpdateError, match=r"norm 1.41421356 was said to be clipped to 1"):
        Clipped(vector=np.ones(2, np.float32), bound_l2=1.0)
    with pytest.raises(UpdateError, match="NaN"):
        Clipped(vector=np.array([np.nan], np.float32), bound_l2=1.0)

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import crypto_reference as reference
from hansa.crypto import sampling, shamir
from hansa.crypto.arithmetic import P
from hansa.crypto.reed_solomon import weights_at_zero, wrong_positions
from hansa.crypto.shamir import ShareError, restore, share


def random(count, seed=0):
    return np.random.default_rng(seed).integers(P, size=count, dtype=np.uint64)


@given(st.integers(1, 6), st.integers(0, 4), st.integers(1, 5), st.integers(0, 2**32))
def test_shares_and_restoring_are_those_of_the_reference(threshold, more, length, seed):
    points = [3 * i + 1 for i in range(threshold + more)]
    secret = random(length, seed)
    coefficients = random((threshold - 1) * length, seed + 1)
    shares = share(secret, points, threshold, lambda n: coefficients)
    rows = coefficients.reshape(threshold - 1, length).tolist()
    assert shares.tolist() == reference.share(secret.tolist(), rows, points)
    restored = restore(points, shares, threshold)
    assert restored.secret.tolist() == secret.tolist() == reference.restored(points, shares.tolist())
    assert restored.wrong == ()


@settings(deadline=None)
@given(
    st.lists(st.integers(0, 40) | st.integers(P - 3, P - 1) | st.integers(0, P - 1), unique=True, max_size=40)
)
def test_weights_at_zero_are_those_of_the_reference(points):
    weights = weights_at_zero(points)
    assert weights.dtype == np.uint64
    assert weights.tolist() == reference.weights_at_zero(points)


def test_weights_of_many_points_are_those_of_the_reference():
    for points in (list(range(1, 129)), [int(x) for x in random(128)]):
        assert weights_at_zero(points).tolist() == reference.weights_at_zero(points)


@pytest.mark.parametrize("points", [[1, 2, 1], [0, P], [3, 3]])
def test_points_that_are_not_distinct_have_no_weights(points):
    with pytest.raises(ZeroDivisionError):
        weights_at_zero(points)


def test_any_threshold_of_them_restore():
    secret, points = random(4), [1, 2, 3, 4, 5]
    shares = share(secret, points, 3)
    for chosen in itertools.combinations(range(5), 3):
        restored = restore([points[i] for i in chosen], shares[list(chosen)], 3)
        assert (restored.secret == secret).all()


def test_fewer_are_uniform_whatever_the_secret():
    # Over all coefficients of a linear polynomial a share takes each value once: by algebra, for every point.
    secret = np.array([5], np.uint64)
    given_back = {}
    for coefficient in (0, 1, 2, P - 1, P // 2):
        value = int(share(secret, [7, 9], 2, lambda n, c=coefficient: np.array([c], np.uint64))[0, 0])
        assert value == (5 + 7 * coefficient) % P
        given_back[value] = coefficient
    assert len(given_back) == 5
    # And shares of zero are not zero.
    assert not (share(np.zeros(100, np.uint64), [1, 2, 3], 2) == 0).any()


def test_sums_of_shares_are_shares_of_the_sum():
    from hansa.crypto import field

    points, a, b = [1, 2, 3, 4], random(6), random(6, 1)
    total = field.add(share(a, points, 3), share(b, points, 3))
    assert (restore(points, total, 3).secret == field.add(a, b)).all()


@settings(deadline=None)
@given(st.integers(1, 5), st.integers(0, 6), st.data())
def test_wrong_shares_are_corrected_and_named(threshold, more, data):
    points = list(range(1, threshold + more + 1))
    secret = random(5, threshold)
    shares = share(secret, points, threshold)
    bad = data.draw(st.sets(st.sampled_from(range(len(points))), max_size=more // 2))
    for i in bad:
        where = data.draw(st.integers(0, 4))
        shares[i, where] = (int(shares[i, where]) + data.draw(st.integers(1, P - 1))) % P
    restored = restore(points, shares, threshold)
    assert (restored.secret == secret).all()
    assert restored.wrong == tuple(sorted(bad))


def test_more_wrong_shares_than_can_be_located_raise():
    points = [1, 2, 3, 4, 5]
    shares = share(random(4), points, 3)
    shares[0, 0] ^= np.uint64(1)
    shares[3, 2] ^= np.uint64(1)
    with pytest.raises(ShareError, match="more than 1 are wrong"):
        restore(points, shares, 3)


def test_errors_in_different_coordinates_add_up(monkeypatch):
    # Each combination alone sees no more than it can locate, both together more.
    points = [1, 2, 3, 4, 5]
    shares = share(random(2), points, 3)
    shares[0, 0] ^= np.uint64(1)
    shares[4, 1] ^= np.uint64(1)
    monkeypatch.setattr(shamir, "public_elements", lambda seed, n: np.array([1, 0, 0, 1], np.uint64))
    with pytest.raises(ShareError, match="2 of 5"):
        restore(points, shares, 3)


def test_exactly_the_threshold_cannot_find_errors():
    points = [1, 2, 3]
    shares = share(random(4), points, 3)
    shares[0, 0] ^= np.uint64(1)
    assert restore(points, shares, 3).wrong == ()


@pytest.mark.parametrize(
    ("points", "threshold"), [([1, 1], 1), ([0, 1], 1), ([1, P], 1), ([1, 2], 3), ([1, 2], 0), ([], 1)]
)
def test_sharings_that_cannot_be(points, threshold):
    with pytest.raises(ShareError):
        share(random(2), points, threshold)
    with pytest.raises(ShareError):
        restore(points, np.zeros((len(points), 2), np.uint64), threshold)


def test_shares_that_are_none():
    with pytest.raises(ShareError, match="below the prime"):
        restore([1, 2], np.full((2, 3), P, np.uint64), 2)
    with pytest.raises(ShareError, match="3 points have 2"):
        restore([1, 2, 3], np.zeros((2, 3), np.uint64), 2)


def test_coefficients_come_from_the_system():
    import inspect

    assert inspect.signature(share).parameters["random"].default is sampling.secret_elements


def test_decoding_at_its_edge():
    points = list(range(1, 10))
    values = [(5 + 3 * x + x * x) % P for x in points]
    assert wrong_positions(points, values, 3) == []
    for bad in itertools.combinations(range(9), 3):
        spoiled = [(v + 1 + i) % P if i in bad else v for i, v in enumerate(values)]
        assert wrong_positions(points, spoiled, 3) == list(bad)
    spoiled = [(v + 1) % P if i in (0, 2, 5, 7) else v for i, v in enumerate(values)]
    assert wrong_positions(points, spoiled, 3) != [0, 2, 5, 7]
    assert wrong_positions(points, [0] * 9, 3) == []
    assert wrong_positions(points, [1] + [0] * 8, 3) == [0]

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from hansa.encode.clip import Clipped, clip
from hansa.encode.grid import Grid
from hansa.encode.integers import check_room, check_total, square_norm
from hansa.encode.quantise import Quantised, decode, quantise
from hansa.encode.randomness import Expanded, system_source
from hansa.errors import ConfigurationError, UpdateError

finite = st.floats(width=32, allow_nan=False, allow_infinity=False)
vectors = hnp.arrays(np.float32, st.integers(1, 40), elements=finite | st.floats(-2, 2, width=32))


@given(
    vector=vectors,
    exponent=st.integers(-30, 1),
    bits=st.none() | st.integers(2, 12),
    redraw_bits=st.sampled_from([1, 40]),
    seed=st.integers(0, 2**32),
)
def test_the_bounds_hold_exactly_and_no_coordinate_moves_a_step(vector, exponent, bits, redraw_bits, seed):
    scale = 2.0**exponent
    settings = {"clip_l2": 1.5, "scale": scale, "size": vector.size, "redraw_bits": redraw_bits}
    grid = Grid(**settings, bits=bits, saturate=bits is not None)
    clipped = clip(vector, 1.5)
    result = quantise(clipped, grid, randomness=np.random.default_rng(seed))
    assert result.vector.dtype == np.int64
    assert square_norm(result.vector) <= grid.bound_l2**2
    cut = 0
    for x, q in zip(clipped.vector.tolist(), result.vector.tolist(), strict=True):
        y = Fraction(x) / Fraction(scale)
        assert abs(q) <= grid.bound_each
        assert q * y >= 0
        if abs(y) > grid.bound_each:
            cut += 1
            assert abs(q) == grid.bound_each
        else:
            assert abs(q - y) < 1
            assert y.denominator > 1 or q == y
    assert result.saturated == cut


@given(st.integers(0, 2**32), st.integers(1, 300))
def test_integers_come_back_exactly(seed, size):
    values = np.random.default_rng(seed).integers(-1000, 1001, size)
    grid = Grid(clip_l2=1e6, scale=0.25, size=size)
    update = clip((values * 0.25).astype(np.float32), 1e6)
    result = quantise(update, grid, randomness=system_source())
    assert np.array_equal(result.vector, values)
    assert np.array_equal(decode(result.vector, 0.25), values * 0.25)


def test_the_mean_over_draws_is_the_update():
    vector = np.random.default_rng(1).normal(size=50).astype(np.float32)
    vector[:4] = [0.1, -0.1, 1e-3, -1e-3]
    grid = Grid(clip_l2=20.0, scale=1.0, size=50)
    update, source = clip(vector, 20.0), Expanded(bytes(32))
    draws = 5_000
    total = sum(quantise(update, grid, randomness=source).vector for _ in range(draws))
    chance = np.abs(vector.astype(np.float64)) % 1
    sigma = np.sqrt(chance * (1 - chance) * draws)
    assert (np.abs(total - vector.astype(np.float64) * draws) < 5 * sigma).all()


def test_the_papers_bound_fails_no_more_often_than_it_says():
    # Half-way values have the largest variance; with one bit a draw may fail at most every second time.
    size, seen = 400, []

    class Counting(Expanded):
        def __call__(self, count):
            seen.extend([count] * (count == size))  # not the second look at a few coins
            return super().__call__(count)

    grid = Grid(clip_l2=10.0, scale=1.0, size=size, redraw_bits=1)
    assert grid.bound_l2 < 10 + size**0.5  # so that it is the second formula
    update = clip(np.full(size, 0.5, np.float32), 10.0)
    for seed in range(200):
        quantise(update, grid, randomness=Counting(bytes([seed]) * 32))
    assert len(seen) <= 2 * 200


def test_a_draw_that_is_too_long_is_drawn_again_and_at_last_rounded_toward_zero():
    # 100 halves: the bound allows about 42 of them to go up.
    grid = Grid(clip_l2=5.0, scale=1.0, size=100, redraw_bits=1)
    update = clip(np.full(100, 0.5, np.float32), 5.0)
    calls = []

    def source(up):
        def give(size):
            calls.append(size)
            # Low numbers round up, high ones down.
            return (b"\0" if up(len(calls)) else b"\xff") * size

        return give

    assert grid.bound_l2**2 < 100
    again = quantise(update, grid, randomness=source(lambda call: call < 3))
    assert (len(calls), again.vector.tolist()) == (3, [0] * 100)
    calls.clear()
    never = quantise(update, grid, randomness=source(lambda call: True))
    assert (len(calls), never.vector.tolist()) == (64, [0] * 100)


def test_randomness_decides_the_result_and_byte_sources_and_generators_agree_on_the_form():
    vector = np.random.default_rng(0).normal(size=1000).astype(np.float32)
    grid = Grid(clip_l2=100.0, scale=0.5, size=1000)
    update = clip(vector, 100.0)
    first, second = (quantise(update, grid, randomness=Expanded(bytes(32))).vector for _ in range(2))
    assert np.array_equal(first, second)
    first = quantise(update, grid, randomness=np.random.default_rng(3)).vector
    assert np.array_equal(first, quantise(update, grid, randomness=np.random.default_rng(3).bytes).vector)
    assert not np.array_equal(first, second)


@pytest.mark.parametrize("clients", [1, 7, 100])
def test_the_decoded_mean_of_a_cohort_is_exact(clients):
    stream = np.random.default_rng(clients)
    grid = Grid.fitting(1.0, 64, bound_l2=2**20)
    parts = [
        quantise(clip(stream.normal(size=64).astype(np.float32), 1.0), grid, randomness=stream).vector
        for _ in range(clients)
    ]
    assert check_room(grid.bound_each, clients, modulus=2**32) >= clients
    total = np.sum(parts, axis=0)
    check_total(total, clients, bound_l2=grid.bound_l2, bound_each=grid.bound_each)
    expected = [float(Fraction(n) * Fraction(grid.scale) / clients) for n in total.tolist()]
    assert decode(total, grid.scale, clients).tolist() == expected


@given(hnp.arrays(np.int64, 5, elements=st.integers(-(2**53), 2**53)), st.integers(1, 10**6))
def test_decoding_is_correctly_rounded(total, weight):
    expected = [float(Fraction(n) * Fraction(1, 1024) / weight) for n in total.tolist()]
    assert decode(total, 2.0**-10, weight).tolist() == expected


def test_an_update_that_does_not_belong_to_the_grid_is_refused():
    grid = Grid(clip_l2=1.0, scale=0.5, size=3)
    stream = np.random.default_rng(0)
    with pytest.raises(UpdateError, match="2 coordinates does not fit a grid of size 3"):
        quantise(clip(np.ones(2, np.float32), 1.0), grid, randomness=stream)
    with pytest.raises(UpdateError, match="clipped to 2 was given to a grid for updates clipped to 1"):
        quantise(clip(np.ones(3, np.float32), 2.0), grid, randomness=stream)
    with pytest.raises(ConfigurationError, match="got NoneType"):
        quantise(clip(np.ones(3, np.float32), 1.0), grid, randomness=None)


def test_an_update_changed_behind_its_bound_is_still_stopped():
    vector = np.ones(3, np.float32)
    clipped = Clipped(vector=vector, bound_l2=2.0)
    vector[:] = 1e9
    grid = Grid(clip_l2=2.0, scale=0.5, size=3)
    with pytest.raises(UpdateError, match="beyond its bound"):
        quantise(clipped, grid, randomness=np.random.default_rng(0))


@pytest.mark.parametrize(
    ("change", "error", "told"),
    [
        ({"vector": np.array([3, 5])}, UpdateError, "squared norm of 34"),
        ({"vector": np.array([0, -6])}, UpdateError, "magnitude 6"),
        ({"vector": np.array([0, -(2**63)])}, UpdateError, "magnitude 9223372036854775808"),
        ({"vector": np.array([0, 1], np.int32)}, UpdateError, "dtype int32"),
        ({"vector": np.array([[0, 1]])}, UpdateError, r"shape \(1, 2\)"),
        ({"bound_l2": 2**54}, ConfigurationError, "bound_l2"),
        ({"bound_each": -1}, ConfigurationError, "bound_each"),
        ({"scale": 3.0}, ConfigurationError, "power of two"),
        ({"saturated": 3}, ConfigurationError, "saturated"),
    ],
)
def test_integers_beyond_their_bounds_do_not_exist(change, error, told):
    good = {"vector": np.array([3, 4]), "bound_l2": 5, "bound_each": 5, "scale": 0.5}
    Quantised(**good)
    with pytest.raises(error, match=told):
        Quantised(**{**good, **change})


def test_results_cannot_be_written():
    grid = Grid(clip_l2=1.0, scale=0.5, size=1)
    result = quantise(clip(np.ones(1, np.float32), 1.0), grid, randomness=system_source())
    with pytest.raises(ValueError, match="read-only"):
        result.vector[0] = 100


@pytest.mark.parametrize(
    ("arguments", "error", "told"),
    [
        ((np.array([1.0]), 0.5), UpdateError, "dtype float64"),
        ((np.zeros(0, np.int64), 0.5), UpdateError, r"shape \(0,\)"),
        ((np.array([1]), 0.3), ConfigurationError, "power of two"),
        ((np.array([1]), 0.5, 0), UpdateError, "nothing to average"),
        ((np.array([1]), 0.5, -1), ConfigurationError, "weight must be an integer"),
        ((np.array([1]), 0.5, 1.5), ConfigurationError, "weight must be an integer"),
        ((np.array([1]), 0.5, 2**54), ConfigurationError, "weight must be an integer"),
    ],
)
def test_bad_sums_are_refused(arguments, error, told):
    with pytest.raises(error, match=told):
        decode(*arguments)

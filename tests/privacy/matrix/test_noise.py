from fractions import Fraction

import numpy as np
import pytest

from hansa.errors import ConfigurationError, RoundError, RunError
from hansa.privacy.matrix import Buffered, CorrelatedNoise, as_strategy, independent, optimal, square_root

PROMISE = {"rounds": 24, "min_gap": 6, "times": 4}
STRATEGIES = {
    "independent": independent(**PROMISE),
    "banded": square_root(**PROMISE),
    "coarse": square_root(**PROMISE, bits=0, bands=1),
    "blt": Buffered(**PROMISE, decays=(0.95, 0.5), weights=(0.25, 0.3)),
    "coarse blt": Buffered(**PROMISE, bits=0, decays=(0.95, 0.5), weights=(0.25, 0.3)),
}
LARGEST = 1 << 20
each_strategy = pytest.mark.parametrize("strategy", STRATEGIES.values(), ids=STRATEGIES)


def noise_of(strategy, dimension=5, **changed):
    settings = {"clip_l2": 1 << 12, "largest": LARGEST, "noise_multiplier": 1.0, **changed}
    return CorrelatedNoise(strategy=strategy, dimension=dimension, **settings)


def run(noise, totals, fresh):
    state, released = noise.begin(), []
    for total, w in zip(totals, fresh, strict=True):
        out, state = noise.release(state, total, w)
        released.append(out)
    return np.array(released), state


def dense(strategy):
    column, n = strategy.coefficients(), strategy.rounds
    return np.array([[column[i - j] if i >= j else 0.0 for j in range(n)] for i in range(n)])


def drawn(noise, seed):
    random = np.random.default_rng(seed)
    shape = (noise.strategy.rounds, noise.dimension)
    totals = random.integers(-LARGEST, LARGEST + 1, shape)
    return totals, np.rint(random.normal(0, noise.fresh_sigma, shape)).astype(np.int64)


@each_strategy
def test_solving_undoes_the_matrix(strategy):
    values = np.random.default_rng(0).normal(size=24)
    assert dense(strategy) @ strategy.solve(values) == pytest.approx(values, abs=1e-12)
    assert strategy.solve(values[:7]) == pytest.approx(strategy.solve(values)[:7])


@each_strategy
def test_releases_are_the_sums_and_the_noise_of_the_dense_matrix(strategy):
    noise = noise_of(strategy)
    totals, fresh = drawn(noise, 1)
    released, _ = run(noise, totals, fresh)
    expected = totals + np.linalg.solve(dense(strategy), fresh / 2.0**strategy.bits)
    assert np.abs(released - expected).max() < 3  # half a step in each release, carried along
    assert released.dtype == np.int64


@each_strategy
def test_a_release_is_made_of_the_noised_integers_and_earlier_releases_alone(strategy):
    """Other sums with fresh noise that makes up for them: the same releases, bit for bit."""
    noise = noise_of(strategy)
    totals, fresh = drawn(noise, 2)
    others, _ = drawn(noise, 3)
    expected, _ = run(noise, totals, fresh)
    made_up = fresh + encoded(strategy, totals) - encoded(strategy, others)
    released, _ = run(noise, others, made_up)
    assert (released == expected).all()


def encoded(strategy, totals):
    """R(x): in integers for banded matrices, and as the buffers give it for buffered ones."""
    grid = 1 << strategy.bits
    if not isinstance(strategy, Buffered):
        return sum(
            m * np.concatenate([np.zeros_like(totals[:j]), totals[: len(totals) - j]])
            for j, m in enumerate(strategy.numerators)
        )
    sums, out = np.zeros((2, totals.shape[1])), []
    for total in totals:
        recalled = strategy.weights[0] * sums[0] + strategy.weights[1] * sums[1]
        out.append(total * grid + np.rint(recalled * grid).astype(np.int64))
        sums = np.array(strategy.decays)[:, None] * sums + total
    return np.array(out)


@pytest.mark.parametrize("largest", [1 << 20, 1 << 45])
def test_rounding_of_a_buffered_strategy_stays_within_its_bound(largest):
    strategy = Buffered(rounds=60, min_gap=60, times=1, bits=8, decays=(0.99, 0.5), weights=(0.25, 0.3))
    random = np.random.default_rng(4)
    totals = np.concatenate([random.integers(-largest, largest + 1, (60, 20)), np.full((60, 1), largest)], 1)
    decays, weights = map(Fraction, strategy.decays), map(Fraction, strategy.weights)
    pairs = list(zip(decays, weights, strict=True))
    found, bound = encoded(strategy, totals), Fraction(strategy.rounding(largest))
    far = Fraction(0)
    for column, got in zip(totals.T, found.T, strict=True):
        buffers = [Fraction(0), Fraction(0)]
        for x, r in zip(column, got, strict=True):
            exact = int(x) + sum(w * s for (_, w), s in zip(pairs, buffers, strict=True))
            far = max(far, abs(int(r) - 256 * exact))
            buffers = [d * s + int(x) for (d, _), s in zip(pairs, buffers, strict=True)]
    assert far <= bound
    assert bound < 0.51 or far > bound / 1000  # and the bound is not idle


def test_a_buffer_that_stands_still_is_as_far_off_as_the_bound_allows_for():
    # Constant sums for long: a float64 buffer stops growing before it is full. Exactly: numerator / 256^t.
    largest, rounds = int(1.03 * 2**43) * 4, 9000
    strategy = Buffered(
        rounds=rounds, min_gap=rounds, times=1, bits=8, decays=(1 - 2**-8, 0.0), weights=(0.25, 0.0)
    )
    found = encoded(strategy, np.full((rounds, 1), largest))[:, 0]
    numerator, far = 0, 0.0
    for t, r in enumerate(found.tolist()):
        if t % 500 == 499:
            far = max(far, abs(float(r - 256 * (largest + Fraction(numerator, 4 << (8 * t))))))
        numerator = 255 * numerator + (largest << (8 * (t + 1)))
    assert strategy.rounding(largest) / 20 < far < strategy.rounding(largest)


@each_strategy
def test_the_noise_has_the_covariance_that_the_matrix_says(strategy):
    noise = noise_of(strategy, dimension=40_000, noise_multiplier=3.0, clip_l2=1 << 15)
    totals = np.zeros((24, 40_000), np.int64)
    fresh = np.rint(np.random.default_rng(5).normal(0, noise.fresh_sigma, totals.shape)).astype(np.int64)
    released, _ = run(noise, totals, fresh)
    unit = noise.fresh_sigma / 2.0**strategy.bits
    inverse = np.linalg.inv(dense(strategy))
    found = released @ released.T.astype(float) / 40_000 / unit**2
    expected = inverse @ inverse.T
    assert np.abs(found - expected).max() < 6 * np.sqrt(2 / 40_000) * expected.max()
    prefix = np.sqrt(np.mean(np.cumsum(released, axis=0) ** 2, axis=1)) / unit
    assert prefix == pytest.approx(np.linalg.norm(np.tri(24) @ inverse, axis=1), rel=0.03)


@each_strategy
def test_a_state_that_was_kept_goes_on_bit_for_bit(strategy):
    noise = noise_of(strategy)
    totals, fresh = drawn(noise, 6)
    expected, end = run(noise, totals, fresh)
    state = noise.begin()
    for number in range(24):
        before = {name: array.copy() for name, array in state.items()}
        first, after = noise.release(state, totals[number], fresh[number])
        assert all((state[name] == before[name]).all() for name in state)  # the given state is left alone
        again, state = noise_of(as_strategy(strategy.describe())).release(
            before, totals[number], fresh[number]
        )
        assert (first == again).all() and (first == expected[number]).all()
        assert all((after[name] == state[name]).all() and name in end for name in after)


@each_strategy
def test_what_is_spent_grows_to_what_is_promised(strategy):
    noise = noise_of(strategy, noise_multiplier=1.7)
    spent = [noise.spent_multiplier(t) for t in range(25)]
    assert spent[0] == np.inf and spent[24] == pytest.approx(1.7, rel=1e-12)
    assert spent[1:] == sorted(spent[1:], reverse=True)
    exact = 2.0**strategy.bits * strategy.sensitivity(9) * noise.clip_l2
    slack = 2 * strategy.rounding(LARGEST) * np.sqrt(9 * 5)
    assert noise.sensitivity(9) == pytest.approx(exact + slack, rel=1e-12)
    assert noise.fresh_sigma == pytest.approx(1.7 * noise.sensitivity())


def test_two_runs_that_differ_in_one_client_differ_by_the_sensitivity_at_most():
    random = np.random.default_rng(7)
    for strategy in STRATEGIES.values():
        noise = noise_of(strategy)
        for _ in range(50):
            totals, _ = drawn(noise, random)
            client = np.zeros_like(totals)
            direction = random.normal(size=5)
            for number in (0, 6, 12, 18):
                client[number] = np.trunc(direction * noise.clip_l2 / np.linalg.norm(direction))
            others = totals - client
            keep = np.abs(others).max(0) <= LARGEST
            moved = (encoded(strategy, totals) - encoded(strategy, others))[:, keep]
            assert np.linalg.norm(moved.astype(float)) <= noise.sensitivity()


def test_rounding_costs_a_buffered_strategy_next_to_nothing():
    strategy = optimal(rounds=1000, min_gap=100)
    noise = noise_of(strategy, dimension=10**6, clip_l2=1 << 20, largest=1 << 32)
    assert 0 < noise.rounding_share < 2e-5
    assert noise_of(STRATEGIES["banded"]).rounding_share == 0


def test_rounding_that_costs_much_is_refused():
    with pytest.raises(ConfigurationError, match="rounding would add 7% to the sensitivity; 5% is the most"):
        noise_of(STRATEGIES["coarse blt"], dimension=40_000)
    noise_of(STRATEGIES["blt"], dimension=40_000)


def test_a_state_too_large_is_refused_with_its_size():
    strategy = square_root(rounds=1000, min_gap=100)
    with pytest.raises(ConfigurationError, match=r"7,920,000,000 bytes for 10,000,000 parameters"):
        noise_of(strategy, dimension=10**7)
    noise_of(strategy, dimension=10**7, most_bytes=10**10)
    noise_of(optimal(rounds=1000, min_gap=100), dimension=10**7)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"dimension": 0}, "dimension must be 1 or more"),
        ({"clip_l2": 0}, "clip_l2 must be above 0"),
        ({"clip_l2": float("nan")}, "clip_l2 must be above 0"),
        ({"noise_multiplier": -1.0}, "noise_multiplier must be above 0"),
        ({"noise_multiplier": float("inf")}, "noise_multiplier must be above 0"),
        ({"largest": 1 << 54}, "largest must be 1 to"),
        ({"largest": 0}, "largest must be 1 to"),
        ({"clip_l2": 1 << 40}, r"2\*\*50 is the most. Make the strategy with bits="),
    ],
)
@pytest.mark.parametrize("name", ["banded", "blt"])
def test_settings_that_cannot_work(name, changed, message):
    with pytest.raises(ConfigurationError, match=message):
        noise_of(STRATEGIES[name], **changed)


def test_numbers_that_could_outgrow_64_bits_are_refused_before_the_run():
    with pytest.raises(ConfigurationError, match="outgrow 64 bits"):
        noise_of(STRATEGIES["blt"], largest=1 << 46)
    wide = square_root(rounds=3000, min_gap=3000, bits=30)
    with pytest.raises(ConfigurationError, match="outgrow 64 bits"):
        noise_of(wide, clip_l2=1 << 17, noise_multiplier=4.0)


def test_fewer_bits_are_named_that_do_work():
    with pytest.raises(ConfigurationError, match="with bits=7 instead of 16"):
        noise_of(STRATEGIES["banded"], clip_l2=1 << 41)
    noise_of(square_root(**PROMISE, bits=7), clip_l2=1 << 41)


@each_strategy
def test_sums_and_noise_that_are_not_what_was_said(strategy):
    noise = noise_of(strategy)
    state, zero = noise.begin(), np.zeros(5, np.int64)
    for total, fresh, message in (
        (zero[:4], zero, r"the sum must be int64 of shape \(5,\)"),
        (zero.astype(float), zero, "the sum must be int64"),
        (zero, zero.astype(np.int32), "fresh noise must be int64"),
        (zero, np.zeros((5, 1), np.int64), "fresh noise must be int64"),
        (zero + LARGEST + 1, zero, "beyond 1048576"),
        (zero - LARGEST - 1, zero, "beyond 1048576"),
        (zero, zero + (1 << 62), "fresh noise is beyond"),
        (zero, zero - (1 << 62), "fresh noise is beyond"),
    ):
        with pytest.raises(RoundError, match=message):
            noise.release(state, total, fresh)


def test_noise_that_grows_out_of_hand_stops_the_run_before_it_wraps():
    noise = noise_of(square_root(**PROMISE, bits=0, bands=6))
    zero = np.zeros(5, np.int64)
    assert noise.strategy.numerators[:2] == (1, 0)
    noise = noise_of(square_root(**PROMISE, bits=2, bands=6))
    with pytest.raises(RoundError, match="outgrew 64 bits"):
        noise.release(noise.begin(), zero, zero + (1 << 61))


@each_strategy
def test_no_release_after_the_last(strategy):
    noise = noise_of(strategy)
    _, state = run(noise, *drawn(noise, 8))
    zero = np.zeros(5, np.int64)
    with pytest.raises(RoundError, match="all 24 releases are made"):
        noise.release(state, zero, zero)


def test_states_of_something_else():
    zero = np.zeros(5, np.int64)
    for name, other in (("banded", "blt"), ("blt", "banded"), ("blt", "independent")):
        with pytest.raises(RunError, match="not this strategy's"):
            noise_of(STRATEGIES[name]).release(noise_of(STRATEGIES[other]).begin(), zero, zero)
    noise = noise_of(STRATEGIES["blt"])
    for changed in ({"sums": np.zeros((2, 4))}, {"sums": np.zeros((2, 5), np.float32)}):
        with pytest.raises(RunError, match="not this strategy's: sums"):
            noise.release({**noise.begin(), **changed}, zero, zero)
    with pytest.raises(RunError, match="releases_made"):
        noise.release({**noise.begin(), "releases_made": np.array(-1)}, zero, zero)

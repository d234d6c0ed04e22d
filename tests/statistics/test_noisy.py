"""What statistics with noise are like: unbiased, clamped, near the exact ones, with the stated deviation."""

import math

import numpy as np
import pytest

from hansa import statistics
from hansa.privacy import Noise
from hansa.statistics.noisy_counts import agreed, quantiles_of, rising

RNG = np.random.default_rng(5)
AGES = RNG.normal(50, 12, 4000).clip(1, 99).astype(np.float32)
AGES[::50] = np.nan
PRESENT = AGES[~np.isnan(AGES)].astype(np.float64)
CLIENTS = {str(i): (AGES[i::4, None], np.arange(1000) % 2) for i in range(4)}
BOUNDS = (0, 100)
RUNS = 60


def released(ask, **settings):
    """Return results of many calls, each with other noise."""
    return [ask(Noise(**{"epsilon": 0.5, **settings}, seed=seed)) for seed in range(RUNS)]


def assert_unbiased(values, exact, deviation):
    """Values of shape (runs, numbers), what they would be without noise, and how noisy each is."""
    off = np.array(values, float).reshape(RUNS, -1) - exact
    assert (np.abs(off.mean(axis=0)) < 4 * deviation / math.sqrt(RUNS)).all()
    assert math.sqrt((off**2).mean()) == pytest.approx(deviation, rel=0.5 / math.sqrt(off.shape[1]))


@pytest.mark.parametrize("delta", [0.0, 1e-5])
def test_totals_and_counts_are_unbiased_and_as_noisy_as_stated(delta):
    found = released(lambda noise: statistics.total(CLIENTS, bounds=BOUNDS, privacy=noise), delta=delta)
    assert_unbiased([f["0"] for f in found], PRESENT.sum(), float(found[0].released.deviation[0]))
    assert found[0].count.tolist() == [-1]
    found = released(lambda noise: statistics.count(CLIENTS, privacy=noise), delta=delta)
    deviation = float(found[0].released.deviation[0])
    assert_unbiased([f["0"] for f in found], len(PRESENT), deviation)
    assert_unbiased([f.missing[0] for f in found], 80, deviation)


def test_histograms_and_classes_are_unbiased_and_as_noisy_as_stated():
    edges = [0, 40, 50, 60, 100]
    found = released(lambda noise: statistics.histogram(CLIENTS, edges, privacy=noise))
    exact = [0, *np.histogram(PRESENT, edges)[0], 0, 80]
    told = [[f.below[0], *f["0"], f.above[0], f.missing[0]] for f in found]
    assert_unbiased(told, exact, float(found[0].released.deviation[0]))
    assert min(f.below[0] for f in found) < 0
    found = released(lambda noise: statistics.class_counts(CLIENTS, classes=(0, 1), privacy=noise))
    assert_unbiased(
        [[f[0], f[1], f.other] for f in found], [2000, 2000, 0], float(found[0].released.deviation[0])
    )


def test_means_and_variances_are_near_those_of_all_rows():
    found = released(lambda noise: statistics.mean(CLIENTS, bounds=BOUNDS, privacy=noise))
    values, about = np.array([f["0"] for f in found]), 100 * Noise(epsilon=0.5).deviation(1) / len(PRESENT)
    assert abs(values.mean() - PRESENT.mean()) < 4 * about / math.sqrt(RUNS)
    assert values.std() < about  # a sum and a count, each with half the budget, have about 1.4 times that
    assert abs(np.mean([f.count[0] for f in found]) - len(PRESENT)) < 2
    found = released(lambda noise: statistics.deviation(CLIENTS, bounds=BOUNDS, privacy=noise), epsilon=2.0)
    assert np.mean([f["0"] for f in found]) == pytest.approx(PRESENT.std(), rel=0.02)


@pytest.mark.parametrize("delta", [0.0, 1e-5])
def test_quantiles_are_near_those_of_all_rows(delta):
    at = (0.01, 0.25, 0.5, 0.75, 0.99)
    for settings in ({"delta": delta}, {"delta": delta, "neighbours": "replace"}):
        noise = Noise(epsilon=1.0, seed=1, **settings)
        found = statistics.quantiles(CLIENTS, at, bounds=BOUNDS, privacy=noise)
        off = [abs(np.mean(value >= PRESENT) - q) for value, q in zip(found["0"], at, strict=True)]
        assert max(off) * len(PRESENT) < 60 * float(found.released.deviation[0])
        assert (np.diff(found["0"]) >= 0).all()
        np.testing.assert_allclose(found["0"][1:4], np.quantile(PRESENT, at[1:4]), atol=3)


def test_counts_up_to_a_value_err_as_documented():
    noise = Noise(epsilon=1.0, seed=0)
    drawn = noise.draw(1, 2, 200 * (32 + 1024), "tree").astype(float).reshape(200, -1)
    upto = np.array([np.cumsum(agreed(row[:32], row[32:].reshape(32, 32))) for row in drawn])
    ratio = upto.std(axis=0) / noise.deviation(1, 2)
    assert ratio.max() < 8
    flat = np.cumsum(drawn[:, 32:], axis=1).std(axis=0) / 2  # without parts half the noise would do
    assert flat.max() > 1.5 * upto.std(axis=0).max()


def test_quantiles_of_a_noisy_histogram_never_fall():
    noise = Noise(epsilon=0.05, seed=3)
    found = statistics.histogram(CLIENTS, range(0, 101), privacy=noise)
    assert (found["0"] < 0).any()
    values = found.quantiles("0", np.linspace(0.1, 0.9, 30))
    assert (np.diff(values) >= 0).all()
    assert abs(values[15] - 50) < 10


def test_values_beyond_the_bounds_are_clamped():
    rows = [[-1e30], [5.0], [1e30], [math.nan]]
    clients = {"a": (rows, [0] * 4), "b": ([[2.0]], [0])}
    noise = Noise(epsilon=1e6)
    assert statistics.total(clients, bounds=(0, 10), privacy=noise)["0"] == pytest.approx(17, abs=1e-3)
    assert statistics.mean(clients, bounds=(0, 10), privacy=noise)["0"] == pytest.approx(17 / 4, abs=1e-3)
    expected = np.var([0, 5, 10, 2], ddof=1)
    assert statistics.variance(clients, bounds=(0, 10), privacy=noise)["0"] == pytest.approx(
        expected, rel=1e-3
    )
    values = statistics.quantiles(clients, (0, 1), bounds=(0, 10), privacy=noise)["0"]
    assert values == pytest.approx([0, 10], abs=0.02)


def test_a_client_without_values_changes_nothing():
    rows = {"a": ([[1.0], [3.0]], [0, 1]), "b": ([[5.0]], [0])}
    empty = {**rows, "c": ([[math.nan]], [0])}
    noise = Noise(epsilon=1e6, neighbours="replace")
    for held in (rows, empty):
        assert statistics.mean(held, bounds=BOUNDS, privacy=noise)["0"] == pytest.approx(3, abs=1e-3)
        assert statistics.count(held, privacy=noise)["0"] == 3
    assert statistics.count(empty, privacy=noise).rows == 4  # which replace holds to be known


def test_results_are_within_the_bounds_or_nothing_however_strong_the_noise():
    clients = {"a": ([[1.0]], [0]), "b": ([[2.0]], [1])}
    nothing = 0
    for seed in range(60):
        noise = Noise(epsilon=0.01, seed=seed)
        for value in (
            statistics.mean(clients, bounds=(1, 2), privacy=noise)["0"],
            float(statistics.quantiles(clients, 0.5, bounds=(1, 2), privacy=noise)["0"][0]),
        ):
            nothing += math.isnan(value)
            assert math.isnan(value) or 1 <= value <= 2
        spread = statistics.deviation(clients, bounds=(1, 2), privacy=noise)["0"]
        assert math.isnan(spread) or spread >= 0
    assert 0 < nothing < 120


def test_the_rows_of_several_columns_share_the_budget():
    one = statistics.total(CLIENTS, bounds=BOUNDS, privacy=Noise(epsilon=1.0)).released
    wide = {name: (np.repeat(x, 4, axis=1), y) for name, (x, y) in CLIENTS.items()}
    four = statistics.total(wide, bounds=BOUNDS, privacy=Noise(epsilon=1.0)).released
    gauss = statistics.total(wide, bounds=BOUNDS, privacy=Noise(epsilon=1.0, delta=1e-5)).released
    alone = statistics.total(CLIENTS, bounds=BOUNDS, privacy=Noise(epsilon=1.0, delta=1e-5)).released
    assert four.deviation[0] == pytest.approx(4 * one.deviation[0])
    assert gauss.deviation[0] == pytest.approx(2 * alone.deviation[0])


def test_rising_is_the_nearest_that_does_not_fall():
    values = RNG.normal(5, 1, 60)
    found = rising(values)
    assert (np.diff(found) >= 0).all()
    for _ in range(200):
        other = np.sort(found + RNG.normal(0, 0.3, 60))
        assert ((other - values) ** 2).sum() >= ((found - values) ** 2).sum()
    assert rising(np.array([-3.0, -1.0])).tolist() == [0, 0]


def test_agreed_counts_add_up_and_are_the_least_squares():
    coarse, fine = RNG.normal(100, 5, 3), RNG.normal(25, 5, (3, 4))
    design = np.vstack([np.kron(np.eye(3), np.ones(4)), np.eye(12)])
    best = np.linalg.lstsq(design, np.concatenate([coarse, fine.reshape(-1)]), rcond=None)[0]
    np.testing.assert_allclose(agreed(coarse, fine), best)


def test_quantiles_of_exact_counts_are_those_within_a_bucket():
    edges = np.linspace(0, 100, 1025)
    upto = np.cumsum(np.histogram(PRESENT, edges)[0]).astype(float)
    at = (0.1, 0.5, 0.9)
    np.testing.assert_allclose(quantiles_of(upto, edges, at), np.quantile(PRESENT, at), atol=0.2)
    assert np.isnan(quantiles_of(np.zeros(1024), edges, at)).all()

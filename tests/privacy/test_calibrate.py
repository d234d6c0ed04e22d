import math

import pytest

from hansa.errors import ConfigurationError
from hansa.privacy import calibrate
from hansa.privacy.accountant import spent
from hansa.privacy.calibrate import adaptive_split, gaussian_sigma, noise_multiplier, rounds
from hansa.privacy.events import FixedSampled, Gaussian, PoissonSampled, Repeated, Skellam

BUDGET = {"delta": 1e-5, "neighbours": "zero-out"}


def gaussian(z):
    return Gaussian(noise_multiplier=z)


def poisson(z, count=1000, **cap):
    return Repeated(event=PoissonSampled(rate=0.01, event=gaussian(z), **cap), count=count)


@pytest.mark.parametrize(
    ("epsilon", "expected", "tolerance"),
    [
        pytest.param(1, 1.41464, 2e-5, marks=pytest.mark.slow),
        (2, 0.95911, 2e-5),
        # The page's was found on a grid ten times as wide; on ours it is 0.586261.
        pytest.param(8, 0.58636, 1.5e-4, marks=pytest.mark.slow),
    ],
)
def test_calibrated_noise(epsilon, expected, tolerance):
    z = noise_multiplier(poisson, epsilon=epsilon, **BUDGET)
    assert z == pytest.approx(expected, abs=tolerance)
    assert epsilon * (1 - 2e-4) < spent(poisson(z), **BUDGET).epsilon <= epsilon


def test_what_was_calibrated_is_remembered_and_told():
    lines = []

    def run(z):
        return Repeated(event=gaussian(z), count=7)

    z = noise_multiplier(run, epsilon=1.5, progress=lines.append, **BUDGET)
    assert "1.5" in lines[0]
    lines.clear()
    assert noise_multiplier(run, epsilon=1.5, progress=lines.append, **BUDGET) == z
    assert len(lines) <= 1


def test_families_that_agree_in_two_points_are_not_confused():
    def straight(z):
        return gaussian(z)

    def bent(z):
        return gaussian(z if z in {1.0, 2.0} else 2 * z)

    assert noise_multiplier(straight, epsilon=1.0, **BUDGET) == pytest.approx(3.73064, rel=2e-5)
    assert noise_multiplier(bent, epsilon=1.0, **BUDGET) == pytest.approx(3.73064 / 2, rel=2e-5)


@pytest.mark.parametrize(
    "mechanism", ["skellam", *(pytest.param(name, marks=pytest.mark.slow) for name in ("replaced", "fixed"))]
)
def test_other_mechanisms_and_relations(mechanism):
    def skellam(z):
        return Repeated(
            event=PoissonSampled(rate=0.1, event=Skellam(variance=(1e4 * z) ** 2, l2=1e4, l1=1e7)), count=9
        )

    def fixed(z):
        return Repeated(event=FixedSampled(population=3500, size=35, event=gaussian(z)), count=10)

    def replaced(z):
        return poisson(z, 20)

    run = {"skellam": skellam, "fixed": fixed, "replaced": replaced}[mechanism]
    neighbours = "zero-out" if mechanism == "skellam" else "replace"
    z = noise_multiplier(run, epsilon=2.0, delta=1e-5, neighbours=neighbours)
    assert 1.99 < spent(run(z), delta=1e-5, neighbours=neighbours).epsilon <= 2.0


@pytest.mark.parametrize("epsilon", [0, -1, math.nan, math.inf])
def test_budgets_that_are_none(epsilon):
    for ask in (noise_multiplier, rounds):
        with pytest.raises(ConfigurationError, match="epsilon must be a finite number above 0"):
            ask(lambda _: gaussian(1.0), epsilon=epsilon, **BUDGET)
    with pytest.raises(ConfigurationError, match="epsilon must be"):
        gaussian_sigma(epsilon=epsilon, delta=1e-5)


def test_budgets_that_no_noise_meets():
    with pytest.raises(ConfigurationError, match="no noise multiplier up to"):
        noise_multiplier(lambda z: gaussian(min(z, 5.0)), epsilon=0.1, **BUDGET)
    with pytest.raises(ConfigurationError, match="no protection"):
        noise_multiplier(gaussian, epsilon=1e6, **BUDGET)


def test_rounds_within_a_budget():
    found = rounds(lambda count: poisson(1.0, count), epsilon=1.82825, **BUDGET)
    assert found == 1000
    assert rounds(lambda count: Repeated(event=gaussian(10), count=count), epsilon=2.9433, **BUDGET) == 50
    assert rounds(lambda count: Repeated(event=gaussian(1), count=count), epsilon=1.0, **BUDGET) == 0
    with pytest.raises(ConfigurationError, match="nothing limits them"):
        rounds(lambda _: gaussian(10), epsilon=1.0, **BUDGET)


@pytest.mark.parametrize("epsilon", [0.1, 1.0, 10.0])
def test_one_local_release(epsilon):
    sigma = gaussian_sigma(epsilon=epsilon, delta=1e-6)
    assert 0.9999 * epsilon < spent(gaussian(sigma), delta=1e-6, neighbours="zero-out").epsilon <= epsilon
    if epsilon <= 1:  # the classical formula needs more
        assert sigma < math.sqrt(2 * math.log(1.25 / 1e-6)) / epsilon


@pytest.mark.parametrize(("z", "cohort", "expected"), [(1.0, 20, 1.154701), (0.5, 50, 0.502519)])
def test_adaptive_split(z, cohort, expected):
    split = adaptive_split(z, cohort / 20)
    assert split == pytest.approx(expected, abs=1e-6)
    both = (split**-2 + (2 * cohort / 20) ** -2) ** -0.5
    assert both == pytest.approx(z, rel=1e-12)


def test_adaptive_splits_that_cannot_be():
    with pytest.raises(ConfigurationError, match="clipped bits alone"):
        adaptive_split(2.0, 1.0)
    with pytest.raises(ConfigurationError, match="bit_noise must be greater than 0"):
        adaptive_split(2.0, 0.0)
    with pytest.raises(ConfigurationError, match="noise_multiplier must be"):
        adaptive_split(math.nan, 1.0)


def test_values_are_rounded_up():
    for x in (0.0312345678, 1.0, 1.23456789, 98765.4321, 123456.7):
        up = calibrate._round_up(x)
        assert x * (1 - 1e-11) <= up <= x * (1 + 1.1e-5)

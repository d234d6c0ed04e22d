from __future__ import annotations

import math
from fractions import Fraction

import mpmath
import numpy as np
import pytest
from scipy.special import ndtr
from scipy.stats import skellam as law_of

from hansa.errors import ConfigurationError
from hansa.privacy.noise import skellam
from hansa.privacy.noise.bessel import ratios, scaled
from hansa.privacy.noise.skellam import LargeSkellam, SmallSkellam
from hansa.privacy.noise.strips import strips
from noise_checks import exactly, source, unlikely


def probabilities(variance, edges):
    """Of the bins between edges, by SciPy's Bessel functions: for bins that are not wide."""
    reach = int(12 * math.sqrt(variance)) + 30
    numbers = np.arange(-reach, reach + 1)
    mass = law_of.pmf(numbers, variance / 2, variance / 2)
    return np.bincount(np.searchsorted(edges, numbers, side="right"), mass, len(edges) + 1)


@pytest.mark.parametrize("variance", [0.01, 0.5, 1.0, 7.3, 100.0, 2000.0, 16383.9, 16384.0, 50_000.0])
def test_noise_follows_its_law(variance):
    width = max(1, int(math.sqrt(variance) / 8))
    edges = width * np.arange(-40, 42)
    values = skellam(variance, 300_000, source(11))
    assert unlikely(values, edges, probabilities(variance, edges)) > 1e-3


@pytest.mark.parametrize("variance", [2.0**40, 2.0**81, 2.0**100])
def test_large_noise_is_as_good_as_gaussian(variance):
    """With these variances a bin's probability differs from a Gaussian's by less than 1 in 10^11."""
    sigma = math.sqrt(variance)
    edges = int(sigma / 8) * np.arange(-40, 42)
    below = np.concatenate([[0.0], ndtr(edges / sigma), [1.0]])
    values = skellam(variance, 300_000, source(12))
    assert unlikely(values, edges, np.diff(below)) > 1e-3
    assert unlikely(values & 63, np.arange(1, 64), np.full(64, 1 / 64)) > 1e-3


@pytest.mark.parametrize("variance", [0.3, 40.0, 30_000.0, 2.0**60])
def test_moments_are_those_of_the_law(variance):
    values = skellam(variance, 400_000, source(13)) / math.sqrt(variance)
    fourth = 3 + 1 / variance
    assert abs(values.mean()) < 4 / math.sqrt(400_000)
    assert abs(values.var() - 1) < 4 * math.sqrt((fourth - 1) / 400_000)
    assert abs((values**4).mean() / fourth - 1) < 0.05


@pytest.mark.parametrize(("total", "parties"), [(2.0, 10), (300.0, 3), (100_000.0, 5)])
def test_shares_add_up_to_noise_of_the_total(total, parties):
    share = Fraction(total) / parties
    assert share * parties == total
    values = sum(skellam(share, 200_000, source(100 + party)) for party in range(parties))
    edges = max(1, int(math.sqrt(total) / 8)) * np.arange(-40, 42)
    assert unlikely(values, edges, probabilities(total, edges)) > 1e-3


@pytest.mark.parametrize("variance", [2.0**-5, 1.0, 300.0, 20_000.0, 2.0**45, 2.0**100])
def test_exact_decisions_are_those_of_floating_point(monkeypatch, variance):
    usual, exact = exactly(monkeypatch, skellam, variance, 300, number=14)
    assert (usual == exact).all()


@pytest.mark.parametrize(
    "variance", [2**14, 2.0**14 * 1.7, 2.0**15 - 1, Fraction(10**6, 3), 2.0**40, 2.0**100]
)
def test_the_log_density_is_within_its_bound(variance):
    law = LargeSkellam(Fraction(variance))
    last = (law.blocks + 1) * 2.0**law.width_bits
    assert last**2 / law.variance <= 90
    places = np.unique(np.concatenate([np.arange(5.0), np.rint(np.linspace(0, last, 60))]))
    for place, found in zip(places, law.log_density(places.copy()), strict=True):
        low, high = law.density(Fraction(place), 300)
        assert 0 < high - low <= 4
        assert abs(math.log(low) - 300 * math.log(2) - found) < 2.0**-43


@pytest.mark.parametrize("variance", [2**14, 20_001])
def test_brackets_of_hankel_are_around_the_bessel_function(variance):
    for order in (0, 1, 3 * math.isqrt(variance), 20 * math.isqrt(variance)):
        with mpmath.workprec(700):
            true = (
                mpmath.besseli(order, variance)
                * mpmath.exp(-variance)
                * mpmath.sqrt(2 * mpmath.pi * variance)
            )
            for bits in (100, 400):
                low, high = scaled(order, Fraction(variance), bits)
                assert low <= true * mpmath.mpf(2) ** bits <= high <= low + 4


@pytest.mark.parametrize(
    "variance", [Fraction(1, 2**80), Fraction(1, 3), Fraction(1), Fraction(77), Fraction(16383)]
)
def test_brackets_of_ratios_are_around_the_bessel_functions(variance):
    with mpmath.workprec(900):
        argument = mpmath.mpf(variance.numerator) / variance.denominator
        zero = mpmath.besseli(0, argument)
        for bits in (100, 300, 700):
            found = ratios(variance, 60, bits)
            for order in (0, 1, 2, 9, 60):
                low, high = found[order]
                assert (
                    low
                    <= mpmath.besseli(order, argument) / zero * mpmath.mpf(2) ** bits
                    <= high
                    <= low + 2**14
                )


def test_the_two_ways_meet():
    """At the variance where one ends and the other begins both say the same."""
    variance = Fraction(2**14)
    one, other = SmallSkellam(variance), LargeSkellam(variance)
    zero = Fraction(*other.density(Fraction(0), 300)[:1])
    for number in (1, 100, 500, 1000):
        first = Fraction(one.density(Fraction(number), 300)[0], 2**300)
        assert abs(Fraction(other.density(Fraction(number), 300)[0]) / zero / first - 1) < 2.0**-150
    assert other.log_density(np.array([500.0]))[0] - other.log_density(np.array([0.0]))[0] == pytest.approx(
        one.log_density(np.array([500.0]))[0], abs=1e-12
    )


@pytest.mark.parametrize("variance", [2.0**-80, 0.01, 1.0, 500.0, 16383.0, 16384.0, 1e9])
def test_a_hat_is_above_the_density(variance):
    law = SmallSkellam(Fraction(variance)) if variance < 2**14 else LargeSkellam(Fraction(variance))
    hat = strips(law)
    for block in range(0, law.blocks + 1, max(1, law.blocks // 40)):
        _, high = law.density(Fraction(block << law.width_bits), 256)
        if law.width_bits == 0 == block:
            high = high // 2 + 1
        share = Fraction(hat.counts[block], 64 if block == law.blocks else 1)
        assert share >= Fraction(high, 2**256) * hat.per_density


@pytest.mark.parametrize("variance", [0, 0.0, -1.0, math.nan, math.inf, 2.0**101, 2.0**-81, "1", None, True])
def test_other_variances_are_refused(variance):
    with pytest.raises(ConfigurationError, match="the variance of noise must be a number"):
        skellam(variance, 3, source(15))


def test_a_tiny_variance_is_nearly_always_zero():
    assert not skellam(2.0**-80, 10_000, source(16)).any()
    assert skellam(Fraction(1, 3), 0, source(16)).shape == (0,)

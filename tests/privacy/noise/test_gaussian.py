from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest
from scipy.special import ndtr

from hansa.errors import ConfigurationError
from hansa.privacy.noise import rounded_gaussian
from hansa.privacy.noise.gaussian import Gaussian
from noise_checks import exactly, source, unlikely


def bins(sigma, width):
    """Edges every ``width`` whole numbers and the probabilities between."""
    edges = width * np.arange(-40, 42)
    below = ndtr((edges - 0.5) / sigma)
    middle = np.where(
        edges[1:] > 0, ndtr(-(edges[:-1] - 0.5) / sigma) - ndtr(-(edges[1:] - 0.5) / sigma), np.diff(below)
    )
    return edges, np.concatenate([below[:1], middle, 1 - below[-1:]])


@pytest.mark.parametrize("sigma", [0.2, 0.5, 1.0, 1.7, 3.9, 7.99])
def test_small_noise_follows_its_law(sigma):
    values = rounded_gaussian(sigma, 300_000, source(1))
    assert unlikely(values, *bins(sigma, 1)) > 1e-3


@pytest.mark.parametrize("sigma", [8.0, 100.0, 31_234.5, 2.0**20 * 1.4, 2.0**45 * 1.1, 2.0**50])
def test_large_noise_follows_its_law(sigma):
    values = rounded_gaussian(sigma, 300_000, source(2))
    assert unlikely(values, *bins(sigma, int(sigma / 7))) > 1e-3


def test_low_bits_of_large_noise_are_uniform():
    values = rounded_gaussian(2.0**45, 100_000, source(3)) & 63
    assert unlikely(values, np.arange(1, 64), np.full(64, 1 / 64)) > 1e-3


@pytest.mark.parametrize("sigma", [1.0, 12.5, 2.0**30])
def test_moments_are_those_of_the_law(sigma):
    values = rounded_gaussian(sigma, 400_000, source(4)) / sigma
    variance = 1 + 1 / (12 * sigma**2)  # of the rounding; Sheppard's correction
    assert abs(values.mean()) < 4 * math.sqrt(variance / 400_000)
    assert abs(values.var() - variance) < 4 * math.sqrt(2 / 400_000)
    assert abs((values**3).mean()) < 4 * math.sqrt(15 * variance**3 / 400_000)
    assert abs((values**4).mean() / values.var() ** 2 - 3) < 0.05


def test_tiny_noise_is_zero():
    assert not rounded_gaussian(2.0**-10, 10_000, source(5)).any()
    assert not rounded_gaussian(2.0**-40, 10_000, source(5)).any()


@pytest.mark.parametrize("sigma", [2.0**-3, 0.4, 1.0, 5.0, 77.7, 2.0**45])
def test_exact_decisions_are_those_of_floating_point(monkeypatch, sigma):
    usual, exact = exactly(monkeypatch, rounded_gaussian, sigma, 400, number=6)
    assert (usual == exact).all()


@pytest.mark.parametrize("sigma", [2.0**-40, 0.3, 1.0, 1234.567, 2.0**50, np.nextafter(2.0**30, 0)])
def test_the_log_density_is_within_its_bound(sigma):
    law = Gaussian(Fraction(sigma))
    generator = np.random.default_rng(0)
    places = generator.uniform(0, law.blocks + 1, 200) * 2.0**law.width_bits
    found = law.log_density(places.copy())
    for place, log_density in zip(places, found, strict=True):
        low, high = law.density(Fraction(place), 400)
        true = math.log(low) - 400 * math.log(2)
        assert high - low < low >> 100
        assert abs(true - log_density) < 2.0**-42


@pytest.mark.parametrize(
    "sigma", [0.0, -1.0, math.nan, math.inf, -math.inf, 2.0**51, 2.0**-41, 10**400, "1", None, True, 1j]
)
def test_other_sigmas_are_refused(sigma):
    with pytest.raises(ConfigurationError, match="the sigma of noise must be a number"):
        rounded_gaussian(sigma, 3, source(7))


def test_numbers_of_other_kinds_are_taken():
    expected = rounded_gaussian(2.0, 50, source(8))
    for sigma in (2, Fraction(2), np.float32(2), np.float64(2), np.longdouble(2), np.int64(2)):
        assert (rounded_gaussian(sigma, 50, source(8)) == expected).all()

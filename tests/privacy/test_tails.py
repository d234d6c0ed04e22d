"""How long noise can be: the bounds that a client's norm is proven against."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import chi2, skellam

from hansa.privacy import DistributedDP, Facts, LocalDP
from hansa.privacy.noise import rounded_gaussian
from hansa.privacy.noise import skellam as draw_skellam
from hansa.privacy.tails import NATS, gaussian_norm, skellam_norm
from noise_checks import source


def chance_above(variance, size, norm):
    """The chance that Skellam noise is longer, summed over all values that squares have."""
    values = np.arange(int(13 * variance**0.5 + 250))
    chances = skellam.pmf(values, variance / 2, variance / 2) * np.where(values, 2, 1)
    behind = np.append(np.cumsum(chances[::-1])[::-1], 0.0)  # of a magnitude of at least so much
    inside, above = np.zeros(norm * norm + 1), 0.0
    inside[0] = 1
    for _ in range(size):
        there = np.flatnonzero(inside)
        needed = np.sqrt(norm * norm - there).astype(int) + 1
        above += float((inside[there] * behind[np.minimum(needed, len(behind) - 1)]).sum())
        more = np.zeros_like(inside)
        for value in range(min(len(values), norm + 1)):
            more[value * value :] += chances[value] * inside[: len(inside) - value * value]
        inside = more
    return above


@pytest.mark.parametrize("size", [1, 2, 5, 20])
@pytest.mark.parametrize("variance", [0.01, 1.0, 9.0])
def test_the_exact_tail_of_skellam_noise_is_within_its_bound(variance, size):
    for nats in (1.0, 4.0, 12.0, NATS):
        norm = skellam_norm(variance, size, nats)
        assert 0 <= chance_above(variance, size, norm) <= math.exp(-nats)


@pytest.mark.parametrize("size", [1, 10, 1000, 10**6])
def test_the_tail_of_gaussian_noise_is_within_its_bound(size):
    """Rounding moves a vector by at most √d / 2: what is left is a chi-square tail."""
    for sigma in (0.5, 30.0, 1e5):
        for nats in (1.0, 12.0, NATS):
            left = (gaussian_norm(sigma, size, nats) - math.sqrt(size) / 2) / sigma
            assert chi2.logsf(left**2, size) <= -nats


@pytest.mark.parametrize("sigma", [3.0, 1000.0])
@pytest.mark.parametrize("size", [64, 10_000])
def test_bounds_are_near_to_what_noise_is(sigma, size):
    """A bound that is twice as large would leave a cheater twice as much."""
    drawn = {
        gaussian_norm(sigma, size): rounded_gaussian(sigma, size, source(1)),
        skellam_norm(sigma**2, size): draw_skellam(sigma**2, size, source(2)),
    }
    for bound, noise in drawn.items():
        found = float(np.linalg.norm(noise))
        assert found < bound < found + 14 * sigma + math.sqrt(size) / 2 + 40


@given(
    sigma=st.floats(1e-6, 1e6), size=st.integers(1, 10**8), nats=st.floats(0.1, 100.0), more=st.floats(1, 10)
)
def test_bounds_grow_with_all_they_depend_on(sigma, size, nats, more):
    for bound in (gaussian_norm, lambda s, *rest: skellam_norm(s * s, *rest)):
        least = bound(sigma, size, nats)
        assert least >= 1
        assert bound(more * sigma, size, nats) >= least
        assert bound(sigma, 2 * size, nats) >= least
        assert bound(sigma, size, more * nats) >= least


def test_plans_tell_the_bound_of_the_law_they_draw_from():
    facts = Facts(population=10, size=1000, bound=500, fewest=4, taken=(1,))
    local = LocalDP(rounds=1, noise_multiplier=2.0).bound(facts)
    assert local.noise_norm == gaussian_norm(1000.0, 1000)
    shared = DistributedDP(rounds=1, noise_multiplier=2.0).bound(facts)
    assert shared.noise_norm == skellam_norm(1000.0**2 / 4, 1000)
    alone = DistributedDP(rounds=1, noise_multiplier=2.0, corrupt=3).bound(facts)
    assert alone.noise_norm == skellam_norm(1000.0**2, 1000)  # the others' shares make up for three
    assert LocalDP(rounds=1, noise_multiplier=2.0).noise_norm == 0  # of no run yet
    assert DistributedDP(rounds=1, noise_multiplier=2.0).noise_norm == 0


def test_the_chance_that_an_honest_client_abstains_is_below_2_to_the_minus_64():
    """Its noise is too long, or one value is beyond what a client may add (Bernstein for Skellam noise)."""
    long = math.exp(-NATS)
    for sigma in (0.01, 1.0, 13.0, 1e3, 1e6):
        facts = Facts(population=10, size=1000, bound=1000, fewest=1, taken=(1,))
        plan = DistributedDP(rounds=1, noise_multiplier=sigma / 1000).bound(facts)
        most = plan.largest_noise
        beyond = 2 * math.exp(-(most**2) / (2 * (plan.share + most / 3)))
        assert long + 10**8 * beyond < 2.0**-64

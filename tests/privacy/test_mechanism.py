import math
from fractions import Fraction

import numpy as np
import pytest
from scipy.stats import norm

from hansa.errors import ConfigurationError, UnknownNameError
from hansa.privacy import Noise
from hansa.privacy.accountant import spent
from hansa.privacy.events import Laplace, Repeated, read_event
from noise_checks import unlikely

RELATIONS = pytest.mark.parametrize("neighbours", ["add/remove", "zero-out", "replace"])
DELTAS = pytest.mark.parametrize("delta", [0.0, 1e-6])


@DELTAS
def test_noise_grows_with_one_over_epsilon_and_with_sensitivity_unlike_what_tutorials_draw(delta):
    epsilons = (0.1, 0.5, 1.0, 4.0)
    ours = [Noise(epsilon=epsilon, delta=delta).deviation(1000) for epsilon in epsilons]
    assert ours == sorted(ours, reverse=True)
    assert ours[0] > 5 * ours[2]
    of_tutorials = [math.sqrt(2) * epsilon / 1e-5 for epsilon in epsilons]  # laplace(scale=epsilon / delta)
    assert of_tutorials == sorted(of_tutorials)
    noise = Noise(epsilon=0.5, delta=delta)
    assert noise.deviation(3000) == pytest.approx(3 * noise.deviation(1000), rel=1e-6)


def test_a_scale_is_exactly_sensitivity_over_epsilon():
    assert Noise(epsilon=0.1).scale(3, parts=4) == Fraction(12) / Fraction(0.1)


@RELATIONS
@DELTAS
def test_the_event_costs_what_was_asked(neighbours, delta):
    for epsilon in (0.1, 0.3, 1.0, 49.0):
        noise = Noise(epsilon=epsilon, delta=delta, neighbours=neighbours)
        how = "exact" if delta else "sum"
        price = spent(noise.event, delta=delta or 1e-9, neighbours=neighbours, accountant=how)
        assert price.epsilon <= epsilon * (1 + 1e-12)
        assert price.epsilon == pytest.approx(epsilon, rel=1e-3 if delta else 1e-12)


def test_noise_for_one_relation_costs_twice_under_replace():
    event = Noise(epsilon=0.5).event
    assert spent(event, delta=1e-9, neighbours="replace", accountant="sum").epsilon == 1.0


def test_discrete_noise_is_charged_as_the_worst_of_its_epsilon():
    # A count with noise of scale 1/epsilon tells a bit with odds e^epsilon: continuous noise is not as bad.
    epsilon, delta = 1.0, 1e-5
    several = spent(
        Noise(epsilon=epsilon).event, delta=delta, neighbours="add/remove", accountant="pld"
    ).epsilon
    yes = math.exp(epsilon) / (1 + math.exp(epsilon))
    assert several == pytest.approx(math.log((yes - delta) / (1 - yes)), abs=1e-3)


def test_laplace_noise_has_its_distribution():
    noise = Noise(epsilon=0.5, seed=1)
    drawn = noise.draw(2, 3, 40_000, "law")
    q, edges = math.exp(-0.5 / 6), np.arange(-60, 61)
    each = (1 - q) / (1 + q) * q ** np.abs(edges[:-1])
    probabilities = np.concatenate([[q**61 / (1 + q)], each, [q**60 / (1 + q)]])
    assert unlikely(drawn, edges, probabilities) > 1e-3
    assert drawn.std() == pytest.approx(noise.deviation(2, 3), rel=0.02)


def test_gaussian_noise_has_its_distribution():
    noise = Noise(epsilon=0.5, delta=1e-5, seed=2)
    drawn = noise.draw(1, 4, 40_000, "law")
    sigma = float(noise.scale(1, 4))
    edges = np.arange(-40, 41, 4) - 0.5
    assert unlikely(drawn, edges, np.diff([0, *norm.cdf(edges / sigma), 1])) > 1e-3
    assert drawn.std() == pytest.approx(noise.deviation(1, 4), rel=0.02)


def test_noise_is_fresh_unless_it_follows_a_seed():
    noise, seeded = Noise(epsilon=1e-3), Noise(epsilon=1e-3, seed=7)
    assert noise.draw(1, 1, 50, "a").tolist() != noise.draw(1, 1, 50, "a").tolist()
    assert seeded.draw(1, 1, 50, "a").tolist() == seeded.draw(1, 1, 50, "a").tolist()
    assert seeded.draw(1, 1, 50, "a").tolist() != seeded.draw(1, 1, 50, "b").tolist()
    assert 7 not in seeded.describe().values()


@pytest.mark.parametrize(
    "wrong",
    [
        *({"epsilon": epsilon} for epsilon in (0, -1, math.inf, math.nan, "1", True, None)),
        *({"epsilon": 1.0, "delta": delta} for delta in (-1e-9, 1, math.nan, "0", None)),
        *({"epsilon": 1.0, "seed": seed} for seed in (-1, 0.5, 1 << 256)),
    ],
)
def test_bad_declarations_are_refused(wrong):
    with pytest.raises(ConfigurationError, match="Noise"):
        Noise(**wrong)


def test_units_and_relations_that_are_not_there_are_refused():
    with pytest.raises(UnknownNameError, match="record"):
        Noise(epsilon=1.0, protects="client")
    with pytest.raises(UnknownNameError, match="add/remove"):
        Noise(epsilon=1.0, neighbours="swap")


@RELATIONS
def test_many_releases_compose_below_the_sum_and_are_read_back(neighbours):
    event = Repeated(event=Noise(epsilon=0.1, neighbours=neighbours).event, count=50)
    assert read_event(event.describe()) == event
    price = {
        how: spent(event, delta=1e-6, neighbours=neighbours, accountant=how).epsilon
        for how in ("pld", "rdp", "sum")
    }
    assert price["pld"] <= price["rdp"] <= price["sum"] * 1.01
    assert price["sum"] == pytest.approx(5.0)
    continuous = Repeated(event=Laplace(noise_multiplier=10 * (1 + (neighbours == "replace"))), count=50)
    assert spent(continuous, delta=1e-6, neighbours=neighbours).epsilon < price["pld"]  # which is too little

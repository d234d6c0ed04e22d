from __future__ import annotations

from fractions import Fraction

import mpmath
import numpy as np
import pytest
from scipy.special import ndtr
from scipy.stats import binom

from hansa.errors import ConfigurationError
from hansa.privacy.noise import rejection, rounded_gaussian
from hansa.privacy.noise.gaussian import Gaussian
from hansa.privacy.noise.laplace import Laplace
from hansa.privacy.noise.law import exponent_of
from hansa.privacy.noise.skellam import LargeSkellam, SmallSkellam
from hansa.privacy.noise.source import words
from hansa.privacy.noise.strips import LEVEL_BITS, SIGN_BIT, strips
from noise_checks import source, unlikely


def test_the_same_key_gives_the_same_values_and_another_others():
    one, same, other = (rounded_gaussian(100.0, 1000, source(n)) for n in (1, 1, 2))
    assert (one == same).all()
    assert (one != other).any()


def test_one_source_gives_new_values_each_time():
    stream = source(3)
    assert (rounded_gaussian(100.0, 1000, stream) != rounded_gaussian(100.0, 1000, stream)).any()


@pytest.mark.parametrize("chunk", [2, 98, 1 << 16])
def test_the_chunk_does_not_change_what_is_drawn(monkeypatch, chunk):
    usual = rounded_gaussian(10.0, 1000, source(4))
    monkeypatch.setattr(rejection, "CHUNK", chunk)
    assert (rounded_gaussian(10.0, 1000, source(4)) == usual).all()


def test_as_many_random_bytes_are_taken_whatever_comes(monkeypatch):
    asked, read, words = [], [], rejection.words

    def counted(size):
        asked.append(size)
        return key(size)

    monkeypatch.setattr(rejection, "words", lambda *a: (read.append(a[2]), words(*a))[1])
    seen = set()
    for number in range(20):
        key = source(number)
        asked.clear()
        read.clear()
        rounded_gaussian(3.0, 20_000, counted)
        seen.add((tuple(asked), tuple(read)))
    assert len(seen) == 1
    ((asked_once, read_once),) = seen
    assert asked_once == (32,)
    assert sum(read_once) == 3 * rejection.proposals(20_000, strips(Gaussian(Fraction(3))).acceptance)


@pytest.mark.parametrize("size", [1, 2, 10, 1000, 10**6])
@pytest.mark.parametrize("acceptance", [0.5, 0.97, 0.999999])
def test_proposals_suffice_but_once_in_2_to_60(size, acceptance):
    count = rejection.proposals(size, acceptance)
    assert binom.logcdf(size - 1, count, acceptance) < -60 * np.log(2) + 1e-9
    assert count < size / acceptance + 14 * np.sqrt(size / acceptance) + 70


LAWS = [
    *(Gaussian(Fraction(sigma)) for sigma in (0.25, 1.99, 1e6)),
    *(SmallSkellam(Fraction(variance)) for variance in (0.01, 3, 16000)),
    *(LargeSkellam(Fraction(variance)) for variance in (2**14, 2**15 - 1, 2**90)),
    *(Laplace(Fraction(scale)) for scale in (0.1, 31.9, 32, 63.9, 1e9)),
]


@pytest.mark.parametrize("law", LAWS)
def test_as_many_proposals_are_accepted_as_is_said(law):
    hat = strips(law)
    drawn = words(rejection.new_key(source(10)), 0, 3 << 17).reshape(-1, 3)
    _, accepted, _ = rejection._proposed(hat, drawn)
    rate = accepted.mean()
    assert hat.acceptance > 0.95 or hat.law.blocks < 10
    assert hat.acceptance < rate + 3 * np.sqrt(rate * (1 - rate) / len(drawn)) < hat.acceptance + 0.006


def test_a_shortfall_draws_again(monkeypatch):
    monkeypatch.setattr(rejection, "proposals", lambda size, acceptance: size)
    keys = []

    def counted(size):
        keys.append(size)
        return stream(size)

    stream = source(5)
    values = rounded_gaussian(1.0, 1000, counted)
    assert len(keys) > 1
    assert abs(values.std() - np.sqrt(1 + 1 / 12)) < 0.1


@pytest.mark.parametrize("sigma", [0.3, 1.0, 5.0, 1e6])
def test_a_hat_has_the_counts_it_says(sigma):
    hat = strips(Gaussian(Fraction(sigma)))
    columns, full = len(hat.gaps), 1 << LEVEL_BITS
    found = [0] * columns
    for column in range(columns):
        threshold = int(hat.thresholds[column])
        found[column] += threshold
        found[column - int(hat.gaps[column])] += full - threshold
    assert found[: len(hat.counts)] == list(hat.counts)
    assert not any(found[len(hat.counts) :])
    assert sum(hat.counts) == columns * full


@pytest.mark.parametrize("sigma", [0.3, 1.0, 5.0, 1e6])
def test_a_hat_is_above_the_density(sigma):
    law = Gaussian(Fraction(sigma))
    hat = strips(law)
    for block, count in enumerate(hat.counts[:-1]):
        _, high = law.density(block * Fraction(2) ** law.width_bits, 200)
        assert count >= Fraction(high, 2**200) * hat.per_density
    for beyond in range(200):
        _, high = law.density((law.blocks + beyond) * Fraction(2) ** law.width_bits, 400)
        share = Fraction(hat.counts[-1], 64) * Fraction(63, 64) ** beyond
        assert share >= Fraction(high, 2**400) * hat.per_density


def test_the_tail_is_drawn_exactly_too(monkeypatch):
    """With blocks up to 5/4 of a standard deviation only, a fifth of the values is from the tail."""
    monkeypatch.setattr(Gaussian, "blocks", property(lambda law: 20))
    strips.cache_clear()
    hat = strips(Gaussian(Fraction(2)))
    assert hat.counts[-1] > sum(hat.counts) // 4
    values = rounded_gaussian(2.0, 500, source(6))
    strips.cache_clear()
    edges = np.arange(-9, 11)
    below = np.concatenate([[0.0], ndtr((edges - 0.5) / 2), [1.0]])
    assert unlikely(values, edges, np.diff(below)) > 1e-3


def test_numpys_exponential_is_within_the_error_allowed_for_it():
    exponents = np.random.default_rng(0).uniform(-45, 0, 4096)
    for exponent, found in zip(exponents, np.exp(exponents), strict=True):
        with mpmath.workprec(100):
            true = mpmath.exp(float(exponent))
            assert abs(float(found) / true - 1) < 2.0**-50


@pytest.mark.parametrize("size", [-1, 1.5, "3", None, True])
def test_a_size_is_a_whole_number(size):
    with pytest.raises(ConfigurationError, match="whole number"):
        rounded_gaussian(1.0, size, source(7))


def test_sizes_of_nothing_and_of_one():
    assert rounded_gaussian(1.0, 0, source(8)).shape == (0,)
    assert rounded_gaussian(1e6, np.int64(1), source(8)).shape == (1,)
    assert rounded_gaussian(1.0, 0, source(8)).dtype == np.int64


@pytest.mark.parametrize(
    ("value", "exponent"), [(1, 0), (0.75, -1), (1.5, 0), (2, 1), (Fraction(1, 3), -2), (7.9, 2)]
)
def test_exponents(value, exponent):
    assert exponent_of(value) == exponent


def test_values_are_those_of_a_plain_reading_of_the_words():
    """The definition once more, in a few lines of high precision, without tables of thresholds."""
    sigma, size = Fraction(7, 2), 150
    hat, key = strips(Gaussian(sigma)), rejection.new_key(source(9))
    width = mpmath.mpf(2) ** hat.law.width_bits
    found = []
    for i in range(rejection.proposals(size, hat.acceptance)):
        head, place, level = (int(word) for word in words(key, 3 * i - i % 2, 4)[i % 2 : i % 2 + 3])
        with mpmath.workprec(300):
            y = (hat.block(head) + mpmath.mpf(place) / 2**64) * width / 2
            chance = (
                hat.per_density * mpmath.exp(-(y**2) / (2 * float(sigma) ** 2)) / hat.counts[hat.block(head)]
            )
            if mpmath.mpf(level) / 2**64 < chance:
                found.append(int(mpmath.nint(y)) * (-1) ** (head >> SIGN_BIT & 1))
    assert found[:size] == rounded_gaussian(sigma, size, source(9)).tolist()

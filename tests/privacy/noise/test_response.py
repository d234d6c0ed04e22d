from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest

from hansa.errors import ConfigurationError, DataError
from hansa.privacy.noise import randomised_response, response
from noise_checks import source, unlikely


@pytest.mark.parametrize("classes", [2, 3, 10, 1000])
@pytest.mark.parametrize("epsilon", [0.1, 1.0, Fraction(7, 2)])
def test_labels_are_kept_and_replaced_as_often_as_they_should(classes, epsilon):
    labels = np.full(200_000, classes // 2)
    found = randomised_response(labels, classes, epsilon, source(31))
    chances = np.full(classes, 1 / (math.exp(epsilon) + classes - 1))
    chances[classes // 2] *= math.exp(epsilon)
    assert unlikely(found, np.arange(1, classes), chances) > 1e-3


def test_each_label_has_its_own_coin():
    labels = np.arange(60_000) % 3
    found = randomised_response(labels, 3, 1.0, source(32))
    kept = (found == labels).reshape(-1, 3).mean(axis=0)
    assert np.abs(kept - math.e / (math.e + 2)).max() < 4 * math.sqrt(0.25 / 20_000)


@pytest.mark.parametrize("epsilon", [2.0**-40, 0.5, 3.0, 2.0**10])
def test_exact_decisions_are_those_of_floating_point(monkeypatch, epsilon):
    labels = np.arange(500) % 7
    usual = randomised_response(labels, 7, epsilon, source(33))
    monkeypatch.setattr(response, "MARGIN", 2.0)
    assert (randomised_response(labels, 7, epsilon, source(33)) == usual).all()


def test_words_that_would_favour_some_labels_are_drawn_again():
    count = 3 << 62  # a third of all words is left out
    drawn = [response._other(count, word, source(34)) for word in (5, count - 1, count, 2**64 - 1)]
    assert drawn[:2] == [5, count - 1]
    assert drawn[2] == drawn[3] < count


def test_a_large_epsilon_keeps_all():
    labels = np.arange(1000) % 10
    assert (randomised_response(labels, 10, 100.0, source(35)) == labels).all()


def test_the_same_bytes_give_the_same_labels_and_32_are_taken():
    asked = []
    stream = source(36)
    one = randomised_response([0, 1, 1, 0] * 100, 2, 1.0, lambda size: (asked.append(size), stream(size))[1])
    assert asked == [32]
    assert (randomised_response([0, 1, 1, 0] * 100, 2, 1.0, source(36)) == one).all()


@pytest.mark.parametrize("values", [[0.5], [[1]], [-1], [3], ["a"], 1])
def test_other_labels_are_refused(values):
    with pytest.raises(DataError, match="labels are"):
        randomised_response(values, 3, 1.0, source(37))


def test_no_labels_are_no_labels():
    assert randomised_response([], 3, 1.0, source(37)).shape == (0,)


@pytest.mark.parametrize("classes", [0, 1, -2, 2**31 + 1, 2.0, True, None])
def test_other_numbers_of_classes_are_refused(classes):
    with pytest.raises(ConfigurationError, match="classes"):
        randomised_response([0], classes, 1.0, source(37))


@pytest.mark.parametrize("epsilon", [0.0, -1.0, math.nan, math.inf, 1025.0, None, True])
def test_other_epsilons_are_refused(epsilon):
    with pytest.raises(ConfigurationError, match="the epsilon of noise must be a number"):
        randomised_response([0], 2, epsilon, source(37))

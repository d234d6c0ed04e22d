import json
import sys

import numpy as np
import pytest

from hansa.errors import ConfigurationError, MissingExtraError, UnknownNameError
from hansa.privacy.matrix import as_strategy, errors, explain, independent, optimal, rmse, square_root
from hansa.privacy.matrix.optimise import _loss

Z = 2.230476271186412
"""Noise multiplier of one Gaussian mechanism that is (2, 1e-6)-DP (Balle, Wang 2018)."""
PAGE = {"rounds": 1000, "min_gap": 100}


def test_the_figures_of_the_design_page():
    assert rmse(independent(**PAGE), Z) == pytest.approx(157.8, abs=0.05)
    assert rmse(optimal(**PAGE, strategy="banded"), Z) == pytest.approx(25.8, abs=0.05)
    assert rmse(optimal(**PAGE), Z) == pytest.approx(27.2, abs=0.05)


def test_a_buffered_strategy_needs_two_vectors_a_buffer_and_a_banded_one_all_of_its_bands():
    blt, banded = explain(optimal(**PAGE), Z), explain(optimal(**PAGE, strategy="banded"), Z)
    assert (blt["strategy"], blt["size"], blt["state_bytes_per_parameter"]) == ("blt", 2, 32)
    assert (banded["strategy"], banded["size"], banded["state_bytes_per_parameter"]) == ("banded", 100, 792)
    assert blt["gain"] == pytest.approx(5.80, abs=0.01)
    assert banded["gain"] == pytest.approx(6.11, abs=0.01)


@pytest.mark.parametrize(
    ("rounds", "gap", "times"), [(1000, 100, 10), (200, 7, 29), (300, 300, 1), (500, 2, 3), (50, 10, 5)]
)
def test_the_optimum_is_better_than_independent_noise_and_than_the_square_root(rounds, gap, times):
    promise = {"rounds": rounds, "min_gap": gap, "times": times}
    banded, blt = rmse(optimal(**promise, strategy="banded")), rmse(optimal(**promise))
    assert banded < rmse(square_root(**promise)) < rmse(independent(**promise))
    assert blt < rmse(independent(**promise))
    assert banded <= rmse(optimal(**promise, strategy="banded", bands=max(gap // 2, 1)))


@pytest.mark.parametrize("kind", ["blt", "banded"])
def test_no_small_change_of_the_optimum_is_better(kind):
    best = optimal(rounds=60, min_gap=12, strategy=kind)
    least = rmse(best)
    free = "weights" if kind == "blt" else "numerators"
    values = getattr(best, free)
    for i in range(kind == "banded", len(values)):
        for factor in (0.98, 1.02):
            moved = list(values)
            moved[i] = moved[i] * factor if kind == "blt" else min(round(moved[i] * factor), moved[i - 1])
            assert rmse(as_strategy({**best.describe(), free: moved})) >= least * (1 - 1e-7)


def test_errors_are_those_of_the_dense_matrices():
    for strategy in (optimal(rounds=30, min_gap=6), square_root(rounds=30, min_gap=6)):
        column = strategy.coefficients()
        dense = np.array([[column[i - j] if i >= j else 0.0 for j in range(30)] for i in range(30)])
        decoder = np.tri(30) @ np.linalg.inv(dense)
        expected = 1.5 * strategy.sensitivity() * np.linalg.norm(decoder, axis=1)
        assert errors(strategy, 1.5) == pytest.approx(expected)
        assert rmse(strategy, 1.5) == pytest.approx(np.sqrt(np.mean(expected**2)))


def test_the_gradient_is_that_of_finite_differences():
    column = square_root(rounds=20, min_gap=20).coefficients()
    problem = (np.arange(20, 0, -1) / 20, 6, 2)

    def value(column):
        dense = np.array([[column[i - j] if i >= j else 0.0 for j in range(20)] for i in range(20)])
        return _loss(column, lambda v: np.linalg.solve(dense, v), problem)

    gradient = value(column)[1]
    for i in range(20):
        step = 1e-6 * np.eye(20)[i]
        slope = (value(column + step)[0] - value(column - step)[0]) / 2e-6
        assert gradient[i] == pytest.approx(slope, abs=1e-7)


def test_the_last_error_can_be_minimised_instead():
    for kind in ("blt", "banded"):
        mean, last = optimal(**PAGE, strategy=kind), optimal(**PAGE, strategy=kind, error="last")
        assert errors(last)[-1] < errors(mean)[-1] and rmse(last) > rmse(mean)


@pytest.mark.parametrize("promise", [(1, 1, 1), (1, 5, 1), (40, 1, 40), (2, 1, 2)])
def test_where_no_correlation_helps_noise_is_independent(promise):
    rounds, gap, times = promise
    for kind in ("blt", "banded"):
        made = optimal(rounds=rounds, min_gap=gap, times=times, strategy=kind)
        assert made == independent(rounds=rounds, min_gap=gap, times=times)


def test_times_left_out_is_as_many_as_the_gap_lets():
    assert optimal(rounds=10, min_gap=3).times == 4
    assert optimal(rounds=9, min_gap=3).times == 3


def test_bands_left_out_are_no_more_than_a_thousand():
    assert len(optimal(rounds=1100, min_gap=1100, strategy="banded").numerators) == 1000


def test_more_buffers_help_where_the_gap_is_long():
    promise = {"rounds": 2000, "min_gap": 2000}
    found = [rmse(optimal(**promise, buffers=n)) for n in (1, 2, 3)]
    assert found == sorted(found, reverse=True)
    assert rmse(optimal(**promise)) <= found[2]


@pytest.mark.parametrize("kind", ["blt", "banded"])
def test_a_strategy_comes_back_from_the_json_of_a_run(kind):
    made = optimal(**PAGE, strategy=kind)
    back = as_strategy(json.loads(json.dumps(made.describe())))
    assert back == made and hash(back) == hash(made)
    assert back.sensitivity() == made.sensitivity()


def test_the_same_question_has_the_same_answer():
    made = optimal(rounds=200, min_gap=20)
    assert optimal(rounds=200, min_gap=20) is made
    optimal.cache_clear()
    assert optimal(rounds=200, min_gap=20) == made


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"strategy": "bands"}, UnknownNameError, "Did you mean 'banded'"),
        ({"error": "max"}, UnknownNameError, "Known: last, mean"),
        ({"bands": 5}, ConfigurationError, "bands are of a banded strategy"),
        ({"strategy": "banded", "buffers": 2}, ConfigurationError, "bands are of a banded strategy"),
        ({"strategy": "banded", "bands": 101}, ConfigurationError, "bands must be 1 to 100, got 101"),
        ({"strategy": "banded", "bands": 0}, ConfigurationError, "bands must be 1 to 100, got 0"),
        ({"buffers": 9}, ConfigurationError, "buffers must be 1 to 8, got 9"),
        ({"buffers": 0}, ConfigurationError, "buffers must be 1 to 8, got 0"),
    ],
)
def test_options_that_do_not_fit(options, error, message):
    with pytest.raises(error, match=message):
        optimal(**PAGE, **options)


@pytest.mark.parametrize(
    ("described", "message"),
    [
        ({}, "unknown strategy of correlated noise"),
        ({"kind": "tree"}, "'tree'"),
        ({"kind": "blt", "rounds": 3}, "cannot be made of"),
        ({"kind": "banded", "rounds": 4, "min_gap": 1, "times": 1, "numerators": [65536, 1]}, "1 to 1"),
    ],
)
def test_descriptions_that_are_none(described, message):
    with pytest.raises(ConfigurationError, match=message):
        as_strategy(described)


def test_without_scipy_an_error_says_what_to_install(monkeypatch):
    optimal.cache_clear()
    monkeypatch.setitem(sys.modules, "scipy", None)
    monkeypatch.setitem(sys.modules, "scipy.optimize", None)
    with pytest.raises(MissingExtraError, match=r"pip install '.\[privacy\]'"):
        optimal(rounds=77, min_gap=7)
    assert rmse(square_root(rounds=77, min_gap=7)) > 0

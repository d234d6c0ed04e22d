import itertools

import numpy as np
import pytest

from hansa.errors import ConfigurationError
from hansa.privacy.matrix import Banded, Buffered, independent, optimal, square_root

BUFFERED = {"decays": (0.9, 0.3), "weights": (0.4, 0.5)}


def dense(strategy):
    column = strategy.coefficients()
    n = strategy.rounds
    return np.array([[column[i - j] if i >= j else 0.0 for j in range(n)] for i in range(n)])


def patterns(rounds, gap, times):
    for size in range(1, times + 1):
        for chosen in itertools.combinations(range(rounds), size):
            if all(b - a >= gap for a, b in itertools.pairwise(chosen)):
                yield list(chosen)


def brute_force(matrix, gap, times):
    """All patterns, and for each all signs."""
    worst = 0.0
    for chosen in patterns(len(matrix), gap, times):
        signs = np.array(list(itertools.product([1.0, -1.0], repeat=len(chosen))))[: 2 ** (len(chosen) - 1)]
        worst = max(worst, np.square(matrix[:, chosen] @ signs.T).sum(0).max())
    return float(np.sqrt(worst))


@pytest.mark.parametrize("rounds", [1, 5, 11])
@pytest.mark.parametrize("gap", [1, 2, 3, 5, 12])
def test_sensitivity_is_that_of_the_worst_of_all_participations(rounds, gap):
    most = -(-rounds // gap)
    for times in {1, min(2, most), min(most, 5)}:
        promise = {"rounds": rounds, "min_gap": gap, "times": times}
        for strategy in (
            square_root(**promise),
            independent(**promise),
            Buffered(**promise, **BUFFERED),
            optimal(**promise),
            optimal(**promise, strategy="banded"),
        ):
            worst = brute_force(dense(strategy), gap, times)
            assert worst <= strategy.sensitivity() <= worst * (1 + 1e-8)


@pytest.mark.parametrize("made", [square_root, lambda **p: Buffered(**p, **BUFFERED)])
def test_sensitivity_of_the_first_releases_is_that_of_the_first_rows(made):
    strategy = made(rounds=11, min_gap=3, times=3)
    spent = [strategy.sensitivity(t) for t in range(12)]
    assert spent[0] == 0 and spent == sorted(spent) and spent[11] == strategy.sensitivity()
    for t in range(1, 12):
        worst = brute_force(dense(strategy)[:t], 3, 3)
        assert worst <= spent[t] <= worst * (1 + 1e-8)
    with pytest.raises(ConfigurationError, match="0 to 11, got 12"):
        strategy.sensitivity(12)


def test_vectors_in_other_directions_are_no_worse():
    strategy = Buffered(rounds=10, min_gap=2, times=5, **BUFFERED)
    random = np.random.default_rng(0)
    matrix = dense(strategy)
    for chosen in patterns(10, 2, 5):
        given = random.normal(size=(len(chosen), 3))
        given /= np.linalg.norm(given, axis=1, keepdims=True)
        assert np.linalg.norm(matrix[:, chosen] @ given) <= strategy.sensitivity()


def test_bands_within_the_gap_give_orthogonal_columns():
    strategy = square_root(rounds=1000, min_gap=100, bands=64)
    norm = np.linalg.norm(strategy.coefficients())
    assert strategy.sensitivity() == pytest.approx(np.sqrt(10) * norm, rel=1e-8)


PROMISE = {"rounds": 10, "min_gap": 3, "times": 4}


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"times": 0}, "times must be 1 or more, got 0"),
        ({"min_gap": 0}, "min_gap must be 1 or more, got 0"),
        ({"rounds": 0}, "rounds must be 1 to 100000, got 0"),
        ({"rounds": 100_001}, "rounds must be 1 to 100000"),
        ({"rounds": 2.0}, "rounds must be an integer, got 2.0"),
        ({"times": True}, "times must be an integer, got True"),
        ({"times": 5}, "at most 4 times. Lower times to 4"),
        ({"bits": 31}, "bits must be 0 to 30, got 31"),
    ],
)
@pytest.mark.parametrize("made", [square_root, independent, optimal])
def test_promises_that_cannot_be(made, changed, message):
    with pytest.raises(ConfigurationError, match=message):
        made(**{**PROMISE, **changed})


@pytest.mark.parametrize(
    ("numerators", "message"),
    [
        ((), "0 bands, but it must be 1 to 3"),
        ((16, 8, 4, 2), "4 bands, but it must be 1 to 3: no more than the gap of 3"),
        ((15, 8), "the first numerator must be 16"),
        ((16, 17), "must be 0 to 16, got 17"),
        ((16, 4, 5), "must be 0 to 4, got 5"),
        ((16, -1), "must be 0 to 16, got -1"),
        ((16, 0.5), "must be an integer"),
    ],
)
def test_banded_matrices_that_the_theorem_does_not_cover(numerators, message):
    with pytest.raises(ConfigurationError, match=message):
        Banded(**PROMISE, bits=4, numerators=numerators)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"decays": (), "weights": ()}, "1 to 8 decays"),
        ({"decays": (0.5,)}, "got 1 and 2"),
        ({"decays": (0.5,) * 9, "weights": (0.1,) * 9}, "1 to 8 decays"),
        ({"decays": (1.0, 0.5)}, "a decay is from 0"),
        ({"decays": (-0.1, 0.5)}, "a decay is from 0"),
        ({"decays": (float("nan"), 0.5)}, "a decay is from 0"),
        ({"weights": (0.6, 0.5)}, "with a sum of 1 at most"),
        ({"weights": (-0.1, 0.5)}, "weights are 0 or more"),
        ({"weights": (float("nan"), 0.5)}, "weights are 0 or more"),
    ],
)
def test_buffered_matrices_that_the_theorem_does_not_cover(changed, message):
    with pytest.raises(ConfigurationError, match=message):
        Buffered(**PROMISE, **{**BUFFERED, **changed})


def test_a_rising_matrix_would_be_worse_elsewhere():
    # Why the coefficients must not rise: the closest participations are then not the worst.
    column = np.array([1.0, 0.0, 0.0, 1.0, 0.0, 0.0])
    matrix = np.array([[column[i - j] if i >= j else 0.0 for j in range(6)] for i in range(6)])
    closest = np.linalg.norm(matrix[:, [0, 2]].sum(1))
    assert brute_force(matrix, 2, 2) > closest * 1.1

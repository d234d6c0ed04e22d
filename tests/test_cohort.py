import numpy as np
import pytest

from hansa.cohort import AllClients, FixedSize, Poisson, as_cohort
from hansa.errors import ConfigurationError
from hansa.rng import Seeds

NAMES = tuple(f"c{i}" for i in range(20))


@pytest.mark.parametrize("cohort", [AllClients(), FixedSize(5), Poisson(0.3)])
def test_a_draw_depends_on_seed_and_round_alone_and_keeps_the_order(cohort):
    draws = {
        (seed, number): cohort.draw(NAMES, number, Seeds(seed)) for seed in (0, 1) for number in range(5)
    }
    again = {(seed, number): cohort.draw(NAMES, number, Seeds(seed)) for seed, number in reversed(draws)}
    assert draws == again
    for drawn in draws.values():
        assert [n for n in NAMES if n in drawn] == list(drawn)
    assert len(set(draws.values())) == (1 if isinstance(cohort, AllClients) else len(draws))


def test_all_clients_are_all():
    assert AllClients().draw(NAMES, 3, Seeds(0)) == NAMES


@pytest.mark.parametrize(("cohort", "share"), [(FixedSize(5), 0.25), (Poisson(0.3), 0.3)])
def test_every_client_is_drawn_equally_often_and_pairs_independently(cohort, share):
    rounds = 3000
    taken = np.array([np.isin(NAMES, cohort.draw(NAMES, r, Seeds(7))) for r in range(rounds)], float)
    error = np.sqrt(share * (1 - share) / rounds)
    assert np.abs(taken.mean(0) - share).max() < 4.5 * error
    together = taken.T @ taken / rounds
    pairs = share * 4 / 19 if isinstance(cohort, FixedSize) else share**2
    off = together[~np.eye(20, dtype=bool)]
    assert np.abs(off - pairs).max() < 5 * np.sqrt(pairs / rounds)
    sizes = taken.sum(1)
    if isinstance(cohort, FixedSize):
        assert (sizes == 5).all()
    else:
        assert abs(sizes.var() - 20 * share * (1 - share)) < 0.4


def test_draws_never_change_so_that_runs_can_be_resumed():
    many = tuple(f"c{i}" for i in range(50_000))
    assert FixedSize(5).draw(NAMES, 2, Seeds(1)) == ("c0", "c6", "c7", "c15", "c17")
    assert Poisson(0.3).draw(NAMES, 2, Seeds(1)) == ("c1", "c10", "c18")
    assert FixedSize(4).draw(many, 2, Seeds(1)) == ("c287", "c19648", "c43647", "c45749")
    taken = [20775, 27341, 41317, 41398, 42837, 49052]
    assert Poisson(0.0001).draw(many, 2, Seeds(1)) == tuple(f"c{i}" for i in taken)


class Counted(tuple):
    """A population that counts how many of its names are looked at."""

    looked_at = 0

    def __getitem__(self, place):
        Counted.looked_at += 1
        return super().__getitem__(place)

    def __iter__(self):
        raise AssertionError("the whole population is looked at")


@pytest.mark.parametrize("cohort", [FixedSize(50), Poisson(0.001)])
def test_a_draw_looks_at_the_cohort_and_not_at_the_population(cohort):
    population = Counted(f"c{i}" for i in range(50_000))
    Counted.looked_at = 0
    assert len(cohort.draw(population, 0, Seeds(0))) == Counted.looked_at < 100


def test_poisson_may_be_empty_or_everybody():
    assert any(Poisson(0.05).draw(NAMES, r, Seeds(0)) == () for r in range(50))
    assert Poisson(1).draw(NAMES, 0, Seeds(0)) == NAMES


@pytest.mark.parametrize("size", [0, -1, True, 2.0, "3", None])
def test_a_fixed_size_is_a_whole_number_of_1_or_more(size):
    with pytest.raises(ConfigurationError, match="at least 1 client"):
        FixedSize(size)


@pytest.mark.parametrize("rate", [0, -0.1, 1.1, True, float("nan"), "0.5", None])
def test_a_rate_is_a_probability_above_0(rate):
    with pytest.raises(ConfigurationError, match="above 0 and at most 1"):
        Poisson(rate)


def test_a_cohort_larger_than_the_population_says_both_numbers():
    with pytest.raises(
        ConfigurationError, match="cohort is 5 clients but there are only 4; ask for at most 4"
    ):
        FixedSize(5).check(4)
    FixedSize(4).check(4)


def test_what_users_write_for_a_cohort():
    assert as_cohort(None) == AllClients()
    assert as_cohort(3) == FixedSize(3)
    assert as_cohort(Poisson(0.5)) == Poisson(0.5)
    for wrong in (0.5, True, "all", [1]):
        with pytest.raises(ConfigurationError, match="cohort must be"):
            as_cohort(wrong)  # type: ignore[arg-type]


def test_descriptions():
    assert AllClients().describe() == {"kind": "all"}
    assert FixedSize(2).describe() == {"kind": "fixed", "size": 2}
    assert Poisson(0.25).describe() == {"kind": "poisson", "rate": 0.25}

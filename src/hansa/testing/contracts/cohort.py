"""What every cohort must do."""

from __future__ import annotations

from hansa.cohort import Cohort
from hansa.rng import Seeds
from hansa.testing.contracts.values import check_description


def check_cohort(cohort: Cohort, *, population: int = 20) -> None:
    """Check that a cohort draws clients of the population, each once, in order, and always the same ones."""
    clients = tuple(f"client-{i}" for i in range(population))
    check_description(cohort.describe())
    cohort.check(population)
    drawn = [cohort.draw(clients, number, Seeds(1)) for number in range(30)]
    for names in drawn:
        assert list(names) == [c for c in clients if c in set(names)], f"not a subset in order: {names}"
    backwards = [cohort.draw(clients, number, Seeds(1)) for number in reversed(range(30))][::-1]
    assert drawn == backwards, "a draw depends on the draws before it"
    if any(names != clients for names in drawn):
        assert len(set(drawn)) > 1, "every round draws the same clients"
        other = [cohort.draw(clients, number, Seeds(2)) for number in range(30)]
        assert drawn != other, "the draw does not depend on the seed"

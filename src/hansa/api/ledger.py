"""Differential privacy in `fit`: what it needs before the first round, and what each round spent."""

from __future__ import annotations

import dataclasses
from typing import Any

from hansa.cohort import Cohort, as_cohort
from hansa.errors import ConfigurationError
from hansa.plan import Plan
from hansa.privacy import ClientLevel, Facts, Privacy, RecordDP
from hansa.privacy.accountant import Spent
from hansa.record import RoundRecord
from hansa.server.aggregate import Aggregate

MARKS = 16


def cohort_of(privacy: Privacy | None, cohort: Any) -> Cohort:
    """Return who takes part: what the plan of privacy says where it protects whole clients, else the user.

    Raises:
        ConfigurationError: If both say.
    """
    if not isinstance(privacy, ClientLevel):
        return as_cohort(cohort)
    if cohort is not None:
        raise ConfigurationError(
            f"{type(privacy).__name__} draws the cohorts itself, so that what is drawn is what is "
            "accounted for. "
            f"Leave cohort out, and give the plan participation={cohort!r}."
        )
    return as_cohort(privacy.participation)


def check_population(privacy: Privacy | None, clients: int) -> None:
    """Raise `ConfigurationError` if a plan does not fit the number of clients: before any data are read."""
    if isinstance(privacy, ClientLevel):
        privacy.bound(Facts(population=clients))


def aggregate_of(privacy: Privacy | None, aggregate: Aggregate | None) -> Aggregate:
    """Return how updates are averaged: as the user says, else by rows; alike where clients are protected."""
    default = "uniform" if isinstance(privacy, ClientLevel) else "examples"
    return default if aggregate is None else aggregate


def check_planned(plan: Plan, rounds: int, *, released: int = 0) -> None:
    """Raise `ConfigurationError` if rounds would not be paid for by the plan of privacy.

    Args:
        plan: The plan of the run.
        rounds: Rounds that are asked for.
        released: Rounds of another run of this federation, whose results are known already.
    """
    private = plan.private
    if private is None:
        return
    if released:
        raise ConfigurationError(
            f"this federation has trained for {released} rounds already, and its plan of privacy is for one "
            "run: another one over the same data would release more than is accounted for. Go on with that "
            "run (run=its folder, resume=True), or make another federation, whose loss adds to this one's."
        )
    if rounds > private.rounds:
        raise ConfigurationError(
            f"the plan of privacy is for {private.rounds} rounds, and fit was asked for {rounds}: "
            "what is beyond "
            f"would not be paid for. Ask for at most {private.rounds}, or plan for more from the beginning."
        )


def settle(plan: Plan, progress: Any) -> None:
    """Find the noise that keeps the budget, and tell so where somebody looks on."""
    if plan.private is not None:
        plan.private.settle(getattr(progress, "note", None))


def spent_by_silo(plan: Plan, done: int) -> dict[str, float]:
    """Return the epsilon of each silo after so many rounds, where single records are protected."""
    private = plan.private
    if not isinstance(private, RecordDP) or not done:
        return {}
    return {silo: spent.epsilon for silo, spent in private.spent_by(done).items()}


class Ledger:
    """What has been spent so far: each round's record gets an entry. `check_planned` sees to the end.

    What is told after a round is an upper bound that costs a millisecond: the lesser of what Rényi accounting
    says of these rounds, and of what the best accountant says of the rounds up to the next of 16 marks in the
    plan. After the last round it is what the best accountant says.
    """

    def __init__(self, plan: Plan) -> None:
        """Open the ledger of a run."""
        self._private = plan.private
        self._marks: dict[int, Spent] = {}

    def entered(self, record: RoundRecord) -> RoundRecord:
        """Return the record with what is spent so far."""
        if self._private is None:
            return record
        spent = self._bound(self._private, record.round + 1)
        told = {"epsilon": spent.epsilon, "delta": spent.delta, "accountant": spent.accountant}
        return dataclasses.replace(record, privacy={**record.privacy, **told})

    def _bound(self, private: Privacy, done: int) -> Spent:
        gap = -(-private.rounds // MARKS)
        mark = min(private.rounds, -(-done // gap) * gap)
        if mark not in self._marks:
            self._marks[mark] = private.spent(mark, how="best" if mark == private.rounds else "coarse")
        if done == mark:
            return self._marks[mark]
        return min(private.spent(done, how="rdp"), self._marks[mark], key=lambda each: each.epsilon)

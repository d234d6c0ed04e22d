"""Differential privacy in `fit`: what it needs before the first round, and what each round spent."""

from __future__ import annotations

import dataclasses
from typing import Any

from hansa.cohort import Cohort, as_cohort
from hansa.errors import ConfigurationError
from hansa.plan import Plan
from hansa.privacy import ClientLevel, Privacy, RecordDP
from hansa.record import RoundRecord
from hansa.server.aggregate import Aggregate


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


def aggregate_of(privacy: Privacy | None, aggregate: Aggregate | None) -> Aggregate:
    """Return how updates are averaged: as the user says, else by rows; alike where clients are protected."""
    default = "uniform" if isinstance(privacy, ClientLevel) else "examples"
    return default if aggregate is None else aggregate


def check_planned(plan: Plan, rounds: int) -> None:
    """Raise `ConfigurationError` if more rounds are asked for than the plan of privacy is for."""
    private = plan.private
    if private is not None and rounds > private.rounds:
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
    """What has been spent so far. Each round's record gets an entry, and a run stops before it overspends.

    What is told in a round is an upper bound: that of Rényi accounting after these rounds, or what all
    planned rounds spend by the best accountant, whichever is less. After the last one it is the latter.
    """

    def __init__(self, plan: Plan) -> None:
        """Open the ledger of a run."""
        self._private = plan.private
        self._whole = None if self._private is None else self._private.spent(self._private.rounds)

    def has_room(self, number: int) -> bool:
        """Whether the round of this number, from 0, is paid for."""
        return self._private is None or number < self._private.rounds

    def entered(self, record: RoundRecord) -> RoundRecord:
        """Return the record with what is spent so far."""
        if self._private is None or self._whole is None:
            return record
        done = record.round + 1
        spent = self._private.spent(done, quick=True) if done < self._private.rounds else self._whole
        spent = min(spent, self._whole, key=lambda each: each.epsilon)
        told = {"epsilon": spent.epsilon, "delta": spent.delta, "accountant": spent.accountant}
        return dataclasses.replace(record, privacy={**record.privacy, **told})

"""What a plan promises, as data and in plain English. Epsilon is never told without whom it is about."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass
from typing import Any, Literal

Status = Literal["enforced", "assumed", "hypothetical"]
RELATIONS = {
    "zero-out": "its contribution being there or being zero",
    "add/remove": "its taking part in the run or not",
    "replace": "its data being these or any others",
}
STATUSES = {
    "enforced": "Hansa's own sampler and noise ran as planned",
    "assumed": "it rests on something that Hansa cannot see",
    "hypothetical": "nothing has run as planned, or the noise can be had again from a seed",
}


@dataclass(frozen=True, kw_only=True)
class Guarantee:
    """What a plan promises after some rounds.

    Attributes:
        epsilon: The privacy loss so far, 0 before the first round.
        delta: The chance with which it may be larger.
        protects: Who is protected, in words.
        neighbours: The relation: what one who sees all results cannot tell.
        trust: Who sees what without noise, in words.
        accountant: ``"pld"``, ``"rdp"`` or ``"exact"``, and ``version``, the package that says so.
        noise_multiplier: Standard deviation of the noise divided by the clip.
        rounds_spent: Rounds that are done.
        rounds_left: Rounds that the plan still has.
        status: ``"enforced"``, ``"assumed"`` or ``"hypothetical"``.
        reasons: Why it is not enforced.
        budget: The epsilon that may be spent, or None.
        notes: What else a reader should know of how the noise works.
        not_covered: What is released and not protected.
    """

    epsilon: float
    delta: float
    protects: str
    neighbours: str
    trust: str
    accountant: str
    version: str
    noise_multiplier: float
    rounds_spent: int
    rounds_left: int
    status: Status = "enforced"
    reasons: tuple[str, ...] = ()
    budget: float | None = None
    notes: tuple[str, ...] = ()
    not_covered: tuple[str, ...] = ()

    def __str__(self) -> str:
        return (
            f"ε = {self.epsilon:.4g} at δ = {self.delta:.2g} for {self.protects} ({self.neighbours}), "
            f"{self.status}. {self.trust}"
        )

    def describe(self) -> dict[str, Any]:
        """Return it as plain JSON values."""
        told = dataclasses.asdict(self)
        return {k: list(v) if isinstance(v, tuple) else v for k, v in told.items()}

    @property
    def statement(self) -> str:
        """The promise in plain English, one sentence a line."""
        spent = f"After {self.rounds_spent} round{'' if self.rounds_spent == 1 else 's'}"
        lines = [
            f"{spent} the privacy loss of {self.protects} is at most ε = {self.epsilon:.4g}, but for "
            "a chance of "
            f"δ = {self.delta:.2g}.",
            f"That is: to whoever sees everything that is released, the odds of {RELATIONS[self.neighbours]} "
            f"are changed by a factor of at most {_factor(self.epsilon)}; {_judged(self.epsilon)}.",
            self.trust,
            f"Told by {self.version} ({self.accountant.upper()}), with a noise multiplier of "
            f"{self.noise_multiplier:.4g}; relation: {self.neighbours}.",
        ]
        if self.budget is not None:
            more = f"{self.rounds_left} more round{' fits' if self.rounds_left == 1 else 's fit'} into it"
            left = f"{more}, and then the run stops" if self.rounds_left else "no round is left"
            lines.append(f"The budget is ε = {self.budget:g}; {left}.")
        lines += [f"Status: {self.status}: {STATUSES[self.status]}.", *self.reasons, *self.notes]
        if self.not_covered:
            lines.append("Not covered: " + "; ".join(self.not_covered) + ".")
        return "\n".join(lines)


def _factor(epsilon: float) -> str:
    return f"{math.exp(epsilon):.3g}" if epsilon < 20 else "hundreds of millions"


def _judged(epsilon: float) -> str:
    """Return what a privacy loss is worth, in words."""
    if epsilon <= 1:
        return "a guess is hardly better for it"
    if epsilon <= 10:
        return "that is a bound, and a guess may be much better for it"
    return "that is next to no promise"

"""What an audit finds, as data."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One question that was asked of the pipeline, and its answer.

    Attributes:
        name: What was looked at.
        words: What was measured, for people.
        measured: The number.
        low: It must not be less; None is no bound.
        high: It must not be more; None is no bound.
        skipped: Why it could not be asked here; empty where it was.
    """

    name: str
    words: str
    measured: float = 0.0
    low: float | None = None
    high: float | None = None
    skipped: str = ""

    @property
    def passed(self) -> bool:
        """Whether the number is as it must be. NaN is not."""
        if self.skipped:
            return True
        low = -math.inf if self.low is None else self.low
        return low <= self.measured <= (math.inf if self.high is None else self.high)

    @property
    def allowed(self) -> str:
        """The bounds, in words.

        Example:
            >>> Finding(name="n", words="w", low=0.9, high=1.1).allowed
            '0.9 to 1.1'
        """
        if self.low is not None and self.high is not None:
            return f"{self.low:.3g} to {self.high:.3g}"
        if self.low is not None:
            return f"{self.low:.3g} or more"
        return "" if self.high is None else f"{self.high:.3g} or less"

    def describe(self) -> dict[str, Any]:
        """Return the finding as plain JSON values."""
        return {**dataclasses.asdict(self), "passed": self.passed}


@dataclass(frozen=True, kw_only=True)
class Audit:
    """Whether the code does what a plan of privacy says.

    Attributes:
        plan: The kind of the plan, and what is special about it.
        findings: What was asked and found.
        claimed: The epsilon that the plan tells for the run that was audited.
        delta: For both.
        settings: How the audit was made, as plain JSON values.
    """

    plan: str
    findings: tuple[Finding, ...]
    claimed: float
    delta: float
    settings: Mapping[str, Any] = field(default_factory=dict)

    @property
    def passed(self) -> bool:
        """Whether nothing contradicts the plan."""
        return all(finding.passed for finding in self.findings)

    @property
    def failed(self) -> tuple[str, ...]:
        """Names of the findings that contradict the plan."""
        return tuple(finding.name for finding in self.findings if not finding.passed)

    @property
    def proven(self) -> float:
        """An epsilon that a guesser proves the run exceeds."""
        return next((finding.measured for finding in self.findings if finding.name == "epsilon"), 0.0)

    def __getitem__(self, name: str) -> Finding:
        """Return the finding of a name."""
        return next(finding for finding in self.findings if finding.name == name)

    def describe(self) -> dict[str, Any]:
        """Return the audit as plain JSON values."""
        return {
            "plan": self.plan,
            "passed": self.passed,
            "claimed_epsilon": self.claimed,
            "proven_epsilon": self.proven,
            "delta": self.delta,
            "findings": [finding.describe() for finding in self.findings],
            "settings": dict(self.settings),
        }

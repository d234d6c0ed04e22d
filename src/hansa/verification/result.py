"""What verifying a run has shown: round by round, and one verdict."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

Verdict = Literal["verified", "intact", "failed"]
Step = Literal["exact", "close", ""]


@dataclass(frozen=True, kw_only=True)
class RoundCheck:
    """What was checked of one round.

    Attributes:
        round: Its number, from 0.
        clients: Who was asked; None where only the coordinator knows.
        summed: How many updates are in the sum; None where that cannot be known.
        left_out: Reason by client, for the others: what its message shows, or else, marked as such, what the
            coordinator tells. A proof that is said to be rejected was signed by the client.
        proofs: How many proofs of norms were checked and hold.
        void: Why the sum was not used, if so.
        sums: Whether all sums were added up and opened again.
        step: ``"exact"``, ``"close"`` (a Keras optimizer) or ``""`` where the step was not taken again.
        epsilon: What the ledger of privacy tells; None without a plan.
        model_hash: Of the model after it.
        seconds: How long that took.
    """

    round: int
    clients: int | None = None
    summed: int | None = None
    left_out: Mapping[str, str] = field(default_factory=dict)
    proofs: int = 0
    void: str = ""
    sums: bool = False
    step: Step = ""
    epsilon: float | None = None
    model_hash: str = ""
    seconds: float = 0.0


@dataclass(frozen=True, kw_only=True)
class Verification:
    """What verifying a run has shown.

    Attributes:
        verdict: ``"verified"``: all holds. ``"intact"``: nothing is at odds, but sums or steps could not be
            done again, for the reasons in ``unchecked``. ``"failed"``: something is at odds.
        failure: What, and where.
        unchecked: What was not checked, and why.
        notes: What the reader of a verdict should know besides.
        rounds: Round by round, up to a failure.
        head: Hash of the public log's last entry.
        roster: Hash of the roster; empty without one.
        config: Hash of the configuration.
        title: The run's title.
        proves: What clients have proven of their updates; empty without proofs.
        claims: What clients have proven of their data; empty without claims.
        finished: How the run ended, as its log tells; empty where it does not.
        seconds: How long it took.
    """

    verdict: Verdict
    failure: str = ""
    unchecked: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    rounds: tuple[RoundCheck, ...] = ()
    head: str = ""
    roster: str = ""
    config: str = ""
    title: str = ""
    proves: str = ""
    claims: str = ""
    finished: str = ""
    seconds: float = 0.0

    @property
    def ok(self) -> bool:
        """Whether nothing is at odds."""
        return self.verdict != "failed"

    def to_json(self) -> dict[str, Any]:
        """Return it as plain dicts, lists, numbers and strings; an endless epsilon as ``"inf"``."""
        told = dataclasses.asdict(self)
        for check in told["rounds"]:
            if check["epsilon"] is not None and not math.isfinite(check["epsilon"]):
                check["epsilon"] = str(check["epsilon"])
        return told

"""Audits: a plan of privacy, or all that Hansa brings."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

from hansa.audit import records
from hansa.audit.finding import Audit
from hansa.audit.pipeline import Settings, observe, resized
from hansa.audit.rounds import findings
from hansa.cohort import AtMost, FixedSize, Poisson
from hansa.errors import ConfigurationError
from hansa.privacy import (
    AdaptiveClip,
    Capped,
    CentralDP,
    ClientLevel,
    DistributedDP,
    LocalDP,
    MatrixDP,
    Privacy,
    RecordDP,
)

_ADAPTIVE = AdaptiveClip(target_unclipped=0.8, initial=0.5, lr=0.5)
DRAWN = 0.3
"""The chance with which a record is in a minibatch in an audit of `RecordDP`."""
_GAP = AtMost(times=3, min_gap=2)

BUILT_IN: Mapping[str, Privacy] = {
    "CentralDP": CentralDP(rounds=6, noise_multiplier=1.0),
    "CentralDP, drawn in secret": CentralDP(rounds=6, noise_multiplier=1.0, participation=Poisson(0.3)),
    "CentralDP, fixed cohorts": CentralDP(rounds=6, noise_multiplier=1.0, participation=FixedSize(60)),
    "CentralDP, adaptive clip": CentralDP(rounds=6, noise_multiplier=1.0, clip=_ADAPTIVE),
    "CentralDP, weights by rows": CentralDP(rounds=6, noise_multiplier=2.0, clip=0.1, weights=Capped(50)),
    "LocalDP": LocalDP(rounds=6, noise_multiplier=2.0),
    "MatrixDP, blt": MatrixDP(rounds=6, noise_multiplier=1.0, participation=_GAP),
    "MatrixDP, banded": MatrixDP(rounds=6, noise_multiplier=1.0, participation=_GAP, strategy="banded"),
    "DistributedDP": DistributedDP(rounds=6, noise_multiplier=1.0, threshold=140),
    "RecordDP": RecordDP(rounds=6, noise_multiplier=1.0, clip=0.5),
}
"""The plans that Hansa brings, each with settings in which something can be seen."""


def audit(privacy: Privacy, settings: Settings | None = None, *, name: str = "") -> Audit:
    """Ask whether the pipeline does what a plan of privacy says.

    Clients of which each sends a canary, or not, by the toss of a coin, go through the real round: clip,
    integers, engine, sum, noise, denominator and ledger are those of any run. What comes out along a canary's
    direction shows what was done to it; along directions that nobody sends, the noise.

    Args:
        privacy: The plan. Its noise multiplier is kept; population, rounds and cohorts are the audit's.
        settings: How the audit is made; None takes the defaults.
        name: What to call the plan; empty takes its kind.

    Raises:
        ConfigurationError: If the plan cannot be audited, or does not fit.

    Guarantees:
        A pipeline that does what the plan says passes but for one audit in a hundred thousand. One without a
        clip, with unbounded weights, with noise too small by a tenth, used twice, or scaled by another clip,
        or with another denominator where clients are silent, does not.

    Leaks:
        Nothing: canaries are made up.

    Source:
        Andrew et al. 2023, One-shot Empirical Privacy Estimation for Federated Learning (canary clients in
        one run); Steinke, Nasr, Jagielski 2023, Privacy Auditing with One (1) Training Run (the bound).

    Example:
        >>> from hansa.privacy import CentralDP
        >>> plan = CentralDP(rounds=3, noise_multiplier=1.0)
        >>> audit(plan, Settings(canaries=40, rounds=3, seed=1)).passed
        True
    """
    settings = Settings() if settings is None else settings
    if isinstance(privacy, RecordDP):
        run = records.observe(records.resized(privacy, settings), settings, rate=DRAWN)
        private, find = run.private, partial(records.findings, run)
    elif isinstance(privacy, ClientLevel):
        seen = observe(resized(privacy, settings), settings)
        private, find = seen.private, partial(findings, seen)
    else:
        raise ConfigurationError(f"an audit is of a plan of hansa.privacy, got {privacy!r}.")
    spent = private.spent(settings.rounds)
    return Audit(
        plan=name or type(privacy).__name__,
        findings=find(claimed=spent.epsilon, delta=spent.delta),
        claimed=spent.epsilon,
        delta=spent.delta,
        settings={
            "canaries": settings.canaries,
            "rounds": settings.rounds,
            "dimension": settings.dimension,
            "seed": settings.seed,
            "secure_sum": type(settings.secure_sum).__name__.lower(),
            "plan": private.describe(),
        },
    )

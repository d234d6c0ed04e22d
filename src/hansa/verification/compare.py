"""What doing a round again gives, compared with what the log says of it."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from hansa.errors import LogError
from hansa.plan import Plan
from hansa.record import RoundRecord
from hansa.secure_sum.messages import REJECTED
from hansa.store.canonical import canonical_json
from hansa.tree import vector_hash
from hansa.types import FloatVector
from hansa.verification.result import Step
from hansa.verification.told import Told

TOLERANCE = 1e-4
"""Of the largest change of a weight: how far a Keras optimizer's step may differ on another machine."""
_NORM_TOLERANCE = 1e-9
"""Relative: machines add the squares of an update up in other orders."""


@dataclass
class ModelCheck:
    """Compares the model of the log with the one that the server's step gives.

    Attributes:
        plan: The server's half.
        before: The weights before the round.
        told: What the log says of it.
        step: How near they are, once `settle` has compared them.
    """

    plan: Plan
    before: FloatVector
    told: Told
    step: Step = ""

    def settle(self, found: FloatVector) -> FloatVector:
        """Return the model to go on with: that of the log, to which all that clients say next is bound.

        Raises:
            LogError: If the log's model is another.
        """
        said, model = self.told.body["model_hash"], self.told.model
        if vector_hash(found) == said:
            self.step = "exact"
            return found
        if self.plan.server_optimizer is not None and model is not None and _near(model, found, self.before):
            self.step = "close"
            return model
        raise LogError(
            "the model is not what the server's step makes of the sum of the updates: its hash is "
            f"{said[:16]}…, and the step gives {vector_hash(found)[:16]}…. (A callback that changes weights "
            "does this, too.)"
        )


def _near(model: FloatVector, found: FloatVector, before: FloatVector) -> bool:
    if model.shape != found.shape:
        return False
    with np.errstate(all="ignore"):
        change = np.abs(model - before).max(initial=0.0)
        return bool(np.abs(model - found).max(initial=0.0) <= TOLERANCE * change)  # not with NaN


def compare(found: RoundRecord, told: Told, *, metrics: bool) -> None:
    """Raise `LogError` where a round done again is not what the log says of it.

    Reasons are compared only as far as they blame a client: their words may change from version to version.

    Args:
        found: The record of the round done again.
        told: What the log says.
        metrics: Whether the metrics were added up again.
    """
    body, known = told.body, told.record
    pairs: list[tuple[str, Any, Any]] = [
        (name, body[name], len(value))
        for name, value in (("cohort_size", found.cohort), ("dropped_count", found.dropped))
        if name in body
    ]
    if known is not None:
        pairs += [
            ("cohort", known.cohort, found.cohort),
            ("who is left out", sorted(known.dropped), sorted(found.dropped)),
            ("whose proof was rejected", _rejected(known), _rejected(found)),
            ("whose answers were corrected", sorted(known.corrected), sorted(found.corrected)),
            ("whether it is void", bool(known.void), bool(found.void)),
            (
                "whom its privacy charges",
                sorted(told.privacy.get("silos", found.cohort)),
                sorted(found.cohort),
            ),
        ]
        _compare_norms(known.update_norm, found.update_norm)
    if metrics and (known is not None or "logs" in body):
        pairs.append(("logs", told.logs, found.logs))
    pairs += [(f"privacy.{name}", told.privacy.get(name), value) for name, value in found.privacy.items()]
    for name, said, again in pairs:
        if canonical_json(said) != canonical_json(again):
            raise LogError(
                f"the log says {name} = {_short(said)}, and doing the round again gives {_short(again)}."
            )


def _compare_norms(said: float, found: float) -> None:
    if not math.isclose(said, found, rel_tol=_NORM_TOLERANCE):
        raise LogError(f"the log says update_norm = {said!r:.30}, and doing the round again gives {found!r}.")


def _rejected(record: RoundRecord) -> list[str]:
    """Return who is blamed for a proof."""
    return sorted(name for name, why in record.dropped.items() if why.startswith(REJECTED))


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 200 else f"{text[:197]}..."

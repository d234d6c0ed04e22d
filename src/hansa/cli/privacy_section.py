"""``[privacy]`` of a TOML file: the plan of differential privacy."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from hansa.cli.keys import build, kind_of, make
from hansa.cohort import AllClients, AtMost, FixedSize, Poisson
from hansa.errors import ConfigurationError, UnknownNameError
from hansa.privacy import PLANS, AdaptiveClip, Budget, Capped, Person, Privacy

COHORTS = {"all": AllClients, "fixed": FixedSize, "poisson": Poisson, "at_most": AtMost}
_TAKEN_APART = ("clip", "protects", "weights", "participation", "facts", "budget")


def privacy_of(raw: Any, rounds: int, where: str = "[privacy]") -> Privacy:
    """Return the plan that a section declares.

    Beside the keys of the plan itself: ``epsilon`` and ``delta`` are its budget, ``clip`` is a norm or a
    table for a clip that adapts, ``participation`` is a table like ``[cohort]``, ``weights = { cap = 100 }``
    weighs by rows, and ``protects = { max_clients = 3 }`` protects a person. ``rounds`` is that of ``[run]``
    if left out.

    Args:
        raw: What the file has there.
        rounds: Rounds of the run.
        where: The section as the user reads it.

    Raises:
        UnknownNameError: The kind or a key does not exist.
        ConfigurationError: A value cannot be.
    """
    kind, rest = kind_of(PLANS, raw, where)
    where = f"{where} of kind {kind!r}"
    if hidden := [key for key in ("facts", "budget") if key in rest]:
        raise ConfigurationError(f"{where} has no key {hidden[0]!r}: a budget is epsilon and delta.")
    known = [field.name for field in dataclasses.fields(PLANS[kind]) if field.name not in ("facts", "budget")]
    if unknown := [key for key in rest if key not in (*known, "epsilon")]:
        raise UnknownNameError(f"key in {where}", unknown[0], (*known, "epsilon"))
    more = {key: _part(key, rest.pop(key), where) for key in _TAKEN_APART if key in rest}
    rest.setdefault("rounds", rounds)
    if "epsilon" in rest:
        if "delta" not in rest:
            raise ConfigurationError(
                f"{where} has epsilon and lacks delta: a tenth of one over the number of the "
                "protected, or less."
            )
        budget = {"epsilon": rest.pop("epsilon"), "delta": rest.pop("delta")}
        more["budget"] = build(Budget, budget, where)
    # What is taken apart above, and what only the federation says, is none of the file's other keys.
    more = {"facts": None, **more}
    return build(PLANS[kind], rest, where, **more)


def _part(key: str, value: Any, where: str) -> Any:
    """Return a part of a plan that a file writes as a table."""
    if not isinstance(value, Mapping):
        return float(value) if isinstance(value, int) and not isinstance(value, bool) else value
    if key == "participation":
        return make(COHORTS, value, f"{where} participation")
    kinds = {"clip": AdaptiveClip, "weights": Capped, "protects": Person}
    return build(kinds[key], value, f"{where} {key}")

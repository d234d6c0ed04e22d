"""A run's folder at the beginning of `fit`: created or opened, and its last round put back into place."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from hansa.api.certify import Certified, keep_certificates
from hansa.api.environment import environment
from hansa.api.facts import COMPARISON, FACTS, write_facts, write_texts
from hansa.api.keys import KEYS, write_keys
from hansa.api.loop import Outcome
from hansa.engine.engine import Engine
from hansa.secure_sum.interface import Keys
from hansa.store.run import Run
from hansa.types import DataCard, FloatVector, ServerState

PREPROCESSING = "preprocessing.json"
OWN_FILES = frozenset(
    {
        *("config.json", "history.jsonl", "log", "blobs", "lock", "model.keras", "report.html"),
        *(FACTS, COMPARISON, PREPROCESSING, KEYS),
    }
)
"""Names in a run's folder that Hansa itself writes."""


def open_run(
    folder: Path,
    config: Mapping[str, Any],
    *,
    resume: bool,
    texts: Mapping[str, str],
    cards: Mapping[str, DataCard],
    model: Mapping[str, Any],
    preprocessing: Sequence[Mapping[str, Any]],
    engine: Mapping[str, str],
    keys: Mapping[str, Keys],
    certified: Certified,
    secret: bytes,
    time: str,
    initial: FloatVector,
) -> Run:
    """Create a run's folder, or open it to go on, and keep what its report needs.

    The engine is told beside versions and machine; ``keys`` are those of a simulation's clients,
    ``certified`` is what they have shown of their data, ``secret`` is what its hidden draws come from;
    ``time`` is when the run began, ISO 8601; ``initial`` are all of the model's weights before round 0.

    Raises:
        RunError: If it cannot be written or read, or its configuration is another.
    """
    store = Run.open(folder) if resume else Run.create(folder, config)
    try:
        if resume:
            store.check_config(config)
        else:
            write_keys(store.folder, keys, secret, certified.fingerprints)
            keep_certificates(store, certified.certificates)
        columns = next(iter(cards.values())).columns
        steps = {"columns": columns, "steps": list(preprocessing)}
        write_texts(store.folder, {**texts, PREPROCESSING: json.dumps(steps, indent=1) + "\n"})
        around = {**environment(), **engine}
        write_facts(store.folder, cards=cards, environment=around, model=model)
        begun = {} if resume else {"initial": store.blobs.put_arrays({"weights": initial})}
        store.note("resumed" if resume else "started", {"environment": around, "time": time, **begun})
    except BaseException:
        store.close()
        raise
    return store


def engine_of(folder: Path) -> Mapping[str, Any]:
    """Return what the engine that began a run says decides its result; empty for the local one."""
    with Run.open(folder, write=False) as store:
        return store.config.get("engine", {})


def recover(store: Run, outcome: Outcome, engine: Engine, *, looks: bool) -> Iterable[ServerState]:
    """Put a run's last committed round into place; return the states after its rounds, for callbacks.

    Where no callback looks at the model, only the last state is read, and stands for all.
    """
    checkpoint = store.latest()
    if checkpoint is None:
        return ()
    outcome.state = checkpoint.state
    outcome.records.extend(store.history())
    engine.memories.update(checkpoint.memories)
    rounds = range(store.rounds)
    return (
        store.at(r).state if looks else dataclasses.replace(checkpoint.state, round=r + 1) for r in rounds
    )


def now() -> str:
    """Return the time, ISO 8601 in UTC to the second."""
    return datetime.now(UTC).isoformat(timespec="seconds")

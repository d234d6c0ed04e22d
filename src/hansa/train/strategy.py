"""How to run local training fastest: measured once for each kind of model, backend and machine, and kept."""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import json
import os
import platform
import time
from collections.abc import Callable, Sequence
from typing import Any

from hansa import bridge
from hansa.cache import cache_folder
from hansa.errors import ConfigurationError, HansaError
from hansa.train.keras_learner import KerasLearner
from hansa.types import Batches, LocalTask

STEPS = 8
"""Minibatches that are timed."""
FILE = "strategies.json"


def choose(
    make: Callable[..., Any],
    candidates: Sequence[str],
    learner: KerasLearner,
    sample: LocalTask,
    batches: Batches,
) -> tuple[Any, str]:
    """Return a trainer with the fastest strategy, and the strategy's name.

    Args:
        make: Returns a trainer with a strategy, which may share what another one holds (``like``).
        candidates: Strategies to choose from. One alone is taken without measuring.
        learner: The model, built.
        sample: Local work to measure.
        batches: Its minibatches, as rows of the population.

    Raises:
        ConfigurationError: If the model works with none of them.
    """
    key = _key(learner, sample, candidates)
    known = _read().get(key)
    if known not in candidates and len(candidates) == 1:
        known = candidates[0]
    if known is not None and known in candidates:
        return make(known), known
    few = Batches(batches.order[: int(batches.sizes[:STEPS].sum())], batches.sizes[:STEPS])
    task = dataclasses.replace(sample, batches=few)
    start = learner.layout().unflatten(task.start)
    control = [] if task.control is None else learner.layout().unflatten(task.control)
    best: Any = None
    trainer: Any = None
    seconds, refusals = float("inf"), []
    for name in candidates:
        try:
            trainer = make(name, like=trainer)
            trainer.train(start, control, task)  # compiles
            took = min(_seconds(lambda t=trainer: t.train(start, control, task)) for _ in range(2))
        except ConfigurationError as error:
            refusals.append(f"{name}: {error}")
            continue
        if took < seconds:
            best, seconds = trainer, took
    if best is None:
        raise ConfigurationError(
            f"none of the strategies works with this model ({'; '.join(refusals)}). Use engine='local'."
        )
    _keep(key, best.strategy)
    return best, best.strategy


def _seconds(work: Callable[[], Any]) -> float:
    begun = time.perf_counter()
    work()
    return time.perf_counter() - begun


def _key(learner: KerasLearner, sample: LocalTask, candidates: Sequence[str]) -> str:
    """Return what the measurement depends on, as one hash."""
    layers = [entry.layer for entry in learner.layout().entries]
    facts = [
        *(bridge.backend_version(bridge.choose_backend()), platform.machine(), platform.node()),
        *(os.cpu_count(), learner.layout().hash, type(learner.model.optimizer).__name__, sample.batch_size),
        *(sample.kind, sample.correct is not None, list(candidates)),
        layers,
    ]
    return hashlib.sha256(json.dumps(facts).encode()).hexdigest()


def _read() -> dict[str, str]:
    """Return what was measured before; a damaged or missing file is no more than a new measurement."""
    with contextlib.suppress(OSError, ValueError, HansaError):
        known = json.loads((cache_folder() / FILE).read_text())
        if isinstance(known, dict):
            return known
    return {}


def _keep(key: str, name: str) -> None:
    with contextlib.suppress(OSError, HansaError):
        path = cache_folder() / FILE
        path.parent.mkdir(parents=True, exist_ok=True)
        partial = path.with_name(f"{FILE}.{os.getpid()}")
        partial.write_text(json.dumps({**_read(), key: name}, indent=0))
        partial.replace(path)

"""How to run local training fastest: measured once for each kind of model, backend and machine, and kept."""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import json
import os
import platform
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

from hansa import bridge
from hansa.cache import cache_folder
from hansa.errors import ConfigurationError, HansaError
from hansa.train.keras_learner import KerasLearner
from hansa.types import Array, Batches, LocalTask

STEPS = 8  # minibatches that are timed
TURNS = 20  # how often, at most
MOST_S = 0.5  # and how long, at most, beyond the second time
HOPELESS = 1.5  # times the best: such a strategy is not measured again
FILE = "strategies.json"


def choose(
    make: Callable[..., Any],
    candidates: Sequence[str],
    learner: KerasLearner,
    sample: LocalTask,
    batches: Batches,
    *,
    leaf: int,
    room: int,
) -> tuple[Any, str]:
    """Return a trainer with the fastest strategy, and the strategy's name.

    Args:
        make: Returns a trainer with a strategy, which may share what another one holds (``like``).
        candidates: Strategies to choose from. One alone is taken without measuring, as is the first for
            private steps, which are the same with all.
        learner: The model, built.
        sample: Local work to measure.
        batches: Its minibatches, as rows of the population.
        leaf: How many clients are one sum.
        room: How many clients one call will train.

    Raises:
        ConfigurationError: If the model works with none of them.
    """
    key = _key(learner, sample, candidates, (leaf, room))
    known = _read().get(key)
    if sample.private is not None or (known not in candidates and len(candidates) == 1):
        known = candidates[0]
    if known is not None and known in candidates:
        return make(known), known
    few = Batches(batches.order[: int(batches.sizes[:STEPS].sum())], batches.sizes[:STEPS])
    task = dataclasses.replace(sample, batches=few)
    start = learner.layout().unflatten(task.start)
    control = [] if task.control is None else learner.layout().unflatten(task.control)
    works: dict[str, Callable[[], None]] = {}
    trainers: dict[str, Any] = {}
    refusals = []
    for name in candidates:
        trainer = make(name, like=next(iter(trainers.values()), None))
        work = partial(_work, trainer, start, control, task, (leaf, room))
        try:
            work()  # compiles
        except ConfigurationError as error:
            refusals.append(f"{name}: {error}")
            continue
        works[name], trainers[name] = work, trainer
    if not works:
        raise ConfigurationError(
            f"none of the strategies works with this model ({'; '.join(refusals)}). Use engine='local'."
        )
    name = _fastest(works)
    _keep(key, name)
    return trainers[name], name


def _fastest(works: Mapping[str, Callable[[], None]]) -> str:
    """Return which work takes the least time at best, doing all of them in turn."""
    least = dict.fromkeys(works, float("inf"))
    spent_s = 0.0
    for _ in range(TURNS):
        best = min(least.values())
        for name, work in works.items():
            if least[name] <= HOPELESS * best or least[name] == float("inf"):
                seconds = _seconds(work)
                least[name] = min(least[name], seconds)
                spent_s += seconds if best < float("inf") else 0.0
        if spent_s > MOST_S:
            break
    return min(least, key=lambda name: least[name])


def _work(
    trainer: Any, start: list[Array], control: list[Array], task: LocalTask, clients: tuple[int, int]
) -> None:
    """Do the sample as a round would: several clients in one call where the trainer adds them up."""
    if trainer.adds and not control:
        leaf, room = clients
        trainer.add(start, [task] * room, [1.0] * room, leaf=leaf, room=room)
    else:
        trainer.train(start, control, task)


def _seconds(work: Callable[[], Any]) -> float:
    begun = time.perf_counter()
    work()
    return time.perf_counter() - begun


def _key(
    learner: KerasLearner, sample: LocalTask, candidates: Sequence[str], clients: tuple[int, int]
) -> str:
    """Return what the measurement depends on, as one hash."""
    layers = [entry.layer for entry in learner.layout().entries]
    facts = [
        *(bridge.backend_version(bridge.choose_backend()), platform.machine(), platform.node()),
        *(os.cpu_count(), learner.layout().hash, type(learner.model.optimizer).__name__, sample.batch_size),
        *(sample.kind, sample.correct is not None, list(candidates), clients),
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

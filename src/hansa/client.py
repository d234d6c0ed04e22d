"""One client's side of a round: the same code in process, on Ray and over gRPC.

A client receives an `Ask`'s phase and payload and gives its `Reply`. What it remembers from round
to round (control variates, personal layers, its place in the data) never leaves it.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from hansa.plan import POSITION, Plan
from hansa.rng import Seeds
from hansa.train.batches import carried_batches, fresh_batches
from hansa.train.learner import Learner, class_weighted
from hansa.types import (
    Array,
    ClientData,
    Delta,
    Examples,
    FloatVector,
    LocalTask,
    Memory,
    Metrics,
    Reply,
    Start,
)


@dataclass(frozen=True, kw_only=True)
class Site:
    """What a client has: its name and its rows."""

    name: str
    data: ClientData


def train(
    plan: Plan, site: Site, learner: Learner, *, start: Start, memory: Memory, seeds: Seeds
) -> tuple[Reply, Memory]:
    """Train locally from the global weights.

    Args:
        plan: The plan of the run.
        site: The client.
        learner: The model.
        start: What the server sent.
        memory: What the client remembers.
        seeds: Seeds of the client's shuffles and random layers.

    Returns:
        The reply with the update, and the new memory. If the update is not finite the memory is the old one.
    """
    algorithm = plan.algorithm
    weights = plan.full(start.weights, memory)
    control = algorithm.control(start, memory, plan.shared)
    before = _measure(plan, site, learner, weights) if plan.local_metrics else {}
    task = LocalTask(
        start=weights.copy(),  # so that no learner writes into the server's own
        batches=_batches(plan, site, memory, seeds, start.round),
        batch_size=algorithm.batch_size,
        kind=algorithm.work,
        correct=algorithm.correct if algorithm.corrects else None,
        control=None if control is None else plan.widen(control),
        learning_rate=start.learning_rate,
        seed=seeds.integer("layers", site.name, start.round),
    )
    rows = class_weighted(site.data.train, None if plan.class_weight is None else dict(plan.class_weight))
    try:
        trained = learner.train(rows, task)
        plan.layout.check(trained.weights)
    except Exception as error:
        error.add_note(f"while client {site.name!r} trained in round {start.round}")
        raise
    shared = dataclasses.replace(trained, weights=plan.shared_part(trained.weights))
    with np.errstate(all="ignore"):  # what is not finite is dropped by the server, which says so
        vector, remembered = algorithm.client_update(start, memory, shared, plan.shared)
    after = _measure(plan, site, learner, trained.weights) if plan.local_metrics else {}
    weight = 1.0 if plan.aggregate == "uniform" else float(len(rows))
    delta = plan.secure_sum.send(Delta(vector=np.asarray(vector, np.float32), weight=weight))
    metrics = {"training": trained.metrics, "before": before, "after": after}
    reply = Reply(delta=delta, examples=len(rows), metrics=metrics)
    if not (np.isfinite(delta.vector).all() and np.isfinite(trained.weights).all()):
        return reply, memory
    seen = int(memory.get(POSITION, 0)) + trained.steps
    place = {POSITION: np.asarray(seen, np.int64)} if algorithm.carry_over else {}
    return reply, {**remembered, **plan.personal_part(trained.weights), **place}


def evaluate(plan: Plan, site: Site, learner: Learner, *, weights: FloatVector, memory: Memory) -> Reply:
    """Measure the global weights on the client's validation rows."""
    rows = site.data.validation
    if rows is None or not len(rows):
        return Reply(examples=0, metrics={"validation": {}})
    metrics = learner.evaluate(plan.full(weights, memory), rows, plan.evaluation_batch_size)
    return Reply(examples=len(rows), metrics={"validation": metrics})


def validate(plan: Plan, rows: Examples, learner: Learner, *, weights: FloatVector) -> Reply:
    """Measure the global weights on the server's own rows."""
    metrics = learner.evaluate(plan.full(weights), rows, plan.evaluation_batch_size)
    return Reply(examples=len(rows), metrics={"validation": metrics})


def _measure(plan: Plan, site: Site, learner: Learner, weights: FloatVector) -> Metrics:
    """Return metrics on the client's validation rows, or on its training rows if it has no others."""
    held_out = site.data.validation
    rows = held_out if held_out is not None and len(held_out) else site.data.train
    return learner.evaluate(weights, rows, plan.evaluation_batch_size)


def _batches(plan: Plan, site: Site, memory: Memory, seeds: Seeds, number: int) -> Iterable[Array]:
    algorithm, rows = plan.algorithm, len(site.data.train)
    if algorithm.carry_over and algorithm.steps is not None:
        return carried_batches(
            rows,
            batch_size=algorithm.batch_size,
            steps=algorithm.steps,
            shuffle=algorithm.shuffle,
            seeds=seeds,
            client=site.name,
            position=int(memory.get(POSITION, 0)),
        )
    return fresh_batches(
        rows,
        batch_size=algorithm.batch_size,
        epochs=algorithm.epochs,
        steps=algorithm.steps,
        shuffle=algorithm.shuffle,
        seeds=seeds,
        client=site.name,
        round=number,
    )

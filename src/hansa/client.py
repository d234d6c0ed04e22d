"""One client's side of a round: the same code in process, on Ray and over gRPC.

A client receives an `Ask`'s phase and payload and gives its `Reply`. What it remembers from round
to round (control variates, personal layers, its place in the data) never leaves it.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np

from hansa.encode import compress, decompress
from hansa.errors import UpdateError
from hansa.plan import POSITION, RESIDUAL, Plan
from hansa.privacy import ClientLevel, RecordDP
from hansa.protect import private_steps, protected
from hansa.rng import Seeds
from hansa.secure_sum.interface import Keys
from hansa.secure_sum.phases import payload_hash
from hansa.secure_sum.tree import unusable
from hansa.train.batches import carried_batches, fresh_batches, sampled_batches
from hansa.train.learner import Learner, Measures, class_weighted
from hansa.types import (
    Array,
    Ask,
    Batches,
    ClientData,
    Delta,
    Examples,
    FloatVector,
    LocalTask,
    Memory,
    Metrics,
    Reply,
    Start,
    Trained,
    Unread,
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Site:
    """What a client has: its name, its rows, and its keys where the secure sum needs such."""

    name: str
    data: ClientData | Unread
    keys: Keys | None = None


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
    task = begin(plan, site, start=start, memory=memory, seeds=seeds)
    own = dataclasses.replace(task, start=task.start.copy())  # no learner writes into the server's own
    before = measure(plan, site, learner, task.start) if plan.local_metrics else {}
    with naming(site.name, start.round):
        trained = learner.train(class_weighted(site.data.train.whole(), plan.class_weight), own)
        plan.layout.check(trained.weights)
    after = measure(plan, site, learner, trained.weights) if plan.local_metrics else {}
    told = {"before": before, "after": after}
    return finish(plan, site, start=start, memory=memory, trained=trained, seeds=seeds, **told)


def begin(plan: Plan, site: Site, *, start: Start, memory: Memory, seeds: Seeds) -> LocalTask:
    """Return the local work of a client in this round, as the algorithm and the client's memory say."""
    algorithm = plan.algorithm
    control = algorithm.control(start, memory, plan.shared)
    task = LocalTask(
        start=plan.full(start.weights, memory),
        batches=_batches(plan, site, memory, seeds, start.round),
        batch_size=algorithm.batch_size,
        kind=algorithm.work,
        correct=algorithm.correct if algorithm.corrects else None,
        control=None if control is None else plan.widen(control),
        learning_rate=start.learning_rate,
        seed=seeds.integer("layers", site.name, start.round),
    )
    if not isinstance(plan.private, RecordDP):
        return task
    rows = site.data.train.whole()
    return dataclasses.replace(
        task, private=private_steps(plan, site.name, rows, task, number=start.round, seeds=seeds)
    )


def finish(
    plan: Plan,
    site: Site,
    *,
    start: Start,
    memory: Memory,
    trained: Trained,
    seeds: Seeds,
    before: Metrics | None = None,
    after: Metrics | None = None,
) -> tuple[Reply, Memory]:
    """Return what a client sends and remembers of the weights that its local work gave.

    Args:
        plan: The plan of the run.
        site: The client.
        start: What the server sent.
        memory: What the client remembers.
        trained: What the local work gave.
        seeds: Seeds of the rounding of an update to integers.
        before: Metrics of the weights received, if they were measured.
        after: Metrics of the trained weights, if they were measured.
    """
    algorithm, rows = plan.algorithm, len(site.data.train)
    shared = dataclasses.replace(trained, weights=plan.shared_part(trained.weights))
    with np.errstate(all="ignore"):  # what is not finite is dropped by the server, which says so
        vector, remembered = algorithm.client_update(start, memory, shared, plan.shared)
    delta = Delta(vector=np.asarray(vector, np.float32), weight=weight_in_mean(plan, rows))
    metrics = {"training": trained.metrics, "before": before or {}, "after": after or {}}
    reply = Reply(delta=delta, examples=rows, metrics=metrics)
    finite = bool(np.isfinite(delta.vector).all())
    if isinstance(plan.private, ClientLevel):
        reply = protected(plan, site.name, reply, start=start, seeds=seeds)
    elif plan.encoder is not None:
        reply = encoded(plan, site, reply, start=start, seeds=seeds)
    elif plan.compress is not None and finite:
        reply, remembered = compressed(plan, site, reply, {**memory, **remembered}, start=start, seeds=seeds)
    if not (finite and np.isfinite(trained.weights).all()):
        return reply, memory
    place = remembered_place(plan, memory, trained.steps)
    return reply, {**remembered, **plan.personal_part(trained.weights), **place}


def why_not(plan: Plan, ask: Ask, seeds: Seeds) -> str:
    """Return why a client must not answer an Ask for a vector through a secure sum; empty where it may.

    All that its answer is bound to it works out itself. Else a server could give the others a payload with
    which their vectors are zero, or choose a cohort of its own people and one client.

    Args:
        plan: The plan that the client has pinned.
        ask: What came.
        seeds: The run's seeds, which are in the configuration.
    """
    place = ask.place
    if place.purpose != ask.phase or place.attempt != 0:
        return "the messages are of another phase, or a round is asked for again"
    if ask.phase == "train" and place.round != ask.payload.round:
        return "the start is of another round than the messages"
    if place.payload != payload_hash(ask.payload):
        return "what this client was given is not what the messages say that all were given"
    everyone = ask.phase == "tell" and plan.clients_validate == "all"
    expected = plan.clients if everyone else plan.draw(place.round, seeds)
    if place.cohort != expected:
        return "the cohort is not the one that the configuration draws for this round"
    return ""


def encoded(plan: Plan, site: Site, reply: Reply, *, start: Start, seeds: Seeds) -> Reply:
    """Return the reply with the integers that stand for its update (`hansa.encode`).

    The rounding follows the run's seeds, as all of a simulation does.
    """
    delta, encoder = reply.delta, plan.encoder
    if delta is None or encoder is None:
        return reply
    reason = unusable(delta)
    if reason:
        return dataclasses.replace(reply, delta=None, refusal=reason)
    randomness = seeds.stream("quantise", site.name, start.round)
    integers, clipped = encoder.encode(delta.vector, delta.weight, seed=start.seed, randomness=randomness)
    return dataclasses.replace(reply, delta=Delta(vector=integers, weight=1.0), clipped=clipped)


def compressed(
    plan: Plan, site: Site, reply: Reply, memory: Memory, *, start: Start, seeds: Seeds
) -> tuple[Reply, Memory]:
    """Return the reply with its update as the server reads it from the bytes that travel; and the memory."""
    delta, how = reply.delta, plan.compress
    if delta is None or how is None:
        return reply, memory
    randomness = seeds.stream("quantise", site.name, start.round)
    try:
        data, residual = compress(how, delta.vector, memory.get(RESIDUAL), randomness)
    except UpdateError as error:
        return dataclasses.replace(reply, delta=None, refusal=str(error)), memory
    vector = decompress(how, data, len(delta.vector))
    reply = dataclasses.replace(reply, delta=Delta(vector=vector, weight=delta.weight), size=len(data))
    return reply, memory if residual is None else {**memory, RESIDUAL: residual}


def weight_in_mean(plan: Plan, rows: int) -> float:
    """Return the weight of a client's update with so many training rows."""
    return 1.0 if plan.aggregate == "uniform" else float(rows)


def remembered_place(plan: Plan, memory: Memory, steps: int) -> dict[str, Array]:
    """Return the client's place in its data after so many further minibatches, where it goes on from it."""
    if not plan.algorithm.carry_over:
        return {}
    return {POSITION: np.asarray(int(memory.get(POSITION, 0)) + steps, np.int64)}


@contextmanager
def naming(client: str, number: int) -> Iterator[None]:
    """Note on an error which client trained in which round."""
    try:
        yield
    except Exception as error:
        error.add_note(f"while client {client!r} trained in round {number}")
        raise


def evaluate(plan: Plan, site: Site, learner: Measures, *, weights: FloatVector, memory: Memory) -> Reply:
    """Measure the global weights on the client's validation rows."""
    rows = site.data.validation
    if rows is None or not len(rows):
        return Reply(examples=0, metrics={"validation": {}})
    metrics = learner.evaluate(plan.full(weights, memory), rows, plan.evaluation_batch_size)
    return Reply(examples=len(rows), metrics={"validation": metrics})


def validate(plan: Plan, rows: Examples, learner: Measures, *, weights: FloatVector) -> Reply:
    """Measure the global weights on the server's own rows."""
    metrics = learner.evaluate(plan.full(weights), rows, plan.evaluation_batch_size)
    return Reply(examples=len(rows), metrics={"validation": metrics})


def measure(plan: Plan, site: Site, learner: Measures, weights: FloatVector) -> Metrics:
    """Return metrics on the client's validation rows, or on its training rows if it has no others."""
    held_out = site.data.validation
    rows = held_out if held_out is not None and len(held_out) else site.data.train.whole()
    return learner.evaluate(weights, rows, plan.evaluation_batch_size)


def _batches(plan: Plan, site: Site, memory: Memory, seeds: Seeds, number: int) -> Batches:
    algorithm, rows = plan.algorithm, len(site.data.train)
    if isinstance(plan.private, RecordDP):
        return sampled_batches(
            rows,
            rate=plan.private.rate(site.name),
            steps=plan.private.steps_a_round(site.name),
            stream=seeds.hidden.stream("records", site.name, number),
        )
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

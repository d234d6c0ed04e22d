"""One round of federated learning, from the server's side, in the order in which it happens.

`round_steps` is a generator. It yields an `Ask` whenever it wants something of clients and receives
the engine's `Answer`. It does no input or output, reads no clock and draws no global random numbers:
the same plan, state, seeds and answers give the same new state, bit for bit. Every engine runs this
same generator; `hansa.client` is the other half.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from hansa.errors import RoundError, UpdateError, VoidRoundError
from hansa.evaluate.average import average_metrics, round_logs
from hansa.plan import Plan
from hansa.privacy import ClientLevel, MatrixDP
from hansa.protect import clip_of, first_slots, release
from hansa.record import ClientRecord, RoundRecord
from hansa.rng import Seeds
from hansa.server.aggregate import aggregate_with, mean_of
from hansa.server.keras_optimizer import optimizer_step
from hansa.tree import vector_hash
from hansa.types import Answer, Array, Ask, FloatVector, Metrics, Reply, ServerState, Start

Steps = Generator[Ask, Answer, tuple[ServerState, RoundRecord]]
Settle = Callable[[FloatVector], FloatVector]


def first_state(plan: Plan) -> ServerState:
    """Return the server's state before the first round."""
    slots = {**plan.algorithm.server_slots(plan.shared), **first_slots(plan)}
    return ServerState(round=0, weights=plan.shared_part(plan.initial), slots=slots)


def round_steps(plan: Plan, state: ServerState, seeds: Seeds, *, settle: Settle | None = None) -> Steps:
    """Run one round.

    Args:
        plan: The plan of the run.
        state: The server's state before the round.
        seeds: The run's seeds.
        settle: Where a round is done again: takes the weights that it gives, and returns those that it gave.

    Yields:
        Asks: ``"train"`` to the cohort, with the phases of the secure sum around it;
        then ``"evaluate"`` to clients and ``"validate"`` to the server.

    Returns:
        The state after the round, and its record.

    Raises:
        RoundError: If every client of the cohort was dropped.
        UpdateError: If the updates do not fit the model or one another.
    """
    # Draw who takes part.
    cohort = plan.draw(state.round, seeds)

    # Train locally, and add the updates up.
    start = Start(
        round=state.round,
        weights=state.weights,
        extra=plan.algorithm.broadcast(state),
        learning_rate=state.learning_rate,
        seed=_seed(plan, seeds, state.round),
        clip_l2=clip_of(state),
    )
    reduce = "keep" if callable(plan.aggregate) else "sum"
    ask = Ask(phase="train", clients=cohort, payload=start, reduce=reduce)
    norm, new, void, kept = 0.0, state, "", {}
    private = plan.private if isinstance(plan.private, ClientLevel) else None
    try:
        answer = yield from plan.sums.collect(ask, number=state.round)
        # Aggregate to one mean. An empty cohort (possible with Poisson) leaves the model as it is.
        if private is not None:
            mean, kept = release(plan, state, start, answer, seeds)
        else:
            mean = _mean(plan, start, answer) if cohort else None
    except VoidRoundError as error:
        void, mean = str(error), None
        answer = Answer(replies={}, dropped=dict.fromkeys(cohort, "the round is void"))
        if isinstance(private, MatrixDP):  # its promise counts releases: this one is noise alone
            mean, kept = release(plan, state, start, answer, seeds)
    if mean is not None:
        # Update the global model. An overflow is told below, with a remedy.
        with np.errstate(all="ignore"):
            change = mean[: plan.shared.size]
            # Not np.linalg.norm: BLAS threads would spin on, and take a core from the next round's clients.
            norm = float(np.sqrt(np.einsum("i,i->", change, change)))
            share = len(answer.replies) if private is None else private.expected
            new = _update(plan, state, mean, share=share / len(plan.clients))
        if not np.isfinite(new.weights).all():
            raise RoundError(
                f"round {state.round} would make the global model NaN or infinite (update norm {norm:.3g}). "
                "The model is left as it was. Lower the learning rate, or clip the clients' gradients."
            )
    new = dataclasses.replace(new, round=state.round + 1, slots={**new.slots, **kept})
    if settle is not None:
        new = dataclasses.replace(new, weights=settle(new.weights))

    # Evaluate the new model, on the clients' own rows and on the server's set.
    measure = _measured if plan.telling is None else _told
    measured = yield from measure(plan, new, answer, cohort)
    central = None
    if plan.server_validates and _is_due(plan, new):
        validated = yield Ask(phase="validate", clients=("@server",), payload=new.weights)
        central = validated.replies["@server"].metrics["validation"]
    record = RoundRecord(
        round=state.round,
        cohort=cohort,
        dropped=answer.dropped,
        corrected=answer.corrected,
        void=void,
        clipped=measured.clipped if private is None else 0,
        privacy=_charged(plan, start, cohort),
        logs=round_logs(training=measured.training, clients=measured.clients, central=central),
        clients=_client_records(
            answer.replies, measured.replies, counts=not isinstance(plan.private, ClientLevel)
        ),
        model_hash=vector_hash(new.weights),
        update_norm=norm,
        bytes_down=answer.bytes_down + measured.bytes_down,
        bytes_up=answer.bytes_up + measured.bytes_up,
    )
    return new, record


def _charged(plan: Plan, start: Start, cohort: tuple[str, ...]) -> dict[str, Any]:
    """Return the entry of the ledger of privacy for this round; a void one is charged too."""
    if plan.private is None:
        return {}
    clip_l2 = {} if start.clip_l2 is None else {"clip_l2": start.clip_l2}
    return {**plan.private.charged(start.round, cohort), **clip_l2}


def _seed(plan: Plan, seeds: Seeds, number: int) -> bytes:
    """Return the seed of a round's rotation, which everyone may know beforehand but nobody chooses."""
    rotates = plan.encoder is not None and plan.encoder.rotates
    return seeds.stream("rotation", number).bytes(32) if rotates else b""


def _mean(plan: Plan, start: Start, answer: Answer) -> Array:
    if not answer.replies:
        reasons = "; ".join(f"{name}: {why}" for name, why in answer.dropped.items()) or "no client answered"
        raise RoundError(
            f"round {start.round} has no usable update ({reasons}). The model is left as it was. If training "
            "diverged, lower the clients' learning rate; if data hold NaN, impute them."
        )
    if callable(plan.aggregate):
        deltas = {name: reply.delta for name, reply in answer.replies.items() if reply.delta is not None}
        return aggregate_with(plan.aggregate, deltas)
    if answer.total is None:
        raise RoundError(f"round {start.round}: the engine returned no sum. This is a fault of the engine.")
    if plan.encoder is None:
        return mean_of(answer.total)
    total = answer.total
    try:
        return plan.encoder.mean(total.vector.astype(np.int64), total.count, seed=start.seed)
    except UpdateError as error:
        raise VoidRoundError(str(error)) from error


def _update(plan: Plan, state: ServerState, mean: Array, *, share: float) -> ServerState:
    if plan.server_optimizer is None:
        return plan.algorithm.server_step(state, mean, plan.shared, share=share)
    weights, slots = optimizer_step(
        plan.server_optimizer, plan.shared, weights=state.weights, mean=mean, slots=state.slots
    )
    return dataclasses.replace(state, weights=weights, slots={**state.slots, **slots})


@dataclass(frozen=True, kw_only=True)
class _Measured:
    """What clients told: mean metrics of training and on validation rows; and replies, if each did."""

    training: Metrics = field(default_factory=dict)
    clients: Metrics = field(default_factory=dict)
    clipped: int = 0
    replies: Mapping[str, Reply] = field(default_factory=dict)
    bytes_down: int = 0
    bytes_up: int = 0


Measuring = Generator[Ask, Answer, _Measured]


def _is_due(plan: Plan, state: ServerState) -> bool:
    return state.round % plan.validation_freq == 0


def _measured(plan: Plan, state: ServerState, trained: Answer, cohort: tuple[str, ...]) -> Measuring:
    """Let clients measure the new model, each in the clear."""
    asked = {"all": plan.clients, "cohort": cohort, "none": ()}[plan.clients_validate]
    asked = tuple(name for name in asked if name in plan.validating) if plan.validating else ()
    answer = Answer(replies={})
    if asked and _is_due(plan, state):
        answer = yield Ask(phase="evaluate", clients=asked, payload=state.weights)
    told = trained.replies.values()
    return _Measured(
        training=average_metrics((r.examples, r.metrics.get("training", {})) for r in told),
        clients=average_metrics((r.examples, r.metrics["validation"]) for r in answer.replies.values()),
        clipped=sum(reply.clipped for reply in told),
        replies=answer.replies,
        bytes_down=answer.bytes_down,
        bytes_up=answer.bytes_up,
    )


def _told(plan: Plan, state: ServerState, trained: Answer, cohort: tuple[str, ...]) -> Measuring:  # noqa: ARG001
    """Let clients tell metrics of their training and of the new model through a secure sum."""
    if plan.telling is None or plan.tally is None:
        return _Measured()
    asked = plan.clients if plan.clients_validate == "all" else cohort
    due = plan.clients_validate != "none" and _is_due(plan, state)
    ask = Ask(phase="tell", clients=asked, payload=state.weights if due else None)
    try:
        answer = yield from plan.telling.collect(ask, number=state.round - 1)
        means, clipped = plan.tally.decode(answer.total.vector.astype(np.int64)) if answer.total else ({}, 0)
    except (VoidRoundError, UpdateError):
        return _Measured()  # too few answered: there are no metrics of this round
    return _Measured(
        training=means.get("training", {}),
        clients=means.get("validation", {}),
        clipped=clipped,
        bytes_down=answer.bytes_down,
        bytes_up=answer.bytes_up,
    )


def _client_records(
    replies: Mapping[str, Reply], validated: Mapping[str, Reply], *, counts: bool
) -> dict[str, ClientRecord]:
    """Return what is kept of each client; without its number of rows where whole clients are protected."""
    records = {}
    for name in dict.fromkeys((*replies, *validated)):
        metrics = replies[name].metrics if name in replies else {}
        if not metrics and name not in validated:
            continue  # behind a secure sum, clients tell nothing of their own
        records[name] = ClientRecord(
            examples=replies[name].examples if counts and name in replies else None,
            training=metrics.get("training", {}),
            before=metrics.get("before", {}),
            after=metrics.get("after", {}),
            validation=validated[name].metrics["validation"] if name in validated else {},
        )
    return records

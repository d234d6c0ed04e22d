"""The loop over rounds: drives the round generator with an engine, callbacks, a target and the run's log."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from hansa.api.callbacks import Callbacks
from hansa.api.interrupts import held_back
from hansa.api.ledger import Ledger
from hansa.engine.engine import Engine
from hansa.errors import ConfigurationError, UnknownNameError
from hansa.plan import Plan
from hansa.record import RoundRecord
from hansa.rng import Seeds
from hansa.round import Steps, first_state, round_steps
from hansa.store.checkpoints import Checkpoint
from hansa.store.run import Run
from hansa.store.sums import Sums
from hansa.tree import vector_hash
from hansa.types import Heard, ServerState

FINISHED, STOPPED, REACHED, INTERRUPTED = "finished", "stopped by a callback", "target reached", "interrupted"


class Progress(Protocol):
    """Is told how a run goes on, to show it. The library itself prints nothing."""

    def begin(self, *, title: str, rounds: int, done: int, clients: int, backend: str) -> None:
        """A run of ``rounds`` rounds begins, of which ``done`` are done already."""
        ...

    def round(self, record: RoundRecord) -> None:
        """A round is finished."""
        ...

    def end(self, status: str) -> None:
        """The run has ended."""
        ...


@dataclass(frozen=True)
class Target:
    """A value of a log at which training is done.

    Attributes:
        name: Name of the log, for example ``"val_accuracy"``.
        value: The value to reach.
    """

    name: str
    value: float

    def reached(self, logs: Mapping[str, float]) -> bool:
        """Whether it is reached: from above for losses and errors, from below for everything else.

        Raises:
            ConfigurationError: If there is no such log.
        """
        if self.name not in logs:
            if not any(_kind(name) == _kind(self.name) for name in logs):
                return False  # a round without evaluation (validation_freq) or without clients (Poisson)
            raise UnknownNameError("log in target", self.name, logs)
        falls = any(part in self.name for part in ("loss", "error", "entropy", "mse", "mae"))
        return logs[self.name] <= self.value if falls else logs[self.name] >= self.value


def check_target(target: Target | None, plan: Plan) -> None:
    """Raise `ConfigurationError` if a target needs an evaluation that the plan does not have."""
    if target is None or _kind(target.name) == "training":
        return
    clients = any(card.examples.get("validation", 0) for card in plan.cards.values())
    clients = clients and plan.clients_validate != "none"
    if not clients and (_kind(target.name) == "clients" or not plan.server_validates):
        raise ConfigurationError(
            f"the target {target.name!r} is never measured: "
            + ("" if plan.server_validates else "fit has no validation rows, and ")
            + "no client validates. Give fit(validation=(x, y)), or clients a Split with validation rows."
        )


def _kind(log: str) -> str:
    """Return where a log comes from: training, the clients' validation rows, or what is called val."""
    return "clients" if log.startswith("clients_val_") else "val" if log.startswith("val_") else "training"


@dataclass(kw_only=True)
class Outcome:
    """Where a run stands. The loop moves it forward round by round.

    Attributes:
        state: The server's state after the last finished round.
        records: What each finished round did.
        status: How the run ended.
        released: Rounds whose result callbacks have seen, whether or not these let them be finished.
    """

    state: ServerState
    records: list[RoundRecord] = field(default_factory=list)
    status: str = INTERRUPTED
    released: int = 0


def run_rounds(
    outcome: Outcome,
    *,
    plan: Plan,
    engine: Engine,
    seeds: Seeds,
    rounds: int,
    callbacks: Callbacks,
    target: Target | None,
    run: Run | None,
    progress: Progress | None,
    past: Iterable[ServerState] = (),
    verifiable: bool = True,
) -> None:
    """Run rounds until ``rounds`` are done, the target is met, or a callback stops it.

    Args:
        outcome: Where the run stands; changed after every finished round, so that an exception loses none.
        plan: The plan of the run.
        engine: Answers the rounds' Asks.
        seeds: The run's seeds.
        rounds: Number of rounds in all, those done included.
        callbacks: Keras callbacks.
        target: Where to stop early, or None.
        run: The run's folder, or None to keep nothing.
        progress: Shows how it goes, or None.
        past: States after the rounds that are done, for callbacks that must catch up on a resumed run.
        verifiable: Whether the run's folder keeps what clients say in a secure sum that can be verified.
    """
    state, ledger = callbacks.begin(first_state(plan)), Ledger(plan)
    if outcome.records:
        _catch_up(callbacks, state, past, outcome.records)
    else:
        outcome.state = state
    outcome.status = _status(outcome, rounds, callbacks, target)
    while outcome.status == INTERRUPTED:
        before = callbacks.round_begin(outcome.state)
        keeps = verifiable and run is not None and plan.sums.verifiable
        heard: list[Heard] | None = [] if keeps else None
        new, record = drive(round_steps(plan, before, seeds), engine, heard)
        outcome.released = new.round
        ended = callbacks.round_end(new, record.logs)
        record = ledger.entered(dataclasses.replace(record, model_hash=vector_hash(ended.weights)))
        engine.forget(record.dropped)
        with held_back():
            if run is not None:
                memories = {**engine.memories, **engine.learned}
                sums = Sums(heard or (), learning_rate=before.learning_rate, is_public=plan.is_public)
                run.commit(
                    record, Checkpoint(state=ended, memories=memories), changed=engine.learned, sums=sums
                )
            engine.commit()
            outcome.state = ended
            outcome.records.append(record)
        if progress is not None:
            progress.round(record)
        outcome.status = _status(outcome, rounds, callbacks, target)
    outcome.state = callbacks.end(outcome.state, outcome.records[-1].logs if outcome.records else {})


def _catch_up(
    callbacks: Callbacks, state: ServerState, past: Iterable[ServerState], records: Iterable[RoundRecord]
) -> None:
    """Show callbacks the rounds that are done, as they saw them; what they change was kept at the time.

    A callback that itself changes the weights at the end of a round sees them as it left them.
    """
    for after, record in zip(past, records, strict=False):
        begun = callbacks.round_begin(state)
        callbacks.round_end(dataclasses.replace(after, learning_rate=begun.learning_rate), record.logs)
        state = after


def drive(steps: Steps, engine: Engine, heard: list[Heard] | None = None) -> tuple[ServerState, RoundRecord]:
    """Run one round's generator to its end, and time its phases.

    Args:
        steps: The generator.
        engine: Answers its Asks.
        heard: Takes what clients said in phases of a secure sum, or None.
    """
    timings: dict[str, float] = {}
    clock, segment = time.perf_counter(), "draw"

    def lap(name: str, parts: Mapping[str, float] | None = None) -> None:
        """Note the time since the last lap: in parts where an engine tells them, the rest under a name."""
        nonlocal clock
        now = time.perf_counter()
        took, clock = now - clock, now
        for part, seconds in (parts or {}).items():
            timings[part] = timings.get(part, 0.0) + seconds
            took -= seconds
        timings[name] = timings.get(name, 0.0) + max(took, 0.0)

    ask = next(steps)
    while True:
        lap(segment)
        answer = engine.answer(ask)
        if heard is not None and ask.place is not None:
            said = {name: reply.message for name, reply in answer.replies.items()}
            heard.append(
                Heard(purpose=ask.place.purpose, phase=ask.phase, messages=said, silent=answer.dropped)
            )
        told = "sum" if ask.place is not None and ask.phase != "train" else ask.phase
        lap("evaluate" if ask.phase in ("evaluate", "validate", "tell") else told, answer.timings_s)
        # After the updates the server steps; after measurements it only writes them down.
        segment = "sum" if ask.place is not None else "step" if ask.phase == "train" else "other"
        try:
            ask = steps.send(answer)
        except StopIteration as end:
            lap(segment)
            state, record = end.value
            return state, dataclasses.replace(record, timings_s=timings)


def _status(outcome: Outcome, rounds: int, callbacks: Callbacks, target: Target | None) -> str:
    logs: Mapping[str, Any] = outcome.records[-1].logs if outcome.records else {}
    if callbacks.stop:
        return STOPPED
    if target is not None and outcome.records and target.reached(logs):
        return REACHED
    return FINISHED if len(outcome.records) >= rounds else INTERRUPTED

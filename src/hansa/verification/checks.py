"""Verification of a run from its log alone: every round is done again, without any secret.

Anyone can do this: an auditor, a hospital that took part, the coordinator after a year. The configuration is
the one that clients signed for; every signature and every proof is checked, every sealed sum is added up and
opened again within its bounds, every server step is taken again from the model before. What is at odds is
located.

Assumes:
    That the log is the one that is meant: whoever can write the folder can write another run into it, with
    other keys. Compare the head of the log, or the hash of the roster, with one that you got elsewhere.

Guarantees:
    A changed byte of configuration, log or blobs is found. Where the verdict is ``"verified"``, each model is
    what the server's step makes of the sum of the updates that these keys sealed in that round.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from hansa.errors import HansaError, LogError, MissingExtraError
from hansa.plan import Plan
from hansa.record import RoundRecord
from hansa.round import first_state
from hansa.store.history import history_line
from hansa.store.log import Entry
from hansa.store.rounds import merge
from hansa.store.sums import get_sums
from hansa.tree import vector_hash
from hansa.types import FloatVector, Heard, ServerState
from hansa.verification.ledger import check_ledger
from hansa.verification.rebuild import NotRebuilt, rebuilt, why_not
from hansa.verification.replay import Replay, replayed
from hansa.verification.result import RoundCheck, Step, Verdict, Verification
from hansa.verification.source import Source, opened

TOLERANCE = 1e-4
"""Of the largest change of a weight: how far a Keras optimizer's step may differ on another machine."""
_PRIVATE_METRICS = "Metrics were not added up again: no noise covers them, so that they are not public."
_SERVERS_WORD = "val_ metrics, on the server's own rows, are the coordinator's word."
_NO_PROOF = "Clients prove nothing of their updates in this run (a secure sum without proof)."

Progress = Callable[[int, int], None]


def verify(
    run: Path | str, *, head: str = "", roster: str = "", progress: Progress | None = None
) -> Verification:
    """Check a run from its log alone.

    Args:
        run: The run's folder, or the bundle that `export` wrote.
        head: The hash of the log's last entry, if you know it from elsewhere.
        roster: The hash of the roster, if you know it from elsewhere.
        progress: Is told how many rounds of how many are checked.

    Raises:
        RunError: If there is no run at this path.
        MissingExtraError: If a package that checking needs is not installed.
    """
    begun, checking = time.perf_counter(), _Checking()
    try:
        with opened(run) as source:
            checking.begin(source, head=head, roster=roster)
            checking.go_through(source, progress)
    except HansaError as error:
        if isinstance(error, MissingExtraError) or not _is_run(Path(run)):
            raise
        checking.failure = str(error)
    return checking.result(time.perf_counter() - begun)


def _is_run(path: Path) -> bool:
    """Whether there is a run that could be at odds with itself."""
    return path.is_file() or (path / "log" / "public.jsonl").is_file()


@dataclass(kw_only=True)
class _Again:
    """What rounds are done again with.

    Attributes:
        plan: The server's half.
        state: The server's state before the next round.
        proven: Whether clients prove norms.
        lost: Whether a round could not be done again, so that those after it cannot.
    """

    plan: Plan
    state: ServerState
    proven: bool
    lost: bool = False


@dataclass(frozen=True, kw_only=True)
class _Told:
    """What the log says of one round.

    Attributes:
        body: The public entry's.
        record: The round's record; None where the private log is not there.
        model: The model after it; None where it is not there.
        heard: What clients said.
    """

    body: Mapping[str, Any]
    record: RoundRecord | None
    model: FloatVector | None
    heard: Mapping[tuple[str, str], Heard]

    def check(self) -> RoundCheck:
        """Return what is told, before anything is done again."""
        known = self.record
        return RoundCheck(
            round=self.body["round"],
            clients=self.body.get("cohort_size") if known is None else len(known.cohort),
            summed=None if known is None else len(known.cohort) - len(known.dropped),
            left_out={} if known is None else known.dropped,
            void="" if known is None else known.void,
            epsilon=self.body.get("privacy", {}).get("epsilon"),
            model_hash=str(self.body.get("model_hash")),
        )


@dataclass
class _Checking:
    """What is found out while a run is checked."""

    failure: str = ""
    unchecked: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    rounds: list[RoundCheck] = field(default_factory=list)
    told: dict[str, str] = field(default_factory=dict)

    def begin(self, source: Source, *, head: str, roster: str) -> None:
        """Note whose log this is, and compare it with what is known from elsewhere."""
        config, first = source.config, source.public[0]
        self.told = {
            "head": source.head,
            "roster": config.get("roster", {}).get("hash", ""),
            "config": first.body["config"],
            "title": str(config.get("title", "")),
        }
        for what, known in (("head", head), ("roster", roster)):
            if known and known.lower() != self.told[what]:
                raise LogError(
                    f"this is another log: the hash of its {what} is {self.told[what] or '(none)'}, "
                    f"and you know {known}."
                )

    def go_through(self, source: Source, progress: Progress | None) -> None:
        """Check every round, and what the log says at its end."""
        pairs = list(source.rounds())
        again, lines = self._again(source), []
        for number, (public, private) in enumerate(pairs):
            clock = time.perf_counter()
            try:
                told = _read(source, public, private)
                check = told.check() if again is None else self._round(again, told)
            except HansaError as error:
                text = str(error)
                raise LogError(text if text.startswith("round ") else f"round {number}: {text}") from error
            self.rounds.append(dataclasses.replace(check, seconds=time.perf_counter() - clock))
            if told.record is not None:
                lines.append(history_line(told.record))
            if progress is not None:
                progress(number + 1, len(pairs))
        self._check_privacy(source, pairs)
        _check_history(source, lines)
        self.told["finished"] = _end(source, self.rounds)

    def result(self, seconds: float) -> Verification:
        """Return what was found."""
        verdict: Verdict = "failed" if self.failure else "intact" if self.unchecked else "verified"
        return Verification(
            verdict=verdict,
            failure=self.failure,
            unchecked=tuple(dict.fromkeys(self.unchecked)),
            notes=tuple(dict.fromkeys(self.notes)),
            rounds=tuple(self.rounds),
            seconds=seconds,
            **self.told,
        )

    def _again(self, source: Source) -> _Again | None:
        """Return what rounds are done again with, or None where they cannot be."""
        started = next((entry.body for entry in source.public if entry.kind == "started"), {})
        initial = _weights(source, started.get("initial", ""))
        if initial is not None and vector_hash(initial) != source.config.get("initial_weights"):
            raise LogError("the first model is not the one of the configuration.")
        why = why_not(source.config) or ("the first model is not in the log" if initial is None else "")
        plan = None
        try:
            plan = None if why or initial is None else rebuilt(source.config, initial)
        except NotRebuilt as error:
            why = str(error)
        if plan is None:
            self.unchecked.append(why)
            return None
        self.told["proves"] = plan.proves
        self.notes += [] if plan.proves else [_NO_PROOF]
        self.notes += [_SERVERS_WORD] if plan.server_validates else []
        return _Again(plan=plan, state=first_state(plan), proven=bool(plan.proves))

    def _round(self, again: _Again, told: _Told) -> RoundCheck:
        """Do a round again, and compare it with what the log says."""
        check = told.check()
        if again.lost:
            return check
        if ("train", "train") not in told.heard:
            again.lost = True
            self.unchecked.append(f"what clients sent was not kept from round {check.round} on")
            return check
        before = dataclasses.replace(again.state, learning_rate=told.body.get("learning_rate"))
        logs = told.body.get("logs", {}) if told.record is None else told.record.logs
        replay = Replay(told.heard, logs)
        self.notes += [] if again.plan.telling is None or replay.has_metrics else [_PRIVATE_METRICS]
        new, record = replayed(again.plan, before, replay)
        step = _compared_model(again.plan, before, new, told)
        _compare(record, told, metrics=replay.has_metrics)
        if step == "close" and told.model is not None:
            new = dataclasses.replace(new, weights=told.model)
        again.state = new
        summed = len(record.cohort) - len(record.dropped)
        return dataclasses.replace(
            check,
            clients=len(record.cohort),
            summed=summed,
            left_out=record.dropped,
            void=record.void,
            proofs=summed if again.proven else 0,
            sums=True,
            step=step,
        )

    def _check_privacy(self, source: Source, pairs: list[tuple[Entry, Entry | None]]) -> None:
        if "privacy" not in source.config or not pairs:
            return
        charged = [
            public.body.get("privacy", {}) if private is None else merge(public, private).privacy
            for public, private in pairs
        ]
        if why := check_ledger(source.config, charged):
            self.unchecked.append(why)


def _read(source: Source, public: Entry, private: Entry | None) -> _Told:
    """Return what the log says of a round.

    Raises:
        LogError: If the model that is kept is not the one that the entry tells, or something cannot be read.
    """
    body = public.body
    model = _weights(source, body.get("weights", ""), may_be_missing=source.bundled)
    if model is not None and vector_hash(model) != body.get("model_hash"):
        raise LogError("the model that is kept is not the one of the log.")
    own = {} if private is None else private.body
    return _Told(
        body=body,
        record=None if private is None else merge(public, private),
        model=model,
        heard={**get_sums(source.blobs, body), **get_sums(source.blobs, own)},
    )


def _weights(source: Source, blob: str, *, may_be_missing: bool = False) -> FloatVector | None:
    """Return the weights in a blob; None where there are none."""
    if not blob or (may_be_missing and not (source.blobs.folder / blob[:2] / blob).exists()):
        return None
    weights = source.blobs.get_arrays(blob).get("weights")
    if weights is None or weights.dtype != np.float32 or weights.ndim != 1:
        raise LogError(f"blob {blob} holds no weights.")
    return weights


def _compared_model(plan: Plan, before: ServerState, new: ServerState, told: _Told) -> Step:
    """Compare the model of the log with the one that the sum gives."""
    found, model = vector_hash(new.weights), told.model
    if found == told.body["model_hash"]:
        return "exact"
    if plan.server_optimizer is not None and model is not None:
        change = float(np.abs(model - before.weights).max(initial=0.0))
        if float(np.abs(model - new.weights).max(initial=0.0)) <= TOLERANCE * change:
            return "close"
    raise LogError(
        "the model is not what the server's step makes of the sum of the updates: its hash is "
        f"{told.body['model_hash'][:16]}…, and the step gives {found[:16]}…. (A callback that changes "
        "weights does this, too.)"
    )


def _compare(record: RoundRecord, told: _Told, *, metrics: bool) -> None:
    """Raise `LogError` where a round done again is not what the log says of it."""
    body, known = told.body, told.record
    pairs: list[tuple[str, Any, Any]] = []
    if known is not None:
        names = ("cohort", "dropped", "void", "corrected", "update_norm")
        pairs += [(name, getattr(known, name), getattr(record, name)) for name in names]
    counts = (("cohort_size", len(record.cohort)), ("dropped_count", len(record.dropped)))
    pairs += [(name, body[name], value) for name, value in counts if name in body]
    if metrics and "logs" in body:
        pairs.append(("logs", dict(body["logs"]), dict(record.logs)))
    for name, said, found in pairs:
        if said != found:
            raise LogError(
                f"the log says {name} = {_short(said)}, and doing the round again gives {_short(found)}."
            )


def _check_history(source: Source, lines: list[bytes]) -> None:
    path = source.folder / "history.jsonl"
    if source.private is None or not path.is_file():
        return
    if path.read_bytes() != b"".join(lines):
        raise LogError(f"{path} is not what the log says; hansa run --resume writes it anew from the log.")


def _end(source: Source, rounds: list[RoundCheck]) -> str:
    """Return how the log says that the run ended, compared with its last round; empty where it does not."""
    last = source.public[-1]
    if last.kind == "round" or "model_hash" not in last.body:
        return ""
    expected = rounds[-1].model_hash if rounds else None
    if last.body.get("rounds") != len(rounds) or last.body["model_hash"] != expected:
        raise LogError(
            f"the log ends with a model of {last.body.get('rounds')} rounds, and has {len(rounds)}."
        )
    return f"{last.kind} {last.body.get('time', '')}".strip()


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 200 else f"{text[:197]}..."

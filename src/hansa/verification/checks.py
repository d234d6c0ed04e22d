"""Verification of a run from its log alone: every round is done again, without any secret.

Anyone can do this: an auditor, a hospital that took part, the coordinator after a year. The configuration is the
one that clients signed for; every signature and every proof is checked, every sealed sum is added up and opened
again within its bounds, every server step is taken again from the model before. What is found at odds is located.

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
from typing import Any, Literal

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
from hansa.types import FloatVector, ServerState
from hansa.verification.ledger import check_ledger
from hansa.verification.rebuild import NotRebuilt, rebuilt, why_not
from hansa.verification.replay import Replay, replayed
from hansa.verification.source import Source, opened

Verdict = Literal["verified", "intact", "failed"]
TOLERANCE = 1e-4
"""Of the largest change of a weight: how far a Keras optimizer's step may differ on another machine."""


@dataclass(frozen=True, kw_only=True)
class RoundCheck:
    """What was checked of one round.

    Attributes:
        round: Its number, from 0.
        clients: Who was asked; None where only the coordinator knows.
        summed: How many updates are in the sum; None where that cannot be known.
        left_out: Reason by client, for the others.
        proofs: How many proofs of norms were checked and hold.
        void: Why the sum was not used, if so.
        sums: Whether all sums were added up and opened again.
        step: ``"exact"``, ``"close"`` (a Keras optimizer) or ``""`` where the step was not taken again.
        epsilon: What the ledger of privacy tells; None without a plan.
        model_hash: Of the model after it.
        seconds: How long that took.
    """

    round: int
    clients: int | None = None
    summed: int | None = None
    left_out: Mapping[str, str] = field(default_factory=dict)
    proofs: int = 0
    void: str = ""
    sums: bool = False
    step: Literal["exact", "close", ""] = ""
    epsilon: float | None = None
    model_hash: str = ""
    seconds: float = 0.0


@dataclass(frozen=True, kw_only=True)
class Verification:
    """What verifying a run has shown.

    Attributes:
        verdict: ``"verified"``: all holds. ``"intact"``: nothing is at odds, but sums or steps could not be done
            again, for the reasons in ``unchecked``. ``"failed"``: something is at odds.
        failure: What, and where.
        unchecked: What was not checked, and why.
        notes: What the reader of a verdict should know besides.
        rounds: Round by round, up to a failure.
        head: Hash of the public log's last entry.
        roster: Hash of the roster; empty without one.
        config: Hash of the configuration.
        title: The run's title.
        proves: What clients have proven of their updates; empty without proofs.
        finished: How the run ended, as its log tells; empty where it does not.
        seconds: How long it took.
    """

    verdict: Verdict
    failure: str = ""
    unchecked: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    rounds: tuple[RoundCheck, ...] = ()
    head: str = ""
    roster: str = ""
    config: str = ""
    title: str = ""
    proves: str = ""
    finished: str = ""
    seconds: float = 0.0

    @property
    def ok(self) -> bool:
        """Whether nothing is at odds."""
        return self.verdict != "failed"

    def to_json(self) -> dict[str, Any]:
        """Return it as plain dicts, lists, numbers and strings."""
        return dataclasses.asdict(self)


def verify(
    run: Path | str, *, head: str = "", roster: str = "", progress: Callable[[int, int], None] | None = None
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
    begun = time.perf_counter()
    checking = _Checking(progress=progress or (lambda done, of: None))
    try:
        with opened(run) as source:
            checking.begin(source, head=head, roster=roster)
            checking.rounds_of(source)
    except (LogError, HansaError) as error:
        if isinstance(error, MissingExtraError) or not checking.is_run(run):
            raise
        checking.failure = str(error)
    return checking.result(time.perf_counter() - begun)


@dataclass
class _Checking:
    """What is found out while a run is checked."""

    progress: Callable[[int, int], None]
    failure: str = ""
    unchecked: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    rounds: list[RoundCheck] = field(default_factory=list)
    told: dict[str, str] = field(default_factory=dict)

    def is_run(self, run: Path | str) -> bool:
        """Whether there is a run that could be at odds with itself."""
        path = Path(run)
        return path.is_file() or (path / "log" / "public.jsonl").is_file()

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

    def rounds_of(self, source: Source) -> None:
        """Check every round, and what the log says at its end."""
        pairs = list(source.rounds())
        again = self._again(source)
        lines = []
        for number, (public, private) in enumerate(pairs):
            clock = time.perf_counter()
            try:
                check = self._round(source, public, private, again)
            except HansaError as error:
                text = str(error)
                raise LogError(text if text.startswith("round ") else f"round {number}: {text}") from error
            self.rounds.append(dataclasses.replace(check, seconds=time.perf_counter() - clock))
            lines.append(b"" if private is None else history_line(merge(public, private)))
            self.progress(number + 1, len(pairs))
        self._privacy(source, pairs)
        self._history(source, lines)
        self._end(source)

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

    # ------------------------------------------------------------------ rounds

    def _again(self, source: Source) -> _Again | None:
        """Return what rounds are done again with, or None where they cannot be."""
        config = source.config
        why = why_not(config)
        started = next((entry for entry in source.public if entry.kind == "started"), None)
        initial = _weights(source, started.body["initial"] if started and "initial" in started.body else "")
        if initial is not None and vector_hash(initial) != config.get("initial_weights"):
            raise LogError("the first model is not the one of the configuration.")
        if not why and initial is None:
            why = "the first model is not in the log"
        if why:
            self.unchecked.append(why)
            return None
        try:
            plan = rebuilt(config, np.asarray(initial))
        except NotRebuilt as error:
            self.unchecked.append(str(error))
            return None
        proven = getattr(plan.secure_sum, "proof", None) is not None
        if proven:
            self.told["proves"] = plan.sums.explain().rpartition(" Every client proves ")[2]
        else:
            self.notes.append("Clients prove nothing of their updates here (secure sum without a proof).")
        if plan.server_validates:
            self.notes.append("val_ metrics on the server's own rows are the coordinator's word.")
        return _Again(plan=plan, state=first_state(plan), proven=proven)

    def _round(
        self, source: Source, public: Entry, private: Entry | None, again: _Again | None
    ) -> RoundCheck:
        body, number = public.body, public.body["round"]
        known = None if private is None else merge(public, private)
        model = _weights(source, body.get("weights", ""), missing=source.bundled)
        if model is not None and vector_hash(model) != body.get("model_hash"):
            raise LogError("the model that is kept is not the one of the log.")
        check = RoundCheck(
            round=number,
            clients=len(known.cohort) if known else body.get("cohort_size"),
            summed=len(known.cohort) - len(known.dropped) if known else None,
            left_out={} if known is None else known.dropped,
            void="" if known is None else known.void,
            epsilon=body.get("privacy", {}).get("epsilon"),
            model_hash=str(body.get("model_hash")),
        )
        if again is None or again.lost:
            return check
        heard = {**get_sums(source.blobs, body), **get_sums(source.blobs, {} if private is None else private.body)}
        if ("train", "train") not in heard:
            again.lost = True
            self.unchecked.append(f"from round {number} on the log does not have what clients sent (verifiable=False)")
            return check
        return self._replayed(again, body, known, heard, model, check)

    def _replayed(
        self,
        again: _Again,
        body: Mapping[str, Any],
        known: RoundRecord | None,
        heard: Any,
        model: FloatVector | None,
        check: RoundCheck,
    ) -> RoundCheck:
        """Do a round again, and compare."""
        before = dataclasses.replace(again.state, learning_rate=body.get("learning_rate"))
        logs = known.logs if known is not None else body.get("logs", {})
        replay = Replay(heard, logs)
        if again.plan.telling is not None and not replay.has_metrics:
            self.notes.append("Metrics were not added up again: no noise covers them, so that they are private.")
        new, record = replayed(again.plan, before, replay)
        step = self._step(again, before, new, model, body)
        _compare(record, body, known, metrics=replay.has_metrics)
        again.state = new if step == "exact" or model is None else dataclasses.replace(new, weights=model)
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

    def _step(
        self, again: _Again, before: ServerState, new: ServerState, model: FloatVector | None, body: Mapping[str, Any]
    ) -> Literal["exact", "close"]:
        """Compare a model with what the sum gives."""
        if vector_hash(new.weights) == body["model_hash"]:
            return "exact"
        if again.plan.server_optimizer is not None and model is not None:
            change = float(np.abs(model - before.weights).max(initial=0.0))
            if float(np.abs(model - new.weights).max(initial=0.0)) <= TOLERANCE * change:
                return "close"
        raise LogError(
            "the model is not what the server's step makes of the sum of the updates: its hash is "
            f"{body['model_hash'][:16]}…, and the step gives {vector_hash(new.weights)[:16]}…. A callback that "
            "changes weights does this, too."
        )

    # ------------------------------------------------------------------ all of the run

    def _privacy(self, source: Source, pairs: Any) -> None:
        if "privacy" not in source.config or not pairs:
            return
        charged = [
            public.body.get("privacy", {}) if private is None else merge(public, private).privacy
            for public, private in pairs
        ]
        if why := check_ledger(source.config, charged):
            self.unchecked.append(why)

    def _history(self, source: Source, lines: list[bytes]) -> None:
        path = source.folder / "history.jsonl"
        if source.private is None or not path.is_file():
            return
        if path.read_bytes() != b"".join(lines):
            raise LogError(f"{path} is not what the log says; hansa run --resume writes it anew from the log.")

    def _end(self, source: Source) -> None:
        """Compare what the log says at the run's end with its last round."""
        last = source.public[-1]
        if "model_hash" not in last.body or last.kind == "round":
            self.told["finished"] = "not finished, or not closed: more may have followed"
            return
        done = len(self.rounds)
        expected = self.rounds[-1].model_hash if done else None
        if last.body["rounds"] != done or last.body["model_hash"] != expected:
            raise LogError(f"the log ends with a model of {last.body['rounds']} rounds; it has {done}.")
        self.told["finished"] = f"{last.kind} after {done} rounds, {last.body.get('time', '')}"


@dataclass
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

def _weights(source: Source, blob: str, *, missing: bool = False) -> FloatVector | None:
    """Return the weights in a blob; None where there are none."""
    if not blob:
        return None
    if missing and not (source.blobs.folder / blob[:2] / blob).exists():
        return None
    weights = source.blobs.get_arrays(blob).get("weights")
    if weights is None or weights.dtype != np.float32 or weights.ndim != 1:
        raise LogError(f"blob {blob} holds no weights.")
    return weights


def _compare(
    record: RoundRecord, body: Mapping[str, Any], known: RoundRecord | None, *, metrics: bool
) -> None:
    """Raise `LogError` where a round done again is not what the log says of it."""
    pairs: list[tuple[str, Any, Any]] = []
    if known is not None:
        for name in ("cohort", "void", "corrected", "dropped", "update_norm"):
            pairs.append((name, getattr(known, name), getattr(record, name)))
    else:
        for name, value in (("cohort_size", len(record.cohort)), ("dropped_count", len(record.dropped))):
            if name in body:
                pairs.append((name, body[name], value))
    if metrics and "logs" in body:
        pairs.append(("logs", dict(body["logs"]), dict(record.logs)))
    for name, told, found in pairs:
        if told != found:
            raise LogError(f"the log says {name} = {_short(told)}, and doing the round again gives {_short(found)}.")


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 200 else f"{text[:197]}..."

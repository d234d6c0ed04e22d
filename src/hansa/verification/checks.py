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
    what the server's step makes of the sum of the updates that these keys sealed in that round. Nobody is
    said to have given a false proof that it has not signed. Whatever is in a log, checking it ends.

What no log can show:
    Why a client is missing: a coordinator can hold back what it sent, and so leave it out, or make a round
    void. That rounds are missing at the end, unless you know the head, or how many there were. From which
    chance of being drawn, and how many steps, a silo's loss of privacy was worked out. How much was spent
    after each round before the last, of which only that it grows is checked.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hansa.errors import HansaError, LogError, MissingExtraError, RunError
from hansa.plan import Plan
from hansa.round import first_state
from hansa.store.files import read_bounded
from hansa.store.history import history_line
from hansa.store.log import Entry
from hansa.tree import vector_hash
from hansa.types import ServerState
from hansa.verification.certificates import check_certificates
from hansa.verification.compare import ModelCheck, compare
from hansa.verification.ledger import check_ledger
from hansa.verification.rebuild import NotRebuilt, rebuilt, roster_hash, roster_of, why_not
from hansa.verification.replay import Replay, replayed
from hansa.verification.result import RoundCheck, Verdict, Verification
from hansa.verification.source import Source, opened
from hansa.verification.told import MESSAGES, Told, located, read_round, read_weights

_PRIVATE_METRICS = "Metrics were not added up again: no noise covers them, so that they are not public."
_SERVERS_WORD = "val_ metrics, on the server's own rows, are the coordinator's word."
WEAK_BITS = 80
_WEAK_PROOF = f"The proofs of this run can be forged with fewer than 2^{WEAK_BITS} tries: see what is proven."
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
        RunError: If there is no run at this path, or it cannot be read.
        MissingExtraError: If a package that checking needs is not installed.
    """
    begun, checking = time.perf_counter(), _Checking()
    try:
        with opened(run) as source, located(""):
            checking.begin(source, head=head, roster=roster)
            checking.go_through(source, progress)
    except HansaError as error:
        unreadable = isinstance(error, RunError) and not isinstance(error, LogError)
        if unreadable or isinstance(error, MissingExtraError):
            raise
        checking.failure = str(error)
    return checking.result(time.perf_counter() - begun)


@dataclass(kw_only=True)
class _Again:
    """What rounds are done again with.

    Attributes:
        plan: The server's half.
        state: The server's state before the next round.
        lost: Whether a round could not be done again, so that those after it cannot.
    """

    plan: Plan
    state: ServerState
    lost: bool = False


@dataclass
class _Checking:
    """What is found out while a run is checked."""

    failure: str = ""
    unchecked: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    rounds: list[RoundCheck] = field(default_factory=list)
    facts: dict[str, str] = field(default_factory=dict)

    def begin(self, source: Source, *, head: str, roster: str) -> None:
        """Note whose log this is, and compare it with what is known from elsewhere."""
        self.facts = {
            "head": source.head,
            "config": str(source.public[0].body["config"]),
            "title": str(source.config.get("title", "")),
        }
        with located("config.json"):
            self.facts["roster"] = roster_hash(source.config)
        for what, known in (("head", head), ("roster", roster)):
            if known and known.lower() != self.facts[what]:
                raise LogError(
                    f"this is another log: the hash of its {what} is {self.facts[what] or '(none)'}, "
                    f"and you know {known}."
                )

    def go_through(self, source: Source, progress: Progress | None) -> None:
        """Check every round, and what the log says at its end."""
        pairs = list(source.rounds())
        self.unchecked += [] if pairs else ["the log has no round"]
        with located("config.json"):
            again = self._again(source)
        if "claims" in source.config:
            with located("claims about data"):
                roster = roster_of(source.config["roster"])
                self.facts["claims"] = check_certificates(source, roster, source.config["claims"])
        charged, lines = [], []
        for number, (public, private) in enumerate(pairs):
            clock = time.perf_counter()
            with located(f"round {number}"):
                told = read_round(source, public, private)
                check = told.check() if again is None else self._round(again, told, source)
            self.rounds.append(dataclasses.replace(check, seconds=time.perf_counter() - clock))
            charged.append(told.privacy)
            lines += [] if told.record is None else [history_line(told.record)]
            if progress is not None:
                progress(number + 1, len(pairs))
        with located("the ledger of privacy"):
            self._check_privacy(source, charged)
        with located("what clients and server keep"):
            source.check_checkpoints()
        _check_history(source, b"".join(lines))
        self.facts["finished"] = _end(source.public[-1], self.rounds)

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
            **self.facts,
        )

    def _again(self, source: Source) -> _Again | None:
        """Return what rounds are done again with, or None where they cannot be."""
        started = next((entry.body for entry in source.public if entry.kind == "started"), {})
        initial = read_weights(source, started["initial"]) if "initial" in started else None
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
        self.facts["proves"] = plan.proves
        self.notes += [] if plan.proves else [_NO_PROOF]
        self.notes += [_WEAK_PROOF] if 0 < plan.secure_sum.proof_bits < WEAK_BITS else []
        self.notes += [_SERVERS_WORD] if plan.server_validates else []
        return _Again(plan=plan, state=first_state(plan))

    def _round(self, again: _Again, told: Told, source: Source) -> RoundCheck:
        """Do a round again, and compare it with what the log says."""
        check, plan = told.check(), again.plan
        if again.lost:
            return check
        if MESSAGES not in told.heard:
            again.lost = True
            self.unchecked.append(f"what clients sent was not kept from round {check.round} on")
            return check
        before = dataclasses.replace(again.state, learning_rate=told.body.get("learning_rate"))
        replay, model = Replay(told.heard, told.logs), ModelCheck(plan, before.weights, told)
        if plan.telling is not None and not replay.has_metrics:
            if "privacy" not in source.config or source.private is not None:
                raise LogError("the log does not have what clients told of their metrics.")
            self.notes.append(_PRIVATE_METRICS)
        again.state, record = replayed(plan, before, replay, model.settle)
        compare(record, told, metrics=replay.has_metrics)
        summed = len(record.cohort) - len(record.dropped)
        return dataclasses.replace(
            check,
            clients=len(record.cohort),
            summed=summed,
            left_out=record.dropped,
            void=record.void,
            proofs=summed if plan.proves else 0,
            sums=True,
            step=model.step,
        )

    def _check_privacy(self, source: Source, charged: list[Mapping[str, Any]]) -> None:
        if "privacy" in source.config and charged and (why := check_ledger(source.config, charged)):
            self.unchecked.append(why)


def _check_history(source: Source, content: bytes) -> None:
    path = source.folder / "history.jsonl"
    if source.private is None or not path.is_file():
        return
    if path.stat().st_size != len(content) or read_bounded(path, len(content)) != content:
        raise LogError(f"{path} is not what the log says; hansa run --resume writes it anew from the log.")


def _end(last: Entry, rounds: list[RoundCheck]) -> str:
    """Return how the log says that the run ended, compared with its rounds; empty where it does not.

    A callback may have put an earlier model back (`keras.callbacks.EarlyStopping` does).
    """
    if last.kind == "round" or "model_hash" not in last.body:
        return ""
    if last.body.get("rounds") != len(rounds):
        raise LogError(
            f"the log ends with a model of {last.body.get('rounds')!r:.20} rounds, and has {len(rounds)}."
        )
    models = [check.model_hash for check in rounds]
    if last.body["model_hash"] not in models:
        raise LogError("the log ends with a model that is not the one after any of its rounds.")
    ended = f"{last.kind} {last.body.get('time', '')}".strip()
    if last.body["model_hash"] == models[-1]:
        return ended
    return f"{ended} with the model of round {models.index(last.body['model_hash'])}"

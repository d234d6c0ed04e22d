"""Progress as plain lines, one per round: for log files and pipes."""

from __future__ import annotations

import sys
import time
from typing import TextIO

from hansa.record import RoundRecord
from hansa.ui.words import Eta, clock, counted, number, shown_logs, who


class PlainProgress:
    """Writes one plain line per round, without colours or cursor movements."""

    def __init__(self, file: TextIO | None = None, *, metric: str = "", why: str = "") -> None:
        """Set it up.

        Args:
            file: Where to write; standard output if None.
            metric: The metric to show; the first of the logs if empty.
            why: Why this backend is used, told in the first line.
        """
        self._file, self._metric, self._why = sys.stdout if file is None else file, metric, why
        self._eta = Eta(rounds=0, done=0, now=time.monotonic())
        self._clients = 0

    def begin(self, *, title: str, rounds: int, done: int, clients: int, backend: str) -> None:
        """Write the title, the clients and the backend."""
        self._eta = Eta(rounds=rounds, done=done, now=time.monotonic())
        self._clients = clients
        why = f" ({self._why})" if self._why else ""
        self.say(f"{title} | {counted(clients, 'client')} | {counted(rounds, 'round')} | {backend}{why}")
        if done:
            self.say(f"going on after round {done}/{rounds}")

    def round(self, record: RoundRecord) -> None:
        """Write the round's line."""
        self._eta.round(time.monotonic())
        logs = shown_logs(record.logs, self._metric).items()
        values = [f"{name} {number(value)}" for name, value in logs if value is not None]
        if "epsilon" in (spent := record.privacy):
            values.append(f"ε {spent['epsilon']:.3g} (δ {spent['delta']:.2g})")
        cohort = who(len(record.cohort), self._clients, list(record.dropped), record.void)
        parts = [
            f"round {record.round + 1:>{len(str(self._eta.rounds))}}/{self._eta.rounds}",
            *values,
            f"clients {cohort}",
        ]
        if record.void:
            parts.append(f"({record.void})")
        if left := self._eta.left_s():
            parts.append(f"ETA {clock(left)}")
        self.say("  ".join(parts))

    def end(self, status: str) -> None:
        """Write how the run ended and how long it took."""
        took = clock(self._eta.elapsed_s(time.monotonic()))
        self.say(f"{status} after round {self._eta.done}/{self._eta.rounds}, in {took}")

    def step(self, text: str) -> None:
        """Write what comes next, after the rounds."""
        self.say(text)

    def close(self) -> None:
        """Nothing is left to clean up."""

    def say(self, line: str) -> None:
        """Write one line at once."""
        self._file.write(line + "\n")
        self._file.flush()

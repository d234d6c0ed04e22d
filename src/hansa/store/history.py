"""``history.jsonl``: one round a line for people to read; derived from the log and written anew from it."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from pathlib import Path

from hansa.errors import HansaError, LogError
from hansa.record import RoundRecord
from hansa.store.canonical import canonical_json
from hansa.store.files import read_bounded, write_all, write_atomic


def history_line(record: RoundRecord) -> bytes:
    """Return a record as a line of the history."""
    return canonical_json(record.to_json()) + b"\n"


class History:
    """The history's file. What cannot be written is made up for later, since the log has it all."""

    def __init__(self, path: Path, lines: Iterable[bytes]) -> None:
        """Make the file hold these lines."""
        self._path = path
        self._behind = True
        self._replace(lines)

    def add(self, record: RoundRecord, everything: Callable[[], Iterable[RoundRecord]]) -> None:
        """Append the record of a committed round.

        Args:
            record: The round's record.
            everything: Gives the records of all rounds, used where an earlier write failed.
        """
        if self._behind:
            try:
                lines = [history_line(r) for r in everything()]
            except (HansaError, OSError):
                return
            self._replace(lines)
            return
        try:
            descriptor = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_NOFOLLOW)
            try:
                self._behind = True
                write_all(descriptor, history_line(record))
                self._behind = False
            finally:
                os.close(descriptor)
        except OSError:
            self._behind = True

    def _replace(self, lines: Iterable[bytes]) -> None:
        content = b"".join(lines)
        try:
            if not self._holds(content):
                write_atomic(self._path, content)
            self._behind = False
        except OSError:
            self._behind = True

    def _holds(self, content: bytes) -> bool:
        try:
            return read_bounded(self._path, len(content)) == content
        except (FileNotFoundError, LogError):
            return False

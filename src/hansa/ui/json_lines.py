"""Progress as JSON lines: for programs that watch a run."""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Mapping
from typing import Any, TextIO

from hansa.record import RoundRecord


class JsonProgress:
    """Writes one JSON object per round: ``event`` is ``"round"``, the rest is the `RoundRecord`.

    What each single client reported is left out; it is in the run's ``history.jsonl``.
    """

    def __init__(self, file: TextIO | None = None) -> None:
        """Set it up.

        Args:
            file: Where to write; standard output if None.
        """
        self._file = sys.stdout if file is None else file

    def begin(self, *, title: str, rounds: int, done: int, clients: int, backend: str) -> None:
        """Write nothing: a line is a round."""

    def round(self, record: RoundRecord) -> None:
        """Write the round's object."""
        values = record.to_json()
        del values["clients"]
        self.write({"event": "round", **values})

    def end(self, status: str) -> None:
        """Write nothing: the caller writes the last object."""

    def step(self, text: str) -> None:
        """Write nothing: a line is a round."""

    def close(self) -> None:
        """Nothing is left to clean up."""

    def write(self, value: Mapping[str, Any]) -> None:
        """Write one object on a line of its own. Numbers that JSON does not have become null."""
        self._file.write(json.dumps(_finite(value), ensure_ascii=False, allow_nan=False) + "\n")
        self._file.flush()


def _finite(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _finite(inner) for key, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(inner) for inner in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value

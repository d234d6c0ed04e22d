"""What a run's log says of one round, read strictly."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from hansa.errors import HansaError, LogError, MissingExtraError, RunError
from hansa.record import RoundRecord
from hansa.store.log import Entry
from hansa.store.rounds import merge
from hansa.store.sums import get_sums
from hansa.tree import vector_hash
from hansa.types import FloatVector, Heard
from hansa.verification.replay import as_told
from hansa.verification.result import RoundCheck
from hansa.verification.source import Source

MESSAGES = ("train", "train")
"""Purpose and phase in which clients send their updates."""


@dataclass(frozen=True, kw_only=True)
class Told:
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

    @property
    def logs(self) -> Mapping[str, float]:
        """The round's logs, as far as they are there."""
        return self.body.get("logs", {}) if self.record is None else self.record.logs

    @property
    def privacy(self) -> Mapping[str, Any]:
        """What the round was charged for, as far as it is there."""
        return self.body.get("privacy", {}) if self.record is None else self.record.privacy

    def check(self) -> RoundCheck:
        """Return what is told, before anything is done again."""
        known, epsilon = self.record, self.privacy.get("epsilon")
        return RoundCheck(
            round=self.body["round"],
            clients=self.body.get("cohort_size") if known is None else len(known.cohort),
            summed=None if known is None else len(known.cohort) - len(known.dropped),
            left_out={} if known is None else {name: as_told(why) for name, why in known.dropped.items()},
            void=as_told(known.void) if known is not None and known.void else "",
            epsilon=None if epsilon is None else float(epsilon),
            model_hash=self.body["model_hash"],
        )


@contextlib.contextmanager
def located(place: str) -> Iterator[None]:
    """Turn whatever a log can cause into a `LogError` that names the place.

    Raises:
        LogError: If the log is at odds with itself, or holds what Hansa does not write.
        RunError: If a file cannot be read.
        MissingExtraError: If a package is missing.
    """
    try:
        yield
    except MissingExtraError:
        raise
    except HansaError as error:
        if isinstance(error, RunError) and not isinstance(error, LogError):
            raise
        text = str(error)
        raise LogError(text if not place or text.startswith(place) else f"{place}: {text}") from error
    except Exception as error:  # a log can be anything: whoever wrote it must not choose how this ends
        where = f"{place}: " if place else ""
        raise LogError(f"{where}the log holds what Hansa does not write ({error!r:.200}).") from error


def read_round(source: Source, public: Entry, private: Entry | None) -> Told:
    """Return what the log says of a round.

    Raises:
        LogError: If the model that is kept is not the one that the entry tells, or something cannot be read.
    """
    body = public.body
    _check_types(body)
    model = read_weights(source, body["weights"], may_be_missing=not source.keeps(body["round"]))
    if model is not None and vector_hash(model) != body["model_hash"]:
        raise LogError("the model that is kept is not the one of the log.")
    hidden = get_sums(source.blobs, {} if private is None else private.body)
    heard = get_sums(source.blobs, body)
    if heard.keys() & hidden.keys():
        raise LogError("the messages of one sum are in the public and in the private log.")
    return Told(
        body=body,
        record=None if private is None else merge(public, private),
        model=model,
        heard={**heard, **hidden},
    )


def read_weights(source: Source, blob: str, *, may_be_missing: bool = False) -> FloatVector | None:
    """Return the weights in a blob; None where it is not there, and need not be.

    Raises:
        LogError: If there is no such blob, or it holds no weights.
    """
    if may_be_missing and not source.blobs.has(blob):
        return None
    weights = source.blobs.get_arrays(blob).get("weights")
    if weights is None or weights.dtype != np.float32 or weights.ndim != 1:
        raise LogError(f"blob {blob} holds no weights.")
    return weights


def _check_types(body: Mapping[str, Any]) -> None:
    """Raise `LogError` where what is told of a round is of another type than Hansa writes."""
    rate = body.get("learning_rate")
    for name, kind, value in (
        ("weights", str, body.get("weights")),
        ("model_hash", str, body.get("model_hash")),
        ("logs", dict, body.get("logs", {})),
        ("privacy", dict, body.get("privacy", {})),
        ("cohort_size", int, body.get("cohort_size", 0)),
        ("dropped_count", int, body.get("dropped_count", 0)),
        ("learning_rate", float, 0.0 if rate is None else rate),
    ):
        if type(value) is not kind:
            raise LogError(f"{name} is {value!r:.60}; expected {kind.__name__}.")

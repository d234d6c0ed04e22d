"""What the phases of every secure sum share, on the server's side."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Iterable, Mapping
from typing import Any, TypeVar

import numpy as np

from hansa.crypto.encoding import digest
from hansa.errors import ConfigurationError
from hansa.secure_sum.interface import Run
from hansa.secure_sum.roster import Place
from hansa.types import Answer, Ask, FloatVector, Start, Total

T = TypeVar("T")


def pinned(run: Run | None) -> Run:
    """Return the run that a secure sum belongs to.

    Raises:
        ConfigurationError: If it belongs to none.
    """
    if run is None:
        raise ConfigurationError("a secure sum needs a roster of its members before its first round.")
    return run


def place_of(run: Run, ask: Ask, number: int) -> Place:
    """Return where the messages of a sum belong."""
    return Place(
        configuration=run.configuration,
        roster=run.roster.hash,
        payload=payload_hash(ask.payload),
        round=number,
        attempt=0,
        cohort=ask.clients,
        purpose=ask.phase,
    )


def payload_hash(payload: Start | FloatVector | None) -> bytes:
    """Return the hash of all that an Ask for vectors gives to a client, 32 bytes.

    Server and clients work it out, each from what it has: vectors that were computed from unlike payloads
    must not meet in one sum, since a server that chose these could leave only one of them unlike zero.
    """
    if payload is None:
        return digest("payload.none")
    if isinstance(payload, Start):
        arrays = {"": payload.weights, **payload.extra}
        parts = [part for name in sorted(arrays) for part in (name, *_array_parts(arrays[name]))]
        rate = "" if payload.learning_rate is None else float(payload.learning_rate).hex()
        return digest("payload.start", payload.round, rate, payload.seed, *parts)
    return digest("payload.weights", *_array_parts(payload))


def _array_parts(array: Any) -> tuple[str, str, bytes]:
    plain = np.ascontiguousarray(array)
    return plain.dtype.str, repr(plain.shape), hashlib.sha256(plain.data).digest()


def said(answer: Answer, kind: type[T]) -> dict[str, T]:
    """Return the messages of this kind that came, by client."""
    return {name: reply.message for name, reply in answer.replies.items() if type(reply.message) is kind}


def summed(
    trained: Answer,
    later: Iterable[Answer],
    total: Any,
    survivors: tuple[str, ...],
    *,
    dropped: Mapping[str, str],
    wrong: Iterable[str],
) -> Answer:
    """Return the answer to the Ask for vectors, with what the phases around it gave.

    Args:
        trained: The answer to the Ask for vectors.
        later: The answers to the other phases.
        total: Sum of the survivors' vectors, int64.
        survivors: Whose vectors are in it.
        dropped: Reason by client, for the others.
        wrong: Clients whose answers were wrong and were corrected; the fault may be a dealer's.
    """
    later = tuple(later)
    timings = dict(trained.timings_s)
    kept = {
        name: dataclasses.replace(trained.replies[name], message=None)
        for name in trained.replies
        if name in survivors
    }
    return dataclasses.replace(
        trained,
        replies=kept,
        total=Total(vector=np.asarray(total, np.float64), weight=float(len(survivors)), count=len(survivors)),
        dropped={**dropped, **trained.dropped},
        corrected=dict.fromkeys(wrong, "shares that it gave, or was dealt, were wrong, and were corrected"),
        bytes_down=trained.bytes_down + sum(answer.bytes_down for answer in later),
        bytes_up=trained.bytes_up + sum(answer.bytes_up for answer in later),
        timings_s=timings,
    )

"""What clients said in a round's secure sums, in the run's log: what anyone needs to add them up again.

    "sums": {"train": {"train": {"blobs": {"a": <name>, ...}, "silent": {"b": "why"}}, "deliver": ..., ...},
             "tell": {...}},
    "learning_rate": null

A blob has the messages of one client in the first phase, which are large, or of all in another.
"""

from __future__ import annotations

import dataclasses
import json
import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from hansa.errors import LogError
from hansa.record import RoundRecord
from hansa.secure_sum.messages import Malformed
from hansa.secure_sum.written import read_written, write
from hansa.store.blobs import Blobs, encode_arrays
from hansa.store.canonical import canonical_json, parse_json
from hansa.types import Array, Heard

_MESSAGES = "messages"
_ALL = "all"
_KINDS = {
    "train": "SealedVector",
    "tell": "SealedVector",
    "deliver": "Complaints",
    "lock": "Lock",
    "open": "Opening",
}
"""What clients say in each phase."""
_VARIES = "deliver"
"""The phase in which some have much to say, and most have nothing."""


@dataclass(frozen=True)
class Sums:
    """What clients said in a round, to be kept.

    Attributes:
        heard: Phase by phase.
        learning_rate: The clients' learning rate that a callback has set, which seals are bound to.
        is_public: Whether anyone may see the messages of a sum for this purpose.
    """

    heard: Sequence[Heard] = ()
    learning_rate: float | None = None
    is_public: Callable[[str], bool] = lambda _: True


def put_sums(blobs: Blobs, sums: Sums, record: RoundRecord) -> tuple[dict[str, Any], dict[str, Any]]:
    """Keep messages; return what the public and what the private entry of the round say of them."""
    bodies: tuple[dict[str, Any], dict[str, Any]] = ({}, {})
    for heard in sums.heard:
        body = bodies[0 if sums.is_public(heard.purpose) else 1]
        body.setdefault(heard.purpose, {})[heard.phase] = _put(blobs, heard, record)
    public: dict[str, Any] = {"sums": bodies[0]} if bodies[0] else {}
    private: dict[str, Any] = {"sums": bodies[1]} if bodies[1] else {}
    if public and sums.learning_rate is not None:
        public["learning_rate"] = sums.learning_rate
    return public, private


def get_sums(blobs: Blobs, body: Mapping[str, Any]) -> dict[tuple[str, str], Heard]:
    """Return what `put_sums` kept, by purpose and phase.

    Raises:
        LogError: If something is missing, changed, or no message; says which.
    """
    found = {}
    for purpose, phases in _object(body.get("sums", {})).items():
        for phase, told in _object(phases).items():
            found[purpose, phase] = _get(blobs, purpose, phase, _object(told))
    return found


def message_blobs(body: Mapping[str, Any]) -> set[str]:
    """Return the blobs in which the messages of a round are.

    Not whatever looks like a blob's name: reasons are texts that clients choose.
    """
    phases = [told for sums in body.get("sums", {}).values() for told in sums.values()]
    return {name for told in phases for name in told["blobs"].values()}


def _kind(phase: str) -> tuple[type, Any]:
    from hansa.secure_sum.sealed import messages

    if phase not in _KINDS:
        raise LogError(f"a sum has the phase {phase[:40]!r}; expected one of {', '.join(_KINDS)}.")
    return getattr(messages, _KINDS[phase]), messages.FIELDS


def _put(blobs: Blobs, heard: Heard, record: RoundRecord) -> dict[str, Any]:
    """Keep the messages of a phase.

    Whoever sends no message, or one far larger than the others', is kept by the reason why it is left out:
    else it could fill the disk.
    """
    kind, fields = _kind(heard.phase)
    written, silent = {}, dict(heard.silent)
    for number, (name, message) in enumerate(heard.messages.items()):
        if name in silent:
            continue
        try:
            written[name] = write(_loggable(message), kind, fields, str(number))
        except Malformed as error:
            silent[name] = str(error)
    for name in () if heard.phase == _VARIES else _oversized(written):
        del written[name]
        silent[name] = record.dropped.get(name, "what came was far larger than what others sent")
    first = heard.phase == heard.purpose
    groups = {name: {name: one} for name, one in written.items()} if first else {_ALL: written}
    order = {name: number for number, name in enumerate(heard.messages)}
    return {
        "blobs": {label: blobs.put(_encoded(group, order)) for label, group in groups.items() if group},
        "silent": silent,
    }


def _oversized(written: Mapping[str, tuple[Any, Mapping[str, Array]]]) -> list[str]:
    """Return who sent more than twice what is usual.

    Messages that a sum is made of are of about the same size, and more than half of all that came; so that
    what is this large is in none.
    """
    sizes = {
        name: len(canonical_json(value)) + sum(array.nbytes for array in arrays.values())
        for name, (value, arrays) in written.items()
    }
    usual = statistics.median_low(sizes.values()) if sizes else 0
    return [name for name, size in sizes.items() if size > 2 * usual]


def _loggable(message: Any) -> Any:
    """Return a message without what nobody may keep: envelopes are known by their hashes.

    Where a client sent hashes or a length itself, which is a fault, it has neither; that is a fault, too.
    """
    from hansa.secure_sum.sealed.messages import SealedVector, envelope_hash

    if type(message) is not SealedVector or type(message.envelopes) is not tuple:
        return message
    if not all(type(envelope) is bytes for envelope in message.envelopes):
        return message
    if message.hashes or message.length:
        return dataclasses.replace(message, envelopes=(), hashes=(), length=0)
    lengths = set(map(len, message.envelopes))
    return dataclasses.replace(
        message,
        envelopes=(),
        hashes=tuple(map(envelope_hash, message.envelopes)),
        length=lengths.pop() if len(lengths) == 1 else 0,
    )


def _encoded(group: Mapping[str, tuple[Any, Mapping[str, Array]]], order: Mapping[str, int]) -> bytes:
    """Return messages as arrays; names of arrays have a client's number, since a name can be any text."""
    told = {name: {"number": order[name], "message": value} for name, (value, _) in group.items()}
    arrays = {at: array for _, own in group.values() for at, array in own.items()}
    return encode_arrays({**arrays, _MESSAGES: np.frombuffer(canonical_json(told), np.uint8)})


def _get(blobs: Blobs, purpose: str, phase: str, told: Mapping[str, Any]) -> Heard:
    kind, fields = _kind(phase)
    messages: dict[str, Any] = {}
    for label, blob in _object(told.get("blobs", {})).items():
        where = f"the {phase} messages ({label}) of the sum to {purpose}"
        try:
            found = blobs.get_arrays(blob)
            for name, one in _object(parse_json(found[_MESSAGES].tobytes())).items():
                messages[name] = read_written(one["message"], found, kind, fields, str(one["number"]))
        except LogError as error:
            raise LogError(f"{where}: {error}") from error
        except (KeyError, Malformed, TypeError, ValueError) as error:
            raise LogError(f"{where}: blob {blob} holds no messages: {error}.") from error
    silent = {name: str(why) for name, why in _object(told.get("silent", {})).items()}
    if both := sorted(messages.keys() & silent):
        raise LogError(f"in the phase {phase} of the sum to {purpose} {both[0]!r} both spoke and was silent.")
    return Heard(purpose=purpose, phase=phase, messages=messages, silent=silent)


def _object(value: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise LogError(f"expected an object in what a round says of its sums, got {json.dumps(value)[:60]}.")
    return value

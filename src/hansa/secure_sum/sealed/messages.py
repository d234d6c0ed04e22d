"""What travels in a sealed sum. Each message is bound to its place by a signature.

Both halves read what comes with `read`: nothing of the sender's but plain values is taken.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

import numpy as np

from hansa.crypto.encoding import digest
from hansa.crypto.field import Field
from hansa.secure_sum.roster import Place

T = TypeVar("T")


@dataclass(frozen=True, kw_only=True)
class SealedVector:
    """A client's sealed vector, for the server.

    Attributes:
        sender: The client.
        seal: Shape ``(elements, 4096)``.
        envelopes: One for each holder, in order of holders: its share of the key.
        signature: Over place, sender, hash of the seal and of the envelopes.
    """

    sender: str
    seal: Field
    envelopes: tuple[bytes, ...]
    signature: bytes

    @functools.cached_property
    def entry(self) -> Entry:
        """What holders are told of it."""
        hashes = tuple(map(envelope_hash, self.envelopes))
        return Entry(
            sender=self.sender, seal=seal_hash(self.seal), envelopes=hashes, signature=self.signature
        )


@dataclass(frozen=True, kw_only=True)
class Entry:
    """A sealed vector by its hashes.

    Attributes:
        sender: The client.
        seal: Hash of the seal.
        envelopes: Hash of each envelope, in order of holders.
        signature: As in `SealedVector`.
    """

    sender: str
    seal: bytes
    envelopes: tuple[bytes, ...]
    signature: bytes

    @functools.cached_property
    def root(self) -> bytes:
        """Hash of the hashes of all envelopes."""
        return envelopes_root(self.envelopes)


@dataclass(frozen=True, kw_only=True)
class Deliver:
    """The server gives one holder its envelopes.

    Attributes:
        entries: What was sealed, in order of the cohort.
        envelopes: The holder's envelope of each entry, in the same order.
    """

    entries: tuple[Entry, ...]
    envelopes: tuple[bytes, ...]


@dataclass(frozen=True)
class Complaints:
    """A holder's answer to `Deliver`: whose envelope it cannot use, and why."""

    reasons: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Survivors:
    """Whose vectors the server says are in the sum (U), in order of the cohort."""

    names: tuple[str, ...]


@dataclass(frozen=True)
class Lock:
    """A holder's signature that it knows one set of survivors, and will know no other for this attempt."""

    signature: bytes


@dataclass(frozen=True)
class Locks:
    """The server shows the locks of all holders, by name."""

    signatures: Mapping[str, bytes]


@dataclass(frozen=True, kw_only=True)
class Opening:
    """A holder's share of the sum of the keys.

    Attributes:
        share: Sum of its shares of the survivors' keys, shape ``(4096,)``.
        signature: Over place, survivors and share.
    """

    share: Field
    signature: bytes


class Malformed(ValueError):  # noqa: N818 - what is said of a message
    """A message that is not made of the fields and types of its kind."""


_FIELDS: dict[type, dict[str, Any]] = {  # (x,) is a tuple of any number of x
    SealedVector: {"sender": str, "seal": np.ndarray, "envelopes": (bytes,), "signature": bytes},
    Entry: {"sender": str, "seal": bytes, "envelopes": (bytes,), "signature": bytes},
    Deliver: {"entries": (Entry,), "envelopes": (bytes,)},
    Complaints: {"reasons": {str: str}},
    Survivors: {"names": (str,)},
    Lock: {"signature": bytes},
    Locks: {"signatures": {str: bytes}},
    Opening: {"share": np.ndarray, "signature": bytes},
    Place: {
        **{"configuration": bytes, "roster": bytes, "payload": bytes, "round": int, "attempt": int},
        **{"cohort": (str,), "purpose": str},
    },
}


def read(message: Any, kind: type[T]) -> T:
    """Return a message of a kind, made anew of its fields.

    Values are of these very types: an object of a subclass could say one thing when it is checked and
    another when it is used. What a message computes of itself (hashes, holders) is computed here again.

    Raises:
        Malformed: If it is of another kind, or a field is missing or of another type.
    """
    return _read(message, kind)


def _read(value: Any, shape: Any) -> Any:
    if isinstance(shape, tuple):
        if type(value) is tuple:
            return tuple(_read(one, shape[0]) for one in value)
    elif isinstance(shape, dict):
        if type(value) is dict:
            ((key, of),) = shape.items()
            return {_read(k, key): _read(v, of) for k, v in value.items()}
    elif type(value) is shape:
        if shape not in _FIELDS:
            return value
        return shape(**{name: _read(vars(value).get(name), each) for name, each in _FIELDS[shape].items()})
    wanted = getattr(shape, "__name__", None) or f"a {type(shape).__name__}"
    raise Malformed(f"a message is malformed: {type(value).__name__:.40} is in the place of {wanted}")


def seal_hash(seal: Field) -> bytes:
    """Return the hash of a seal."""
    return digest("seal", *seal.shape, np.ascontiguousarray(seal, "<u8").tobytes())


def envelope_hash(envelope: bytes) -> bytes:
    """Return the hash of an envelope."""
    return digest("envelope", envelope)


def envelopes_root(hashes: Iterable[bytes]) -> bytes:
    """Return the hash of the hashes of a client's envelopes, in order of holders."""
    return digest("envelopes", *hashes)


def share_hash(share: Field) -> bytes:
    """Return the hash of a share."""
    return digest("share", np.ascontiguousarray(share, "<u8").tobytes())


def survivors_hash(entries: tuple[Entry, ...]) -> bytes:
    """Return H(U): names, seals, envelopes and signatures of the survivors."""
    parts = [part for e in entries for part in (e.sender, e.seal, e.root, e.signature)]
    return digest("survivors", *parts)

"""What travels in a sealed sum. Each message is bound to its place by a signature."""

from __future__ import annotations

import functools
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import numpy as np

from hansa.crypto.encoding import digest
from hansa.crypto.field import Field
from hansa.secure_sum.messages import PLACE, Fields

NO_PROOF = digest("proof.rest", b"")


@dataclass(frozen=True, kw_only=True)
class SealedVector:
    """A client's sealed vector, for the server.

    Attributes:
        sender: The client.
        seal: Shape ``(elements, 4096)``.
        envelopes: One for each holder, in order of holders: its share of the key.
        signature: Over place, sender, hash of the seal, of the envelopes and of the proof.
        proof: That the vector is within its norm and the key is the one that was shared; empty where the
            run has none.
        head: How many bytes of the proof holders are given, to check their shares.
        hashes: Of the envelopes, in their place where a log has kept the rest: never from a client.
        length: Bytes of each of those envelopes; 0 where they are of several lengths.
    """

    sender: str
    seal: Field
    envelopes: tuple[bytes, ...]
    signature: bytes
    proof: bytes = b""
    head: int = 0
    hashes: tuple[bytes, ...] = ()
    length: int = 0

    @functools.cached_property
    def entry(self) -> Entry:
        """What holders are told of it."""
        hashes = self.hashes or tuple(map(envelope_hash, self.envelopes))
        return Entry(
            sender=self.sender,
            seal=seal_hash(self.seal),
            envelopes=hashes,
            signature=self.signature,
            head=self.proof[: self.head],
            rest=digest("proof.rest", self.proof[self.head :]),
        )


@dataclass(frozen=True, kw_only=True)
class Entry:
    """A sealed vector by its hashes.

    Attributes:
        sender: The client.
        seal: Hash of the seal.
        envelopes: Hash of each envelope, in order of holders.
        signature: As in `SealedVector`.
        head: The beginning of the proof: hashes of all shares, and the polynomial that each is checked with.
        rest: Hash of the rest of it.
    """

    sender: str
    seal: bytes
    envelopes: tuple[bytes, ...]
    signature: bytes
    head: bytes = b""
    rest: bytes = NO_PROOF

    @functools.cached_property
    def root(self) -> bytes:
        """Hash of the hashes of all envelopes."""
        return envelopes_root(self.envelopes)

    @functools.cached_property
    def proof(self) -> bytes:
        """Hash of the proof."""
        return digest("proof", self.head, self.rest)

    @property
    def signed(self) -> tuple[bytes, ...]:
        """What the sender signs."""
        proven = self.head or self.rest != NO_PROOF
        return (self.seal, self.root, self.proof) if proven else (self.seal, self.root)


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


FIELDS: Fields = {
    **PLACE,
    SealedVector: {
        **{"sender": str, "seal": np.ndarray, "envelopes": (bytes,), "signature": bytes},
        **{"proof": bytes, "head": int, "hashes": (bytes,), "length": int},
    },
    Entry: {
        **{"sender": str, "seal": bytes, "envelopes": (bytes,), "signature": bytes},
        **{"head": bytes, "rest": bytes},
    },
    Deliver: {"entries": (Entry,), "envelopes": (bytes,)},
    Complaints: {"reasons": {str: str}},
    Survivors: {"names": (str,)},
    Lock: {"signature": bytes},
    Locks: {"signatures": {str: bytes}},
    Opening: {"share": np.ndarray, "signature": bytes},
}
"""What messages are made of (`hansa.secure_sum.messages`)."""


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
    """Return H(U): names, seals, envelopes, proofs and signatures of the survivors."""
    parts = [part for e in entries for part in (e.sender, *e.signed, e.signature)]
    return digest("survivors", *parts)

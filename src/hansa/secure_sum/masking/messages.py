"""What travels in a masked sum. Each message is bound to its place by a signature."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from hansa.crypto.encoding import digest
from hansa.crypto.field import Field
from hansa.secure_sum.masking.masks import Words
from hansa.secure_sum.messages import PLACE, Fields
from hansa.secure_sum.roster import Place


@dataclass(frozen=True, kw_only=True)
class Advert:
    """A client's mask key of this attempt.

    Attributes:
        sender: The client.
        public: X25519 public key, 32 bytes.
        signature: Over place, sender and key.
    """

    sender: str
    public: bytes
    signature: bytes


@dataclass(frozen=True)
class Adverts:
    """All keys that were advertised, in order of the cohort: what the graph is computed from."""

    entries: tuple[Advert, ...]

    def root(self, place: Place) -> bytes:
        """Return the hash of place, names and keys."""
        keys = [part for entry in self.entries for part in (entry.sender, entry.public)]
        return digest("masking.adverts", *place.parts, *keys)


@dataclass(frozen=True, kw_only=True)
class Deal:
    """A client's shares, for the server to carry.

    Attributes:
        sender: The client.
        commitment: Hash of the seed of its self-mask, by which a wrong one is found.
        envelopes: For each of its neighbours, in order of the cohort: its share of seed and key.
        signature: Over place, sender, hash of the adverts, commitment and hash of the envelopes.
    """

    sender: str
    commitment: bytes
    envelopes: tuple[bytes, ...] = field(repr=False)
    signature: bytes

    @functools.cached_property
    def entry(self) -> Dealt:
        """What all clients are told of it."""
        return Dealt(
            sender=self.sender,
            commitment=self.commitment,
            envelopes=envelopes_hash(self.envelopes),
            signature=self.signature,
        )


@dataclass(frozen=True, kw_only=True)
class Dealt:
    """That a client has dealt its shares.

    Attributes:
        sender: The client.
        commitment: As in `Deal`.
        envelopes: Hash of all its envelopes.
        signature: As in `Deal`.
    """

    sender: str
    commitment: bytes
    envelopes: bytes
    signature: bytes


@dataclass(frozen=True, kw_only=True)
class Deals:
    """What one client is given with the Ask to train.

    Attributes:
        entries: Who has dealt shares, in order of the cohort; the same for all clients.
        envelopes: This client's envelope of each neighbour among them, by dealer.
    """

    entries: tuple[Dealt, ...]
    envelopes: Mapping[str, bytes] = field(repr=False)

    def root(self, adverts: bytes) -> bytes:
        """Return the hash of who has dealt what, and of the adverts."""
        parts = [p for e in self.entries for p in (e.sender, e.commitment, e.envelopes, e.signature)]
        return digest("masking.deals", adverts, *parts)


@dataclass(frozen=True, kw_only=True)
class MaskedVector:
    """A client's masked vector, for the server.

    Attributes:
        sender: The client.
        vector: Words of 32 or 64 bits, shape ``(dimension,)``.
        signature: Over place, sender, hash of adverts and deals, and hash of the vector.
    """

    sender: str
    vector: Words
    signature: bytes

    @functools.cached_property
    def entry(self) -> Masked:
        """What all clients are told of it."""
        return Masked(sender=self.sender, vector=vector_hash(self.vector), signature=self.signature)


@dataclass(frozen=True, kw_only=True)
class Masked:
    """A masked vector by its hash.

    Attributes:
        sender: The client.
        vector: Hash of the vector.
        signature: As in `MaskedVector`.
    """

    sender: str
    vector: bytes
    signature: bytes


@dataclass(frozen=True)
class Survivors:
    """Whose masked vectors the server says have come (U), in order of the cohort."""

    entries: tuple[Masked, ...]

    def hash(self, deals: bytes) -> bytes:
        """Return H(U): names, vectors and signatures of the survivors, and the hash of adverts and deals."""
        parts = [part for e in self.entries for part in (e.sender, e.vector, e.signature)]
        return digest("masking.survivors", deals, *parts)


@dataclass(frozen=True)
class Lock:
    """A client's signature that it knows one set of survivors, and will know no other for this attempt."""

    signature: bytes


@dataclass(frozen=True)
class Locks:
    """The server shows the locks of all survivors, by name."""

    signatures: Mapping[str, bytes]


@dataclass(frozen=True, kw_only=True)
class Unmasking:
    """A client's shares: of a dealer's seed if the dealer is a survivor, else of its private mask key.

    Attributes:
        shares: Five field elements by dealer.
        signature: Over place, sender, survivors and shares.
    """

    shares: Mapping[str, Field] = field(repr=False)
    signature: bytes


FIELDS: Fields = {
    **PLACE,
    Advert: {"sender": str, "public": bytes, "signature": bytes},
    Adverts: {"entries": (Advert,)},
    Deal: {"sender": str, "commitment": bytes, "envelopes": (bytes,), "signature": bytes},
    Dealt: {"sender": str, "commitment": bytes, "envelopes": bytes, "signature": bytes},
    Deals: {"entries": (Dealt,), "envelopes": {str: bytes}},
    MaskedVector: {"sender": str, "vector": np.ndarray, "signature": bytes},
    Masked: {"sender": str, "vector": bytes, "signature": bytes},
    Survivors: {"entries": (Masked,)},
    Lock: {"signature": bytes},
    Locks: {"signatures": {str: bytes}},
    Unmasking: {"shares": {str: np.ndarray}, "signature": bytes},
}
"""What messages are made of (`hansa.secure_sum.messages`)."""


def envelopes_hash(envelopes: tuple[bytes, ...]) -> bytes:
    """Return the hash of a dealer's envelopes, in order of the cohort."""
    return digest("masking.envelopes", *envelopes)


def vector_hash(vector: Any) -> bytes:
    """Return the hash of a vector of words, or of residues."""
    return digest("masking.vector", vector.dtype.str, vector.tobytes())


def seed_hash(seed: bytes, place: Place, sender: str) -> bytes:
    """Return the commitment to the seed of a client's self-mask. A seed of 32 random bytes stays hidden."""
    return digest("masking.seed", *place.parts, sender, seed)


def shares_hash(shares: Mapping[str, Field]) -> bytes:
    """Return the hash of shares by dealer."""
    parts = [part for name, row in shares.items() for part in (name, np.asarray(row, "<u8").tobytes())]
    return digest("masking.shares", *parts)

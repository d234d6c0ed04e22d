"""Sealed envelopes: bytes from one party to another, whoever carries them.

Source:
    X25519 (RFC 7748), HKDF with SHA-256 (RFC 5869), ChaCha20-Poly1305 (RFC 8439), all from `cryptography`.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, field

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from hansa.crypto.encoding import encoded
from hansa.crypto.secret import Secret

SALT = 32
TAG = 16
OVERHEAD = SALT + TAG
"""Bytes by which an envelope is longer than what is in it."""

_NONCE = bytes(12)  # a key is used once: its salt is fresh


class EnvelopeError(ValueError):
    """An envelope that is not what its receiver was told."""


@dataclass(frozen=True)
class ExchangeKey:
    """A party's X25519 key pair.

    Attributes:
        private: 32 bytes.
        public: 32 bytes.
    """

    private: Secret
    public: bytes = field(init=False)

    def __post_init__(self) -> None:
        public = X25519PrivateKey.from_private_bytes(self.private.reveal()).public_key()
        object.__setattr__(self, "public", public.public_bytes_raw())

    @classmethod
    def fresh(cls) -> ExchangeKey:
        """Return a new key pair."""
        return cls(Secret.random(32))

    def shared_with(
        self, public: bytes, label: str, *context: bytes | str | int, salt: bytes = b""
    ) -> Secret:
        """Return 32 bytes that this party and the one with that public key can compute, and nobody else.

        Args:
            public: The other party's public key.
            label: What the bytes are for.
            context: All that they belong to; both must give the same.
            salt: Fresh random bytes, where each use needs a key of its own.

        Raises:
            EnvelopeError: If the public key is not one.
        """
        try:
            point = self._private().exchange(X25519PublicKey.from_public_bytes(public))
        except ValueError as error:  # wrong length, or a point of small order
            raise EnvelopeError(f"a public key cannot be used: {error}") from error
        derive = HKDF(algorithm=hashes.SHA256(), length=32, salt=salt, info=encoded(label, *context))
        return Secret(derive.derive(point))

    def _private(self) -> X25519PrivateKey:
        return X25519PrivateKey.from_private_bytes(self.private.reveal())


def put(
    content: bytes,
    *context: bytes | str | int,
    sender: ExchangeKey,
    receiver: bytes,
    random: Callable[[int], bytes] = os.urandom,
) -> bytes:
    """Return content sealed for one receiver.

    Args:
        content: What to send.
        context: What it belongs to (run, round, attempt, names of sender and receiver).
        sender: The sender's keys.
        receiver: The receiver's public key.
        random: Returns random bytes; another one than the operating system's is for tests.

    Guarantees:
        Only the receiver reads it. It opens only with the same context, sender and receiver, so that it can
        be neither sent back nor used elsewhere; a changed byte is found. `OVERHEAD` bytes longer.
    """
    salt = random(SALT)
    key = sender.shared_with(receiver, "envelope", sender.public, receiver, *context, salt=salt)
    return salt + ChaCha20Poly1305(key.reveal()).encrypt(_NONCE, content, encoded("envelope", *context))


def take(
    envelope: bytes, *context: bytes | str | int, sender: bytes, receiver: ExchangeKey, size: int
) -> bytes:
    """Return what is in an envelope.

    Args:
        envelope: The bytes that came.
        context: What it should belong to.
        sender: The sender's public key.
        receiver: The receiver's keys.
        size: How many bytes should be in it.

    Raises:
        EnvelopeError: If it is not of this length, sender, receiver or context, or was changed.
    """
    if len(envelope) != size + OVERHEAD:
        raise EnvelopeError(f"an envelope has {len(envelope)} bytes; {size + OVERHEAD} were expected")
    salt, rest = envelope[:SALT], envelope[SALT:]
    key = receiver.shared_with(sender, "envelope", sender, receiver.public, *context, salt=salt)
    try:
        return ChaCha20Poly1305(key.reveal()).decrypt(_NONCE, rest, encoded("envelope", *context))
    except InvalidTag:
        raise EnvelopeError(
            "an envelope cannot be opened: it is from or for someone else, of another round, or changed"
        ) from None

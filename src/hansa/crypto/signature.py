"""Signatures under Ed25519 (RFC 8032), from `cryptography`."""

from __future__ import annotations

from dataclasses import dataclass, field

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from hansa.crypto.encoding import Part, encoded
from hansa.crypto.secret import Secret

SIZE = 64
"""Bytes of a signature."""


@dataclass(frozen=True)
class SigningKey:
    """A party's Ed25519 key pair.

    Attributes:
        private: 32 bytes.
        public: 32 bytes.
    """

    private: Secret
    public: bytes = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "public", self._private().public_key().public_bytes_raw())

    @classmethod
    def fresh(cls) -> SigningKey:
        """Return a new key pair."""
        return cls(Secret.random(32))

    def sign(self, label: str, *parts: Part) -> bytes:
        """Return the signature of a label and parts (`hansa.crypto.encoding.encoded`)."""
        return self._private().sign(encoded(label, *parts))

    def _private(self) -> Ed25519PrivateKey:
        return Ed25519PrivateKey.from_private_bytes(self.private.reveal())


def is_signed(signature: bytes, public: bytes, label: str, *parts: Part) -> bool:
    """Whether a signature is that of a key's owner on this label and these parts; whatever it is made of."""
    if type(signature) is not bytes or type(public) is not bytes:
        return False
    if len(signature) != SIZE or len(public) != 32:
        return False
    try:
        Ed25519PublicKey.from_public_bytes(public).verify(signature, encoded(label, *parts))
    except (InvalidSignature, ValueError):
        return False
    return True

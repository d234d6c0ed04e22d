"""Commitments by hash: bind to a value now, show it later."""

from __future__ import annotations

import hmac
import os
from dataclasses import dataclass

from hansa.crypto.encoding import Part, digest

SALT = 32


@dataclass(frozen=True)
class Opening:
    """What opens a commitment.

    Attributes:
        salt: 32 random bytes, without which the value cannot be guessed from its commitment.
    """

    salt: bytes

    def __repr__(self) -> str:
        return "Opening(not shown)"


def commit(label: str, *parts: Part) -> tuple[bytes, Opening]:
    """Return a commitment (32 bytes) to a label and parts, and what opens it.

    Guarantees:
        Hiding as long as the salt is secret; binding as long as SHA-256 has no collisions.
    """
    salt = os.urandom(SALT)
    return _hash(salt, label, parts), Opening(salt)


def opens(commitment: bytes, opening: Opening, label: str, *parts: Part) -> bool:
    """Whether a commitment is to this label and these parts."""
    if len(opening.salt) != SALT:
        return False
    return hmac.compare_digest(commitment, _hash(opening.salt, label, parts))


def _hash(salt: bytes, label: str, parts: tuple[Part, ...]) -> bytes:
    return digest("commitment", salt, label, *parts)

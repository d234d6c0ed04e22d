"""One way to turn labelled values into bytes that are hashed, signed or bound to a key."""

from __future__ import annotations

import hashlib

Part = bytes | str | int
_KINDS = {bytes: b"b", str: b"s", int: b"i"}


def encoded(label: str, *parts: Part) -> bytes:
    """Return the bytes of a label and parts.

    Guarantees:
        Two calls give the same bytes only if label, number, kinds and values of all parts are the same.

    Example:
        >>> encoded("x", 1) == encoded("x", "1")
        False
    """
    out = bytearray(b"hansa.v1")
    for part in (label, *parts):
        kind = _KINDS.get(type(part))
        if kind is None:
            raise TypeError(f"only bytes, text and whole numbers can be encoded, got {type(part).__name__}")
        data = part if isinstance(part, bytes) else str(part).encode()
        out += kind + len(data).to_bytes(8, "little") + data
    return bytes(out)


def digest(label: str, *parts: Part) -> bytes:
    """Return the SHA-256 of a label and parts: 32 bytes."""
    return hashlib.sha256(encoded(label, *parts)).digest()

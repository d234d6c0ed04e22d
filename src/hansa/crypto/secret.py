"""Bytes that must not be seen."""

from __future__ import annotations

import hmac
import os
from typing import NoReturn


class Secret:
    """Secret bytes, which do not print, compare in constant time and refuse to be pickled or copied.

    Example:
        >>> Secret(bytes(32))
        Secret(32 bytes)
    """

    __slots__ = ("_value",)

    def __init__(self, value: bytes) -> None:
        """Take the bytes."""
        self._value = bytes(value)

    @classmethod
    def random(cls, size: int = 32) -> Secret:
        """Return fresh bytes of the operating system's generator."""
        return cls(os.urandom(size))

    def reveal(self) -> bytes:
        """Return the bytes. Where this is called, a secret leaves its wrapping."""
        return self._value

    def __len__(self) -> int:
        return len(self._value)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and hmac.compare_digest(self._value, other._value)

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"Secret({len(self._value)} bytes)"

    def __reduce__(self) -> NoReturn:
        raise TypeError("a secret is neither pickled nor copied")

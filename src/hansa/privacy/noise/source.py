"""Random bytes for noise: the keystream of AES-256 in counter mode (NIST SP 800-38A).

A sampler takes 32 bytes from the source that it is given and expands them itself, so that a source may be any
function from a size to so many random bytes: `Source`, `os.urandom`, `hansa.encode.randomness.Expanded`.
The last gives other bytes, by SHAKE-256 at a tenth of the speed, and works without `cryptography`.

Assumes:
    AES-256 is a pseudorandom permutation, and SHA-256 under distinct labels a random function.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hansa.crypto.encoding import Part, digest
from hansa.crypto.secret import Secret
from hansa.errors import ConfigurationError, MissingExtraError

try:
    from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
except ImportError as error:
    raise MissingExtraError("noise for differential privacy", "cryptography", "privacy") from error

Bytes = Callable[[int], bytes]
"""Takes a number of bytes and returns that many fresh random ones."""
Words = NDArray[np.uint64]

KEY_BYTES = 32
_BLOCK = 16  # of AES, in bytes


class Source:
    """The stream of a key, taken piece by piece.

    Not for several threads at once. The same key gives the same bytes, so a key is used only once.

    Assumes:
        The key is 32 bytes from the operating system's generator, which nobody else knows.

    Guarantees:
        The bytes depend on the key and on how many were taken before, not on how they were asked for. The
        key is not printed, and the source is not pickled.

    Example:
        >>> source = Source(bytes(32))
        >>> source(4).hex(), source
        ('dc95c078', Source(32 bytes))
    """

    def __init__(self, key: bytes) -> None:
        """Begin the stream of a key.

        Args:
            key: 32 bytes.

        Raises:
            ConfigurationError: It is something else.
        """
        self._key = Secret(_checked(key, "the key of a random stream is 32 bytes"))
        self._stream: Any = _cipher(self._key.reveal(), 0)

    def __call__(self, size: int) -> bytes:
        """Return the next bytes of the stream."""
        return self._stream.update(bytes(size))

    def __repr__(self) -> str:
        return f"Source({KEY_BYTES} bytes)"

    def __reduce__(self) -> Any:
        raise TypeError("a source of noise is neither pickled nor copied: its bytes would be used twice")


def system_source() -> Source:
    """Return a source with a fresh key from the operating system: what privacy needs.

    Example:
        >>> len(system_source()(1000))
        1000
    """
    return Source(os.urandom(KEY_BYTES))


def derived(key: bytes, *labels: Part) -> bytes:
    """Return the key that labels single out under a key.

    Args:
        key: 32 bytes.
        labels: Bytes, texts or whole numbers; what the derived key is for.

    Guarantees:
        Other labels, or the same in another order, give an unrelated key, from which nothing is learned
        about the first.

    Example:
        >>> derived(bytes(32), "round", 1) == derived(bytes(32), "round", 2)
        False
    """
    return digest("hansa.privacy.noise.key", _checked(key, "a key is 32 bytes"), *labels)


def new_key(source: Bytes) -> bytes:
    """Take the key of a batch from a source of bytes.

    Raises:
        ConfigurationError: It is no function, or returned something else than 32 bytes.
    """
    if not callable(source):
        raise ConfigurationError(
            f"noise is drawn from a function from a size to bytes, got {type(source).__name__}. "
            "Use system_source() where privacy matters."
        )
    return _checked(source(KEY_BYTES), f"the source of noise was asked for {KEY_BYTES} bytes")


def words(key: bytes, first: int, count: int) -> Words:
    """Return 64-bit words of a key's stream, little-endian, from an even index on.

    Guarantees:
        Word ``i`` depends on the key and on ``i`` alone: a stream may be read in pieces of any size.
    """
    out = bytearray(8 * count)
    _cipher(key, 8 * first // _BLOCK).update_into(memoryview(bytes(8 * count)), out)
    return np.frombuffer(out, "<u8")


def _cipher(key: bytes, block: int) -> Any:
    return Cipher(algorithms.AES(key), modes.CTR(block.to_bytes(_BLOCK, "big"))).encryptor()


def _checked(data: Any, expected: str) -> bytes:
    if not isinstance(data, bytes) or len(data) != KEY_BYTES:
        got = f"{len(data)} bytes" if isinstance(data, bytes) else type(data).__name__
        raise ConfigurationError(f"{expected}, got {got}: use os.urandom(32).")
    return data

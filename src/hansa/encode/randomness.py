"""Random numbers for rounding, from a NumPy generator or from a source of random bytes.

Stochastic rounding is part of what a client reveals. Where privacy or secrecy matters, give a source that
nobody else can predict: `system_source`. A seeded NumPy generator is for simulation and tests alone.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hansa.errors import ConfigurationError

Bytes = Callable[[int], bytes]
"""Takes a number of bytes and returns that many fresh random ones."""
Randomness = np.random.Generator | Bytes

_CHUNK = 1 << 16


class Expanded:
    """A source of bytes: one key, expanded by SHAKE-256 in counter mode.

    Not for several threads at once. The same key gives the same bytes, so a key is used only once.

    Assumes:
        The key is 32 bytes from the operating system's generator, which nobody else knows.

    Guarantees:
        The bytes depend on the key and on how many were taken before, not on how they were asked for. The
        key is not printed.

    Example:
        >>> source = Expanded(bytes(32))
        >>> source(4).hex(), source
        ('174e782d', Expanded(32 bytes))
    """

    def __init__(self, key: bytes) -> None:
        """Begin the stream of a key.

        Args:
            key: 32 bytes.

        Raises:
            ConfigurationError: It is something else.
        """
        if not isinstance(key, bytes) or len(key) != 32:
            got = f"{len(key)} bytes" if isinstance(key, bytes) else type(key).__name__
            raise ConfigurationError(
                f"the key of a random stream is 32 bytes, got {got}: use os.urandom(32)."
            )
        self._state = hashlib.shake_256(b"hansa.encode.randomness.v1" + key)
        self._counter = 0
        self._rest = b""

    def __call__(self, size: int) -> bytes:
        """Return the next bytes of the stream."""
        parts, have = [self._rest], len(self._rest)
        while have < size:
            block = self._state.copy()
            block.update(self._counter.to_bytes(8, "little"))
            parts.append(block.digest(_CHUNK))
            self._counter += 1
            have += _CHUNK
        data = b"".join(parts)
        self._rest = data[size:]
        return data[:size]

    def __repr__(self) -> str:
        return "Expanded(32 bytes)"


def system_source() -> Expanded:
    """Return a source of bytes with a fresh key from the operating system: what privacy needs.

    Example:
        >>> len(system_source()(1000))
        1000
    """
    return Expanded(os.urandom(32))


def coins(source: Randomness, chance: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Toss a coin for each chance.

    One random byte settles all but one coin in 256; those get 53 bits more.

    Args:
        source: A NumPy generator, or a function that returns so many random bytes.
        chance: Float64, shape ``(n,)``, from 0 to below 1.

    Returns:
        Which came up, boolean, shape ``(n,)``.

    Raises:
        ConfigurationError: The source is neither, or returned something else than the bytes asked for.

    Guarantees:
        Each comes up with its chance, rounded up to a multiple of ``2**-61``. A chance of 0 never comes up.
    """
    scaled = chance * 256.0
    digit = scaled.astype(np.uint8)
    byte = np.frombuffer(_take(source, chance.size), np.uint8)
    up = byte < digit
    open_still = np.flatnonzero(byte == digit)
    if open_still.size:
        words = np.frombuffer(_take(source, 8 * open_still.size), "<u8") >> np.uint64(11)
        up[open_still] = words * 2.0**-53 < scaled[open_still] - digit[open_still]
    return up


def _take(source: Any, size: int) -> bytes:
    if isinstance(source, np.random.Generator):
        return source.bytes(size)
    if not callable(source):
        raise ConfigurationError(
            f"randomness must be a numpy.random.Generator or a function from a size to bytes, got "
            f"{type(source).__name__}. Use system_source() where privacy matters."
        )
    data: Any = source(size)
    if not isinstance(data, bytes) or len(data) != size:
        got = f"{len(data)} bytes" if isinstance(data, bytes) else type(data).__name__
        raise ConfigurationError(f"the source of randomness was asked for {size} bytes and returned {got}.")
    return data

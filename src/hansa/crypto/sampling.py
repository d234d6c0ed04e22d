"""Random ring and field elements: secret ones from the operating system, public ones from a seed.

Field elements are drawn by rejection: of a stream of 64-bit words those below the modulus are taken, so that
none is likelier than another.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from hansa.crypto.arithmetic import P
from hansa.crypto.field import Field

ETA = 40
"""A centred binomial value is the difference of two sums of so many bits: variance 20, at most 40."""

_BYTES = 2 * ETA // 8  # of random bits for one value
_BLOCK = 1 << 16  # values drawn at a time
_SPARE = 8  # words more than wanted: one in 2^32 is rejected


def secret_elements(count: int, random: Callable[[int], bytes] = os.urandom) -> Field:
    """Return so many uniform field elements; another source than the operating system's is for tests."""
    out = np.empty(count, np.uint64)
    filled = 0
    while filled < count:
        words = np.frombuffer(random(8 * (count - filled + _SPARE)), "<u8")
        good = _below(words)[: count - filled]
        out[filled : filled + len(good)] = good
        filled += len(good)
    return out


def public_elements(seed: bytes, count: int) -> Field:
    """Return the first so many words below p of the SHAKE-128 stream of a seed, little-endian.

    Anyone who knows the seed gets the same. Distinct uses need distinct seeds (`hansa.crypto.encoding`).
    """
    stream, words = hashlib.shake_128(seed), count + _SPARE
    while True:
        drawn = np.frombuffer(stream.digest(8 * words), "<u8")
        good = _below(drawn)
        if len(good) >= count:
            return good[:count].astype(np.uint64)
        words *= 2


def _below(words: Field) -> Field:
    """Return the words below the modulus, in order."""
    good = words < np.uint64(P)
    return words if good.all() else words[good]


def binomial(count: int, random: Callable[[int], bytes] = os.urandom) -> NDArray[np.int8]:
    """Return so many centred binomial values, each between −40 and 40, of variance 20.

    Branch-free: the difference of the numbers of ones in two groups of 40 bits.

    Args:
        count: How many.
        random: Returns so many random bytes; another one than the operating system's is for tests.
    """
    out = np.empty(count, np.int8)
    for start in range(0, count, _BLOCK):
        stop = min(start + _BLOCK, count)
        bits = np.frombuffer(random(_BYTES * (stop - start)), np.uint8)
        _binomial(bits, out[start:stop])
    return out


@njit(cache=True, nogil=True)
def _ones(word: Any) -> Any:
    word -= (word >> np.uint64(1)) & np.uint64(0x5555555555555555)
    word = (word & np.uint64(0x3333333333333333)) + ((word >> np.uint64(2)) & np.uint64(0x3333333333333333))
    word = (word + (word >> np.uint64(4))) & np.uint64(0x0F0F0F0F0F0F0F0F)
    return (word * np.uint64(0x0101010101010101)) >> np.uint64(56)


@njit(cache=True, nogil=True)
def _binomial(bits: Any, out: Any) -> None:
    for i in range(len(out)):
        first, second = np.uint64(0), np.uint64(0)
        for j in range(5):
            first |= np.uint64(bits[10 * i + j]) << np.uint64(8 * j)
            second |= np.uint64(bits[10 * i + 5 + j]) << np.uint64(8 * j)
        out[i] = np.int8(np.int64(_ones(first)) - np.int64(_ones(second)))

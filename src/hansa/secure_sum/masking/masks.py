"""The arithmetic of a masked sum: integers modulo 2^32 or 2^64, and masks that are added to them.

A mask is the AES-256 keystream in counter mode (NIST SP 800-38A) under a key that is used for nothing else,
read as little-endian words. A word is uniform modulo 2^32 or 2^64, so that no value is likelier than another.

Assumes:
    AES-256 is a pseudorandom permutation.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from numpy.typing import NDArray

from hansa.crypto.envelope import ExchangeKey
from hansa.crypto.secret import Secret
from hansa.errors import UpdateError
from hansa.secure_sum.masking.parameters import Parameters
from hansa.secure_sum.roster import Place

Integers = NDArray[np.int64]
Words = NDArray[Any]
"""``uint32`` or ``uint64``, little-endian."""

BLOCK = 1 << 17
"""Bytes of keystream at a time: with the words that they are added to, they stay in a core's cache."""

_COUNTER = bytes(16)  # a key makes one keystream


@dataclass(frozen=True)
class Mask:
    """A mask and how it enters.

    Attributes:
        key: 32 bytes.
        negative: Whether it is subtracted.
    """

    key: Secret
    negative: bool = False

    def opposite(self) -> Mask:
        """Return the mask that cancels this one."""
        return Mask(self.key, not self.negative)


def words_of(parameters: Parameters) -> np.dtype[Any]:
    """Return the dtype of masked vectors."""
    return np.dtype(f"<u{parameters.modulus_bits // 8}")


def residues(vector: Any, parameters: Parameters) -> Words:
    """Return a vector modulo 2^32 or 2^64.

    Raises:
        UpdateError: If it is not what the parameters were made for.
    """
    if not isinstance(vector, np.ndarray) or vector.dtype != np.int64:
        raise UpdateError(
            f"only vectors of int64 are masked, got {getattr(vector, 'dtype', type(vector).__name__)}. "
            "Quantise the update first."
        )
    if vector.shape != (parameters.dimension,):
        raise UpdateError(
            f"a vector of shape {vector.shape} does not fit a sum of {parameters.dimension} integers."
        )
    found = largest(vector)
    if found > parameters.bound:
        raise UpdateError(
            f"a value of {found} is above the bound of {parameters.bound} that the sum was planned for."
        )
    return vector.astype(words_of(parameters))


def integers(words: Words) -> Integers:
    """Return the representatives around zero: the inverse of `residues`."""
    return words.view(words.dtype.str.replace("u", "i")).astype(np.int64)


def largest(vector: Integers) -> int:
    """Return the largest absolute value, 0 of an empty vector."""
    return max(int(vector.max()), -int(vector.min())) if len(vector) else 0


def pair_mask(key: ExchangeKey, public: bytes, own: str, other: str, place: Place) -> Mask:
    """Return the mask that a client adds for a neighbour; of two, the later in the cohort subtracts it.

    Args:
        key: The mask key of one of the two.
        public: The other's public mask key.
        own: Whose key it is, and whose vector the mask is added to.
        other: The other.
        place: Of the attempt.

    Raises:
        EnvelopeError: If the public key is none.
    """
    later = place.cohort.index(own) > place.cohort.index(other)
    pair = (other, own) if later else (own, other)
    return Mask(key.shared_with(public, "masking.pair", *place.parts, *pair), negative=later)


def add_masks(words: Words, masks: Sequence[Mask]) -> None:
    """Add masks to words, in place: to all of them, block by block."""
    step = BLOCK // words.itemsize
    zeros, out = memoryview(bytes(BLOCK)), bytearray(BLOCK)
    stream = np.frombuffer(out, words.dtype)
    ready = [(_keystream(mask.key), np.subtract if mask.negative else np.add) for mask in masks]
    for start in range(0, len(words), step):
        part = words[start : start + step]
        for cipher, work in ready:
            cipher.update_into(zeros[: part.nbytes], out)
            work(part, stream[: len(part)], out=part)


def _keystream(key: Secret) -> Any:
    return Cipher(algorithms.AES(key.reveal()), modes.CTR(_COUNTER)).encryptor()

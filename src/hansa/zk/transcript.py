"""What both sides have said so far, from which every challenge is derived (Fiat–Shamir).

Source:
    Fiat and Shamir, "How to prove yourself", CRYPTO 1986; Ben-Sasson, Chiesa and Spooner, "Interactive oracle
    proofs", TCC 2016, section 6 (the transformation for proofs of several rounds).
"""

from __future__ import annotations

import hashlib
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hansa.crypto.arithmetic import P
from hansa.crypto.field import Field

_DOMAIN = b"hansa.zk.transcript.v1"
_SPARE = 8  # words more than wanted: one in 2^32 is rejected


class Transcript:
    """A running hash that takes in labelled messages and gives labelled challenges.

    Guarantees:
        Two transcripts give the same challenge only if all labels, messages and challenges before it, their
        kinds and their order are the same: each is framed by its kind and its lengths.

    Example:
        >>> first, second = Transcript("lottery"), Transcript("lottery")
        >>> first.absorb("ticket", b"1"), second.absorb("ticket", b"2")
        (None, None)
        >>> first.seed("draw") == second.seed("draw")
        False
    """

    def __init__(self, label: str) -> None:
        """Begin a conversation of its own kind."""
        self._hash = hashlib.shake_256()
        self._frame(b"d", label, _DOMAIN)

    def absorb(self, label: str, data: bytes) -> None:
        """Take in what was sent, or what both sides know."""
        self._frame(b"m", label, data)

    def seed(self, label: str, size: int = 32) -> bytes:
        """Return so many bytes."""
        return self._challenge(label, size).digest(size)

    def elements(self, label: str, count: int) -> Field:
        """Return uniform elements of F2, shape ``(count, 2)``: words of the stream that are below p."""
        stream, wanted = self._challenge(label, count), 2 * count
        words = wanted + _SPARE
        while True:
            drawn = np.frombuffer(stream.digest(8 * words), "<u8")
            good = drawn[drawn < np.uint64(P)]
            if len(good) >= wanted:
                return good[:wanted].astype(np.uint64).reshape(count, 2)
            words *= 2

    def distinct(self, label: str, count: int, below: int) -> NDArray[np.int64]:
        """Return distinct numbers below a power of two, in increasing order; every set is equally likely.

        Words of 32 bits are cut to the bits that are needed, and one that was drawn before is left out.
        """
        if below < 1 or below & (below - 1) or below > 2**32 or not 0 <= count <= below:
            raise ValueError(
                f"cannot draw {count} distinct numbers below {below}, which must be a power of two"
            )
        stream, size = self._challenge(label, count), 4 * (2 * count + _SPARE)
        while True:
            words = np.frombuffer(stream.digest(size), "<u4").astype(np.int64) & (below - 1)
            found, first = np.unique(words, return_index=True)
            if len(found) >= count:
                return np.sort(words[np.sort(first)[:count]])
            size *= 2

    def _challenge(self, label: str, size: int) -> Any:
        self._frame(b"c", label, size.to_bytes(8, "little"))
        return self._hash.copy()

    def _frame(self, kind: bytes, label: str, data: bytes) -> None:
        name = label.encode()
        self._hash.update(kind + len(name).to_bytes(8, "little") + name + len(data).to_bytes(8, "little"))
        self._hash.update(data)

"""Random projections of long integer vectors, by which a proof bounds their norm.

A row of the matrix has entries −1, 0 and 1 with chances ¼, ½ and ¼: the difference of two random bits. The
bits come from a seed that depends on what was committed. Eight coordinates make a group; its 512 bytes are
one byte for each of the 256 rows, with a bit for each coordinate, twice. Products with vectors go by tables
of the sums of all subsets of eight values, 64 look-ups a coordinate.

Source:
    Gentry, Halevi and Lyubashevsky (ePrint 2021/1397, section 3.3) for what 256 such projections say of a
    norm.

Assumes:
    AES-256 in counter mode under a key that everyone knows gives bits that nobody chose (ideal cipher).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.ciphers.modes import CTR
from numba import njit
from numpy.typing import NDArray

from hansa.crypto.arithmetic import P
from hansa.crypto.arithmetic import add as _add
from hansa.crypto.arithmetic import mul as _mul
from hansa.crypto.field import Field

ROWS = 256
_GROUP = 8
_BYTES = 2 * ROWS  # of a group of coordinates
_BLOCK = 1 << 12  # groups that are worked on at once: 2 MiB of bits
_NEAR = 64  # groups whose sums stay in the nearest cache
_P = np.uint64(P)
_TOP = 58  # bits below what is kept of a sum to tell how often its word went around
_MIDDLE = 1 << 15  # so that signed numbers of 16 bits lie side by side without borrowing
_MIDDLES = np.uint64(_MIDDLE * 0x0001000100010001)


def project(seed: bytes, values: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the projections ⟨r_t, w⟩ of a vector w.

    Args:
        seed: 32 bytes.
        values: w, int64; the sum of absolute values is below 2^62.

    Returns:
        int64, shape ``(256,)``.
    """
    total = np.zeros(ROWS, np.int64)
    for first, bits in _blocks(seed, len(values)):
        part = np.zeros(_GROUP * len(bits), np.int64)
        own = values[first : first + len(part)]
        part[: len(own)] = own
        _project(bits, part.reshape(-1, _GROUP), total)
    return total


def combine(seed: bytes, coefficients: Field, count: int) -> Field:
    """Return Σ_t c_t · r_t for two vectors c: what multiplies each coordinate when projections are combined.

    Args:
        seed: 32 bytes.
        coefficients: Both c, elements of F2, shape ``(2, 256, 2)``.
        count: Number of coordinates.

    Returns:
        Elements of F2, shape ``(2, count, 2)``.
    """
    tables = _tables(coefficients.transpose(1, 0, 2).reshape(-1, _GROUP, 4))
    out = np.empty((2, -(-count // _GROUP) * _GROUP, 2), np.uint64)
    for first, bits in _blocks(seed, count):
        _combine(bits, tables, out[:, first : first + _GROUP * len(bits)])
    return out[:, :count]


def entries(seed: bytes, count: int) -> NDArray[np.int8]:
    """Return the matrix itself, int8, shape ``(256, count)``. It is large; the others never make it."""
    rows = []
    for _, bits in _blocks(seed, count):
        ones = np.unpackbits(bits.reshape(-1, 2, ROWS, 1), axis=-1, bitorder="little").astype(np.int8)
        rows.append((ones[:, 0] - ones[:, 1]).transpose(1, 0, 2).reshape(ROWS, -1))
    return np.concatenate(rows, axis=1)[:, :count] if rows else np.zeros((ROWS, 0), np.int8)


def _blocks(seed: bytes, count: int) -> Iterator[tuple[int, NDArray[np.uint8]]]:
    """Yield the first coordinate and the bits, shape ``(groups, 512)``, of block after block."""
    stream = Cipher(AES(seed), CTR(bytes(16))).encryptor()
    groups = -(-count // _GROUP)
    zeros = bytes(min(groups, _BLOCK) * _BYTES)
    for first in range(0, groups, _BLOCK):
        size = min(_BLOCK, groups - first)
        data = stream.update(zeros[: size * _BYTES] if size < _BLOCK else zeros)
        yield first * _GROUP, np.frombuffer(data, np.uint8).reshape(size, _BYTES)


@njit(cache=True, nogil=True)
def _project(bits: Any, values: Any, total: Any) -> None:
    table = np.zeros(1 << _GROUP, np.int64)
    for g in range(len(bits)):
        for j in range(_GROUP):
            size, value = 1 << j, values[g, j]
            for i in range(size):
                table[size + i] = table[i] + value
        row = bits[g]
        for t in range(ROWS):
            total[t] += table[row[t]] - table[row[ROWS + t]]


def _tables(groups: Field) -> Field:
    """Return the sums v of all subsets of eight rows' coefficients, shape ``(32, 256, 5)``.

    Four words are v modulo 2^64; the fifth has ⌊v / 2^58⌋ < 2^9 of each, in 16 bits.
    """
    halves = np.stack([groups & np.uint64(0xFFFFFFFF), groups >> np.uint64(32)], axis=2)
    sums = np.zeros((len(groups), 1 << _GROUP, 2, 4), np.uint64)
    for j in range(_GROUP):
        sums[:, 1 << j : 2 << j] = sums[:, : 1 << j] + halves[:, None, j]
    low, high = sums[:, :, 0], sums[:, :, 1]
    out = np.empty((*sums.shape[:2], 5), np.uint64)
    out[:, :, :4] = low + (high << np.uint64(32))  # goes around
    tops = (high + (low >> np.uint64(32))) >> np.uint64(_TOP - 32)
    out[:, :, 4] = (tops << np.arange(0, 64, 16, dtype=np.uint64)).sum(axis=-1)
    return out


@njit(cache=True, nogil=True)
def _combine(bits: Any, tables: Any, out: Any) -> None:
    """For each group of coordinates, and two groups of rows at once: look the rows' subsets up.

    32 sums v are added and 32 taken away. Of the total T, the words have T modulo 2^64 and
    t = Σ ± ⌊v / 2^58⌋, |t| < 2^14. What is cut off adds up to less than 32 · 2^58, so that r = T − 2^58 t is
    between −2^63 and 2^63.
    """
    sums = np.empty((_NEAR * _GROUP, 5), np.uint64)
    byte = np.uint64(255)
    for near in range(0, len(bits), _NEAR):
        size = min(_NEAR, len(bits) - near)
        sums[:, :4], sums[:, 4] = 0, _MIDDLES
        for h in range(0, ROWS // _GROUP, 2):
            first, second = tables[h], tables[h + 1]
            for g in range(size):
                row = bits[near + g]
                plus, plus2 = _subsets(row, h), _subsets(row, h + 1)
                minus, minus2 = _subsets(row[ROWS:], h), _subsets(row[ROWS:], h + 1)
                for j in range(_GROUP):
                    shift = np.uint64(8 * j)
                    a, b = np.int64((plus >> shift) & byte), np.int64((minus >> shift) & byte)
                    c, d = np.int64((plus2 >> shift) & byte), np.int64((minus2 >> shift) & byte)
                    own = sums[g * _GROUP + j]
                    for i in range(5):
                        own[i] += first[a, i] - first[b, i] + second[c, i] - second[d, i]
        for j in range(size * _GROUP):
            for i in range(4):
                top = np.int64((sums[j, 4] >> np.uint64(16 * i)) & np.uint64(0xFFFF)) - _MIDDLE
                rest = np.int64(sums[j, i] - (np.uint64(top) << np.uint64(_TOP)))
                lifted = _mul(_element(top), np.uint64(1 << _TOP))
                out[i >> 1, near * _GROUP + j, i & 1] = _add(lifted, _element(rest))


@njit(cache=True, nogil=True)
def _subsets(row: Any, group: Any) -> Any:
    """Return for each of eight coordinates, a byte each, which of eight rows have a bit."""
    word = np.uint64(0)
    for i in range(_GROUP):
        word |= np.uint64(row[group * _GROUP + i]) << np.uint64(8 * i)
    return _turned(word)


@njit(cache=True, nogil=True)
def _element(value: Any) -> Any:
    return np.uint64(value) if value >= 0 else _P - np.uint64(-value)


@njit(cache=True, nogil=True)
def _turned(x: Any) -> Any:
    """Return an 8 × 8 matrix of bits, a byte a row, transposed (three exchanges of halves)."""
    t = (x ^ (x >> np.uint64(7))) & np.uint64(0x00AA00AA00AA00AA)
    x = x ^ t ^ (t << np.uint64(7))
    t = (x ^ (x >> np.uint64(14))) & np.uint64(0x0000CCCC0000CCCC)
    x = x ^ t ^ (t << np.uint64(14))
    t = (x ^ (x >> np.uint64(28))) & np.uint64(0x00000000F0F0F0F0)
    return x ^ t ^ (t << np.uint64(28))

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
_HALF = np.uint64(1 << 32)


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
    halves = np.stack([coefficients & np.uint64(0xFFFFFFFF), coefficients >> np.uint64(32)], axis=-1)
    by_row = halves.transpose(1, 0, 2, 3).reshape(-1, _GROUP, 8).astype(np.int64)
    tables = np.zeros((ROWS // _GROUP, 1 << _GROUP, 8), np.int64)
    _subset_sums(by_row, tables)
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


@njit(cache=True, nogil=True)
def _subset_sums(halves: Any, tables: Any) -> None:
    for g in range(len(halves)):
        for j in range(_GROUP):
            size = 1 << j
            for i in range(size):
                for c in range(8):
                    tables[g, size + i, c] = tables[g, i, c] + halves[g, j, c]


@njit(cache=True, nogil=True)
def _combine(bits: Any, tables: Any, out: Any) -> None:
    """For each group of coordinates and of rows: turn the 8 × 8 bits, and look the rows' subset up.

    Sums are made of 32-bit halves, which do not overflow, so that nothing is reduced before the end.
    """
    sums = np.empty((_NEAR * _GROUP, 8), np.int64)
    for near in range(0, len(bits), _NEAR):
        size = min(_NEAR, len(bits) - near)
        sums[:] = 0
        for h in range(ROWS // _GROUP):
            table = tables[h]
            for g in range(size):
                plus, minus = np.uint64(0), np.uint64(0)
                for i in range(_GROUP):
                    plus |= np.uint64(bits[near + g, h * _GROUP + i]) << np.uint64(8 * i)
                    minus |= np.uint64(bits[near + g, ROWS + h * _GROUP + i]) << np.uint64(8 * i)
                plus, minus = _turned(plus), _turned(minus)
                for j in range(_GROUP):
                    a = np.int64((plus >> np.uint64(8 * j)) & np.uint64(255))
                    b = np.int64((minus >> np.uint64(8 * j)) & np.uint64(255))
                    at = g * _GROUP + j
                    for c in range(8):
                        sums[at, c] += table[a, c] - table[b, c]
        for i in range(size * _GROUP):
            for c in range(4):
                low, high = _element(sums[i, 2 * c]), _element(sums[i, 2 * c + 1])
                out[c >> 1, near * _GROUP + i, c & 1] = _add(low, _mul(high, _HALF))


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

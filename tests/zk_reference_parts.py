"""The transcript, trees and polynomials of `zk_reference`. Elements of F2 are pairs."""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Sequence
from operator import mul

from crypto_reference import P

ZERO = (0, 0)
Pair = tuple[int, int]


# ---------------------------------------------------------------- transcript


class Transcript:
    """Everything said so far, and challenges from it."""

    def __init__(self, label: str) -> None:
        self.said = b""
        self.frame(b"d", label, b"hansa.zk.transcript.v1")

    def frame(self, kind: bytes, label: str, data: bytes) -> None:
        name = label.encode()
        self.said += kind + len(name).to_bytes(8, "little") + name + len(data).to_bytes(8, "little") + data

    def absorb(self, label: str, data: bytes) -> None:
        self.frame(b"m", label, data)

    def stream(self, label: str, count: int, size: int) -> bytes:
        self.frame(b"c", label, count.to_bytes(8, "little"))
        return hashlib.shake_256(self.said).digest(size)

    def seed(self, label: str) -> bytes:
        return self.stream(label, 32, 32)

    def elements(self, label: str, count: int) -> list[Pair]:
        data = self.stream(label, count, 32 * count + 1024)
        words = [w for w in words_of(data) if w < P]
        return [(words[2 * i], words[2 * i + 1]) for i in range(count)]

    def distinct(self, label: str, count: int, below: int) -> list[int]:
        data = self.stream(label, count, 1 << 16)
        found: list[int] = []
        for i in range(0, len(data), 4):
            value = int.from_bytes(data[i : i + 4], "little") % below
            if value not in found and len(found) < count:
                found.append(value)
        return sorted(found)


def words_of(data: bytes) -> list[int]:
    return [int.from_bytes(data[i : i + 8], "little") for i in range(0, len(data), 8)]


def bytes_of(values: Sequence[int]) -> bytes:
    return b"".join(value.to_bytes(8, "little") for value in values)


# ---------------------------------------------------------------- trees


def leaf(salt: bytes, column: bytes) -> bytes:
    return hashlib.sha256(b"hansa.zk.leaf" + salt + column).digest()


def node(left: bytes, right: bytes) -> bytes:
    return hashlib.sha256(b"hansa.zk.node" + left + right).digest()


def levels(leaves: list[bytes]) -> list[list[bytes]]:
    out = [leaves]
    while len(out[-1]) > 1:
        below = out[-1]
        out.append([node(below[2 * i], below[2 * i + 1]) for i in range(len(below) // 2)])
    return out


def needed(size: int, positions: Sequence[int]) -> list[tuple[int, int]]:
    out, height, known = [], 0, set(positions)
    while size > 1:
        out += [(height, place ^ 1) for place in sorted(known) if place ^ 1 not in known]
        known, size, height = {place // 2 for place in known}, size // 2, height + 1
    return out


def root_from(size: int, hashes: dict[int, bytes], siblings: list[bytes]) -> bytes:
    where = dict(zip(needed(size, list(hashes)), siblings, strict=True))
    known, height = dict(hashes), 0
    while size > 1:
        for (level, place), value in where.items():
            if level == height:
                known[place] = value
        known = {place // 2: node(known[place & ~1], known[place | 1]) for place in known}
        size, height = size // 2, height + 1
    return known[0]


# ---------------------------------------------------------------- polynomials


def root_of_unity(order: int) -> int:
    return pow(7, (P - 1) // order, P)


def reverse(place: int, size: int) -> int:
    bits = size.bit_length() - 1
    return int(format(place, f"0{bits}b")[::-1], 2)


@functools.cache
def subgroup(row: int) -> list[int]:
    """The points of H in the order of cells."""
    return [pow(root_of_unity(row), reverse(place, row), P) for place in range(row)]


def code_points(row: int) -> list[int]:
    """The points of the code in the order of columns."""
    return [
        7 * pow(root_of_unity(8 * row), coset, P) * point % P for coset in range(8) for point in subgroup(row)
    ]


def interpolated(cells: Sequence[int], row: int) -> list[int]:
    """Coefficients of the polynomial of degree < row with these values on H."""
    return [sum(map(mul, cells, powers)) % P for powers in inverse_powers(row)]


@functools.cache
def inverse_powers(row: int) -> list[list[int]]:
    """By k: x^-k / row at the points x of H."""
    inverse = pow(row, -1, P)
    return [[inverse * pow(x, -k, P) % P for x in subgroup(row)] for k in range(row)]


def masked(cells: Sequence[int], tail: Sequence[int], row: int) -> list[int]:
    """Interpolation + (X^row − 1) · tail."""
    out = interpolated(cells, row) + [0] * len(tail)
    for j, value in enumerate(tail):
        out[j] = (out[j] - value) % P
        out[row + j] = (out[row + j] + value) % P
    return out


def at(polynomial: Sequence[int], x: int) -> int:
    out = 0
    for coefficient in reversed(polynomial):
        out = (out * x + coefficient) % P
    return out


def at2(polynomial: Sequence[Pair], x: int) -> Pair:
    return at([c[0] for c in polynomial], x), at([c[1] for c in polynomial], x)


def plus(a: Pair, b: Pair) -> Pair:
    return (a[0] + b[0]) % P, (a[1] + b[1]) % P


def times(a: Pair, b: int) -> Pair:
    return a[0] * b % P, a[1] * b % P


def total(pairs) -> Pair:
    out = ZERO
    for pair in pairs:
        out = plus(out, pair)
    return out


def product(a: Sequence[Pair], b: Sequence[int]) -> list[Pair]:
    parts = []
    for own in zip(*a, strict=True):
        out = [0] * (len(a) + len(b) - 1)
        for i, x in enumerate(own):
            out[i : i + len(b)] = [v + x * y for v, y in zip(out[i:], b, strict=False)]
        parts.append([v % P for v in out])
    return list(zip(*parts, strict=True))


def summed(polynomials, size: int) -> list[Pair]:
    out = [ZERO] * size
    for polynomial in polynomials:
        for k, value in enumerate(polynomial):
            out[k] = plus(out[k], value)
    return out


def divided(polynomial: list[Pair], row: int) -> list[Pair]:
    """The quotient by X^row − 1."""
    rest, quotient = list(polynomial), [ZERO] * (len(polynomial) - row)
    for k in range(len(polynomial) - 1, row - 1, -1):
        quotient[k - row] = rest[k]
        rest[k - row], rest[k] = plus(rest[k - row], rest[k]), ZERO
    return quotient

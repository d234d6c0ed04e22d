"""Every operation of `hansa.crypto` in slow, plain Python on big integers, to compare the fast code to."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

P = 2**64 - 2**32 + 1


def mul2(a: Sequence[int], b: Sequence[int]) -> tuple[int, int]:
    """Product in F[φ] / (φ² − 7)."""
    return (a[0] * b[0] + 7 * a[1] * b[1]) % P, (a[0] * b[1] + a[1] * b[0]) % P


def ring_product(a: Sequence[int], b: Sequence[int]) -> list[int]:
    """Product of polynomials, where X^N is −1."""
    n = len(a)
    out = [0] * n
    for i, x in enumerate(a):
        for j, y in enumerate(b):
            sign = 1 if i + j < n else -1
            out[(i + j) % n] = (out[(i + j) % n] + sign * x * y) % P
    return out


def transform(coefficients: Sequence[int]) -> list[int]:
    """Values at the roots of X^N + 1, in the order of the butterflies.

    The butterflies halve the polynomial by the roots of X^N + 1 = (X^(N/2) − ψ^(N/2)) (X^(N/2) + ψ^(N/2)):
    the first half of the values are those of the remainder by the first factor, and so on.
    """
    n = len(coefficients)
    psi = pow(7, (P - 1) // (2 * n), P)

    def values(poly: list[int], exponent: int) -> list[int]:
        # poly modulo X^len − ψ^exponent
        if len(poly) == 1:
            return [poly[0] % P]
        half, root = len(poly) // 2, pow(psi, exponent // 2, P)
        low = [(a + root * b) % P for a, b in zip(poly[:half], poly[half:], strict=True)]
        high = [(a - root * b) % P for a, b in zip(poly[:half], poly[half:], strict=True)]
        return values(low, exponent // 2) + values(high, exponent // 2 + n)

    return values(list(coefficients), n)


def public_elements(seed: bytes, count: int) -> list[int]:
    """The words of a SHAKE-128 stream that are below p."""
    stream = hashlib.shake_128(seed).digest(8 * (2 * count + 64))
    words = [int.from_bytes(stream[i : i + 8], "little") for i in range(0, len(stream), 8)]
    return [word for word in words if word < P][:count]


def binomial(data: bytes) -> list[int]:
    """Ones in the first 40 bits minus ones in the next, for each 10 bytes."""
    out = []
    for i in range(0, len(data), 10):
        first, second = data[i : i + 5], data[i + 5 : i + 10]
        out.append(int.from_bytes(first, "little").bit_count() - int.from_bytes(second, "little").bit_count())
    return out


def share(
    secret: Sequence[int], coefficients: Sequence[Sequence[int]], points: Sequence[int]
) -> list[list[int]]:
    """Values at the points of the polynomials secret + Σ coefficients[k] · X^(k+1)."""
    return [
        [
            (s + sum(row[j] * pow(x, k + 1, P) for k, row in enumerate(coefficients))) % P
            for j, s in enumerate(secret)
        ]
        for x in points
    ]


def restored(points: Sequence[int], shares: Sequence[Sequence[int]]) -> list[int]:
    """Values at 0 of the polynomials through all these points (Lagrange)."""
    out = [0] * len(shares[0])
    for weight, row in zip(weights_at_zero(points), shares, strict=True):
        out = [(total + weight * value) % P for total, value in zip(out, row, strict=True)]
    return out


def weights_at_zero(points: Sequence[int]) -> list[int]:
    """Lagrange's weights at 0 of these points."""
    out = []
    for i, x in enumerate(points):
        weight = 1
        for j, other in enumerate(points):
            if i != j:
                weight = weight * other * pow(other - x, P - 2, P) % P
        out.append(weight)
    return out


def encoded(label: str, *parts: bytes | str | int) -> bytes:
    """The bytes of a label and parts."""
    out = b"hansa.v1"
    for part in (label, *parts):
        kind = {bytes: b"b", str: b"s", int: b"i"}[type(part)]
        data = part if isinstance(part, bytes) else str(part).encode()
        out += kind + len(data).to_bytes(8, "little") + data
    return out

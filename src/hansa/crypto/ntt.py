"""Number-theoretic transforms: a polynomial's values on a coset of a subgroup of the field's units.

The polynomial has ``n`` coefficients, ``n`` a power of two; the coset is c·⟨ω⟩, ω of order n. For c = ψ with
ψ^n = −1 this is the negacyclic transform of `hansa.crypto.ring`, for c = 1 the cyclic one. Values are in the
order of the butterflies: place g holds the value at c·ω^rev(g), rev the reversal of log2(n) bits. Products
are taken place by place, so that no permutation is ever needed.

Source:
    Longa and Naehrig, "Speeding up the Number Theoretic Transform for Faster Ideal Lattice-Based
    Cryptography", CANS 2016, algorithms 1 and 2 (the twist by c is merged into the butterflies).
"""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
from numba import njit

from hansa.crypto import arithmetic, field
from hansa.crypto.arithmetic import P
from hansa.crypto.field import Field

GENERATOR = 7
"""Generates the units of the field."""

_P = np.uint64(P)
_LOW = np.uint64(2**32 - 1)


def root_of_unity(order: int) -> int:
    """Return a fixed element of this order, a power of two; the square of the one of twice the order."""
    if order < 1 or order & (order - 1) or order > 2**32:
        raise ValueError(f"an order must be a power of two up to 2^32, got {order}")
    return pow(GENERATOR, (P - 1) // order, P)


@functools.lru_cache(maxsize=64)
def tables(degree: int, shift: int = 1) -> tuple[Field, Field]:
    """Return the roots that the butterflies multiply by on the coset shift·⟨ω⟩, and their inverses.

    Entry 2^l + g is ρ such that node g of level l takes remainders by X^h − ρ and X^h + ρ, where h is
    degree / 2^(l+1). Entry 0 is not used.
    """
    if degree < 2 or degree & (degree - 1) or degree > 2**31:
        raise ValueError(f"the degree of the ring must be a power of two up to 2^31, got {degree}")
    omega = root_of_unity(degree)
    both = []
    for base, twist in ((omega, shift), (pow(omega, -1, P), pow(shift, -1, P))):
        powers = [1]
        for _ in range(degree // 2 - 1):
            powers.append(powers[-1] * base % P)
        half = np.array(powers, np.uint64)[reversed_bits(degree // 2)]
        out = np.zeros(degree, np.uint64)
        for level in range(degree.bit_length() - 1):
            scale = np.array(pow(twist, degree >> (level + 1), P), np.uint64)
            out[1 << level : 2 << level] = field.mul(scale, half[: 1 << level])
        out.flags.writeable = False
        both.append(out)
    return both[0], both[1]


def reversed_bits(count: int) -> Any:
    """Return the places 0 … count − 1 with their bits reversed, count a power of two: shape ``(count,)``."""
    out = np.zeros(1, np.int64)
    while len(out) < count:
        out = np.concatenate([2 * out, 2 * out + 1])
    return out


def points(degree: int, shift: int = 1) -> Field:
    """Return the points of the coset shift·⟨ω⟩ in the order of the butterflies: shape ``(degree,)``."""
    omega, powers = root_of_unity(degree), [shift % P]
    for _ in range(degree - 1):
        powers.append(powers[-1] * omega % P)
    return np.array(powers, np.uint64)[reversed_bits(degree)]


def to_values(coefficients: Field, shift: int = 1) -> Field:
    """Return the values on the coset of polynomials, shape ``(..., n)``."""
    return _transformed(_forward_rows, coefficients, tables(coefficients.shape[-1], shift)[0])


def from_values(values: Field, shift: int = 1) -> Field:
    """Return the coefficients of the polynomials of degree < n with these values, shape ``(..., n)``."""
    degree = values.shape[-1]
    return _transformed(_backward_rows, values, tables(degree, shift)[1], np.uint64(field.inverse(degree)))


def _transformed(work: Any, values: Field, *settings: Any) -> Field:
    out = np.array(values, dtype=np.uint64, order="C", copy=True)
    work(out.reshape(-1, out.shape[-1]), *settings)
    return out


@njit
def lazy_add(a: Any, b: Any) -> Any:
    """Return a + b below 2^64, for any a below 2^64 and b below p."""
    total = a + b
    return total + _LOW if total < a else total  # total + 2^64 < 2^64 + p: no second carry


@njit
def lazy_sub(a: Any, b: Any) -> Any:
    """Return a − b below 2^64, for any a below 2^64 and b below p."""
    rest = a - b
    return rest - _LOW if a < b else rest  # rest ≥ 2^64 − p + 1 = 2^32: no second borrow


@njit
def forward(a: Any, roots: Any) -> None:
    """Turn the coefficients of one polynomial into its values, in place; two levels are taken at a time.

    Between levels words are below 2^64 and need not be below p; in and out they are canonical.
    """
    half, groups = len(a) >> 1, 1
    while half > 1:
        quarter = half >> 1
        for group in range(groups):
            node, first = groups + group, 2 * group * half
            root, left, right = roots[node], roots[2 * node], roots[2 * node + 1]
            for j in range(first, first + quarter):
                x0, x1 = a[j], a[j + quarter]
                x2 = arithmetic.mul(a[j + half], root)
                x3 = arithmetic.mul(a[j + half + quarter], root)
                y0, y1 = lazy_add(x0, x2), arithmetic.mul(lazy_add(x1, x3), left)
                y2, y3 = lazy_sub(x0, x2), arithmetic.mul(lazy_sub(x1, x3), right)
                a[j], a[j + quarter] = lazy_add(y0, y1), lazy_sub(y0, y1)
                a[j + half], a[j + half + quarter] = lazy_add(y2, y3), lazy_sub(y2, y3)
        half >>= 2
        groups <<= 2
    if half:
        for group in range(groups):
            u, v = a[2 * group], arithmetic.mul(a[2 * group + 1], roots[groups + group])
            a[2 * group], a[2 * group + 1] = lazy_add(u, v), lazy_sub(u, v)
    for j in range(len(a)):
        if a[j] >= _P:
            a[j] -= _P


@njit
def backward(a: Any, roots: Any, scale: Any) -> None:
    """Turn the values of one polynomial into its coefficients, in place."""
    half, groups = 1, len(a) >> 1
    while groups:
        for group in range(groups):
            root, first = roots[groups + group], 2 * group * half
            for j in range(first, first + half):
                u, v = a[j], a[j + half]
                a[j] = arithmetic.add(u, v)
                a[j + half] = arithmetic.mul(arithmetic.sub(u, v), root)
        half <<= 1
        groups >>= 1
    for j in range(len(a)):
        a[j] = arithmetic.mul(a[j], scale)


@njit(cache=True, nogil=True)
def _forward_rows(rows: Any, roots: Any) -> None:
    for row in range(rows.shape[0]):
        forward(rows[row], roots)


@njit(cache=True, nogil=True)
def _backward_rows(rows: Any, roots: Any, scale: Any) -> None:
    for row in range(rows.shape[0]):
        backward(rows[row], roots, scale)

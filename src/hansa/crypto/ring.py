"""The ring R = Z_p[X] / (X^N + 1), N = 4096, and its number-theoretic transform.

An element is its ``N`` coefficients, ``uint64``; arrays of elements have shape ``(..., N)``. In the
transformed domain products are taken element by element (`hansa.crypto.field.mul`).

Source:
    Longa and Naehrig, "Speeding up the Number Theoretic Transform for Faster Ideal Lattice-Based
    Cryptography", CANS 2016, algorithms 1 and 2 (the twist by ψ is merged into the butterflies).
"""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
from numba import njit

from hansa.crypto import arithmetic, field
from hansa.crypto.arithmetic import P
from hansa.crypto.field import Field

N = 4096
"""Degree of the ring."""

GENERATOR = 7
"""Generates the units of the field."""


def to_ntt(coefficients: Field) -> Field:
    """Return the transform of elements, shape ``(..., N)``, in the order of the butterflies."""
    return _transformed(_forward, coefficients, _tables(coefficients.shape[-1])[0])


def from_ntt(values: Field) -> Field:
    """Return the coefficients of transformed elements, shape ``(..., N)``."""
    degree = values.shape[-1]
    return _transformed(_backward, values, _tables(degree)[1], np.uint64(field.inverse(degree)))


def multiply(a: Field, b: Field) -> Field:
    """Return the product in the ring of elements given by their coefficients."""
    return from_ntt(field.mul(to_ntt(a), to_ntt(b)))


def _transformed(work: Any, values: Field, *settings: Any) -> Field:
    out = np.array(values, dtype=np.uint64, order="C", copy=True)
    work(out.reshape(-1, out.shape[-1]), *settings)
    return out


@functools.cache
def _tables(degree: int) -> tuple[Field, Field]:
    """Return the powers of ψ, a root of X^degree + 1, and of its inverse, in bit-reversed order."""
    if degree < 2 or degree & (degree - 1) or degree > 2**31:
        raise ValueError(f"the degree of the ring must be a power of two up to 2^31, got {degree}")
    root = pow(GENERATOR, (P - 1) // (2 * degree), P)
    bits = degree.bit_length() - 1
    places = [int(format(i, f"0{bits}b")[::-1], 2) for i in range(degree)]
    tables = []
    for base in (root, pow(root, P - 2, P)):
        powers = [1]
        for _ in range(degree - 1):
            powers.append(powers[-1] * base % P)
        tables.append(np.array([powers[place] for place in places], np.uint64))
    for table in tables:
        table.flags.writeable = False
    return tables[0], tables[1]


@njit(cache=True, nogil=True)
def _forward(rows: Any, roots: Any) -> None:
    degree = rows.shape[1]
    for row in range(rows.shape[0]):
        a = rows[row]
        half, groups = degree >> 1, 1
        while half:
            for group in range(groups):
                root, first = roots[groups + group], 2 * group * half
                for j in range(first, first + half):
                    u, v = a[j], arithmetic.mul(a[j + half], root)
                    a[j], a[j + half] = arithmetic.add(u, v), arithmetic.sub(u, v)
            half >>= 1
            groups <<= 1


@njit(cache=True, nogil=True)
def _backward(rows: Any, roots: Any, scale: Any) -> None:
    degree = rows.shape[1]
    for row in range(rows.shape[0]):
        a = rows[row]
        half, groups = 1, degree >> 1
        while groups:
            for group in range(groups):
                root, first = roots[groups + group], 2 * group * half
                for j in range(first, first + half):
                    u, v = a[j], a[j + half]
                    a[j] = arithmetic.add(u, v)
                    a[j + half] = arithmetic.mul(arithmetic.sub(u, v), root)
            half <<= 1
            groups >>= 1
        for j in range(degree):
            a[j] = arithmetic.mul(a[j], scale)

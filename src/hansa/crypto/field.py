"""Arrays of elements of the field F = Z_p, p = 2^64 − 2^32 + 1, and of its extension F2 = F[φ] / (φ² − 7).

An array of F is ``uint64`` of any shape. An array of F2 has one more axis, the last, of length 2: the
coefficients of 1 and φ. Everything is canonical: each word is below p.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from hansa.crypto.arithmetic import P
from hansa.crypto.arithmetic import add as _add
from hansa.crypto.arithmetic import mul as _mul
from hansa.crypto.arithmetic import sub as _sub

Field = NDArray[np.uint64]

NONRESIDUE = 7
"""The square of φ. It generates the field's units, so it is no square."""

_SEVEN = np.uint64(NONRESIDUE)
_ZERO = np.uint64(0)
_ONE = np.uint64(1)


def is_canonical(values: Any) -> bool:
    """Whether something is an array of field elements: ``uint64``, each below the prime."""
    return (
        isinstance(values, np.ndarray) and values.dtype == np.uint64 and bool((values < np.uint64(P)).all())
    )


def from_ints(values: Any) -> Field:
    """Return integers of any sign (an integer array, or a sequence of Python's) as field elements."""
    if isinstance(values, np.ndarray) and values.dtype.kind == "i":
        wide = values.astype(np.int64)
        return np.where(wide < 0, wide.astype(np.uint64) + np.uint64(P), wide.astype(np.uint64))
    return np.array([int(v) % P for v in values], dtype=np.uint64)


def to_signed(values: Field) -> NDArray[np.int64]:
    """Return the representatives between −p/2 and p/2.

    Guarantees:
        The inverse of `from_ints` for integers of absolute value below p/2.
    """
    values = np.asarray(values)
    return np.where(values > np.uint64(P // 2), values - np.uint64(P), values).astype(np.int64)


def add(a: Field, b: Field) -> Field:
    """Return a + b, element by element; shapes are broadcast."""
    return _both(_add_flat, a, b)


def sub(a: Field, b: Field) -> Field:
    """Return a − b, element by element; shapes are broadcast."""
    return _both(_sub_flat, a, b)


def mul(a: Field, b: Field) -> Field:
    """Return a · b, element by element; shapes are broadcast."""
    return _both(_mul_flat, a, b)


def add_into(total: Field, values: Field) -> None:
    """Add values to a total of the same shape, in place. The total must be contiguous."""
    if total.shape != values.shape or not total.flags.c_contiguous:
        raise ValueError(f"cannot add shape {values.shape} into {total.shape} in place")
    _add_flat(total.reshape(-1), np.ascontiguousarray(values).reshape(-1), total.reshape(-1))


def inner(weights: Field, rows: Field) -> Field:
    """Return the inner product of weights, shape ``(L,)``, with each row of ``(n, L)``: shape ``(n,)``."""
    out = np.empty(len(rows), np.uint64)
    _inner(np.ascontiguousarray(weights), np.ascontiguousarray(rows), out)
    return out


def combine(weights: Field, rows: Field) -> Field:
    """Return the sum of rows ``(n, L)``, each times its weight ``(n,)``: shape ``(L,)``."""
    out = np.zeros(rows.shape[1], np.uint64)
    _combine(np.ascontiguousarray(weights), np.ascontiguousarray(rows), out)
    return out


def inverse(value: int) -> int:
    """Return the inverse of one element.

    Raises:
        ZeroDivisionError: If it is 0.
    """
    if value % P == 0:
        raise ZeroDivisionError("0 has no inverse")
    return pow(value, -1, P)


def inverses(values: Field) -> Field:
    """Return the inverse of each element of a vector, by a single inversion (Montgomery's trick).

    Raises:
        ZeroDivisionError: If one is 0.
    """
    values = np.ascontiguousarray(values)
    before = np.empty(len(values), np.uint64)
    product = _products_before(values, before)
    _invert(values, before, np.uint64(inverse(int(product))))
    return before


def mul2(a: Field, b: Field) -> Field:
    """Return the product of two arrays of F2, element by element; shapes are broadcast."""
    low = add(mul(a[..., 0], b[..., 0]), mul(np.array(_SEVEN), mul(a[..., 1], b[..., 1])))
    high = add(mul(a[..., 0], b[..., 1]), mul(a[..., 1], b[..., 0]))
    return np.stack([low, high], axis=-1)


def inverse2(value: Sequence[int]) -> tuple[int, int]:
    """Return the inverse of one element of F2: the conjugate over the norm.

    Raises:
        ZeroDivisionError: If it is 0.
    """
    a, b = (int(v) for v in value)
    scale = inverse(a * a - NONRESIDUE * b * b)
    return a * scale % P, -b * scale % P


def _both(work: Any, a: Field, b: Field) -> Field:
    a, b = np.asarray(a, np.uint64), np.asarray(b, np.uint64)
    out = np.empty(np.broadcast_shapes(a.shape, b.shape), np.uint64)
    flat = [
        (
            np.ascontiguousarray(v) if v.shape == out.shape else np.array(np.broadcast_to(v, out.shape))
        ).reshape(-1)
        for v in (a, b)
    ]
    work(*flat, out.reshape(-1))
    return out


@njit(cache=True, nogil=True)
def _add_flat(a: Any, b: Any, out: Any) -> None:
    for i in range(len(out)):
        out[i] = _add(a[i], b[i])


@njit(cache=True, nogil=True)
def _sub_flat(a: Any, b: Any, out: Any) -> None:
    for i in range(len(out)):
        out[i] = _sub(a[i], b[i])


@njit(cache=True, nogil=True)
def _mul_flat(a: Any, b: Any, out: Any) -> None:
    for i in range(len(out)):
        out[i] = _mul(a[i], b[i])


@njit(cache=True, nogil=True)
def _products_before(values: Any, out: Any) -> Any:
    """Return the product of all; write before each element the product of those before it."""
    product = _ONE
    for i in range(len(out)):
        out[i] = product
        product = _mul(product, values[i])
    return product


@njit(cache=True, nogil=True)
def _invert(values: Any, before: Any, inverted: Any) -> None:
    """Turn the products before each element into its inverse, from the inverse of the product of all."""
    for i in range(len(before) - 1, -1, -1):
        before[i] = _mul(before[i], inverted)
        inverted = _mul(inverted, values[i])


@njit(cache=True, nogil=True)
def _inner(weights: Any, rows: Any, out: Any) -> None:
    for i in range(rows.shape[0]):
        total = _ZERO
        for j in range(rows.shape[1]):
            total = _add(total, _mul(weights[j], rows[i, j]))
        out[i] = total


@njit(cache=True, nogil=True)
def _combine(weights: Any, rows: Any, out: Any) -> None:
    for i in range(rows.shape[0]):
        weight = weights[i]
        for j in range(rows.shape[1]):
            out[j] = _add(out[j], _mul(weight, rows[i, j]))

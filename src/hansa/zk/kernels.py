"""Compiled loops over rows: encoding, evaluation at few points, products with weights."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit

from hansa.crypto import arithmetic, ntt
from hansa.crypto.field import Field

_add, _mul, _sub = arithmetic.add, arithmetic.mul, arithmetic.sub
_TILE = 8  # words of a cache line


def scatter(target: Field, places: Any, values: Field) -> None:
    """Add elements of F2 ``(k, 2)`` to the places of a target ``(n, 2)``; a place may occur more than once.

    Raises:
        IndexError: If a place is outside.
    """
    places = np.ascontiguousarray(places, np.int64)
    if len(places) and not 0 <= places.min() <= places.max() < len(target):
        raise IndexError(f"there are {len(target)} cells, got {places.min()} to {places.max()}")
    _scatter(target, places, np.ascontiguousarray(values))


def add_scaled(target: Field, coefficient: Field, values: Field) -> None:
    """Add an element of F2 ``(2,)`` times elements of F ``(n,)`` to a target ``(n, 2)``, in place."""
    if target.shape != (len(values), 2):
        raise ValueError(f"cannot add {len(values)} weights to a target of shape {target.shape}")
    _add_scaled(target, coefficient, np.ascontiguousarray(values))


@njit(cache=True, nogil=True)
def _scatter(target: Any, places: Any, values: Any) -> None:
    for i in range(len(places)):
        j = places[i]
        target[j, 0] = _add(target[j, 0], values[i, 0])
        target[j, 1] = _add(target[j, 1], values[i, 1])


@njit(cache=True, nogil=True)
def _add_scaled(target: Any, coefficient: Any, values: Any) -> None:
    for i in range(len(values)):
        target[i, 0] = _add(target[i, 0], _mul(coefficient[0], values[i]))
        target[i, 1] = _add(target[i, 1], _mul(coefficient[1], values[i]))


@njit(cache=True, nogil=True)
def encode(low: Any, tails: Any, z: Any, roots: Any, out: Any) -> None:
    """Write the values on one coset of rows low + (X^ℓ − 1) · tail.

    Args:
        low: Coefficients of the interpolations on H: shape ``(R, ℓ)``.
        tails: Random coefficients: shape ``(R, q)``.
        z: The constant that X^ℓ is on the coset.
        roots: The coset's table.
        out: Where values go: shape ``(R, ℓ)``.
    """
    factor = _sub(z, np.uint64(1))
    for row in range(low.shape[0]):
        out[row] = low[row]
        for j in range(tails.shape[1]):
            out[row, j] = _add(out[row, j], _mul(factor, tails[row, j]))
        ntt.forward(out[row], roots)


@njit(cache=True, nogil=True)
def transpose(rows: Any, first: Any, out: Any) -> None:
    """Write columns first, first + 1, … of rows ``(R, ℓ)`` one after another to ``(columns, R)``."""
    for start in range(0, rows.shape[0], _TILE):
        stop = min(start + _TILE, rows.shape[0])
        for j in range(out.shape[0]):
            for row in range(start, stop):
                out[j, row] = rows[row, first + j]


@njit
def _row_is_zero(weights: Any) -> Any:
    ones = np.uint64(0)
    for j in range(weights.shape[0]):
        ones |= weights[j, 0] | weights[j, 1]
    return ones == 0


@njit
def _add_products(weights: Any, square: Any, values: Any, out: Any) -> None:
    """Add weights · values + square · values² to out, for one row: weights ``(2, ℓ)``, out ``(2, ℓ)``."""
    for j in range(len(values)):
        value = values[j]
        for part in range(2):
            factor = _add(weights[part, j], _mul(square[part], value))
            out[part, j] = _add(out[part, j], _mul(factor, value))


@njit
def _add_squares(square: Any, values: Any, out: Any) -> None:
    """Add square · values² to out, for one row."""
    for j in range(len(values)):
        power = _mul(values[j], values[j])
        for part in range(2):
            out[part, j] = _add(out[part, j], _mul(square[part], power))


@njit(cache=True, nogil=True)
def products(  # noqa: PLR0917 - compiled
    cells: Any,
    encoded: Any,
    weights: Any,
    squares: Any,
    back: Any,
    scale: Any,
    roots: Any,
    sums: Any,
) -> None:
    """Add Σ_rows (W f + square f²) on H and on two cosets to sums.

    Args:
        cells: Values on H, shape ``(R, ℓ)``.
        encoded: Values on the two cosets: shape ``(2, R, ℓ)``.
        weights: Values of W on H: shape ``(R, ℓ, 2)``.
        squares: Weights of squares: shape ``(R, 2)``.
        back: H's inverse table, and ``scale`` 1/ℓ.
        scale: See ``back``.
        roots: The two cosets' tables: shape ``(2, ℓ)``.
        sums: Shape ``(3, 2, ℓ)``.
    """
    size = cells.shape[1]
    row_weights = np.empty((2, size), np.uint64)
    moved = np.empty((2, size), np.uint64)
    for row in range(cells.shape[0]):
        square = squares[row]
        if _row_is_zero(weights[row]):
            if square[0] != 0 or square[1] != 0:
                _add_squares(square, cells[row], sums[0])
                for coset in range(2):
                    _add_squares(square, encoded[coset, row], sums[1 + coset])
            continue
        for part in range(2):
            for j in range(size):
                row_weights[part, j] = weights[row, j, part]
        _add_products(row_weights, square, cells[row], sums[0])
        for part in range(2):
            ntt.backward(row_weights[part], back, scale)
        for coset in range(2):
            for part in range(2):
                moved[part] = row_weights[part]
                ntt.forward(moved[part], roots[coset])
            _add_products(moved, square, encoded[coset, row], sums[1 + coset])


@njit(cache=True, nogil=True)
def booleans(rows: Any, coefficients: Any, out: Any) -> None:
    """Add Σ_rows coefficient · (f² − f) to out ``(2, ℓ)``; rows ``(R, ℓ)``, coefficients ``(R, 2)``."""
    for row in range(rows.shape[0]):
        for j in range(rows.shape[1]):
            value = rows[row, j]
            wrong = _sub(_mul(value, value), value)
            for part in range(2):
                out[part, j] = _add(out[part, j], _mul(coefficients[row, part], wrong))


@njit
def _evaluate(a: Any, roots: Any, nodes: Any) -> None:
    """Do those butterflies of a forward transform that lead to wanted places (`hansa.zk.code.Places`).

    Values are below 2^64 afterwards and need not be below p.
    """
    for i in range(nodes.shape[0]):
        node, left, right = nodes[i, 0], nodes[i, 1], nodes[i, 2]
        half, first, root = nodes[i, 3], nodes[i, 4], roots[node]
        if left and right:
            for j in range(first, first + half):
                u, v = a[j], _mul(a[j + half], root)
                a[j], a[j + half] = ntt.lazy_add(u, v), ntt.lazy_sub(u, v)
        elif left:
            for j in range(first, first + half):
                a[j] = ntt.lazy_add(a[j], _mul(a[j + half], root))
        else:
            for j in range(first, first + half):
                a[j + half] = ntt.lazy_sub(a[j], _mul(a[j + half], root))


@njit(cache=True, nogil=True)
def values_at(rows: Any, roots: Any, nodes: Any, places: Any, out: Any) -> None:
    """Write the values of polynomials ``(R, ℓ)``, overwritten, at places of a coset to ``(k, R)``."""
    for row in range(rows.shape[0]):
        _evaluate(rows[row], roots, nodes)
        for k in range(len(places)):
            out[k, row] = _mul(rows[row, places[k]], np.uint64(1))  # canonical


@njit(cache=True, nogil=True)
def weigh_columns(  # noqa: PLR0917 - compiled
    weights: Any, back: Any, scale: Any, roots: Any, nodes: Any, ends: Any, places: Any, values: Any, out: Any
) -> None:
    """Add Σ_rows W(x) · f(x) at the opened columns to out.

    Args:
        weights: Values of W on H: shape ``(R, ℓ, 2)``.
        back: H's inverse table, and ``scale`` 1/ℓ.
        scale: See ``back``.
        roots: The tables of the cosets: shape ``(cosets, ℓ)``.
        nodes: Butterflies of each coset, one coset after another (`hansa.zk.code.Places`).
        ends: Where nodes and places of a coset end: shape ``(cosets + 1, 2)``, beginning with 0.
        places: Places in the coset: shape ``(q,)``.
        values: Opened values of f: shape ``(q, R)``.
        out: Shape ``(q, 2)``.
    """
    size = weights.shape[1]
    own = np.empty((2, size), np.uint64)
    moved = np.empty(size, np.uint64)
    for row in range(weights.shape[0]):
        if _row_is_zero(weights[row]):
            continue
        for part in range(2):
            for j in range(size):
                own[part, j] = weights[row, j, part]
            ntt.backward(own[part], back, scale)
            for coset in range(roots.shape[0]):
                if ends[coset, 1] == ends[coset + 1, 1]:
                    continue
                for j in range(size):
                    moved[j] = own[part, j]
                _evaluate(moved, roots[coset], nodes[ends[coset, 0] : ends[coset + 1, 0]])
                for k in range(ends[coset, 1], ends[coset + 1, 1]):
                    out[k, part] = _add(out[k, part], _mul(moved[places[k]], values[k, row]))


@njit(cache=True, nogil=True)
def horner(coefficients: Any, points: Any, out: Any) -> None:
    """Write the values at points ``(q,)`` of a polynomial over F2, ``(m, 2)``, to out ``(q, 2)``."""
    for k in range(len(points)):
        low, high, x = np.uint64(0), np.uint64(0), points[k]
        for i in range(coefficients.shape[0] - 1, -1, -1):
            low = _add(_mul(low, x), coefficients[i, 0])
            high = _add(_mul(high, x), coefficients[i, 1])
        out[k, 0], out[k, 1] = low, high

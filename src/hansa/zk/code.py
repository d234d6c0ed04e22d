"""The Reed–Solomon code of rows: where it is evaluated, how rows are encoded and polynomials recovered.

The cells of a row are values on H, the subgroup of order ℓ; place g of a row is the point ω^rev(g) of H. The
code has 8 cosets c_b·H, c_b = 7·Ω^b with Ω of order 8ℓ, none of them H itself, since 7 generates all units.
Column b·ℓ + g is the point c_b·ω^rev(g). On c_b·H the power X^ℓ is the constant z_b = c_b^ℓ: a polynomial is
known there modulo X^ℓ − z_b, and one of degree < kℓ from k such cosets.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from hansa.crypto import field, ntt
from hansa.crypto.arithmetic import P
from hansa.crypto.field import Field
from hansa.zk import kernels
from hansa.zk.parameters import RATE


@dataclass(frozen=True)
class Code:
    """Tables of a code with rows of a size.

    Attributes:
        row: Cells of a row, ℓ.
        shifts: The cosets' c_b.
        constants: The cosets' z_b: shape ``(8,)``.
        roots: The cosets' tables: shape ``(8, ℓ)``.
        back: The inverse table of H.
        scale: 1/ℓ.
        points: All points, by column: shape ``(8ℓ,)``.
    """

    row: int
    shifts: tuple[int, ...]
    constants: Field
    roots: Field
    back: Field
    scale: np.uint64
    points: Field

    def coefficients(self, cells: Field) -> Field:
        """Return the coefficients of the interpolations on H, shape ``(..., ℓ)``."""
        return ntt.from_values(cells)

    def encode(self, low: Field, tails: Field, coset: int, out: Field) -> None:
        """Write the values on a coset of rows low + (X^ℓ − 1) · tail to out ``(R, ℓ)``."""
        kernels.encode(low, tails, self.constants[coset], self.roots[coset], out)

    def folded(self, coefficients: Field, coset: int) -> Field:
        """Return polynomials of k blocks of ℓ coefficients, ``(R, k, ℓ)``, modulo X^ℓ − z: ``(R, ℓ)``."""
        z, power = int(self.constants[coset]), 1
        out = np.zeros((len(coefficients), self.row), np.uint64)
        for block in range(coefficients.shape[1]):
            out = field.add(out, field.mul(np.array(power, np.uint64), coefficients[:, block]))
            power = power * z % P
        return out

    def interpolated(self, residues: Sequence[tuple[int, Field]]) -> Field:
        """Return the coefficients of the polynomial of degree < kℓ with k residues.

        Args:
            residues: Each z, and the coefficients modulo X^ℓ − z: shape ``(parts, ℓ)``.

        Returns:
            Shape ``(kℓ, parts)``.
        """
        inverse = _inverse([[pow(z, power, P) for power in range(len(residues))] for z, _ in residues])
        blocks = []
        for line in inverse:
            block = np.zeros_like(residues[0][1])
            for weight, (_, residue) in zip(line, residues, strict=True):
                block = field.add(block, field.mul(np.array(weight, np.uint64), residue))
            blocks.append(block)
        return np.ascontiguousarray(np.concatenate(blocks, axis=1).T)

    def places(self, positions: Any) -> Places:
        """Return what it takes to evaluate at columns, given in increasing order."""
        return Places(self, np.asarray(positions, np.int64))


@functools.lru_cache(maxsize=4)
def code_of(row: int) -> Code:
    """Return the code with rows of this size."""
    omega = ntt.root_of_unity(RATE * row)
    shifts = tuple(ntt.GENERATOR * pow(omega, b, P) % P for b in range(RATE))
    return Code(
        row=row,
        shifts=shifts,
        constants=np.array([pow(shift, row, P) for shift in shifts], np.uint64),
        roots=np.stack([ntt.tables(row, shift)[0] for shift in shifts]),
        back=ntt.tables(row)[1],
        scale=np.uint64(field.inverse(row)),
        points=np.concatenate([ntt.points(row, shift) for shift in shifts]),
    )


class Places:
    """Columns and the butterflies that lead to them, by coset.

    Attributes:
        positions: The columns, increasing.
        local: Their places in their cosets.
        nodes: Number, need of the left and of the right child, half size and first place of each butterfly.
        ends: Where nodes and columns of each coset end: shape ``(9, 2)``, beginning with 0.
    """

    def __init__(self, code: Code, positions: Any) -> None:
        """Walk up from the columns."""
        self.code, self.positions = code, positions
        self.local = positions % code.row
        nodes, ends = [], [(0, 0)]
        for coset in range(RATE):
            local = self.local[positions // code.row == coset]
            nodes += _needed(code.row, local.tolist())
            ends.append((len(nodes), ends[-1][1] + len(local)))
        self.nodes = np.array(nodes, np.int64).reshape(-1, 5)
        self.ends = np.array(ends, np.int64)

    def weigh(self, weights: Field, values: Field) -> Field:
        """Return Σ_rows W(x) · f(x) at each column, shape ``(q, 2)``.

        Args:
            weights: Values of W on H: shape ``(R, ℓ, 2)``.
            values: Opened values of f: shape ``(q, R)``.
        """
        code, out = self.code, np.zeros((len(self.positions), 2), np.uint64)
        tables = code.back, code.scale, code.roots
        kernels.weigh_columns(weights, *tables, self.nodes, self.ends, self.local, values, out)
        return out

    def of_rows(self, low: Field, tails: Field, block: int = 64) -> Field:
        """Return the values at the columns of rows low + (X^ℓ − 1) · tail: shape ``(q, R)``."""
        code, out = self.code, np.empty((len(self.positions), len(low)), np.uint64)
        for coset in range(RATE):
            (first_node, first), (last_node, last) = self.ends[coset], self.ends[coset + 1]
            factor = field.sub(code.constants[coset : coset + 1], np.ones(1, np.uint64))
            for start in range(0, len(low), block):
                rows = low[start : start + block].copy()
                tail = field.mul(factor, tails[start : start + block])
                rows[:, : tail.shape[1]] = field.add(rows[:, : tail.shape[1]], tail)
                found = np.empty((last - first, len(rows)), np.uint64)
                nodes, local = self.nodes[first_node:last_node], self.local[first:last]
                kernels.values_at(rows, code.roots[coset], nodes, local, found)
                out[first:last, start : start + block] = found
        return out


def evaluated(coefficients: Field, points: Field) -> Field:
    """Return the values of a polynomial over F2, ``(m, 2)``, at points of F, ``(q,)``: shape ``(q, 2)``."""
    out = np.zeros((len(points), 2), np.uint64)
    kernels.horner(np.ascontiguousarray(coefficients), np.ascontiguousarray(points), out)
    return out


def _needed(row: int, local: list[int]) -> list[tuple[int, int, int, int, int]]:
    wanted = {row + place for place in local}
    out: list[tuple[int, int, int, int, int]] = []
    half = 1
    while half < row:
        parents = sorted({child >> 1 for child in wanted})
        groups = row // (2 * half)
        level = [
            (node, 2 * node in wanted, 2 * node + 1 in wanted, half, (node - groups) * 2 * half)
            for node in parents
        ]
        out, wanted, half = level + out, set(parents), 2 * half
    return out


def _inverse(matrix: list[list[int]]) -> list[list[int]]:
    """Return the inverse of a small matrix of integers modulo p (Gauss–Jordan)."""
    size = len(matrix)
    work = [list(line) + [int(i == j) for j in range(size)] for i, line in enumerate(matrix)]
    for i in range(size):
        pivot = next(k for k in range(i, size) if work[k][i] % P)
        work[i], work[pivot] = work[pivot], work[i]
        scale = pow(work[i][i], -1, P)
        work[i] = [value * scale % P for value in work[i]]
        for k in range(size):
            if k != i:
                factor = work[k][i]
                work[k] = [(a - factor * b) % P for a, b in zip(work[k], work[i], strict=True)]
    return [line[size:] for line in work]

"""The prover's half of a commitment: rows with their random coefficients, encoded, hashed by column."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from hansa.crypto.field import Field
from hansa.zk import kernels, merkle
from hansa.zk.code import Code, Places
from hansa.zk.parameters import RATE

Random = Callable[[int], bytes]

_BLOCK = 128  # columns that are made contiguous at a time
NEAR = 2
"""Cosets whose values are always kept: with H, enough for polynomials of degree < 3ℓ."""


@dataclass(frozen=True)
class Committed:
    """Rows under one root.

    Attributes:
        cells: Values on H: shape ``(R, ℓ)``.
        low: Coefficients of their interpolations: shape ``(R, ℓ)``.
        tails: Random coefficients, times X^ℓ − 1: shape ``(R, q)``.
        near: Values of all rows on the first two cosets: shape ``(2, R + W, ℓ)``; the last W are wide rows.
        far: The same on the other six, or nothing if they are not kept.
        wide: Values of the wide rows everywhere: shape ``(8, W, ℓ)``.
        salts: 32 bytes for each column.
        tree: Over the columns.
    """

    cells: Field
    low: Field
    tails: Field
    near: Field
    far: Field | None
    wide: Field
    salts: bytes
    tree: merkle.Tree

    def __repr__(self) -> str:
        return "Committed(not shown)"

    def opened(self, places: Places) -> bytes:
        """Return the columns at these places, their salts, and the nodes that complete them."""
        positions = places.positions
        if self.far is None:
            rows = places.of_rows(self.low, self.tails)
            wide = self.wide[positions // places.code.row, :, places.local]
            columns = np.concatenate([rows, wide], axis=1)
        else:
            cosets = [*self.near, *self.far]
            columns = np.stack([cosets[p // places.code.row][:, p % places.code.row] for p in positions])
        salts = b"".join(self.salts[merkle.SALT * p : merkle.SALT * (p + 1)] for p in positions.tolist())
        return to_bytes(columns) + salts + self.tree.siblings(positions.tolist())


def commit(code: Code, cells: Field, tails: Field, wide: Field, *, random: Random, keep: bool) -> Committed:
    """Encode rows, hash their columns and return what the prover needs later.

    Args:
        code: The code.
        cells: Values on H: shape ``(R, ℓ)``.
        tails: Random coefficients: shape ``(R, q)``.
        wide: Coefficients of polynomials of degree < 3ℓ: shape ``(W, 3, ℓ)``.
        random: Where salts come from.
        keep: Whether the values on all cosets are kept in memory.
    """
    low, rows = code.coefficients(cells), len(cells)
    salts = random(merkle.SALT * RATE * code.row)
    near = np.empty((NEAR, rows + len(wide), code.row), np.uint64)
    far = np.empty((RATE - NEAR if keep else 1, rows + len(wide), code.row), np.uint64)
    wide_values = np.empty((RATE, len(wide), code.row), np.uint64)
    leaves: list[bytes] = []
    nothing = np.empty((len(wide), 0), np.uint64)
    for coset in range(RATE):
        out = near[coset] if coset < NEAR else far[coset - NEAR if keep else 0]
        code.encode(low, tails, coset, out[:rows])
        code.encode(code.folded(wide, coset), nothing, coset, out[rows:])
        wide_values[coset] = out[rows:]
        leaves += _hashed(out, memoryview(salts)[merkle.SALT * coset * code.row :])
    return Committed(
        cells=cells,
        low=low,
        tails=tails,
        near=near,
        far=far if keep else None,
        wide=wide_values,
        salts=salts,
        tree=merkle.Tree(leaves),
    )


def to_bytes(values: Field) -> bytes:
    """Return field elements as little-endian words."""
    return np.ascontiguousarray(values).astype("<u8", copy=False).tobytes()


def _hashed(rows: Field, salts: memoryview) -> list[bytes]:
    """Return the hashes of the columns of rows ``(R, ℓ)``."""
    size, leaves = 8 * len(rows), []
    for first in range(0, rows.shape[1], _BLOCK):
        block = np.empty((min(_BLOCK, rows.shape[1] - first), len(rows)), np.uint64)
        kernels.transpose(rows, first, block)
        data = block.astype("<u8", copy=False).data.cast("B")
        for j in range(len(block)):
            salt = merkle.SALT * (first + j)
            leaves.append(merkle.leaf(salts[salt : salt + merkle.SALT], data[j * size : (j + 1) * size]))
    return leaves

"""The size of a row and the number of opened columns, chosen from the soundness that is wanted.

Soundness. Let ℓ be the cells of a row, q the columns opened, n = 8ℓ the length of the code, K = ℓ + q and
e = ⌊(n − 2K) / 2⌋. A prover whose cells do not satisfy the statement passes with probability at most

    ∏_{i<q} (n − e − 1 − i) / (n − i)   +   (n + e) / |F2|   +   2 / |F2|,      |F2| = p² > 2^127.99.

Why. Call a column good if it passes the three column checks.
 1. If n − e columns are good, the combination of all rows is within e of a polynomial of degree < K.
    Then, except with n / |F2|, all rows agree with such polynomials on one set D of at least n − e columns
    (Ben-Sasson, Carmon, Ishai, Kopparty and Saraf, "Proximity gaps for Reed–Solomon codes", FOCS 2020,
    theorem 1.6, unique decoding: e/n ≤ (1 − K/n)/2). A column outside the largest such D is good with
    1 / |F2|: together e / |F2|. Rows of an earlier tree are fixed by its root alone, since 2e < n − K + 1.
 2. So n − e columns lie in D and agree with the second and the third polynomial too. The blinds' columns
    are then within e of polynomials of degree < 2K − 1 (the third after multiplication by X^ℓ − 1, which
    is not 0 on the code), at most one each because 2e < n − (2K − 1) + 1, fixed before the coefficients of
    the constraints were drawn: each of the two combinations hides a violation with 1 / |F2| (sums: a random
    combination of all constraints; booleans: one point of H at which a row violates).
 3. Otherwise at most n − e − 1 columns are good, and q distinct columns that are all among them are drawn
    with the first term (Ames, Hazay, Ishai and Venkitasubramaniam, "Ligero", CCS 2017, sections 4.4 to 4.6).
A prover who repeats the last hash until the columns suit it needs the inverse of the first term in hashes.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from hansa.crypto.arithmetic import P
from hansa.zk.merkle import HASH, SALT

RATE = 8
"""Length of the code over cells of a row."""
SMALLEST_ROW = 512
LARGEST_ROW = 1 << 20


@dataclass(frozen=True, kw_only=True)
class Parameters:
    """Cells of a row (ℓ) and columns opened (q).

    Attributes:
        row: A power of two, at least 512.
        columns: Opened by every proof; also the random coefficients that hide each row.
        toy: Allows rows that are too short to be sound, for tests. It is part of what a proof is bound to.
    """

    row: int
    columns: int
    toy: bool = False

    def __post_init__(self) -> None:
        """Refuse what is not sound, or not a code."""
        smallest = 4 if self.toy else SMALLEST_ROW
        if self.row & (self.row - 1) or not smallest <= self.row <= LARGEST_ROW:
            raise ValueError(
                f"a row must be a power of two from {smallest} to {LARGEST_ROW} cells, got {self.row}"
            )
        if not 1 <= self.columns <= self.row // 2:
            raise ValueError(
                f"opened columns must be 1 to {self.row // 2} for rows of {self.row}, got {self.columns}"
            )

    @property
    def length(self) -> int:
        """Points of the code, n."""
        return RATE * self.row

    @property
    def degree(self) -> int:
        """Coefficients of a row's polynomial, K."""
        return self.row + self.columns

    @property
    def bits(self) -> float:
        """Minus the logarithm (base 2) of the soundness error, all terms of the module's docstring."""
        columns = 2.0 ** -min(column_bits(self.row, self.columns), 1000.0)
        errors = (self.length - 2 * self.degree) // 2
        return -math.log2(columns + (self.length + errors + 2) / P**2)

    def proof_bytes(self, cells: int, trees: int = 2) -> int:
        """Return about how many bytes a proof about so many cells in so many trees takes."""
        shared = math.log2(self.length / self.columns)
        polynomials = 16 * (4 * self.row + 5 * self.columns)
        column = 8 * (-(-cells // self.row) + trees + 6) + trees * (SALT + HASH * shared)
        return int(polynomials + self.columns * column)


def column_bits(row: int, columns: int) -> float:
    """Return minus the logarithm (base 2) of the chance that so many columns all miss the bad ones."""
    return sum(math.log2(b) - math.log2(a) for a, b in _factors(row, columns))


def columns_for(row: int, bits: int) -> int:
    """Return the least number of columns for which the first term is at most 2^-bits, exactly.

    Raises:
        ValueError: If rows of this size cannot reach it.
    """
    for columns in range(1, row // 2 + 1):
        factors = _factors(row, columns)
        if math.prod(a for a, _ in factors) << bits <= math.prod(b for _, b in factors):
            return columns
    raise ValueError(f"rows of {row} cells cannot reach 2^-{bits}: take longer rows")


def choose(cells: int, *, bits: int = 100, trees: int = 2) -> Parameters:
    """Return the parameters for about so many cells.

    The shortest rows whose proof is within 8 % of the shortest proof: short rows are faster.

    Args:
        cells: Of all groups together.
        bits: The first term of the soundness error is at most 2^-bits. At most 110: the others
            are up to 2^-108 for the longest rows.
        trees: Stages of the statement.
    """
    if not 1 <= bits <= 110:
        raise ValueError(f"1 to 110 bits can be had, since challenges are drawn from 2^128, got {bits}")
    rows = [SMALLEST_ROW << i for i in range(8)]
    options = [Parameters(row=row, columns=columns_for(row, bits)) for row in rows]
    sizes = [option.proof_bytes(cells, trees) for option in options]
    return next(option for option, size in zip(options, sizes, strict=True) if size <= 1.08 * min(sizes))


def _factors(row: int, columns: int) -> list[tuple[int, int]]:
    length = RATE * row
    good = length - (length - 2 * (row + columns)) // 2 - 1
    return [(good - i, length - i) for i in range(columns)]

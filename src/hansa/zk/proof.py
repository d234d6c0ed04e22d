"""A proof as bytes.

By stage the root (32 bytes) and the message; the coefficients of three polynomials over F2, two words each:
K, 2K − 1 and ℓ + 2q − 1; by stage q columns, their q salts, and the nodes that complete them. Words are
little-endian and below p. All lengths follow from the statement, but for the number of nodes, which follows
from the columns drawn and is bounded beforehand.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from hansa.crypto.field import Field, is_canonical
from hansa.zk import merkle
from hansa.zk.statement import Layout

BLIND_ROWS = 2
"""Rows behind the last stage's that blind the combination of rows: the words of one row over F2."""
WIDE_ROWS = 4
"""Words of a last stage's column that blind the sum polynomial and the boolean one."""


class ProofRejected(ValueError):  # noqa: N818 - what happened to the proof, not a fault of the program
    """A proof does not show its statement.

    Attributes:
        check: Which check failed: ``length``, ``decoding``, ``message``, ``merkle``, ``proximity``, ``total``
            (the sum over H), ``sums`` (linear and quadratic, in the columns) or ``boolean``.
    """

    def __init__(self, check: str, message: str) -> None:
        """Build the message."""
        super().__init__(f"proof rejected by the check {check!r}: {message}")
        self.check = check


@dataclass(frozen=True)
class Head:
    """What is sent before columns are drawn.

    Attributes:
        roots: By stage.
        messages: By stage.
        polynomials: Of rows, of sums, of booleans: shapes ``(K, 2)``, ``(2K − 1, 2)``, ``(ℓ + 2q − 1, 2)``.
        spoken: The bytes of the three polynomials.
    """

    roots: list[bytes]
    messages: list[bytes]
    polynomials: list[Field]
    spoken: bytes


@dataclass(frozen=True)
class Opening:
    """Columns of one stage.

    Attributes:
        columns: Shape ``(q, width)``.
        leaves: Their hashes.
        siblings: The nodes that complete them.
        spoken: The bytes of all this.
    """

    columns: Field
    leaves: list[bytes]
    siblings: bytes
    spoken: bytes


def degrees(layout: Layout) -> tuple[int, int, int]:
    """Return the number of coefficients of the three polynomials."""
    parameters = layout.parameters
    return (
        parameters.degree,
        2 * parameters.degree - 1,
        parameters.row + 2 * parameters.columns - 1,
    )


def widths(layout: Layout) -> list[int]:
    """Return the number of words of a column, by stage."""
    out = [rows.stop - rows.start for rows in layout.stage_rows]
    out[-1] += BLIND_ROWS + WIDE_ROWS
    return out


def size_bounds(layout: Layout) -> tuple[int, int]:
    """Return the least and the largest number of bytes of a proof."""
    parameters = layout.parameters
    head = sum(merkle.HASH + size for size in layout.messages) + 16 * sum(degrees(layout))
    columns = parameters.columns * sum(8 * width + merkle.SALT for width in widths(layout))
    nodes = merkle.HASH * layout.stages * merkle.most_missing(parameters.length, parameters.columns)
    return head + columns, head + columns + nodes


def read_head(layout: Layout, proof: bytes) -> tuple[Head, int]:
    """Return what comes before the columns, and where it ends.

    Raises:
        ProofRejected: If the length cannot be right, or a word is not below p.
    """
    least, largest = size_bounds(layout)
    if not isinstance(proof, bytes) or not least <= len(proof) <= largest:
        size = len(proof) if isinstance(proof, bytes) else type(proof).__name__
        raise ProofRejected("length", f"expected {least} to {largest} bytes, got {size}")
    place = 0
    roots, messages, polynomials = [], [], []
    for size in layout.messages:
        roots.append(proof[place : place + merkle.HASH])
        messages.append(proof[place + merkle.HASH : place + merkle.HASH + size])
        place += merkle.HASH + size
    first = place
    for count in degrees(layout):
        polynomials.append(_words(proof[place : place + 16 * count]).reshape(count, 2))
        place += 16 * count
    return Head(roots, messages, polynomials, proof[first:place]), place


def read_openings(layout: Layout, proof: bytes, place: int, positions: Sequence[int]) -> list[Opening]:
    """Return the columns of each stage.

    Raises:
        ProofRejected: If the length is not that of these columns, or a word is not below p.
    """
    count = len(positions)
    nodes = merkle.HASH * len(merkle.missing(layout.parameters.length, positions))
    sizes = [count * (8 * width + merkle.SALT) + nodes for width in widths(layout)]
    if len(proof) - place != sum(sizes):
        raise ProofRejected("length", f"columns take {sum(sizes)} bytes, got {len(proof) - place}")
    out = []
    for width, size in zip(widths(layout), sizes, strict=True):
        spoken = proof[place : place + size]
        place += size
        data, salts = spoken[: 8 * width * count], spoken[8 * width * count : size - nodes]
        leaves = [
            merkle.leaf(
                salts[merkle.SALT * i : merkle.SALT * (i + 1)], data[8 * width * i : 8 * width * (i + 1)]
            )
            for i in range(count)
        ]
        out.append(Opening(_words(data).reshape(count, width), leaves, spoken[size - nodes :], spoken))
    return out


def _words(data: bytes) -> Field:
    values = np.frombuffer(data, "<u8").astype(np.uint64)
    if not is_canonical(values):
        raise ProofRejected("decoding", "a word is not below the field's modulus")
    return values

"""What both sides draw after the last commitment: a coefficient for every row and every constraint."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from hansa.crypto import field
from hansa.crypto.arithmetic import P
from hansa.crypto.field import Field
from hansa.zk.kernels import scatter
from hansa.zk.statement import Layout, QuadraticSum, Statement
from hansa.zk.transcript import Transcript


@dataclass(frozen=True)
class Combination:
    """One linear, one quadratic and one boolean form, random combinations of all constraints.

    Attributes:
        proximity: Coefficients of rows in the test that they are codewords: shape ``(R, 2)``.
        weights: Of cells in the combined sum: shape ``(R, ℓ, 2)``.
        squares: Of the squares of a row's cells in the combined sum: shape ``(R, 2)``.
        booleans: Coefficients of boolean rows, 0 for the others: shape ``(R, 2)``.
        constant: What the combined sum is: shape ``(2,)``.
    """

    proximity: Field
    weights: Field
    squares: Field
    booleans: Field
    constant: Field


def begin(layout: Layout, transcript: Transcript) -> None:
    """Bind a proof to its statement."""
    transcript.absorb("statement", layout.digest)


def commitment_said(layout: Layout, transcript: Transcript, stage: int, root: bytes, message: bytes) -> bytes:
    """Absorb a stage's commitment; return the seed drawn after it (of no use after the last stage)."""
    transcript.absorb("root", root)
    transcript.absorb("message", message)
    return transcript.seed("stage") if stage + 1 < layout.stages else b""


def draw(
    statement: Statement,
    layout: Layout,
    transcript: Transcript,
    seeds: Sequence[bytes],
    messages: Sequence[bytes],
) -> Combination:
    """Draw all coefficients and combine the constraints.

    Every constraint has a coefficient of its own, in this order: linear blocks, sums, zero cells behind each
    segment, boolean rows. With a fixed coefficient for any of them the blind could be chosen to hide it.

    Raises:
        ValueError: If the statement refuses a message.
    """
    constraints = statement.constraints(tuple(seeds), tuple(messages))
    row = layout.parameters.row
    boolean_rows = [
        i
        for s in layout.segments
        if s.boolean
        for i in range(layout.rows[s.name].start, layout.rows[s.name].stop)
    ]
    padding = sum(layout.padding(segment) for segment in layout.segments)
    counts = [
        *(block.count for block in constraints.linear),
        len(constraints.sums),
        padding,
        len(boolean_rows),
    ]
    proximity = transcript.elements("rows", layout.count)
    coefficients = np.split(transcript.elements("constraints", sum(counts)), np.cumsum(counts)[:-1])
    of_sums, of_padding, of_booleans = coefficients[-3:]

    weights = np.zeros((layout.count, row, 2), np.uint64)
    flat = {s.name: weights[layout.rows[s.name]].reshape(-1, 2) for s in layout.segments}
    inside = {s.name: flat[s.name][: s.cells] for s in layout.segments}
    constant = np.zeros(2, np.uint64)
    for block, own in zip(constraints.linear, coefficients[:-3], strict=True):
        constant = field.add(constant, block.add_to(inside, own))
    squares = np.zeros((layout.count, 2), np.uint64)
    for constraint, own in zip(constraints.sums, of_sums, strict=True):
        _add_sum(constraint, own, layout, inside, squares)
        constant = field.add(constant, field.mul(own, np.array(constraint.constant % P, np.uint64)))
    start = 0
    for segment in layout.segments:
        stop = start + layout.padding(segment)
        flat[segment.name][segment.cells :] = of_padding[start:stop]
        start = stop
    booleans = np.zeros((layout.count, 2), np.uint64)
    booleans[boolean_rows] = of_booleans
    return Combination(proximity, weights, squares, booleans, constant)


def _add_sum(
    constraint: QuadraticSum, coefficient: Field, layout: Layout, weights: dict[str, Field], squares: Field
) -> None:
    for name, factors in constraint.squares.items():
        rows = layout.rows[name]
        count = rows.stop - rows.start
        listed = [factors] * count if isinstance(factors, int) else list(factors)
        if len(listed) != count:
            raise IndexError(f"segment {name!r} has {count} rows, got weights of squares for {len(listed)}")
        scaled = field.mul(coefficient, field.from_ints(listed)[:, None])
        squares[rows] = field.add(squares[rows], scaled)
    for name, cells, factors in constraint.linear:
        scatter(weights[name], cells, field.mul(coefficient, field.from_ints(factors)[:, None]))

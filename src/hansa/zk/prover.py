"""The prover: from a statement and its cells to the bytes of a proof.

Source:
    Ames, Hazay, Ishai and Venkitasubramaniam, "Ligero: lightweight sublinear arguments without a trusted
    setup", CCS 2017, sections 4.3 to 4.7 (rows, three tests, blinds for zero knowledge).
"""

from __future__ import annotations

import os

import numpy as np

from hansa.crypto import field, ntt
from hansa.crypto.arithmetic import P
from hansa.crypto.field import Field
from hansa.crypto.sampling import secret_elements
from hansa.zk import kernels
from hansa.zk.code import Code, code_of
from hansa.zk.combination import Combination, begin, commitment_said, draw
from hansa.zk.commitment import NEAR, Committed, Random, commit, to_bytes
from hansa.zk.parameters import RATE, Parameters
from hansa.zk.proof import BLIND_ROWS, WIDE_ROWS, degrees
from hansa.zk.statement import Cells, Layout, Statement, Witness
from hansa.zk.transcript import Transcript

KEPT_BYTES = 512 << 20
"""Encoded rows are kept up to this size; beyond, opened columns are computed again."""


def prove(
    statement: Statement,
    witness: Witness,
    transcript: Transcript,
    *,
    random: Random = os.urandom,
    check: bool = True,
) -> bytes:
    """Return a proof that the prover knows cells that satisfy a statement.

    Args:
        statement: What is proven.
        witness: Gives the cells of each stage.
        transcript: Has absorbed the context that the proof is bound to; afterwards also the proof.
        random: Gives secret random bytes; another source than the operating system's is for tests, and the
            same bytes must never meet two witnesses.
        check: Whether cells that do not satisfy the statement are refused; without, a proof is made that
            will be rejected (tests).

    Raises:
        ValueError: If the cells do not fit the statement, or do not satisfy it.

    Guarantees:
        Complete: the verifier, with a transcript in the same state, accepts. Zero knowledge: opened columns
        and polynomials are uniform given what the verifier computes from them; nothing else is sent but
        messages and hashes of salted columns.
    """
    layout = Layout(statement)
    parameters, code = layout.parameters, code_of(layout.parameters.row)
    keep = 8 * RATE * layout.count * parameters.row <= KEPT_BYTES
    begin(layout, transcript)
    out, seeds, messages, stages = bytearray(), [], [], []
    blinds = None
    for stage in range(layout.stages):
        given = witness(stage, tuple(seeds))
        cells, wide = rows_of(layout, stage, given, check), np.empty((0, 3, parameters.row), np.uint64)
        if stage + 1 == layout.stages:
            blinds = Blinds(parameters, random)
            cells, wide = np.concatenate([cells, blinds.cells]), blinds.wide
        tails = secret_elements(len(cells) * parameters.columns, random).reshape(len(cells), -1)
        committed = commit(code, cells, tails, wide, random=random, keep=keep)
        stages.append(committed)
        seeds.append(commitment_said(layout, transcript, stage, committed.tree.root, given.message))
        messages.append(given.message)
        out += committed.tree.root + given.message
    combination = draw(statement, layout, transcript, seeds[:-1], messages)
    spoken = b"".join(
        to_bytes(polynomial)
        for polynomial in polynomials(layout, code, stages, combination, blinds.wide, check=check)  # type: ignore[union-attr]
    )
    transcript.absorb("polynomials", spoken)
    positions = transcript.distinct("columns", parameters.columns, parameters.length)
    places = code.places(positions)
    out += spoken
    for committed in stages:
        opened = committed.opened(places)
        transcript.absorb("opened", opened)
        out += opened
    return bytes(out)


def rows_of(layout: Layout, stage: int, given: Cells, check: bool = True) -> Field:
    """Return the cells of a stage in rows, shape ``(R, ℓ)``, zero behind each segment.

    Raises:
        ValueError: If a segment is missing, not one of the stage, or of another length; if cells are not
            canonical, or the message is not of the length that was announced.
    """
    segments = {segment.name: segment for segment in layout.segments if segment.stage == stage}
    if set(given.cells) != set(segments) or len(given.message) != layout.messages[stage]:
        raise ValueError(
            f"stage {stage} has the segments {sorted(segments)} and a message of {layout.messages[stage]} "
            f"bytes; got {sorted(given.cells)} and {len(given.message)} bytes"
        )
    rows = layout.stage_rows[stage]
    out = np.zeros((rows.stop - rows.start, layout.parameters.row), np.uint64)
    for name, segment in segments.items():
        values = given.cells[name]
        if not field.is_canonical(values) or values.shape != (segment.cells,):
            raise ValueError(f"segment {name!r} takes {segment.cells} canonical field elements (uint64)")
        if check and segment.boolean and values.max() > 1:
            raise ValueError(f"segment {name!r} is boolean: its cells must be 0 or 1")
        place = layout.rows[name]
        out[place.start - rows.start : place.stop - rows.start].reshape(-1)[: segment.cells] = values
    return out


class Blinds:
    """Random polynomials that hide the three that are sent.

    Attributes:
        cells: Of a row over F2, as two rows: shape ``(2, ℓ)``. With random tails it is a random codeword.
        wide: Coefficients of a random polynomial over F2 of degree < 2K − 1 whose sum over H is 0, and of
            one of degree < ℓ + 2q − 1 (which is added to the quotient, so that what it adds to the boolean
            polynomial is a multiple of X^ℓ − 1): shape ``(4, 3, ℓ)``.
    """

    def __init__(self, parameters: Parameters, random: Random) -> None:
        """Draw them."""
        row, columns = parameters.row, parameters.columns
        self.cells = secret_elements(BLIND_ROWS * row, random).reshape(BLIND_ROWS, row)
        self.wide = np.zeros((WIDE_ROWS, 3, row), np.uint64)
        flat = self.wide.reshape(WIDE_ROWS, 3 * row)
        for first, count in ((0, 2 * parameters.degree - 1), (2, row + 2 * columns - 1)):
            flat[first : first + 2, :count] = secret_elements(2 * count, random).reshape(2, count)
        rest = field.add(flat[:2, row], flat[:2, 2 * row])
        flat[:2, 0] = field.sub(np.zeros(2, np.uint64), rest)


def polynomials(
    layout: Layout,
    code: Code,
    stages: list[Committed],
    combination: Combination,
    wide: Field,
    *,
    check: bool,
) -> list[Field]:
    """Return the three polynomials that are sent, coefficients of F2.

    Raises:
        ValueError: If the combined sum is not what the statement says.
    """
    rows, sums, quotient = degrees(layout)
    blind = wide.reshape(WIDE_ROWS, -1)
    return [
        combined_rows(layout, stages, combination)[:rows],
        field.add(combined_sums(layout, code, stages, combination, check)[:sums], blind[:2, :sums].T),
        field.add(boolean_quotient(layout, code, stages, combination)[:quotient], blind[2:, :quotient].T),
    ]


def combined_rows(layout: Layout, stages: list[Committed], combination: Combination) -> Field:
    """Return the combination of all rows plus the row over F2 that blinds it: shape ``(2ℓ, 2)``."""
    row, columns = layout.parameters.row, layout.parameters.columns
    out = np.zeros((2, 2 * row), np.uint64)
    for part in range(2):
        low, tail = stages[-1].low[part - BLIND_ROWS], stages[-1].tails[part - BLIND_ROWS]
        for own, committed in zip(layout.stage_rows, stages, strict=True):
            weights, count = combination.proximity[own, part], own.stop - own.start
            low = field.add(low, field.combine(weights, committed.low[:count]))
            tail = field.add(tail, field.combine(weights, committed.tails[:count]))
        out[part, :row] = low
        out[part, :columns] = field.sub(out[part, :columns], tail)
        out[part, row : row + columns] = tail
    return np.ascontiguousarray(out.T)


def combined_sums(
    layout: Layout, code: Code, stages: list[Committed], combination: Combination, check: bool = True
) -> Field:
    """Return Σ_rows (W f + square f²), of degree < 3ℓ, from H and two cosets: shape ``(3ℓ, 2)``."""
    sums = np.zeros((1 + NEAR, 2, code.row), np.uint64)
    for own, committed in zip(layout.stage_rows, stages, strict=True):
        cells = committed.cells[: own.stop - own.start]
        forms = combination.weights[own], combination.squares[own]
        kernels.products(cells, committed.near, *forms, code.back, code.scale, code.roots[:NEAR], sums)
    total = [int(part.astype(object).sum()) % P for part in sums[0]]
    if check and total != combination.constant.tolist():
        raise ValueError("these cells do not satisfy the linear and quadratic constraints of the statement")
    residues = [(1, ntt.from_values(sums[0]))]
    for coset in range(NEAR):
        z, shift = int(code.constants[coset]), code.shifts[coset]
        residues.append((z, ntt.from_values(sums[1 + coset], shift)))
    return code.interpolated(residues)


def boolean_quotient(layout: Layout, code: Code, stages: list[Committed], combination: Combination) -> Field:
    """Return Σ_rows coefficient (f² − f) / (X^ℓ − 1), of degree < 2ℓ, from two cosets: shape ``(2ℓ, 2)``."""
    residues = []
    for coset in range(NEAR):
        values = np.zeros((2, code.row), np.uint64)
        for segment in layout.segments:
            if segment.boolean:
                rows, first = layout.rows[segment.name], layout.stage_rows[segment.stage].start
                near = stages[segment.stage].near[coset, rows.start - first : rows.stop - first]
                kernels.booleans(near, combination.booleans[rows], values)
        z = int(code.constants[coset])
        values = field.mul(values, np.array(field.inverse(z - 1), np.uint64))
        residues.append((z, ntt.from_values(values, code.shifts[coset])))
    return code.interpolated(residues)

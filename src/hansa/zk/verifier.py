"""The verifier: accepts a proof, or says which check failed."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from hansa.crypto import field
from hansa.crypto.arithmetic import P
from hansa.crypto.field import Field
from hansa.zk import merkle
from hansa.zk.code import Places, code_of, evaluated
from hansa.zk.combination import Combination, begin, commitment_said, draw
from hansa.zk.proof import BLIND_ROWS, WIDE_ROWS, Head, Opening, ProofRejected, read_head, read_openings
from hansa.zk.statement import Layout, Statement
from hansa.zk.transcript import Transcript


def verify(statement: Statement, proof: bytes, transcript: Transcript) -> tuple[bytes, ...]:
    """Check a proof, and return the messages that were sent in the clear, by stage.

    Args:
        statement: What is to be shown; with the verifier's own parameters.
        proof: The bytes, from anyone.
        transcript: In the state that the prover's was in; afterwards it has absorbed the proof. After a
            rejection it is of no use.

    Raises:
        ProofRejected: If the proof does not show the statement, with the name of the check.

    Guarantees:
        Sound: see `hansa.zk.parameters`. Nothing is allocated before the length of the proof is checked.
    """
    layout = Layout(statement)
    begin(layout, transcript)
    head, place = read_head(layout, proof)
    seeds = [
        commitment_said(layout, transcript, stage, head.roots[stage], head.messages[stage])
        for stage in range(layout.stages)
    ]
    try:
        combination = draw(statement, layout, transcript, seeds[:-1], head.messages)
    except ValueError as error:
        raise ProofRejected("message", str(error)) from error
    _check_total(layout, head, combination)
    transcript.absorb("polynomials", head.spoken)
    positions = transcript.distinct("columns", layout.parameters.columns, layout.parameters.length)
    openings = read_openings(layout, proof, place, positions.tolist())
    _check_paths(layout, head, positions.tolist(), openings)
    _check_columns(layout, head, code_of(layout.parameters.row).places(positions), openings, combination)
    for opening in openings:
        transcript.absorb("opened", opening.spoken)
    return tuple(head.messages)


def _check_total(layout: Layout, head: Head, combination: Combination) -> None:
    """Check the sum over H: X^k sums to ℓ there where ℓ divides k, and else to 0."""
    row = layout.parameters.row
    for part in range(2):
        total = row * sum(head.polynomials[1][::row, part].tolist()) % P
        if total != int(combination.constant[part]):
            raise ProofRejected("total", "the combined sum over all cells is not the statement's constant")


def _check_paths(layout: Layout, head: Head, positions: Sequence[int], openings: Sequence[Opening]) -> None:
    for stage, opening in enumerate(openings):
        root = merkle.root_of(layout.parameters.length, positions, opening.leaves, opening.siblings)
        if root != head.roots[stage]:
            raise ProofRejected("merkle", f"the opened columns are not those under the root of stage {stage}")


def _check_columns(
    layout: Layout, head: Head, places: Places, openings: Sequence[Opening], combination: Combination
) -> None:
    values = np.concatenate(
        [o.columns[:, : r.stop - r.start] for o, r in _by_stage(openings, layout)], axis=1
    )
    last = openings[-1].columns[:, -(BLIND_ROWS + WIDE_ROWS) :]
    row_blind, sum_blind, quotient_blind = last[:, :2], last[:, 2:4], last[:, 4:]
    points = places.code.points[places.positions]
    rows, sums, quotient = (evaluated(polynomial, points) for polynomial in head.polynomials)

    _check(rows, field.add(_weighted(combination.proximity, values), row_blind), "proximity", "of rows")
    powers = field.mul(values, values)
    found = field.add(places.weigh(combination.weights, values), _weighted(combination.squares, powers))
    _check(sums, field.add(found, sum_blind), "sums", "of linear and quadratic constraints")
    zero = np.array([(int(z) - 1) % P for z in places.code.constants], np.uint64)  # X^ℓ − 1 on each coset
    wrong = _weighted(combination.booleans, field.sub(powers, values))
    missing = field.mul(
        field.sub(quotient, quotient_blind), zero[places.positions // places.code.row][:, None]
    )
    _check(missing, wrong, "boolean", "of boolean constraints")


def _by_stage(openings: Sequence[Opening], layout: Layout) -> list[tuple[Opening, slice]]:
    return list(zip(openings, layout.stage_rows, strict=True))


def _weighted(weights: Field, values: Field) -> Field:
    """Return Σ_rows weight · value: weights ``(R, 2)``, values ``(q, R)``; shape ``(q, 2)``."""
    return np.stack([field.inner(weights[:, part], values) for part in range(2)], axis=1)


def _check(sent: Field, computed: Field, check: str, what: str) -> None:
    if not np.array_equal(sent, computed):
        raise ProofRejected(check, f"the polynomial {what} does not fit the opened columns")

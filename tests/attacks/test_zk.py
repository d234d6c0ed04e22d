"""Attacks on the proof system itself: each is rejected, at the check that is there for it.

Cheating provers are the honest one with a part replaced. Where an attack would work if a rule were broken,
the test breaks the rule too and sees the attack pass, so that it cannot be passed by accident.
"""

from __future__ import annotations

import numpy as np
import pytest

from hansa.crypto import field
from hansa.crypto.arithmetic import P
from hansa.zk import prover
from hansa.zk.code import Code
from hansa.zk.prover import prove
from hansa.zk.transcript import Transcript
from hansa.zk.verifier import verify
from zk_attacks import ONE, PROOF, STATEMENT, X, forged, rejected, strong
from zk_statements import Fast, Randomness, spec_of, two_stages, witness_of


def test_the_honest_proof_is_accepted():
    assert verify(STATEMENT, PROOF, Transcript("t"))[0] == b"abc"


# ------------------------------------------------------------- cells that do not satisfy the statement


@pytest.mark.parametrize(
    ("cells", "check"),
    [
        ({"x": [1, 2, 4], "b": [1, 0, 1, 0]}, "total"),  # the linear constraint
        ({"x": [0, 3, 3], "b": [1, 0, 1, 0]}, "total"),  # the sum of squares
        ({"x": [1, 2, 3], "b": [2, 0, 1, -1]}, "boolean"),
        ({"x": [1, 2, 3], "b": [P - 1, 3, 0, 0]}, "boolean"),
    ],
)
def test_false_statements(cells, check):
    linear = [([("x", 0, 1), ("x", 1, 1), ("x", 2, 1)], 6), ([("b", k, 1) for k in range(4)], 2)]
    statement = strong(ONE, linear, [([("x", [1])], [], 14)])
    verify(statement, forged(statement, witness_of({"x": [1, 2, 3], "b": [1, 0, 0, 1]})), Transcript("t"))
    rejected(statement, forged(statement, witness_of(cells)), check)


def test_a_negative_weight_hides_no_violation():
    statement = strong([("x", 3, 0, False), ("w", 1, 0, False)], [], [([("x", [1]), ("w", [-9])], [], 0)])
    verify(statement, forged(statement, witness_of({"x": [6, -6, 3], "w": [3]})), Transcript("t"))
    rejected(statement, forged(statement, witness_of({"x": [6, -6, 4], "w": [3]})), "total")
    rejected(statement, forged(statement, witness_of({"x": [6, -6, 3], "w": [0]})), "total")


def test_a_cell_behind_the_end_of_a_segment(monkeypatch):
    """|x|² = 61 is hidden by a square of −1 in a padding cell, or by one more slack bit."""
    root = pow(7, (P - 1) // 4, P)  # of −1
    honest = prover.rows_of

    def padded(layout, stage, given, check=True):
        rows = honest(layout, stage, given, check)
        rows[0, 3] = root
        return rows

    statement = strong([("x", 3, 0, False)], [], [([("x", [1])], [], 60)])
    monkeypatch.setattr(prover, "rows_of", padded)
    rejected(statement, forged(statement, witness_of({"x": [6, 4, 3]})), "total")


def test_slack_that_takes_another_bit(monkeypatch):
    """A slack of 64 takes a seventh bit, which is no cell of the statement."""
    honest = prover.rows_of
    sums = [([("x", [1])], [("slack", k, 2**k) for k in range(6)], 90)]
    statement = strong([("x", 3, 0, False), ("slack", 6, 0, True)], [], sums)
    verify(
        statement,
        forged(statement, witness_of({"x": [6, 4, 3], "slack": [1, 0, 1, 1, 1, 0]})),
        Transcript("t"),
    )

    def extended(layout, stage, given, check=True):
        rows = honest(layout, stage, given, check)
        rows[1, 6] = 1  # 26 + 64 = 90
        return rows

    monkeypatch.setattr(prover, "rows_of", extended)
    rejected(statement, forged(statement, witness_of({"x": [5, 1, 0], "slack": [0] * 6})), "total")


def test_cells_of_a_later_stage_made_for_another_challenge():
    def stale(stage, seeds):
        return two_stages(X)(stage, [b"\1" + bytes(31)] * len(seeds))

    rejected(STATEMENT, forged(STATEMENT, stale), "total")


# ------------------------------------------------------------- blinds


def blinds_with_sum(amount):
    """Blinds whose second polynomial sums to (amount, 0) over H."""

    class Blinds(prover.Blinds):
        def __init__(self, parameters, random):
            super().__init__(parameters, random)
            share = amount * pow(parameters.row, -1, P) % P
            self.wide[0, 0, 0] = (int(self.wide[0, 0, 0]) + share) % P

    return Blinds


CHEATS = {
    "linear": (([([("x", 0, 1)], 1)], []), {"x": [4, 0, 0], "b": [0] * 4}, -3),
    "sums": (([], [([("x", [1])], [], 1)]), {"x": [2, 0, 0], "b": [0] * 4}, -3),
}


@pytest.mark.parametrize("kind", CHEATS)
def test_a_blind_whose_sum_hides_a_violation(monkeypatch, kind):
    """It is committed before coefficients are drawn. With a coefficient that is known, the attack works."""
    (linear, sums), cells, violation = CHEATS[kind]
    statement = strong(ONE, linear, sums)
    monkeypatch.setattr(prover, "Blinds", blinds_with_sum(violation))
    rejected(statement, forged(statement, witness_of(cells)), "total")

    drawn = Transcript.elements

    def constant(self, label, count):
        values = drawn(self, label, count)
        if label == "constraints":
            values[0] = 1, 0  # the first constraint has a constant coefficient
        return values

    monkeypatch.setattr(Transcript, "elements", constant)
    verify(statement, forged(statement, witness_of(cells)), Transcript("t"))


FIFTH = pow(5, -1, P)
CANCELLING = {
    # x0 = 1 and x1 = 2 are violated by +1 and −1
    "linear": (([([("x", 0, 1)], 1), ([("x", 1, 1)], 2)], []), {"x": [2, 1, 0], "b": [0] * 4, "c": [0]}),
    # x² = 4 and −x² = −4 are violated by +5 and −5
    "sums": (
        ([], [([("x", [1])], [], 4), ([("x", [-1])], [], -4)]),
        {"x": [3, 0, 0], "b": [0] * 4, "c": [0]},
    ),
    # 6/5 and 3/5 in the same place of two rows: 36/25 − 6/5 = 6/25 and 9/25 − 3/5 = −6/25
    "boolean": (([], []), {"x": [0] * 3, "b": [6 * FIFTH, 0, 0, 0], "c": [3 * FIFTH]}),
}


@pytest.mark.parametrize("kind", CANCELLING)
def test_violations_that_cancel(monkeypatch, kind):
    """With one coefficient for all constraints the attack works."""
    (linear, sums), cells = CANCELLING[kind]
    statement = strong([*ONE, ("c", 1, 0, True)], linear, sums)
    rejected(statement, forged(statement, witness_of(cells)), "boolean" if kind == "boolean" else "total")

    drawn = Transcript.elements

    def the_same(self, label, count):
        values = drawn(self, label, count)
        return np.tile(values[:1], (count, 1)) if label == "constraints" else values

    monkeypatch.setattr(Transcript, "elements", the_same)
    verify(statement, forged(statement, witness_of(cells)), Transcript("t"))


def test_every_constraint_has_a_coefficient_of_its_own(monkeypatch):
    """In statements that differ in nothing but which constraint is violated, all are drawn and all differ."""
    seen = []
    drawn = Transcript.elements

    def spied(self, label, count):
        values = drawn(self, label, count)
        seen.append((label, values.tolist()))
        return values

    monkeypatch.setattr(Transcript, "elements", spied)
    linear = [([("x", 0, 1)], 1), ([("x", 1, 1)], 2)]
    spec = spec_of(ONE, linear, [([("x", [1])], [], 5)])
    for seed in range(2):
        witness = witness_of({"x": [1, 2, 0], "b": [0] * 4})
        prove(Fast(spec), witness, Transcript("t"), random=Randomness(seed))
    labels = [label for label, _ in seen]
    assert labels == ["rows", "constraints"] * 2
    values = [tuple(pair) for _, pairs in seen for pair in pairs]
    padding = (16 - 3) + (16 - 4)
    assert len(values) == 2 * (2 + (2 + 1 + padding + 1))
    assert len(set(values)) == len(values)


def test_a_sum_that_is_mended_after_the_coefficients_are_known(monkeypatch):
    """The late blinding sum: the polynomial sent has the right total, and does not fit the columns."""
    statement = strong(ONE, [([("x", 0, 1)], 1)])
    honest = prover.polynomials

    def mended(layout, code, stages, combination, wide, *, check):
        rows, sums, quotient = honest(layout, code, stages, combination, wide, check=check)
        size = layout.parameters.row
        for part in range(2):
            wanted = int(combination.constant[part]) * pow(size, -1, P)
            sums[0, part] = (wanted - int(sums[size, part]) - int(sums[2 * size, part])) % P
        return [rows, sums, quotient]

    monkeypatch.setattr(prover, "polynomials", mended)
    rejected(statement, forged(statement, witness_of({"x": [4, 0, 0], "b": [0] * 4})), "sums")


def test_a_check_made_with_other_cells(monkeypatch):
    """Cells that satisfy the constraints are used for the sum, others are committed."""
    statement = strong(ONE, [([("x", 0, 1)], 1)])
    honest = prover.combined_sums

    def other(layout, code, stages, combination, check=True):
        cells = stages[0].cells.copy()
        cells[0, 0] = 1
        low, near = code.coefficients(cells), stages[0].near.copy()
        for coset in range(2):
            code.encode(low, stages[0].tails, coset, near[coset, : len(low)])
        changed = prover.Committed(**{**vars(stages[0]), "cells": cells, "near": near})
        return honest(layout, code, [changed], combination, check)

    monkeypatch.setattr(prover, "combined_sums", other)
    rejected(statement, forged(statement, witness_of({"x": [4, 0, 0], "b": [0] * 4})), "sums")


# ------------------------------------------------------------- rows that are no codewords


@pytest.mark.parametrize("where", ["first", "last"])
def test_one_corrupted_row(monkeypatch, where):
    """Just over e columns of one row are wrong, as few as it takes to change what the row is."""
    statement = strong(ONE)
    parameters = statement.parameters
    wrong = (parameters.length - 2 * parameters.degree) // 2 + 1
    honest, row = Code.encode, 0 if where == "first" else 1

    def corrupted(self, low, tails, coset, out):
        honest(self, low, tails, coset, out)
        if tails.shape[1]:  # not the wide rows
            left = max(0, min(parameters.row, wrong - coset * parameters.row))
            out[row, :left] = field.add(out[row, :left], np.ones(left, np.uint64))

    monkeypatch.setattr(Code, "encode", corrupted)
    rejected(statement, forged(statement, witness_of({"x": [1, 2, 3], "b": [0] * 4})), ("proximity", "sums"))


def test_a_row_of_too_high_a_degree(monkeypatch):
    """One coefficient more than K − 1, in a row that is otherwise honest."""
    statement = strong(ONE)
    honest = Code.encode

    def higher(self, low, tails, coset, out):
        if tails.shape[1]:
            longer = np.concatenate([tails, np.zeros((len(tails), 1), np.uint64)], axis=1)
            longer[0, -1] = 1
            tails = longer
        honest(self, low, tails, coset, out)

    monkeypatch.setattr(Code, "encode", higher)
    rejected(statement, forged(statement, witness_of({"x": [1, 2, 3], "b": [0] * 4})), "proximity")

"""Attacks on the proof system itself: each is rejected, at the check that is there for it.

Cheating provers are the honest one with a part replaced. Where an attack would work if a rule were broken, the
test breaks the rule too and sees the attack pass, so that it cannot be passed by accident.
"""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import zk_reference as reference
from hansa.crypto import field
from hansa.crypto.arithmetic import P
from hansa.zk import merkle, prover
from hansa.zk.code import Code
from hansa.zk.parameters import choose
from hansa.zk.proof import ProofRejected, degrees, size_bounds
from hansa.zk.prover import prove
from hansa.zk.statement import Layout
from hansa.zk.transcript import Transcript
from hansa.zk.verifier import verify
from zk_statements import TWO_STAGES, Fast, Randomness, spec_of, two_stages, witness_of

X = [3, -4, 1, 0, 2]
STATEMENT = Fast(TWO_STAGES)
PROOF = prove(STATEMENT, two_stages(X), Transcript("t"), random=Randomness())


def rejected(statement, proof, check=None, transcript=None):
    with pytest.raises(ProofRejected) as error:
        verify(statement, proof, transcript or Transcript("t"))
    if check is not None:
        assert error.value.check in (check if isinstance(check, tuple) else (check,))
    return error.value.check


def forged(statement, witness, **settings):
    return prove(statement, witness, Transcript("t"), random=Randomness(), check=False, **settings)


def strong(segments, linear=(), sums=()):
    """A statement with sound parameters."""
    statement = Fast(spec_of(segments, linear, sums))
    statement.parameters = choose(1000)
    return statement


def test_the_honest_proof_is_accepted():
    assert verify(STATEMENT, PROOF, Transcript("t"))[0] == b"abc"


# ------------------------------------------------------------- cells that do not satisfy the statement

ONE = [("x", 3, 0, False), ("b", 4, 0, True)]


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
    """It is committed before the coefficients are drawn. With a coefficient that is known, the attack works."""
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

    def mended(layout, code, stages, combination, wide, check=True):
        rows, sums, quotient = honest(layout, code, stages, combination, wide, check)
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


# ------------------------------------------------------------- columns and trees


class Drawn(Transcript):
    """A prover that opens columns of its own choice."""

    choose = staticmethod(lambda positions: positions)

    def distinct(self, label, count, below):
        return np.array(self.choose(super().distinct(label, count, below).tolist()))


@pytest.mark.parametrize(
    ("choose", "check"),
    [
        (lambda p: [p[0], *p[:-1]], ("length", "merkle")),  # a duplicate
        (lambda p: p[:-1], "length"),  # too few
        (
            lambda p: sorted({*p, (p[0] + 1) % 128, (p[0] + 2) % 128, (p[0] + 3) % 128})[:5],
            "length",
        ),  # too many
        (lambda p: [q ^ 1 for q in p], "merkle"),  # others
    ],
)
def test_columns_of_the_provers_choice(choose, check):
    transcript = Drawn("t")
    transcript.choose = choose
    proof = prove(STATEMENT, two_stages(X), transcript, random=Randomness())
    rejected(STATEMENT, proof, check)


def sections(proof):
    """The parts of a proof of the two stages: heads, polynomials, openings."""
    layout = Layout(STATEMENT)
    heads = sum(32 + size for size in layout.messages)
    polynomials = heads + 16 * sum(degrees(layout))
    half = (len(proof) - polynomials - 4 * 8 * (1 + 8)) // 2  # what does not depend on the width
    first = polynomials + 4 * 8 * 1 + half
    return proof[:heads], proof[heads:polynomials], proof[polynomials:first], proof[first:]


def test_columns_that_differ_between_trees():
    """The second tree is opened where the first is not."""
    other = Drawn("t")
    other.choose = lambda p: [q ^ 1 for q in p]
    moved = prove(STATEMENT, two_stages(X), other, random=Randomness())
    assert sections(moved)[:2] == sections(PROOF)[:2]
    heads, polynomials, first, _ = sections(PROOF)
    rejected(STATEMENT, heads + polynomials + first + sections(moved)[3], "merkle")


def test_a_root_that_is_used_again(monkeypatch):
    """The tree of an earlier proof stands for other cells, which are opened with its nodes."""
    statement = strong(ONE)
    honest, kept = prover.commit, []

    def reused(code, cells, tails, wide, **settings):
        committed = honest(code, cells, tails, wide, **settings)
        kept.append(committed)
        return prover.Committed(**{**vars(committed), "tree": kept[0].tree, "salts": kept[0].salts})

    monkeypatch.setattr(prover, "commit", reused)
    first = forged(statement, witness_of({"x": [1, 2, 3], "b": [0] * 4}))
    second = forged(statement, witness_of({"x": [4, 5, 6], "b": [1] * 4}))
    assert first[:32] == second[:32]
    verify(statement, first, Transcript("t"))
    rejected(statement, second, "merkle")


def test_a_commitment_spliced_in_from_another_proof():
    other = prove(STATEMENT, two_stages([0, 0, 0, 0, 1]), Transcript("t"), random=Randomness(1))
    heads, polynomials, _, second = sections(PROOF)
    rejected(
        STATEMENT, other[:35] + heads[35:] + polynomials + sections(other)[2] + second, ("length", "total")
    )
    rejected(STATEMENT, heads[:35] + heads[:32] + PROOF[67:], "total")  # the first root in both stages


def test_a_leaf_that_is_not_opened_confirms_no_guess(monkeypatch):
    """Who knows a whole column, random coefficients and all, cannot tell it from its leaf without the salt."""
    honest, kept = prover.commit, []
    monkeypatch.setattr(prover, "commit", lambda *a, **k: kept.append(honest(*a, **k)) or kept[-1])
    proof = prove(STATEMENT, two_stages(X), Transcript("t"))
    columns = np.concatenate([*kept[0].near, *kept[0].far], axis=1).T  # all 128 of the first stage
    _, _, opening, _ = sections(proof)
    nodes = {opening[i : i + 32] for i in range(4 * (8 + 32), len(opening), 32)}
    salts = [kept[0].salts[32 * i : 32 * (i + 1)] for i in range(128)]
    assert len(set(salts)) == 128
    guesses = [columns[i].tobytes() for i in range(128)]
    assert any(merkle.leaf(salt, guess) in nodes for salt, guess in zip(salts, guesses, strict=True))
    for salt in (b"", bytes(32), salts[0][:31] + bytes([salts[0][31] ^ 1])):
        assert not any(merkle.leaf(salt, guess) in nodes for guess in guesses)


# ------------------------------------------------------------- bytes


def test_any_byte_changed():
    size = len(PROOF)
    for place in sorted({*range(0, 75), *range(75, size, 41), *range(size - 40, size)}):
        changed = PROOF[:place] + bytes([PROOF[place] ^ (1 << place % 8)]) + PROOF[place + 1 :]
        check = rejected(STATEMENT, changed)
        if place >= len(b"".join(sections(PROOF)[:2])):
            assert check in ("merkle", "decoding")


def test_words_that_are_not_below_the_modulus():
    heads, polynomials, first, second = sections(PROOF)
    for word in (P, 2**64 - 1):
        data = word.to_bytes(8, "little")
        for place in range(0, len(polynomials), 200):
            changed = polynomials[: place // 8 * 8] + data + polynomials[place // 8 * 8 + 8 :]
            rejected(STATEMENT, heads + changed + first + second, "decoding")
        rejected(STATEMENT, heads + polynomials + data + first[8:] + second, "decoding")
        rejected(STATEMENT, heads + polynomials + first + data + second[8:], "decoding")


@pytest.mark.parametrize("proof", [b"", PROOF[:-1], PROOF + b"\0", PROOF * 2, bytearray(PROOF), None, "x", 5])
def test_other_lengths_and_kinds(proof):
    rejected(STATEMENT, proof, "length")


def test_replay_elsewhere():
    rejected(STATEMENT, PROOF, transcript=Transcript("u"))
    moved = Transcript("t")
    moved.absorb("round", b"2")
    rejected(STATEMENT, PROOF, transcript=moved)
    for change in ({"digest": b"other"}, {"messages": (3, 8, 0)}):
        statement = Fast(TWO_STAGES)
        vars(statement).update(change)
        if "messages" in change:
            statement.segments = [
                *statement.segments,
                type(statement.segments[0])(name="z", cells=1, stage=2),
            ]
        rejected(statement, PROOF)


def test_a_message_that_the_statement_refuses():
    statement = Fast(TWO_STAGES)
    honest = statement.constraints

    def refusing(seeds, messages):
        if messages[0] != b"abc":
            raise ValueError("expected abc")
        return honest(seeds, messages)

    statement.constraints = refusing
    verify(statement, PROOF, Transcript("t"))
    rejected(statement, PROOF[:32] + b"abd" + PROOF[35:], "message")


@settings(max_examples=300)
@given(st.binary(max_size=200) | st.integers(*size_bounds(Layout(STATEMENT))).map(lambda n: b"\0" * n))
def test_bytes_from_anywhere(data):
    rejected(STATEMENT, data)


@settings(max_examples=300)
@given(st.data())
def test_mutated_proofs(data):
    """Cut, spliced and overwritten: rejected by the declared error, by the reference too."""
    size = len(PROOF)
    start = data.draw(st.integers(0, size))
    stop = data.draw(st.integers(start, min(size, start + 64)))
    filling = data.draw(st.binary(min_size=stop - start, max_size=stop - start) | st.binary(max_size=64))
    source = data.draw(st.integers(0, size - len(filling)))
    if data.draw(st.booleans()):
        filling = PROOF[source : source + len(filling)]
    mutated = PROOF[:start] + filling + PROOF[stop:]
    if mutated != PROOF:
        rejected(STATEMENT, mutated)


@pytest.mark.parametrize("place", [0, 33, 70, 500, 1500, -1, -1500])
def test_the_reference_rejects_too(place):
    changed = bytearray(PROOF)
    changed[place] ^= 1
    assert reference.verify(TWO_STAGES, bytes(changed), reference.Transcript("t")) != "accepted"


def test_memory_is_bounded_by_the_statement():
    junk = bytes(50 << 20)
    tracemalloc.start()
    rejected(STATEMENT, junk, "length")
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 1 << 20


def test_a_proof_is_for_the_verifiers_parameters():
    weaker = Fast(TWO_STAGES)
    weaker.parameters = type(weaker.parameters)(row=16, columns=3, toy=True)
    proof = prove(weaker, two_stages(X), Transcript("t"))
    verify(weaker, proof, Transcript("t"))
    rejected(STATEMENT, proof)

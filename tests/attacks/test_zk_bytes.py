"""Attacks on what is opened and on the bytes of a proof: other columns, other trees, other words, replay."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import zk_reference as reference
from hansa.crypto.arithmetic import P
from hansa.zk import merkle, prover
from hansa.zk.proof import size_bounds
from hansa.zk.prover import prove
from hansa.zk.statement import Layout
from hansa.zk.transcript import Transcript
from hansa.zk.verifier import verify
from zk_attacks import ONE, PROOF, STATEMENT, X, forged, rejected, sections, strong
from zk_statements import TWO_STAGES, Fast, Randomness, two_stages, witness_of

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
    """Who knows a whole column, random coefficients and all, cannot find its leaf without the salt."""
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

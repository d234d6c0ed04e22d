"""Honest proofs are accepted, and are those of the reference, byte for byte."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings

import zk_reference as reference
from hansa.crypto.arithmetic import P
from hansa.zk import prover
from hansa.zk.parameters import Parameters, choose
from hansa.zk.proof import size_bounds
from hansa.zk.prover import prove
from hansa.zk.statement import Cells, Layout, Segment
from hansa.zk.transcript import Transcript
from hansa.zk.verifier import verify
from zk_statements import TWO_STAGES, Fast, Randomness, slow, spec_of, statements, two_stages, witness_of

X = [3, -4, 1, 0, 2]


def proven(spec, witness, seed=0, label="test"):
    return prove(Fast(spec), witness, Transcript(label), random=Randomness(seed))


@given(statements())
def test_true_statements_are_accepted(drawn):
    spec, cells = drawn
    proof = prove(Fast(spec), witness_of(*cells), Transcript("t"))
    assert verify(Fast(spec), proof, Transcript("t")) == (b"",) * len(cells)
    least, largest = size_bounds(Layout(Fast(spec)))
    assert least <= len(proof) <= largest


@settings(max_examples=8)
@given(statements(max_cells=12))
def test_bytes_are_those_of_the_reference(drawn):
    spec, cells = drawn
    fast = proven(spec, witness_of(*cells))
    assert fast == reference.prove(spec, slow(witness_of(*cells)), reference.Transcript("test"), Randomness())
    assert reference.verify(spec, fast, reference.Transcript("test")) == "accepted"


def test_bytes_of_two_stages_are_those_of_the_reference():
    fast = proven(TWO_STAGES, two_stages(X))
    assert fast == reference.prove(
        TWO_STAGES, slow(two_stages(X)), reference.Transcript("test"), Randomness()
    )
    assert reference.verify(TWO_STAGES, fast, reference.Transcript("test")) == "accepted"
    messages = verify(Fast(TWO_STAGES), fast, Transcript("test"))
    assert messages[0] == b"abc"
    assert len(messages[1]) == 8


def test_both_sides_have_the_same_transcript_afterwards():
    said, heard = Transcript("t"), Transcript("t")
    proof = prove(Fast(TWO_STAGES), two_stages(X), said)
    assert verify(Fast(TWO_STAGES), proof, heard)
    assert said.seed("next") == heard.seed("next")


def test_rows_that_are_not_kept_are_computed_again(monkeypatch):
    kept = proven(TWO_STAGES, two_stages(X))
    monkeypatch.setattr(prover, "KEPT_BYTES", 0)
    assert proven(TWO_STAGES, two_stages(X)) == kept


def test_real_parameters():
    class Statement:
        parameters = choose(3000)
        segments = (Segment(name="x", cells=3000), Segment(name="bits", cells=40, boolean=True))
        messages, digest = (0,), b""

        def constraints(self, seeds, messages):
            return Fast(spec_of([("x", 3000, 0, False)], LINEAR, SUMS)).constraints(seeds, messages)

    rng = np.random.default_rng(0)
    x, bits = rng.integers(-1000, 1000, 3000), rng.integers(0, 2, 40)
    LINEAR = [([("x", 7, 5), ("x", 2999, -1)], int(5 * x[7] - x[2999]))]
    SUMS = [
        (
            [("x", [1] * 6), ("bits", [-3])],
            [("bits", 39, 2)],
            int((x * x).sum() - 3 * bits.sum() + 2 * bits[39]),
        )
    ]
    proof = prove(Statement(), witness_of({"x": x, "bits": bits}), Transcript("t"))
    verify(Statement(), proof, Transcript("t"))
    assert Statement.parameters.row == 512
    assert abs(len(proof) / Statement.parameters.proof_bytes(3040, trees=1) - 1) < 0.05


@pytest.mark.parametrize(
    ("cells", "message"),
    [
        ({}, b""),
        ({"x": np.zeros(3, np.uint64), "y": np.zeros(3, np.uint64)}, b""),
        ({"x": np.zeros(4, np.uint64)}, b""),
        ({"x": np.zeros(3, np.int64)}, b""),
        ({"x": np.full(3, P, np.uint64)}, b""),
        ({"x": np.full(3, 2, np.uint64)}, b""),
        ({"x": np.zeros(3, np.uint64)}, b"1"),
    ],
)
def test_cells_that_do_not_fit_are_refused(cells, message):
    spec = spec_of([("x", 3, 0, True)])
    with pytest.raises(ValueError, match="segment"):
        prove(Fast(spec), lambda *_: Cells(cells=cells, message=message), Transcript("t"))


@pytest.mark.parametrize(("constant", "square"), [(8, 25), (7, 26)])
def test_cells_that_do_not_satisfy_the_statement_are_refused(constant, square):
    linear, sums = [([("x", 0, 1), ("x", 1, 1)], constant)], [([("x", [1])], [], square)]
    spec = spec_of([("x", 2, 0, False)], linear, sums)
    with pytest.raises(ValueError, match="do not satisfy"):
        prove(Fast(spec), witness_of({"x": [3, 4]}), Transcript("t"))


@pytest.mark.parametrize(
    "segments",
    [
        [],
        [("x", 0, 0, False)],
        [("x", 1, 0, False), ("x", 1, 0, False)],
        [("x", 1, 0, False), ("y", 1, 2, False)],
        [("x", 2**33, 0, False)],
    ],
)
def test_layouts_that_cannot_be(segments):
    statement = Fast(spec_of([("x", 1, 0, False)]))
    statement.segments = [Segment(name=n, cells=c, stage=s, boolean=b) for n, c, s, b in segments]
    statement.messages = (0,) * (1 + max((s[2] for s in segments), default=0))
    with pytest.raises(ValueError, match="segment"):
        Layout(statement)


def test_short_rows_are_for_tests_only():
    with pytest.raises(ValueError, match="512"):
        Parameters(row=256, columns=100)
    assert Parameters(row=256, columns=100, toy=True).bits < 100


def test_secrets_do_not_print():
    assert "not shown" in repr(Cells(cells={"x": np.arange(3, dtype=np.uint64)}))

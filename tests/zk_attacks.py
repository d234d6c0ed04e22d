"""Attackers' tools: forged proofs, and the check at which a proof is rejected."""

from __future__ import annotations

import pytest

from hansa.zk.parameters import choose
from hansa.zk.proof import ProofRejected, degrees
from hansa.zk.prover import prove
from hansa.zk.statement import Layout
from hansa.zk.transcript import Transcript
from hansa.zk.verifier import verify
from zk_statements import TWO_STAGES, Fast, Randomness, spec_of, two_stages

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


def sections(proof):
    """The parts of a proof of the two stages: heads, polynomials, openings."""
    layout = Layout(STATEMENT)
    heads = sum(32 + size for size in layout.messages)
    polynomials = heads + 16 * sum(degrees(layout))
    half = (len(proof) - polynomials - 4 * 8 * (1 + 8)) // 2  # what does not depend on the width
    first = polynomials + 4 * 8 * 1 + half
    return proof[:heads], proof[heads:polynomials], proof[polynomials:first], proof[first:]


ONE = [("x", 3, 0, False), ("b", 4, 0, True)]

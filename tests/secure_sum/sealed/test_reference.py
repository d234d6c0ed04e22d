"""Proofs of norms against an executable specification that was written apart from them."""

from __future__ import annotations

import dataclasses
import functools
import os

import numpy as np
import pytest

import norm_reference as reference
from crypto_reference import P, transform
from crypto_reference import ring_product as plain_product
from hansa.secure_sum.sealed import dealing
from hansa.secure_sum.sealed.messages import SealedVector
from norm_both import MEMBER, Both
from zk_statements import Randomness

VECTORS = {
    "plain": [3, -4, 0, 12, 1, -2],
    "weighted": [60, -80, 0, 3, -3, 50],
    "noisy": [[3, -4, 0, 12, 1, -2], [40, -20, 5, 0, 3, -7]],
}


@functools.cache
def run_of(kind):
    return Both(100, 50) if kind == "weighted" else Both(26, None, noise=50 if kind == "noisy" else None)


@functools.cache
def dealt(kind, slowly):
    run, vector = run_of(kind), VECTORS[kind]
    return (run.dealt_slowly if slowly else run.dealt)(vector, Randomness())


KINDS = pytest.mark.parametrize("kind", VECTORS)


@KINDS
def test_bytes_are_those_of_the_reference(kind):
    sealed, contents, proof = dealt(kind, slowly=False)
    assert (sealed.tolist(), contents, proof) == dealt(kind, slowly=True)


@KINDS
def test_each_accepts_what_the_other_proves(kind):
    run = run_of(kind)
    sealed, contents, proof = dealt(kind, slowly=True)
    sealed = np.array(sealed, np.uint64)
    assert run.check(sealed, proof) == "accepted"
    sent = SealedVector(sender="c0", seal=sealed, envelopes=(), signature=b"", proof=proof)
    entry = dataclasses.replace(sent, head=dealing.head_bytes(run.parameters)).entry
    assert [run.dealer.why_unusable(MEMBER, entry, j, content) for j, content in enumerate(contents)] == [
        ""
    ] * 4
    sealed, _, proof = run.dealt(VECTORS[kind], os.urandom)
    assert run.check_slowly(sealed, proof) == "accepted"


@pytest.mark.parametrize(
    ("kind", "vector"),
    [
        ("plain", [26, 0, 0, 0, 0, 1]),
        ("weighted", [1, 0, 0, 0, 0, 0]),  # no weight, and yet an update
        ("weighted", [0, 0, 0, 0, 0, 51]),
        ("noisy", [[0] * 6, [50, 0, 0, 0, 0, 1]]),
        ("noisy", [[26, 0, 0, 0, 0, 1], [0] * 6]),
    ],
)
def test_both_reject_what_is_not_so(kind, vector):
    run = run_of(kind)
    sealed, _, proof = run.dealt(vector, Randomness())
    assert run.check(sealed, proof) == run.check_slowly(sealed, proof) == "total"


def word(place, value):
    return lambda proof: proof[:place] + value.to_bytes(8, "little") + proof[place + 8 :]


def flipped(place):
    def change(proof):
        changed = bytearray(proof)
        changed[place] ^= 1
        return bytes(changed)

    return change


H = 32 + 4 * 32 + 32
POLYNOMIALS = H + 16 * 3


@pytest.mark.parametrize(
    ("change", "check"),
    [
        (flipped(0), "total"),
        (flipped(H), "total"),
        (word(H, P), "message"),
        (flipped(POLYNOMIALS + 16 * 11), "total"),
        (word(POLYNOMIALS, P), "decoding"),
        (word(-9000, 2**64 - 1), "decoding"),
        (flipped(-1), "merkle"),
        (lambda proof: proof[:-32], "length"),
    ],
)
def test_both_reject_changed_proofs(change, check):
    run, (sealed, _, proof) = run_of("plain"), dealt("plain", slowly=False)
    changed = change(proof)
    found = run.check(sealed, changed), run.check_slowly(sealed, changed)
    assert found == (check, check)


def test_both_reject_a_proof_of_someone_else_or_of_another_seal():
    run, (sealed, _, proof) = run_of("plain"), dealt("plain", slowly=False)
    assert run.check(sealed, proof, "c1") == run.check_slowly(sealed, proof, "c1") == "total"
    other = sealed.copy()
    other[0, 17] ^= np.uint64(1)
    assert run.check(other, proof) == run.check_slowly(other, proof) == "total"


def test_the_ring_of_the_reference():
    rng = np.random.default_rng(0)
    a, b = ([int(v) for v in rng.integers(0, P, 16, dtype=np.uint64)] for _ in range(2))
    assert reference.coefficients_of(transform(a)) == a
    assert reference.ring_product(a, b) == plain_product(a, b)
    weights = [int(v) for v in rng.integers(0, P, 16, dtype=np.uint64)]
    turned = reference.ring_product(reference.reversed_element(a), weights)
    expected = sum(w * v for w, v in zip(weights, plain_product(a, b), strict=True))
    assert (sum(t * v for t, v in zip(turned, b, strict=True)) - expected) % P == 0

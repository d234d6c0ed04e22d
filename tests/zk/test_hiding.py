"""What is opened says nothing about the cells."""

from __future__ import annotations

import numpy as np
import pytest

from hansa.crypto import field
from hansa.crypto.arithmetic import P
from hansa.zk import prover
from hansa.zk.proof import read_head
from hansa.zk.prover import prove
from hansa.zk.statement import Layout
from hansa.zk.transcript import Transcript
from zk_reference import at, code_points, masked
from zk_statements import Fast, spec_of, witness_of

SPEC = spec_of([("x", 8, 0, False), ("b", 8, 0, True)], [], [([("x", [1])], [], 8 * 9)], row=8, columns=2)
PROOFS = 150


def parts(cells):
    """The opened words of the two rows, and the coefficients of the three polynomials, of many proofs."""
    layout, words, coefficients = Layout(Fast(SPEC)), [], []
    for i in range(PROOFS):
        proof = prove(Fast(SPEC), witness_of(cells), Transcript(str(i)))
        head, place = read_head(layout, proof)
        opened = proof[place : place + 2 * 8 * 8]  # two columns of two rows and six blinding words
        words.append(np.frombuffer(opened, "<u8").reshape(2, 8)[:, :2])
        coefficients.append(np.concatenate([p.reshape(-1) for p in head.polynomials]))
    return np.stack(words), np.stack(coefficients)


def distance(first, second):
    """Two-sample χ² on the top four bits: 15 degrees of freedom."""
    a, b = (np.bincount((v.reshape(-1) >> np.uint64(60)).astype(int), minlength=16) for v in (first, second))
    return ((a - b) ** 2 / np.maximum(a + b, 1)).sum()


FIRST = {"x": [3] * 8, "b": [1] * 8}
SECOND = {"x": [-3] * 8, "b": [0] * 8}


def test_proofs_of_two_witnesses_look_alike():
    first, second = parts(FIRST), parts(SECOND)
    for a, b in zip(first, second, strict=True):
        assert distance(a, b) < 60  # above once in 10^6
    for row in range(2):
        assert distance(first[0][:, :, row], second[0][:, :, row]) < 60


def test_the_comparison_sees_rows_without_random_coefficients(monkeypatch):
    whole = prover.secret_elements

    def without(count, random):
        drawn = whole(count, random)
        return np.zeros_like(drawn) if count == 4 * 2 else drawn  # the tails of four rows

    monkeypatch.setattr(prover, "secret_elements", without)
    first, second = parts(FIRST), parts(SECOND)
    assert distance(first[0][:, :, 0], second[0][:, :, 0]) > 100


def test_opened_columns_fit_any_other_cells():
    rng = np.random.default_rng(0)
    row, points = 8, code_points(8)
    columns = [3, 17, 40, 63]
    cells, others = ([int(v) for v in rng.integers(0, P, row, dtype=np.uint64)] for _ in range(2))
    tail = [int(v) for v in rng.integers(0, P, len(columns), dtype=np.uint64)]
    seen = [at(masked(cells, tail, row), points[c]) for c in columns]
    # coefficients that show the same columns for the other cells: values of the tail there, interpolated
    plain = masked(others, [], row)
    values = [
        (s - at(plain, points[c])) * pow(pow(points[c], row, P) - 1, -1, P) % P
        for s, c in zip(seen, columns, strict=True)
    ]
    other_tail = lagrange([points[c] for c in columns], values)
    assert [at(masked(others, other_tail, row), points[c]) for c in columns] == seen


def lagrange(points, values):
    out = [0] * len(points)
    for i, x in enumerate(points):
        basis, scale = [1], values[i]
        for j, other in enumerate(points):
            if i != j:
                basis = [(a - other * b) % P for a, b in zip([0, *basis], [*basis, 0], strict=True)]
                scale = scale * pow(x - other, -1, P) % P
        out = [(total + scale * b) % P for total, b in zip(out, basis, strict=True)]
    return out


def test_random_bytes_are_fresh_by_default():
    first, second = (prove(Fast(SPEC), witness_of(FIRST), Transcript("t")) for _ in range(2))
    assert first[:32] != second[:32]


@pytest.mark.parametrize("seed", range(3))
def test_the_blind_of_sums_adds_nothing(seed):
    blinds = prover.Blinds(Fast(SPEC).parameters, np.random.default_rng(seed).bytes)
    assert not field.add(field.add(blinds.wide[:2, 0, 0], blinds.wide[:2, 1, 0]), blinds.wide[:2, 2, 0]).any()
    degree = Fast(SPEC).parameters.degree
    flat = blinds.wide.reshape(4, -1)
    assert flat[:2, : 2 * degree - 1].all()
    assert not flat[:2, 2 * degree - 1 :].any()
    assert flat[2:, : 8 + 2 * 2 - 1].all()
    assert not flat[2:, 8 + 2 * 2 - 1 :].any()


def test_every_random_byte_is_of_use():
    """Other tails, blinds or salts: another root."""
    layout = Layout(Fast(SPEC))
    roots = set()
    for changed in range(5):
        calls = []

        def random(size, changed=changed, calls=calls):
            calls.append(size)
            return bytes([len(calls) == changed]) * size

        proof = prove(Fast(SPEC), witness_of(FIRST), Transcript("t"), random=random)
        roots.add(read_head(layout, proof)[0].roots[0])
    assert len(roots) == 5

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import zk_reference_parts as reference
from hansa.crypto import field, ntt
from hansa.crypto.arithmetic import P
from hansa.zk import kernels
from hansa.zk.code import code_of, evaluated
from hansa.zk.equations import Equation, Equations

ROW = 16


def random(*shape, seed=0):
    return np.random.default_rng(seed).integers(P, size=shape, dtype=np.uint64)


def encoded(cells, tails):
    code = code_of(cells.shape[1])
    out = np.empty((8, *cells.shape), np.uint64)
    for coset in range(8):
        code.encode(code.coefficients(cells), tails, coset, out[coset])
    return np.concatenate(list(out), axis=1)


def test_points_of_the_code_are_not_points_of_the_cells():
    for row in (4, 16, 512):
        points = code_of(row).points.tolist()
        assert len(set(points)) == 8 * row
        assert not set(points) & set(ntt.points(row).tolist())
        assert [pow(points[b * row], row, P) for b in range(8)] == code_of(row).constants.tolist()
        assert 1 not in code_of(row).constants


def test_rows_are_encoded_as_the_reference_says():
    cells, tails = random(3, ROW), random(3, 5, seed=1)
    found = encoded(cells, tails)
    for row in range(3):
        polynomial = reference.masked(cells[row].tolist(), tails[row].tolist(), ROW)
        assert [reference.at(polynomial, x) for x in reference.subgroup(ROW)] == cells[row].tolist()
        assert found[row].tolist() == [reference.at(polynomial, x) for x in reference.code_points(ROW)]


@given(st.sets(st.integers(0, 8 * ROW - 1), min_size=1, max_size=40))
def test_evaluation_at_columns_is_that_of_whole_rows(columns):
    positions = sorted(columns)
    code, cells, tails = code_of(ROW), random(3, ROW), random(3, 5, seed=1)
    places = code.places(positions)
    whole = encoded(cells, tails)[:, positions].T
    assert (places.of_rows(code.coefficients(cells), tails, block=2) == whole).all()

    weights = random(3, ROW, 2, seed=2)
    weights[1] = 0
    parts = [encoded(np.ascontiguousarray(weights[..., i]), np.zeros((3, 0), np.uint64)) for i in (0, 1)]
    expected = [
        [sum(int(w) * int(f) for w, f in zip(part[:, p], own, strict=True)) % P for part in parts]
        for p, own in zip(positions, whole, strict=True)
    ]
    assert places.weigh(weights, np.ascontiguousarray(whole)).tolist() == expected


@pytest.mark.parametrize("blocks", [1, 2, 3])
def test_polynomials_come_back_from_their_residues(blocks):
    code, polynomial = code_of(ROW), random(2, blocks, ROW)
    residues = [(int(code.constants[b]), code.folded(polynomial, b)) for b in range(blocks)]
    assert (code.interpolated(residues) == polynomial.reshape(2, -1).T).all()


def test_evaluation_over_the_extension():
    polynomial, points = random(9, 2), random(4, seed=1)
    pairs = [tuple(pair) for pair in polynomial.tolist()]
    assert [tuple(v) for v in evaluated(polynomial, points).tolist()] == [
        reference.at2(pairs, x) for x in points.tolist()
    ]


def test_transposed_columns():
    rows = random(19, 40)
    out = np.empty((13, 19), np.uint64)
    kernels.transpose(rows, 20, out)
    assert (out == rows[:, 20:33].T).all()


def test_weights_are_added_where_they_belong():
    target = random(5, 2)
    before = target.copy()
    kernels.scatter(target, [4, 1, 4], np.array([[1, 2], [3, 4], [5, P - 1]], np.uint64))
    added = np.array([[0, 0], [3, 4], [0, 0], [0, 0], [6, 1]], np.uint64)
    assert (target == field.add(before, added)).all()
    kernels.add_scaled(target, np.array([2, 3], np.uint64), np.arange(5, dtype=np.uint64))
    assert int(target[4, 1]) == (int(before[4, 1]) + 1 + 12) % P
    for places in ([5], [-1]):
        with pytest.raises(IndexError, match="5 cells"):
            kernels.scatter(target, places, np.zeros((1, 2), np.uint64))
    with pytest.raises(ValueError, match="cannot add"):
        kernels.add_scaled(target, np.zeros(2, np.uint64), np.zeros(4, np.uint64))


def test_a_block_combines_its_equations():
    block = Equations(
        [
            Equation(terms=[("x", 0, 2), ("y", 1, -1), ("x", 0, 1)], constant=5),
            Equation(terms=[("y", 1, 7)], constant=-2),
        ]
    )
    weights = {"x": np.zeros((2, 2), np.uint64), "y": np.zeros((3, 2), np.uint64)}
    coefficients = np.array([[10, 1], [100, 0]], np.uint64)
    assert block.add_to(weights, coefficients).tolist() == [(50 - 200) % P, 5]
    assert weights["x"].tolist() == [[30, 3], [0, 0]]
    assert weights["y"].tolist() == [[0, 0], [690, P - 1], [0, 0]]
    assert Equations([]).add_to(weights, np.zeros((0, 2), np.uint64)).tolist() == [0, 0]

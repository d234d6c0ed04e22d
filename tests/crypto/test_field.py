from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import crypto_reference as reference
from hansa.crypto import field
from hansa.crypto.arithmetic import P

EDGES = [0, 1, 2, 7, 2**32 - 1, 2**32, 2**32 + 1, 2**63, P - 2**32, P - 2, P - 1, (P - 1) // 2, (P + 1) // 2]
elements = st.one_of(st.sampled_from(EDGES), st.integers(0, P - 1))
lists = st.lists(st.tuples(elements, elements), min_size=1, max_size=40)


def array(values):
    return np.array(list(values), np.uint64)


@given(lists)
def test_operations_are_those_of_integers(pairs):
    a, b = array(x for x, _ in pairs), array(y for _, y in pairs)
    assert field.add(a, b).tolist() == [(x + y) % P for x, y in pairs]
    assert field.sub(a, b).tolist() == [(x - y) % P for x, y in pairs]
    assert field.mul(a, b).tolist() == [x * y % P for x, y in pairs]


@given(st.lists(elements.filter(bool), max_size=20))
def test_inverses_of_many(values):
    assert field.inverses(array(values)).tolist() == [pow(value, -1, P) for value in values]


def test_edges_against_edges():
    for x in EDGES:
        a, b = array([x] * len(EDGES)), array(EDGES)
        assert field.add(a, b).tolist() == [(x + y) % P for y in EDGES]
        assert field.sub(a, b).tolist() == [(x - y) % P for y in EDGES]
        assert field.mul(a, b).tolist() == [x * y % P for y in EDGES]


@given(st.lists(st.integers(-(P // 2), P // 2), min_size=1, max_size=20))
def test_signed_integers_come_back(values):
    assert field.from_ints(values).tolist() == [v % P for v in values]
    small = [v for v in values if abs(v) < 2**63]
    assert field.to_signed(field.from_ints(small)).tolist() == small
    assert field.from_ints(np.array(small, np.int64)).tolist() == [v % P for v in small]


@given(lists, lists)
def test_extension(first, second):
    n = min(len(first), len(second))
    a, b = array(sum(first[:n], ())).reshape(n, 2), array(sum(second[:n], ())).reshape(n, 2)
    expected = [reference.mul2(x, y) for x, y in zip(first[:n], second[:n], strict=True)]
    assert [tuple(row) for row in field.mul2(a, b).tolist()] == expected


@given(st.tuples(elements, elements).filter(lambda v: v != (0, 0)))
def test_inverses(value):
    assert reference.mul2(value, field.inverse2(value)) == (1, 0)
    if value[0]:
        assert value[0] * field.inverse(value[0]) % P == 1


def test_seven_is_no_square_so_the_extension_is_a_field():
    assert pow(field.NONRESIDUE, (P - 1) // 2, P) == P - 1


@pytest.mark.parametrize("zero", [0, P])
def test_zero_has_no_inverse(zero):
    with pytest.raises(ZeroDivisionError):
        field.inverses(array([3, zero % P, 5]))
    with pytest.raises(ZeroDivisionError):
        field.inverse(zero)
    with pytest.raises(ZeroDivisionError):
        field.inverse2((0, zero))


def test_sums_of_rows():
    rng = np.random.default_rng(0)
    rows = rng.integers(P, size=(5, 30), dtype=np.uint64)
    across, down = rng.integers(P, size=30, dtype=np.uint64), rng.integers(P, size=5, dtype=np.uint64)
    ints = rows.astype(object)
    assert field.inner(across, rows).tolist() == [int(v) % P for v in ints @ across.astype(object)]
    assert field.combine(down, rows).tolist() == [int(v) % P for v in down.astype(object) @ ints]


def test_in_place():
    total = array([P - 1, 5])
    field.add_into(total, array([1, 6]))
    assert total.tolist() == [0, 11]
    with pytest.raises(ValueError, match="in place"):
        field.add_into(total, array([1]))


@pytest.mark.parametrize(
    "value", [np.array([P], np.uint64), np.array([1], np.int64), [1], np.array([2**64 - 1], np.uint64)]
)
def test_what_is_not_canonical_is_seen(value):
    assert not field.is_canonical(value)
    assert field.is_canonical(array([P - 1, 0]))


def test_shapes_are_broadcast():
    assert field.mul(array([[1], [2]]), array([3, 4])).tolist() == [[3, 4], [6, 8]]
    assert field.add(array([]), array([])).shape == (0,)

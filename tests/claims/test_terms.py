"""What is claimed, as whole numbers."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hansa.claims import Column, Terms
from hansa.claims.terms import MOST_CELLS, weights_up_to
from hansa.errors import ConfigurationError

AGE = Column(name="age", low=0, high=120, scale=0)
TERMS = Terms(records=10, columns=(AGE,), classes=((0, 4), (1, 0), (7, 2)))


@pytest.mark.parametrize("most", [*range(70), 127, 128, 255, 256, 300])
def test_bits_write_the_numbers_of_a_range_and_no_other(most):
    weights = weights_up_to(most)
    sums = {sum(chosen) for n in range(len(weights) + 1) for chosen in itertools.combinations(weights, n)}
    assert sums == set(range(most + 1))
    assert len(weights) == most.bit_length()


@given(st.integers(1, 2**54))
def test_no_sum_of_bits_is_above_the_range(most):
    weights = weights_up_to(most)
    assert sum(weights) == most
    assert all(weight > 0 for weight in weights)
    assert weights[:-1] == tuple(2**i for i in range(most.bit_length() - 1))


numbers = st.integers(-1000, 1000)
columns = st.builds(
    lambda name, low, width, scale: Column(name=name, low=low, high=low + width, scale=scale),
    st.text('aä ="\\0', min_size=1, max_size=5),
    numbers,
    st.integers(0, 5000),
    st.integers(-60, 60),
)
classes = st.dictionaries(numbers, st.integers(0, 9), min_size=1, max_size=4)
terms = st.builds(
    lambda records, columns, labels, target, exact: Terms(
        records=records,
        columns=tuple(columns),
        classes=() if target else tuple(sorted(labels.items())),
        target=target,
        exact=exact,
    ),
    st.integers(1, 10**6),
    st.lists(columns, max_size=4),
    classes,
    st.none() | columns,
    st.booleans(),
)


@given(terms, terms)
def test_terms_are_what_they_describe(one, other):
    assert Terms.from_description(one.describe()) == one
    assert (one.hash == other.hash) == (one == other)


@pytest.mark.parametrize(
    "change",
    [
        {"records": 0},
        {"records": True},
        {"records": 1.0},
        {"records": MOST_CELLS + 1},
        {"columns": 3},
        {"columns": [["age", 0, 120]]},
        {"columns": [["age", 0, 120, 0, 0]]},
        {"columns": [["age", 5, 4, 0]]},
        {"columns": [["age", 0, 2**54, 0]]},
        {"columns": [["age", 0, 1.5, 0]]},
        {"columns": [["age", 0, 1, 61]]},
        {"columns": [["", 0, 1, 0]]},
        {"columns": [["a\n", 0, 1, 0]]},
        {"columns": [[b"a", 0, 1, 0]]},
        {"classes": [[1, 0], [0, 0]]},
        {"classes": [[0, 0], [0, 0]]},
        {"classes": [[0, -1]]},
        {"classes": [[0]]},
        {"classes": []},
        {"classes": [["0", 0]]},
        {"classes": [[0, MOST_CELLS], [1, 1]]},
        {"target": ["y", 0, 1, 0]},
        {"exact": 0},
        {"more": 1},
    ],
    ids=str,
)
def test_what_terms_cannot_be(change):
    with pytest.raises(ConfigurationError):
        Terms.from_description({**TERMS.describe(), **change})


@pytest.mark.parametrize("told", [None, [], 3, {}, {"records": 1}, "x" * 5])
def test_what_is_no_description(told):
    with pytest.raises(ConfigurationError, match="not the terms"):
        Terms.from_description(told)


def test_only_counts_with_a_minimum_take_bits():
    assert TERMS.counts == ((None, 10), (0, 4), (2, 2))
    exact = Terms(records=10, columns=(AGE,), classes=((0, 4), (1, 0)), exact=True)
    assert exact.counts == ((0, 4),)


def test_explained_with_what_is_not_shown():
    told = TERMS.explain()
    for part in (
        "10 records or more",
        "4 of class 0",
        "2 of class 7",
        "each of its 1 features",
        "0, 1, 7",
        "Not shown",
    ):
        assert part in told
    assert "of class 1 or" not in told
    target = Terms(records=1, columns=(AGE,), target=Column(name="dose", low=0, high=10, scale=1), exact=True)
    assert "dose from 0 to 5" in target.explain()
    assert "number of records is told" in target.explain()

from __future__ import annotations

import random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hansa.errors import ConfigurationError
from hansa.rng import Seeds

LABELS = st.lists(st.one_of(st.integers(-5, 5), st.text(max_size=4)), max_size=4).map(tuple)


@given(LABELS, LABELS)
def test_streams_are_equal_exactly_where_their_labels_are(one, other):
    seeds = Seeds(3)
    same = (
        seeds.stream(*one).integers(2**62, size=2).tolist()
        == seeds.stream(*other).integers(2**62, size=2).tolist()
    )
    typed = [(type(label), label) for label in one] == [(type(label), label) for label in other]
    assert same == typed


def test_streams_do_not_depend_on_the_order_of_asking():
    first = Seeds(1)
    a, b = first.stream("a").random(3), first.stream("b").random(3)
    second = Seeds(1)
    assert second.stream("b").random(3).tolist() == b.tolist()
    assert second.stream("a").random(3).tolist() == a.tolist()
    assert second.stream("a").random(3).tolist() == a.tolist()


def test_streams_are_these_on_every_machine():
    assert Seeds(0).stream("shuffle", "hospital-a", 3).integers(10, size=3).tolist() == [4, 3, 8]
    assert Seeds(0).stream("a").integers(1000) != Seeds(1).stream("a").integers(1000)


def test_asking_leaves_global_generators_alone():
    before = random.getstate(), np.random.get_state()[1].tolist()  # noqa: NPY002
    Seeds(5).stream("x").random(100)
    Seeds(5).integer("x")
    assert (random.getstate(), np.random.get_state()[1].tolist()) == before  # noqa: NPY002


@given(st.integers(0, 2**70), LABELS, st.integers(1, 64))
def test_integers_are_within_their_bits(root, labels, bits):
    value = Seeds(root).integer(*labels, bits=bits)
    assert 0 <= value < 2**bits
    assert value == Seeds(root).integer(*labels, bits=bits)


@pytest.mark.parametrize("root", [-1, 1.5, True, "1", None])
def test_roots_that_are_not_seeds(root):
    with pytest.raises(ConfigurationError, match="seed must be an integer of 0 or more"):
        Seeds(root)


def test_numpy_integers_are_seeds_too():
    assert Seeds(np.int64(4)).integer("a") == Seeds(4).integer("a")


def test_a_permutation_is_the_streams_first():
    for labels in (("shuffle", "a", 3), ("x",), (1, "ü")):
        for size in (1, 2, 60, 1000, 70_000):
            expected = Seeds(5).stream(*labels).permutation(size)
            assert Seeds(5).permutation(size, *labels).tolist() == expected.tolist()

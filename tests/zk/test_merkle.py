from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

import zk_reference as reference
from hansa.zk import merkle


@st.composite
def trees(draw):
    size = 1 << draw(st.integers(0, 6))
    places = sorted(draw(st.sets(st.integers(0, size - 1), min_size=1)))
    return [merkle.leaf(bytes(32), bytes([i])) for i in range(size)], places


@given(trees())
def test_openings_lead_to_the_root(drawn):
    leaves, places = drawn
    tree = merkle.Tree(leaves)
    siblings = tree.siblings(places)
    opened = [leaves[p] for p in places]
    assert tree.root == reference.levels(leaves)[-1][0]
    assert merkle.missing(len(leaves), places) == reference.needed(len(leaves), places)
    assert merkle.root_of(len(leaves), places, opened, siblings) == tree.root
    assert len(siblings) <= merkle.HASH * merkle.most_missing(len(leaves), len(places))


@given(trees(), st.data())
def test_anything_changed_leads_elsewhere(drawn, data):
    leaves, places = drawn
    tree = merkle.Tree(leaves)
    siblings, opened = tree.siblings(places), [leaves[p] for p in places]
    which = data.draw(st.integers(0, len(places) - 1))
    wrong = [*opened]
    wrong[which] = merkle.leaf(bytes(32), b"other")
    assert merkle.root_of(len(leaves), places, wrong, siblings) != tree.root
    for changed in (siblings[:-1], siblings + b"\0", siblings + bytes(32), siblings[:-32]):
        if len(changed) != len(siblings):
            assert merkle.root_of(len(leaves), places, opened, changed) is None
    if siblings:
        at = data.draw(st.integers(0, len(siblings) - 1))
        changed = siblings[:at] + bytes([siblings[at] ^ 1]) + siblings[at + 1 :]
        assert merkle.root_of(len(leaves), places, opened, changed) != tree.root


def test_leaves_nodes_and_salts_are_told_apart():
    data = bytes(range(32))
    assert merkle.leaf(data, data) != merkle.node(data, data)
    assert merkle.leaf(bytes(32), data) != merkle.leaf(data, data)
    assert merkle.node(data, bytes(32)) != merkle.node(bytes(32), data)


def test_the_most_nodes_are_reached():
    assert len(merkle.missing(16, [0, 4, 8, 12])) == merkle.most_missing(16, 4) == 8
    assert len(merkle.missing(16, [5])) == merkle.most_missing(16, 1) == 4
    assert merkle.most_missing(16, 16) == merkle.most_missing(1, 1) == 0


@pytest.mark.parametrize("size", [0, 3, 12])
def test_trees_have_a_power_of_two_of_leaves(size):
    with pytest.raises(ValueError, match="power of two"):
        merkle.Tree([bytes(32)] * size)

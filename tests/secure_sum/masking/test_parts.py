"""Masks, graph and shares, each alone: against fixed vectors and what must hold for all."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hansa.crypto.arithmetic import P
from hansa.crypto.sampling import public_elements
from hansa.crypto.secret import Secret
from hansa.crypto.shamir import ShareError
from hansa.secure_sum.masking import shares
from hansa.secure_sum.masking.graph import Graph
from hansa.secure_sum.masking.masks import BLOCK, Mask, add_masks, integers, residues
from hansa.secure_sum.masking.parameters import choose

VECTORS = json.loads((Path(__file__).parents[2] / "vectors" / "masking.json").read_text())


def masked(size, masks, dtype="<u4"):
    words = np.zeros(size, dtype)
    add_masks(words, masks)
    return words


# ---------------------------------------------------------------------- masks


@pytest.mark.parametrize("case", VECTORS["masks"])
def test_masks_are_those_of_the_vectors(case):
    key = Mask(Secret(bytes.fromhex(case["key"])))
    assert masked(4, [key]).tolist() == case["words32"]
    assert masked(2, [key], "<u8").tolist() == case["words64"]
    # A word in the second block of keystream, and from the end.
    long = masked(BLOCK // 4 + 3, [key])
    assert long[-3:].tolist() == case["after_a_block"]


@given(st.integers(0, 70_000), st.integers(1, 4), st.sampled_from(["<u4", "<u8"]))
def test_opposite_masks_cancel(size, count, dtype):
    masks = [Mask(Secret.random(32), negative=bool(i % 2)) for i in range(count)]
    words = masked(size, masks, dtype)
    add_masks(words, [mask.opposite() for mask in masks])
    assert not words.any()


@given(st.lists(st.integers(-(2**28), 2**28), min_size=1, max_size=50), st.sampled_from([2**28, 2**58]))
def test_residues_are_taken_back(values, bound):
    parameters = choose(dimension=len(values), members=4, bound=bound)
    vector = np.array(values, np.int64)
    words = residues(vector, parameters)
    assert words.dtype == (np.uint32 if bound == 2**28 else np.uint64)
    assert (integers(words) == vector).all()
    assert integers(words).dtype == np.int64


# ---------------------------------------------------------------------- graph


@pytest.mark.parametrize("case", VECTORS["graphs"])
def test_graphs_are_those_of_the_vectors(case):
    names = tuple(f"c{i}" for i in range(case["members"]))
    graph = Graph(names, case["neighbours"], bytes.fromhex(case["root"]))
    assert list(graph.order) == case["order"]
    assert {name: list(graph.near(name, names)) for name in names} == case["near"]


@given(st.integers(1, 40), st.integers(0, 20), st.binary(min_size=32, max_size=32))
def test_neighbours_are_mutual_and_as_many_as_asked(members, half, root):
    names = tuple(f"c{i}" for i in range(members))
    graph = Graph(names, 2 * half, root)
    for name in names:
        near = graph.near(name, names)
        assert len(near) == min(2 * half, members - 1)
        assert name not in near
        assert name in graph.holders[name]
        assert list(near) == [n for n in names if n in near]
        assert all(name in graph.near(other, names) for other in near)


def test_every_neighbour_is_as_likely():
    names = tuple(f"c{i}" for i in range(9))
    counts = dict.fromkeys(names[1:], 0)
    for trial in range(4000):
        for other in Graph(names, 4, trial.to_bytes(32, "big")).near("c0", names):
            counts[other] += 1
    assert all(abs(count - 2000) < 200 for count in counts.values())  # six deviations of 32


# ---------------------------------------------------------------------- shares


@pytest.mark.parametrize("case", VECTORS["shares"])
def test_shares_are_those_of_the_vectors(case):
    seed, key = (Secret(bytes.fromhex(case[name])) for name in ("seed", "key"))
    assert shares.to_elements(seed).tolist() == case["seed_elements"]
    rows = shares.deal(
        seed, key, case["points"], case["threshold"], lambda count: public_elements(b"test", count)
    )
    assert rows.tolist() == case["rows"]


@given(st.binary(min_size=32, max_size=32))
def test_a_secret_is_its_elements(data):
    elements = shares.to_elements(Secret(data))
    assert elements.shape == (shares.ELEMENTS,)
    assert (elements < 2**56).all()
    assert shares.from_elements(elements) == Secret(data)


@given(st.lists(st.integers(0, P - 1), min_size=5, max_size=5))
def test_elements_are_one_secret_or_none(values):
    elements = np.array(values, np.uint64)
    if any(value >= 2**56 for value in values[:4]) or values[4] >= 2**32:
        with pytest.raises(ShareError, match="no secret"):
            shares.from_elements(elements)
    else:
        assert (shares.to_elements(shares.from_elements(elements)) == elements).all()


@pytest.mark.parametrize("size", [0, 31, 33])
def test_secrets_of_another_length_are_refused(size):
    with pytest.raises(ShareError, match="32 bytes"):
        shares.to_elements(Secret(bytes(size)))


def test_bytes_of_a_share_are_strict():
    row = shares.deal(Secret.random(), Secret.random(), [1, 2, 3], 2)[0]
    data = shares.to_bytes(row)
    assert len(data) == shares.BYTES
    assert (shares.from_bytes(data) == row).all()
    assert shares.from_bytes(data[:-8]) is None
    assert shares.from_bytes(P.to_bytes(8, "little") + data[8:]) is None


@given(st.integers(1, 6), st.integers(0, 5), st.data())
def test_any_threshold_of_shares_restore_either_secret(threshold, more, data):
    seed, key = Secret.random(), Secret.random()
    points = list(range(1, threshold + more + 1))
    rows = shares.deal(seed, key, points, threshold)
    at = data.draw(st.lists(st.sampled_from(range(len(points))), min_size=threshold, unique=True))
    for secret, part in ((seed, rows[at, :5]), (key, rows[at, 5:])):
        found, wrong = shares.restore([points[i] for i in at], part, threshold, lambda s, w=secret: s == w)
        assert found == secret
        assert wrong == ()


def test_nothing_is_imported_before_a_sum_is_planned():
    code = "import sys, hansa.secure_sum; print(sorted({'numba', 'cryptography'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"

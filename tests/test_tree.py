from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from hansa.errors import ConfigurationError, UpdateError
from hansa.tree import Entry, Layout, flat_weights, vector_hash

SHAPES = st.lists(st.lists(st.integers(0, 4), max_size=3).map(tuple), min_size=1, max_size=5)


def layout_of(shapes: list[tuple[int, ...]]) -> Layout:
    return Layout(tuple(Entry(name=f"{i}/Dense/kernel", shape=shape) for i, shape in enumerate(shapes)))


@given(SHAPES, st.data())
def test_a_vector_survives_the_round_trip_bit_for_bit(shapes, data):
    layout = layout_of(shapes)
    vector = data.draw(arrays(np.float32, (layout.size,)))  # NaN and infinity too
    back = layout.flatten(layout.unflatten(vector))
    assert back.tobytes() == vector.tobytes()
    assert [a.shape for a in layout.unflatten(vector)] == shapes


@given(SHAPES, st.data())
def test_arrays_survive_the_round_trip(shapes, data):
    layout = layout_of(shapes)
    values = [data.draw(arrays(np.float32, shape)) for shape in shapes]
    for given_, back in zip(values, layout.unflatten(layout.flatten(values)), strict=True):
        np.testing.assert_array_equal(given_, back)


@given(SHAPES, st.sets(st.integers(0, 4)))
def test_a_mask_and_a_selection_agree(shapes, chosen):
    layout = layout_of(shapes)

    def picked(entry: Entry) -> bool:
        return int(entry.name.split("/")[0]) in chosen

    mask = layout.mask(picked)
    assert mask.dtype == bool
    assert mask.shape == (layout.size,)
    assert mask.sum() == layout.select(picked).size
    vector = np.arange(layout.size, dtype=np.float32)
    kept = [a for e, a in zip(layout.entries, layout.unflatten(vector), strict=True) if picked(e)]
    np.testing.assert_array_equal(vector[mask], layout.select(picked).flatten(kept))


def test_an_empty_layout_has_an_empty_mask():
    assert Layout(()).mask(lambda entry: True).tolist() == []
    assert Layout(()).size == 0


def test_the_hash_depends_on_names_shapes_types_and_roles():
    base = Entry(name="0/Dense/kernel", shape=(2, 3))
    others = [
        Entry(name="0/Dense/bias", shape=(2, 3)),
        Entry(name="0/Dense/kernel", shape=(3, 2)),
        Entry(name="0/Dense/kernel", shape=(2, 3), dtype="bfloat16"),
        Entry(name="0/Dense/kernel", shape=(2, 3), trainable=False),
    ]
    hashes = {Layout((entry,)).hash for entry in (base, *others)} | {Layout((base, base)).hash}
    assert len(hashes) == 6
    assert Layout((base,)).hash == Layout((Entry(name="0/Dense/kernel", shape=(2, 3)),)).hash


def test_arrays_that_do_not_fit_are_refused_by_name():
    layout = layout_of([(2, 3), (3,)])
    with pytest.raises(UpdateError, match="expected 2 arrays, got 1"):
        layout.flatten([np.zeros((2, 3))])
    with pytest.raises(UpdateError, match=r"1/Dense/kernel: expected shape \(3,\), got \(4,\)"):
        layout.flatten([np.zeros((2, 3)), np.zeros(4)])
    with pytest.raises(UpdateError, match=r"flat vector of 9 scalars \(2 variables\), got shape \(8,\)"):
        layout.unflatten(np.zeros(8, np.float32))


@pytest.mark.parametrize(
    "value",
    [
        np.arange(9.0),
        np.arange(9),
        [np.arange(6).reshape(2, 3), [6, 7, 8]],
        (np.arange(6.0).reshape(2, 3), np.array([6.0, 7, 8], "float16")),
    ],
)
def test_initial_weights_are_taken_flat_or_as_arrays(value):
    vector = flat_weights(value, layout_of([(2, 3), (3,)]))
    assert vector.dtype == np.float32
    assert vector.tolist() == list(range(9))


@pytest.mark.parametrize("value", [np.array([1.0, 2.0]), [np.array([1.0, 2.0])]])
def test_initial_weights_of_one_variable(value):
    assert flat_weights(value, layout_of([(2,)])).tolist() == [1, 2]


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (np.zeros(8), "flat vector of 9"),
        ([np.zeros((2, 3))], "expected 2 arrays, got 1"),
        ([np.zeros((3, 2)), np.zeros(3)], r"expected shape \(2, 3\)"),
        (None, "list of 2 arrays"),
        (5.0, "list of 2 arrays"),
        ([np.zeros((2, 3)), ["a", "b", "c"]], "list of 2 arrays"),
        (np.full(9, np.nan), "finite"),
        (np.full(9, 1e300), "finite"),
    ],
)
def test_initial_weights_that_do_not_fit(value, message):
    with pytest.raises(ConfigurationError, match=message):
        flat_weights(value, layout_of([(2, 3), (3,)]))


def test_initial_weights_are_a_copy():
    given_ = np.zeros(9, np.float32)
    flat_weights(given_, layout_of([(2, 3), (3,)]))[0] = 1
    assert given_[0] == 0


def test_a_vector_hash_is_of_its_little_endian_bytes():
    assert vector_hash(np.array([1.0], "float32")) == vector_hash(np.array([1.0], ">f4"))
    assert vector_hash(np.array([1.0, 0], "float32")[::2]) == vector_hash(np.array([1.0], "float32"))
    assert vector_hash(np.array([0.0], "float32")) != vector_hash(np.array([-0.0], "float32"))
    assert vector_hash(np.zeros(0, "float32")).startswith("e3b0c442")

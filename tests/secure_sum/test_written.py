"""Messages written down and read again: strictly, whatever a log holds."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hansa.secure_sum.messages import Malformed
from hansa.secure_sum.sealed.messages import FIELDS, Complaints, Entry, Lock, Opening, SealedVector
from hansa.secure_sum.written import SHORT, read_written, write
from hansa.store.canonical import canonical_json, parse_json
from junk import changed, places

texts = st.text(max_size=20)
data = st.binary(max_size=2 * SHORT)
rows = st.lists(st.integers(0, 2**64 - 1), max_size=5).map(lambda values: np.array(values, np.uint64))
whole = st.integers(-(2**63), 2**63 - 1)
messages = st.one_of(
    st.builds(
        SealedVector,
        sender=texts,
        seal=rows,
        envelopes=st.lists(data, max_size=3).map(tuple),
        signature=data,
        proof=data,
        head=whole,
        hashes=st.lists(data, max_size=3).map(tuple),
        length=whole,
    ),
    st.builds(Complaints, st.dictionaries(texts, texts, max_size=4)),
    st.builds(Lock, data),
    st.builds(Opening, share=rows, signature=data),
    st.builds(
        Entry,
        sender=texts,
        seal=data,
        envelopes=st.lists(data, max_size=3).map(tuple),
        signature=data,
        head=data,
        rest=data,
    ),
)


def plain(message):
    return {
        name: (value.dtype.str, value.tolist()) if isinstance(value, np.ndarray) else value
        for name, value in vars(message).items()
    }


def written(message):
    value, arrays = write(message, type(message), FIELDS, "7")
    return parse_json(canonical_json(value)), arrays


@given(messages)
def test_what_is_written_is_read_again(message):
    value, arrays = written(message)
    again = read_written(value, arrays, type(message), FIELDS, "7")
    assert type(again) is type(message)
    assert plain(again) == plain(message)
    assert all(at.startswith("7.") for at in arrays)
    assert (value, list(arrays)) == (written(again)[0], list(written(again)[1]))


JUNK = [
    None,
    True,
    3,
    -1,
    2.5,
    10**30,
    "",
    "zz",
    "AB",
    "a b",
    [],
    {},
    [1],
    [["a"]],
    [["a", 1, 2]],
    {"sender": 1},
]


@settings(max_examples=30)
@given(messages, st.data())
def test_another_value_in_any_place_is_another_message_or_none(message, draw):
    value, arrays = written(message)
    path, old = draw.draw(st.sampled_from(list(places(value))))
    for new in JUNK:
        other = changed(value, path, new)
        if canonical_json(other) == canonical_json(value):
            continue
        try:
            again = read_written(other, arrays, type(message), FIELDS, "7")
        except Malformed:
            continue
        assert type(again) is type(message)
        assert plain(again) != plain(message), (path, old, new)


@pytest.mark.parametrize(
    "array",
    [
        np.zeros(100, np.int8),
        np.zeros((10, 10), np.uint8),
        np.zeros(100, np.float32),
        np.zeros(100, bool),
        np.zeros(SHORT, np.uint8),
        np.uint8(3),
    ],
)
def test_bytes_are_a_row_of_bytes(array):
    value, arrays = written(Lock(b"x" * 100))
    with pytest.raises(Malformed, match=r"7\.signature is no row of more than 64 bytes"):
        read_written(value, {"7.signature": array}, Lock, FIELDS, "7")
    with pytest.raises(Malformed, match=r"array 7\.signature is missing"):
        read_written(value, {}, Lock, FIELDS, "7")
    assert read_written(value, arrays, Lock, FIELDS, "7") == Lock(b"x" * 100)


@pytest.mark.parametrize(
    "reasons",
    [
        {"a": "b"},
        "ab",
        [["a", "b"], ["a", "c"]],
        [["a"]],
        [["a", "b", "c"]],
        [[1, "b"]],
        [["a", None]],
        ["ab"],
        [("a", "b")],
    ],
)
def test_a_dict_is_pairs_of_which_no_two_have_a_key(reasons):
    with pytest.raises(Malformed):
        read_written({"reasons": reasons}, {}, Complaints, FIELDS, "7")


@pytest.mark.parametrize("text", ["AB", "a", "0x00", "ab cd", " ab", "ab\n", "\u0661\u0661", "g0"])
def test_there_is_one_way_to_write_bytes(text):
    with pytest.raises(Malformed):
        read_written({"signature": text}, {}, Lock, FIELDS, "7")


def test_short_bytes_are_text_and_long_ones_an_array():
    assert written(Lock(b"\1" * SHORT)) == ({"signature": "01" * SHORT}, {})
    value, arrays = written(Lock(b"\1" * (SHORT + 1)))
    assert value == {"signature": None}
    assert arrays["7.signature"].tolist() == [1] * (SHORT + 1)


@pytest.mark.parametrize(
    "message",
    [Lock("text"), Lock(None), Complaints({"a": b"b"}), Complaints([]), SealedVector, None, "lock"],
)
def test_what_is_no_message_is_not_written(message):
    kind = type(message) if isinstance(message, (Lock, Complaints)) else Lock
    with pytest.raises(Malformed):
        write(message, kind, FIELDS, "7")


def test_only_the_fields_of_a_kind_are_read():
    for value in ({}, {"signature": "", "more": ""}, {"__class__": ""}, [], None):
        with pytest.raises(Malformed):
            read_written(value, {}, Lock, FIELDS, "7")

from __future__ import annotations

import enum
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hansa.errors import LogError, RunError
from hansa.store import canonical_json, differences, parse_json

text = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="$"), max_size=8)
values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | text,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(text, inner, max_size=4),
    max_leaves=20,
)


def exact(value):
    """Tell apart what == does not: 1 from 1.0 and True, 0.0 from -0.0; and NaN equal to itself."""
    if isinstance(value, dict):
        return {key: exact(v) for key, v in value.items()}
    return [exact(v) for v in value] if isinstance(value, list) else (type(value), repr(value))


@given(values)
def test_round_trip(value):
    data = canonical_json(value)
    assert b"\n" not in data
    assert exact(parse_json(data)) == exact(value)


@given(st.dictionaries(text, st.integers(), min_size=2))
def test_the_order_of_keys_does_not_matter(value):
    assert canonical_json(value) == canonical_json(dict(reversed(value.items())))


@given(values, values)
def test_different_values_have_different_bytes(a, b):
    assert (canonical_json(a) == canonical_json(b)) == (exact(a) == exact(b))


def test_known_bytes():
    value = {"ü": [1, 1.0, -0.0, 1e22, True, None], "a": math.nan, "b": -math.inf, "c": "nan"}
    expected = '{"a":{"$float":"nan"},"b":{"$float":"-inf"},"c":"nan","ü":[1,1.0,-0.0,1e+22,true,null]}'
    assert canonical_json(value) == expected.encode()


def test_numpy_numbers_and_enums_become_plain_values():
    class Kind(enum.StrEnum):
        A = "a"

    value = {"x": np.float32(0.1), "n": np.int64(3), "b": np.bool_(True), "k": Kind.A, "t": (1,)}
    plain = parse_json(canonical_json(value))
    assert plain == {"x": float(np.float32(0.1)), "n": 3, "b": True, "k": "a", "t": [1]}


@pytest.mark.parametrize(
    ("value", "told"),
    [
        ({"a": [0, {1, 2}]}, r"\$\.a\[1\] has type set"),
        ({"w": np.zeros(2)}, "arrays belong in a blob"),
        ({1: "x"}, "keys must be strings"),
        ({"$float": "nan"}, "reserved"),
        ("\ud800", "lone surrogate"),
        ({"\udfff": 1}, "lone surrogate"),
        (1 << 5000, "5001 bits"),
        (b"bytes", "type bytes"),
    ],
)
def test_other_values_are_refused(value, told):
    with pytest.raises(RunError, match=told):
        canonical_json(value)


def test_deep_nesting_is_refused():
    value = []
    for _ in range(100):
        value = [value]
    with pytest.raises(RunError, match="nested more than 64"):
        canonical_json(value)


@pytest.mark.parametrize(
    "data",
    [
        b'{"a": 1}',
        b'{"b":1,"a":2}',
        b'{"a":1,"a":1}',
        b"1.00",
        b"1E5",
        b"NaN",
        b"1e999",
        b'{"$float":"NaN"}',
        b'{"$float":"nan","a":1}',
        b'{"$float":[]}',
        b'"\\u0061"',
        b'"\\ud800"',
        b"\xef\xbb\xbf1",
        b"\xff",
        b"",
        b"[" * 100_000,
        b"9" * 5000,
    ],
)
def test_bytes_in_another_form_are_refused(data):
    with pytest.raises(LogError, match="not canonical JSON"):
        parse_json(data)


def test_differences_name_each_key():
    old = {"a": {"b": 1, "gone": "x"}, "c": [1, 2], "same": math.nan}
    new = {"a": {"b": 1.0, "new": True}, "c": [1, 2, 3], "same": math.nan}
    assert differences(old, new) == [
        "a.b: 1 -> 1.0",
        'a.gone: "x" -> (absent)',
        "a.new: (absent) -> true",
        "c: [1,2] -> [1,2,3]",
    ]

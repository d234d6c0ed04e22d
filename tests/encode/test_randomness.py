import hashlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hansa.encode.randomness import Expanded, system_source, uniform
from hansa.errors import ConfigurationError


@given(st.lists(st.integers(0, 100_000), max_size=6))
def test_a_stream_does_not_depend_on_how_it_is_asked_for(sizes):
    pieces, whole = Expanded(bytes(range(32))), Expanded(bytes(range(32)))
    assert b"".join(pieces(size) for size in sizes) == whole(sum(sizes))


def test_the_stream_is_shake_256_in_counter_mode():
    key = bytes(range(32))
    blocks = [
        hashlib.shake_256(b"hansa.encode.randomness.v1" + key + i.to_bytes(8, "little")).digest(65536)
        for i in (0, 1)
    ]
    assert Expanded(key)(70_000) == b"".join(blocks)[:70_000]


def test_system_sources_differ_and_keys_are_not_printed():
    assert system_source()(32) != system_source()(32)
    assert repr(Expanded(b"k" * 32)) == "Expanded(32 bytes)"


def test_uniform_numbers_are_the_upper_53_bits():
    assert uniform(lambda size: b"\xff" * size, 1).tolist() == [1 - 2.0**-53]
    assert uniform(lambda size: b"\x00\x08" + bytes(6), 1).tolist() == [2.0**-53]
    draws = uniform(Expanded(bytes(32)), 100_000)
    assert draws.min() >= 0
    assert draws.max() < 1
    assert abs(draws.mean() - 0.5) < 5 / np.sqrt(12 * 100_000)


@pytest.mark.parametrize("key", [b"", bytes(31), bytes(33), "k" * 32, bytearray(32), None])
def test_bad_keys_are_refused(key):
    with pytest.raises(ConfigurationError, match="32 bytes"):
        Expanded(key)


@pytest.mark.parametrize(
    ("source", "told"),
    [
        (0, "numpy.random.Generator or a function"),
        (None, "got NoneType"),
        (np.random.SeedSequence(0), "got SeedSequence"),
        (lambda size: b"short", "asked for 16 bytes and returned 5 bytes"),
        (bytearray, "returned bytearray"),
        (np.zeros, "returned ndarray"),
    ],
)
def test_bad_sources_are_refused(source, told):
    with pytest.raises(ConfigurationError, match=told):
        uniform(source, 2)

import hashlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hansa.encode.randomness import Expanded, coins, system_source
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


def test_a_coin_is_a_comparison_of_binary_digits():
    def give(*pieces):
        rest = list(pieces)
        return lambda size: rest.pop(0)

    chance = np.array([0.5])
    assert coins(give(b"\x7f"), chance).tolist() == [True]
    assert coins(give(b"\x81"), chance).tolist() == [False]
    assert coins(give(b"\x80", bytes(8)), chance).tolist() == [False]
    smallest = np.array([2.0**-61])
    assert coins(give(b"\0", bytes(8)), smallest).tolist() == [True]
    assert coins(give(b"\0", b"\0\x08" + bytes(6)), smallest).tolist() == [False]
    largest = np.array([1 - 2.0**-53])
    assert coins(give(b"\xff", b"\xff" * 8), largest).tolist() == [False]
    assert coins(give(b"\xff", b"\xff" * 5 + b"\xdf" * 3), largest).tolist() == [True]


def test_a_chance_of_zero_never_comes_up():
    assert not coins(bytes, np.zeros(100)).any()


@pytest.mark.parametrize("source", [Expanded(bytes(32)), np.random.default_rng(0)])
def test_coins_come_up_with_their_chance(source):
    for chance in (0.001, 1 / 3, 0.5, 0.99, 1 / 512):
        tosses = 400_000
        up = int(np.count_nonzero(coins(source, np.full(tosses, chance))))
        assert abs(up - tosses * chance) < 5 * np.sqrt(tosses * chance * (1 - chance))


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
        (lambda size: b"short", "asked for 2 bytes and returned 5 bytes"),
        (bytearray, "returned bytearray"),
        (np.zeros, "returned ndarray"),
    ],
)
def test_bad_sources_are_refused(source, told):
    with pytest.raises(ConfigurationError, match=told):
        coins(source, np.array([0.3, 0.6]))

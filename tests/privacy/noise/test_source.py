from __future__ import annotations

import copy
import os
import pickle

import numpy as np
import pytest

from hansa.encode.randomness import coins
from hansa.errors import ConfigurationError
from hansa.privacy.noise import Source, derived, rounded_gaussian, system_source
from hansa.privacy.noise.source import words

KEY = bytes(range(32))


def test_bytes_do_not_depend_on_how_they_are_asked_for():
    one, many = Source(KEY), Source(KEY)
    assert one(1000) == b"".join(many(size) for size in (0, 1, 15, 16, 17, 951))


def test_bytes_are_the_keystream_of_aes_256():
    # NIST SP 800-38A has a vector of the cipher: F.1.5, ECB-AES256, with the plaintext as the counter.
    from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

    block = Cipher(algorithms.AES(KEY), modes.ECB()).encryptor()  # noqa: S305
    assert Source(KEY)(48) == block.update(b"".join(i.to_bytes(16, "big") for i in range(3)))


def test_words_are_those_of_the_stream_wherever_reading_begins():
    stream = np.frombuffer(Source(KEY)(8 * 100), "<u8")
    assert (words(KEY, 0, 100) == stream).all()
    assert (words(KEY, 34, 50) == stream[34:84]).all()


def test_sources_of_the_system_differ():
    assert system_source()(32) != system_source()(32)


def test_derived_keys_differ_by_key_label_and_order():
    keys = {
        derived(k, *labels) for k in (KEY, bytes(32)) for labels in [(), ("a",), ("a", 1), (1, "a"), ("a1",)]
    }
    assert len(keys) == 10
    assert all(len(key) == 32 for key in keys)


def test_a_key_is_not_shown_nor_pickled_nor_copied():
    source = Source(b"k" * 32)
    assert repr(source) == "Source(32 bytes)"
    assert "k" * 32 not in str(vars(source))
    for work in (pickle.dumps, copy.copy, copy.deepcopy):
        with pytest.raises(TypeError, match="neither pickled nor copied"):
            work(source)


@pytest.mark.parametrize("key", [b"", bytes(31), bytes(33), "k" * 32, None, bytearray(32)])
def test_a_key_is_32_bytes(key):
    with pytest.raises(ConfigurationError, match="32 bytes"):
        Source(key)
    with pytest.raises(ConfigurationError, match="32 bytes"):
        derived(key, "label")


@pytest.mark.parametrize(
    "bad", [None, 7, np.random.default_rng(0), lambda size: b"short", lambda size: "x" * size]
)
def test_a_sampler_refuses_what_is_no_source(bad):
    with pytest.raises(ConfigurationError, match="noise"):
        rounded_gaussian(1.0, 3, bad)


def test_it_is_a_source_for_rounding_and_the_system_is_one_for_noise():
    assert coins(Source(KEY), np.array([0.0, 0.5])).shape == (2,)
    assert rounded_gaussian(1.0, 3, os.urandom).shape == (3,)

from __future__ import annotations

import hashlib

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

import crypto_reference as reference
from hansa.crypto import field, sampling
from hansa.crypto.arithmetic import P


@given(st.binary(max_size=40), st.integers(1, 300))
def test_public_elements_are_those_of_the_reference(seed, count):
    assert sampling.public_elements(seed, count).tolist() == reference.public_elements(seed, count)


class Stream:
    """A SHAKE stream that begins with words above the modulus."""

    def __init__(self, seed):
        self.words = [2**64 - 1, 5, P, P - 1, *range(100)]

    def digest(self, size):
        return b"".join(w.to_bytes(8, "little") for w in (self.words * (size // 800 + 1)))[:size]


def test_words_of_the_modulus_and_above_are_left_out(monkeypatch):
    monkeypatch.setattr(hashlib, "shake_128", Stream)
    assert sampling.public_elements(b"", 4).tolist() == [5, P - 1, 0, 1]


def test_more_of_the_stream_is_read_where_many_are_left_out(monkeypatch):
    class Bad(Stream):
        def __init__(self, seed):
            self.words = [P] * 30 + [7] * 70

    monkeypatch.setattr(hashlib, "shake_128", Bad)
    assert sampling.public_elements(b"", 3).tolist() == [7, 7, 7]


def test_secret_elements_reject_too():
    calls = []

    def urandom(size):
        calls.append(size)
        words = [P, 2**64 - 1, 3] + [P] * (size // 8 - 3)
        return b"".join(w.to_bytes(8, "little") for w in words)

    assert sampling.secret_elements(3, urandom).tolist() == [3, 3, 3]
    assert len(calls) == 3


def test_secret_elements_are_uniform_and_new_each_time():
    a, b = sampling.secret_elements(20_000), sampling.secret_elements(20_000)
    assert field.is_canonical(a)
    assert not (a == b).any()
    counts = np.bincount((a >> np.uint64(60)).astype(int), minlength=16)
    assert ((counts - 1250) ** 2 / 1250).sum() < 60  # 15 degrees of freedom: 1 in 10^6


@given(st.binary(min_size=10, max_size=400).filter(lambda b: len(b) % 10 == 0))
def test_binomial_is_that_of_the_reference(data):
    assert sampling.binomial(len(data) // 10, lambda _: data).tolist() == reference.binomial(data)


def test_binomial_reaches_its_ends():
    assert sampling.binomial(1, lambda _: b"\xff" * 5 + bytes(5)).tolist() == [40]
    assert sampling.binomial(1, lambda _: bytes(5) + b"\xff" * 5).tolist() == [-40]


def test_binomial_has_its_distribution():
    import math

    count = 400_000
    values = sampling.binomial(count)
    assert abs(float(values.mean())) < 5 * math.sqrt(20 / count)
    assert abs(float(values.astype(float).var()) - 20) < 0.3
    inside = range(-12, 13)
    expected = np.array([count * math.comb(80, 40 + k) / 2**80 for k in inside])
    found = np.array([(values == k).sum() for k in inside])
    assert ((found - expected) ** 2 / expected).sum() < 75  # about 24 degrees of freedom: 1 in 10^6


def test_binomial_over_several_blocks(monkeypatch):
    monkeypatch.setattr(sampling, "_BLOCK", 7)
    rng = np.random.default_rng(0)
    drawn = []

    def random(size):
        drawn.append(rng.bytes(size))
        return drawn[-1]

    assert sampling.binomial(25, random).tolist() == reference.binomial(b"".join(drawn))

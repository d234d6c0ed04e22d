from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import zk_reference as reference
from hansa.crypto import field
from hansa.crypto.arithmetic import P
from hansa.zk.transcript import Transcript

said = st.lists(st.tuples(st.text(max_size=5), st.binary(max_size=9)), max_size=5)


def heard(messages, label="t"):
    out = Transcript(label)
    for name, data in messages:
        out.absorb(name, data)
    return out


@given(said, said)
def test_a_challenge_stands_for_all_that_was_said(first, second):
    assert (heard(first).seed("c") == heard(second).seed("c")) == (first == second)


def test_labels_kinds_and_domains_count():
    seeds = [
        heard([("a", b"bc")]).seed("c"),
        heard([("ab", b"c")]).seed("c"),
        heard([("a", b"bc")]).seed("d"),
        heard([("a", b"bc")], "u").seed("c"),
        heard([("a", b"b"), ("", b"c")]).seed("c"),
        heard([]).seed("c"),
    ]
    again = heard([])
    again.seed("c")
    seeds.append(again.seed("c"))  # a challenge drawn before counts too
    assert len(set(seeds)) == len(seeds)


@given(st.binary(max_size=9), st.integers(0, 50), st.integers(0, 60))
def test_challenges_are_those_of_the_reference(data, count, columns):
    fast, slow = Transcript("t"), reference.Transcript("t")
    fast.absorb("x", data)
    slow.absorb("x", data)
    assert fast.seed("s") == slow.seed("s")
    assert [tuple(pair) for pair in fast.elements("e", count).tolist()] == slow.elements("e", count)
    assert fast.distinct("d", columns, 64).tolist() == slow.distinct("d", columns, 64)
    assert fast.seed("s") == slow.seed("s")


class Stream:
    """A stream of words that the test chooses."""

    def __init__(self, words, size):
        self.words, self.size = words, size

    def digest(self, size):
        data = b"".join(w.to_bytes(self.size, "little") for w in self.words)
        return (data * (size // len(data) + 1))[:size]


def test_words_of_the_modulus_and_above_are_left_out(monkeypatch):
    monkeypatch.setattr(Transcript, "_challenge", lambda *_: Stream([P, 5, 2**64 - 1, P - 1, 6, P, 7], 8))
    assert Transcript("t").elements("e", 2).tolist() == [[5, P - 1], [6, 7]]
    monkeypatch.setattr(Transcript, "_challenge", lambda *_: Stream([P] * 40 + [1, 2], 8))
    assert Transcript("t").elements("e", 1).tolist() == [[1, 2]]


def test_numbers_drawn_before_are_left_out(monkeypatch):
    monkeypatch.setattr(Transcript, "_challenge", lambda *_: Stream([9, 9, 9 + 16, 3, 3, 9, 12], 4))
    assert Transcript("t").distinct("d", 2, 16).tolist() == [3, 9]
    assert Transcript("t").distinct("d", 3, 16).tolist() == [3, 9, 12]


def test_all_numbers_can_be_drawn():
    assert Transcript("t").distinct("d", 32, 32).tolist() == list(range(32))
    for count, below in [(33, 32), (1, 24), (1, 0), (-1, 8)]:
        with pytest.raises(ValueError, match="cannot draw"):
            Transcript("t").distinct("d", count, below)


def test_every_set_is_equally_likely():
    counts = dict.fromkeys(itertools.combinations(range(8), 2), 0)
    transcript = Transcript("t")
    for _ in range(28 * 200):
        counts[tuple(transcript.distinct("d", 2, 8).tolist())] += 1
    # 27 degrees of freedom: above 75 once in 10^6
    assert sum((count - 200) ** 2 / 200 for count in counts.values()) < 75


def test_elements_are_uniform():
    values = Transcript("t").elements("e", 20_000)
    assert field.is_canonical(values)
    for part in range(2):
        counts = np.bincount((values[:, part] >> np.uint64(60)).astype(int), minlength=16)
        assert ((counts - 1250) ** 2 / 1250).sum() < 60

"""Certificates against their statement written out in lists: the same bytes, and the same rejections."""

from __future__ import annotations

import hashlib

import numpy as np
import pytest

import zk_reference as reference
from crypto_reference import encoded
from hansa.claims import Claims, certify
from hansa.claims import statement as statements
from hansa.claims.records import records_of, slots_for
from hansa.claims.statement import DataStatement
from hansa.crypto.secret import Secret
from hansa.crypto.signature import SigningKey
from hansa.types import Examples
from hansa.zk.parameters import Parameters
from hansa.zk.proof import ProofRejected
from hansa.zk.transcript import Transcript
from hansa.zk.verifier import verify
from zk_statements import Randomness

KEY = SigningKey(Secret(b"k" * 32))
ROW, COLUMNS = 8, 3
LOWEST, SPANS = (0, -4), (5, 104)  # ranges (0, 5) and (−4, 100), in whole units
MINIMA = (2, 1, 0)
ROWS, LABELS = [(5, 100), (0, -4), (3, 7), (1, 0), (2, 50)], [0, 0, 1, 2, 0]


@pytest.fixture(autouse=True)
def short(monkeypatch):
    """Rows that are short enough for the reference."""
    toy = Parameters(row=ROW, columns=COLUMNS, toy=True)
    monkeypatch.setattr(statements, "choose", lambda *_, **__: toy)


def terms_of(exact):
    ranges = {"a": (0, 5, 0), "b": (-4, 100, 0)}
    claims = Claims(ranges=ranges, records=3, classes=dict(enumerate(MINIMA)), exact_count=exact)
    return claims.terms(("a", "b"))


def counting(most):
    """What bits count whose sums are the numbers from 0 to the most."""
    places = most.bit_length()
    return [1 << i for i in range(places - 1)] + [most - (1 << (places - 1)) + 1] if most else []


def bits_of(value, weights):
    """From the largest on, the last weight first: what is left fits into the others."""
    out = [0] * len(weights)
    for i in range(len(weights) - 1, -1, -1):
        out[i] = int(value > sum(weights[:i]))
        value -= out[i] * weights[i]
    assert not value
    return out


def spec_of(terms, slots):
    exact, width = terms.exact, sum(len(counting(span)) for span in SPANS)
    counts = [] if exact else [(("present", 1), 3)]
    counts += [((k, len(MINIMA)), fewest) for k, fewest in enumerate(MINIMA) if fewest]
    slacks = [counting(slots - fewest) for _, fewest in counts]
    sizes = {"present": slots, "numbers": slots * width, "labels": slots * len(MINIMA)}
    sizes["slack"] = sum(map(len, slacks))
    linear = [
        ([("labels", len(MINIMA) * i + k, 1) for k in range(len(MINIMA))] + [("present", i, -1)], 0)
        for i in range(slots)
    ]
    place = 0
    for (which, fewest), slack in zip(counts, slacks, strict=True):
        terms_here = [("slack", place + i, -weight) for i, weight in enumerate(slack)]
        place += len(slack)
        linear.append((counted(which, slots) + terms_here, fewest))
    if exact:
        linear.append((counted(("present", 1), slots), slots))
    hashed = hashlib.sha256(encoded("hansa.claims", terms.hash, slots)).digest()
    segments = [(name, size, 0, True) for name, size in sizes.items()]
    return reference.Spec(
        ROW, COLUMNS, True, segments, (0,), hashed, lambda seeds, messages: (linear, [])
    ), slacks


def counted(which, slots):
    first, step = which
    if first == "present":
        return [("present", i, 1) for i in range(slots)]
    return [("labels", step * i + first, 1) for i in range(slots)]


def cells_of(terms, slots, slacks):
    numbers, labels = [], []
    for i in range(slots):
        there = i < len(ROWS)
        for low, span, column in zip(LOWEST, SPANS, range(2), strict=True):
            numbers += bits_of(ROWS[i][column] - low if there else 0, counting(span))
        labels += [int(there and LABELS[i] == k) for k in range(len(MINIMA))]
    have = ([] if terms.exact else [len(ROWS) - 3]) + [
        LABELS.count(k) - fewest for k, fewest in enumerate(MINIMA) if fewest
    ]
    slack = [bit for left, weights in zip(have, slacks, strict=True) for bit in bits_of(left, weights)]
    present = [int(i < len(ROWS)) for i in range(slots)]
    return {"present": present, "numbers": numbers, "labels": labels, "slack": slack}


def said():
    out = reference.Transcript("hansa.claims")
    out.absorb("owner", encoded("owner", "c0", KEY.public))
    return out


@pytest.mark.parametrize("exact", [False, True])
def test_bytes_are_those_of_the_reference(exact):
    terms = terms_of(exact)
    slots = slots_for(len(ROWS), exact=exact)
    spec, slacks = spec_of(terms, slots)
    cells = cells_of(terms, slots, slacks)
    slow = reference.prove(spec, lambda stage, seeds: (cells, b""), said(), Randomness())
    rows = records_of(Examples(x=np.array(ROWS, np.float32), y=np.array(LABELS)), terms)
    fast = certify(rows, terms, name="c0", key=KEY, random=Randomness()).proof
    assert fast == slow
    assert reference.verify(spec, fast, said()) == "accepted"


@pytest.mark.parametrize(
    ("name", "cell", "value", "check"),
    [
        ("numbers", 0, 2, "boolean"),
        ("labels", 1, 1, "total"),  # a second label
        ("present", 7, 1, "total"),  # a record without one
        ("slack", 0, 1, "total"),
    ],
)
def test_both_reject_what_is_not_so(name, cell, value, check):
    terms = terms_of(exact=False)
    spec, slacks = spec_of(terms, 8)
    cells = cells_of(terms, 8, slacks)
    assert cells[name][cell] != value
    cells[name][cell] = value
    proof = reference.prove(spec, lambda stage, seeds: (cells, b""), said(), Randomness())
    assert reference.verify(spec, proof, said()) == check
    transcript = Transcript("hansa.claims")
    transcript.absorb("owner", encoded("owner", "c0", KEY.public))
    with pytest.raises(ProofRejected) as error:
        verify(DataStatement(terms, 8), proof, transcript)
    assert error.value.check == check

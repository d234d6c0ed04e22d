"""Certificates: what an honest client shows, and the bytes that it is kept in."""

import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hansa.claims import Certificate, CertificateRejected, Claims, certify, same_data, verify_certificate
from hansa.claims.certificate import MOST_BYTES
from hansa.claims.records import records_of
from hansa.crypto.secret import Secret
from hansa.crypto.signature import SigningKey
from hansa.errors import ConfigurationError
from hansa.types import Examples

KEY = SigningKey(Secret(b"k" * 32))
X = np.random.default_rng(0).integers(0, 6, (20, 3)).astype(np.float32)
Y = np.arange(20) % 2
RANGES = {"a": (0, 5, 0), "b": (0, 7, 0), "c": (-1, 6)}


def made(x=X, y=Y, key=KEY, name="c0", **changes):
    claims = Claims(**{"ranges": RANGES, "records": 15, "classes": {0: 10, 1: 9}, "resolution": 6, **changes})
    terms = claims.terms(("a", "b", "c"))
    return terms, certify(records_of(Examples(x=x, y=y), terms), terms, name=name, key=key)


def check(terms, certificate, **changes):
    verify_certificate(certificate, **{"terms": terms, "name": "c0", "signing": KEY.public, **changes})


TERMS, CERTIFICATE = made()
DATA = CERTIFICATE.to_bytes()


def to_bytes(**changes):
    return dataclasses.replace(CERTIFICATE, **changes).to_bytes()


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"exact_count": True},
        {"records": 20},
        {"records": 20, "exact_count": True},
        {"classes": (0, 1)},
        {"classes": {0: 10, 1: 10}},
        {"classes": {0: 0, 1: 0, 9: 0}},
        {"classes": None, "target": (0, 1)},
        {"classes": None, "target": (0, 1, 0), "exact_count": True, "records": 1},
        {"ranges": {"*": (0, 5, 0), "b": (0, 5.5)}},
    ],
    ids=str,
)
def test_what_is_so_is_shown(changes):
    terms, certificate = made(**changes)
    check(terms, certificate, root=certificate.root, rows=certificate.rows)
    assert certificate.slots == (20 if terms.exact else 32)
    assert certificate.rows == (20 if terms.exact else None)
    assert Certificate.from_bytes(certificate.to_bytes()) == certificate


def test_a_column_of_one_value_takes_no_bits():
    terms, certificate = made(x=np.full_like(X, 3), ranges=(3, 3, 0))
    assert terms.record_bits == 0
    check(terms, certificate)


def test_as_many_records_as_slots_and_as_few_as_claimed():
    x, y = np.concatenate([X, X])[:32], np.arange(32) % 2
    for records in (1, 31, 32):
        terms, certificate = made(x=x, y=y, records=records, classes={0: 16, 1: 16})
        assert certificate.slots == 32
        check(terms, certificate)


def test_the_same_rows_certified_again_have_another_root():
    _, again = made()
    assert again.root != CERTIFICATE.root
    assert same_data(CERTIFICATE, Certificate.from_bytes(DATA))
    assert not same_data(CERTIFICATE, again)
    for change in ({"name": "c1"}, {"signing": b"s" * 32}, {"slots": 64}, {"terms": made(records=3)[0]}):
        assert not same_data(CERTIFICATE, dataclasses.replace(CERTIFICATE, **change))


def test_too_many_bits_to_certify():
    terms = Claims(ranges=(0, 1), classes=(0,), resolution=32).terms(tuple(f"f{i}" for i in range(2000)))
    rows = Examples(x=np.zeros((600, 2000), np.float32), y=np.zeros(600, int))
    with pytest.raises(ConfigurationError, match="lower resolution"):
        certify(records_of(rows, terms), terms, name="c0", key=KEY)


def test_nothing_of_the_rows_is_in_what_prints():
    assert repr(records_of(Examples(x=X, y=Y), TERMS)) == "Records(20, not shown)"


# ------------------------------------------------------------------ bytes


def test_every_byte_is_part_of_it():
    """Some are hashed, some are the proof's; `tests/attacks` changes them all."""
    for place in range(0, len(DATA), 997):
        changed = bytearray(DATA)
        changed[place] ^= 1
        with pytest.raises(CertificateRejected):
            check(TERMS, Certificate.from_bytes(bytes(changed)))


@pytest.mark.parametrize(
    "data",
    [
        b"",
        DATA[:24],
        DATA[1:],
        b"x" * 100,
        bytearray(DATA),
        "text",
        DATA[:21] + b"\xff\xff\xff\xff" + DATA[25:],
        DATA[:21] + b"\0\0\0\0" + DATA[25:],
        DATA.replace(b'"slots":32', b'"slots": 32'),
        DATA.replace(b'"name":"c0"', b'"name":"\\u00630"'),
        DATA.replace(b'"slots":32', b'"slots":32,"slots":32'),
        DATA.replace(b'"slots":32', b'"slots":NaN'),
        DATA.replace(b'"slots":32', b'"slots":3e1'),
        DATA.replace(b'"slots":32', b'"slits":32'),
        DATA.replace(b'"name":"c0"', b'"name":3330'),
        DATA.replace(b'"slots":32', b'"slots":{}'),
        to_bytes(name="c" * 1001),
        to_bytes(signing=KEY.public[:31]),
        to_bytes(signature=bytes(65)),
    ],
    ids=range(19),
)
def test_bytes_that_are_no_certificate(data):
    with pytest.raises(CertificateRejected, match="decoding"):
        Certificate.from_bytes(data)


def test_too_long_for_a_certificate():
    with pytest.raises(CertificateRejected, match="decoding"):
        Certificate.from_bytes(DATA + bytes(MOST_BYTES))


@given(st.binary(max_size=300))
@settings(max_examples=200, deadline=None)
def test_a_head_of_any_bytes_is_refused(head):
    data = b"hansa.certificate.v1\n" + len(head).to_bytes(4, "little") + head + CERTIFICATE.proof
    with pytest.raises(CertificateRejected, match="decoding"):
        Certificate.from_bytes(data)


def test_a_deep_head_is_refused():
    head = b"[" * 100_000
    with pytest.raises(CertificateRejected, match="decoding"):
        Certificate.from_bytes(b"hansa.certificate.v1\n" + len(head).to_bytes(4, "little") + head)

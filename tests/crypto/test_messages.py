"""Envelopes, signatures, commitments, encodings and secrets."""

from __future__ import annotations

import copy
import pickle

import pytest
from hypothesis import given
from hypothesis import strategies as st

import crypto_reference as reference
from hansa.crypto import commitment, envelope
from hansa.crypto.encoding import digest, encoded
from hansa.crypto.envelope import EnvelopeError, ExchangeKey, put, take
from hansa.crypto.secret import Secret
from hansa.crypto.signature import SigningKey, is_signed

parts = st.lists(st.one_of(st.binary(max_size=9), st.text(max_size=9), st.integers()), max_size=4)
ALICE, BOB, EVE = (ExchangeKey(Secret(bytes([i]) * 32)) for i in (1, 2, 3))


@given(st.text(max_size=5), parts, st.text(max_size=5), parts)
def test_encodings_differ_where_anything_differs(a, first, b, second):
    same = a == b and [(type(p), p) for p in first] == [(type(p), p) for p in second]
    assert (encoded(a, *first) == encoded(b, *second)) == same
    assert encoded(a, *first) == reference.encoded(a, *first)


@pytest.mark.parametrize("value", [1.0, True, None, ["a"], bytearray(b"a")])
def test_other_kinds_are_not_encoded(value):
    with pytest.raises(TypeError, match="can be encoded"):
        digest("x", value)


@given(st.binary(max_size=100))
def test_an_envelope_gives_back_what_was_put(content):
    sealed = put(content, "run", 3, sender=ALICE, receiver=BOB.public)
    assert len(sealed) == len(content) + envelope.OVERHEAD
    assert take(sealed, "run", 3, sender=ALICE.public, receiver=BOB, size=len(content)) == content
    assert sealed != put(content, "run", 3, sender=ALICE, receiver=BOB.public)


def test_every_changed_byte_of_an_envelope_is_found():
    sealed = put(b"secret", "run", sender=ALICE, receiver=BOB.public)
    for i in range(len(sealed)):
        changed = sealed[:i] + bytes([sealed[i] ^ 1]) + sealed[i + 1 :]
        with pytest.raises(EnvelopeError, match="cannot be opened"):
            take(changed, "run", sender=ALICE.public, receiver=BOB, size=6)


@pytest.mark.parametrize(
    ("context", "sender", "receiver"),
    [(("run", 2), ALICE, BOB), (("run", 1), EVE, BOB), (("run", 1), ALICE, EVE), (("run", "1"), ALICE, BOB)],
)
def test_an_envelope_is_of_one_use_and_one_pair(context, sender, receiver):
    sealed = put(b"x", "run", 1, sender=ALICE, receiver=BOB.public)
    with pytest.raises(EnvelopeError, match="cannot be opened"):
        take(sealed, *context, sender=sender.public, receiver=receiver, size=1)


def test_an_envelope_cannot_be_sent_back():
    sealed = put(b"x", "run", sender=ALICE, receiver=BOB.public)
    with pytest.raises(EnvelopeError, match="cannot be opened"):
        take(sealed, "run", sender=BOB.public, receiver=ALICE, size=1)


@pytest.mark.parametrize("length", [0, 31, 47, 49, 10_000])
def test_an_envelope_of_another_length_is_refused(length):
    with pytest.raises(EnvelopeError, match="bytes"):
        take(bytes(length), "run", sender=ALICE.public, receiver=BOB, size=0)


@pytest.mark.parametrize("public", [b"", bytes(31), bytes(32), (1).to_bytes(32, "little")])
def test_public_keys_that_are_none(public):
    # Zero and one are points of small order, with which the shared secret would be known to all.
    with pytest.raises(EnvelopeError, match="public key"):
        put(b"x", sender=ALICE, receiver=public)


def test_both_parties_derive_the_same_and_others_do_not():
    a, b = ALICE.shared_with(BOB.public, "mask", 1), BOB.shared_with(ALICE.public, "mask", 1)
    assert a == b
    assert (
        len(
            {
                s.reveal()
                for s in (a, ALICE.shared_with(BOB.public, "mask", 2), EVE.shared_with(BOB.public, "mask", 1))
            }
        )
        == 3
    )


def test_signatures():
    key, other = SigningKey.fresh(), SigningKey.fresh()
    signed = key.sign("seal", b"x", 1)
    assert is_signed(signed, key.public, "seal", b"x", 1)
    for wrong in (
        (signed, other.public, "seal", b"x", 1),
        (signed, key.public, "lock", b"x", 1),
        (signed, key.public, "seal", b"x", 2),
        (signed, key.public, "seal", b"x"),
        (signed[:-1], key.public, "seal", b"x", 1),
        (signed + b"\0", key.public, "seal", b"x", 1),
        (bytes(64), key.public, "seal", b"x", 1),
        (signed, b"", "seal", b"x", 1),
        (signed, b"\xff" * 32, "seal", b"x", 1),
    ):
        assert not is_signed(*wrong)
    for i in range(64):
        assert not is_signed(
            signed[:i] + bytes([signed[i] ^ 1]) + signed[i + 1 :], key.public, "seal", b"x", 1
        )


def test_commitments_bind_and_hide():
    first, opening = commitment.commit("nonce", b"value")
    second, _ = commitment.commit("nonce", b"value")
    assert first != second
    assert commitment.opens(first, opening, "nonce", b"value")
    assert not commitment.opens(first, opening, "nonce", b"other")
    assert not commitment.opens(first, opening, "other", b"value")
    assert not commitment.opens(second, opening, "nonce", b"value")
    assert not commitment.opens(first, commitment.Opening(b""), "nonce", b"value")
    assert opening.salt.hex() not in repr(opening)


def test_secrets_are_not_shown():
    secret = Secret(b"\x01" * 32)
    key = ExchangeKey(secret)
    for text in (repr(secret), str(secret), f"{secret}", repr(key), repr(SigningKey(secret))):
        assert "Secret(32 bytes)" in text
        assert "0101" not in text
        assert "\\x01" not in text.replace(repr(key.public), "").replace(repr(SigningKey(secret).public), "")
    assert secret == Secret(b"\x01" * 32)
    assert secret != Secret(b"\x02" * 32)
    assert secret != b"\x01" * 32
    for action in (pickle.dumps, copy.copy, copy.deepcopy):
        with pytest.raises(TypeError, match="neither pickled nor copied"):
            action(secret)
    with pytest.raises(TypeError):
        hash(secret)
    assert Secret.random(5) != Secret.random(5)

"""What reads bytes from others, each as a function of bytes that raises nothing unless something is wrong.

A target is given any bytes. It fails if the reader raises another error than its own, or takes for good what
no honest party made. `seeds` are what one did make. `make fuzz` runs targets with atheris, `tests/fuzz` with
a few mutations of the seeds.
"""

from __future__ import annotations

import dataclasses
import functools
from unittest import mock

import numpy as np

from hansa.claims import Certificate, CertificateRejected, Claims, certify, verify_certificate
from hansa.claims import statement as statements
from hansa.claims.records import records_of
from hansa.crypto.arithmetic import P
from hansa.crypto.ring import N
from hansa.crypto.secret import Secret
from hansa.crypto.signature import SigningKey
from hansa.errors import LogError, RunError
from hansa.secure_sum.messages import PLACE, Malformed, read
from hansa.secure_sum.sealed import dealing
from hansa.secure_sum.sealed.messages import FIELDS, Entry, SealedVector
from hansa.secure_sum.sealed.witness import leaf
from hansa.store.blobs import decode_arrays, encode_arrays
from hansa.store.canonical import canonical_json, parse_json
from hansa.types import Examples
from hansa.zk.parameters import Parameters
from hansa.zk.proof import ProofRejected
from hansa.zk.transcript import Transcript
from hansa.zk.verifier import verify
from norm_both import MEMBER, Both
from zk_attacks import PROOF, STATEMENT
from zk_statements import Randomness

# ---------------------------------------------------------------- proofs


def zk(data):
    """A proof of `hansa.zk`."""
    try:
        verify(STATEMENT, data, Transcript("t"))
    except ProofRejected:
        return
    assert data == PROOF


@functools.cache
def dealt():
    run = Both(100, 50)
    return run, *run.dealt([60, -80, 0, 3, -3, 50], Randomness())


def norm(data):
    """A proof of a norm, which comes with a seal."""
    run, seal, _, proof = dealt()
    assert run.dealer.why_rejected(MEMBER, seal, data) or data == proof


def share(data):
    """The beginning of a proof and what is in a holder's envelope: both are of the dealer's choice.

    The first byte says whether the hash of what is in the envelope is set right.
    """
    run, seal, contents, _ = dealt()
    size, most = dealing.head_bytes(run.parameters), run.parameters.share_bytes
    proof, content = data[1 : size + 1], data[size + 1 :][:most].ljust(most, b"\0")  # an envelope's length
    if data[:1] > b"\x7f" and len(proof) == size:
        right = leaf(content[8 * (N + 2) :], content[: 8 * (N + 2)])
        proof = proof[:32] + right + proof[64:]
    sent = SealedVector(sender="c0", seal=seal, envelopes=(), signature=b"", proof=proof, head=size)
    why = run.dealer.why_unusable(MEMBER, sent.entry, 0, content)
    assert why or content == contents[0]


def _toy(*_, **__):
    return Parameters(row=8, columns=3, toy=True)


@functools.cache
def certified():
    """A small certificate with few cells in a row, its key, and its terms."""
    claims = Claims(ranges={"a": (0, 5, 0), "b": (-4, 100, 0)}, records=2, classes={0: 1, 1: 1})
    terms, key = claims.terms(("a", "b")), SigningKey(Secret(b"k" * 32))
    rows = Examples(x=np.array([[5, 100], [0, -4], [3, 7]], np.float32), y=np.array([0, 1, 1]))
    with mock.patch.object(statements, "choose", _toy):
        made = certify(records_of(rows, terms), terms, name="c0", key=key, random=Randomness())
    return made, key, terms


def certificate(data):
    """A certificate about data. The first byte says whether its owner signs what it has become."""
    made, key, terms = certified()
    with mock.patch.object(statements, "choose", _toy):
        try:
            found = Certificate.from_bytes(data[1:])
            if data[:1] > b"\x7f":
                found = dataclasses.replace(found, signature=key.sign(*found.signed))
            verify_certificate(found, terms=terms, name="c0", signing=key.public)
        except CertificateRejected:
            return
    assert found == made


# ---------------------------------------------------------------- messages


class Drawn:
    """Numbers and bytes from bytes; 0 and nothing behind their end."""

    def __init__(self, data):
        self.data, self.place = data, 0

    def bytes(self, size):
        out = self.data[self.place : self.place + size]
        self.place += size
        return out

    def below(self, count):
        return int.from_bytes(self.bytes(2), "little") % count


ARRAYS = ["<u8", ">u8", "<i8", "<f8", "O", "<u4", "M8[D]", "?"]


def junk(drawn, depth):
    """A value of any type."""
    kind = drawn.below(12)
    if kind < 5 or depth > 3:
        return [None, drawn.below(2) == 1, drawn.below(2**16) - 2**15, 2**63, drawn.bytes(32)][kind % 5]
    if kind < 8:
        return [1.5, drawn.bytes(drawn.below(40)).decode("utf-8", "replace"), "c\ud800"][kind - 5]
    if kind == 8:
        shape = tuple(drawn.below(4) for _ in range(drawn.below(4)))
        return np.zeros(shape, ARRAYS[drawn.below(len(ARRAYS))])
    items = [junk(drawn, depth + 1) for _ in range(drawn.below(4))]
    if kind == 9:
        return tuple(items)
    if kind == 10:
        return items
    return {str(i): item for i, item in enumerate(items)}


def value_of(shape, drawn, depth=0):
    """A value of a shape of `FIELDS`, with junk here and there."""
    if drawn.below(16) == 1:
        return junk(drawn, depth)
    if isinstance(shape, tuple):
        return tuple(value_of(shape[0], drawn, depth + 1) for _ in range(drawn.below(4)))
    if isinstance(shape, dict):
        ((key, of),) = shape.items()
        return {
            _hashable(value_of(key, drawn, depth + 1)): value_of(of, drawn, depth + 1)
            for _ in range(drawn.below(4))
        }
    if shape in FIELDS:
        made = object.__new__(shape)
        for name, own in FIELDS[shape].items():
            if drawn.below(32) != 1:
                vars(made)[name] = value_of(own, drawn, depth + 1)
        return made
    plain = {
        bytes: lambda: drawn.bytes(drawn.below(80)),
        str: lambda: drawn.bytes(drawn.below(8)).decode("utf-8", "replace"),
        int: lambda: int.from_bytes(drawn.bytes(9), "little", signed=True),
        np.ndarray: lambda: np.full((1, drawn.below(3) * 2048), drawn.below(3) * (P // 2), "<u8"),
    }
    return plain[shape]()


def _hashable(value):
    try:
        hash(value)
    except TypeError:
        return None
    return value


def messages(data):
    """Any object in the place of any message."""
    drawn = Drawn(data)
    kinds = [*FIELDS]
    kind = kinds[drawn.below(len(kinds))]
    given = value_of(kind, drawn)
    try:
        found = read(given, kind, FIELDS)
    except Malformed:
        return
    assert type(found) is kind
    _check(found, kind)
    if kind in PLACE:
        assert found.parts
    if kind in (SealedVector, Entry):
        assert found.entry.signed if kind is SealedVector else found.signed


def _check(value, shape):
    """Every part is of the very type that was declared."""
    if isinstance(shape, tuple):
        assert type(value) is tuple
        for one in value:
            _check(one, shape[0])
    elif isinstance(shape, dict):
        ((key, of),) = shape.items()
        for name, one in value.items():
            _check(name, key)
            _check(one, of)
    else:
        assert type(value) is shape
        for name, own in FIELDS.get(shape, {}).items():
            _check(getattr(value, name), own)


# ---------------------------------------------------------------- the store


def json(data):
    """Canonical JSON."""
    try:
        value = parse_json(data)
    except LogError:
        return
    assert canonical_json(value) == data


def arrays(data):
    """Arrays in the safetensors format."""
    try:
        found = decode_arrays(data)
    except LogError:
        return
    assert sum(array.nbytes for array in found.values()) <= len(data)
    try:
        again = decode_arrays(encode_arrays(found))
    except RunError as error:
        assert "cannot name an array" in str(error)  # nothing that Hansa writes
        return
    assert list(again) == list(found)
    for name, array in found.items():
        assert (again[name].dtype, again[name].shape) == (array.dtype, array.shape)
        assert again[name].tobytes() == array.tobytes()


TARGETS = {f.__name__: f for f in (zk, norm, share, certificate, messages, json, arrays)}


@functools.cache
def seeds(name):
    """What an honest party made, for a target."""
    if name == "zk":
        return [PROOF]
    if name in ("norm", "share"):
        run, _, contents, proof = dealt()
        head = proof[: dealing.head_bytes(run.parameters)]
        return [proof] if name == "norm" else [flag + head + contents[0] for flag in (b"\0", b"\xff")]
    if name == "certificate":
        return [flag + certified()[0].to_bytes() for flag in (b"\0", b"\xff")]
    if name == "messages":
        return [number.to_bytes(2, "little") + bytes(range(2, 250)) for number in range(len(FIELDS))]
    if name == "json":
        values = {"ü": [1, 1.5, -0.0, 1e22, True, None], "a": float("nan"), "b": -(2**70), "c": "nan"}
        return [canonical_json(values), canonical_json([[{}], []])]
    kept = {"b": np.arange(6, dtype=np.float32).reshape(2, 3), "a": np.zeros((0, 2), bool), "c": np.int64(3)}
    return [encode_arrays(kept)]

"""Sharing a key among the holders; with a proof of the seal, so that each holder can check its share.

Without a proof a holder is dealt its share of the key. With one it is dealt a share of the key and of a
mask, and a salt; the proof has the salted hashes of what was dealt, and a polynomial that blends all
coordinates, of which each holder checks the value at its own place (`hansa.secure_sum.sealed.norm`).
"""

from __future__ import annotations

import os
from dataclasses import dataclass

import numpy as np

from hansa.crypto import field, shamir
from hansa.crypto.encoding import encoded
from hansa.crypto.field import Field
from hansa.crypto.ring import N
from hansa.crypto.sampling import secret_elements
from hansa.secure_sum.roster import Member, Place
from hansa.secure_sum.sealed.messages import Entry, seal_hash
from hansa.secure_sum.sealed.norm import LEAF, NormStatement, NormWitness, challenges, leaf
from hansa.secure_sum.sealed.parameters import Parameters
from hansa.secure_sum.sealed.seal import Integers, Key, public_element
from hansa.zk.combination import begin, commitment_said
from hansa.zk.proof import ProofRejected
from hansa.zk.prover import prove
from hansa.zk.statement import Layout
from hansa.zk.transcript import Transcript
from hansa.zk.verifier import verify

ROOT = 32


@dataclass(frozen=True)
class Dealing:
    """What a client deals. It does not print.

    Attributes:
        contents: What is in the envelope of each holder, in order of holders.
        proof: That all of it fits the seal; empty where nothing is proven.
    """

    contents: tuple[bytes, ...]
    proof: bytes

    def __repr__(self) -> str:
        return f"Dealing(for {len(self.contents)} holders)"


def deal(  # noqa: PLR0917
    parameters: Parameters, place: Place, member: Member, vector: Integers, seal: Field, key: Key
) -> Dealing:
    """Share the key of a seal, and prove what the run wants proven."""
    points, threshold = place.points(place.holders), parameters.threshold
    if parameters.proof is None:
        shares = shamir.share(key.elements(), points, threshold)
        return Dealing(tuple(share.astype("<u8").tobytes() for share in shares), b"")
    secret = np.concatenate([key.elements(), secret_elements(2)])
    upper = secret_elements((threshold - 1) * len(secret))
    shares = shamir.share(secret, points, threshold, lambda count: upper[:count])
    rows = np.concatenate([secret[None], upper.reshape(threshold - 1, -1)])
    texts = [share.astype("<u8").tobytes() for share in shares]
    salts = [os.urandom(32) for _ in texts]
    witness = NormWitness(
        parameters.proof,
        vector=vector,
        key=key.values,
        errors=key.errors.reshape(-1),
        mask=secret[N:],
        leaves=b"".join(leaf(salt, text) for salt, text in zip(salts, texts, strict=True)),
        blended=lambda powers: _blended(rows, powers),
    )
    proof = prove(_statement(parameters, place, seal_hash(seal), seal), witness, _said(place, member))
    return Dealing(tuple(text + salt for text, salt in zip(texts, salts, strict=True)), proof)


def head_bytes(parameters: Parameters) -> int:
    """Return how much of a proof holders are given: two roots, hashes of shares, the polynomial."""
    if parameters.proof is None:
        return 0
    return 2 * ROOT + LEAF * parameters.holders + 16 * parameters.threshold


def why_rejected(parameters: Parameters, place: Place, member: Member, seal: Field, proof: bytes) -> str:
    """Return why a proof does not show what the run wants shown of a seal; empty if it does."""
    if parameters.proof is None:
        return "a proof came, and this run has none" if proof else ""
    try:
        verify(_statement(parameters, place, seal_hash(seal), seal), proof, _said(place, member))
    except ProofRejected as error:
        return f"its proof was rejected: {error}"
    return ""


def why_unusable(
    parameters: Parameters, place: Place, dealer: Member, entry: Entry, number: int, content: bytes
) -> str:
    """Return why what a holder was dealt does not fit the proof; empty if it does.

    Args:
        parameters: Of the run.
        place: Of the seal.
        dealer: Who dealt.
        entry: What the dealer signed.
        number: Of the holder, from 0.
        content: What is in its envelope.
    """
    if parameters.proof is None:
        return ""
    size = 8 * (N + 2)
    head, text, salt = entry.head, content[:size], content[size:]
    if len(head) != head_bytes(parameters):
        return "the beginning of the proof has another length"
    root, leaves = head[:ROOT], head[ROOT : ROOT + LEAF * parameters.holders]
    polynomial = np.frombuffer(head[2 * ROOT + len(leaves) :], "<u8").astype(np.uint64).reshape(-1, 2)
    if leaf(salt, text) != leaves[LEAF * number : LEAF * (number + 1)]:
        return "a share is not the one that the proof is about"
    layout, said = Layout(_statement(parameters, place, entry.seal)), _said(place, dealer)
    begin(layout, said)
    _, powers = challenges(commitment_said(layout, said, 0, root, leaves))
    share = np.frombuffer(text, "<u8").astype(np.uint64)
    if not (field.is_canonical(polynomial) and field.is_canonical(share)):
        return "a share or the polynomial is not made of field elements"
    value = polynomial[-1]
    for row in polynomial[-2::-1]:
        value = field.add(field.mul(value, np.uint64(number + 1)), row)
    if _blended(share[None], powers)[0].tolist() != value.tolist():
        return "a share is not one of the key in the seal"
    return ""


def _blended(rows: Field, powers: Field) -> Field:
    """Return mask + Σ_k γ^(k+1) s_k of rows of key and mask, shape ``(n, 4098)``: shape ``(n, 2)``."""
    keys = np.ascontiguousarray(rows[:, :N])
    parts = [field.inner(np.ascontiguousarray(powers[:, k]), keys) for k in range(2)]
    return field.add(np.stack(parts, axis=-1), rows[:, N:])


def _statement(
    parameters: Parameters, place: Place, hashed: bytes, seal: Field | None = None
) -> NormStatement:
    assert parameters.proof is not None
    return NormStatement(
        parameters.proof,
        seal=seal,
        seal_hash=hashed,
        public=lambda k: public_element(k, "sealed sum", *place.parts),
        place=encoded("sealed sum", *place.parts),
        scale=parameters.scale,
        threshold=parameters.threshold,
        holders=parameters.holders,
    )


def _said(place: Place, member: Member) -> Transcript:
    said = Transcript("hansa.sealed.norm")
    said.absorb("place", encoded("place", *place.parts))
    said.absorb("sender", encoded("member", member.name, member.exchange, member.signing))
    return said

"""Sharing a key among the holders; with a proof of the seal, so that each holder can check its share.

Without a proof a holder is dealt its share of the key. With one it is dealt a share of the key and of a
mask, and a salt; the proof has the salted hashes of what was dealt, and a polynomial that blends all
coordinates, of which each holder checks the value at its own place (`hansa.secure_sum.sealed.norm`).
"""

from __future__ import annotations

import functools
import os
from dataclasses import dataclass

import numpy as np

from hansa.crypto import field, shamir
from hansa.crypto.encoding import encoded
from hansa.crypto.field import Field
from hansa.crypto.ring import N
from hansa.crypto.sampling import secret_elements
from hansa.secure_sum.messages import REJECTED
from hansa.secure_sum.roster import Member, Place
from hansa.secure_sum.sealed.bounds import Bounds
from hansa.secure_sum.sealed.messages import Entry, seal_hash
from hansa.secure_sum.sealed.norm import LEAF, NormStatement, challenges
from hansa.secure_sum.sealed.parameters import Parameters
from hansa.secure_sum.sealed.seal import Integers, Key, public_element
from hansa.secure_sum.sealed.witness import NormWitness, leaf
from hansa.zk.combination import begin, commitment_said
from hansa.zk.proof import ProofRejected, size_bounds
from hansa.zk.prover import prove
from hansa.zk.statement import Layout
from hansa.zk.transcript import Transcript
from hansa.zk.verifier import verify

ROOT = SALT = 32


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


@dataclass(frozen=True)
class Dealer:
    """Deals, proves and checks at one place.

    Attributes:
        parameters: Of the run.
        place: Of the seals.
    """

    parameters: Parameters
    place: Place

    def deal(self, member: Member, vector: Integers, seal: Field, key: Key) -> Dealing:
        """Share the key of a member's seal, and prove what the run wants proven."""
        place, parameters, proof = self.place, self.parameters, self.parameters.proof
        points, threshold = place.points(place.holders), parameters.threshold
        if proof is None:
            shares = shamir.share(key.elements(), points, threshold)
            return Dealing(tuple(share.astype("<u8").tobytes() for share in shares), b"")
        secret = np.concatenate([key.elements(), secret_elements(2)])
        upper = secret_elements((threshold - 1) * len(secret))
        shares = shamir.share(secret, points, threshold, lambda count: upper[:count])
        rows = np.concatenate([secret[None], upper.reshape(threshold - 1, len(secret))])
        texts = [share.astype("<u8").tobytes() for share in shares]
        salts = [os.urandom(SALT) for _ in texts]
        witness = NormWitness(
            proof,
            vector=vector,
            key=key.values,
            errors=key.errors.reshape(-1),
            mask=secret[N:],
            leaves=b"".join(leaf(salt, text) for salt, text in zip(salts, texts, strict=True)),
            blended=lambda powers: _blended(rows, powers),
        )
        shown = prove(self._statement(proof, seal_hash(seal), seal, member), witness, self._said(member))
        return Dealing(tuple(text + salt for text, salt in zip(texts, salts, strict=True)), shown)

    @functools.cached_property
    def most_bytes(self) -> int:
        """Length that no proof of this place is above."""
        bounds = self.parameters.proof
        return 0 if bounds is None else size_bounds(Layout(self._statement(bounds, b"")))[1]

    def why_rejected(self, member: Member, seal: Field, proof: bytes) -> str:
        """Return why a proof does not show what the run wants shown of a member's seal; empty if it does."""
        bounds = self.parameters.proof
        if bounds is None:
            return "a proof came, and this run has none" if proof else ""
        try:
            verify(self._statement(bounds, seal_hash(seal), seal, member), proof, self._said(member))
        except ProofRejected as error:
            return f"{REJECTED}: {error}"
        return ""

    def why_unusable(self, member: Member, entry: Entry, number: int, content: bytes) -> str:
        """Return why what a holder was dealt does not fit the proof; empty if it does.

        Args:
            member: Who dealt.
            entry: What it signed.
            number: Of the holder, from 0.
            content: What is in the holder's envelope.
        """
        bounds, parameters, size = self.parameters.proof, self.parameters, 8 * (N + 2)
        if bounds is None:
            return ""
        head, text, salt = entry.head, content[:size], content[size:]
        if len(head) != head_bytes(parameters):
            return "the beginning of the proof has another length"
        root, leaves = head[:ROOT], head[ROOT : ROOT + LEAF * parameters.holders]
        polynomial = np.frombuffer(head[2 * ROOT + len(leaves) :], "<u8").astype(np.uint64).reshape(-1, 2)
        if leaf(salt, text) != leaves[LEAF * number : LEAF * (number + 1)]:
            return "a share is not the one that the proof is about"
        share = np.frombuffer(text, "<u8").astype(np.uint64)
        if not (field.is_canonical(polynomial) and field.is_canonical(share)):
            return "a share or the polynomial is not made of field elements"
        layout, said = Layout(self._statement(bounds, entry.seal, None, member)), self._said(member)
        begin(layout, said)
        _, powers = challenges(commitment_said(layout, said, 0, root, leaves))
        value = polynomial[-1]
        for row in polynomial[-2::-1]:
            value = field.add(field.mul(value, np.array(number + 1, np.uint64)), row)
        if _blended(share[None], powers)[0].tolist() != value.tolist():
            return "a share is not one of the key in the seal"
        return ""

    def _statement(
        self, bounds: Bounds, hashed: bytes, seal: Field | None = None, member: Member | None = None
    ) -> NormStatement:
        place, parameters = ("sealed sum", *self.place.parts), self.parameters
        known = None if member is None or bounds.max_weight is None else member.rows
        return NormStatement(
            bounds,
            seal=seal,
            seal_hash=hashed,
            public=lambda k: public_element(k, *place),
            place=encoded(*place),
            scale=parameters.scale,
            threshold=parameters.threshold,
            holders=parameters.holders,
            weight=None if known is None else min(known, bounds.max_weight or 0),  # as `Encoder.encode` does
        )

    def _said(self, member: Member) -> Transcript:
        said = Transcript("hansa.sealed.norm")
        said.absorb("place", encoded("place", *self.place.parts))
        said.absorb("sender", encoded("member", member.name, member.exchange, member.signing))
        return said


def head_bytes(parameters: Parameters) -> int:
    """Return how much of a proof holders are given: two roots, hashes of shares, the polynomial."""
    if parameters.proof is None:
        return 0
    return 2 * ROOT + LEAF * parameters.holders + 16 * parameters.threshold


def _blended(rows: Field, powers: Field) -> Field:
    """Return mask + Σ_k γ^(k+1) s_k of rows of key and mask, shape ``(n, 4098)``: shape ``(n, 2)``."""
    keys = np.ascontiguousarray(rows[:, :N])
    parts = [field.inner(np.ascontiguousarray(powers[:, k]), keys) for k in range(2)]
    return field.add(np.stack(parts, axis=-1), rows[:, N:])

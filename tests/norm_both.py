"""Seals and proofs of norms for tests, from chosen random bytes: by the fast code and by the reference."""

from __future__ import annotations

import functools
from types import SimpleNamespace

import numpy as np
import pytest

import norm_reference as reference
import zk_reference
from hansa.crypto import sampling
from hansa.secure_sum.roster import Member, Place
from hansa.secure_sum.sealed import dealing
from hansa.secure_sum.sealed.bounds import Bounds
from hansa.secure_sum.sealed.dealing import Dealer
from hansa.secure_sum.sealed.parameters import choose
from hansa.secure_sum.sealed.seal import seal
from hansa.zk import prover
from hansa.zk.parameters import Parameters
from hansa.zk.proof import ProofRejected

PLACE = Place(
    configuration=b"c" * 32,
    roster=b"r" * 32,
    payload=b"m" * 32,
    round=3,
    attempt=1,
    cohort=("c0", "c1", "c2", "c3"),
)
MEMBER = Member(name="c0", exchange=b"e" * 32, signing=b"s" * 32)


class Both:
    """One run, for the fast code and for the reference: with rows of so many cells, or with its real ones."""

    def __init__(self, norm, max_weight, *, noise=None, row=8, columns=3):
        bounds = functools.partial(Bounds, norm=norm, max_weight=max_weight, dimension=6, noise=noise)
        bound = norm * (max_weight or 1) + (noise or 0)
        self.parameters = choose(dimension=6, members=4, bound=bound, proof=lambda e: bounds(elements=e))
        if row is not None:
            vars(self.parameters.proof)["sizes"] = Parameters(row=row, columns=columns, toy=True)
        self.dealer = Dealer(self.parameters, PLACE)
        self.slow = reference.Run(
            dimension=6,
            norm=norm,
            most_weight=max_weight,
            scale=self.parameters.scale,
            threshold=self.parameters.threshold,
            holders=4,
            place=PLACE.parts,
            row=row,
            columns=columns,
            noise=noise,
        )

    def transcript(self, name="c0"):
        return self.slow.transcript(name, MEMBER.exchange, MEMBER.signing)

    def dealt(self, vector, random):
        """By the fast code."""
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(dealing, "os", SimpleNamespace(urandom=random))
            patch.setattr(
                dealing, "secret_elements", functools.partial(sampling.secret_elements, random=random)
            )
            patch.setattr(dealing, "prove", functools.partial(prover.prove, random=random, check=False))
            sealed, key = seal(np.array(vector), self.parameters, "sealed sum", *PLACE.parts, random=random)
            dealt = self.dealer.deal(MEMBER, np.array(vector), sealed, key)
        return sealed, list(dealt.contents), dealt.proof

    def dealt_slowly(self, vector, random):
        """By the reference."""
        sealed, key, errors = reference.seal_of(self.slow, vector, random)
        return sealed, *reference.deal(self.slow, vector, sealed, key, errors, self.transcript(), random)

    def check(self, sealed, proof, name="c0"):
        """The check by which the fast verifier rejects."""
        statement = self.dealer._statement(self.parameters.proof, dealing.seal_hash(sealed), sealed)
        member = Member(name=name, exchange=MEMBER.exchange, signing=MEMBER.signing)
        try:
            dealing.verify(statement, proof, self.dealer._said(member))
        except ProofRejected as error:
            return error.check
        return "accepted"

    def check_slowly(self, sealed, proof, name="c0"):
        """The same of the reference."""
        spec = reference.spec_of(self.slow, [row.tolist() for row in sealed])
        return zk_reference.verify(spec, proof, self.transcript(name))

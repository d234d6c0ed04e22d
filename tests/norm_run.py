"""Four parties and one attempt at a sealed sum with proofs, for tests of what is shown and what is forged."""

from __future__ import annotations

import dataclasses

import numpy as np

from hansa.crypto.envelope import ExchangeKey
from hansa.crypto.signature import SigningKey
from hansa.secure_sum.interface import Keys
from hansa.secure_sum.roster import Place, Roster
from hansa.secure_sum.sealed import norm as norm_module
from hansa.secure_sum.sealed import witness as witness_module
from hansa.secure_sum.sealed.bounds import Bounds
from hansa.secure_sum.sealed.coordinator import Coordinator
from hansa.secure_sum.sealed.dealing import Dealer
from hansa.secure_sum.sealed.parameters import choose
from hansa.secure_sum.sealed.party import Party
from hansa.secure_sum.sealed.projections import ROWS
from hansa.secure_sum.sealed.seal import seal

CONFIGURATION = b"c" * 32
NORM = 5000


def parameters_of(dimension=6, members=4, norm=NORM, max_weight=None, bound=NORM, noise=None):
    def proof(elements):
        return Bounds(norm=norm, max_weight=max_weight, dimension=dimension, elements=elements, noise=noise)

    most = bound * (max_weight or 1) + (noise or 0)
    return choose(dimension=dimension, members=members, bound=most, proof=proof)


class Run:
    """Four parties, and one attempt at a sum with proofs."""

    def __init__(self, **settings):
        self.parameters = parameters_of(**settings)
        self.keys = {f"c{i}": Keys(ExchangeKey.fresh(), SigningKey.fresh()) for i in range(4)}
        self.parties = {name: Party(name, keys, {}) for name, keys in self.keys.items()}
        self.roster = Roster(tuple(party.member for party in self.parties.values()))
        for party in self.parties.values():
            party.join(self.roster, CONFIGURATION, self.parameters)
        self.place = self.at(0)
        self.server = Coordinator(self.roster, self.parameters, self.place)

    def at(self, number):
        return Place(
            configuration=CONFIGURATION,
            roster=self.roster.hash,
            payload=b"m" * 32,
            round=number,
            attempt=0,
            cohort=tuple(self.keys),
        )

    @property
    def dealer(self):
        return Dealer(self.parameters, self.place)

    def shown(self, vector, name="c0"):
        """A seal of a vector, its key and what is dealt."""
        vector = np.asarray(vector, np.int64)
        sealed, key = seal(vector, self.parameters, "sealed sum", *self.place.parts)
        return sealed, key, self.dealer.deal(self.parties[name].member, vector, sealed, key)

    def why(self, sealed, proof, name="c0"):
        return self.dealer.why_rejected(self.parties[name].member, sealed, proof)


def summed(run, place, vectors):
    """All phases of a sum, with parties that do as they should."""
    server = Coordinator(run.roster, run.parameters, place)
    seals = {name: run.parties[name].seal(vectors[name], place) for name in vectors}
    delivery = server.deliver(seals)
    complaints = {name: run.parties[name].receive(delivery[name], place) for name in delivery}
    assert not any(told.reasons for told in complaints.values())
    survivors = server.survivors(complaints)
    locks = server.locks({name: run.parties[name].lock(survivors, place) for name in server.holders})
    return server.sum({name: run.parties[name].open(survivors, locks, place) for name in server.holders})


_IN_BLOCK = {
    "projections of the update": slice(0, ROWS),
    "projections of key and errors": slice(ROWS, 2 * ROWS),
    "check of shares": slice(2 * ROWS, None),
}
_BLOCKS = {"projections of the noise": norm_module._Noise, "bits of the weight": norm_module._WeightBits}


def without(monkeypatch, rule):
    """Take one rule out of the statement, for provers and verifiers alike: an attack on it works then."""
    statement = norm_module.NormStatement
    if rule == "booleans":
        began = statement.__init__

        def loose(self, *given, **named):
            began(self, *given, **named)
            self.segments = [dataclasses.replace(segment, boolean=False) for segment in self.segments]

        monkeypatch.setattr(statement, "__init__", loose)
        return
    if rule in _IN_BLOCK:
        whole_block = norm_module._Block.add_to

        def part(self, weights, coefficients):
            left = coefficients.copy()
            left[_IN_BLOCK[rule]] = 0
            return whole_block(self, weights, left)

        monkeypatch.setattr(norm_module._Block, "add_to", part)
        return
    whole = statement.constraints

    def fewer(self, seeds, messages):
        all_of_them = whole(self, seeds, messages)
        linear, sums = list(all_of_them.linear), list(all_of_them.sums)
        if rule in _BLOCKS:
            linear = [block for block in linear if not isinstance(block, _BLOCKS[rule])]
        else:
            sums.pop(["norm of the update", "norm of the noise"].index(rule))
        assert len(linear) + len(sums) == len(all_of_them.linear) + len(all_of_them.sums) - 1
        return dataclasses.replace(all_of_them, linear=linear, sums=sums)

    monkeypatch.setattr(statement, "constraints", fewer)


def false_cells(monkeypatch, change):
    """Let the prover change what it commits to: ``change(stage, cells)``."""
    real = witness_module.NormWitness.__call__

    def false(self, stage, seeds):
        given = real(self, stage, seeds)
        cells = {name: values.copy() for name, values in given.cells.items()}
        change(stage, cells)
        return dataclasses.replace(given, cells=cells)

    monkeypatch.setattr(witness_module.NormWitness, "__call__", false)


def rejected_by(why):
    """The name of the check in the verifier's answer."""
    return why.split("rejected by the check '")[1].split("'")[0] if why else ""

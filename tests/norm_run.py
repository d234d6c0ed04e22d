"""Four parties and one attempt at a sealed sum with proofs, for tests of what is shown and what is forged."""

from __future__ import annotations

import numpy as np

from hansa.crypto.envelope import ExchangeKey
from hansa.crypto.signature import SigningKey
from hansa.secure_sum.interface import Keys
from hansa.secure_sum.roster import Place, Roster
from hansa.secure_sum.sealed.bounds import Bounds
from hansa.secure_sum.sealed.coordinator import Coordinator
from hansa.secure_sum.sealed.dealing import Dealer
from hansa.secure_sum.sealed.parameters import choose
from hansa.secure_sum.sealed.party import Party
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

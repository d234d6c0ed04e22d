"""Parties of one masked sum, driven without an engine: for the tests of the protocol and of attacks."""

from __future__ import annotations

import numpy as np

from hansa.crypto.envelope import ExchangeKey
from hansa.crypto.signature import SigningKey
from hansa.secure_sum.interface import Keys
from hansa.secure_sum.masking.coordinator import Coordinator
from hansa.secure_sum.masking.parameters import choose
from hansa.secure_sum.masking.party import Party
from hansa.secure_sum.roster import Place, Roster

CONFIGURATION = b"c" * 32
PHASES = ("advertise", "share", "train", "lock", "unmask")


class MaskedRun:
    """Parties of one run, and one attempt at a sum."""

    def __init__(self, count, *, dimension=5, bound=1000, **settings):
        self.memories = [{} for _ in range(count)]
        self.keys = [Keys(ExchangeKey.fresh(), SigningKey.fresh()) for _ in range(count)]
        self.parties = {f"c{i}": self.party(i) for i in range(count)}
        self.roster = Roster(tuple(p.member for p in self.parties.values()))
        self.parameters = choose(dimension=dimension, members=count, bound=bound, **settings)
        for party in self.parties.values():
            party.join(self.roster, CONFIGURATION, self.parameters)
        rng = np.random.default_rng(count)
        self.names = tuple(self.parties)
        self.vectors = {name: rng.integers(-bound, bound + 1, size=dimension) for name in self.names}
        self.place = self.at(0, 0)
        self.server = Coordinator(self.roster, self.parameters, self.place)

    def party(self, i):
        return Party(f"c{i}", self.keys[i], self.memories[i])

    def restarted(self, name):
        party = self.party(int(name[1:]))
        party.join(self.roster, CONFIGURATION, self.parameters)
        self.parties[name] = party
        return party

    def at(self, round_, attempt, payload=b"m" * 32, purpose="train"):
        return Place(
            configuration=CONFIGURATION,
            roster=self.roster.hash,
            payload=payload,
            round=round_,
            attempt=attempt,
            cohort=self.names,
            purpose=purpose,
        )

    def sign(self, name, label, *parts, place=None):
        key = self.keys[int(name[1:])].signing
        return key.sign(f"masking.{label}", *(place or self.place).parts, name, *parts)

    # each returns what came of a phase; `gone` dropped out before it

    def advertised(self, gone=()):
        return {n: self.parties[n].advertise(self.place) for n in self.names if n not in gone}

    def shared(self, adverts, gone=()):
        return {n: self.parties[n].share(adverts, self.place) for n in self.server.left if n not in gone}

    def masked(self, deals, gone=()):
        return {
            n: self.parties[n].mask(self.vectors[n], deals[n], self.place) for n in deals if n not in gone
        }

    def locked(self, survivors, gone=()):
        return {n: self.parties[n].lock(survivors, self.place) for n in self.server.left if n not in gone}

    def unmasked(self, locks, gone=()):
        return {n: self.parties[n].unmask(locks, self.place) for n in self.server.left if n not in gone}

    # all phases up to one, nobody dropping out

    def to_adverts(self):
        return self.server.adverts(self.advertised())

    def to_deals(self):
        return self.server.deals(self.shared(self.to_adverts()))

    def to_survivors(self, gone=()):
        return self.server.survivors(self.masked(self.to_deals(), gone))

    def to_locks(self, gone=()):
        return self.server.locks(self.locked(self.to_survivors(gone)))

    def sum_of(self, names):
        return sum(self.vectors[n] for n in names)


def attempt(run, gone):
    """Run all phases, with those gone who drop out at or before each."""
    left, server = [set(), set(), set(), set(), set()], run.server
    for number, phase in enumerate(PHASES):
        for later in left[number:]:
            later.update(gone.get(phase, ()))
    adverts = server.adverts(run.advertised(left[0]))
    deals = server.deals(run.shared(adverts, left[1]))
    survivors = server.survivors(run.masked(deals, left[2]))
    locks = server.locks(run.locked(survivors, left[3]))
    return server.sum(run.unmasked(locks, left[4]))


def expected(run, gone):
    """Whose vectors are in the sum."""
    early = {name for phase in PHASES[:3] for name in gone.get(phase, ())}
    return tuple(name for name in run.names if name not in early)

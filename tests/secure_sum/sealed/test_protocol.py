"""The phases of a sealed sum: dropouts anywhere, and a server or clients that cheat."""

from __future__ import annotations

import dataclasses
import itertools

import numpy as np
import pytest

from hansa.crypto import field
from hansa.crypto.arithmetic import P
from hansa.crypto.envelope import ExchangeKey
from hansa.crypto.ring import N
from hansa.crypto.signature import SigningKey
from hansa.errors import ConfigurationError, RoundError
from hansa.secure_sum.interface import Keys, Refused
from hansa.secure_sum.roster import Member, Place, Roster
from hansa.secure_sum.sealed.coordinator import Coordinator
from hansa.secure_sum.sealed.messages import (
    Complaints,
    Lock,
    Locks,
    Opening,
    Survivors,
    share_hash,
    survivors_hash,
)
from hansa.secure_sum.sealed.parameters import choose
from hansa.secure_sum.sealed.party import Party

CONFIGURATION = b"c" * 32


class Run:
    """Parties of one run, and one attempt at a sum."""

    def __init__(self, count, *, dimension=5, bound=1000, members=None, round_=0, attempt=0):
        self.memories = [{} for _ in range(count)]
        self.keys = [(ExchangeKey.fresh(), SigningKey.fresh()) for _ in range(count)]
        self.parties = {f"c{i}": self.party(i) for i in range(count)}
        self.roster = Roster(tuple(p.member for p in self.parties.values()))
        self.parameters = choose(dimension=dimension, members=members or count, bound=bound)
        for party in self.parties.values():
            party.join(self.roster, CONFIGURATION, self.parameters)
        rng = np.random.default_rng(count)
        names = tuple(self.parties)[: members or count]
        self.vectors = {name: rng.integers(-bound, bound + 1, size=dimension) for name in names}
        self.place = self.at(round_, attempt, names)
        self.server = Coordinator(self.roster, self.parameters, self.place)

    def party(self, i):
        exchange, signing = self.keys[i]
        return Party(f"c{i}", Keys(exchange, signing), self.memories[i])

    def restarted(self, name):
        party = self.party(int(name[1:]))
        party.join(self.roster, CONFIGURATION, self.parameters)
        self.parties[name] = party
        return party

    def at(self, round_, attempt, names=None):
        return Place(
            configuration=CONFIGURATION,
            roster=self.roster.hash,
            payload=b"m" * 32,
            round=round_,
            attempt=attempt,
            cohort=names or self.place.cohort,
        )

    def seals(self, names=None):
        names = self.place.cohort if names is None else names
        return {n: self.parties[n].seal(self.vectors[n], self.place) for n in names}

    def delivered(self, deliveries, names=None):
        names = deliveries if names is None else names
        return {n: self.parties[n].receive(deliveries[n], self.place) for n in deliveries if n in names}

    def to_locks(self):
        """All phases up to the locks."""
        deliveries = self.server.deliver(self.seals())
        survivors = self.server.survivors(self.delivered(deliveries))
        locks = {n: self.parties[n].lock(survivors, self.place) for n in self.server.holders}
        return survivors, locks

    def sum_of(self, names):
        return sum(self.vectors[n] for n in names)


def attempt(run, *, seal=(), deliver=(), lock=(), open_=()):
    """Run the phases, with those gone who drop out at or before each."""
    gone = set(seal)
    server = run.server
    deliveries = server.deliver(run.seals([n for n in run.place.cohort if n not in gone]))
    gone |= set(deliver)
    survivors = server.survivors(run.delivered(deliveries, set(run.place.cohort) - gone))
    gone |= set(lock)
    locked = {n: run.parties[n].lock(survivors, run.place) for n in server.holders if n not in gone}
    locks = server.locks(locked)
    gone |= set(open_)
    opened = {n: run.parties[n].open(survivors, locks, run.place) for n in server.holders if n not in gone}
    return server.sum(opened)


PHASES = ("seal", "deliver", "lock", "open_")


@pytest.mark.parametrize("phase", PHASES)
def test_every_dropout_pattern_of_five_at_every_phase(phase):
    for size in range(6):
        for gone in itertools.combinations([f"c{i}" for i in range(5)], size):
            run = Run(5)
            if size <= 1:  # k = 5, t = 4: one may drop
                result = attempt(run, **{phase: gone})
                survivors = tuple(n for n in run.place.cohort if phase != "seal" or n not in gone)
                assert result.survivors == survivors
                assert (result.total == run.sum_of(survivors)).all()
                assert result.wrong == ()
            else:
                with pytest.raises(RoundError, match=r"Nothing was (opened|learned)"):
                    attempt(run, **{phase: gone})


def test_two_of_five_that_drop_out_at_unlike_phases_open_nothing():
    for pair in itertools.combinations([f"c{i}" for i in range(5)], 2):
        for at in itertools.permutations(PHASES, 2):
            run = Run(5)
            with pytest.raises(RoundError, match=r"Nothing was (opened|learned)"):
                attempt(run, **{phase: [name] for phase, name in zip(at, pair, strict=True)})


SLOW = [pytest.param(count, marks=pytest.mark.slow) for count in (100, 140)]  # 140 have a committee


@pytest.mark.parametrize("count", [4, 20, *SLOW])
def test_sampled_dropouts_over_all_phases(count):
    rng = np.random.default_rng(count)
    for trial in range(6 if count < 100 else 2 if count < 129 else 1):
        run = Run(count)
        most = min(count - run.parameters.survivors, run.parameters.holders - run.parameters.threshold)
        gone = rng.choice(count, size=most + (trial % 2), replace=False)
        pattern = {phase: [] for phase in PHASES}
        for i in gone:
            pattern[PHASES[rng.integers(4)]].append(f"c{i}")
        if trial % 2:
            with pytest.raises(RoundError, match=r"needed|at least"):
                attempt(run, **pattern)
            continue
        result = attempt(run, **pattern)
        expected = tuple(n for n in run.place.cohort if n not in pattern["seal"])
        assert result.survivors == expected
        assert (result.total == run.sum_of(expected)).all()


def test_a_cohort_of_the_roster_in_several_rounds():
    run = Run(6, members=4)
    assert run.place.cohort == ("c0", "c1", "c2", "c3")
    for number in (0, 1):
        run.place = run.at(number, 0)
        run.server = Coordinator(run.roster, run.parameters, run.place)
        assert (attempt(run).total == run.sum_of(run.place.cohort)).all()


# ---------------------------------------------------------------------- false seals and shares


def test_a_seal_that_is_not_what_was_signed_is_dropped_and_named():
    run = Run(5)
    seals = run.seals()
    changed = seals["c1"].seal.copy()
    changed[0, 0] ^= np.uint64(1)
    seals["c1"] = dataclasses.replace(seals["c1"], seal=changed)
    run.server.deliver(seals)
    assert run.server.dropped == {"c1": "the seal is not signed by its sender for this round and attempt"}


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"seal": np.zeros((2, N), np.uint64)}, "ring elements"),
        ({"seal": np.full((1, N), P, np.uint64)}, "ring elements"),
        ({"seal": np.zeros((1, N))}, "ring elements"),
        ({"envelopes": ()}, "envelopes came"),
        ({"sender": "c2"}, "says that it is from 'c2'"),
        ({"signature": bytes(64)}, "not signed"),
        ({"signature": b""}, "not signed"),
    ],
)
def test_malformed_seals_are_dropped(change, reason):
    run = Run(5)
    seals = run.seals()
    seals["c1"] = dataclasses.replace(seals["c1"], **change)
    run.server.deliver(seals)
    assert reason in run.server.dropped["c1"]


@pytest.mark.parametrize("where", ["round", "attempt", "other"])
def test_a_seal_of_another_round_attempt_or_member_is_dropped(where):
    run = Run(5)
    seals = run.seals()
    if where == "other":
        seals["c1"] = seals["c2"]
    else:
        place = run.at(int(where == "round"), int(where == "attempt"))
        seals["c1"] = run.parties["c1"].seal(run.vectors["c2"], place)
    run.server.deliver(seals)
    assert "c1" in run.server.dropped


def spoil(run, dealer, holders):
    """A dealer that seals properly and sends some holders envelopes with nothing in them."""
    party = run.parties[dealer]
    sealed = party.seal(run.vectors[dealer], run.place)
    envelopes = list(sealed.envelopes)
    for holder in holders:
        envelopes[run.place.holders.index(holder)] = bytes(len(envelopes[0]))
    spoiled = dataclasses.replace(sealed, envelopes=tuple(envelopes))
    entry = spoiled.entry
    key = run.keys[int(dealer[1:])][1]
    signature = key.sign("seal", *run.place.parts, dealer, *entry.signed)
    return dataclasses.replace(spoiled, signature=signature)


def test_a_dealer_of_bad_shares_leaves_the_sum():
    run = Run(7)  # t = 5, c_max = 2
    seals = run.seals([n for n in run.place.cohort if n != "c0"])
    seals["c0"] = spoil(run, "c0", ["c1", "c2", "c3"])
    complaints = run.delivered(run.server.deliver(seals))
    assert sorted(n for n, told in complaints.items() if told.reasons) == ["c1", "c2", "c3"]
    survivors = run.server.survivors(complaints)
    assert "c0" not in survivors.names
    assert run.server.dropped["c0"] == "3 holders cannot use its shares"
    assert run.server.holders == run.place.holders


def test_few_who_complain_hold_no_shares_any_more_and_nobody_is_blamed():
    run = Run(7)
    complaints = run.delivered(run.server.deliver(run.seals()))
    complaints["c1"] = Complaints({"c0": "I say so"})
    survivors = run.server.survivors(complaints)
    assert survivors.names == run.place.cohort
    assert run.server.holders == tuple(n for n in run.place.holders if n != "c1")
    assert run.server.dropped == {}


def test_wrong_openings_are_corrected_and_named():
    run = Run(10)  # t = 7: one wrong among ten can be located
    survivors, locks = run.to_locks()
    shown = run.server.locks(locks)
    openings = {n: run.parties[n].open(survivors, shown, run.place) for n in run.server.holders}
    share = openings["c3"].share.copy()
    share[5] = (int(share[5]) + 1) % P
    hashed = survivors_hash(tuple(run.server._seals[n].entry for n in survivors.names))
    signature = run.keys[3][1].sign("open", *run.place.parts, "c3", hashed, share_hash(share))
    result = run.server.sum({**openings, "c3": Opening(share=share, signature=signature)})
    assert result.wrong == ("c3",)
    assert (result.total == run.sum_of(run.place.cohort)).all()
    # One that was changed on its way does not count at all.
    again = run.server.sum({**openings, "c3": Opening(share=share, signature=openings["c3"].signature)})
    assert again.wrong == ()
    assert (again.total == result.total).all()


def test_wrong_openings_that_cannot_be_located_make_the_sum_void():
    run = Run(4)  # t = 3
    survivors, locks = run.to_locks()
    shown = run.server.locks(locks)
    openings = {n: run.parties[n].open(survivors, shown, run.place) for n in ("c0", "c1", "c2")}
    share = field.add(openings["c0"].share, np.ones(N, np.uint64))
    hashed = survivors_hash(tuple(run.server._seals[n].entry for n in survivors.names))
    signature = run.keys[0][1].sign("open", *run.place.parts, "c0", hashed, share_hash(share))
    with pytest.raises(RoundError, match="the sum is void"):
        run.server.sum({**openings, "c0": Opening(share=share, signature=signature)})


# ---------------------------------------------------------------------- a server that cheats


def test_two_sets_of_survivors_are_never_locked():
    run = Run(5)
    survivors = run.server.survivors(run.delivered(run.server.deliver(run.seals())))
    fewer = Survivors(survivors.names[:-1])
    party = run.parties["c0"]
    first = party.lock(survivors, run.place)
    assert party.lock(survivors, run.place) == first
    with pytest.raises(Refused, match="already locked"):
        party.lock(fewer, run.place)
    with pytest.raises(Refused, match="not locked by this holder"):
        party.open(fewer, Locks({}), run.place)


def test_a_restart_does_not_forget_what_was_locked_or_sealed():
    run = Run(5)
    deliveries = run.server.deliver(run.seals())
    survivors = run.server.survivors(run.delivered(deliveries))
    run.parties["c0"].lock(survivors, run.place)
    party = run.restarted("c0")
    with pytest.raises(Refused, match="already sealed"):
        party.seal(run.vectors["c0"], run.place)
    with pytest.raises(Refused, match="no shares were delivered"):
        party.lock(survivors, run.place)
    assert party.receive(deliveries["c0"], run.place).reasons == {}
    with pytest.raises(Refused, match="already locked"):
        party.lock(Survivors(survivors.names[:-1]), run.place)
    party.lock(survivors, run.place)


def test_a_vector_is_sealed_once_whatever_the_attempt():
    run = Run(4)
    party = run.parties["c0"]
    party.seal(run.vectors["c0"], run.place)
    with pytest.raises(Refused, match="already sealed"):
        party.seal(run.vectors["c0"], run.at(0, 1))
    party.seal(run.vectors["c1"], run.at(0, 2))


def test_opening_needs_enough_locks_on_the_same_survivors():
    run = Run(5)  # t = 4
    survivors, locks = run.to_locks()
    party = run.parties["c0"]
    signatures = {n: lock.signature for n, lock in locks.items()}
    few = dict(list(signatures.items())[:3])
    for shown in (
        few,
        {**few, "c9": signatures["c4"]},
        {**few, "c3": signatures["c4"]},
        {**few, "c3": bytes(64)},
        dict.fromkeys(signatures, signatures["c0"]),
        {},
    ):
        with pytest.raises(Refused, match="locked these survivors"):
            party.open(survivors, Locks(shown), run.place)
    other = run.keys[3][1].sign("lock", *run.at(0, 1).parts, "c3", b"x")
    with pytest.raises(Refused, match="locked these survivors"):
        party.open(survivors, Locks({**few, "c3": other}), run.place)
    party.open(survivors, Locks(signatures), run.place)


def test_too_few_survivors_are_refused_by_the_client_itself():
    run = Run(5)
    run.delivered(run.server.deliver(run.seals()))
    with pytest.raises(Refused, match="fewer than 4"):
        run.parties["c0"].lock(Survivors(("c0", "c1", "c2")), run.place)


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (("c0", "c1", "c2", "c2"), "each once"),
        (("c0", "c1", "c2", "c9"), "each once"),
        (("c1", "c0", "c2", "c3"), "order of the cohort"),
    ],
)
def test_survivors_that_are_none(names, message):
    run = Run(5)
    run.delivered(run.server.deliver(run.seals()))
    with pytest.raises(Refused, match=message):
        run.parties["c0"].lock(Survivors(names), run.place)


def test_a_dealer_whose_share_is_missing_is_not_locked():
    run = Run(7)
    seals = run.seals([n for n in run.place.cohort if n != "c0"])
    seals["c0"] = spoil(run, "c0", ["c1"])
    run.delivered(run.server.deliver(seals))
    with pytest.raises(Refused, match="no usable share"):
        run.parties["c1"].lock(Survivors(run.place.cohort), run.place)


class TestDeliveries:
    """What a holder is given must be what was signed, for this place, of each member once."""

    def setup_method(self):
        self.run = Run(5)
        self.deliver = self.run.server.deliver(self.run.seals())["c0"]

    def refused(self, message, place=None, **change):
        with pytest.raises(Refused, match=message):
            self.run.parties["c0"].receive(
                dataclasses.replace(self.deliver, **change), place or self.run.place
            )

    def test_twice(self):
        entries = (*self.deliver.entries[:-1], self.deliver.entries[0])
        self.refused("twice", entries=entries)

    def test_foreign(self):
        entry = dataclasses.replace(self.deliver.entries[1], sender="c9")
        self.refused("not in the cohort", entries=(self.deliver.entries[0], entry))

    def test_another_name_on_a_seal(self):
        entries = self.deliver.entries
        swapped = dataclasses.replace(entries[1], sender="c4"), *entries[2:4]
        self.refused("not signed by it", entries=(entries[0], *swapped))

    @pytest.mark.parametrize("part", ["seal", "signature"])
    def test_every_part_is_signed(self, part):
        entries = list(self.deliver.entries)
        value = bytearray(getattr(entries[2], part))
        value[3] ^= 1
        entries[2] = dataclasses.replace(entries[2], **{part: bytes(value)})
        self.refused("not signed by it", entries=tuple(entries))

    def test_envelopes_of_others(self):
        envelopes = self.deliver.envelopes
        self.refused("not the one that it signed", envelopes=(envelopes[1], *envelopes[1:]))
        self.refused("5 seals came with 4", envelopes=envelopes[1:])

    def test_another_seal_of_its_own(self):
        other = self.run.parties["c0"].seal(self.run.vectors["c1"], self.run.at(7, 0))
        key = self.run.keys[0][1]
        entry = other.entry
        signature = key.sign("seal", *self.run.place.parts, "c0", *entry.signed)
        forged = dataclasses.replace(entry, signature=signature)
        self.refused("own is another one", entries=(forged, *self.deliver.entries[1:]))

    def test_other_rounds(self):
        self.refused("not signed by it", place=self.run.at(1, 0))

    def test_two_deliveries(self):
        self.run.parties["c0"].receive(self.deliver, self.run.place)
        fewer = {"entries": self.deliver.entries[:-1], "envelopes": self.deliver.envelopes[:-1]}
        self.refused("other seals were delivered", **fewer)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"configuration": b"x" * 32}, "configuration or roster"),
        ({"roster": b"x" * 32}, "configuration or roster"),
        ({"cohort": ("c0", "c1", "c1", "c2", "c3")}, "twice"),
        ({"cohort": ("c0", "c1", "c2", "c3", "c9")}, "not in the roster"),
        ({"cohort": ("c1", "c2", "c3", "c4")}, "not in the cohort"),
        ({"cohort": ("c0", "c1")}, "planned for 5"),
    ],
)
def test_places_that_are_not_of_the_run(change, message):
    run = Run(5)
    with pytest.raises(Refused, match=message):
        run.parties["c0"].seal(run.vectors["c0"], dataclasses.replace(run.place, **change))


def test_a_party_joins_one_run_and_only_as_itself():
    run = Run(4)
    party = run.restarted("c0")
    members = list(run.roster.members)
    swapped = [dataclasses.replace(members[0], signing=b"x" * 32), *members[1:]]
    with pytest.raises(Refused, match="not in the roster with its own keys"):
        party.join(Roster(tuple(swapped)), CONFIGURATION, run.parameters)
    other = [members[0], dataclasses.replace(members[1], exchange=b"y" * 32), *members[2:]]
    with pytest.raises(Refused, match="that is another run"):
        party.join(Roster(tuple(other)), CONFIGURATION, run.parameters)
    with pytest.raises(Refused, match="that is another run"):
        party.join(run.roster, b"d" * 32, run.parameters)
    lower = dataclasses.replace(run.parameters, threshold=2)
    with pytest.raises(Refused, match="that is another run"):
        party.join(run.roster, CONFIGURATION, lower)


def test_false_locks_do_not_count():
    run = Run(4)  # t = 3
    _, locks = run.to_locks()
    with pytest.raises(RoundError, match="2 holders locked"):
        run.server.locks({**locks, "c0": Lock(bytes(64)), "c1": locks["c2"]})


def test_committees_are_drawn_by_hash_and_differ_from_round_to_round():
    names = tuple(f"c{i}" for i in range(300))
    base = {
        "configuration": CONFIGURATION,
        "roster": b"r" * 32,
        "payload": b"m",
        "attempt": 0,
        "cohort": names,
    }
    first, second = Place(round=0, **base).holders, Place(round=1, **base).holders
    assert len(first) == len(second) == 128
    assert first != second
    assert list(first) == sorted(first, key=names.index)


@pytest.mark.parametrize(
    ("members", "message"),
    [
        ((), "needs members"),
        ((("a", b"1" * 32, b"2" * 32), ("a", b"3" * 32, b"4" * 32)), "share the 'a'"),
        ((("a", b"1" * 32, b"2" * 32), ("b", b"1" * 32, b"4" * 32)), "exchange key"),
        ((("a", b"1" * 32, b"2" * 32), ("b", b"3" * 32, b"2" * 32)), "signing key"),
        ((("a", b"1" * 31, b"2" * 32),), "32 bytes"),
    ],
)
def test_rosters_that_are_none(members, message):
    with pytest.raises(ConfigurationError, match=message):
        Roster(tuple(Member(name=n, exchange=e, signing=s) for n, e, s in members))

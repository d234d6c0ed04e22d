"""Attacks on a sealed sum, by the server that carries its messages and by clients that hold shares."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from hansa.crypto import envelope, field, ring, shamir
from hansa.crypto.arithmetic import P
from hansa.crypto.envelope import ExchangeKey
from hansa.crypto.ring import N
from hansa.crypto.signature import SigningKey, is_signed
from hansa.errors import ConfigurationError, VoidRoundError
from hansa.secure_sum.interface import Keys, Refused
from hansa.secure_sum.phases import said
from hansa.secure_sum.roster import Member, Place, Roster
from hansa.secure_sum.sealed.coordinator import Coordinator
from hansa.secure_sum.sealed.messages import (
    FIELDS,
    Complaints,
    Deliver,
    Entry,
    Lock,
    Locks,
    Opening,
    SealedVector,
    Survivors,
    envelopes_root,
    seal_hash,
    share_hash,
    survivors_hash,
)
from hansa.secure_sum.sealed.parameters import choose
from hansa.secure_sum.sealed.party import Party
from hansa.secure_sum.sealed.seal import NotAccepted, open_sum, public_element, seal
from hansa.types import Answer, Reply
from junk import JUNK, variants

CONFIGURATION = b"c" * 32
KEYS = [Keys(ExchangeKey.fresh(), SigningKey.fresh()) for _ in range(10)]


class Run:
    """Parties of a run, whose keys an attacker may use for those that are corrupt."""

    def __init__(self, count, *, dimension=5, bound=1000, members=None, may_be_few=False):
        names = [f"c{i}" for i in range(count)]
        self.memories = {name: {} for name in names}
        self.keys = dict(zip(names, KEYS, strict=False))
        self.roster = Roster(tuple(Party(n, self.keys[n], {}).member for n in names))
        self.parameters = choose(
            dimension=dimension, members=members or count, bound=bound, may_be_few=may_be_few
        )
        self.parties = {name: self.begun(name) for name in names}
        rng = np.random.default_rng(count)
        self.vectors = {name: rng.integers(-bound, bound + 1, size=dimension) for name in names}
        self.place = Place(
            configuration=CONFIGURATION,
            roster=self.roster.hash,
            payload=b"m" * 32,
            round=3,
            attempt=0,
            cohort=tuple(names[: members or count]),
        )
        self.server = Coordinator(self.roster, self.parameters, self.place)

    def begun(self, name, memory=None):
        party = Party(name, self.keys[name], self.memories[name] if memory is None else memory)
        party.join(self.roster, CONFIGURATION, self.parameters)
        return party

    def at(self, **change):
        return dataclasses.replace(self.place, **change)

    def seals(self):
        return {n: self.parties[n].seal(self.vectors[n], self.place) for n in self.place.cohort}

    def signed(self, name, sealed, envelopes, place=None):
        """What a corrupt client sends: any seal and envelopes, signed by it."""
        place = place or self.place
        root = envelopes_root(dataclasses.replace(EMPTY, envelopes=envelopes).entry.envelopes)
        signature = self.keys[name].signing.sign("seal", *place.parts, name, seal_hash(sealed), root)
        if name != "c0":  # the corrupt client's own half plays along; that of c0 is always honest
            self.memories[name][f"sealed {place.purpose} {place.round} {place.attempt}"] = seal_hash(sealed)
        return SealedVector(sender=name, seal=sealed, envelopes=envelopes, signature=signature)

    def dealt(self, name, rows, place=None):
        """Envelopes of a corrupt client, with any shares in them."""
        place = place or self.place
        return tuple(
            envelope.put(
                np.ascontiguousarray(row, "<u8").tobytes(),
                *(*place.parts, name, holder),
                sender=self.keys[name].exchange,
                receiver=self.keys[holder].exchange.public,
            )
            for holder, row in zip(place.holders, rows, strict=True)
        )

    def key_of(self, name, sealed):
        """The key of a seal, as all holders together see it."""
        points = self.place.points(self.place.holders)
        rows = [
            self.parties[holder]._share_in(content, from_(name), self.place)
            for holder, content in zip(self.place.holders, sealed.envelopes, strict=True)
        ]
        return shamir.restore(points, np.stack(rows), self.parameters.threshold).secret

    def delivered(self, deliveries):
        return {n: self.parties[n].receive(deliveries[n], self.place) for n in deliveries}

    def to_locks(self, seals=None):
        survivors = self.server.survivors(self.delivered(self.server.deliver(seals or self.seals())))
        return survivors, {n: self.parties[n].lock(survivors, self.place) for n in self.server.holders}

    def to_openings(self, seals=None):
        survivors, locks = self.to_locks(seals)
        shown = self.server.locks(locks)
        return {n: self.parties[n].open(survivors, shown, self.place) for n in self.server.holders}

    def total(self, names=None):
        return sum(self.vectors[n] for n in names or self.place.cohort)


EMPTY = SealedVector(sender="", seal=np.zeros((1, N), np.uint64), envelopes=(), signature=b"")


def from_(name):
    return dataclasses.replace(EMPTY, sender=name).entry


def with_key(run, name, vector, key_shared=None, spoil=()):
    """A corrupt dealer's seal: of its vector, with shares of any key, some of them changed."""
    b, key = seal(vector, run.parameters, "sealed sum", *run.place.parts)
    points = run.place.points(run.place.holders)
    shared = key.elements() if key_shared is None else key_shared
    rows = shamir.share(shared, points, run.parameters.threshold)
    for holder in spoil:
        row = rows[run.place.holders.index(holder)]
        row[7] = (int(row[7]) + 1) % P
    return run.signed(name, b, run.dealt(name, rows))


# ---------------------------------------------------------------------- one client's vector


@pytest.mark.parametrize("count", [3, 4, 5, 7, 10])
def test_the_share_of_few_keys_cannot_be_had(count):
    """The server asks a holder to open so few survivors that the corrupt among them leave one alone."""
    run = Run(count)
    run.delivered(run.server.deliver(run.seals()))
    most = run.parameters.survivors
    assert most - run.parameters.corrupt >= 2
    for size in range(most):
        with pytest.raises(Refused, match=f"fewer than {most}"):
            run.parties["c0"].lock(Survivors(run.place.cohort[:size]), run.place)


def test_the_corrupt_holders_shares_do_not_give_a_key():
    """The server reads the envelopes of all holders but as many as the threshold needs."""
    run = Run(7)
    sealed = run.parties["c0"].seal(run.vectors["c0"], run.place)
    key = run.key_of("c0", sealed)
    few = run.place.holders[: run.parameters.threshold - 1]
    rows = np.stack(
        [
            run.parties[h]._share_in(sealed.envelopes[run.place.holders.index(h)], from_("c0"), run.place)
            for h in few
        ]
    )
    guess = shamir.restore(run.place.points(few), rows, len(few)).secret
    assert (guess != key).all()
    with pytest.raises(NotAccepted):
        open_sum(sealed.seal, guess, 1, run.parameters, "sealed sum", *run.place.parts)
    found = open_sum(sealed.seal, key, 1, run.parameters, "sealed sum", *run.place.parts)
    assert (found == run.vectors["c0"]).all()  # so the check above says something


@pytest.mark.parametrize("sign", [1, -1])
def test_a_copied_seal_cannot_double_or_cancel_anothers_vector(sign):
    """A corrupt client sends another's seal as its own, so that the sum has it twice or not at all."""
    run = Run(5)
    seals = run.seals()
    copied = seals["c0"].seal if sign == 1 else field.sub(np.zeros_like(seals["c0"].seal), seals["c0"].seal)
    mine = with_key(run, "c1", run.vectors["c1"])
    seals["c1"] = run.signed("c1", copied, mine.envelopes)
    openings = run.to_openings(seals)
    with pytest.raises(VoidRoundError, match="the sum is void"):
        run.server.sum(openings)


# ---------------------------------------------------------------------- two sums of one update


@pytest.mark.parametrize(
    "change",
    [
        {"attempt": 1},
        {"payload": b"n" * 32},
        {"cohort": ("c1", "c0", "c2", "c3", "c4")},
        {"purpose": "tell"},
        {"purpose": "again", "attempt": 1},
    ],
    ids=str,
)
def test_an_update_is_not_sealed_twice_in_a_round(change):
    """The server asks for the same update under another name, to open two sums of it."""
    run = Run(5)
    run.parties["c0"].seal(run.vectors["c0"], run.place)
    with pytest.raises(Refused, match="already sealed"):
        run.parties["c0"].seal(run.vectors["c0"].copy(), run.at(**change))
    with pytest.raises(Refused, match="already sealed"):
        run.begun("c0").seal(run.vectors["c0"], run.at(**change))


@pytest.mark.parametrize(
    "change", [{"payload": b"n" * 32}, {"cohort": ("c1", "c0", "c2", "c3", "c4")}], ids=str
)
def test_a_second_set_is_not_locked_at_another_payload_or_order(change):
    """Members that are all corrupt but one seal again elsewhere in the same attempt, and ask it to lock."""
    run = Run(5)
    run.to_locks()
    place = run.at(**change)
    others = {n: run.begun(n, {}).seal(run.vectors[n], place) for n in ("c1", "c2", "c3", "c4")}
    server = Coordinator(run.roster, run.parameters, place)
    deliver = server.deliver(others)["c0"]
    run.parties["c0"].receive(deliver, place)
    with pytest.raises(Refused, match="already locked"):
        run.parties["c0"].lock(Survivors(tuple(n for n in place.cohort if n != "c0")), place)


def test_other_seals_delivered_by_a_detour_are_not_locked_as_well():
    """The server lets a holder lock, asks it something of another round, and then delivers other seals."""
    run = Run(5)
    survivors, _ = run.to_locks()
    party = run.parties["c0"]
    second = with_key(run, "c1", run.vectors["c2"])  # a corrupt dealer has two seals
    elsewhere = run.at(round=4)
    entries = [one.entry for one in run.server._seals.values()]
    envelopes = [one.envelopes[0] for one in run.server._seals.values()]
    entries[1], envelopes[1] = second.entry, second.envelopes[0]
    with pytest.raises(Refused):
        party.receive(Deliver(entries=(), envelopes=(b"",)), elsewhere)
    with pytest.raises(Refused, match="other seals were delivered"):
        party.receive(Deliver(entries=tuple(entries), envelopes=tuple(envelopes)), run.place)
    party = run.begun("c0")  # what it held is gone; what it locked is written down
    party.receive(Deliver(entries=tuple(entries), envelopes=tuple(envelopes)), run.place)
    with pytest.raises(Refused, match="already locked"):
        party.lock(survivors, run.place)
    with pytest.raises(Refused, match="not locked by this holder"):
        party.open(survivors, Locks({}), run.place)


@pytest.mark.parametrize("count", range(3, 11))
def test_two_sets_never_have_enough_locks_each(count):
    """The corrupt holders sign two sets, and the server shows each to half of the honest ones."""
    p = choose(dimension=5, members=count, bound=1000)
    honest = p.holders - p.corrupt
    assert all(min(a, honest - a) + p.corrupt < p.threshold for a in range(honest + 1))


@pytest.mark.parametrize("shown", [3, 4])
def test_no_set_is_opened_where_two_are_shown(shown):
    """The server shows one set to some holders, another to the rest, and all locks to everyone."""
    run = Run(7)  # t = 5
    run.delivered(run.server.deliver(run.seals()))
    sets = Survivors(run.place.cohort), Survivors(run.place.cohort[:-1])
    seen = {n: sets[i >= shown] for i, n in enumerate(run.place.holders)}
    signatures = {n: run.parties[n].lock(seen[n], run.place).signature for n in seen}
    for name, own in seen.items():
        for asked in sets:
            told = (
                f"{shown if own is sets[0] else 7 - shown} holders locked" if asked is own else "not locked"
            )
            with pytest.raises(Refused, match=told):
                run.parties[name].open(asked, Locks(signatures), run.place)


def test_no_message_says_what_protects_a_client():
    """Threshold, scale, bounds and public elements follow from what is pinned: none comes with a round."""
    carried = {kind.__name__: set(told) for kind, told in FIELDS.items()}
    assert carried == {
        "Place": {"configuration", "roster", "payload", "round", "attempt", "cohort", "purpose"},
        "SealedVector": {
            *{"sender", "seal", "envelopes", "signature", "proof", "head"},
            *{"hashes", "length"},  # of envelopes, in a log
        },
        "Entry": {"sender", "seal", "envelopes", "signature", "head", "rest"},
        "Deliver": {"entries", "envelopes"},
        "Complaints": {"reasons"},
        "Survivors": {"names"},
        "Lock": {"signature"},
        "Locks": {"signatures"},
        "Opening": {"share", "signature"},
    }


def test_values_that_a_message_brings_along_are_not_taken():
    """The server adds a lower threshold, and public elements that are 0, to what it sends."""
    run = Run(5)  # t = 4
    survivors, locks = run.to_locks()
    few = Locks({n: locks[n].signature for n in ("c0", "c1", "c2")})
    place = run.at()
    for brought in (survivors, few, place):
        brought.__dict__.update(threshold=1, survivors=1, _parameters=None, scale=1)
    with pytest.raises(Refused, match="3 holders locked these survivors; 4 are needed"):
        run.parties["c0"].open(survivors, few, place)
    elsewhere = run.at(round=4)
    elsewhere.__dict__["parts"] = ("zero",)
    sealed = run.parties["c0"].seal(run.vectors["c0"], elsewhere)
    key = run.keys["c0"].signing.public
    assert is_signed(sealed.signature, key, "seal", *run.at(round=4).parts, "c0", *sealed.entry.signed)


def test_one_lock_is_not_counted_for_two_holders():
    """The server shows one holder's signature under many names, and locks of those who hold nothing."""
    run = Run(7, members=5)  # t = 4; c5 and c6 are in the roster and hold nothing here
    survivors, locks = run.to_locks()
    hashed = run.server._hash

    def signed(name):
        return run.keys[name].signing.sign("lock", *run.place.parts, name, hashed)

    real = {n: locks[n].signature for n in ("c0", "c1", "c2")}
    for more in ({"c5": signed("c5"), "c6": signed("c6")}, {"c3": signed("c2")}, {"c2 ": signed("c2")}):
        with pytest.raises(Refused, match="3 holders locked"):
            run.parties["c0"].open(survivors, Locks({**real, **more}), run.place)


# ---------------------------------------------------------------------- another sum


def test_shares_of_another_key_make_the_round_void_and_not_another_sum():
    """A corrupt dealer shares a key that its seal was not made with."""
    run = Run(5)
    seals = run.seals()
    b, key = seal(run.vectors["c1"], run.parameters, "sealed sum", *run.place.parts)
    other = key.elements()
    other[0] = (int(other[0]) + 1) % P
    rows = shamir.share(other, run.place.points(run.place.holders), run.parameters.threshold)
    seals["c1"] = run.signed("c1", b, run.dealt("c1", rows))
    openings = run.to_openings(seals)
    with pytest.raises(VoidRoundError, match="more than the 200 that honest"):
        run.server.sum(openings)


def test_one_false_share_of_a_dealer_is_corrected():
    """A corrupt dealer gives one holder a share that is well formed and not on its polynomial."""
    run = Run(10)  # t = 7: one of ten
    seals = run.seals()
    seals["c1"] = with_key(run, "c1", run.vectors["c1"], spoil=["c4"])
    result = run.server.sum(run.to_openings(seals))
    assert (result.total == run.total()).all()
    assert result.wrong == ("c4",)  # named, though it may be the dealer's fault: see `phases.summed`


def test_false_openings_cannot_shift_the_sum():
    """As many corrupt holders as there may be add a chosen polynomial to their answers."""
    run = Run(4, dimension=N, bound=2**20)  # one ring element, where any vector could be forged
    openings = run.to_openings()
    a = public_element(0, "sealed sum", *run.place.parts)
    inverse = np.array([pow(int(v), -1, P) for v in a], np.uint64)
    wanted = field.from_ints(np.full(N, run.parameters.scale, np.int64))
    shift = ring.from_ntt(field.mul(ring.to_ntt(wanted), inverse))  # a · shift = Δ everywhere
    good = ("c0", "c1", "c2")
    weight = [1, 0, 0]
    at = shamir.weights_at_zero(run.place.points(good))
    share = field.add(
        openings["c0"].share, field.mul(shift, np.array(pow(int(at[0]), -1, P) * weight[0], np.uint64))
    )
    sign = run.keys["c0"].signing.sign
    signature = sign("open", *run.place.parts, "c0", run.server._hash, share_hash(share))
    forged = {n: openings[n] for n in good} | {"c0": Opening(share=share, signature=signature)}
    with pytest.raises(VoidRoundError, match="the sum of the keys"):
        run.server.sum(forged)


def test_a_carry_between_packed_halves_is_refused():
    """A corrupt client seals a lower half so large that it reaches into its neighbour."""
    run = Run(5, dimension=8)
    assert run.parameters.packed
    seals = run.seals()
    b, key = seal(np.zeros(8, np.int64), run.parameters, "sealed sum", *run.place.parts)
    b[0, 2] = (int(b[0, 2]) + (run.parameters.scale << (run.parameters.place - 1))) % P
    rows = shamir.share(key.elements(), run.place.points(run.place.holders), run.parameters.threshold)
    seals["c1"] = run.signed("c1", b, run.dealt("c1", rows))
    openings = run.to_openings(seals)
    with pytest.raises(VoidRoundError, match="a value of the sum"):
        run.server.sum(openings)


def test_an_error_that_reaches_the_next_multiple_is_refused():
    """A corrupt client adds an error of half the scale, so that rounding gives another integer."""
    run = Run(5)
    for added in (run.parameters.scale // 2, -run.parameters.scale // 2):
        total, keys = np.zeros((1, N), np.uint64), np.zeros(N, np.uint64)
        for name in run.place.cohort:
            b, key = seal(run.vectors[name], run.parameters, *run.place.parts)
            field.add_into(total, b)
            field.add_into(keys, key.elements())
        total[0, 3] = (int(total[0, 3]) + added) % P
        with pytest.raises(NotAccepted, match="an error of the sum"):
            open_sum(total, keys, 5, run.parameters, *run.place.parts)


# ---------------------------------------------------------------------- blame


def test_as_many_as_may_be_corrupt_cannot_drop_a_dealer():
    """Corrupt holders all complain of one honest dealer, and of each other and of strangers."""
    run = Run(10)  # c_max = 3
    complaints = run.delivered(run.server.deliver(run.seals()))
    for holder in ("c7", "c8", "c9"):
        complaints[holder] = Complaints({"c0": "x", "c9": "x", "stranger": "x", "": "x"})
    survivors = run.server.survivors(complaints)
    assert survivors.names == run.place.cohort
    assert run.server.dropped == {}
    assert run.server.holders == run.place.holders[:7]


def test_those_who_hold_no_shares_cannot_complain():
    """Members outside of the cohort, and names that nobody has, complain of an honest dealer."""
    run = Run(7, members=5)  # c_max = 1
    complaints = run.delivered(run.server.deliver(run.seals()))
    for name in ("c5", "c6", "stranger"):
        complaints[name] = Complaints({"c0": "x"})
    assert run.server.survivors(complaints).names == run.place.cohort
    assert run.server.holders == run.place.holders


def test_envelopes_of_another_size_cost_no_honest_holder_its_place():
    """A corrupt dealer sends some holders an envelope that is empty or huge: the server sees that itself."""
    for content in (b"", bytes(10**6), bytes(8 * N + envelope.OVERHEAD + 1)):
        run = Run(7)
        seals = run.seals()
        envelopes = (content, *seals["c1"].envelopes[1:])
        seals["c1"] = run.signed("c1", seals["c1"].seal, envelopes)
        deliveries = run.server.deliver(seals)
        assert run.server.dropped == {"c1": "an envelope has another length than a share"}
        survivors = run.server.survivors(run.delivered(deliveries))
        assert "c1" not in survivors.names
        assert run.server.holders == run.place.holders


def test_an_exchange_key_of_small_order_does_not_stop_honest_dealers():
    """A corrupt client enrols with a public key with which nobody can exchange anything."""
    low = bytes.fromhex("e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800")
    for key in (bytes(32), b"\1" + bytes(31), b"\1" + bytes(30) + b"\x80", low):
        members = [Party(f"c{i}", KEYS[i], {}).member for i in range(3)]
        members.append(Member(name="c3", exchange=key, signing=KEYS[3].signing.public))
        with pytest.raises(ConfigurationError, match="public key of 'c3' cannot be used"):
            Roster(tuple(members))


@pytest.mark.parametrize(
    "change",
    [{"name": "c\ud800"}, {"name": ""}, {"name": "x" * 10**6}, {"name": 3}, {"exchange": None}],
    ids=lambda c: next(iter(c)),
)
def test_members_that_cannot_be_written_down_are_refused(change):
    """A client enrols with a name that cannot be encoded, is empty or huge, or without a key."""
    member = Party("c0", KEYS[0], {}).member
    with pytest.raises(ConfigurationError):
        Roster((dataclasses.replace(member, **change),))


# ---------------------------------------------------------------------- malformed messages


class TestMalformedForAClient:
    """Whatever the server sends, a client refuses it, and goes on as if nothing had come."""

    def setup_method(self):
        self.run = Run(5)
        self.party = self.run.parties["c0"]

    def refused(self, phase, messages):
        for message in (*messages, *JUNK):
            with pytest.raises(Refused):
                self.party.answer(phase, message, self.run.place)

    def test_deliveries(self):
        """Each field of a delivery and of what is in it is junk."""
        deliver = self.run.server.deliver(self.run.seals())["c0"]
        first, *rest = deliver.entries
        for bad in variants(first):
            self.refused_one("deliver", dataclasses.replace(deliver, entries=(bad, *rest)))
        for junk in JUNK:
            envelopes = (junk, *deliver.envelopes[1:])
            self.refused_one("deliver", dataclasses.replace(deliver, envelopes=envelopes))
            hashes = (junk, *first.envelopes[1:])
            entry = dataclasses.replace(first, envelopes=hashes)
            self.refused_one("deliver", dataclasses.replace(deliver, entries=(entry, *rest)))
        self.refused("deliver", variants(deliver))
        assert self.party.receive(deliver, self.run.place) == Complaints({})

    def refused_one(self, phase, message):
        with pytest.raises(Refused):
            self.party.answer(phase, message, self.run.place)

    def test_locks_and_openings(self):
        """Each field of what is to be locked and opened is junk."""
        survivors, locks = self.run.to_locks()
        before = dict(self.run.memories["c0"])
        shown = Locks({n: lock.signature for n, lock in locks.items()})
        self.refused("lock", variants(survivors))
        for junk in JUNK:
            self.refused_one("lock", Survivors((*survivors.names[:-1], junk)))
            self.refused_one("open", (survivors, Locks({**shown.signatures, "c1": junk, "c2": junk})))
        self.refused("open", [(survivors, bad) for bad in (*variants(shown), *JUNK)])
        self.refused("open", [(bad, shown) for bad in (*variants(survivors), *JUNK)])
        self.refused("open", [(survivors,), (survivors, shown, shown), [survivors, shown], survivors])
        assert self.run.memories["c0"] == before
        assert self.party.open(survivors, shown, self.run.place).share.shape == (N,)

    def test_places(self):
        """Each field of the place is junk, in each phase."""
        deliver = self.run.server.deliver(self.run.seals())["c0"]
        before = dict(self.run.memories["c0"])
        for place in (*variants(self.run.at(attempt=1)), *JUNK):
            told = vars(place) if type(place) is Place else {}
            if 0 in [n for n in (told.get("round"), told.get("attempt")) if type(n) is int]:
                continue  # that is well formed
            with pytest.raises(Refused):
                self.party.send(self.run.vectors["c1"], None, place)
            for phase in ("deliver", "lock", "open"):
                with pytest.raises(Refused):
                    self.party.answer(phase, deliver, place)
        assert self.run.memories["c0"] == before

    def test_phases(self):
        """The phase is none."""
        for phase in (*JUNK, "train", "seal", "Deliver"):
            self.refused_one(phase, None)

    def test_stray_messages_of_another_round_do_not_cost_what_is_held(self):
        """Messages that belong to another round arrive between two phases."""
        run = self.run
        deliveries = run.server.deliver(run.seals())
        survivors = run.server.survivors(run.delivered(deliveries))
        for phase, message in (
            ("deliver", deliveries["c0"]),
            ("lock", survivors),
            ("open", (survivors, Locks({}))),
        ):
            with pytest.raises(Refused):
                self.party.answer(phase, message, run.at(round=9))
        self.party.lock(survivors, run.place)


class TestMalformedForTheServer:
    """Whatever a client sends, the server drops it with a reason, or goes on without its answer."""

    def test_seals(self):
        """Each field of a seal is junk."""
        run = Run(5)
        seals = run.seals()
        bad = [one for one in (*variants(seals["c1"]), *JUNK) if one is not None]
        bad += [dataclasses.replace(seals["c1"], envelopes=(*seals["c1"].envelopes[1:], j)) for j in JUNK]
        for one in bad:
            server = Coordinator(run.roster, run.parameters, run.place)
            server.deliver({**seals, "c1": one})
            assert set(server.dropped) == {"c1"}
            assert 0 < len(server.dropped["c1"]) < 200

    def test_complaints(self):
        """The complaints are junk: their sender counts as gone, and nobody is dropped."""
        run = Run(5)
        seals = run.seals()
        good = run.delivered(run.server.deliver(seals))
        for one in (*variants(Complaints({"c0": "x"})), *JUNK):
            if type(one) is Complaints and type(reasons := vars(one).get("reasons")) is dict and not reasons:
                continue  # this is well formed
            server = Coordinator(run.roster, run.parameters, run.place)
            server.deliver(seals)
            assert server.survivors({**good, "c1": one}).names == run.place.cohort
            assert "c1" not in server.holders
            assert server.dropped == {}

    def test_locks_and_openings(self):
        """Locks and openings are junk: they do not count, and the sum is right without them."""
        run = Run(5)
        survivors, locks = run.to_locks()
        for one in (*variants(locks["c1"]), *JUNK):
            server = Coordinator(run.roster, run.parameters, run.place)
            server.deliver(run.server._seals)
            server.survivors(dict.fromkeys(run.place.holders, Complaints()))
            shown = server.locks({**locks, "c1": one, "stranger": one})
            assert set(shown.signatures) == {"c0", "c2", "c3", "c4"}
        shown = run.server.locks(locks)
        openings = {n: run.parties[n].open(survivors, shown, run.place) for n in run.server.holders}
        for one in (*variants(openings["c1"]), *JUNK):
            result = run.server.sum({**openings, "c1": one, "stranger": one})
            assert (result.total == run.total()).all()
            assert result.wrong == ()
        few = {n: openings[n] for n in ("c0", "c2", "c3")}
        with pytest.raises(VoidRoundError, match="3 holders opened"):
            run.server.sum({**few, "c1": Opening(share=None, signature=None)})

    def test_hashes_are_computed_and_not_taken(self):
        """A message brings the value of its own computed hash along."""
        run = Run(5)
        seals = run.seals()
        changed = seals["c1"].seal.copy()
        changed[0, 0] ^= np.uint64(1)
        false = dataclasses.replace(seals["c1"], seal=changed)
        false.__dict__["entry"] = seals["c1"].entry
        run.server.deliver({**seals, "c1": false})
        assert run.server.dropped == {"c1": "the seal is not signed by its sender for this round and attempt"}

    def test_messages_of_a_subclass_are_none(self):
        """A message is of a class of the sender's own making."""
        mine = object.__new__(type("Sub", (Lock,), {}))
        assert said(Answer(replies={"c0": Reply(message=mine), "c1": Reply(message=Lock(b""))}), Lock) == {
            "c1": Lock(b"")
        }


def test_hashes_that_a_delivery_brings_along_are_not_taken():
    """The server gives a holder other envelopes, and the root that the dealer signed as if it were theirs."""
    run = Run(5)
    deliver = run.server.deliver(run.seals())["c0"]
    entry = deliver.entries[1]
    other = run.dealt("c2", np.zeros((5, N), np.uint64))
    hashes = dataclasses.replace(EMPTY, envelopes=other).entry.envelopes
    false = Entry(sender="c1", seal=entry.seal, envelopes=hashes, signature=entry.signature)
    false.__dict__["root"] = entry.root
    entries = (deliver.entries[0], false, *deliver.entries[2:])
    envelopes = (deliver.envelopes[0], other[0], *deliver.envelopes[2:])
    with pytest.raises(Refused, match="not signed by it"):
        run.parties["c0"].receive(Deliver(entries=entries, envelopes=envelopes), run.place)


def test_a_place_does_not_bring_its_holders_along():
    """The server gives a place with other holders than its cohort has."""
    run = Run(5)
    false = run.at()
    false.__dict__["holders"] = ("c1",) * 5
    sealed = run.parties["c0"].seal(run.vectors["c0"], false)
    assert (run.key_of("c0", sealed) < P).all()


@pytest.mark.parametrize(
    "change",
    [
        lambda a: np.asfortranarray(np.stack([a, a]))[0],
        lambda a: a[:, ::-1].copy()[:, ::-1],
        lambda a: np.repeat(a, 2, axis=1)[:, ::2],
        lambda a: np.frombuffer(b"x" + a.tobytes(), np.uint8)[1:].view(np.uint64).reshape(a.shape),
        lambda a: a.astype(np.dtype("u8", metadata={"x": 1})),
    ],
    ids=["fortran", "backwards", "strided", "unaligned", "described"],
)
def test_how_an_array_lies_in_memory_changes_nothing(change):
    """A client's arrays lie in memory in an odd way, so that a hash and a sum would read them differently."""
    run = Run(4, dimension=20)
    seals = run.seals()
    seals["c1"] = dataclasses.replace(seals["c1"], seal=change(seals["c1"].seal))
    openings = run.to_openings(seals)
    share = change(openings["c1"].share.reshape(1, N)).reshape(N)
    result = run.server.sum({**openings, "c1": dataclasses.replace(openings["c1"], share=share)})
    assert (result.total == run.total()).all()
    assert result.wrong == ()


@pytest.mark.parametrize("junk", JUNK, ids=lambda j: type(j).__name__)
def test_nothing_is_signed_by_junk(junk):
    """A signature or key of any type is taken for none."""
    assert not is_signed(junk, KEYS[0].signing.public, "x")
    assert not is_signed(bytes(64), junk, "x")


# ---------------------------------------------------------------------- replay


OTHERS = [
    {"configuration": b"d" * 32},
    {"roster": b"r" * 32},
    {"payload": b"n" * 32},
    {"round": 4},
    {"attempt": 1},
    {"cohort": ("c1", "c0", "c2", "c3", "c4")},
    {"purpose": "tell"},
]


@pytest.mark.parametrize("change", OTHERS, ids=lambda c: next(iter(c)))
def test_nothing_of_another_place_passes(change):
    """Seals, envelopes, locks and openings of one place are shown at another."""
    run = Run(5)
    survivors, locks = run.to_locks()
    openings = {n: run.parties[n].open(survivors, run.server.locks(locks), run.place) for n in locks}
    other = Coordinator(run.roster, run.parameters, run.at(**change))
    with pytest.raises(VoidRoundError, match="0 usable seals"):
        other.deliver(run.server._seals)
    other._seals, other._survivors = dict(run.server._seals), survivors.names
    assert other._hash == run.server._hash
    with pytest.raises(VoidRoundError, match="0 holders locked"):
        other.locks(locks)
    with pytest.raises(VoidRoundError, match="0 holders opened"):
        other.sum(openings)
    party, sealed = run.parties["c0"], run.server._seals["c1"]
    party._share_in(sealed.envelopes[0], from_("c1"), run.place)
    with pytest.raises(envelope.EnvelopeError, match="cannot be opened"):
        party._share_in(sealed.envelopes[0], from_("c1"), run.at(**change))
    assert (public_element(0, *run.place.parts) != public_element(0, *run.at(**change).parts)).any()


def test_an_envelope_is_not_reflected_or_passed_on():
    """A corrupt dealer sends on an envelope that it got from an honest one, to that one and to others."""
    run = Run(7)
    seals = run.seals()
    stolen = seals["c0"].envelopes  # what the server carried
    mine = list(seals["c1"].envelopes)
    mine[0], mine[2], mine[3] = stolen[1], stolen[2], stolen[3]
    seals["c1"] = run.signed("c1", seals["c1"].seal, tuple(mine))
    complaints = run.delivered(run.server.deliver(seals))
    assert [n for n, told in complaints.items() if told.reasons] == ["c0", "c2", "c3"]
    assert "c1" not in run.server.survivors(complaints).names


def test_a_lock_is_not_an_opening_nor_a_seal():
    """A signature of one phase is shown in another."""
    run = Run(5)
    _, locks = run.to_locks()
    hashed = run.server._hash
    key = run.keys["c1"].signing.public
    parts = (*run.place.parts, "c1", hashed)
    assert is_signed(locks["c1"].signature, key, "lock", *parts)
    assert not any(is_signed(locks["c1"].signature, key, label, *parts) for label in ("seal", "open"))
    assert survivors_hash(()) != survivors_hash((run.server._seals["c1"].entry,))


# ---------------------------------------------------------------------- restarts


def test_a_holder_begun_again_gives_the_same_opening_and_no_other():
    """The server crashes a holder after it has opened, and asks again for the same and for another set."""
    run = Run(7)  # t = 5
    deliveries = run.server.deliver(run.seals())
    survivors = run.server.survivors(run.delivered(deliveries))
    locks = {n: run.parties[n].lock(survivors, run.place) for n in run.server.holders}
    shown = run.server.locks(locks)
    first = run.parties["c0"].open(survivors, shown, run.place)
    party = run.begun("c0")
    party.receive(deliveries["c0"], run.place)
    again = party.open(survivors, shown, run.place)
    assert (again.share == first.share).all()
    assert again.signature == first.signature
    fewer = Survivors(survivors.names[:-1])
    with pytest.raises(Refused, match="already locked"):
        party.lock(fewer, run.place)
    with pytest.raises(Refused, match="not locked"):
        party.open(fewer, shown, run.place)


def test_a_client_begun_again_knows_its_own_seal():
    """The server shows a client that has restarted a seal of its own that it never made."""
    run = Run(5)
    seals = run.seals()
    seals["c0"] = with_key(run, "c0", run.vectors["c1"])  # as if its key were stolen
    deliver = run.server.deliver(seals)["c0"]
    for party in (run.parties["c0"], run.begun("c0")):
        with pytest.raises(Refused, match="own is another one"):
            party.receive(deliver, run.place)


def test_one_holder_that_lost_its_memory_opens_no_second_set():
    """An honest holder comes back without its memory, and counts as one that is corrupt."""
    run = Run(5)  # t = 4, c_max = 1
    deliveries = run.server.deliver(run.seals())
    survivors = run.server.survivors(run.delivered(deliveries))
    for name in run.place.holders:
        run.parties[name].lock(survivors, run.place)
    fewer = Survivors(survivors.names[1:])
    lost, deliver = run.begun("c0", {}), deliveries["c0"]
    with pytest.raises(Refused, match="own is another one"):
        lost.receive(deliver, run.place)  # it knows of no seal of its own: only those of others pass
    lost.receive(Deliver(entries=deliver.entries[1:], envelopes=deliver.envelopes[1:]), run.place)
    signature = lost.lock(fewer, run.place).signature
    for name in ("c1", "c2", "c3", "c4"):
        with pytest.raises(Refused, match="already locked"):
            run.parties[name].lock(fewer, run.place)
    with pytest.raises(Refused, match="1 holders locked"):
        lost.open(fewer, Locks({"c0": signature}), run.place)


def test_a_crash_while_sealing_leaves_nothing_that_was_sent_twice():
    """The disk fails between the two notes that a client writes before it sends its seal."""

    class Disk(dict):
        left = 99

        def __setitem__(self, key, value):
            if self.left == 0:
                raise OSError
            self.left -= 1
            super().__setitem__(key, value)

    for left in (0, 1):
        run = Run(5)
        run.memories["c0"] = Disk(run.memories["c0"])
        party = run.begun("c0")
        run.memories["c0"].left = left
        with pytest.raises(OSError, match=r"^$"):
            party.seal(run.vectors["c0"], run.place)
        run.memories["c0"].left = 99
        if left:
            with pytest.raises(Refused, match="already sealed"):
                run.begun("c0").seal(run.vectors["c0"], run.place)
        else:
            run.begun("c0").seal(run.vectors["c0"], run.place)


# ---------------------------------------------------------------------- parameters


@pytest.mark.parametrize("count", [1, 2])
def test_cohorts_of_few_that_are_meant_can_be_summed(count):
    """The fewest survivors are more than there are clients, so that each round is void."""
    run = Run(count, may_be_few=True)
    assert run.parameters.survivors == count
    assert (run.server.sum(run.to_openings()).total == run.total()).all()


@pytest.mark.parametrize("dimension", [1, 2, 3, 2 * N - 1, 2 * N, 2 * N + 1])
@pytest.mark.parametrize("sign", [1, -1])
def test_all_at_the_largest_bound_that_fits(dimension, sign):
    """All values are at the largest bound that the rules leave, packed and not."""
    low, high = 1, 2**62
    while high - low > 1:
        middle = (low + high) // 2
        try:
            choose(dimension=dimension, members=3, bound=middle)
        except ConfigurationError:
            high = middle
        else:
            low = middle
    packed = max(b for b in (1, 2, 2**8, 2**12, 2**15, 2**17) if b <= low)
    for bound in (low, packed):
        parameters = choose(dimension=dimension, members=3, bound=bound)
        assert 3 * bound < 2**53  # a sum of a simulation is a float64
        vector = np.full(dimension, sign * bound)
        vector[::3] *= -1
        total, keys = np.zeros((parameters.elements, N), np.uint64), np.zeros(N, np.uint64)
        for _ in range(3):
            b, key = seal(vector, parameters, "edge")
            field.add_into(total, b)
            field.add_into(keys, key.elements())
        assert (open_sum(total, keys, 3, parameters, "edge") == 3 * vector).all()


@pytest.mark.parametrize("count", range(3, 12))
def test_no_threshold_that_is_taken_breaks_a_promise(count):
    """A user chooses any threshold: secrecy, one sum, and enough honest survivors hold, or it is refused."""
    for threshold in range(1, count + 1):
        try:
            p = choose(dimension=5, members=count, bound=10, threshold=threshold)
        except ConfigurationError:
            assert 2 * threshold <= count
            continue
        assert 0 <= p.corrupt < p.threshold <= p.holders
        assert 2 * p.threshold > p.holders + p.corrupt
        assert p.corrupt + 2 <= p.survivors <= count - p.corrupt
        assert p.holders - p.corrupt >= p.threshold  # those who are honest suffice

"""Attacks on a masked sum, by the server that carries its messages and by clients; mistakes of others."""

from __future__ import annotations

import dataclasses
import inspect
import itertools

import numpy as np
import pytest

from hansa.crypto import envelope
from hansa.crypto.envelope import ExchangeKey
from hansa.crypto.secret import Secret
from hansa.errors import ConfigurationError, UpdateError, VoidRoundError
from hansa.secure_sum.interface import Refused
from hansa.secure_sum.masking import shares
from hansa.secure_sum.masking.coordinator import Coordinator
from hansa.secure_sum.masking.graph import Graph
from hansa.secure_sum.masking.masks import Mask, add_masks, pair_mask
from hansa.secure_sum.masking.messages import (
    Advert,
    Adverts,
    Deals,
    Lock,
    Locks,
    Survivors,
    Unmasking,
    shares_hash,
    vector_hash,
)
from hansa.secure_sum.masking.parameters import choose
from hansa.secure_sum.messages import is_from
from junk import JUNK, inside, variants
from masking_run import MaskedRun, attempt


def signatures(locks):
    return Locks({name: lock.signature for name, lock in locks.items()})


# ---------------------------------------------------------------------- masks


def test_seeds_are_not_folded_to_32_bits():
    # Each bit of the seed changes the mask: none of its 256 bits is left out.
    def stream(key):
        words = np.zeros(4, "<u4")
        add_masks(words, [Mask(Secret(key))])
        return words.tobytes()

    key = bytes(range(32))
    seen = {stream(key)}
    for bit in range(256):
        changed = bytearray(key)
        changed[bit // 8] ^= 1 << (bit % 8)
        seen.add(stream(bytes(changed)))
    assert len(seen) == 257


def test_masks_are_not_expanded_with_a_generator_for_simulations():
    from hansa.secure_sum.masking import masks

    source = inspect.getsource(masks)
    assert "random" not in source.replace("pseudorandom", "")
    # The AES-256 block of zeros under the key of zeros, as published (FIPS 197 test data).
    words = np.zeros(4, "<u4")
    add_masks(words, [Mask(Secret(bytes(32)))])
    assert words.tobytes().hex() == "dc95c078a2408989ad48a21492842087"


def test_seeds_are_fresh_for_each_attempt_and_pair():
    run = MaskedRun(5)
    run.to_deals()
    held = [party._held for party in run.parties.values()]
    assert len({one.shared.seed.reveal() for one in held}) == 5
    assert all(len(one.shared.seed) == 32 for one in held)
    keys = {name: party._held.key for name, party in run.parties.items()}
    pairs = [
        pair_mask(keys[a], keys[b].public, a, b, place)
        for a, b in itertools.combinations(run.names, 2)
        for place in (run.place, run.at(0, 1), run.at(1, 0), run.at(0, 0, b"n" * 32))
    ]
    assert len({mask.key.reveal() for mask in pairs}) == len(pairs)
    for a, b in itertools.permutations(run.names, 2):
        there = pair_mask(keys[a], keys[b].public, a, b, run.place)
        assert there == pair_mask(keys[b], keys[a].public, b, a, run.place).opposite()


def test_masks_are_not_floats():
    run = MaskedRun(4)
    masked = run.masked(run.to_deals())
    assert all(one.vector.dtype == np.uint32 for one in masked.values())
    for dtype in (np.float32, np.float64, np.int32, np.uint64, np.dtype(">u4")):
        bad = MaskedRun(4)
        came = bad.masked(bad.to_deals())
        vector = came["c1"].vector.astype(dtype)
        signature = bad.sign("c1", "vector", bad.server._root, vector_hash(vector))
        came["c1"] = dataclasses.replace(came["c1"], vector=vector, signature=signature)
        bad.server.survivors(came)
        assert bad.server.dropped == {"c1": "the masked vector is not of uint32"}
    run = MaskedRun(4)
    deals = run.to_deals()
    with pytest.raises(UpdateError, match="only vectors of int64"):
        run.parties["c0"].mask(np.ones(5), deals["c0"], run.place)


@pytest.mark.parametrize("dimension", [1, 3, 5, 32_767, 32_769])
def test_there_is_no_tail_without_a_mask(dimension):
    # A vector of zeros, masked, is the mask alone: every word of it, the last ones too, over many runs.
    seen = np.zeros(dimension, np.uint32)
    for _ in range(3):
        run = MaskedRun(3, dimension=dimension)
        run.vectors = {name: np.zeros(dimension, np.int64) for name in run.names}
        masked = run.masked(run.to_deals())
        for one in masked.values():
            assert one.vector.shape == (dimension,)
            seen |= one.vector
    assert (seen != 0).all()  # a masked word is zero nine times with a chance of 2^-288


def test_masked_vectors_look_uniform_whatever_is_in_them():
    size = 1 << 16
    for value in (0, 1000):
        run = MaskedRun(4, dimension=size)
        run.vectors = {name: np.full(size, value) for name in run.names}
        for one in run.masked(run.to_deals()).values():
            for shift in (0, 8, 16, 24):
                counts = np.bincount((one.vector >> np.uint32(shift)) & np.uint32(255), minlength=256)
                chi = float(((counts - size / 256) ** 2 / (size / 256)).sum())
                # 255 degrees of freedom, deviation 22.6: ten of them on either side.
                assert 30 < chi < 480


def test_values_beyond_the_bound_are_refused_and_overflow_is_found_when_planning():
    run = MaskedRun(4)
    deals = run.to_deals()
    with pytest.raises(UpdateError, match="above the bound"):
        run.parties["c0"].mask(np.array([0, 0, 0, 0, 1001]), deals["c0"], run.place)
    assert choose(dimension=1, members=4, bound=2**29 - 1).modulus_bits == 32
    assert choose(dimension=1, members=4, bound=2**29).modulus_bits == 64
    assert choose(dimension=1, members=4, bound=2**60 - 1).modulus_bits == 64
    with pytest.raises(ConfigurationError, match=r"more than 2\^63. Values up to 1152921504606846975 fit"):
        choose(dimension=1, members=4, bound=2**60)


# ---------------------------------------------------------------------- the graph


def test_the_graph_changes_with_every_key_and_with_the_place():
    run = MaskedRun(20, neighbours=10)
    entries = run.to_adverts().entries
    orders = {Graph(run.names, 10, Adverts(entries).root(run.place)).order}
    for i in range(20):
        changed = list(entries)
        changed[i] = dataclasses.replace(entries[i], public=ExchangeKey.fresh().public)
        orders.add(Graph(run.names, 10, Adverts(tuple(changed)).root(run.place)).order)
    for place in (run.at(1, 0), run.at(0, 1), run.at(0, 0, b"n" * 32)):
        orders.add(Graph(run.names, 10, Adverts(entries).root(place)).order)
    assert len(orders) == 24


def test_nobody_can_tell_the_graph_before_all_keys_are_there():
    # No message carries a graph, and each run has another.
    fields = {f.name for kind in (Adverts, Deals, Survivors, Locks) for f in dataclasses.fields(kind)}
    assert fields == {"entries", "envelopes", "signatures"}
    seen = set()
    for _ in range(6):
        run = MaskedRun(20, neighbours=10)
        run.to_deals()
        seen.add(run.parties["c0"]._held.shared.graph.holders["c0"])
    assert len(seen) >= 5


def test_messages_of_another_graph_are_refused():
    # One client is shown fewer keys than the others, so that it computes another graph.
    run = MaskedRun(20, neighbours=10)
    adverts = run.to_adverts()
    fewer = Adverts(adverts.entries[:-1])
    came = run.shared(adverts, gone=["c3"])
    came["c3"] = run.parties["c3"].share(fewer, run.place)
    with pytest.raises(Refused, match="other mask keys were shown"):
        run.parties["c0"].share(fewer, run.place)
    deals = run.server.deals(came)
    assert "and its graph" in run.server.dropped["c3"]
    assert "c3" not in deals
    # A server that passes it on all the same is refused by the clients.
    entries = sorted([*deals["c0"].entries, came["c3"].entry], key=lambda e: run.names.index(e.sender))
    passed = dataclasses.replace(deals["c0"], entries=tuple(entries))
    with pytest.raises(Refused, match="'c3' is not signed"):
        run.parties["c0"].mask(run.vectors["c0"], passed, run.place)


def test_the_server_does_not_choose_the_number_of_neighbours():
    run = MaskedRun(20, neighbours=10)
    run.to_deals()
    for name, party in run.parties.items():
        graph = party._held.shared.graph
        assert len(graph.near(name, run.names)) == run.parameters.neighbours == 10


# ---------------------------------------------------------------------- keys


class TestKeys:
    """A server that shows a client false mask keys."""

    def setup_method(self):
        self.run = MaskedRun(5)
        self.entries = self.run.to_adverts().entries

    def refused(self, message, entries):
        with pytest.raises(Refused, match=message):
            self.run.parties["c0"].share(Adverts(tuple(entries)), self.run.place)

    def replaced(self, i, **change):
        return [dataclasses.replace(e, **change) if n == i else e for n, e in enumerate(self.entries)]

    def test_replaced_by_the_servers_own(self):
        self.refused("'c2' is not signed", self.replaced(2, public=ExchangeKey.fresh().public))

    def test_replaced_by_another_members(self):
        self.refused("'c2' is not signed", self.replaced(2, public=self.entries[1].public))
        self.refused(
            "'c2' is not signed",
            [*self.entries[:2], dataclasses.replace(self.entries[1], sender="c2"), *self.entries[3:]],
        )

    @pytest.mark.parametrize("where", [{"round_": 1}, {"attempt": 1}, {"purpose": "tell"}])
    def test_of_another_round_attempt_or_purpose(self, where):
        old = self.run.parties["c2"].advertise(self.run.at(**{"round_": 0, "attempt": 0, **where}))
        self.refused("'c2' is not signed", [*self.entries[:2], old, *self.entries[3:]])

    def test_twice(self):
        self.refused("twice", [*self.entries[:-1], self.entries[-2]])

    def test_of_strangers(self):
        stranger = Advert(sender="c9", public=ExchangeKey.fresh().public, signature=bytes(64))
        self.refused("'c9' cannot be among the mask keys", [*self.entries[:-1], stranger])

    def test_in_another_order(self):
        self.refused("order of the cohort", self.entries[::-1])

    def test_too_few(self):
        self.refused("3 mask keys are fewer than 4", self.entries[:3])

    def test_without_its_own(self):
        self.refused("own mask key is not among", self.entries[1:])

    def test_another_one_as_its_own(self):
        public = ExchangeKey.fresh().public
        forged = Advert(sender="c0", public=public, signature=self.run.sign("c0", "advert", public))
        self.refused("own mask key is not among", [forged, *self.entries[1:]])

    @pytest.mark.parametrize("public", [b"", bytes(31), bytes(32)])  # too short, and a point of small order
    def test_that_are_none_are_dropped_by_the_server(self, public):
        run = MaskedRun(5)
        came = run.advertised()
        came["c1"] = Advert(sender="c1", public=public, signature=run.sign("c1", "advert", public))
        run.server.adverts(came)
        assert "the mask key is none" in run.server.dropped["c1"]


# ---------------------------------------------------------------------- shares


class TestDeals:
    """A server that shows a client false deals."""

    def setup_method(self):
        self.run = MaskedRun(5)
        self.all = self.run.to_deals()
        self.deals = self.all["c0"]

    def refused(self, message, **change):
        with pytest.raises(Refused, match=message):
            self.run.parties["c0"].mask(
                self.run.vectors["c0"], dataclasses.replace(self.deals, **change), self.run.place
            )

    def test_a_client_is_not_isolated(self):
        # Of three of four neighbours the server says that they have dealt nothing.
        few = {name: self.deals.envelopes[name] for name in ("c1",)}
        self.refused("2 dealers are fewer than 4", entries=self.deals.entries[:2], envelopes=few)

    def test_no_edge_is_dropped_alone(self):
        envelopes = dict(self.deals.envelopes)
        del envelopes["c2"]
        self.refused("not those of this party's neighbours", envelopes=envelopes)

    def test_all_are_shown_the_same_dealers_or_nothing_is_locked(self):
        run = self.run
        entries = tuple(entry for entry in self.deals.entries if entry.sender != "c1")
        envelopes = {n: e for n, e in self.deals.envelopes.items() if n != "c1"}
        given = {**self.all, "c0": Deals(entries=entries, envelopes=envelopes)}
        survivors = Survivors(tuple(one.entry for one in run.masked(given).values()))
        for name in run.names:
            message = "'c1' cannot be among" if name == "c0" else "'c0' is not signed"
            with pytest.raises(Refused, match=message):
                run.parties[name].lock(survivors, run.place)

    def test_twice_stranger_order(self):
        entries = self.deals.entries
        self.refused("twice", entries=(*entries[:-1], entries[0]))
        self.refused("cannot be among", entries=(*entries[:-1], dataclasses.replace(entries[1], sender="c9")))
        self.refused("order of the cohort", entries=entries[::-1])

    @pytest.mark.parametrize("part", ["commitment", "envelopes", "signature"])
    def test_every_part_is_signed(self, part):
        value = bytearray(getattr(self.deals.entries[2], part))
        value[3] ^= 1
        changed = dataclasses.replace(self.deals.entries[2], **{part: bytes(value)})
        self.refused(
            "'c2' is not signed", entries=(*self.deals.entries[:2], changed, *self.deals.entries[3:])
        )

    def test_without_its_own(self):
        self.refused("own shares are not among", entries=self.deals.entries[1:])


@pytest.mark.parametrize("how", ["reflected", "swapped", "changed", "short", "empty", "old"])
def test_an_envelope_that_is_not_for_this_place_is_of_no_use(how):
    run = MaskedRun(10)
    deals = run.to_deals()
    good = deals["c0"].envelopes["c1"]
    changed = bytearray(good)
    changed[40] ^= 1
    other = MaskedRun(10)
    bad = {
        "reflected": deals["c1"].envelopes["c0"],
        "swapped": deals["c0"].envelopes["c2"],
        "changed": bytes(changed),
        "short": good[:-1],
        "empty": b"",
        "old": other.to_deals()["c0"].envelopes["c1"],
    }[how]
    given = dict(deals["c0"].envelopes) | {"c1": bad}
    deals["c0"] = dataclasses.replace(deals["c0"], envelopes=given)
    survivors = run.server.survivors(run.masked(deals))
    locks = run.server.locks(run.locked(survivors))
    came = run.unmasked(locks)
    assert "c1" not in came["c0"].shares  # it holds no share, and nobody is blamed
    result = run.server.sum(came)
    assert result.wrong == ()
    assert (result.total == run.sum_of(run.names)).all()


def test_an_envelope_of_another_attempt_does_not_open():
    run = MaskedRun(4)
    run.to_deals()
    old = run.parties["c1"]._held.shared.deal.envelopes[0]
    run.place = run.at(0, 1)
    run.server = type(run.server)(run.roster, run.parameters, run.place)
    deals = run.to_deals()
    with pytest.raises(envelope.EnvelopeError):
        party = run.parties["c0"]
        graph = party._held.shared.graph
        envelope.take(
            old,
            *party._context(run.place, graph.root, "c1", "c0"),
            sender=run.roster.by_name["c1"].exchange,
            receiver=run.keys[0].exchange,
            size=shares.BYTES,
        )
    assert len(deals) == 4


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"sender": "c2"}, "say that they are from 'c2'"),
        ({"envelopes": ()}, "0 envelopes came for 4 neighbours"),
        ({"envelopes": (bytes(10),) * 4}, "another length than a share"),
        ({"envelopes": (bytes(128),) * 4}, "not signed"),
        ({"commitment": bytes(32)}, "not signed"),
        ({"signature": b""}, "not signed"),
    ],
)
def test_malformed_deals_are_dropped(change, reason):
    run = MaskedRun(5)
    came = run.shared(run.to_adverts())
    came["c1"] = dataclasses.replace(came["c1"], **change)
    run.server.deals(came)
    assert reason in run.server.dropped["c1"]


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"sender": "c2"}, "says that it is from 'c2'"),
        ({"vector": np.zeros(4, np.uint32)}, "not of 5 words"),
        ({"vector": np.zeros((5, 1), np.uint32)}, "not of 5 words"),
        ({"vector": np.zeros(5, np.uint64)}, "not of uint32"),
        ({"vector": [0] * 5}, "malformed"),
        ({"vector": np.zeros(5, np.uint32)}, "not signed"),
        ({"signature": bytes(64)}, "not signed"),
    ],
)
def test_malformed_masked_vectors_are_dropped(change, reason):
    run = MaskedRun(5)
    came = run.masked(run.to_deals())
    came["c1"] = dataclasses.replace(came["c1"], **change)
    run.server.survivors(came)
    assert reason in run.server.dropped["c1"]


@pytest.mark.parametrize("phase", ["advertised", "shared", "masked"])
def test_messages_of_other_members_are_dropped(phase):
    run = MaskedRun(5)
    came = run.advertised()
    if phase == "advertised":
        run.server.adverts({**came, "c1": came["c2"]})
    else:
        came = run.shared(run.server.adverts(came))
        if phase == "shared":
            run.server.deals({**came, "c1": came["c2"]})
        else:
            came = run.masked(run.server.deals(came))
            run.server.survivors({**came, "c1": came["c2"]})
    assert "from 'c2'" in run.server.dropped["c1"]


def test_a_dealer_that_shares_another_key_makes_the_round_void_when_it_drops_out():
    run = MaskedRun(5)
    adverts = run.to_adverts()
    liar = run.parties["c1"]
    liar._held.key = ExchangeKey.fresh()  # not the one that it has advertised
    deals = run.server.deals(run.shared(adverts))
    survivors = run.server.survivors(run.masked(deals, gone=["c1"]))
    locks = run.server.locks(run.locked(survivors))
    with pytest.raises(VoidRoundError, match="of a secret of 'c1' do not restore what it dealt"):
        run.server.sum(run.unmasked(locks))


# ---------------------------------------------------------------------- survivors


def test_nobody_is_unmasked_as_alive_and_as_dropped():
    # The server shows half of the clients that c0 is alive, and half that it is not.
    run = MaskedRun(6)  # q = t = 5, c_max = 1
    survivors = run.to_survivors()
    without = Survivors(survivors.entries[1:])
    first = {n: run.parties[n].lock(survivors, run.place) for n in ("c0", "c1", "c2")}
    second = {n: run.parties[n].lock(without, run.place) for n in ("c3", "c4", "c5")}
    for name in run.names:
        for shown in (first, second, {**first, **second}):
            with pytest.raises(Refused, match="locked these survivors"):
                run.parties[name].unmask(signatures(shown), run.place)


def test_two_quorums_always_share_an_honest_client():
    for members in range(3, 200):
        found = choose(dimension=1, members=members, bound=1)
        assert 2 * found.quorum - members > found.corrupt
        assert found.near < found.threshold


def test_a_client_locks_one_set_for_an_attempt_and_may_say_it_again():
    run = MaskedRun(5)
    survivors = run.to_survivors()
    party = run.parties["c0"]
    first = party.lock(survivors, run.place)
    assert party.lock(survivors, run.place) == first
    with pytest.raises(Refused, match="already locked"):
        party.lock(Survivors(survivors.entries[:-1]), run.place)


def test_asked_twice_with_two_sets_a_client_unmasks_the_first_alone():
    run = MaskedRun(5)
    locks = run.to_locks()
    party = run.parties["c0"]
    first = party.unmask(locks, run.place)
    again = party.unmask(locks, run.place)
    assert shares_hash(again.shares) == shares_hash(first.shares)
    assert again.signature == first.signature
    fewer = Survivors(tuple(run.server._vectors[n].entry for n in run.names[:-1]))
    hashed = fewer.hash(run.server._root)
    forged = {n: Lock(run.sign(n, "lock", hashed)) for n in run.names}  # all others are corrupt
    with pytest.raises(Refused, match="already locked"):
        party.lock(fewer, run.place)
    with pytest.raises(Refused, match="0 clients locked these survivors"):
        party.unmask(signatures(forged), run.place)


def test_a_restart_forgets_the_secrets_and_not_what_was_done():
    run = MaskedRun(5)
    adverts = run.to_adverts()
    deals = run.server.deals(run.shared(adverts))
    survivors = run.server.survivors(run.masked(deals))
    locked = run.locked(survivors)
    run.parties["c0"].unmask(run.server.locks(locked), run.place)
    party = run.restarted("c0")
    fewer = Survivors(survivors.entries[:-1])
    for step in (
        lambda: party.unmask(signatures(locked), run.place),
        lambda: party.lock(fewer, run.place),
        lambda: party.lock(survivors, run.place),
        lambda: party.share(adverts, run.place),
        lambda: party.mask(run.vectors["c0"], deals["c0"], run.place),
    ):
        with pytest.raises(Refused, match="advertised no mask key in this attempt"):
            step()
    with pytest.raises(Refused, match="already advertised"):
        party.advertise(run.place)
    with pytest.raises(Refused, match="already advertised"):  # nor with another model
        party.advertise(run.at(0, 0, b"n" * 32))


def test_even_with_its_secrets_back_a_restarted_client_locks_and_unmasks_nothing_else():
    run = MaskedRun(5)
    locks = run.to_locks()
    held = run.parties["c0"]._held
    run.parties["c0"].unmask(locks, run.place)
    party = run.restarted("c0")
    party._held = held
    fewer = Survivors(held.survivors.entries[:-1])
    with pytest.raises(Refused, match="already locked"):
        party.lock(fewer, run.place)
    held.survivors = fewer
    hashed = fewer.hash(held.sent.root)
    forged = Locks({n: run.sign(n, "lock", hashed) for n in run.names})
    with pytest.raises(Refused, match="already unmasked"):
        party.unmask(forged, run.place)


def test_a_vector_is_masked_once_a_round_whatever_the_attempt():
    run = MaskedRun(4)
    deals = run.to_deals()
    run.masked(deals)
    with pytest.raises(Refused, match="already masked"):
        run.parties["c0"].mask(run.vectors["c1"], deals["c0"], run.place)
    run.place = run.at(0, 1)
    run.server = type(run.server)(run.roster, run.parameters, run.place)
    deals = run.to_deals()
    with pytest.raises(Refused, match="already masked"):
        run.parties["c0"].mask(run.vectors["c0"], deals["c0"], run.place)
    run.parties["c0"].mask(run.vectors["c0"] - 1, deals["c0"], run.place)


def test_a_client_that_is_left_out_helps_nobody():
    run = MaskedRun(5)
    survivors = run.to_survivors()
    with pytest.raises(Refused, match="own masked vector is not among"):
        run.parties["c0"].lock(Survivors(survivors.entries[1:]), run.place)


def test_survivors_are_not_fewer_than_the_least():
    run = MaskedRun(5)
    survivors = run.to_survivors()
    with pytest.raises(Refused, match="3 survivors are fewer than 4"):
        run.parties["c0"].lock(Survivors(survivors.entries[:3]), run.place)


def test_a_neighbourhood_is_not_emptied():
    # Five of ten neighbours of c0 are said to have dropped out: fewer than the cohort may lose in all.
    run = MaskedRun(20, neighbours=10, corrupt=0.0, dropouts=0.3, threshold=7)
    masked = run.masked(run.to_deals())
    cut = run.parties["c0"]._held.shared.graph.near("c0", run.names)[:5]
    left = Survivors(tuple(one.entry for name, one in masked.items() if name not in cut))
    assert len(left.entries) == 15 > run.parameters.survivors
    for name in ("c0", *(n for n in run.names if n not in cut)):
        with pytest.raises(Refused, match=r"fewer than 7 are left, and with them too few"):
            run.parties[name].lock(left, run.place)
    with pytest.raises(VoidRoundError, match="fewer than 7 are left"):
        run.server.survivors({n: one for n, one in masked.items() if n not in cut})


@pytest.mark.parametrize(("members", "neighbours"), [(24, 12), (40, 20)])
def test_no_choice_of_survivors_cuts_the_graph(members, neighbours):
    # Whatever clients accept leaves the honest survivors in one piece: tried on cuts that a server would try.
    found = choose(dimension=1, members=members, bound=1, neighbours=neighbours, dropouts=0.0)
    names = tuple(f"c{i}" for i in range(members))
    rng = np.random.default_rng(members)
    for trial in range(200):
        graph = Graph(names, neighbours, bytes([trial]) * 32)
        at = rng.integers(members, size=2)
        gaps = {graph.order[(a + step) % members] for a in at for step in range(rng.integers(neighbours + 1))}
        corrupt = {names[i] for i in rng.choice(members, size=found.corrupt, replace=False)}
        left = tuple(name for name in names if name not in gaps)
        if graph.alone(left, left, found.threshold):
            continue
        assert connected(graph, [name for name in left if name not in corrupt])


def connected(graph, names):
    reached, new = set(), {names[0]}
    while new:
        reached |= new
        new = {other for name in new for other in graph.near(name, names)} - reached
    return reached == set(names)


def test_survivors_that_are_none():
    run = MaskedRun(5)
    entries = run.to_survivors().entries
    strange = dataclasses.replace(entries[1], sender="c9")
    forged = dataclasses.replace(entries[1], vector=bytes(32))
    own = dataclasses.replace(
        entries[0], vector=bytes(32), signature=run.sign("c0", "vector", run.server._root, bytes(32))
    )
    for message, changed in (
        ("twice", (*entries[:-1], entries[0])),
        ("'c9' cannot be among", (*entries[:-1], strange)),
        ("order of the cohort", entries[::-1]),
        ("'c1' is not signed", (entries[0], forged, *entries[2:])),
        ("own masked vector is not among", (own, *entries[1:])),
    ):
        with pytest.raises(Refused, match=message):
            run.parties["c0"].lock(Survivors(changed), run.place)


def test_unmasking_needs_a_quorum_of_locks_on_the_same_survivors():
    run = MaskedRun(5)  # q = 4
    locked = run.locked(run.to_survivors())
    shown = signatures(locked).signatures
    few = dict(list(shown.items())[:3])
    party = run.parties["c0"]
    for false in (
        few,
        {**few, "c9": shown["c4"]},
        {**few, "c3": shown["c4"]},
        {**few, "c3": bytes(64)},
        {**few, "c3": run.sign("c3", "lock", run.server._hash, place=run.at(0, 1))},
        dict.fromkeys(shown, shown["c0"]),
        {},
    ):
        with pytest.raises(Refused, match="locked these survivors"):
            party.unmask(Locks(false), run.place)
    party.unmask(Locks(shown), run.place)
    with pytest.raises(VoidRoundError, match="3 clients locked"):
        run.server.locks({**locked, "c0": Lock(bytes(64)), "c1": locked["c2"]})


def test_shares_of_seed_and_key_are_not_both_opened():
    run = MaskedRun(5)
    came = run.unmasked(run.to_locks(gone=["c2"]))
    for name, told in came.items():
        both = run.parties[name]._held.sent.shares
        for dealer, share in told.shares.items():
            assert share.shape == (shares.ELEMENTS,)
            kept = both[dealer][: shares.ELEMENTS] if dealer == "c2" else both[dealer][shares.ELEMENTS :]
            assert not np.isin(share, kept).any()
    # Who asks for both in one answer is not understood, and a holder that sends both is not used.
    double = {n: np.concatenate([s, s]) for n, s in came["c0"].shares.items()}
    signature = run.sign("c0", "unmask", run.server._hash, shares_hash(double))
    with pytest.raises(VoidRoundError, match="3 shares of a secret"):
        run.server.sum({**came, "c0": Unmasking(shares=double, signature=signature)})


@pytest.mark.parametrize(
    "share", [np.zeros(5), np.zeros(4, np.uint64), np.full(5, 2**64 - 1, np.uint64), [0] * 5]
)
def test_shares_that_are_none_do_not_count(share):
    run = MaskedRun(10)
    came = run.unmasked(run.to_locks())
    came["c3"] = dataclasses.replace(came["c3"], shares={**came["c3"].shares, "c0": share})
    assert (run.server.sum(came).total == run.sum_of(run.names)).all()


def test_below_the_threshold_shares_say_nothing_of_a_secret():
    run = MaskedRun(5)  # t = 4
    came = run.unmasked(run.to_locks())
    points = [1, 2, 3]
    rows = np.stack([came[n].shares["c4"] for n in ("c0", "c1", "c2")])
    with pytest.raises(shares.ShareError):
        shares.restore(points, rows, 3, lambda found: run.server._is_dealt("c4", found))


# ---------------------------------------------------------------------- what is shown


def test_secrets_do_not_print():
    run = MaskedRun(4)
    locks = run.to_locks()
    came = run.unmasked(locks)
    party = run.parties["c0"]
    held = party._held
    secrets = [held.key.private.reveal(), held.shared.seed.reveal()]
    printed = repr((party, held, held.shared, held.sent, came, run.parties, held.shared.deal))
    for secret in secrets:
        assert secret.hex() not in printed
        assert repr(secret) not in printed
    for row in (*came["c0"].shares.values(), *held.sent.shares.values()):
        assert str(int(row[0])) not in printed


def test_what_is_remembered_holds_no_secret():
    run = MaskedRun(4)
    attempt(run, {})
    for name, party in run.parties.items():
        held = party._held
        kept = b"".join(run.memories[int(name[1:])].values())
        assert held.key.private.reveal() not in kept
        assert held.shared.seed.reveal() not in kept


# ---------------------------------------------------------------------- malformed messages


def refused(party, phase, message, place):
    with pytest.raises(Refused):
        if type(phase) is str and phase == "train":
            party.send(np.zeros(5, np.int64), message, place)
        else:
            party.answer(phase, message, place)


def messages(run):
    """What the server sends to the first client in each phase, as the phases go on."""
    adverts = run.to_adverts()
    yield "share", adverts, adverts.entries
    deals = run.server.deals(run.shared(adverts))
    yield "train", deals["c0"], deals["c0"].entries
    survivors = run.server.survivors(run.masked(deals))
    yield "lock", survivors, survivors.entries
    locks = run.server.locks(run.locked(survivors)).signatures
    yield "unmask", Locks(dict(list(locks.items())[:4])), ()  # no more than are needed


def test_whatever_a_server_sends_a_client_refuses_it_and_goes_on():
    run = MaskedRun(5)
    party, bare = run.parties["c0"], run.at(0, 0)
    for phase, good, entries in messages(run):
        before = dict(run.memories[0])
        # Any bytes are an envelope: one that is of no use.
        for bad in (*variants(good), *inside(good, (bytes,) if phase == "train" else ()), *JUNK):
            refused(party, phase, bad, run.place)
        for entry in entries[:1]:
            for bad in variants(entry):
                refused(party, phase, dataclasses.replace(good, entries=(bad, *entries[1:])), run.place)
        for junk in JUNK:
            refused(party, junk, good, run.place)
        for place in inside(bare):
            refused(party, phase, good, place)
        for place in (*variants(bare), *JUNK):
            told = vars(place) if type(place) is type(run.place) else {}
            if [(type(v), v) for v in told.values()] == [(type(v), v) for v in vars(bare).values()]:
                continue  # this is the place itself: a round or attempt of 0 is not junk
            refused(party, phase, good, place)
        assert run.memories[0] == before
    assert np.array_equal(run.server.sum(run.unmasked(good)).total, run.sum_of(run.names))


def test_whatever_a_client_sends_the_server_drops_it_with_a_reason():
    run = MaskedRun(6)
    adverts = run.advertised()
    for bad in (*variants(adverts["c1"]), *JUNK):
        server = Coordinator(run.roster, run.parameters, run.place)
        server.adverts({**adverts, "c1": bad})
        assert set(server.dropped) == {"c1"}
        assert 0 < len(server.dropped["c1"]) < 200
    shown = run.server.adverts(adverts)
    deals = run.shared(shown)
    for bad in (*variants(deals["c1"]), *inside(deals["c1"]), *JUNK):
        server = Coordinator(run.roster, run.parameters, run.place)
        server.adverts(adverts)
        server.deals({**deals, "c1": bad})
        assert set(server.dropped) == {"c1"}
    given = run.server.deals(deals)
    vectors = run.masked(given)
    for bad in (*variants(vectors["c1"]), *JUNK):
        server = Coordinator(run.roster, run.parameters, run.place)
        server.adverts(adverts)
        server.deals(deals)
        server.survivors({**vectors, "c1": bad})
        assert set(server.dropped) == {"c1"}
    locks = run.locked(run.server.survivors(vectors))
    left = run.server.left
    for bad in (*variants(locks["c1"]), *JUNK):
        run.server.left = left
        assert "c1" not in run.server.locks({**locks, "c1": bad, "stranger": bad}).signatures
    run.server.left = left
    unmasked = run.unmasked(run.server.locks(locks))
    for bad in (*variants(unmasked["c1"]), *inside(unmasked["c1"]), *JUNK):
        result = run.server.sum({**unmasked, "c1": bad, "stranger": bad})
        assert np.array_equal(result.total, run.sum_of(run.names))
        assert result.wrong == ()


@pytest.mark.parametrize("purpose", ["", "train 1", "1 vector", "x\n", "tr\u00e4in", "x" * 33])
def test_a_purpose_that_could_be_read_as_another_note_is_none(purpose):
    # What a client has done is written down by purpose, round and attempt, in one text.
    run = MaskedRun(4)
    with pytest.raises(Refused, match="the purpose is none"):
        run.parties["c0"].answer("advertise", None, dataclasses.replace(run.place, purpose=purpose))


def test_hashes_are_computed_and_not_taken():
    # A message brings the values of its own computed hashes along.
    run = MaskedRun(5)
    adverts = run.to_adverts()
    deals = run.shared(adverts)
    false = dataclasses.replace(deals["c1"], envelopes=deals["c2"].envelopes)
    false.__dict__["entry"] = deals["c1"].entry
    server = Coordinator(run.roster, run.parameters, run.place)
    server.adverts({entry.sender: entry for entry in adverts.entries})
    server.deals({**deals, "c1": false})
    assert set(server.dropped) == {"c1"}
    masked = run.masked(run.server.deals(deals))
    false = dataclasses.replace(masked["c1"], vector=masked["c1"].vector + np.uint32(1))
    false.__dict__["entry"] = masked["c1"].entry
    run.server.survivors({**masked, "c1": false})
    assert set(run.server.dropped) == {"c1"}
    place = run.at(0, 0)
    place.__dict__["parts"] = run.at(1, 0).parts
    run.memories[2].clear()
    advert = run.restarted("c2").answer("advertise", None, place)
    assert is_from(run.roster.by_name["c2"], advert.signature, run.place, "masking.advert", advert.public)


@pytest.mark.parametrize(
    "change",
    [
        lambda a: np.asfortranarray(np.stack([a, a]))[0],
        lambda a: a[::-1].copy()[::-1],
        lambda a: np.repeat(a, 2)[::2],
        lambda a: np.frombuffer(b"x" + a.tobytes(), np.uint8)[1:].view(a.dtype),
        lambda a: a.astype(np.dtype(a.dtype.str, metadata={"x": 1})),
    ],
    ids=["fortran", "backwards", "strided", "unaligned", "described"],
)
def test_how_an_array_lies_in_memory_changes_nothing(change):
    run = MaskedRun(6)
    masked = run.masked(run.to_deals(), gone=["c5"])
    masked["c1"] = dataclasses.replace(masked["c1"], vector=change(masked["c1"].vector))
    came = run.unmasked(run.server.locks(run.locked(run.server.survivors(masked))))
    told = {name: change(share) for name, share in came["c1"].shares.items()}
    result = run.server.sum({**came, "c1": dataclasses.replace(came["c1"], shares=told)})
    assert np.array_equal(result.total, run.sum_of(run.names[:5]))
    assert result.wrong == ()


def test_an_array_that_claims_more_than_it_has_costs_nothing():
    run = MaskedRun(6)
    masked = run.masked(run.to_deals())
    for vector in (np.broadcast_to(np.uint32(1), 1 << 45), np.broadcast_to(np.uint32(1), (1 << 40, 5))):
        server = Coordinator(run.roster, run.parameters, run.place)
        server.left, server._root = run.names, run.server._root
        server.survivors({**masked, "c1": dataclasses.replace(masked["c1"], vector=vector)})
        assert server.dropped == {"c1": "the masked vector is not of 5 words"}
    came = run.unmasked(run.server.locks(run.locked(run.server.survivors(masked))))
    huge = np.broadcast_to(np.uint64(1), (1 << 45, 5))
    told = dataclasses.replace(came["c1"], shares={**came["c1"].shares, "c0": huge})
    assert np.array_equal(run.server.sum({**came, "c1": told}).total, run.sum_of(run.names))

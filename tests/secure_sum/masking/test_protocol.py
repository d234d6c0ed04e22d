"""The phases of a masked sum: dropouts anywhere, wrong shares, and a whole round through its generator."""

from __future__ import annotations

import dataclasses
import itertools

import numpy as np
import pytest

from hansa.crypto.envelope import ExchangeKey
from hansa.crypto.signature import SigningKey
from hansa.errors import ConfigurationError, UpdateError, VoidRoundError
from hansa.secure_sum import SECURE_SUMS
from hansa.secure_sum.interface import Keys, Refused, Run, Shape
from hansa.secure_sum.masking.masking import Masking
from hansa.secure_sum.masking.messages import Deals, Locks, Survivors, Unmasking, shares_hash, vector_hash
from hansa.secure_sum.roster import Member, Roster
from hansa.types import Answer, Ask, Reply
from masking_run import CONFIGURATION, PHASES, MaskedRun, attempt, expected


def patterns(count, most):
    """All ways in which up to so many clients drop out, each in one of the phases."""
    for size in range(most + 1):
        for names in itertools.combinations([f"c{i}" for i in range(count)], size):
            for phases in itertools.product(PHASES, repeat=size):
                yield {p: [n for n, at in zip(names, phases, strict=True) if at == p] for p in PHASES}


@pytest.mark.parametrize(("count", "neighbours"), [(5, None), (20, 10)])
def test_what_a_client_sends_has_the_size_that_is_told(count, neighbours):
    run = MaskedRun(count, neighbours=neighbours)
    told = run.parameters.describe()
    deals = run.shared(run.to_adverts())
    masked = run.masked(run.server.deals(deals))
    came = run.unmasked(run.server.locks(run.locked(run.server.survivors(masked))))
    for name in run.names:
        assert sum(map(len, deals[name].envelopes)) == told["share_bytes"]
        assert masked[name].vector.nbytes == told["bytes"]
        assert sum(share.nbytes for share in came[name].shares.values()) == told["opening_bytes"]


@pytest.mark.parametrize("count", [4, pytest.param(5, marks=pytest.mark.slow)])
def test_every_dropout_pattern_gives_the_plain_sum_or_nothing(count):
    for gone in patterns(count, 2):
        run = MaskedRun(count)
        if sum(map(len, gone.values())) > 1:  # of four and of five clients one may drop out
            with pytest.raises(VoidRoundError, match=r"Nothing was (unmasked|learned)"):
                attempt(run, gone)
            continue
        result = attempt(run, gone)
        assert result.survivors == expected(run, gone)
        assert (result.total == run.sum_of(result.survivors)).all()
        assert result.total.dtype == np.int64
        assert result.wrong == ()


@pytest.mark.parametrize(
    ("count", "neighbours"),
    [(20, 10), (20, 12), (10, None), pytest.param(100, None, marks=pytest.mark.slow)],
)
def test_sampled_dropouts_over_all_phases(count, neighbours):
    rng = np.random.default_rng(count)
    for trial in range(4 if count < 100 else 2):
        run = MaskedRun(count, neighbours=neighbours)
        most = count - run.parameters.survivors
        gone = {phase: [] for phase in PHASES}
        for i in rng.choice(count, size=most, replace=False):
            gone[PHASES[rng.integers(5)]].append(f"c{i}")
        result = attempt(run, gone)
        assert result.survivors == expected(run, gone)
        assert (result.total == run.sum_of(result.survivors)).all()
        if trial % 2 == 0:  # one more than may, before the vectors are sent
            run = MaskedRun(count, neighbours=neighbours)
            names = [f"c{i}" for i in rng.choice(count, size=most + 1, replace=False)]
            with pytest.raises(VoidRoundError, match="Nothing was unmasked"):
                attempt(run, {"train": names})


def test_a_client_masks_with_its_neighbours_alone():
    run = MaskedRun(20, neighbours=10)
    deals = run.to_deals()
    assert all(len(given.envelopes) == 10 for given in deals.values())
    masked = run.masked(deals)
    run.server.survivors(masked)
    for name, given in deals.items():
        assert name not in given.envelopes
        assert all(name in deals[other].envelopes for other in given.envelopes)


@pytest.mark.parametrize("bound", [2**29 - 1, 2**60])
def test_both_moduli_at_the_bound(bound):
    for sign in (-1, 1):
        run = MaskedRun(3, bound=bound, dimension=3)
        assert run.parameters.modulus_bits == (32 if bound < 2**30 else 64)
        run.vectors = {name: np.array([sign * bound, 0, -sign * bound]) for name in run.names}
        assert attempt(run, {}).total.tolist() == [3 * sign * bound, 0, -3 * sign * bound]


@pytest.mark.parametrize("count", [1, 2])
def test_few_where_it_is_meant(count):
    run = MaskedRun(count, may_be_few=True)
    assert (attempt(run, {}).total == run.sum_of(run.names)).all()


def test_long_vectors_are_masked_block_by_block():
    run = MaskedRun(4, dimension=100_003)
    result = attempt(run, {"train": ["c2"]})
    assert (result.total == run.sum_of(["c0", "c1", "c3"])).all()


def test_several_rounds_over_the_same_memory():
    run = MaskedRun(4)
    for number in range(3):
        run.place = run.at(number, 0)
        run.server = type(run.server)(run.roster, run.parameters, run.place)
        assert (attempt(run, {}).total == run.sum_of(run.names)).all()


# ---------------------------------------------------------------------- wrong shares


def falsified(run, came, name, dealer):
    """The unmasking of a client that changes one share and signs it."""
    changed = {d: share.copy() for d, share in came[name].shares.items()}
    changed[dealer][2] = (int(changed[dealer][2]) + 1) % 2**40
    signature = run.sign(name, "unmask", run.server._hash, shares_hash(changed))
    return {**came, name: Unmasking(shares=changed, signature=signature)}


@pytest.mark.parametrize("name", ["c0", "c9"])
@pytest.mark.parametrize("dealer", ["c3", "c5"])
def test_wrong_shares_are_corrected_and_named(name, dealer):
    run = MaskedRun(10)  # t = 7: one wrong among nine can be located
    came = run.unmasked(run.to_locks(gone=["c5"]))
    result = run.server.sum(falsified(run, came, name, dealer))
    assert result.wrong == (name,)
    assert (result.total == run.sum_of([n for n in run.names if n != "c5"])).all()


def test_wrong_shares_that_cannot_be_located_make_the_round_void_and_name_the_dealer():
    run = MaskedRun(4)
    came = run.unmasked(run.to_locks(gone=["c1"]))
    for dealer in ("c2", "c1"):
        with pytest.raises(VoidRoundError, match=f"of a secret of '{dealer}' do not restore") as told:
            run.server.sum(falsified(run, came, "c3", dealer))
        assert told.value.__cause__ is not None


def test_a_spare_share_that_is_wrong_does_no_harm():
    run = MaskedRun(4)  # four shares, of which three restore: one wrong cannot be located
    came = run.unmasked(run.to_locks())
    result = run.server.sum(falsified(run, came, "c3", "c0"))
    assert (result.total == run.sum_of(run.names)).all()


def test_shares_that_were_changed_on_their_way_do_not_count():
    run = MaskedRun(10)
    came = run.unmasked(run.to_locks())
    forged = falsified(run, came, "c3", "c0")
    forged["c3"] = dataclasses.replace(forged["c3"], signature=came["c3"].signature)
    result = run.server.sum(forged)
    assert result.wrong == ()
    assert (result.total == run.sum_of(run.names)).all()


def test_a_false_masked_vector_makes_the_sum_void():
    run = MaskedRun(5, dimension=50)
    masked = run.masked(run.to_deals())
    vector = masked["c1"].vector + np.uint32(2**31)
    signature = run.sign("c1", "vector", run.server._root, vector_hash(vector))
    masked["c1"] = dataclasses.replace(masked["c1"], vector=vector, signature=signature)
    run.server.survivors(masked)
    # The client itself does not lock a vector that is not its own, so the others go on.
    survivors = run.server.survivors(masked)
    locks = run.server.locks(run.locked(survivors, gone=["c1"]))
    with pytest.raises(VoidRoundError, match="a masked vector is false"):
        run.server.sum(run.unmasked(locks))


# ---------------------------------------------------------------------- through the generator


def drive(sums, keys, vectors, gone=()):
    """A tiny engine: asks each client in turn; those gone never answer from the phase they leave in."""
    names = tuple(vectors)
    parties = {name: sums.party(name, keys[name], {}) for name in names}
    steps = sums.collect(Ask(phase="train", clients=names), number=0)
    ask, left, seen = next(steps), set(names), []
    while True:
        seen.append(ask.phase)
        left -= set(dict(gone).get(ask.phase, ()))
        replies, dropped = {}, {}
        for name in ask.clients:
            if name not in left:
                dropped[name] = "it is gone"
                continue
            try:
                if ask.phase == "train":
                    message = parties[name].send(vectors[name], ask.each[name], ask.place)
                else:
                    message = parties[name].answer(ask.phase, ask.each.get(name), ask.place)
            except Refused as error:
                dropped[name] = str(error)
            else:
                replies[name] = Reply(message=message)
        try:
            ask = steps.send(Answer(replies=replies, dropped=dropped, bytes_up=1))
        except StopIteration as end:
            return end.value, seen


def planned(count, **settings):
    keys = {f"c{i}": Keys(ExchangeKey.fresh(), SigningKey.fresh()) for i in range(count)}
    members = tuple(
        Member(name=name, exchange=own.exchange.public, signing=own.signing.public)
        for name, own in keys.items()
    )
    run = Run(roster=Roster(members), configuration=CONFIGURATION)
    return Masking(**settings).plan(Shape(dimension=4, members=count, bound=100), run), keys


def test_a_round_through_its_generator():
    sums, keys = planned(6)
    vectors = {name: np.arange(4) * i - 7 for i, name in enumerate(keys)}
    answer, phases = drive(sums, keys, vectors, {"train": ["c4"]}.items())
    assert tuple(phases) == PHASES
    assert answer.total.vector.tolist() == sum(v for n, v in vectors.items() if n != "c4").tolist()
    assert answer.total.count == 5
    assert tuple(answer.replies) == ("c0", "c1", "c2", "c3", "c5")
    assert all(reply.message is None for reply in answer.replies.values())
    assert answer.dropped == {"c4": "it is gone"}
    assert answer.bytes_up == 5
    assert dict(answer.corrected) == {}


def test_who_is_gone_before_training_is_named_too():
    sums, keys = planned(6)
    vectors = {name: np.ones(4, np.int64) for name in keys}
    answer, _ = drive(sums, keys, vectors, {"advertise": ["c1"]}.items())
    assert answer.dropped == {"c1": "it is gone"}
    assert answer.total.vector.tolist() == [5, 5, 5, 5]
    with pytest.raises(VoidRoundError, match="it is gone"):
        drive(sums, keys, vectors, {"advertise": ["c1"], "share": ["c2"]}.items())


def test_the_declaration():
    assert SECURE_SUMS["masking"] is Masking
    sums, _ = planned(6)
    assert sums.describe()["kind"] == "masking"
    assert "masks with all others" in sums.explain()
    with pytest.raises(ConfigurationError, match="size changes"):
        Masking().plan(Shape(dimension=4, members=None, bound=100))
    with pytest.raises(ConfigurationError, match="quantise"):
        Masking().plan(Shape(dimension=4, members=4, bound=None))
    alone = Masking().plan(Shape(dimension=4, members=4, bound=100))
    with pytest.raises(ConfigurationError, match="needs a roster"):
        next(alone.collect(Ask(phase="train", clients=("a",)), number=0))


# ---------------------------------------------------------------------- what a client refuses of itself


@pytest.mark.parametrize(
    ("vector", "message"),
    [
        (np.zeros(5), "only vectors of int64"),
        (np.zeros(5, np.float32), "only vectors of int64"),
        (np.zeros(5, np.int32), "only vectors of int64"),
        ([0] * 5, "only vectors of int64"),
        (np.zeros(6, np.int64), "does not fit"),
        (np.zeros((5, 1), np.int64), "does not fit"),
        (np.array([0, 0, 1001, 0, 0]), "above the bound of 1000"),
        (np.array([0, 0, -1001, 0, 0]), "above the bound of 1000"),
        (np.array([0, 0, -(2**63), 0, 0]), "above the bound of 1000"),
    ],
)
def test_vectors_that_do_not_fit_are_not_masked_and_nothing_is_used_up(vector, message):
    run = MaskedRun(4)
    deals = run.to_deals()
    with pytest.raises(UpdateError, match=message):
        run.parties["c0"].mask(vector, deals["c0"], run.place)
    run.server.survivors(run.masked(deals))


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
    run = MaskedRun(5)
    with pytest.raises(Refused, match=message):
        run.parties["c0"].advertise(dataclasses.replace(run.place, **change))


def test_a_party_joins_one_run_and_only_as_itself():
    run = MaskedRun(4)
    party = run.restarted("c0")
    members = list(run.roster.members)
    swapped = [dataclasses.replace(members[0], signing=b"x" * 32), *members[1:]]
    with pytest.raises(Refused, match="not in the roster with its own keys"):
        party.join(Roster(tuple(swapped)), CONFIGURATION, run.parameters)
    with pytest.raises(Refused, match="that is another run"):
        party.join(run.roster, b"d" * 32, run.parameters)
    lower = dataclasses.replace(run.parameters, threshold=2)
    with pytest.raises(Refused, match="that is another run"):
        party.join(run.roster, CONFIGURATION, lower)


def test_phases_out_of_order_and_messages_of_another_kind():
    run = MaskedRun(4)
    party, place = run.parties["c0"], run.place
    with pytest.raises(Refused, match="no phase 'open'"):
        party.answer("open", None, place)
    for phase in ("share", "lock", "unmask"):
        with pytest.raises(Refused, match="NoneType is in the place of"):
            party.answer(phase, None, place)
    with pytest.raises(Refused, match="in the place of Deals"):
        party.send(run.vectors["c0"], None, place)
    adverts = run.to_adverts()
    with pytest.raises(Refused, match="dealt no shares"):
        party.send(run.vectors["c0"], Deals(entries=(), envelopes={}), place)
    assert party.answer("share", adverts, place).sender == "c0"
    with pytest.raises(Refused, match="masked nothing"):
        party.answer("lock", Survivors(()), place)
    with pytest.raises(Refused, match="locked no survivors"):
        party.answer("unmask", Locks({}), place)

"""Runs in which clients add noise to their updates, and prove the norms of both."""

import dataclasses

import numpy as np
import pytest

import hansa
from hansa import protect
from hansa.errors import ConfigurationError
from hansa.privacy import DistributedDP, LocalDP
from hansa.protect import LOUD, protected
from hansa.rng import Seeds
from hansa.secure_sum.sealed import dealing, seal
from hansa.secure_sum.sealed.party import Party
from hansa.types import Delta, Reply, Start
from hansa.zk import prover
from least_squares import federation, population

PROVEN = hansa.Sealed(proof=hansa.NormBound())
LOCAL = {"steps": 3, "batch_size": 2}
QUANTISE = hansa.Quantise(bound=2**14)
PLANS = [DistributedDP, LocalDP]


def declared(privacy, secure_sum=PROVEN, **settings):
    given = {"algorithm": hansa.FedAvg(**LOCAL), "quantise": QUANTISE, "seed": 3, **settings}
    return federation(population((5, 8, 13, 21)), secure_sum=secure_sum, privacy=privacy, **given)


def trained(privacy, secure_sum=PROVEN, rounds=2, **settings):
    made = declared(privacy, secure_sum, **settings)
    made.fit(rounds)
    return made


@pytest.mark.parametrize("plan", PLANS)
def test_model_and_promise_are_those_without_proofs(plan):
    """The same noise gives the same sum: what is proven adds nothing to it, and takes nothing away."""
    privacy = plan(rounds=2, noise_multiplier=0.5, seed=5)
    proven = trained(privacy)
    other = trained(privacy, "sealed")
    assert not any(record.dropped or record.void for record in proven.records)
    assert proven.model_hash == other.model_hash
    mine, unproven = (made.plan().private for made in (proven, other))
    assert mine.guarantee() == unproven.guarantee()
    assert [r.privacy for r in proven.records] == [r.privacy for r in other.records]
    assert mine.facts.fewest == 3  # of four: as much noise as is promised, if one falls silent


def lying(monkeypatch, change):
    """Let c1 seal other rows than it has, and prove what it can."""
    real = Party.seal

    def lied(self, vector, place):
        lies = self.member.name == "c1" and place.purpose == "train"
        return real(self, change(vector.copy()) if lies else vector, place)

    monkeypatch.setattr(Party, "seal", lied)
    monkeypatch.setattr(seal, "_check_vector", lambda *_: None)
    monkeypatch.setattr(dealing, "prove", lambda *given: prover.prove(*given, check=False))


@pytest.mark.parametrize("row", [0, 1], ids=["update", "noise"])
def test_who_lies_in_either_row_is_named_and_the_others_summed(monkeypatch, row):
    def longer(vector):
        vector[row] = 0
        vector[row, 0] = bounds[row] + 1
        return vector

    made = declared(DistributedDP(rounds=1, noise_multiplier=0.5))
    bounds = made.plan().encoder.grid.bound_l2, made.plan().sums.noise_norm
    lying(monkeypatch, longer)
    made.fit(1)
    assert list(made.records[0].dropped) == ["c1"]
    assert "its proof was rejected" in made.records[0].dropped["c1"]
    assert not made.records[0].void  # the three that are left bring all of the noise
    assert np.isfinite(made.weights).all()


def test_all_noise_in_the_direction_of_the_update_is_the_most_that_a_lie_adds(monkeypatch):
    """The split is free, and no proof can tell noise from an update: it is bounded, and that is all."""

    def longest(vector):
        vector[:] = 0
        vector[:, 0] = bounds
        return vector

    made = declared(LocalDP(rounds=1, noise_multiplier=0.01))
    bounds = made.plan().encoder.grid.bound_l2, made.plan().sums.noise_norm
    lying(monkeypatch, longest)
    made.fit(1)
    assert not made.records[0].dropped
    assert not made.records[0].void
    assert f"who lies adds up to {sum(bounds)}" in made.plan().sums.explain()


# ------------------------------------------------------------------ noise that is too long


@pytest.mark.parametrize("plan", PLANS)
def test_who_draws_too_long_a_noise_abstains_and_does_not_draw_again(monkeypatch, plan):
    drawn = []

    def loud(private, size, key):
        drawn.append(key)
        noise = np.zeros(size, np.int64)
        if len(drawn) == 2:
            noise[:] = made.plan().sums.noise_norm // 2 + 1  # of norm T + 2, and none is large
        return noise

    made = declared(plan(rounds=1, noise_multiplier=0.5))
    monkeypatch.setattr(protect, "_own_noise", loud)
    made.fit(1)
    assert made.records[0].dropped == {"c1": LOUD}
    assert not made.records[0].void
    assert len(drawn) == 4


@pytest.mark.parametrize("plan", PLANS)
def test_whether_a_client_abstains_tells_nothing_of_its_update(monkeypatch, plan):
    made = declared(plan(rounds=1, noise_multiplier=0.5)).plan()
    most = made.sums.noise_norm
    start = Start(round=0, weights=made.initial, seed=b"r" * 32)

    def told(update, noise):
        monkeypatch.setattr(protect, "_own_noise", lambda *_: np.array(noise))
        reply = Reply(delta=Delta(vector=np.array(update, np.float32), weight=1.0), examples=5)
        return protected(made, "c0", reply, start=start, seeds=Seeds(0, b"s" * 32))

    size = made.sum_size
    quiet = [[most, *[0] * (size - 1)], [-(most // 2)] * 4 + [0] * (size - 4)]
    loud = [[most, 1, *[0] * (size - 2)], [-most - 1, *[0] * (size - 1)], [most // 2 + 1] * size]
    for update in ([0.0] * 4, [1e30] * 4, [1.0, -1.0, 1.0, -1.0], [np.nan] * 4):
        for noise in quiet:
            rows = told(update, noise).delta.vector
            assert rows.shape == (2, size)
            assert rows[1].tolist() == noise
            assert int(rows[0] @ rows[0]) <= made.encoder.grid.bound_l2**2
        for noise in loud:
            assert told(update, noise).delta is None
            assert told(update, noise).refusal == LOUD
        with monkeypatch.context() as patch:  # within the norm, and beyond what one value may get
            patch.setattr(plan, "largest_noise", most - 1)
            assert told(update, quiet[0]).refusal == LOUD
            assert told(update, quiet[1]).delta is not None


# ------------------------------------------------------------------ what fits


@pytest.mark.parametrize("plan", PLANS)
def test_as_many_steps_are_taken_as_can_be_proven(plan):
    made = declared(plan(rounds=1, noise_multiplier=4.0), quantise=None).plan()
    proven = made.describe()["secure_sum"]["proof"]
    assert proven["noise"] == made.private.noise_norm <= 2**26
    assert proven["norm"] == made.encoder.grid.bound_l2 > 2**12
    wanted = dataclasses.replace(made.settled, bound=16 * made.settled.bound)
    with pytest.raises(ConfigurationError, match=r"noise may be \d+\. Quantise to fewer steps"):
        declared(plan(rounds=1, noise_multiplier=4.0), quantise=wanted).plan()


def test_the_report_tells_both_bounds():
    from hansa.report.secure_sum import _numbers

    told = dict(_numbers(declared(LocalDP(rounds=1, noise_multiplier=0.5)).plan().sums.describe()))
    assert "Norm that each client proves its noise within, in steps" in told
    assert "Norm that each client proves its update within, in steps" in told

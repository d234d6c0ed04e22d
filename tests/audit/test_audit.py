"""The audit is green on every plan that Hansa brings, and red on each fault that is planted."""

import dataclasses
import functools
import json

import numpy as np
import pytest

import privacy_faults as faults
from hansa.audit import BUILT_IN, Finding, Settings, audit
from hansa.audit.canaries import Directions
from hansa.audit.loss import epsilon_lower_bound
from hansa.bridge import load_trainer
from hansa.engine import Vector
from hansa.errors import ConfigurationError, VoidRoundError
from hansa.privacy import Budget, RecordDP, accountant
from hansa.secure_sum import as_secure_sum

SPENT = functools.cache(accountant.spent)

SMALL = Settings(canaries=60, rounds=5, seed=2)
CENTRAL, SECRET, ADAPTIVE = "CentralDP", "CentralDP, drawn in secret", "CentralDP, adaptive clip"
WEIGHED = "CentralDP, weights by rows"
LOCAL, BLT, DISTRIBUTED, RECORD = "LocalDP", "MatrixDP, blt", "DistributedDP", "RecordDP"


@pytest.fixture(autouse=True)
def accounted_once(monkeypatch):
    """The same events are accounted for again and again, which takes most of the time."""
    monkeypatch.setattr("hansa.privacy.accountant.spent", SPENT)


def audited(name):
    plan = BUILT_IN[name]
    if name == DISTRIBUTED:
        plan = dataclasses.replace(plan, threshold=40)
    few = dataclasses.replace(SMALL, canaries=24) if name == LOCAL else SMALL
    return audit(plan, few, name=name)


MARKED = [pytest.param(name, marks=[pytest.mark.backends] * (name == RECORD)) for name in BUILT_IN]


@pytest.mark.parametrize("name", MARKED)
def test_green_on_every_plan(name):
    found = audited(name)
    assert found.passed, found.failed
    assert 0 <= found.proven <= found.claimed
    assert json.loads(json.dumps(found.describe()))["passed"]


@pytest.mark.parametrize(
    ("name", "fault", "told"),
    [
        (CENTRAL, faults.no_clip, "clip"),
        (CENTRAL, faults.twice_the_clip, "clip"),
        (LOCAL, faults.no_clip_of_integers, "clip"),
        (DISTRIBUTED, faults.no_clip_of_integers, "clip"),
        (CENTRAL, faults.noise_over_members, "noise"),
        (CENTRAL, faults.half_the_noise, "noise"),
        (CENTRAL, faults.a_tenth_too_little, "noise"),
        (ADAPTIVE, faults.half_the_noise, "noise"),
        (BLT, faults.half_the_noise, "noise"),
        (LOCAL, faults.half_of_clients_noise, "noise"),
        (DISTRIBUTED, faults.half_of_clients_noise, "noise"),
        (LOCAL, faults.one_without_noise, "noise of each release"),
        (CENTRAL, faults.same_noise_each_round, "noise reused"),
        (BLT, faults.same_noise_each_round, "noise reused"),
        (LOCAL, faults.same_noise_of_clients, "noise reused"),
        (DISTRIBUTED, faults.same_noise_of_clients, "noise reused"),
        (CENTRAL, faults.unbounded_weights, "largest client"),
        (WEIGHED, faults.unbounded_weights, "largest client"),
        (DISTRIBUTED, faults.weights_of_integers, "largest client"),
        (CENTRAL, faults.over_survivors, "denominator"),
        (SECRET, faults.over_survivors, "denominator"),
        (LOCAL, faults.over_survivors, "denominator"),
        (DISTRIBUTED, faults.over_survivors, "denominator"),
        (SECRET, faults.nothing_of_nobody, "denominator"),
        (ADAPTIVE, faults.noise_of_the_next_clip, "clip of the round"),
        (ADAPTIVE, faults.bits_without_noise, "noise of bits"),
        (ADAPTIVE, faults.clip_moves_the_wrong_way, "noise of bits"),
        (SECRET, faults.everyone_takes_part, "cohorts"),
        (SECRET, faults.the_same_cohort_each_round, "cohorts"),
        (RECORD, faults.no_clip_of_records, "clip"),
        (RECORD, faults.half_the_noise_of_steps, "noise"),
        (RECORD, faults.same_noise_of_steps, "noise reused"),
        (RECORD, faults.same_minibatches, "minibatches"),
        (RECORD, faults.all_records_each_step, "minibatches"),
    ],
    ids=lambda value: getattr(value, "__name__", value),
)
def test_red_on_each_fault(monkeypatch, name, fault, told):
    fault(monkeypatch)
    found = audited(name)
    assert not found.passed
    assert told in found.failed


COMPILED = dataclasses.replace(SMALL, engine=Vector(workers=1, strategy=load_trainer().strategies[0]))


@pytest.mark.backends
@pytest.mark.parametrize("name", [CENTRAL, ADAPTIVE, WEIGHED])
def test_green_where_changes_are_added_up_as_they_arise(name):
    found = audit(BUILT_IN[name], COMPILED)
    assert found.passed, found.failed


@pytest.mark.backends
@pytest.mark.parametrize(
    ("name", "fault", "told"),
    [
        (CENTRAL, faults.no_clip, "clip"),
        (CENTRAL, faults.twice_the_clip, "clip"),
        (WEIGHED, faults.unbounded_weights, "largest client"),
        (ADAPTIVE, faults.clip_moves_the_wrong_way, "noise of bits"),
    ],
    ids=lambda value: getattr(value, "__name__", value),
)
def test_red_where_changes_are_added_up_as_they_arise(monkeypatch, name, fault, told):
    fault(monkeypatch)
    assert told in audit(BUILT_IN[name], COMPILED).failed


@pytest.mark.parametrize("kind", ["masking", "sealed"])
@pytest.mark.parametrize("name", [CENTRAL, DISTRIBUTED])
def test_green_through_secure_sums(name, kind):
    few = Settings(canaries=10, rounds=4, seed=2, secure_sum=as_secure_sum(kind))
    found = audit(
        dataclasses.replace(BUILT_IN[name], **({"threshold": None} if name == DISTRIBUTED else {})), few
    )
    assert found.passed, found.failed
    assert not found["noise"].skipped


def test_settings_that_cannot_be():
    for wrong in ({"canaries": 7}, {"canaries": True}, {"rounds": 2}, {"rounds": 3.0}):
        with pytest.raises(ConfigurationError, match="of an audit is"):
            Settings(**wrong)
    with pytest.raises(ConfigurationError, match="depends on the silos"):
        audit(RecordDP(rounds=2, budget=Budget(epsilon=1.0, delta=1e-3)))
    with pytest.raises(ConfigurationError, match="an audit is of a plan"):
        audit("CentralDP")


def test_an_audit_that_sees_nothing_is_red():
    plan = dataclasses.replace(BUILT_IN[DISTRIBUTED], threshold=61, corrupt=0)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("hansa.round.release", _void)
        found = audit(plan, SMALL)
    assert found.failed == ("releases",)
    assert found.proven == 0.0


def _void(*args):
    raise VoidRoundError("the sum was lost")


def test_findings_know_their_bounds():
    finding = Finding(name="n", words="w", measured=1.0, low=0.9, high=1.1)
    assert finding.passed
    assert not dataclasses.replace(finding, measured=float("nan")).passed
    assert not dataclasses.replace(finding, measured=1.2).passed
    assert dataclasses.replace(finding, measured=1.2, skipped="why").passed
    assert dataclasses.replace(finding, low=None).allowed == "1.1 or less"


def test_a_guesser_proves_little_of_chance_and_much_of_certainty():
    inserted = np.arange(1000) % 2 == 0
    chance = np.random.default_rng(0).normal(size=1000)
    assert epsilon_lower_bound(chance, inserted, delta=1e-5) < 0.3
    sure = epsilon_lower_bound(np.where(inserted, 1.0, -1.0), inserted, delta=1e-5)
    assert 4 < sure < np.log(1000)  # it saturates
    gaussian = chance + inserted / 0.5  # noise multiplier 0.5: epsilon 10.7 at this delta
    assert 1 < epsilon_lower_bound(gaussian, inserted, delta=1e-5) < 10.7


def test_directions_are_orthonormal_and_coordinates_are_along_them():
    directions = Directions(count=5, dimension=64, seed=1)
    found = np.stack([directions[i] for i in range(64)])
    assert np.allclose(found @ found.T, np.eye(64))
    assert np.allclose(directions.coordinates(3 * found[[2]])[0], 3 * np.eye(64)[2])
    assert np.allclose(directions.vectors(np.eye(64)), found)

"""The audit is green on every plan that Hansa brings, and red on each fault that is planted."""

import dataclasses
import functools
import json

import pytest

import privacy_faults as faults
from hansa.audit import BUILT_IN, Settings, audit
from hansa.privacy import accountant

SPENT = functools.cache(accountant.spent)

SMALL = Settings(canaries=60, rounds=5, seed=2)
CENTRAL, SECRET, ADAPTIVE = "CentralDP", "CentralDP, drawn in secret", "CentralDP, adaptive clip"
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


@pytest.mark.parametrize("name", BUILT_IN)
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
        ("CentralDP, weights by rows", faults.unbounded_weights, "largest client"),
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

"""``[privacy]`` of a TOML file."""

import pytest

from hansa.cli.privacy_section import privacy_of
from hansa.cohort import AtMost, FixedSize, Poisson
from hansa.errors import ConfigurationError, UnknownNameError
from hansa.privacy import (
    AdaptiveClip,
    Budget,
    Capped,
    CentralDP,
    Clip,
    DistributedDP,
    LocalDP,
    MatrixDP,
    Person,
    RecordDP,
)

Z = {"noise_multiplier": 1.0}


@pytest.mark.parametrize(
    ("raw", "plan"),
    [
        ({"kind": "central", **Z}, CentralDP(rounds=7, **Z)),
        ({"kind": "central", **Z, "clip": 2}, CentralDP(rounds=7, **Z, clip=Clip(2.0))),
        ({"kind": "central", **Z, "rounds": 9}, CentralDP(rounds=9, **Z)),
        (
            {"kind": "central", "epsilon": 2.0, "delta": 1e-5},
            CentralDP(rounds=7, budget=Budget(epsilon=2.0, delta=1e-5)),
        ),
        (
            {"kind": "central", **Z, "clip": {"initial": 0.2}, "weights": {"cap": 5}},
            CentralDP(rounds=7, **Z, clip=AdaptiveClip(initial=0.2), weights=Capped(5)),
        ),
        (
            {"kind": "central", **Z, "participation": {"kind": "poisson", "rate": 0.1, "cap": 9}},
            CentralDP(rounds=7, **Z, participation=Poisson(0.1, cap=9)),
        ),
        (
            {"kind": "local", **Z, "participation": {"kind": "fixed", "size": 3}},
            LocalDP(rounds=7, **Z, participation=FixedSize(3)),
        ),
        ({"kind": "distributed", **Z, "corrupt": 1}, DistributedDP(rounds=7, **Z, corrupt=1)),
        (
            {"kind": "matrix", **Z, "participation": {"kind": "at_most", "times": 4, "min_gap": 2}},
            MatrixDP(rounds=7, **Z, participation=AtMost(times=4, min_gap=2)),
        ),
        (
            {"kind": "central", **Z, "protects": {"max_clients": 3}},
            CentralDP(rounds=7, **Z, protects=Person(max_clients=3)),
        ),
        ({"kind": "record", **Z, "clip": 0.5}, RecordDP(rounds=7, **Z, clip=0.5)),
        ({"kind": "record", **Z, "clip": 1, "delta": 1e-4}, RecordDP(rounds=7, **Z, delta=1e-4)),
    ],
)
def test_a_section_is_a_plan(raw, plan):
    assert privacy_of(raw, rounds=7) == plan


@pytest.mark.parametrize(
    ("raw", "error", "said"),
    [
        ({}, ConfigurationError, "lacks the key 'kind'"),
        ({"kind": "magic"}, UnknownNameError, "magic"),
        ({"kind": "central"}, ConfigurationError, "exactly one of"),
        ({"kind": "central", "epsilon": 1.0}, ConfigurationError, "has epsilon and lacks delta"),
        ({"kind": "central", "epsilon": 0.0, "delta": 1e-5}, ConfigurationError, "epsilon must be"),
        ({"kind": "central", **Z, "nois": 1.0}, UnknownNameError, "nois"),
        ({"kind": "central", **Z, "facts": {}}, ConfigurationError, "has no key 'facts'"),
        ({"kind": "central", **Z, "budget": 1.0}, ConfigurationError, "has no key 'budget'"),
        ({"kind": "central", **Z, "clip": "1"}, ConfigurationError, "clip"),
        ({"kind": "central", **Z, "clip": {"norm": 1.0}}, UnknownNameError, "norm"),
        ({"kind": "central", **Z, "participation": {"kind": "some"}}, UnknownNameError, "some"),
        ({"kind": "central", **Z, "participation": 3}, ConfigurationError, "participation"),
        ({"kind": "record", **Z, "participation": {"kind": "all"}}, UnknownNameError, "participation"),
    ],
)
def test_wrong_sections_are_told(raw, error, said):
    with pytest.raises(error, match=said):
        privacy_of(raw, rounds=7)

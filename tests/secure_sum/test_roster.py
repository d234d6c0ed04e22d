import dataclasses

import pytest

from hansa.errors import ConfigurationError
from hansa.secure_sum.roster import MOST_HOLDERS, Member, Place, Roster

NAMES = tuple(f"c{i}" for i in range(300))
PLACE = Place(
    configuration=b"c" * 32, roster=b"r" * 32, payload=b"p" * 32, round=3, attempt=0, cohort=NAMES[:200]
)


def member(i, **changes):
    return Member(
        **{"name": f"c{i}", "exchange": bytes([9, i + 1]) * 16, "signing": bytes([7, i]) * 16, **changes}
    )


def test_all_hold_shares_up_to_128_and_then_a_committee():
    few = dataclasses.replace(PLACE, cohort=NAMES[:MOST_HOLDERS])
    assert few.holders == few.cohort
    assert len(PLACE.holders) == MOST_HOLDERS
    assert [name for name in PLACE.cohort if name in PLACE.holders] == list(PLACE.holders)
    assert PLACE.points(PLACE.holders[:3]) == [1, 2, 3]


@pytest.mark.parametrize("change", [{"payload": b"q" * 32}, {"attempt": 1}, {"purpose": "tell"}], ids=str)
def test_what_a_server_could_try_does_not_change_the_committee(change):
    assert dataclasses.replace(PLACE, **change).holders == PLACE.holders


@pytest.mark.parametrize(
    "change", [{"configuration": b"d" * 32}, {"roster": b"s" * 32}, {"round": 4}], ids=str
)
def test_each_round_of_each_run_has_another_committee(change):
    assert dataclasses.replace(PLACE, **change).holders != PLACE.holders


def test_members_are_in_the_committee_about_equally_often():
    often = dict.fromkeys(PLACE.cohort, 0)
    for number in range(200):
        for name in dataclasses.replace(PLACE, round=number).holders:
            often[name] += 1
    # A binomial number of 200 trials with 0.64: five deviations are 34.
    assert all(abs(count - 128) < 40 for count in often.values())


def test_every_change_of_a_place_changes_what_is_signed():
    changes = [
        *({"configuration": b"d" * 32}, {"roster": b"s" * 32}, {"payload": b"q" * 32}, {"round": 4}),
        *(
            {"attempt": 1},
            {"purpose": "tell"},
            {"cohort": NAMES[:199]},
            {"cohort": NAMES[1::-1] + NAMES[2:200]},
        ),
    ]
    parts = {dataclasses.replace(PLACE, **change).parts for change in changes}
    assert len(parts | {PLACE.parts}) == len(changes) + 1


def test_a_roster_is_named_by_all_of_its_names_and_keys():
    one = Roster((member(0), member(1)))
    others = [
        Roster((member(1), member(0))),
        Roster((member(0), member(2))),
        Roster((member(0), member(1, exchange=b"e" * 32))),
        Roster((member(0), member(1, signing=b"s" * 32))),
        Roster((member(0), member(1), member(2))),
    ]
    assert len({one.hash, *(other.hash for other in others)}) == 6
    assert [told["name"] for told in one.describe()["members"]] == ["c0", "c1"]


def test_a_roster_is_named_by_what_is_known_of_data_too():
    data = {"data": b"d" * 32}
    rosters = [
        Roster((member(0), member(1))),
        Roster((member(0, **data), member(1))),
        Roster((member(0), member(1, **data))),
        Roster((member(0, data=b"e" * 32), member(1))),
        Roster((member(0, **data, rows=5), member(1))),
        Roster((member(0, **data, rows=6), member(1))),
    ]
    assert len({roster.hash for roster in rosters}) == len(rosters)
    told = rosters[4].describe()
    assert (b"d" * 32).hex() in str(told)
    assert "'rows': 5" in str(told)
    assert "data" not in str(rosters[0].describe())


@pytest.mark.parametrize(
    ("members", "told"),
    [
        ((), "needs members"),
        ((member(0), member(0)), "share the 'c0'"),
        ((member(0), member(1, exchange=member(0).exchange)), "share the exchange key"),
        ((member(0), member(1, signing=member(0).signing)), "share the signing key"),
        ((member(0, exchange=b"short"),), "32 bytes"),
        ((member(0, exchange=bytes(32)),), "small order"),
        ((member(0, name=""),), "text of 1 to"),
        ((member(0, data=b"short"),), "root of the data"),
        ((member(0, data="d" * 32),), "root of the data"),
        ((member(0, rows=5),), "listed with 5 rows"),
        ((member(0, data=bytes(32), rows=0),), "listed with 0 rows"),
        ((member(0, data=bytes(32), rows=True),), "listed with True rows"),
        ((member(0, name="x" * 2000),), "text of 1 to"),
    ],
)
def test_a_roster_that_cannot_be_is_refused(members, told):
    with pytest.raises(ConfigurationError, match=told):
        Roster(members)

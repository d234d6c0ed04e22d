from __future__ import annotations

import math
from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hansa.errors import ConfigurationError
from hansa.secure_sum.masking.parameters import choose, most_marked


def tail(others, marked, drawn, more_than):
    """P[more than so many of those drawn are marked], term by term."""
    ways = sum(
        math.comb(marked, j) * math.comb(others - marked, drawn - j) for j in range(more_than + 1, drawn + 1)
    )
    return Fraction(ways, math.comb(others, drawn))


@given(st.integers(1, 60), st.integers(0, 60), st.integers(0, 60), st.integers(1, 50), st.integers(0, 40))
def test_tails_are_exact(others, marked, drawn, times, bits):
    found = most_marked(others, marked, drawn, times, bits)
    marked, drawn = min(marked, others), min(drawn, others)
    limit = Fraction(1, 2**bits)
    assert times * tail(others, marked, drawn, found) <= limit
    assert found == 0 or times * tail(others, marked, drawn, found - 1) > limit


@settings(max_examples=60, deadline=None)
@given(
    st.integers(3, 400),
    st.integers(1, 2**40),
    st.one_of(st.none(), st.integers(1, 400)),
    st.one_of(st.none(), st.integers(1, 400)),
    st.sampled_from([0.0, 0.05, 0.1, 0.2]),
    st.sampled_from([0.0, 0.05, 0.1, 0.2]),
)
def test_what_is_chosen_holds(members, bound, neighbours, threshold, corrupt, dropouts):
    try:
        found = choose(
            dimension=10,
            members=members,
            bound=bound,
            neighbours=neighbours,
            threshold=threshold,
            corrupt=corrupt,
            dropouts=dropouts,
        )
    except ConfigurationError:
        return
    k, t, c = found.neighbours, found.threshold, found.near
    assert 2 * members * bound < 2**32 if found.modulus_bits == 32 else 2 * members * bound < 2**63
    assert 2 * found.quorum > members + found.corrupt  # one set
    assert c < t <= k + 1  # not both secrets
    assert found.survivors >= max(found.quorum, min(members, found.corrupt + 2))
    if found.is_complete:
        return
    assert k % 2 == 0
    assert t - 1 - c > k / 2  # no client is cut off
    least = found.survivors - 1
    assert members * tail(least, found.corrupt, min(k, least), c) <= Fraction(1, 2**104)
    if threshold is None:
        lost = math.floor(Fraction(str(dropouts)) * members)
        spare = k + 1 - t
        assert spare >= lost or members * tail(members - 1, lost, k, spare - 1) <= Fraction(1, 2**20)


@pytest.mark.parametrize(
    ("members", "neighbours", "threshold", "corrupt", "survivors"),
    [
        (3, 2, 3, 0, 3),
        (4, 3, 3, 1, 3),
        (5, 4, 4, 1, 4),
        (10, 9, 7, 3, 7),
        (64, 63, 43, 21, 43),
        (65, 26, 21, 6, 59),
        (100, 42, 33, 10, 90),
        (1000, 292, 236, 100, 900),
        (10000, 516, 418, 1000, 9000),
    ],
)
def test_what_is_chosen_by_default(members, neighbours, threshold, corrupt, survivors):
    found = choose(dimension=10, members=members, bound=100)
    assert (found.neighbours, found.threshold, found.corrupt, found.survivors) == (
        neighbours,
        threshold,
        corrupt,
        survivors,
    )


def test_the_smallest_number_of_neighbours_is_taken():
    choose(dimension=10, members=1000, bound=100, neighbours=292)
    with pytest.raises(ConfigurationError, match=r"290 neighbours are too few .* 292 are safe"):
        choose(dimension=10, members=1000, bound=100, neighbours=290)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"bound": 2**60}, r"more than 2\^63. Values up to \d+ fit"),
        ({"threshold": 5}, "two groups could each unmask"),
        ({"threshold": 11}, "from 1 to 10"),
        ({"threshold": True}, "from 1 to 10"),
        ({"threshold": 7.0}, "from 1 to 10"),
        ({"neighbours": 5}, "even number"),
        ({"neighbours": 0}, "even number"),
        ({"neighbours": 10}, "from 2 to 9"),
        ({"neighbours": -2}, "from 2 to 9"),
        ({"neighbours": 4.0}, "from 2 to 9"),
        ({"neighbours": 4}, r"too few among 10 clients .* 6 are safe"),
        ({"members": 9, "neighbours": 4, "corrupt": 0.3, "dropouts": 0.3}, "only all 8 others are safe"),
        ({"neighbours": 6, "threshold": 5}, "from 6 to 7"),
        ({"neighbours": 2, "threshold": 3}, "2 neighbours are too few"),
        ({"corrupt": 0.5}, "below a third"),
        ({"dropouts": -0.1}, "below a third"),
        ({"dropouts": True}, "below a third"),
        ({"dimension": 0}, "dimension"),
        ({"bound": 0}, "bound"),
        ({"bound": 1.5}, "bound"),
        ({"members": -1}, "members"),
        ({"members": True}, "members"),
    ],
)
def test_bad_input_is_refused_with_the_numbers(settings, message):
    with pytest.raises(ConfigurationError, match=message):
        choose(**{"dimension": 10, "members": 10, "bound": 100, **settings})


@pytest.mark.parametrize("members", [1, 2])
def test_one_or_two_clients_are_refused_unless_meant(members):
    with pytest.raises(ConfigurationError, match="hides nothing"):
        choose(dimension=10, members=members, bound=8)
    found = choose(dimension=10, members=members, bound=8, may_be_few=True)
    assert found.survivors == members


def test_what_holds_is_said():
    told = choose(dimension=13, members=4, bound=100).explain()
    assert "Of 4 holders of its two secrets any 3 restore one" in told
    assert "at most 1 of 4 clients are corrupt" in told
    assert "at least 3 clients; 1 client may drop out" in told
    assert "no clients may drop out" in choose(dimension=13, members=3, bound=8).explain()
    told = choose(dimension=13, members=1000, bound=8).explain()
    assert "292 others, drawn by hash" in told
    assert "2^-40" in told


def test_the_numbers_are_described():
    told = choose(dimension=13, members=4, bound=100).describe()
    assert told["kind"] == "masking"
    assert told["modulus_bits"] == 32
    assert told["bytes"] == 52
    assert choose(dimension=13, members=4, bound=2**40).describe()["bytes"] == 104

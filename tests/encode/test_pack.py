import json

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from hansa.encode.pack import Packing, pack, unpack
from hansa.errors import ConfigurationError, UpdateError


def fits(bound, clients, limit):
    shift = (bound * clients).bit_length() + 1
    return bound * clients * (2**shift + 1) < limit


@given(st.integers(1, 2**33), st.integers(1, 2**16), st.integers(1, 2**63))
def test_what_does_not_fit_is_refused_when_it_is_planned(bound, clients, limit):
    if fits(bound, clients, limit):
        packing = Packing(size=2, bound=bound, clients=clients, limit=limit)
        assert bound * clients < 2 ** (packing.shift - 1)
        assert packing.packed_bound < limit
    else:
        with pytest.raises(ConfigurationError, match=r"must be below"):
            Packing(size=2, bound=bound, clients=clients, limit=limit)


@given(st.data())
def test_sums_unpack_exactly_for_all_bounds(data):
    bound, clients = data.draw(st.integers(1, 2**20)), data.draw(st.integers(1, 12))
    assume(fits(bound, clients, 2**63))
    size = data.draw(st.integers(1, 7))
    packing = Packing(size=size, bound=bound, clients=clients, limit=2**63)
    value = st.sampled_from([-bound, bound, 0, -1]) | st.integers(-bound, bound)
    rows = st.lists(value, min_size=size, max_size=size)
    parts = [np.array(row) for row in data.draw(st.lists(rows, min_size=1, max_size=clients))]
    packed = [pack(part, packing) for part in parts]
    assert all(np.array_equal(unpack(p, packing), part) for p, part in zip(packed, parts, strict=True))
    total = np.sum(packed, axis=0)
    assert total.dtype == np.int64
    assert np.abs(total).max() <= packing.packed_bound
    assert np.array_equal(unpack(total, packing), np.sum(parts, axis=0))


@pytest.mark.parametrize("signs", [(1, 1), (1, -1), (-1, 1), (-1, -1)])
@pytest.mark.parametrize(("bound", "clients"), [(2**31 - 1, 1), (1, 2**31 - 1), (46_340, 46_340), (1, 1)])
def test_the_largest_sums_that_int64_holds(bound, clients, signs):
    packing = Packing(size=2, bound=bound, clients=clients, limit=2**63)
    one = pack(np.array([signs[0] * bound, signs[1] * bound]), packing)
    total = one * clients
    assert unpack(total, packing).tolist() == [s * bound * clients for s in signs]
    with pytest.raises(ConfigurationError, match="Do not pack"):
        Packing(size=2, bound=2**31, clients=1, limit=2**63)


@given(st.integers(1, 100), st.integers(1, 10), st.integers(1, 5), st.data())
def test_any_total_is_refused_or_packs_to_itself(bound, clients, size, data):
    packing = Packing(size=size, bound=bound, clients=clients, limit=2**63)
    near = st.integers(-packing.packed_bound, packing.packed_bound)
    value = near | st.integers(-(2**63), 2**63 - 1)
    total = np.array(data.draw(st.lists(value, min_size=packing.packed, max_size=packing.packed)))
    try:
        result = unpack(total, packing)
    except UpdateError as error:
        assert "round is void" in str(error)
        return
    whole = Packing(size=size, bound=bound * clients, clients=1, limit=2**63)
    assert np.abs(result).max() <= bound * clients
    assert np.array_equal(pack(result, whole), total)


def test_crafted_totals_are_refused():
    packing = Packing(size=3, bound=3, clients=2, limit=2**31)
    assert packing.shift == 4
    good = np.array([6 - 6 * 16, -6])
    assert unpack(good, packing).tolist() == [6, -6, -6]
    for bad in ([7, 0], [-7, 0], [7 * 16, 0], [0, 16], [2**63 - 1, 0], [-(2**63), 0]):
        with pytest.raises(UpdateError, match="round is void"):
            unpack(np.array(bad), packing)


@pytest.mark.parametrize(
    ("vector", "told"),
    [
        (np.array([1, 4, 0]), "magnitude 4, beyond the bound of 3"),
        (np.array([1, -(2**63), 0]), "magnitude 9223372036854775808"),
        (np.array([1, 2]), "flat vector of 3 numbers"),
        (np.array([1.0, 2, 3]), "dtype float64"),
        ([1, 2, 3], "is a list"),
    ],
)
def test_bad_vectors_are_refused(vector, told):
    with pytest.raises(UpdateError, match=told):
        pack(vector, Packing(size=3, bound=3, clients=2, limit=2**31))


@pytest.mark.parametrize("name", ["size", "bound", "clients", "limit"])
@pytest.mark.parametrize("value", [0, -1, 1.5, True, None])
def test_bad_settings_are_refused(name, value):
    settings = {"size": 3, "bound": 3, "clients": 2, "limit": 2**31, name: value}
    with pytest.raises(ConfigurationError, match=f"{name} must be an integer"):
        Packing(**settings)


def test_packing_does_not_change_its_argument_and_describes_itself():
    packing = Packing(size=np.int64(3), bound=3, clients=2, limit=2**31)
    vector = np.array([1, 2, 3])
    pack(vector, packing)
    assert vector.tolist() == [1, 2, 3]
    assert json.loads(json.dumps(packing.describe())) == {
        "kind": "two-in-one",
        "size": 3,
        "bound": 3,
        "clients": 2,
        "limit": 2**31,
        "shift": 4,
    }

"""Clients that share their arrays: what they are given and told is what clients with their own are."""

import numpy as np
import pytest

from hansa.data import Arrays, Client, Split, Standardize, by_key, iid
from hansa.data.prepare import load, load_all
from hansa.data.shared import shared_rows
from hansa.data.sources import Rows, as_examples
from hansa.errors import DataError
from hansa.types import Examples, View

RNG = np.random.default_rng(0)
X = RNG.normal(size=(40, 3)).astype(np.float32)
Y = RNG.integers(0, 3, 40)


def client(index, name="a", base=None, **options):
    base = as_examples(X, Y) if base is None else base
    return Client(name=name, source=Rows(base, index), **options)


def same(one, other):
    for split in ("train", "validation", "test"):
        a, b = getattr(one, split), getattr(other, split)
        assert (a is None) == (b is None)
        if a is not None:
            np.testing.assert_array_equal(a.x, b.x)
            np.testing.assert_array_equal(a.y, b.y)
            np.testing.assert_array_equal(a.sample_weight, b.sample_weight)


@pytest.mark.parametrize(
    ("options", "shared"),
    [
        ({}, True),
        ({"sample_weight": np.arange(1, 41)}, True),
        ({"split": Split(seed=4)}, True),
        ({"split": Split(train=0.5, test=0.5)}, False),
        ({"split": Split(stratify=True)}, False),
        ({"split": Split(indices={"train": [0, 1]})}, False),
        ({"split": Split(train=1.0, validation=1e-10)}, False),
        ({"preprocess": [Standardize()]}, False),
    ],
)
def test_rows_stay_where_they_are_if_all_are_trained_on_as_they_are(options, shared):
    clients = iid(X, Y, clients=7, **options)
    loaded = load_all(clients)
    assert list(loaded) == [c.name for c in clients]
    for one in clients:
        same(loaded[one.name], load(one))
        assert isinstance(loaded[one.name].train, View) is shared
    if shared:
        assert all(np.shares_memory(data.train.base.x, X) for data in loaded.values())


def test_a_population_may_be_of_every_kind():
    other = as_examples(X[:5] + 1, Y[:5])
    clients = [
        client(np.array([3, 1]), "a"),
        Client(name="b", source=Arrays(X[:2], Y[:2])),
        client(np.array([0, 4]), "c", base=other),
        client(np.array([0, 1, 2, 3]), "d", split=Split(train=0.5, test=0.5)),
        client(np.array([2]), "e"),
    ]
    loaded = load_all(clients)
    assert [name for name, data in loaded.items() if isinstance(data.train, View)] == ["a", "c", "e"]
    for one in clients:
        same(loaded[one.name], load(one))


def spoilt(what, row):
    x, y, weight = X.copy(), (Y / 2).astype(np.float32), np.ones(40, np.float32)
    if what == "x":
        x[row, 1] = np.nan
    elif what == "infinite":
        x[row, 2] = np.inf
    elif what == "y":
        y[row] = np.nan
    else:
        weight[row] = {"negative": -1, "nan": np.nan, "zero": 0}[what]
    return x, y, weight


@pytest.mark.parametrize("what", ["x", "infinite", "y", "negative", "nan"])
@pytest.mark.parametrize("row", [0, 17, 39])
def test_a_bad_value_is_told_of_its_client_as_if_it_had_its_own_rows(what, row):
    x, y, weight = spoilt(what, row)
    clients = iid(x, y, clients=6, sample_weight=weight)
    owner = next(c for c in clients if row in c.source.index)
    with pytest.raises(DataError) as alone:
        load(owner)
    with pytest.raises(DataError) as together:
        load_all(clients)
    assert str(together.value) == str(alone.value)
    assert f"client {owner.name!r}" in str(alone.value)
    rest = [c for c in clients if c is not owner]
    assert all(isinstance(data.train, View) for data in load_all(rest).values())


def test_of_several_bad_clients_the_first_is_told():
    x, y, _ = spoilt("x", [1, 8, 30])
    clients = iid(x, y, clients=40)
    bad = [c.name for c in clients if c.source.index[0] in (1, 8, 30)]
    with pytest.raises(DataError, match=f"client '{bad[0]}'"):
        load_all(clients)


def test_weights_that_are_all_zero_and_some_that_are():
    x, y, weight = spoilt("zero", [2, 3])
    mine, half = (
        client(np.array(rows), base=as_examples(x, y, sample_weight=weight)) for rows in ([2, 3], [3, 4])
    )
    with pytest.raises(DataError, match="client 'a': the sample weights of all 2 training rows are 0"):
        load_all([mine])
    assert isinstance(load_all([half])["a"].train, View)


def test_no_rows_and_rows_that_do_not_exist_are_told_as_before():
    with pytest.raises(DataError, match="client 'a': it has no rows"):
        load_all([client(np.arange(0))])
    with pytest.raises(DataError, match="client 'a': it has no rows"):
        load_all([client(np.arange(0), base=as_examples(np.zeros((0, 2)), np.zeros(0)))])
    for base in (None, as_examples(np.zeros((0, 2)), np.zeros(0))):
        with pytest.raises(IndexError):
            load_all([client(np.array([1, 40]), base=base)])
    assert load_all([client(np.array([-1]))])["a"].train.y.tolist() == [Y[-1]]


@pytest.mark.parametrize("index", [np.array([1, 2], np.int32), [1, 2], np.arange(40) < 3])
def test_an_index_of_another_type_is_read_as_before(index):
    one = client(index)
    assert not shared_rows([one])
    same(load_all([one])["a"], load(one))


@pytest.mark.parametrize(
    "base",
    [
        Examples(x=X.astype(np.float64), y=Y),
        Examples(x=X, y=Y == 1),
        Examples(x=X.tolist(), y=Y),
        Examples(x=X, y=Y, sample_weight=np.ones(40)),
    ],
)
def test_arrays_that_must_be_converted_are_converted_client_by_client(base):
    one = Client(name="a", source=Rows(base, np.arange(40)))
    if isinstance(base.x, list):
        with pytest.raises(TypeError):
            load_all([one])
        return
    assert not shared_rows([one])
    same(load_all([one])["a"], load(one))


def test_arrays_that_cannot_be_used_are_told_of_the_client():
    base = Examples(x=X, y=np.full(40, "yes"))
    with pytest.raises(DataError, match="client 'a': y holds values of type"):
        load_all([Client(name="a", source=Rows(base, np.arange(3)))])


def test_nan_is_found_in_every_block_and_array(monkeypatch):
    monkeypatch.setattr("hansa.data.shared._VALUES_AT_ONCE", 7)
    for row in range(40):
        x = {"u": X.copy(), "v": (np.zeros(40), np.zeros((40, 2, 2)))}
        x["v"][1][row, 1, 0] = np.nan
        clients = by_key(x, Y, keys=[str(i) for i in range(40)])
        good = set(shared_rows(clients))
        assert good == {c.name for c in clients} - {str(row)}

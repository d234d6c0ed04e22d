import json
import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hansa.data import Arrays, Client, Split, Standardize
from hansa.data.client import as_clients, as_steps, check_clients
from hansa.errors import ConfigurationError, DataError
from hansa.types import Examples

SOURCE = Arrays([[1.0], [2.0]], [0, 1])


@pytest.mark.parametrize("name", ["a", "hospital a", "A-1_b.c", "-", "x" * 64])
def test_good_names(name):
    assert Client(name=name, source=SOURCE).name == name


@pytest.mark.parametrize("name", ["", " a", "a ", ".a", "@a", "a/b", "a\n", "é", "x" * 65, 3, None])
def test_bad_names(name):
    with pytest.raises(ConfigurationError, match="not a client name"):
        Client(name=name, source=SOURCE)
    with pytest.raises(ConfigurationError, match="not a client name"):
        as_clients({name: SOURCE})


def test_parts_of_the_wrong_form():
    for source in ((np.zeros((1, 1)), np.zeros(1)), Arrays):
        with pytest.raises(ConfigurationError, match="'a': source is a"):
            Client(name="a", source=source)
    with pytest.raises(ConfigurationError, match="with parentheses"):
        Client(name="a", source=SOURCE, preprocess=[Standardize])
    with pytest.raises(ConfigurationError, match="split must be a Split"):
        Client(name="a", source=SOURCE, split=0.8)


def test_one_transform_needs_no_list():
    assert Client(name="a", source=SOURCE, preprocess=Standardize()).preprocess == (Standardize(),)


def test_as_clients_takes_every_form():
    x, y = np.ones((2, 1)), np.array([0, 1])
    clients = as_clients({
        "client": Client(name="client", source=SOURCE),
        "source": SOURCE,
        "pair": (x, y),
        "triple": (x, y, [1.0, 2.0]),
        "examples": Examples(x=x, y=y, columns=("age",)),
    })  # fmt: skip
    assert [c.name for c in clients] == ["client", "source", "pair", "triple", "examples"]
    assert clients[3].source.load().sample_weight.tolist() == [1.0, 2.0]
    assert clients[4].source.load().columns == ("age",)
    assert as_clients(list(clients)) == clients


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ([], "no clients"),
        ({}, "no clients"),
        ([(1, 2)], r"clients\[0\] is a tuple"),
        ("a.csv", "is a str"),
        (Client(name="a", source=SOURCE), r"list: \[client\]"),
        ({"a": Client(name="b", source=SOURCE)}, "under 'a' is named 'b'"),
        ({"a": np.zeros(3)}, "given as a ndarray"),
        ([Client(name="a", source=SOURCE)] * 2, "two clients are named 'a'"),
    ],
)
def test_what_is_not_clients(value, message):
    with pytest.raises(ConfigurationError, match=message):
        as_clients(value)


def test_malformed_arrays_of_a_mapping():
    with pytest.raises(DataError, match="number of rows"):
        as_clients({"a": ([[1.0]], [0, 1])})


def test_federated_preprocessing_must_agree():
    def client(name, *steps):
        return Client(name=name, source=SOURCE, preprocess=steps)

    shared = Standardize(scope="federated")
    check_clients([client("a", shared), client("b", Standardize(scope="federated"))])
    check_clients([client("a", Standardize()), client("b")])
    with pytest.raises(ConfigurationError, match=r"same for all clients: 'a' has .* 'b' has \[\]"):
        check_clients([client("a", shared), client("b")])


def test_describe_is_json_and_follows_every_part():
    variants = [
        Client(name="a", source=SOURCE),
        Client(name="b", source=SOURCE),
        Client(name="a", source=Arrays([[1.0], [3.0]], [0, 1])),
        Client(name="a", source=SOURCE, preprocess=(Standardize(),)),
        Client(name="a", source=SOURCE, split=Split(seed=1)),
    ]
    assert len({json.dumps(client.describe()) for client in variants}) == 5


def test_a_huge_name_is_not_told_as_a_whole():
    with pytest.raises(ConfigurationError, match="not a client name") as caught:
        Client(name="x" * 100_000, source=SOURCE)
    assert len(str(caught.value)) < 300


def test_preprocess_that_is_no_list():
    with pytest.raises(ConfigurationError, match="preprocess holds 5; expected transforms"):
        Client(name="a", source=SOURCE, preprocess=5)


@given(st.text(alphabet="aZ0._- \n/é", max_size=70))
def test_names_are_those_of_the_rule(name):
    rule = r"[A-Za-z0-9_-]([A-Za-z0-9._ -]*[A-Za-z0-9._-])?"
    allowed = re.fullmatch(rule, name) is not None and len(name) <= 64
    try:
        Client(name=name, source=SOURCE)
    except ConfigurationError:
        assert not allowed
    else:
        assert allowed


def test_one_transform_and_many_clients_that_share_it_are_told_apart_from_another():
    steps = as_steps([Standardize(scope="federated")])
    many = [Client(name=f"c{i}", source=SOURCE, preprocess=steps) for i in range(3)]
    assert many[0].preprocess is many[2].preprocess
    check_clients(many)
    assert as_steps(Standardize()) == (Standardize(),)
    with pytest.raises(ConfigurationError, match=r"'c0' has .* 'd' has"):
        check_clients([*many, Client(name="d", source=SOURCE, preprocess=Standardize())])


def test_a_transform_of_ones_own_is_one():
    class Twice:
        scope = "local"
        fills_missing = False

        def summary(self, examples):
            return {}

        def fit(self, summary):
            return self

        def describe(self):
            return {"kind": "twice"}

    assert len(Client(name="a", source=SOURCE, preprocess=Twice()).preprocess) == 1
    with pytest.raises(ConfigurationError, match="with parentheses"):
        Client(name="a", source=SOURCE, preprocess=(Twice,))

import dataclasses
import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hansa.data import parts
from hansa.data.cards import card, cards, check_cards
from hansa.errors import DataError
from hansa.types import ClientData, DataCard, Examples, View


def rows(y, columns=("u", "v")):
    y = np.asarray(y)
    return Examples(x=np.zeros((len(y), 2), dtype=np.float32), y=y, columns=columns)


def test_card_of_classes():
    told = card(ClientData(train=rows([0, 1, 1]), test=rows([2])))
    assert told == DataCard(
        examples={"train": 3, "test": 1},
        features=(2,),
        columns=("u", "v"),
        labels={"0": 1, "1": 2},
        label_range=(0.0, 2.0),
    )


def test_card_of_float_zero_one_of_one_class_and_of_numbers():
    assert card(ClientData(train=rows([1.0, 1.0]))).labels == {"1": 2}
    told = card(ClientData(train=rows([0.5, -3.0]), validation=rows([9.0])))
    assert (told.labels, told.label_range) == (None, (-3.0, 9.0))


def test_card_of_several_inputs_and_outputs():
    x = {"image": np.zeros((1, 4, 4)), "pair": (np.zeros((1,)), np.zeros((1, 3)))}
    told = card(ClientData(train=Examples(x=x, y=(np.zeros(1), np.zeros(1)))))
    assert told.features == {"image": (4, 4), "pair": {"0": (), "1": (3,)}}
    assert (told.labels, told.label_range) == (None, None)


def made(columns=("u", "v", "w"), features=None):
    return DataCard(examples={"train": 1}, features=features or (len(columns),), columns=columns)


def test_equal_cards_pass():
    check_cards({"a": made(), "b": made()})
    check_cards({"a": made()})


@pytest.mark.parametrize(
    ("odd", "message"),
    [
        (made(("u", "v")), r"client 'b'.*2 of 3 clients.*shape \(2,\) instead of \(3,\); it lacks 'w'"),
        (made(("u", "v", "x")), "client 'b'.*it lacks 'w'; it also has 'x'"),
        (made(("v", "u", "w")), "order of its columns differs: column 1 is 'v' instead of 'u'"),
        (DataCard(examples={}, features=(3,)), "its columns have no names"),
        (made(features=(9, 3)), r"shape \(9, 3\) instead of \(3,\)"),
    ],
)
def test_the_odd_client_is_named(odd, message):
    with pytest.raises(DataError, match=message):
        check_cards({"a": made(), "b": odd, "c": made()})


def test_ties_and_several_odd_clients():
    with pytest.raises(DataError, match="client 'b' has other features than 'a'"):
        check_cards({"a": made(), "b": made(("u",))})
    with pytest.raises(DataError, match="2 clients differ: 'b', 'd'"):
        check_cards({"a": made(), "b": made(("u",)), "c": made(), "d": made(("v",)), "e": made()})
    with pytest.raises(DataError, match="no clients"):
        check_cards({})


LABELS = {
    "classes": lambda r, n: r.integers(-2, 5, n),
    "small type": lambda r, n: r.integers(0, 200, n).astype(np.uint8),
    "column": lambda r, n: r.integers(0, 3, (n, 1)),
    "float 0/1": lambda r, n: r.integers(0, 2, n).astype(np.float32),
    "mostly 0/1": lambda r, n: np.where(r.random(n) < 0.1, 0.5, r.integers(0, 2, n)).astype(np.float32),
    "numbers": lambda r, n: r.normal(size=n).astype(np.float32),
    "one-hot": lambda r, n: np.eye(4)[r.integers(0, 4, n)].astype(np.float32),
    "whole one-hot": lambda r, n: np.eye(4, dtype=np.int64)[r.integers(0, 4, n)],
    "nearly one-hot": lambda r, n: np.eye(4)[r.integers(0, 4, n)] * r.choice([1, 1, 1, 2], (n, 1)),
    "multi-label": lambda r, n: r.integers(0, 2, (n, 3)),
    "image": lambda r, n: r.normal(size=(n, 2, 3)).astype(np.float32),
    "large": lambda r, n: r.integers(-(2**62), 2**62, n),
    "empty": lambda r, n: np.zeros((n, 0)),
    "dict": lambda r, n: {"u": r.integers(0, 2, n), "v": r.normal(size=n)},
    "tuple": lambda r, n: (r.integers(0, 2, n), r.normal(size=n)),
}
FEATURES = {
    "table": (lambda n: np.zeros((n, 2), np.float32), ("u", "v")),
    "vector": (lambda n: np.zeros(n, np.float32), None),
    "inputs": (lambda n: {"image": np.zeros((n, 4, 4)), "pair": (np.zeros(n), np.zeros((n, 3)))}, None),
}


@given(
    st.sampled_from(sorted(LABELS)),
    st.sampled_from(sorted(FEATURES)),
    st.integers(1, 40),
    st.integers(1, 12),
    st.integers(0, 2**31),
    st.booleans(),
    st.integers(1, 60),
)
def test_cards_of_a_population_are_the_card_of_each(labels, features, rows, clients, seed, weighted, at_once):
    r = np.random.default_rng(seed)
    make, columns = FEATURES[features]
    base, other = (
        Examples(
            x=make(rows),
            y=LABELS[labels](r, rows),
            sample_weight=np.ones(rows, np.float32) if weighted else None,
            columns=columns,
        )
        for _ in range(2)
    )
    population = {}
    for i in range(clients):
        index = r.integers(0, rows, r.integers(1, 9))
        shared = View(base=base if r.random() < 0.8 else other, index=index)
        population[f"c{i}"] = ClientData(
            train=shared if r.random() < 0.9 else shared.whole(),
            test=shared.whole() if r.random() < 0.1 else None,
        )
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(parts, "_ROWS_AT_ONCE", at_once)
        told = cards(population)
    assert list(told) == list(population)
    for name, one in told.items():
        expected = card(population[name])
        assert one == expected
        assert json.dumps(dataclasses.asdict(one)) == json.dumps(dataclasses.asdict(expected))


def test_a_client_with_too_many_different_labels_has_no_classes_and_the_others_do():
    base = Examples(x=np.zeros((3000, 1)), y=np.arange(3000))
    population = {
        name: ClientData(train=View(base=base, index=np.arange(*ends)))
        for name, ends in {"few": (0, 1000), "many": (1000, 2001), "one": (2500, 2501)}.items()
    }
    told = cards(population)
    assert len(told["few"].labels) == 1000
    assert told["many"].labels is None
    assert told["one"].labels == {"2500": 1}
    wide = Examples(x=np.zeros((2000, 1)), y=np.eye(2000, dtype=np.int8))
    one_hot = {"a": ClientData(train=View(base=wide, index=np.arange(2000)))}
    assert cards(one_hot)["a"] == card(one_hot["a"])
    assert len(cards(one_hot)["a"].labels) == 2000


def test_equal_parts_of_cards_are_one_object():
    base = Examples(x=np.zeros((6, 2)), y=np.array([0, 1] * 3), columns=("u", "v"))
    one, other, _ = cards(
        {f"c{i}": ClientData(train=View(base=base, index=np.arange(2) + 2 * i)) for i in range(3)}
    ).values()
    for part in ("examples", "features", "columns", "label_range"):
        assert getattr(one, part) is getattr(other, part)


def test_labels_without_any_value_have_no_range():
    told = card(ClientData(train=Examples(x=np.zeros((2, 1)), y=np.zeros((2, 0)))))
    assert (told.labels, told.label_range) == (None, None)


def test_the_first_client_that_differs_is_named_among_many_that_share_their_schema():
    features, columns = (3,), ("u", "v", "w")
    many = {f"c{i}": DataCard(examples={"train": 1}, features=features, columns=columns) for i in range(50)}
    equal = made()
    check_cards({**many, "equal": equal})
    with pytest.raises(DataError, match=r"client 'odd' .* 50 of 51 clients, such as 'c0'"):
        check_cards({**many, "odd": made(("u", "v"))})

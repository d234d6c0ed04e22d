import numpy as np
import pytest

from hansa.data.cards import card, check_cards
from hansa.errors import DataError
from hansa.types import ClientData, DataCard, Examples


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

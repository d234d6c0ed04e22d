import dataclasses
import pickle

import numpy as np
import pytest

from hansa.types import ClientData, DataCard, Examples, View

BASE = Examples(
    x={"a": np.arange(12.0).reshape(6, 2), "b": (np.arange(6), np.arange(6) * 10)},
    y=np.arange(6) % 3,
    sample_weight=np.arange(6) / 2,
)
INDEX = np.array([5, 1, 2])


def same(a, b):
    assert a.x["a"].tolist() == b.x["a"].tolist()
    assert [part.tolist() for part in a.x["b"]] == [part.tolist() for part in b.x["b"]]
    assert a.y.tolist() == b.y.tolist()
    assert a.sample_weight.tolist() == b.sample_weight.tolist()
    assert a.columns == b.columns
    assert len(a) == len(b)


def test_a_view_reads_as_the_rows_that_it_stands_for():
    view, rows = View(base=BASE, index=INDEX), BASE.take(INDEX)
    same(view, rows)
    same(view.whole(), rows)
    for chosen in (np.array([2, 0, 0]), np.array([True, False, True]), np.arange(0)):
        same(view.take(chosen), rows.take(chosen))
        assert isinstance(view.take(chosen), Examples)


def test_without_weights_and_with_names():
    named = Examples(x=np.zeros((3, 2)), y=np.zeros(3), columns=("u", "v"))
    view = View(base=named, index=np.array([0]))
    assert (view.sample_weight, view.columns) == (None, ("u", "v"))
    assert view.whole().columns == ("u", "v")


def test_what_is_read_is_a_copy_and_examples_are_whole_already():
    view = View(base=BASE, index=np.arange(6))
    view.y[:] = 9
    view.whole().x["a"][:] = 9
    assert BASE.y.max() == 2
    assert BASE.x["a"][0, 0] == 0
    assert BASE.whole() is BASE


@pytest.mark.parametrize(
    "value",
    [
        View(base=BASE, index=INDEX),
        ClientData(train=BASE),
        DataCard(examples={"train": 1}, features=(2,)),
    ],
)
def test_values_of_a_large_population_are_small_and_still_values(value):
    assert not hasattr(value, "__dict__")
    with pytest.raises((AttributeError, TypeError)):
        value.train = 1
    assert type(pickle.loads(pickle.dumps(value))) is type(value)  # noqa: S301
    assert type(dataclasses.replace(value)) is type(value)

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hansa.data import Split
from hansa.errors import ConfigurationError, DataError, UnknownNameError


@st.composite
def fractions(draw):
    parts = [draw(st.integers(1, 100)), draw(st.integers(0, 100)), draw(st.integers(0, 100))]
    return [part / sum(parts) for part in parts]


@given(fractions(), st.integers(1, 300), st.integers(0, 5), st.booleans())
def test_splits_are_disjoint_complete_and_of_the_right_size(shares, count, seed, stratify):
    split = Split(train=shares[0], validation=shares[1], test=shares[2], seed=seed, stratify=stratify)
    rows = split.rows(count, name="a", y=np.arange(count) % 3)
    assert sorted(np.concatenate(list(rows.values())).tolist()) == list(range(count))
    counts = [len(rows[name]) for name in ("train", "validation", "test")]
    assert counts[0] >= 1
    wanted = sum(share > 0 for share in shares)
    for share, got in zip(shares, counts, strict=True):
        assert got == 0 if share == 0 else True
        if count >= wanted and share > 0:
            assert got >= 1
        if min(share * count for share in shares if share > 0) >= 1:
            assert abs(got - share * count) < 1 + 1e-9


def test_deterministic_by_seed_and_name():
    split = Split(train=0.5, test=0.5, seed=3)
    one = split.rows(50, name="a")["train"]
    assert one.tolist() == split.rows(50, name="a")["train"].tolist()
    assert one.tolist() != split.rows(50, name="b")["train"].tolist()
    assert one.tolist() != Split(train=0.5, test=0.5, seed=4).rows(50, name="a")["train"].tolist()


@given(st.lists(st.integers(4, 60), min_size=2, max_size=5), st.integers(0, 20))
def test_stratify_keeps_proportions(sizes, seed):
    y = np.repeat(np.arange(len(sizes)), sizes)
    rows = Split(train=0.5, validation=0.25, test=0.25, seed=seed, stratify=True).rows(len(y), name="a", y=y)
    for name, share in (("train", 0.5), ("validation", 0.25), ("test", 0.25)):
        got = np.bincount(y[rows[name]], minlength=len(sizes))
        # In any stretch each class is within one row of its share of the stretch; the ends of the
        # stretch move by at most one row for each class.
        slack = 1 + 2 * np.array(sizes) * (len(sizes) + 1) / len(y)
        assert (abs(got - share * np.array(sizes)) <= slack).all()


def test_stratify_draws_at_random_within_a_class():
    split = {"train": 0.5, "test": 0.5, "stratify": True}
    y = np.zeros(40, dtype=int)
    train = Split(**split).rows(40, name="a", y=y)["train"]
    assert train.tolist() != list(range(20))
    assert train.tolist() != Split(**split, seed=1).rows(40, name="a", y=y)["train"].tolist()


def test_stratify_needs_classes():
    with pytest.raises(DataError, match=r"'a'.*stratify needs labels that are classes"):
        Split(train=0.5, test=0.5, stratify=True).rows(2, name="a", y=np.array([0.1, 0.2]))


def test_training_comes_first_where_rows_are_few():
    split = Split(train=0.1, validation=0.2, test=0.7)
    assert [len(index) for index in split.rows(1, name="a").values()] == [1, 0, 0]
    assert [len(index) for index in split.rows(2, name="a").values()] == [1, 0, 1]
    with pytest.raises(DataError, match="none to train on"):
        split.rows(0, name="a")


def test_explicit_indices_keep_their_order():
    rows = Split(indices={"train": [3, 0], "test": np.array([2])}).rows(4, name="a")
    assert {name: index.tolist() for name, index in rows.items()} == {
        "train": [3, 0],
        "validation": [],
        "test": [2],
    }


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"train": 0.5}, r"must sum to 1.*= 0\.5"),
        ({"train": 1.2, "test": -0.2}, "Split.train must be a fraction"),
        ({"train": 0.0, "test": 1.0}, "rows to train on"),
        ({"train": True}, "must be a fraction"),
        ({"train": float("nan")}, "must be a fraction"),
        ({"seed": -1}, "seed must be"),
        (
            {"indices": {"train": [0, 1], "test": [1]}},
            r"row 1 is in indices\['test'\] and already in indices\['train'\]",
        ),
        ({"indices": {"train": [0, 0]}}, "row 0"),
        ({"indices": {"train": [True, False]}}, "flatnonzero"),
        ({"indices": {"test": [0]}}, "no rows for 'train'"),
        ({"indices": {"train": [0]}, "train": 0.5, "test": 0.5}, "both indices and fractions"),
    ],
)
def test_splits_that_cannot_work(options, message):
    with pytest.raises(ConfigurationError, match=message):
        Split(**options)


def test_indices_of_unknown_splits_and_rows():
    with pytest.raises(UnknownNameError, match="Did you mean 'validation'"):
        Split(indices={"train": [0], "valid": [1]})
    for bad in (5, -1):
        with pytest.raises(
            DataError, match=rf"client 'a': indices\['test'\] names row {bad}, but the client has 5"
        ):
            Split(indices={"train": [0], "test": [bad]}).rows(5, name="a")


def test_describe_is_json_and_follows_the_declaration():
    described = [Split(), Split(seed=1), Split(train=0.9, test=0.1), Split(indices={"train": [0]})]
    assert len({json.dumps(split.describe()) for split in described}) == 4


@pytest.mark.parametrize("indices", [5, [0, 1], {"train": [[0, 1], [2]]}, {"train": 5}])
def test_indices_of_another_form(indices):
    with pytest.raises(ConfigurationError, match="indices"):
        Split(indices=indices)

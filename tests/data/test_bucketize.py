import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from hansa.api.localise import localise
from hansa.data import Arrays, Bucketize, Client, Impute, Standardize
from hansa.data.client import as_clients
from hansa.data.prepare import prepare
from hansa.errors import ConfigurationError, DataError, UnknownNameError
from hansa.secure_sum import SECURE_SUMS
from hansa.types import Examples


def rows(x, columns=None):
    x = np.asarray(x, dtype=np.float32)
    return Examples(x=x, y=np.arange(len(x)) % 2, columns=columns)


def bins_of(x, *, of=None, **options):
    step, given_rows = Bucketize(**options), rows(x)
    return step.fit(step.summary(given_rows)).apply(rows(of) if of is not None else given_rows).x


def parties(step, *tables):
    return tuple(
        Client(name=f"c{i}", source=Arrays(x, np.arange(len(x)) % 2), preprocess=(step, Impute()))
        for i, x in enumerate(tables)
    )


tables = hnp.arrays(
    np.float32,
    st.tuples(st.integers(5, 40), st.just(2)),
    elements=st.one_of(st.integers(-3, 3).map(float), st.floats(width=32, allow_infinity=False)),
)


@given(tables, st.integers(2, 5))
def test_edges_cut_the_sorted_rows_into_equal_parts(x, bins):
    for column in x.T:
        values = np.sort(column[~np.isnan(column)])
        if len(values) < bins:
            continue
        found = bins_of(column[:, None], bins=bins)[:, 0]
        edges = {values[i * len(values) // bins] for i in range(1, bins)} - {values[0]}
        expected = [np.nan if np.isnan(v) else sum(v >= edge for edge in edges) for v in column]
        np.testing.assert_array_equal(found, expected)
        if len(set(values)) == len(values):
            sizes = np.bincount(found[~np.isnan(found)].astype(int), minlength=bins)
            assert sizes.max() - sizes.min() <= 1
        assert set(found[~np.isnan(found)]) == set(range(len(edges) + 1))  # no bin is without rows


def test_bins_are_those_of_keras():
    import keras

    x = np.random.default_rng(0).normal(size=(50, 1)).astype("float32")
    step = Bucketize(bins=4)
    fitted = step.fit(step.summary(rows(x)))
    (edges,) = fitted.describe()["edges"]
    layer = keras.layers.Discretization(bin_boundaries=edges)
    of = np.float32([[-9], [edges[0]], [edges[1]], [0.01], [9]])
    assert fitted.apply(rows(of)).x.tolist() == np.asarray(layer(of)).tolist()


def test_few_different_values_have_few_bins():
    x = [[0, 7, 0], [1, 7, 1], [1, 7, 1], [0, 7, 5], [1, 7, 9]]
    assert bins_of(x, bins=4).tolist() == [[0, 0, 0], [1, 0, 1], [1, 0, 1], [0, 0, 2], [1, 0, 2]]
    assert bins_of(x, bins=4, of=[[-5, -5, -5], [0.5, 99, 99]]).tolist() == [[0, 0, 0], [0, 0, 2]]


def test_chosen_columns_alone_and_one_hot_where_they_stand():
    x = np.float32([[1, 10, 5], [2, 20, 5], [3, 30, 5], [np.nan, 40, 5]])
    given_rows = rows(x, columns=("a", "b", "c"))
    for columns in (["c", "a"], [2, 0], ("c", 0)):
        step = Bucketize(bins=3, columns=columns)
        fitted = step.fit(step.summary(given_rows))
        assert fitted.describe() == {"edges": [[], [2.0, 3.0]]}
        np.testing.assert_array_equal(
            fitted.apply(given_rows).x, [[0, 10, 0], [1, 20, 0], [2, 30, 0], [np.nan, 40, 0]]
        )
    step = Bucketize(bins=3, columns=["a", "c"], one_hot=True)
    hot = step.fit(step.summary(given_rows)).apply(given_rows)
    assert hot.columns == ("a=0", "a=1", "a=2", "b", "c=0", "c=1", "c=2")
    a, b, c = [[1, 0, 0], [0, 1, 0], [0, 0, 1], [np.nan] * 3], [10, 20, 30, 40], [1, 0, 0]
    np.testing.assert_array_equal(hot.x, [[*hots, ten, *c] for hots, ten in zip(a, b, strict=True)])
    assert bins_of(x, bins=3, one_hot=True).shape == (4, 9)


@pytest.mark.parametrize("kind", list(SECURE_SUMS))
def test_federated_bins_are_those_of_the_pooled_rows(kind):
    rng = np.random.default_rng(1)
    parts = [rng.normal(size=(n, 3)).astype("float32").round(1) for n in (9, 2, 30)]
    parts[0][4, 1] = np.nan
    parts[1][:, 2] = -0.0
    step = Bucketize(bins=6, scope="federated", columns=[2, 1])
    found = localise(parties(step, *parts), SECURE_SUMS[kind]())
    pooled = rows(np.concatenate(parts))
    local = Bucketize(bins=6, columns=[2, 1])
    expected = local.fit(local.summary(pooled))
    assert found.preprocessing[0] == {**step.describe(), **expected.describe()}
    json.dumps(found.preprocessing, allow_nan=False)
    x = np.concatenate([site.data.train.x for site in found.sites.values()])
    there = ~np.isnan(pooled.x)
    np.testing.assert_array_equal(x[there], expected.apply(pooled).x[there])


def test_a_feature_without_values_keeps_none_and_other_transforms_follow():
    x = np.float32([[1, np.nan], [2, np.nan], [3, np.nan]])
    fitted = Bucketize(bins=3).fit(Bucketize(bins=3).summary(rows(x)))
    assert fitted.describe() == {"edges": [[2.0, 3.0], []]}
    assert np.isnan(fitted.apply(rows(x)).x[:, 1]).all()
    steps = (Impute(), Bucketize(bins=2, one_hot=True), Standardize(ddof=0))
    client = Client(name="a", source=Arrays([[1.0], [np.nan], [9.0]], [0, 1, 1]), preprocess=steps)
    np.testing.assert_allclose(prepare(client).train.x.mean(axis=0), 0, atol=1e-7)
    alone = Client(name="a", source=Arrays([[1.0], [np.nan]], [0, 1]), preprocess=Bucketize(bins=2))
    with pytest.raises(DataError, match=r"client 'a': 1 values .* missing .*add Impute\(\)"):
        prepare(alone)


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"bins": 1}, ConfigurationError, "bins must be an integer from 2 to 1,000, got 1"),
        ({"bins": 1001}, ConfigurationError, "got 1001"),
        ({"bins": 4.0}, ConfigurationError, r"got 4\.0"),
        ({"bins": True}, ConfigurationError, "got True"),
        ({"bins": 4, "scope": "locale"}, UnknownNameError, "Did you mean 'local'"),
        ({"bins": 4, "columns": "age"}, ConfigurationError, "list of names or positions, got 'age'"),
        ({"bins": 4, "columns": 3}, ConfigurationError, "list of names or positions, got 3"),
        ({"bins": 4, "one_hot": 1}, ConfigurationError, "one_hot must be True or False, got 1"),
    ],
)
def test_declarations_that_cannot_work(options, error, message):
    with pytest.raises(error, match=message):
        Bucketize(**options)


def test_rows_that_cannot_be_bucketized():
    with pytest.raises(ConfigurationError, match=r"works on tables.*shape \(4, 4\).*Discretization"):
        Bucketize(bins=2).summary(rows(np.zeros((3, 4, 4))))
    with pytest.raises(ConfigurationError, match="one array"):
        Bucketize(bins=2).summary(Examples(x={"a": np.zeros((2, 1))}, y=np.zeros(2)))
    with pytest.raises(DataError, match=r"needs 4 training rows or more, and has 3 .*scope='federated'"):
        Bucketize(bins=4).summary(rows([[1], [2], [3], [np.nan]]))
    with pytest.raises(UnknownNameError, match="Did you mean 'age'"):
        Bucketize(bins=2, columns=["agee"]).summary(rows([[1, 2], [3, 4]], columns=("age", "sex")))
    with pytest.raises(ConfigurationError, match="position from 0 to 1"):
        Bucketize(bins=2, columns=[2]).summary(rows([[1, 2], [3, 4]]))
    with pytest.raises(ConfigurationError, match="one or more different columns"):
        Bucketize(bins=2, columns=[]).summary(rows([[1, 2], [3, 4]]))
    step = Bucketize(bins=2)
    with pytest.raises(DataError, match="rows have 1 features to bucketize; bins were fitted to 2"):
        step.fit(step.summary(rows([[1, 2], [3, 4]]))).apply(rows([[1], [2]]))
    with pytest.raises(ConfigurationError, match="needed, got sum"):
        step.fit({"sum": np.zeros(2)})
    with pytest.raises(DataError, match=r"needs 9 training rows or more, and has 6 .* Use fewer bins\."):
        localise(parties(Bucketize(bins=9, scope="federated"), *[np.ones((2, 1))] * 3))
    one, two = (parties(Bucketize(bins=bins, scope="federated"), *[np.ones((3, 1))] * 2) for bins in (2, 3))
    with pytest.raises(ConfigurationError, match="must be the same for all clients"):
        as_clients([one[0], two[1]])

import json
import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import hansa
from hansa import statistics
from hansa.data import Arrays, Client, Impute, Split, Standardize
from hansa.errors import ConfigurationError, DataError, UnknownNameError, UpdateError
from hansa.secure_sum import SECURE_SUMS
from hansa.statistics.exact import exact_sums
from hansa.statistics.refine import Search, images_of, values_of

NAMES = ("age", "tiny", "wide", "whole")


def table(n, seed):
    rng = np.random.default_rng(seed)
    x = np.stack(
        [
            rng.normal(50, 10, n),
            rng.normal(0, 1e-30, n),
            rng.normal(0, 1, n) * 10.0 ** rng.integers(-30, 30, n),
            rng.integers(-3, 4, n),
        ],
        axis=1,
    ).astype(np.float32)
    x[rng.random(x.shape) < 0.1] = np.nan
    return x


TABLES = [table(n, seed) for seed, n in enumerate((40, 1, 300, 7))]
POOLED = np.concatenate(TABLES)
CLIENTS = {f"c{i}": Arrays(x, np.arange(len(x)) % 3, columns=NAMES) for i, x in enumerate(TABLES)}
PRESENT = [column[~np.isnan(column)].astype(np.float64) for column in POOLED.T]
EDGES = [-1e3, -1, 0, 1, 2, 50, 60, 1e30]


def exact_moments(values):
    numbers = [Fraction(float(v)) for v in values]
    return len(numbers), sum(numbers), sum(v * v for v in numbers)


def expected_variance(values, ddof):
    n, s, q = exact_moments(values)
    return float((q - s * s / n) / (n - ddof))


SUMS = pytest.mark.parametrize("kind", list(SECURE_SUMS))


@SUMS
def test_counts(kind):
    found = statistics.count(CLIENTS, secure_sum=kind)
    assert (found.columns, found.rows) == (NAMES, len(POOLED))
    assert found.present.tolist() == [len(values) for values in PRESENT]
    assert found.missing.tolist() == np.isnan(POOLED).sum(axis=0).tolist()
    assert found["age"] == len(PRESENT[0])


@SUMS
def test_totals_means_and_variances_are_exact_and_rounded_once(kind):
    moments = [exact_moments(values) for values in PRESENT]
    total = statistics.total(CLIENTS, secure_sum=kind)
    assert total.values.tolist() == [math.fsum(values) for values in PRESENT]
    assert statistics.mean(CLIENTS, secure_sum=kind).values.tolist() == [float(s / n) for n, s, _ in moments]
    for ddof in (0, 1):
        variance = statistics.variance(CLIENTS, ddof=ddof, secure_sum=kind)
        assert variance.values.tolist() == [expected_variance(values, ddof) for values in PRESENT]
        np.testing.assert_allclose(variance.values, [np.var(v, ddof=ddof) for v in PRESENT], rtol=1e-12)
    deviation = statistics.deviation(CLIENTS, secure_sum=kind)
    assert deviation["age"] == math.sqrt(expected_variance(PRESENT[0], 1))


@SUMS
def test_smallest_and_largest_values(kind):
    found = statistics.minimum_maximum(CLIENTS, secure_sum=kind)
    assert found.minimum.tolist() == np.nanmin(POOLED, axis=0).tolist()
    assert found.maximum.tolist() == np.nanmax(POOLED, axis=0).tolist()
    assert found["whole"] == (-3, 3)


@SUMS
def test_quantiles_are_those_of_numpy(kind):
    at = (0, 0.013, 0.25, 0.5, 0.77, 1)
    found = statistics.quantiles(CLIENTS, at, secure_sum=kind)
    assert found.values.tolist() == np.stack([np.quantile(v, at) for v in PRESENT], axis=1).tolist()
    assert statistics.quantiles(CLIENTS, 0.5, columns="age", secure_sum=kind)["age"] == np.median(PRESENT[0])


@SUMS
def test_histograms_are_those_of_numpy(kind):
    found = statistics.histogram(CLIENTS, EDGES, secure_sum=kind)
    for values, counts in zip(PRESENT, found.counts, strict=True):
        assert counts.tolist() == np.histogram(values, EDGES)[0].tolist()
    assert found.below.tolist() == [int((v < EDGES[0]).sum()) for v in PRESENT]
    assert found.above.tolist() == [int((v > EDGES[-1]).sum()) for v in PRESENT]
    assert found.missing.tolist() == np.isnan(POOLED).sum(axis=0).tolist()
    some = statistics.histogram(CLIENTS, {"whole": [-3, 0, 3], "age": EDGES}, secure_sum=kind)
    assert some.columns == ("whole", "age")
    assert some["whole"].tolist() == np.histogram(PRESENT[3], [-3, 0, 3])[0].tolist()


@SUMS
def test_class_counts(kind):
    y = np.concatenate([np.arange(len(x)) % 3 for x in TABLES])
    found = statistics.class_counts(CLIENTS, secure_sum=kind)
    assert (found.classes, found.counts.tolist(), found.other) == ((0, 1, 2), np.bincount(y).tolist(), 0)
    found = statistics.class_counts(CLIENTS, classes=[7, 1, 0], secure_sum=kind)
    assert (found.classes, found[1], found[7], found.other) == ((0, 1, 7), (y == 1).sum(), 0, (y == 2).sum())


@SUMS
def test_a_description_has_it_all(kind):
    found = statistics.describe(CLIENTS, secure_sum=kind)
    assert found.rows == len(POOLED)
    assert found.count.tolist() == [len(v) for v in PRESENT]
    assert found.mean.tolist() == statistics.mean(CLIENTS).values.tolist()
    assert found.deviation.tolist() == statistics.deviation(CLIENTS).values.tolist()
    marks = np.stack([found.minimum, found.lower, found.median, found.upper, found.maximum])
    assert (
        marks.tolist()
        == np.stack([np.quantile(v, (0, 0.25, 0.5, 0.75, 1)) for v in PRESENT], axis=1).tolist()
    )
    lines = str(found).splitlines()
    assert [line.split()[0] for line in lines] == ["column", *NAMES]
    assert len({len(line) for line in lines}) == 1


def test_results_are_json():
    empty = {"a": ([[1.0, np.nan]], [0]), "b": ([[2.0, np.nan]], [1])}
    for result in (
        statistics.count(empty),
        statistics.mean(empty),
        statistics.variance(empty),
        statistics.minimum_maximum(empty),
        statistics.quantiles(empty),
        statistics.histogram(empty, [0, 1]),
        statistics.class_counts(empty),
        statistics.describe(empty),
    ):
        json.dumps(result.to_json(), allow_nan=False)
    assert statistics.mean(empty).to_json() == {"0": 1.5, "1": None}
    assert statistics.describe(empty)["1"]["median"] is None


@given(
    hnp.arrays(
        np.float32,
        st.tuples(st.integers(1, 12), st.integers(1, 3)),
        elements=st.floats(width=32, allow_infinity=False),
    )
)
def test_a_client_sums_its_rows_exactly(x):
    sums, squares = exact_sums(x, squares=True)
    for column, one, two in zip(x.T, sums, squares, strict=True):
        _, s, q = exact_moments(column[~np.isnan(column)])
        assert (Fraction(one, 1 << 149), Fraction(two, 1 << 298)) == (s, q)


def test_many_rows_are_summed_in_blocks(monkeypatch):
    monkeypatch.setattr("hansa.statistics.exact._CELLS", 16)
    assert exact_sums(POOLED, squares=True) == exact_sums(np.roll(POOLED, 5, axis=0), squares=True)
    wide = POOLED[:20].T.copy()
    monkeypatch.undo()
    whole = exact_sums(wide, squares=True)
    monkeypatch.setattr("hansa.statistics.exact._CELLS", 8)
    assert exact_sums(wide, squares=True) == whole


@settings(deadline=None)
@given(
    hnp.arrays(
        np.float32, st.integers(1, 15), elements=st.floats(width=32, allow_nan=False, allow_infinity=False)
    ),
    st.floats(0, 1),
    st.integers(1, 3),
)
def test_quantiles_of_any_numbers_however_they_lie(x, at, cut):
    clients = {
        str(i): (part, np.arange(len(part)) % 2) for i, part in enumerate(np.array_split(x, cut)) if len(part)
    }
    found = statistics.quantiles(clients, at).values[0, 0]
    assert found == np.quantile(x.astype(np.float64), at)
    for rounds in (2, 3):
        low, high = statistics.minimum_maximum(clients, rounds=rounds)["x"]
        share, least, most = 2.0 ** -(8 * rounds - 9), float(x.min()), float(x.max())
        assert least - abs(least) * share - 2.0**-126 <= low <= least
        assert most <= high <= most + abs(most) * share + 2.0**-126


@given(st.lists(st.floats(width=32, allow_nan=False), min_size=2, max_size=2))
def test_images_are_ordered_as_numbers_are(pair):
    a, b = np.float32(pair)
    one, two = images_of(np.float32([a, b])).tolist()
    assert (one < two, one == two) == (a < b, a == b)
    if np.isfinite(a):
        assert values_of(np.array([one]))[0] == a


def test_buckets_of_a_histogram_give_quantiles():
    values = np.random.default_rng(0).normal(size=500).astype("float32")
    clients = {"a": (values[:200], np.zeros(200, int)), "b": (values[200:], np.ones(300, int))}
    edges, at = np.linspace(-2, 2, 81), np.linspace(0.05, 0.95, 19)
    found = statistics.histogram(clients, edges).quantiles("x", at)
    assert abs(found - np.quantile(values, at, method="inverted_cdf")).max() <= 4 / 80
    assert np.isnan(statistics.histogram(clients, edges).quantiles("x", [0, 1])).all()
    nothing = statistics.histogram({"a": ([np.nan], [0]), "b": ([np.nan], [1])}, [0, 1])
    assert np.isnan(nothing.quantiles("x")).all()


def test_columns_are_chosen_by_name_or_position_and_have_names_in_any_shape():
    assert statistics.mean(CLIENTS, columns=["whole", 0]).columns == ("whole", "age")
    assert statistics.mean(CLIENTS, columns="tiny").columns == ("tiny",)
    images = {"a": (np.arange(8, dtype="uint8").reshape(2, 2, 2), [0, 1])}
    found = statistics.total(images)
    assert (found.columns, found.values.tolist()) == (("0,0", "0,1", "1,0", "1,1"), [4, 6, 8, 10])
    named = Client(name="a", source=Arrays(np.ones((2, 2, 2)), [0, 1], columns=("u", "v")))
    assert statistics.count([named]).columns == ("0,u", "0,v", "1,u", "1,v")


def test_splits_are_chosen_and_preprocessing_is_not_applied():
    split = Split(indices={"train": [0, 1], "test": [2]})
    steps = (Impute(), Standardize(scope="federated"))
    one = Client(name="a", source=Arrays([1.0, 3.0, 9.0], [0, 1, 1]), split=split, preprocess=steps)
    two = Client(name="b", source=Arrays([5.0], [2]), preprocess=steps)
    assert statistics.mean([one, two])["x"] == 3
    assert statistics.mean([one, two], splits="test")["x"] == 9
    assert statistics.mean([one, two], splits=("train", "test"))["x"] == 4.5
    assert statistics.class_counts([one, two], splits="test").to_json() == {"classes": {"1": 1}, "other": 0}


def test_a_simulated_population_and_a_secure_sum_as_such():
    x, y = np.random.default_rng(0).normal(size=(60, 2)).astype("float32"), np.arange(60) % 2
    clients = hansa.data.iid(x, y, clients=5)
    found = hansa.statistics.mean(clients, secure_sum=hansa.Sealed())
    assert found.values.tolist() == [float(exact_moments(c)[1] / 60) for c in x.T]


def test_many_columns_are_counted_in_several_sums(monkeypatch):
    whole = statistics.quantiles(CLIENTS).values.tolist()
    monkeypatch.setattr("hansa.statistics.refine._AT_ONCE", 3)
    assert statistics.quantiles(CLIENTS).values.tolist() == whole


def test_counts_that_do_not_fit_together_are_found():
    search = Search.of(np.array([2]), np.array([[1]]))
    told = np.zeros((1, 256), np.int64)
    with pytest.raises(UpdateError, match="do not fit"):
        search.narrowed(search.buckets(), told)


ONE = {"a": ([[1.0, 2.0]], [0])}


@pytest.mark.parametrize(
    ("call", "kind", "message"),
    [
        (lambda: statistics.mean({}), ConfigurationError, "no clients"),
        (lambda: statistics.mean(3), ConfigurationError, "clients is a int"),
        (lambda: statistics.mean({**ONE, "b": ([[1.0]], [0])}), DataError, "other features"),
        (lambda: statistics.mean({"a": (np.zeros((1, 0)), [0])}), DataError, "no features"),
        (lambda: statistics.mean({"a": ([["u"]], [0])}), DataError, "expected numbers"),
        (lambda: statistics.mean({"a": ({"u": [[1.0]]}, [0])}), ConfigurationError, "one array"),
        (lambda: statistics.mean({"a": ([[1.0, np.inf]], [0])}), DataError, "'a'.*feature 1.*infinite"),
        (lambda: statistics.mean({"a": (np.array([[1, 2**24 + 1]]), [0])}), DataError, "column '1'.*2.24"),
        (lambda: statistics.mean(CLIENTS, columns="agee"), UnknownNameError, "Did you mean 'age'"),
        (lambda: statistics.mean(CLIENTS, columns=4), ConfigurationError, "from 0 to 3"),
        (lambda: statistics.mean(CLIENTS, columns=[True]), ConfigurationError, "not a column"),
        (lambda: statistics.mean(CLIENTS, columns=[]), ConfigurationError, "one or more"),
        (lambda: statistics.mean(CLIENTS, columns=["age", 0]), ConfigurationError, "different columns"),
        (lambda: statistics.mean(CLIENTS)["agee"], UnknownNameError, "Did you mean 'age'"),
        (lambda: statistics.mean(CLIENTS, splits="test"), DataError, "rows in its split 'test'"),
        (lambda: statistics.class_counts(CLIENTS, splits="test"), DataError, "no client has rows"),
        (lambda: statistics.mean(CLIENTS, splits="tests"), UnknownNameError, "Did you mean 'test'"),
        (lambda: statistics.mean(CLIENTS, splits=()), ConfigurationError, "one or more"),
        (lambda: statistics.mean(CLIENTS, splits=("test", "test")), ConfigurationError, "different"),
        (lambda: statistics.mean(CLIENTS, secure_sum="seald"), UnknownNameError, "Did you mean 'sealed'"),
        (lambda: statistics.mean(CLIENTS, secure_sum=3), ConfigurationError, "secure_sum is 3"),
        (lambda: statistics.mean(ONE, secure_sum="sealed"), ConfigurationError, "mean: .*1 client "),
        (lambda: statistics.quantiles(ONE, secure_sum="masking"), ConfigurationError, "round 1: .*1 client "),
        (lambda: statistics.variance(CLIENTS, ddof=-1), ConfigurationError, "0 or more"),
        (lambda: statistics.variance(ONE), DataError, "needs at least 2 values; column '0' has 1"),
        (lambda: statistics.histogram(CLIENTS, [0, 0]), ConfigurationError, "each above"),
        (lambda: statistics.histogram(CLIENTS, [0]), ConfigurationError, "2 or more"),
        (lambda: statistics.histogram(CLIENTS, "ab"), ConfigurationError, "2 or more"),
        (lambda: statistics.histogram(CLIENTS, [0, np.inf]), ConfigurationError, "finite"),
        (lambda: statistics.histogram(CLIENTS, range(70_000)), ConfigurationError, "65,536.*69,999"),
        (lambda: statistics.histogram(CLIENTS, {"agee": [0, 1]}), UnknownNameError, "'age'"),
        (lambda: statistics.histogram(CLIENTS, {"age": [0, 1]}, columns="tiny"), UnknownNameError, "edges"),
        (lambda: statistics.quantiles(CLIENTS, 1.5), ConfigurationError, "from 0 to 1"),
        (lambda: statistics.quantiles(CLIENTS, [np.nan]), ConfigurationError, "from 0 to 1"),
        (lambda: statistics.quantiles(CLIENTS, []), ConfigurationError, "from 0 to 1"),
        (lambda: statistics.quantiles(CLIENTS, "half"), ConfigurationError, "from 0 to 1"),
        (lambda: statistics.quantiles(CLIENTS, rounds=5), ConfigurationError, "2, 3 or 4"),
        (lambda: statistics.class_counts({"a": ([1.0], [0.5])}), DataError, "client 'a'.*not classes"),
        (lambda: statistics.class_counts(CLIENTS, classes=[1, 1]), ConfigurationError, "different"),
        (lambda: statistics.class_counts(CLIENTS, classes=[0.5]), ConfigurationError, "integers"),
        (lambda: statistics.class_counts(CLIENTS, classes=2), ConfigurationError, "integers"),
        (lambda: statistics.class_counts(CLIENTS)[9], UnknownNameError, "class"),
    ],
)  # fmt: skip
def test_bad_input(call, kind, message):
    with pytest.raises(kind, match=message):
        call()

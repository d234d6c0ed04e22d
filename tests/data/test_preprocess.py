import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from hansa.data import Impute, MinMax, Standardize
from hansa.data.preprocess import add_summaries
from hansa.data.transform import Transform
from hansa.errors import ConfigurationError, DataError, UnknownNameError
from hansa.types import Examples


def rows(x):
    x = np.asarray(x, dtype=np.float32)
    return Examples(x=x, y=np.zeros(len(x), dtype=np.int64))


def fitted(transform, *parts):
    return transform.fit(add_summaries([transform.summary(rows(part)) for part in parts]))


tables = hnp.arrays(
    np.float32, st.tuples(st.integers(2, 30), st.just(3)), elements=st.floats(-1e4, 1e4, width=32)
)


@given(tables, st.integers(0, 1))
def test_standardize_has_the_mean_and_deviation_of_two_passes(x, ddof):
    fit = fitted(Standardize(ddof=ddof), x)
    exact = x.astype(np.float64)
    np.testing.assert_allclose(fit.center, exact.mean(axis=0), rtol=1e-12, atol=1e-9)
    deviation = exact.std(axis=0, ddof=ddof)
    clear = deviation > 1e-4 * abs(exact).max(axis=0)
    np.testing.assert_allclose(fit.scale[clear], deviation[clear], rtol=1e-6)
    assert (fit.scale[deviation == 0] == 1).all()


@given(tables, st.integers(1, 29), st.sampled_from([Standardize(), Impute()]))
def test_summed_summaries_are_the_summary_of_all_rows(x, cut, transform):
    cut = min(cut, len(x) - 1)
    together, apart = fitted(transform, x), fitted(transform, x[:cut], x[cut:])
    for name in vars(together):
        one, two = getattr(together, name), getattr(apart, name)
        varies = x.std(axis=0) > 1e-3 * abs(x).max(axis=0)  # at the rounding limit a scale may become 1
        np.testing.assert_allclose(one[varies], two[varies], rtol=1e-7, atol=1e-9)


@given(st.permutations(range(5)))
def test_the_order_of_the_parties_does_not_matter(order):
    parts = [Standardize().summary(rows([[0.1 * (i + 1)], [1e6 / (i + 3)]])) for i in range(5)]
    one, two = add_summaries(parts), add_summaries([parts[i] for i in order])
    assert all((one[name] == two[name]).all() for name in one)


@pytest.mark.parametrize("value", [0.1, 12345.678, 1e-20, 1e6])
def test_a_constant_feature_is_only_centred(value):
    x = np.full((100_003, 1), value, dtype=np.float32)
    fit = fitted(Standardize(), x)
    assert fit.scale.tolist() == [1.0]
    assert abs(fit.apply(rows(x)).x).max() <= abs(value) * 1e-7


def test_a_large_mean_is_handled_with_a_public_shift():
    x = (1e6 + np.random.default_rng(0).normal(size=(1000, 2))).astype(np.float32)
    exact = x.astype(np.float64).std(axis=0, ddof=1)
    np.testing.assert_allclose(fitted(Standardize(), x).scale, exact, rtol=1e-3)
    for shift in (1e6, [1e6, 999_999.0]):
        shifted = fitted(Standardize(shift=shift), x)
        np.testing.assert_allclose(shifted.scale, exact, rtol=1e-11)
        np.testing.assert_allclose(shifted.center, x.astype(np.float64).mean(axis=0), rtol=1e-14)


def test_one_row_has_no_deviation():
    fit = fitted(Standardize(), [[3.0]])
    assert (fit.center.tolist(), fit.scale.tolist()) == ([3.0], [1.0])


def test_missing_values_do_not_count():
    x = [[1.0, np.nan], [3.0, np.nan], [np.nan, np.nan]]
    fit = fitted(Standardize(ddof=0), x)
    assert (fit.center.tolist(), fit.scale.tolist()) == ([2.0, 0.0], [1.0, 1.0])
    fill = fitted(Impute(), x)
    np.testing.assert_array_equal(fill.apply(rows(x)).x, np.float32([[1, np.nan], [3, np.nan], [2, np.nan]]))
    bounds = fitted(MinMax(), x)
    np.testing.assert_array_equal(bounds.apply(rows(x)).x[:, 0], np.float32([0, 1, np.nan]))


def test_min_max_of_other_rows_may_leave_the_interval():
    fit = fitted(MinMax(), [[0.0, 5.0], [4.0, 5.0]])
    assert fit.apply(rows([[1.0, 5.0], [8.0, 6.0]])).x.tolist() == [[0.25, 0.0], [2.0, 1.0]]


def test_images_and_integers_and_the_rest_of_the_rows():
    x = np.arange(24, dtype=np.uint8).reshape(2, 3, 4)
    examples = Examples(x=x, y=np.array([0, 1]), sample_weight=np.ones(2, np.float32), columns=tuple("abcd"))
    transform = Standardize(ddof=0)
    result = transform.fit(transform.summary(examples)).apply(examples)
    assert result.x.dtype == np.float32
    assert (result.x == np.repeat([-1.0, 1.0], 12).reshape(2, 3, 4)).all()
    assert (result.y is examples.y, result.sample_weight is examples.sample_weight) == (True, True)
    assert result.columns == examples.columns


def test_wide_rows_are_summed_in_blocks():
    x = np.random.default_rng(1).normal(size=(3000, 1500)).astype(np.float32)
    np.testing.assert_allclose(
        fitted(Standardize(), x).scale, x.astype(np.float64).std(axis=0, ddof=1), rtol=1e-12
    )


@pytest.mark.parametrize("x", [{"a": np.zeros((2, 1))}, (np.zeros((2, 1)),)])
def test_several_inputs_are_refused(x):
    for transform in (Standardize(), MinMax(), Impute()):
        with pytest.raises(ConfigurationError, match="one array"):
            transform.summary(Examples(x=x, y=np.zeros(2)))


@pytest.mark.parametrize("kind", [Standardize, MinMax, Impute])
def test_unknown_scope(kind):
    with pytest.raises(UnknownNameError, match="Did you mean 'local'"):
        kind(scope="locals")


def test_options_of_standardize():
    for options in ({"ddof": -1}, {"ddof": 0.5}, {"shift": float("nan")}, {"shift": [[1.0]]}):
        with pytest.raises(ConfigurationError):
            Standardize(**options)
    with pytest.raises(DataError, match="shift has 2 numbers"):
        Standardize(shift=[1.0, 2.0]).summary(rows([[1.0]]))


def test_sums_of_another_form_are_refused():
    summary = Impute().summary(rows([[1.0]]))
    with pytest.raises(ConfigurationError, match="count, sum, sum_squares is needed, got count, sum"):
        Standardize().fit(summary)
    with pytest.raises(DataError, match="different names or shapes"):
        add_summaries([summary, Impute().summary(rows([[1.0, 2.0]]))])
    with pytest.raises(DataError, match="no summaries"):
        add_summaries([])
    for fit in (Impute().fit(summary), fitted(Standardize(), [[1.0]])):
        with pytest.raises(DataError, match=r"shape \(2,\).*fitted to \(1,\)"):
            fit.apply(rows([[1.0, 2.0]]))


def test_describe_and_protocol():
    transforms = [
        Standardize(),
        Standardize(shift=(1.0, 2.0)),
        Standardize(scope="federated"),
        MinMax(),
        Impute(),
    ]
    assert len({json.dumps(t.describe()) for t in transforms}) == 5
    assert all(isinstance(t, Transform) for t in transforms)


@pytest.mark.parametrize("shift", ["x", [1, "a"], [[1.0], [1.0, 2.0]], None])
def test_a_shift_that_is_no_number(shift):
    with pytest.raises(ConfigurationError, match=r"Standardize.shift must be one number"):
        Standardize(shift=shift)

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hansa.errors import UpdateError
from hansa.secure_sum.tree import TreeSum
from hansa.server.aggregate import aggregate_with, mean_of
from hansa.types import Delta, Total


def cohort(seed, clients, size):
    stream = np.random.default_rng(seed)
    return [
        Delta(vector=stream.normal(size=size).astype(np.float32), weight=float(stream.integers(1, 1000)))
        for _ in range(clients)
    ]


@settings(max_examples=100, deadline=None)
@given(st.integers(0, 10**6), st.integers(1, 90), st.integers(1, 12))
def test_the_mean_is_numpys_weighted_mean(seed, clients, size):
    deltas = cohort(seed, clients, size)
    total = TreeSum(size, clients)
    for position, delta in enumerate(deltas):
        total.add(position, delta)
    expected = np.average(
        np.stack([d.vector for d in deltas]).astype(np.float64), axis=0, weights=[d.weight for d in deltas]
    )
    np.testing.assert_allclose(mean_of(total.result()), expected, rtol=1e-12, atol=1e-14)


def test_nothing_to_average_and_weights_that_sum_to_zero_are_errors():
    with pytest.raises(UpdateError, match="no updates"):
        mean_of(Total(vector=np.zeros(2), weight=0.0, count=0))
    with pytest.raises(UpdateError, match=r"weights of the 3 updates sum to 0.*uniform"):
        mean_of(Total(vector=np.zeros(2), weight=0.0, count=3))


def test_a_function_gets_updates_and_weights_in_order():
    deltas = cohort(0, 3, 4)
    seen = {}

    def median(vectors, weights):
        seen.update(vectors=vectors, weights=weights)
        return np.median(vectors, axis=0)

    result = aggregate_with(median, dict(zip("abc", deltas, strict=True)))
    assert result.dtype == np.float64
    assert np.array_equal(seen["vectors"], np.stack([d.vector for d in deltas]))
    assert seen["weights"].tolist() == [d.weight for d in deltas]
    assert np.array_equal(result, np.median(seen["vectors"], axis=0))


@pytest.mark.parametrize(
    ("returned", "message"),
    [
        (np.zeros(3), r"shape \(3,\).*expected one vector.*\(4,\)"),
        (np.zeros((1, 4)), r"shape \(1, 4\)"),
        (np.array([1, 2, 3, np.nan]), "NaN or infinity"),
        (np.zeros(4, complex), "complex128"),
        (np.array(["a"] * 4), "dtype <U1"),
        (None, "dtype object"),
    ],
)
def test_a_function_that_returns_something_else_is_an_error_that_names_it(returned, message):
    def mine(vectors, weights):
        return returned

    with pytest.raises(UpdateError, match=f"(?s)mine.*{message}"):
        aggregate_with(mine, {"a": cohort(0, 1, 4)[0]})


def test_a_function_needs_updates():
    with pytest.raises(UpdateError, match="no updates"):
        aggregate_with(lambda v, w: v[0], {})


def test_a_function_that_returns_no_array_is_an_error_that_names_it():
    def mine(vectors, weights):
        return [[1.0], [1.0, 2.0]]

    with pytest.raises(UpdateError, match=r"mine returned a list that is no array .*\(4,\)"):
        aggregate_with(mine, {"a": cohort(0, 1, 4)[0]})

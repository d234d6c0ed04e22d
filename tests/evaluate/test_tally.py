import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hansa.errors import UpdateError
from hansa.evaluate.average import average_metrics
from hansa.evaluate.tally import BOUND, Tally

TALLY = Tally(("loss", "accuracy"))
value = st.floats(-1e5, 1e5)
client = st.tuples(st.integers(0, 10**6), value, value)


@given(st.lists(client, min_size=1, max_size=9))
def test_sums_give_the_weighted_means(clients):
    told = [(rows, {"loss": loss, "accuracy": accuracy}) for rows, loss, accuracy in clients]
    vectors = [TALLY.encode({"training": one, "validation": (0, {})}) for one in told]
    assert all(np.abs(vector).max() < BOUND for vector in vectors)
    means, clipped = TALLY.decode(sum(vectors))
    assert clipped == 0
    expected = average_metrics(told)
    assert means["validation"] == {}
    assert means["training"].keys() == expected.keys()
    for name, mean in expected.items():
        assert math.isclose(means["training"][name], mean, abs_tol=1e-4)


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf, 1e300])
def test_what_cannot_be_told_does_not_count(bad):
    spoiled = TALLY.encode({"training": (5, {"loss": bad, "accuracy": 0.5})})
    good = TALLY.encode({"training": (3, {"loss": 2.0, "accuracy": 1.0})})
    means = TALLY.decode(spoiled + good)[0]["training"]
    assert means["loss"] == 2.0
    assert math.isclose(means["accuracy"], 5.5 / 8, abs_tol=1e-6)


def test_a_metric_that_a_client_lacks_does_not_count():
    told = TALLY.decode(TALLY.encode({"validation": (4, {"loss": 1.0})}, clipped=True))
    assert told == ({"training": {}, "validation": {"loss": 1.0}}, 1)


def test_what_is_no_sum_is_refused():
    with pytest.raises(UpdateError, match="shape"):
        TALLY.decode(np.zeros(3, np.int64))
    with pytest.raises(UpdateError, match="fewer than 0"):
        TALLY.decode(-TALLY.encode({"training": (3, {"loss": 2.0})}))

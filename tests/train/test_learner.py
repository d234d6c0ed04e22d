from __future__ import annotations

import numpy as np
import pytest

from hansa.train.learner import class_weighted
from hansa.types import Examples

X = np.zeros((4, 2), "float32")


@pytest.mark.parametrize(
    "y",
    [np.array([0, 2, 1, 2]), np.array([[0.0], [2], [1], [2]]), np.eye(3)[[0, 2, 1, 2]]],
    ids=["n", "n1", "onehot"],
)
def test_rows_weigh_as_their_class(y):
    weighted = class_weighted(Examples(x=X, y=y), {0: 2.0, 2: 0.5})
    assert weighted.sample_weight is not None
    assert weighted.sample_weight.tolist() == [2, 0.5, 1, 0.5]
    assert weighted.sample_weight.dtype == np.float32


def test_class_weights_multiply_sample_weights():
    rows = Examples(x=X, y=np.array([0, 1, 0, 1]), sample_weight=np.array([1, 2, 3, 4], "float32"))
    weighted = class_weighted(rows, {1: 10.0})
    assert weighted.sample_weight is not None
    assert weighted.sample_weight.tolist() == [1, 20, 3, 40]
    assert rows.sample_weight is not None
    assert rows.sample_weight.tolist() == [1, 2, 3, 4]


@pytest.mark.parametrize("nothing", [None, {}])
def test_without_class_weights_nothing_changes(nothing):
    rows = Examples(x=X, y=np.array([0, 1, 0, 1]))
    assert class_weighted(rows, nothing) is rows

import numpy as np
import pytest

from hansa.data.labels import class_labels, count_labels


@pytest.mark.parametrize(
    ("y", "expected"),
    [
        (np.array([2, 0, -1], dtype=np.int8), [2, 0, -1]),
        (np.array([[1.0], [0.0]], dtype=np.float32), [1, 0]),
        (np.array([[0, 0, 1], [1, 0, 0]]), [2, 0]),
    ],
)
def test_labels_that_are_classes(y, expected):
    assert class_labels(y).tolist() == expected


@pytest.mark.parametrize(
    "y",
    [
        np.array([0.0, 2.0]),
        np.array([0.0, np.nan]),
        np.arange(1001),
        np.array([[1, 1], [0, 1]]),
        np.zeros((2, 2, 2), dtype=int),
        {"a": np.array([0, 1])},
    ],
)
def test_labels_that_are_not_classes(y):
    assert class_labels(y) is None


def test_count_labels_is_sorted_by_class():
    assert list(count_labels(np.array([10, 2, 10])).items()) == [("2", 1), ("10", 2)]

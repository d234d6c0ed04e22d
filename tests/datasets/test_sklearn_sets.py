import sys

import numpy as np
import pytest

from hansa.datasets import sklearn_set
from hansa.errors import MissingExtraError, UnknownNameError

SHAPES = {
    "breast_cancer": (569, 30),
    "digits": (1797, 64),
    "wine": (178, 13),
    "iris": (150, 4),
    "diabetes": (442, 10),
}
CLASSES = {"breast_cancer": 2, "digits": 10, "wine": 3, "iris": 3}


@pytest.mark.parametrize("name", SHAPES)
def test_features_and_labels(name):
    pytest.importorskip("sklearn")
    x, y = sklearn_set(name)
    assert (x.dtype, x.shape, y.shape) == (np.float32, SHAPES[name], SHAPES[name][:1])
    if name == "diabetes":
        assert y.dtype == np.float32
    else:
        assert y.dtype == np.int64
        assert sorted(set(y.tolist())) == list(range(CLASSES[name]))


@pytest.mark.parametrize("name", ["breast_cancr", "linnerud", "fetch_openml", "__class__"])
def test_an_unknown_name_is_told_with_the_known_ones(name):
    with pytest.raises(UnknownNameError, match="breast_cancer, diabetes, digits, iris, wine"):
        sklearn_set(name)


def test_without_scikit_learn_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "sklearn", None)
    with pytest.raises(MissingExtraError, match=r"\.\[sklearn\]"):
        sklearn_set("iris")

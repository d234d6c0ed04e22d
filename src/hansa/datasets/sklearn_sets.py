"""The small sets that scikit-learn bundles: no download, for first steps and tests."""

from __future__ import annotations

import numpy as np

from hansa.errors import MissingExtraError, UnknownNameError
from hansa.types import Array

NAMES = ("breast_cancer", "diabetes", "digits", "iris", "wine")


def sklearn_set(name: str) -> tuple[Array, Array]:
    """Return features and labels of a set that scikit-learn bundles.

    Args:
        name: ``"breast_cancer"`` (569 rows, 30 features, 2 classes), ``"digits"`` (1797, 64, 10),
            ``"wine"`` (178, 13, 3), ``"iris"`` (150, 4, 3) or ``"diabetes"`` (442, 10, regression).

    Returns:
        Features, float32, shape ``(n, d)``; and labels, shape ``(n,)``: classes from 0, int64, or
        float32 for ``"diabetes"``.

    Raises:
        UnknownNameError: There is no such set.
        MissingExtraError: scikit-learn is not installed.
    """
    if name not in NAMES:
        raise UnknownNameError("scikit-learn dataset", name, NAMES)
    try:
        from sklearn import datasets
    except ImportError as error:
        raise MissingExtraError(f"the dataset {name!r}", "scikit-learn", "sklearn") from error
    x, y = getattr(datasets, f"load_{name}")(return_X_y=True)
    return np.asarray(x, np.float32), np.asarray(y, np.float32 if name == "diabetes" else np.int64)

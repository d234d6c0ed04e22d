"""From the clients' updates to one mean: weighted by examples, plain, or by a function of the user's."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from hansa.errors import UpdateError
from hansa.types import Array, Delta, Total

Aggregate = str | Callable[[Array, Array], Array]
KINDS = ("examples", "uniform")


def mean_of(total: Total) -> Array:
    """Return the weighted mean of a sum, float64.

    Raises:
        UpdateError: If there is nothing to average.
    """
    if total.count == 0:
        raise UpdateError("there are no updates to aggregate: every client of the cohort was dropped.")
    if not total.weight > 0:
        raise UpdateError(
            f"the weights of the {total.count} updates sum to {total.weight:g}; at least one must be "
            "above 0. Give clients rows, or use aggregate='uniform' to ignore the number of examples."
        )
    return total.vector / total.weight


def aggregate_with(function: Callable[[Array, Array], Array], deltas: Mapping[str, Delta]) -> Array:
    """Return what the user's function makes of the updates, float64.

    Args:
        function: Takes the updates, float32 of shape ``(n, d)``, and their weights, float64 of shape
            ``(n,)``, in cohort order, and returns one vector of shape ``(d,)``.
        deltas: Update by client.

    Raises:
        UpdateError: If there are no updates, or it returns anything but a finite vector of shape ``(d,)``.
    """
    if not deltas:
        raise UpdateError("there are no updates to aggregate: every client of the cohort was dropped.")
    vectors = np.stack([d.vector for d in deltas.values()])
    weights = np.array([d.weight for d in deltas.values()], np.float64)
    name = getattr(function, "__name__", repr(function))
    returned: Any = function(vectors, weights)
    try:
        result: Any = np.asarray(returned)
    except (ValueError, TypeError) as error:
        raise UpdateError(
            f"the aggregate function {name} returned a {type(returned).__name__} that is no array ({error}); "
            f"expected one vector of real numbers of shape {vectors.shape[1:]}."
        ) from error
    if result.shape != vectors.shape[1:] or result.dtype.kind not in "iuf":
        raise UpdateError(
            f"the aggregate function {name} returned shape {result.shape} and dtype {result.dtype}; expected "
            f"one vector of real numbers of shape {vectors.shape[1:]}."
        )
    result = result.astype(np.float64)
    if not np.isfinite(result).all():
        raise UpdateError(
            f"the aggregate function {name} returned NaN or infinity; the model is left as it was. "
            "Make it return a finite vector, for example by guarding a division by zero."
        )
    return result

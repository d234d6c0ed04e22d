"""Preprocessing of features: fitted on training rows, alone or together with the other parties.

What a transform is, is told in `hansa.data.transform`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from hansa.data.transform import (
    Scope,
    Summary,
    check_scope,
    check_shape,
    one_array,
    parts_of_summary,
    with_features,
)
from hansa.errors import ConfigurationError, DataError
from hansa.types import Array, Examples

_BLOCK = 1 << 21  # cells summed at once, so that float64 copies stay small
_ROUNDING = 2.0**-44  # a spread below this share of the squares is rounding (float32 resolves no less)


@dataclass(frozen=True, kw_only=True, eq=False)
class Affine:
    """Fitted: ``(x - center) / scale``, in float64, rounded to float32."""

    center: NDArray[np.float64]
    scale: NDArray[np.float64]

    def apply(self, examples: Examples) -> Examples:
        """Return the rows with features shifted and scaled."""
        x = one_array(examples, "preprocessing")
        check_shape(x, self.center)
        return with_features(examples, ((x - self.center) / self.scale).astype(np.float32))

    def describe(self) -> dict[str, Any]:
        """Return center and scale, one value for each feature."""
        return {"center": self.center.tolist(), "scale": self.scale.tolist()}


@dataclass(frozen=True, kw_only=True, eq=False)
class Fill:
    """Fitted: missing features take this value."""

    value: NDArray[np.float64]

    def apply(self, examples: Examples) -> Examples:
        """Return the rows with NaN features filled."""
        x = one_array(examples, "preprocessing")
        check_shape(x, self.value)
        return with_features(examples, np.where(np.isnan(x), self.value, x).astype(np.float32))

    def describe(self) -> dict[str, Any]:
        """Return what missing features become, one value for each feature."""
        return {"missing_becomes": self.value.tolist()}


@dataclass(frozen=True, kw_only=True)
class Standardize:
    """Subtract the mean and divide by the standard deviation, for each feature of a row.

    A feature that does not vary is only centred (its scale is 1). Missing features do not count.

    Attributes:
        scope: Whose rows give the mean and deviation: one's own, or those of all parties.
        ddof: The variance divides by ``count - ddof``; 1 is the sample's, 0 the population's.
        shift: A public guess of the mean, a number or one for each feature, that is subtracted before
            squaring. Only needed where the mean is more than 10,000 deviations away from 0.

    Guarantees:
        The relative error of the variance is about ``2**-48 * (1 + (mean - shift)**2 / variance)``:
        the features are float32, so their squares are exact in float64, and sums are pairwise.
    """

    scope: Scope = "local"
    ddof: int = 1
    shift: float | Sequence[float] = 0.0
    fills_missing: ClassVar[bool] = False

    def __post_init__(self) -> None:
        check_scope(self.scope)
        if isinstance(self.ddof, bool) or not isinstance(self.ddof, int) or self.ddof < 0:
            raise ConfigurationError(f"Standardize.ddof must be an integer of 0 or more, got {self.ddof!r}.")
        try:
            shift = np.asarray(self.shift, dtype=np.float64)
        except (ValueError, TypeError):
            shift = np.array(np.nan)
        if shift.ndim > 1 or not np.isfinite(shift).all():
            raise ConfigurationError(
                f"Standardize.shift must be one number, or one per feature, got {self.shift!r}."
            )
        object.__setattr__(self, "shift", float(shift) if shift.ndim == 0 else tuple(shift.tolist()))

    def summary(self, examples: Examples) -> Summary:
        """Return count, sum and sum of squares about the shift, of the values that are present."""
        x = one_array(examples, "Standardize")
        return _moments(x, self._shift(x.shape[1:]), squares=True)

    def fit(self, summary: Summary) -> Affine:
        """Return the transform with the mean and deviation of these sums."""
        count, total, squares = parts_of_summary(summary, "count", "sum", "sum_squares")
        offset = total / np.maximum(count, 1)
        spread = squares - total * offset
        varies = (spread > _ROUNDING * squares) & (count > self.ddof)
        variance = np.where(varies, spread, 1.0) / np.where(varies, count - self.ddof, 1.0)
        return Affine(center=self._shift(total.shape) + offset, scale=np.sqrt(variance))

    def describe(self) -> dict[str, Any]:
        """Return the options."""
        shift = list(self.shift) if isinstance(self.shift, tuple) else self.shift
        return {"kind": "standardize", "scope": self.scope, "ddof": self.ddof, "shift": shift}

    def _shift(self, shape: tuple[int, ...]) -> NDArray[np.float64]:
        shift = np.asarray(self.shift, dtype=np.float64)
        if shift.ndim and (not shape or shape[-1] != len(shift)):
            raise DataError(
                f"Standardize.shift has {len(shift)} numbers, but a row's features have shape {shape}."
            )
        return np.broadcast_to(shift, shape)


@dataclass(frozen=True, kw_only=True)
class MinMax:
    """Map each feature's smallest training value to 0 and its largest to 1.

    Values of other rows may fall outside of 0 to 1. A feature that does not vary becomes 0.

    Attributes:
        scope: Whose rows give the smallest and the largest value: one's own, or those of all parties, which
            `hansa.statistics` finds by sums of counts.
    """

    scope: Scope = "local"
    fills_missing: ClassVar[bool] = False

    def __post_init__(self) -> None:
        check_scope(self.scope)

    def summary(self, examples: Examples) -> Summary:
        """Return the smallest and largest value of each feature, which do not add up across parties."""
        x = one_array(examples, "MinMax").astype(np.float64, copy=False)
        return {"minimum": np.asarray(np.fmin.reduce(x)), "maximum": np.asarray(np.fmax.reduce(x))}

    def chosen(self, examples: Examples) -> list[int]:
        """Return all features."""
        return list(range(math.prod(one_array(examples, "MinMax").shape[1:])))

    def places(self, count: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return the first and the last place."""
        return np.stack([np.zeros_like(count), np.maximum(count - 1, 0)])

    def ordered_summary(self, values: NDArray[np.float64], shape: tuple[int, ...]) -> Summary:
        """Return the smallest and largest value of each feature."""
        return {"minimum": values[0].reshape(shape), "maximum": values[1].reshape(shape)}

    def fit(self, summary: Summary) -> Affine:
        """Return the transform with these bounds."""
        low, high = parts_of_summary(summary, "minimum", "maximum")
        varies = high > low  # False where no value is present (NaN)
        return Affine(center=np.where(np.isnan(low), 0.0, low), scale=np.where(varies, high - low, 1.0))

    def describe(self) -> dict[str, Any]:
        """Return the options."""
        return {"kind": "min_max", "scope": self.scope}


@dataclass(frozen=True, kw_only=True)
class Impute:
    """Fill missing features (NaN) with the mean of those that are present.

    Attributes:
        scope: Whose rows give the mean: one's own, or those of all parties.
    """

    scope: Scope = "local"
    fills_missing: ClassVar[bool] = True

    def __post_init__(self) -> None:
        check_scope(self.scope)

    def summary(self, examples: Examples) -> Summary:
        """Return count and sum of the values that are present."""
        x = one_array(examples, "Impute")
        return _moments(x, np.zeros(x.shape[1:]), squares=False)

    def fit(self, summary: Summary) -> Fill:
        """Return the transform that fills with these means; NaN stays where no value is present."""
        count, total = parts_of_summary(summary, "count", "sum")
        return Fill(value=np.where(count > 0, total / np.maximum(count, 1), np.nan))

    def describe(self) -> dict[str, Any]:
        """Return the options."""
        return {"kind": "impute", "scope": self.scope}


def add_summaries(summaries: Sequence[Summary]) -> dict[str, NDArray[np.float64]]:
    """Return the sum of the parties' summaries.

    Guarantees:
        Correctly rounded, so that the order of the parties does not matter.
    """
    if not summaries:
        raise DataError("there are no summaries to add; at least one party must answer.")
    first = summaries[0]
    for other in summaries[1:]:
        if {k: v.shape for k, v in other.items()} != {k: v.shape for k, v in first.items()}:
            raise DataError("the parties' summaries have different names or shapes; their features differ.")
    total: dict[str, NDArray[np.float64]] = {}
    for name, array in first.items():
        stacked = np.stack([summary[name].reshape(-1) for summary in summaries])
        total[name] = np.array([math.fsum(column) for column in stacked.T]).reshape(array.shape)
    return total


def _moments(x: Array, shift: NDArray[np.float64], *, squares: bool) -> dict[str, NDArray[np.float64]]:
    flat, about = x.reshape(len(x), -1), shift.reshape(-1)
    width = max(1, _BLOCK // max(1, len(flat)))
    names = ("count", "sum", "sum_squares") if squares else ("count", "sum")
    result = {name: np.empty(flat.shape[1]) for name in names}
    for start in range(0, flat.shape[1], width):
        at = slice(start, start + width)
        # One feature a row and contiguous: NumPy then sums pairwise, with an error of log(n) roundings.
        values = np.ascontiguousarray(flat[:, at].T, dtype=np.float64) - about[at, None]
        present = ~np.isnan(values)
        values[~present] = 0.0
        result["count"][at] = present.sum(axis=1)
        result["sum"][at] = values.sum(axis=1)
        if squares:
            result["sum_squares"][at] = np.square(values).sum(axis=1)
    return {name: array.reshape(x.shape[1:]) for name, array in result.items()}

"""What a transform of features is, and what all of them share.

A transform is two halves. `summary`, on the party's machine, tells of its training rows; `fit` turns that
into the fitted transform. Most summaries are sums: those of several parties add up to the sums of all their
rows, so that fitting locally (own sums) and federated (summed sums) is one formula. An `Ordered` transform
is fitted on values at some places of the sorted rows, its own ones or those of all parties.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Literal, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from hansa.errors import ConfigurationError, DataError, UnknownNameError
from hansa.types import Array, Examples

Summary = Mapping[str, NDArray[np.float64]]
"""What a transform is fitted on, by name. Sums over training rows have the shape of one row's features."""

Scope = Literal["local", "federated"]


@runtime_checkable
class Fitted(Protocol):
    """A transform whose numbers are known."""

    def apply(self, examples: Examples) -> Examples:
        """Return the rows with features transformed."""
        ...

    def describe(self) -> dict[str, Any]:
        """Return the numbers as plain JSON values."""
        ...


@runtime_checkable
class Transform(Protocol):
    """A transform to be fitted. Any object with these attributes is one."""

    @property
    def scope(self) -> str:
        """``"local"``: fitted on the party's own rows; ``"federated"``: on those of all parties."""
        ...

    fills_missing: ClassVar[bool]
    """Whether it takes NaN features and leaves none."""

    def summary(self, examples: Examples) -> Summary:
        """Return what one party's training rows tell.

        If the scope is federated, these are sums, that add up across parties; or the transform is `Ordered`.
        """
        ...

    def fit(self, summary: Summary) -> Fitted:
        """Return the transform that these numbers determine."""
        ...

    def describe(self) -> dict[str, Any]:
        """Return plain JSON values that tell the declaration."""
        ...


@runtime_checkable
class Ordered(Protocol):
    """A transform that is fitted on values at some places of each feature's sorted values, not on sums."""

    def chosen(self, examples: Examples) -> list[int]:
        """Return which features it is fitted on: positions among a row's features in one line."""
        ...

    def places(self, count: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return which places are wanted, from 0, shape ``(k, d)``.

        Args:
            count: How many values each feature has, shape ``(d,)``; any place will do where it has none.
        """
        ...

    def ordered_summary(self, values: NDArray[np.float64], shape: tuple[int, ...]) -> Summary:
        """Return what to fit on.

        Args:
            values: The values at these places, shape ``(k, d)``; NaN where a feature has none.
            shape: Shape of one row's features.
        """
        ...


def one_array(examples: Examples, who: str) -> Array:
    """Return the features, where they are one array.

    Args:
        examples: The rows.
        who: What works on one array only, for the message.

    Raises:
        ConfigurationError: If they are a dict or tuple of arrays.
    """
    if not isinstance(examples.x, np.ndarray):
        raise ConfigurationError(
            f"{who} works on features that are one array; x is a {type(examples.x).__name__} of arrays. "
            "Preprocess inside the model (keras.layers.Normalization) or before the rows are handed over."
        )
    return examples.x


def with_features(examples: Examples, x: Array, columns: tuple[str, ...] | None = None) -> Examples:
    """Return the rows with other features; their columns keep their names, unless others are given."""
    names = examples.columns if columns is None else columns
    return Examples(x=x, y=examples.y, sample_weight=examples.sample_weight, columns=names)


def check_shape(x: Array, fitted: Array) -> None:
    """Raise `DataError` unless rows have features of the shape that a transform was fitted to."""
    if x.shape[1:] != fitted.shape:
        raise DataError(
            f"features of a row have shape {x.shape[1:]}, preprocessing was fitted to {fitted.shape}."
        )


def check_scope(scope: str) -> None:
    """Raise `UnknownNameError` unless a scope is one."""
    if scope not in ("local", "federated"):
        raise UnknownNameError("scope", str(scope), ("local", "federated"))


def parts_of_summary(summary: Summary, *names: str) -> list[NDArray[np.float64]]:
    """Return the arrays of a summary that has exactly these, or raise `ConfigurationError`."""
    if set(summary) != set(names):
        raise ConfigurationError(
            f"a summary with {', '.join(names)} is needed, got {', '.join(sorted(summary)) or 'none'}."
        )
    return [np.asarray(summary[name], dtype=np.float64) for name in names]

"""Sources of rows: where one party's examples come from. Arrays in memory live here.

Every source has ``load()``, called on the machine of the party that owns the rows, and
``describe()``, which tells what was declared without telling a value of the data.
Features come out as float32, except that integers (token ids, pixels) keep their integer
type; labels come out as integers or float32; weights as float32.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import KW_ONLY, dataclass
from typing import Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import ArrayLike, NDArray

from hansa.data.describe import describe_examples
from hansa.errors import ConfigurationError, DataError
from hansa.types import Array, Examples


@runtime_checkable
class Source(Protocol):
    """Where one party's rows come from. Any object with these two methods is a source."""

    def load(self) -> Examples:
        """Return all rows, in the same order at every call."""
        ...

    def describe(self) -> dict[str, Any]:
        """Return plain JSON values that change when the declaration or its data change."""
        ...


@dataclass(frozen=True, eq=False)
class Arrays:
    """Rows that are already in memory.

    A dict or a tuple means several inputs (or outputs); a list is turned into one array.

    Attributes:
        x: Features, shape ``(n, ...)``: an array, or a dict or tuple of arrays. A table with
            ``.columns`` (a data frame) gives its column names too.
        y: Labels, shape ``(n, ...)``, of the same forms.
        sample_weight: Weight of each row in the loss, shape ``(n,)``, 0 or greater.
        columns: Names of the features along the last axis of ``x``.

    Raises:
        DataError: Lengths differ, or an array does not hold numbers.

    Example:
        >>> len(Arrays([[0.0], [1.0], [2.0]], [0, 1, 1]).load())
        3
    """

    x: Any
    y: Any
    _: KW_ONLY
    sample_weight: ArrayLike | None = None
    columns: Sequence[str] | None = None

    def __post_init__(self) -> None:
        examples = as_examples(self.x, self.y, sample_weight=self.sample_weight, columns=self.columns)
        for name in ("x", "y", "sample_weight", "columns"):
            object.__setattr__(self, name, getattr(examples, name))

    def load(self) -> Examples:
        """Return the rows."""
        return as_examples(self.x, self.y, sample_weight=self.sample_weight, columns=self.columns)

    def describe(self) -> dict[str, Any]:
        """Return shapes, types and hashes of the arrays."""
        return {"kind": "arrays", **describe_examples(self.load())}


@dataclass(frozen=True, eq=False, slots=True)
class Rows:
    """Some rows of examples that several clients share in memory; copied only when loaded.

    Attributes:
        examples: The shared rows.
        index: Indices of this client's rows, shape ``(m,)``, int64.
    """

    examples: Examples
    index: NDArray[np.int64]

    def load(self) -> Examples:
        """Return a copy of this client's rows."""
        return self.examples.take(self.index)

    def describe(self) -> dict[str, Any]:
        """Return shapes, types and hashes of this client's own rows."""
        return {"kind": "rows", **describe_examples(self.load())}


def as_examples(
    x: Any, y: Any, *, sample_weight: Any = None, columns: Sequence[str] | None = None
) -> Examples:
    """Return features, labels and weights as `Examples` with the types that Hansa uses.

    Args:
        x: Features: an array, or a dict or tuple of arrays.
        y: Labels, of the same forms.
        sample_weight: Weight of each row, or None.
        columns: Names of the features, or None to take them from a data frame.

    Raises:
        DataError: Lengths differ, an array does not hold numbers, or names do not fit.
    """
    if y is None:
        raise DataError("y is None; give labels (for an autoencoder, give the features again as y).")
    if columns is None and hasattr(x, "columns"):
        columns = [str(name) for name in x.columns]
    features = _convert(x, "x", _feature_array)
    labels = _convert(y, "y", _label_array)
    weight = None if sample_weight is None else _feature_array(sample_weight, "sample_weight")
    if weight is not None:
        weight = weight.astype(np.float32, copy=False)
        if weight.ndim != 1:
            raise DataError(f"sample_weight has shape {weight.shape}; expected one weight per row, (n,).")
    _check_lengths(features, labels, weight)
    return Examples(x=features, y=labels, sample_weight=weight, columns=_checked_columns(columns, features))


def named_arrays(tree: Any, name: str) -> list[tuple[str, Array]]:
    """Return the arrays of an array, dict or tuple with names such as ``x['image']``."""
    if isinstance(tree, dict):
        return [pair for key, value in tree.items() for pair in named_arrays(value, f"{name}[{key!r}]")]
    if isinstance(tree, tuple):
        return [pair for i, value in enumerate(tree) for pair in named_arrays(value, f"{name}[{i}]")]
    return [(name, tree)]


def _convert(tree: Any, name: str, convert: Callable[[Any, str], Array]) -> Any:
    if isinstance(tree, (dict, tuple)) and not tree:
        raise DataError(f"{name} is an empty {type(tree).__name__}; expected at least one array.")
    if isinstance(tree, dict):
        if bad := [key for key in tree if not isinstance(key, str)]:
            raise DataError(f"{name} has the key {bad[0]!r}; keys of a dict of arrays must be strings.")
        return {key: _convert(value, f"{name}[{key!r}]", convert) for key, value in tree.items()}
    if isinstance(tree, tuple):
        return tuple(_convert(value, f"{name}[{i}]", convert) for i, value in enumerate(tree))
    return convert(tree, name)


def _numeric_array(value: Any, name: str) -> Array:
    if isinstance(value, np.ma.MaskedArray) and np.ma.is_masked(value):
        raise DataError(
            f"{name} is a masked array with {np.ma.count_masked(value)} masked values, which would count as "
            "values. Make them missing with .astype(float).filled(numpy.nan), or leave these rows out."
        )
    try:
        array = np.asarray(value)
    except (ValueError, TypeError, RuntimeError) as error:
        raise DataError(
            f"{name} cannot be read as one array of numbers ({error}). "
            "Pad rows to one length; give several inputs as a dict or tuple of arrays."
        ) from error
    if array.dtype.kind not in "biuf":
        raise DataError(
            f"{name} holds values of type {array.dtype.name}; expected numbers. Encode text and "
            "categories as integers or one-hot columns first."
        )
    if array.ndim == 0:
        raise DataError(f"{name} is the single number {array}; expected one entry per row.")
    return array.astype(array.dtype.newbyteorder("="), copy=False)


def _feature_array(value: Any, name: str) -> Array:
    array = _numeric_array(value, name)
    if array.dtype.kind in "iu":
        return array
    with np.errstate(over="ignore"):  # an overflow becomes infinite, which the checks then report
        return array.astype(np.float32, copy=False)


def _label_array(value: Any, name: str) -> Array:
    array = _numeric_array(value, name)
    if array.dtype.kind == "b":
        return array.astype(np.int64)
    return _feature_array(array, name)


def _check_lengths(features: Any, labels: Any, weight: Array | None) -> None:
    arrays = named_arrays(features, "x") + named_arrays(labels, "y")
    if weight is not None:
        arrays.append(("sample_weight", weight))
    if len({len(array) for _, array in arrays}) > 1:
        told = ", ".join(f"{name} has {len(array)}" for name, array in arrays)
        raise DataError(f"all arrays must have the same number of rows; {told}.")


def _checked_columns(columns: Sequence[str] | None, features: Any) -> tuple[str, ...] | None:
    if columns is None:
        return None
    if isinstance(columns, str):
        raise ConfigurationError(f"columns must be a sequence of names, got the string {columns!r}.")
    names = tuple(columns)
    if not isinstance(features, np.ndarray) or features.ndim < 2:
        raise DataError("columns name the last axis of one array x of shape (n, ..., d); x has no such axis.")
    if len(names) != features.shape[-1]:
        raise DataError(f"columns has {len(names)} names, but x has {features.shape[-1]} features.")
    if twice := sorted(name for name, times in Counter(names).items() if times > 1):
        raise DataError(f"columns names {twice} more than once; every name must be different.")
    return names

"""Numbers as the bins they lie in, each with about as many training rows as the next."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from hansa.data.columns import column_names, positions
from hansa.data.transform import Scope, Summary, check_scope, one_array, parts_of_summary, with_features
from hansa.errors import ConfigurationError, DataError
from hansa.types import Array, Examples

MOST_BINS = 1000

Edges = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class Bucketize:
    """Replace features by the number of the quantile bin that they lie in.

    The edges cut the sorted training values into ``bins`` parts of the same number of rows. A value that is
    an edge belongs to the bin above it, as in `keras.layers.Discretization`: the number of a value's bin is
    how many edges are not above it. Values that many rows share are not cut, and an edge that would leave a
    bin without training rows is left out, so that a feature of few different values has fewer bins: 0 and 1
    stay 0 and 1. Values of other rows may lie beyond the outermost edges; they are in the outermost bins.
    Missing features stay missing and do not count: put `Impute` before.

    Attributes:
        bins: How many, 2 to 1,000; at most as many as there are training rows.
        scope: Whose rows give the edges: one's own, or those of all parties, which `hansa.statistics` finds
            by sums of counts.
        columns: Which features, by name or position; the others stay as they are. None takes all.
        one_hot: Put ``bins`` columns of 0 and 1 in the place of each such feature, ``name=0`` to
            ``name=bins-1``; columns of bins that a feature does not have are 0.

    Guarantees:
        With b values, edge i is the value at place ``i * b // bins`` of the sorted ones, from 0. Without
        equal values, numbers of rows of two bins differ by 1 at most. Federated, edges are those of all
        parties' rows, bit for bit.

    Example:
        >>> rows = Examples(x=np.float32([[1], [2], [5], [9]]), y=np.zeros(4))
        >>> halves = Bucketize(bins=2)
        >>> fitted = halves.fit(halves.summary(rows))
        >>> fitted.describe(), fitted.apply(rows).x[:, 0].tolist()
        ({'edges': [[5.0]]}, [0.0, 0.0, 1.0, 1.0])
    """

    bins: int
    scope: Scope = "local"
    columns: Sequence[str | int] | None = None
    one_hot: bool = False
    fills_missing: ClassVar[bool] = False

    def __post_init__(self) -> None:
        check_scope(self.scope)
        if isinstance(self.bins, bool) or not isinstance(self.bins, int) or not 2 <= self.bins <= MOST_BINS:
            raise ConfigurationError(
                f"Bucketize.bins must be an integer from 2 to {MOST_BINS:,}, got {self.bins!r}."
            )
        if not isinstance(self.one_hot, bool):
            raise ConfigurationError(f"Bucketize.one_hot must be True or False, got {self.one_hot!r}.")
        if self.columns is not None:
            if isinstance(self.columns, str) or not isinstance(self.columns, Iterable):
                raise ConfigurationError(
                    f"Bucketize.columns must be a list of names or positions, got {self.columns!r}."
                )
            object.__setattr__(self, "columns", tuple(self.columns))

    def chosen(self, examples: Examples) -> list[int]:
        """Return the positions of the features that become bins.

        Raises:
            UnknownNameError: A name is not among the columns.
            ConfigurationError: Features are not a table, or ``columns`` does not fit them.
        """
        x = one_array(examples, "Bucketize")
        if x.ndim != 2 or not x.shape[1]:
            raise ConfigurationError(
                f"Bucketize works on tables, a row of which is some numbers; features of a row have shape "
                f"{x.shape[1:]}. For images and sequences use keras.layers.Discretization in the model."
            )
        return positions(column_names(x.shape[1:], examples.columns), self.columns)

    def summary(self, examples: Examples) -> Summary:
        """Return smallest value and edges of each chosen feature, which do not add up across parties."""
        table = one_array(examples, "Bucketize")[:, self.chosen(examples)].astype(np.float64)
        values = np.sort(table, axis=0)  # NaN last
        count = (~np.isnan(values)).sum(axis=0)
        at = np.take_along_axis(values, self.places(count), axis=0)
        return self.ordered_summary(np.where(count > 0, at, np.nan), examples.x.shape[1:])

    def places(self, count: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return the first place and those of the edges, shape ``(bins, d)``.

        Raises:
            DataError: No feature has as many values as there are bins.
        """
        if count.max() < self.bins:
            raise DataError(
                f"Bucketize(bins={self.bins}) needs {self.bins} training rows or more, and has {count.max()} "
                "that are not missing. Use fewer bins"
                + (", or scope='federated'." if self.scope == "local" else ".")
            )
        return np.arange(self.bins)[:, None] * count // self.bins

    def ordered_summary(
        self,
        values: NDArray[np.float64],
        shape: tuple[int, ...],  # noqa: ARG002 -- the interface's
    ) -> Summary:
        """Return smallest value and edges of each chosen feature."""
        ordered = values + 0.0  # −0 becomes 0
        return {"minimum": ordered[0], "edges": ordered[1:]}

    def fit(self, summary: Summary) -> Bins:
        """Return the transform with these edges."""
        minimum, edges = parts_of_summary(summary, "minimum", "edges")
        each = tuple(np.unique(own[own > low]) for own, low in zip(edges.T, minimum, strict=True))
        return Bins(edges=each, declared=self)

    def describe(self) -> dict[str, Any]:
        """Return the options."""
        columns = None if self.columns is None else list(self.columns)
        options = {"scope": self.scope, "bins": self.bins, "columns": columns, "one_hot": self.one_hot}
        return {"kind": "bucketize", **options}


@dataclass(frozen=True, kw_only=True, eq=False)
class Bins:
    """Fitted: the number of a value's bin, or a column for each bin.

    Attributes:
        edges: Of each chosen feature, increasing; one less than it has bins.
        declared: What was declared.
    """

    edges: tuple[Edges, ...]
    declared: Bucketize

    def apply(self, examples: Examples) -> Examples:
        """Return the rows with chosen features as bins; NaN stays NaN, in all columns of the feature."""
        chosen = self.declared.chosen(examples)
        if len(chosen) != len(self.edges):
            raise DataError(
                f"rows have {len(chosen)} features to bucketize; bins were fitted to {len(self.edges)}."
            )
        known = dict(zip(chosen, self.edges, strict=True))
        x, one_hot = examples.x, self.declared.one_hot
        blocks: list[Array] = [
            self._block(x[:, at], known[at]) if at in known else x[:, at : at + 1] for at in range(x.shape[1])
        ]
        names = examples.columns
        if names is not None and one_hot:
            each = [
                [f"{name}={i}" for i in range(self.declared.bins)] if at in known else [name]
                for at, name in enumerate(names)
            ]
            names = tuple(name for several in each for name in several)
        return with_features(examples, np.concatenate(blocks, axis=1, dtype=np.float32), names)

    def describe(self) -> dict[str, Any]:
        """Return the edges of each chosen feature."""
        return {"edges": [own.tolist() for own in self.edges]}

    def _block(self, values: Array, edges: Edges) -> Array:
        number = np.searchsorted(edges, values.astype(np.float64), side="right").astype(np.float32)
        number[np.isnan(values)] = np.nan
        if not self.declared.one_hot:
            return number[:, None]
        columns = (number[:, None] == np.arange(self.declared.bins)).astype(np.float32)
        columns[np.isnan(number)] = np.nan
        return columns

"""A table of all columns: five sums for everything in it, of up to 25 columns."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hansa.data.columns import position
from hansa.secure_sum import SecureSum, as_secure_sum
from hansa.statistics.columns import plain, read_tables
from hansa.statistics.moments import sum_moments
from hansa.statistics.order import between, neighbours
from hansa.statistics.refine import ROUNDS, find
from hansa.statistics.released import refuse
from hansa.statistics.sums import PLAIN

_AT = (0.0, 0.25, 0.5, 0.75, 1.0)
_FIELDS = ("count", "missing", "mean", "deviation", "minimum", "lower", "median", "upper", "maximum")


@dataclass(frozen=True, kw_only=True, eq=False)
class Description:
    """What the columns of all clients together are like. It prints as a table.

    Attributes:
        columns: Names of the columns.
        rows: Rows of all clients.
        count: Values by column, int64, shape ``(len(columns),)``.
        missing: Rows without a value.
        mean: Mean, float64, like all that follow; NaN where there are too few values.
        deviation: Standard deviation of the sample (ddof 1).
        minimum: Smallest value.
        lower: Quantile at 0.25.
        median: Quantile at 0.5.
        upper: Quantile at 0.75.
        maximum: Largest value.
    """

    columns: tuple[str, ...]
    rows: int
    count: NDArray[np.int64]
    missing: NDArray[np.int64]
    mean: NDArray[np.float64]
    deviation: NDArray[np.float64]
    minimum: NDArray[np.float64]
    lower: NDArray[np.float64]
    median: NDArray[np.float64]
    upper: NDArray[np.float64]
    maximum: NDArray[np.float64]

    def __getitem__(self, column: str) -> dict[str, Any]:
        """Return all numbers of a column by name; None where there is none."""
        at = position(self.columns, column)
        return {field: plain(getattr(self, field)[at : at + 1])[0] for field in _FIELDS}

    def to_json(self) -> dict[str, Any]:
        """Return the number of rows, and all numbers by column."""
        return {"rows": self.rows, "columns": {name: self[name] for name in self.columns}}

    def __str__(self) -> str:
        head = ["column", "count", "missing", "mean", "deviation", "min", "25%", "50%", "75%", "max"]
        body = [[name, *(_cell(value) for value in self[name].values())] for name in self.columns]
        widths = [max(map(len, cells)) for cells in zip(head, *body, strict=True)]
        return "\n".join(
            "  ".join([row[0].ljust(widths[0]), *map(str.rjust, row[1:], widths[1:])])
            for row in (head, *body)
        )


def describe(
    clients: Any,
    *,
    columns: Any = None,
    splits: Any = "train",
    secure_sum: SecureSum | str = PLAIN,
    privacy: None = None,
) -> Description:
    """Return counts, mean, deviation, smallest and largest value and quartiles of each column.

    Args:
        clients: As in `hansa.statistics.count`, like all other arguments.
        columns: Which columns.
        splits: Which rows.
        secure_sum: How sums come about.
        privacy: None; with noise take `hansa.statistics.mean`, `variance` and `quantiles`.

    Raises:
        ConfigurationError: As `hansa.statistics.count`.
        DataError: As `hansa.statistics.count`.

    Guarantees:
        Those of `hansa.statistics.mean`, `deviation`, `minimum_maximum` and `quantiles`.

    Leaks:
        What these leak, together: counts, sums, sums of squares, and counts in ever finer buckets around
        smallest and largest value and quartiles (`hansa.statistics.order`), which are values of single rows.

    Example:
        >>> rows = [[1.0, 5.0], [2.0, float("nan")], [6.0, 7.0]]
        >>> print(describe({"a": (rows, [0, 1, 1]), "b": ([[3.0, 6.0]], [0])}))
        column  count  missing  mean  deviation  min   25%  50%   75%  max
        0           4        0     3     2.1602    1  1.75  2.5  3.75    6
        1           3        1     6          1    5   5.5    6   6.5    7
    """
    refuse(
        privacy, "A table with smallest and largest values", "Take mean, variance and quantiles one by one."
    )
    through = as_secure_sum(secure_sum)
    tables = read_tables(clients, columns, splits, through)
    label = "statistics: description"
    moments = sum_moments(tables.columns, tables.by_client, through, f"{label}, moments", squares=True)
    found = find(tables.by_client, lambda n: neighbours(_AT, n), ROUNDS, through, label)
    marks = between(_AT, found.middle, found.count)
    return Description(
        columns=tables.columns,
        rows=moments.counts.rows,
        count=moments.counts.present,
        missing=moments.counts.missing,
        mean=moments.means().values,
        deviation=np.sqrt(moments.variances(1).values),
        **dict(zip(_FIELDS[4:], marks, strict=True)),
    )


def _cell(value: float | None) -> str:
    if value is None:
        return "-"
    return str(value) if isinstance(value, int) else f"{value:.5g}"

"""Histograms over public edges: one sum of counts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hansa.data.columns import position
from hansa.errors import ConfigurationError, UnknownNameError
from hansa.privacy import Noise
from hansa.secure_sum import SecureSum, as_secure_sum
from hansa.statistics.columns import Table, read_tables
from hansa.statistics.limbs import decode_counts, encode_counts
from hansa.statistics.order import as_fractions
from hansa.statistics.released import Paid, Released, noise_of, pay
from hansa.statistics.sums import PLAIN, add

MOST_BUCKETS = 1 << 16
"""Buckets of a column."""

_OUTSIDE = 3  # below, above, missing

Edges = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True, eq=False)
class Histogram:
    """How many values lie in each bucket of each column.

    Attributes:
        columns: Names of the columns.
        edges: Of each column the edges of its buckets, float64, shape ``(b + 1,)``.
        counts: Of each column the values in its buckets, int64, shape ``(b,)``. A bucket has its lower edge
            and not its upper one; the last has both.
        below: Values below the first edge, by column.
        above: Values above the last edge.
        missing: Rows without a value.
        released: With noise, what it promises; all counts can be negative then.
    """

    columns: tuple[str, ...]
    edges: tuple[Edges, ...]
    counts: tuple[NDArray[np.int64], ...]
    below: NDArray[np.int64]
    above: NDArray[np.int64]
    missing: NDArray[np.int64]
    released: Released | None = None

    def __getitem__(self, column: str) -> NDArray[np.int64]:
        """Return the counts of a column."""
        return self.counts[position(self.columns, column)]

    def quantiles(self, column: str, at: Any = (0.25, 0.5, 0.75)) -> NDArray[np.float64]:
        """Return quantiles of a column, as if values were spread evenly in a bucket.

        Args:
            column: Name of the column.
            at: Which quantiles, numbers from 0 to 1, or one such.

        Returns:
            Shape ``(len(at),)``; NaN where a quantile lies outside of the edges, or there are no values.

        Guarantees:
            The smallest value with at least that share of values up to it is less than a bucket's width away,
            or equal to it. (With noise as near as noise lets it be.)
        """
        which, wanted = position(self.columns, column), np.array(as_fractions(at))
        edges, inside = self.edges[which], self.counts[which]
        below, above = int(self.below[which]), int(self.above[which])
        if self.released is not None:
            below, inside, above = _without_falls(below, inside, above)
        upto = below + np.cumsum(inside)
        total = int(upto[-1]) + above
        target = np.maximum(np.ceil(wanted * total), 1)  # of how many values the quantile is the largest
        bucket = np.minimum(np.searchsorted(upto, target), len(inside) - 1)
        share = (target - (upto - inside)[bucket]) / np.maximum(inside[bucket], 1)
        values = edges[bucket] + share * (edges[bucket + 1] - edges[bucket])
        return np.where((target > below) & (target <= upto[-1]), values, np.nan)

    def to_json(self) -> dict[str, Any]:
        """Return edges and counts by column."""
        return {
            name: {
                "edges": self.edges[i].tolist(),
                "counts": self.counts[i].tolist(),
                **{at: int(getattr(self, at)[i]) for at in ("below", "above", "missing")},
            }
            for i, name in enumerate(self.columns)
        }


def histogram(
    clients: Any,
    edges: Any,
    *,
    columns: Any = None,
    splits: Any = "train",
    secure_sum: SecureSum | str = PLAIN,
    privacy: Noise | None = None,
    ledger: Paid = None,
) -> Histogram:
    """Return how many of all clients' values lie between public edges, column by column.

    Args:
        clients: As in `hansa.statistics.count`, like all that follow ``edges``.
        edges: Increasing numbers, the edges of all columns' buckets; or such by column, which are then the
            columns that are counted, where ``columns`` is left out. They must not come from clients' data.
        columns: Which columns.
        splits: Which rows.
        secure_sum: How sums come about.
        privacy: Noise.
        ledger: What it is charged to.

    Raises:
        ConfigurationError: As `hansa.statistics.count`, or edges are not at least 2 increasing finite
            numbers, or more than 65,537.
        DataError: As `hansa.statistics.count`.

    Guarantees:
        The counts of ``numpy.histogram`` over all rows.

    Leaks:
        To the server: with a plain sum each client's counts, else their sum (see `hansa.statistics.limbs`).
        To everyone: the result. A bucket with a count of 1 tells of one row.

    Example:
        >>> histogram({"a": ([[1.0], [2.5]], [0, 1]), "b": ([[9.0]], [0])}, [0, 2, 4])["0"].tolist()
        [1, 1]
    """
    noise = noise_of(privacy, ledger=ledger)
    through, by_column = as_secure_sum(secure_sum), isinstance(edges, Mapping)
    wanted = list(edges) if by_column and columns is None else columns
    tables = read_tables(clients, wanted, splits, through if noise is None else None)
    if by_column:
        known: dict[Any, Edges] = {name: _checked(own) for name, own in edges.items()}
        for name in tables.columns:
            if name not in known:
                raise UnknownNameError("column of edges", name, map(str, known))
        chosen = tuple(known[name] for name in tables.columns)
    else:
        chosen = (_checked(edges),) * len(tables.columns)
    if noise is not None:
        pay(noise, ledger, tables.by_client)
    vectors = {name: encode_histogram(table, chosen) for name, table in tables.by_client.items()}
    counts = decode_counts(add(vectors, through, "statistics: histogram").reshape(-1, 2))
    if noise is None:
        return histogram_of(counts, tables.columns, chosen)
    from hansa.statistics.noisy_counts import noisy_cells

    label, d = f"histogram {tables.columns}", len(tables.columns)
    told, promise = noisy_cells(
        counts, noise, through, columns=d, what="numbers of values in buckets", label=label
    )
    return replace(histogram_of(told, tables.columns, chosen), released=promise)


# client half
def encode_histogram(table: Table, edges: Sequence[Edges]) -> NDArray[np.int64]:
    """Return limbs of the counts of each column: below, in the buckets, above, missing."""
    return encode_counts(
        np.concatenate([_counted(column, own) for column, own in zip(table.T, edges, strict=True)])
    ).reshape(-1)


def _counted(column: Table, edges: Edges) -> NDArray[np.int64]:
    values = np.sort(column[~np.isnan(column)]).astype(np.float64)
    # Values before each edge, but up to and with the last one.
    before = np.append(np.searchsorted(values, edges[:-1]), np.searchsorted(values, edges[-1], side="right"))
    inside = np.diff(before, prepend=0, append=len(values))
    return np.append(inside, len(column) - len(values)).astype(np.int64)


# server half
def histogram_of(counts: NDArray[np.int64], columns: tuple[str, ...], edges: tuple[Edges, ...]) -> Histogram:
    """Return the histogram that the counts of `encode_histogram` are."""
    ends = np.cumsum([len(own) - 1 + _OUTSIDE for own in edges])
    each = np.split(counts, ends[:-1])
    below, above, missing = (np.array([own[at] for own in each]) for at in (0, -2, -1))
    return Histogram(
        columns=columns,
        edges=edges,
        counts=tuple(own[1:-2] for own in each),
        below=below,
        above=above,
        missing=missing,
    )


def _without_falls(below: int, inside: NDArray[np.int64], above: int) -> tuple[int, NDArray[np.int64], int]:
    """Return counts that are not negative, whose sums from below on are nearest to the given ones'."""
    from hansa.statistics.noisy_counts import rising

    upto = np.rint(rising(np.cumsum([below, *inside.tolist(), above], dtype=np.float64))).astype(np.int64)
    return int(upto[0]), np.diff(upto[:-1]), int(upto[-1] - upto[-2])


def _checked(edges: Any) -> Edges:
    try:
        given = np.array(edges, np.float64)
    except (TypeError, ValueError):
        given = np.array(np.nan)
    if given.ndim != 1 or len(given) < 2 or not np.isfinite(given).all() or not (np.diff(given) > 0).all():
        raise ConfigurationError(
            f"edges of a histogram are 2 or more finite numbers, each above the one before, got {edges!r}."
        )
    if len(given) > MOST_BUCKETS + 1:
        raise ConfigurationError(
            f"a histogram has at most {MOST_BUCKETS:,} buckets a column, got {len(given) - 1:,}."
        )
    return given

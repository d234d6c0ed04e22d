"""Quantiles, smallest and largest values: by counting in buckets that become finer from sum to sum.

How that goes is told in `hansa.statistics.refine`.

Leaks:
    To everyone who sees the results of sums: all counts of every round. Of each column how many values lie in
    each of 256 ranges, and in ever narrower ranges around the wanted ones; with four rounds how many are
    equal to each of 256 neighbouring numbers. The result itself is the value of some client's row. Fewer
    rounds tell less: after two, values are known to about 1%. With a plain sum the server sees each client's
    counts.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hansa.data.columns import position
from hansa.errors import ConfigurationError
from hansa.privacy import Noise
from hansa.secure_sum import SecureSum, as_secure_sum
from hansa.statistics.columns import plain, read_tables
from hansa.statistics.refine import ROUNDS, Integers, find
from hansa.statistics.released import Paid, Released, noise_of, refuse
from hansa.statistics.sums import PLAIN

MOST_QUANTILES = 1000


@dataclass(frozen=True, kw_only=True, eq=False)
class Range:
    """Smallest and largest values.

    Attributes:
        columns: Names of the columns.
        minimum: Smallest value of each, float64, shape ``(len(columns),)``; NaN where there is none.
        maximum: Largest value of each.
        count: Values of each, int64.
    """

    columns: tuple[str, ...]
    minimum: NDArray[np.float64]
    maximum: NDArray[np.float64]
    count: Integers

    def __getitem__(self, column: str) -> tuple[float, float]:
        """Return smallest and largest value of a column."""
        at = position(self.columns, column)
        return float(self.minimum[at]), float(self.maximum[at])

    def to_json(self) -> dict[str, list[float | None]]:
        """Return smallest and largest value by column; None where there is none."""
        pairs = zip(plain(self.minimum), plain(self.maximum), strict=True)
        return {name: list(pair) for name, pair in zip(self.columns, pairs, strict=True)}


@dataclass(frozen=True, kw_only=True, eq=False)
class Quantiles:
    """Quantiles of columns.

    Attributes:
        columns: Names of the columns.
        at: Which quantiles, from 0 to 1.
        values: The quantiles, float64, shape ``(len(at), len(columns))``; NaN where a column has no values.
        count: Values of each column, int64.
        released: With noise, what it promises.
    """

    columns: tuple[str, ...]
    at: tuple[float, ...]
    values: NDArray[np.float64]
    count: Integers
    released: Released | None = None

    def __getitem__(self, column: str) -> NDArray[np.float64]:
        """Return the quantiles of a column, shape ``(len(at),)``."""
        return self.values[:, position(self.columns, column)]

    def to_json(self) -> dict[str, Any]:
        """Return which quantiles, and their values by column; None where there is none."""
        return {"at": list(self.at), "columns": {name: plain(self[name]) for name in self.columns}}


def minimum_maximum(
    clients: Any,
    *,
    columns: Any = None,
    splits: Any = "train",
    rounds: int = ROUNDS,
    secure_sum: SecureSum | str = PLAIN,
    privacy: None = None,
) -> Range:
    """Return smallest and largest values over all clients, column by column.

    Args:
        clients: As in `hansa.statistics.count`, like ``columns``, ``splits`` and ``secure_sum``.
        columns: Which columns.
        splits: Which rows.
        rounds: Sums of counts, 2 to 4. Four find the values; fewer tell less, and round the smallest value
            down and the largest up: by less than 1/128 of it with 2 rounds, 1/32768 with 3 (and 2^-126 at
            most below).
        secure_sum: How sums come about.
        privacy: None; with noise take quantiles at 0.01 and 0.99.

    Raises:
        ConfigurationError: As `hansa.statistics.count`, or rounds is not 2 to 4.
        DataError: As `hansa.statistics.count`.

    Guarantees:
        With four rounds the smallest and the largest value of all rows, exactly.

    Leaks:
        What `hansa.statistics.order` says. Smallest and largest values are of single rows: they may name one.
    """
    refuse(
        privacy,
        "A smallest or largest value",
        "Take quantiles(clients, (0.01, 0.99), bounds=..., privacy=...).",
    )
    through, _ = as_secure_sum(secure_sum), _check_rounds(rounds)
    tables = read_tables(clients, columns, splits, through)
    found = find(tables.by_client, ends, rounds, through, "statistics: minimum and maximum")
    return Range(columns=tables.columns, minimum=found.low[0], maximum=found.high[1], count=found.count)


def quantiles(
    clients: Any,
    at: Any = (0.25, 0.5, 0.75),
    *,
    columns: Any = None,
    splits: Any = "train",
    rounds: int = ROUNDS,
    secure_sum: SecureSum | str = PLAIN,
    bounds: Any = None,
    privacy: Noise | None = None,
    ledger: Paid = None,
) -> Quantiles:
    """Return quantiles of all clients' values, column by column.

    Args:
        clients: As in `hansa.statistics.count`, like ``columns``, ``splits`` and ``secure_sum``.
        at: Which quantiles, numbers from 0 to 1, or one such.
        columns: Which columns.
        splits: Which rows.
        rounds: Sums of counts, 2 to 4. With four the values between which a quantile lies are found; with
            fewer each is taken as the middle of its bucket: off by less than 1/128 of it with 2 rounds,
            1/32768 with 3 (and by 2^-126 at most below).
        secure_sum: How sums come about.
        bounds: With noise, as in `hansa.statistics.total`. Quantiles are then of values counted in 1,024
            equal buckets between them, in one sum; counts up to a value err by about 8 to 16 times the
            noise's deviation, and at 0 and 1 the results say nothing of smallest and largest values.
        privacy: Noise, as in `hansa.statistics.count`.
        ledger: What it is charged to.

    Raises:
        ConfigurationError: As `hansa.statistics.count`, a quantile is not 0 to 1, or rounds not 2 to 4.
        DataError: As `hansa.statistics.count`.

    Guarantees:
        With four rounds those of ``numpy.quantile`` over all rows in float64, bit for bit: where a quantile
        lies between two values, it is interpolated.

    Leaks:
        What `hansa.statistics.order` says. For quantiles that tell less, take those of a
        `hansa.statistics.histogram` over public edges.
    """
    wanted = as_fractions(at)
    through, _ = as_secure_sum(secure_sum), _check_rounds(rounds)
    noise = noise_of(privacy, bounds=bounds, ledger=ledger)
    tables = read_tables(clients, columns, splits, through if noise is None else None)
    if noise is not None:
        from hansa.statistics.noisy_counts import noisy_quantiles

        values, count, promise = noisy_quantiles(
            tables, wanted, bounds=bounds, noise=noise, ledger=ledger, secure_sum=through
        )
        return Quantiles(columns=tables.columns, at=wanted, values=values, count=count, released=promise)
    found = find(tables.by_client, lambda n: neighbours(wanted, n), rounds, through, "statistics: quantiles")
    return Quantiles(
        columns=tables.columns,
        at=wanted,
        values=between(wanted, found.middle, found.count),
        count=found.count,
    )


def neighbours(at: tuple[float, ...], count: Integers) -> Integers:
    """Return the places of the values around each quantile, ``(2 · len(at), d)``: lower ones first."""
    place = np.array(at)[:, None] * np.maximum(count - 1, 0)
    return np.concatenate([np.floor(place), np.ceil(place)]).astype(np.int64)


def between(at: tuple[float, ...], ends: NDArray[np.float64], count: Integers) -> NDArray[np.float64]:
    """Return the quantiles from the two values around each, as NumPy interpolates."""
    place = np.array(at)[:, None] * np.maximum(count - 1, 0)
    low, high = ends[: len(at)], ends[len(at) :]
    share, step = place - np.floor(place), high - low
    return np.where(share < 0.5, low + step * share, high - step * (1 - share))


def as_fractions(at: Any) -> tuple[float, ...]:
    """Return which quantiles are meant.

    Raises:
        ConfigurationError: If one is not a number from 0 to 1, or there are none or too many.
    """
    try:
        numbers = np.atleast_1d(np.asarray(at, np.float64))
    except (TypeError, ValueError):
        numbers = np.array([np.nan])
    if (
        numbers.ndim != 1
        or not 0 < len(numbers) <= MOST_QUANTILES
        or not ((numbers >= 0) & (numbers <= 1)).all()
    ):
        raise ConfigurationError(f"quantiles are 1 to {MOST_QUANTILES} numbers from 0 to 1, got {at!r}.")
    return tuple(numbers.tolist())


def ends(count: Integers) -> Integers:
    """Return the places of the smallest and the largest value, shape ``(2, d)``."""
    return np.stack([np.zeros_like(count), np.maximum(count - 1, 0)])


def _check_rounds(rounds: Any) -> None:
    if isinstance(rounds, bool) or not isinstance(rounds, int) or not 2 <= rounds <= ROUNDS:
        raise ConfigurationError(f"rounds must be 2, 3 or {ROUNDS}, got {rounds!r}.")

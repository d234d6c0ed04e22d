"""Counts, totals, means and variances of columns: one sum of exact numbers.

A client sums its rows exactly, as integers, and the sum over clients is exact too. So each result is that of
all rows pooled, computed without error and rounded once: it does not depend on who holds which row.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hansa.data.columns import position
from hansa.errors import ConfigurationError, DataError
from hansa.privacy import Noise
from hansa.secure_sum import SecureSum, as_secure_sum
from hansa.statistics.columns import Table, plain, read_tables
from hansa.statistics.exact import exact_sums
from hansa.statistics.limbs import COUNT_LIMBS, SQUARES, SUMS, decode_counts, encode_counts
from hansa.statistics.released import Paid, Released, noise_of
from hansa.statistics.sums import PLAIN, add


@dataclass(frozen=True, kw_only=True, eq=False)
class Counts:
    """How many values the columns have.

    Attributes:
        columns: Their names.
        rows: Rows of all clients.
        present: Values by column, int64, shape ``(len(columns),)``.
        released: With noise, what it promises; all numbers can be negative then.
    """

    columns: tuple[str, ...]
    rows: int
    present: NDArray[np.int64]
    released: Released | None = None

    @property
    def missing(self) -> NDArray[np.int64]:
        """Rows without a value, by column."""
        return self.rows - self.present

    def __getitem__(self, column: str) -> int:
        """Return the number of values of a column."""
        return int(self.present[position(self.columns, column)])

    def to_json(self) -> dict[str, Any]:
        """Return rows, and values present and missing by column."""
        present, missing = (
            dict(zip(self.columns, plain(n), strict=True)) for n in (self.present, self.missing)
        )
        return {"rows": self.rows, "present": present, "missing": missing}


@dataclass(frozen=True, kw_only=True, eq=False)
class Numbers:
    """One number for each column.

    Attributes:
        columns: Their names.
        values: The numbers, float64, shape ``(len(columns),)``.
        count: Values that they come from, int64, of the same shape; −1 where it is not told.
        released: With noise, what it promises.
    """

    columns: tuple[str, ...]
    values: NDArray[np.float64]
    count: NDArray[np.int64]
    released: Released | None = None

    def __getitem__(self, column: str) -> float:
        """Return the number of a column."""
        return float(self.values[position(self.columns, column)])

    def to_json(self) -> dict[str, float | None]:
        """Return the numbers by column; None where there is none."""
        return dict(zip(self.columns, plain(self.values), strict=True))


def count(
    clients: Any,
    *,
    columns: Any = None,
    splits: Any = "train",
    secure_sum: SecureSum | str = PLAIN,
    privacy: Noise | None = None,
    ledger: Paid = None,
) -> Counts:
    """Return how many values all clients have together, column by column.

    Args:
        clients: What `hansa.Federation` takes. Rows are taken as their sources give them, before
            preprocessing and without sample weights; missing values (NaN) do not count.
        columns: Names or positions of columns, or one such; None takes all.
        splits: Which of each client's rows: ``"train"``, ``"validation"``, ``"test"``, or several.
        secure_sum: How sums over clients come about: a secure sum or its name.
        privacy: `hansa.privacy.Noise`, which protects single rows (`hansa.statistics.released`); None for
            exact results.
        ledger: What noise is charged to: a `hansa.privacy.Account`, which has a budget, or a `Ledger`.

    Raises:
        ConfigurationError: If an argument is not of the right form, or the secure sum does not fit or would
            not protect: few clients, or too many.
        BudgetError: If the account cannot pay for it; nothing is summed then.
        DataError: If rows are malformed, unlike those of others, infinite, or integers beyond 2^24; or there
            are none.

    Leaks:
        To the server: with a plain sum each client's counts, else their sum (see `hansa.statistics.limbs`).
        To everyone: the result. With two clients, each can tell the other's part from it.
    """
    if (noise := noise_of(privacy, ledger=ledger)) is not None:
        from hansa.statistics.noisy_moments import Asked, noisy_count

        return noisy_count(Asked(clients, columns, splits, secure_sum, noise, ledger))
    return _moments(clients, columns, splits, secure_sum, what="count").counts


def total(
    clients: Any,
    *,
    columns: Any = None,
    splits: Any = "train",
    secure_sum: SecureSum | str = PLAIN,
    bounds: Any = None,
    privacy: Noise | None = None,
    ledger: Paid = None,
) -> Numbers:
    """Return the sum of all clients' values, column by column; 0 where there are none.

    Args, errors and leaks are those of `count`; counts are told beside the sums, but not with noise, which
    needs ``bounds=(low, high)``, public ones, or such by column. Values beyond are moved there.

    Guarantees:
        The exact sum of all rows, rounded once: that of `math.fsum` over all rows.
    """
    if (noise := noise_of(privacy, bounds=bounds, ledger=ledger)) is not None:
        from hansa.statistics.noisy_moments import Asked, noisy_total

        return noisy_total(Asked(clients, columns, splits, secure_sum, noise, ledger), bounds)
    moments = _moments(clients, columns, splits, secure_sum, what="total")
    return moments.numbers(lambda _, s, __: SUMS.number(s))


def mean(
    clients: Any,
    *,
    columns: Any = None,
    splits: Any = "train",
    secure_sum: SecureSum | str = PLAIN,
    bounds: Any = None,
    privacy: Noise | None = None,
    ledger: Paid = None,
) -> Numbers:
    """Return the mean of all clients' values, column by column; NaN where there are none.

    Args, errors and leaks are those of `count`; counts and sums are told. With noise, ``bounds`` as in
    `total`; the result lies within them.

    Guarantees:
        The exact mean of all rows, rounded once.

    Example:
        >>> mean({"a": ([[1.0], [2.0]], [0, 1]), "b": ([[6.0]], [0])})["0"]
        3.0
    """
    if (noise := noise_of(privacy, bounds=bounds, ledger=ledger)) is not None:
        from hansa.statistics.noisy_moments import Asked, noisy_mean

        return noisy_mean(Asked(clients, columns, splits, secure_sum, noise, ledger), bounds)
    moments = _moments(clients, columns, splits, secure_sum, what="mean")
    return moments.means()


def variance(
    clients: Any,
    *,
    columns: Any = None,
    ddof: int = 1,
    splits: Any = "train",
    secure_sum: SecureSum | str = PLAIN,
    bounds: Any = None,
    privacy: Noise | None = None,
    ledger: Paid = None,
) -> Numbers:
    """Return the variance of all clients' values, column by column; NaN where there are none.

    Args:
        clients: As in `count`, like ``columns``, ``splits``, ``secure_sum``, ``privacy`` and ``ledger``.
        columns: Which columns.
        ddof: Squares are divided by ``count - ddof``: 1 for the sample's variance, 0 for the population's.
        splits: Which rows.
        secure_sum: How sums come about.
        bounds: With noise, as in `total`.
        privacy: Noise.
        ledger: What it is charged to.

    Raises:
        ConfigurationError: As `count`, or ddof is not 0 or more.
        DataError: As `count`, or a column has values, but not more than ddof.

    Guarantees:
        The exact variance of all rows, rounded once, however large the mean is.

    Leaks:
        As `count`; counts, sums and sums of squares are told.
    """
    _check_ddof(ddof)
    if (noise := noise_of(privacy, bounds=bounds, ledger=ledger)) is not None:
        from hansa.statistics.noisy_moments import Asked, noisy_variance

        return noisy_variance(Asked(clients, columns, splits, secure_sum, noise, ledger), bounds, ddof)
    moments = _moments(clients, columns, splits, secure_sum, what="variance", squares=True)
    short = (moments.counts.present > 0) & (moments.counts.present <= ddof)
    if short.any():
        name, has = moments.counts.columns[int(short.argmax())], int(moments.counts.present[short][0])
        raise DataError(
            f"a variance with ddof={ddof} needs at least {ddof + 1} values; column {name!r} has {has}."
        )
    return moments.variances(ddof)


def deviation(
    clients: Any,
    *,
    columns: Any = None,
    ddof: int = 1,
    splits: Any = "train",
    secure_sum: SecureSum | str = PLAIN,
    bounds: Any = None,
    privacy: Noise | None = None,
    ledger: Paid = None,
) -> Numbers:
    """Return the standard deviation, the square root of `variance`, which says all else."""
    found = variance(
        clients,
        columns=columns,
        ddof=ddof,
        splits=splits,
        secure_sum=secure_sum,
        bounds=bounds,
        privacy=privacy,
        ledger=ledger,
    )
    return replace(found, values=np.sqrt(found.values))


@dataclass(frozen=True, kw_only=True, eq=False)
class Moments:
    """What the sums are, exactly.

    Attributes:
        counts: Rows and values.
        sums: Of each column's values, in steps of `SUMS`.
        squares: Of their squares, in steps of `SQUARES`; zeros where they were not asked for.
    """

    counts: Counts
    sums: list[int]
    squares: list[int]

    def numbers(self, of: Callable[[int, int, int], float]) -> Numbers:
        """Return a number for each column: a function of count, sum and sum of squares."""
        present = self.counts.present
        values = [of(*each) for each in zip(present.tolist(), self.sums, self.squares, strict=True)]
        return Numbers(columns=self.counts.columns, values=np.array(values, np.float64), count=present)

    def means(self) -> Numbers:
        """Return the means; NaN where there is no value."""
        return self.numbers(lambda n, s, _: SUMS.number(s, n) if n else np.nan)

    def variances(self, ddof: int) -> Numbers:
        """Return the variances; NaN where there are no more values than ddof."""
        # Σ(x − mean)² = (n · Σx² − (Σx)²) / n. Steps of squares are the squares of steps.
        return self.numbers(
            lambda n, s, q: SQUARES.number(n * q - s * s, n * (n - ddof)) if n > ddof else np.nan
        )


def sum_moments(
    columns: tuple[str, ...], tables: Mapping[str, Table], secure_sum: SecureSum, label: str, *, squares: bool
) -> Moments:
    """Return the moments of all clients' rows, in one sum."""
    vectors = {name: encode_moments(table, squares=squares) for name, table in tables.items()}
    return decode_moments(add(vectors, secure_sum, label), columns, squares=squares)


# client half
def encode_moments(table: Table, *, squares: bool) -> NDArray[np.int64]:
    """Return limbs of the number of rows, then of each column's count, sum and, if asked, sum of squares."""
    rows = encode_counts(np.array([len(table)], np.int64))
    present = encode_counts((~np.isnan(table)).sum(axis=0))
    sums, sums_of_squares = exact_sums(table, squares=squares)
    limbs = [present, SUMS.encode(sums)] + ([SQUARES.encode(sums_of_squares)] if squares else [])
    return np.concatenate([rows.reshape(-1), np.concatenate(limbs, axis=1).reshape(-1)])


# server half
def decode_moments(total: NDArray[np.int64], columns: tuple[str, ...], *, squares: bool) -> Moments:
    """Return what sums of limbs of `encode_moments` say."""
    rows, limbs = decode_counts(total[:COUNT_LIMBS]), total[COUNT_LIMBS:].reshape(len(columns), -1)
    present = decode_counts(limbs[:, :COUNT_LIMBS])
    rest = limbs[:, COUNT_LIMBS:]
    return Moments(
        counts=Counts(columns=columns, rows=int(rows), present=present),
        sums=SUMS.decode(rest[:, : SUMS.limbs]),
        squares=SQUARES.decode(rest[:, SUMS.limbs :]) if squares else [0] * len(columns),
    )


def _moments(
    clients: Any, columns: Any, splits: Any, secure_sum: Any, *, what: str, squares: bool = False
) -> Moments:
    through = as_secure_sum(secure_sum)
    tables = read_tables(clients, columns, splits, through)
    return sum_moments(tables.columns, tables.by_client, through, f"statistics: {what}", squares=squares)


def _check_ddof(ddof: Any) -> None:
    if isinstance(ddof, bool) or not isinstance(ddof, int) or ddof < 0:
        raise ConfigurationError(f"ddof must be an integer of 0 or more, got {ddof!r}.")

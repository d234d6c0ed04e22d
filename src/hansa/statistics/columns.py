"""Columns by name, and the rows that statistics are taken of."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hansa.data.cards import card, check_cards
from hansa.data.client import Client, as_clients
from hansa.data.columns import column_names, positions
from hansa.data.prepare import load
from hansa.data.split import SPLITS
from hansa.data.transform import one_array
from hansa.errors import ConfigurationError, DataError, UnknownNameError
from hansa.secure_sum import SecureSum
from hansa.statistics.sums import PLAIN
from hansa.statistics.vocabulary import with_vocabularies
from hansa.types import Array, ClientData, Examples

Table = NDArray[np.float32]

MOST_INTEGER = 1 << 24
"""Integers up to this are float32 numbers."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Tables:
    """The columns that statistics are taken of, client by client.

    Attributes:
        columns: Their names.
        by_client: Each client's rows, float32, shape ``(n, len(columns))``; NaN is missing.
    """

    columns: tuple[str, ...]
    by_client: Mapping[str, Table]


def read_tables(
    clients: Any, columns: Any = None, splits: Any = "train", secure_sum: SecureSum | None = PLAIN
) -> Tables:
    """Read the clients' rows.

    Args:
        clients: What `hansa.Federation` takes.
        columns: Names or positions of columns, or one such; None takes all.
        splits: Names of splits, or one such.
        secure_sum: How categories of text columns are found that are not declared; None where all must be,
            since what is found is exact.

    Raises:
        ConfigurationError: If an argument is not of the right form, or features are not one array.
        DataError: If rows are malformed, unlike others', infinite, integers beyond 2^24; or there are none.
    """
    wanted = as_splits(splits)
    loaded = read(as_clients(clients), secure_sum)
    first = next(iter(loaded.values())).train
    names = column_names(one_array(first.whole(), "a statistic").shape[1:], first.columns)
    if not names:
        raise DataError("the clients' rows have no features to take statistics of.")
    chosen = positions(names, columns)
    by_client = {
        name: np.concatenate([feature_table(part, name, chosen) for part in parts(data, wanted)])
        if parts(data, wanted)
        else np.zeros((0, len(chosen)), np.float32)
        for name, data in loaded.items()
    }
    if not any(map(len, by_client.values())):
        raise DataError(f"no client has rows in its split {' or '.join(map(repr, wanted))}.")
    return Tables(columns=tuple(names[i] for i in chosen), by_client=by_client)


def read(clients: Sequence[Client], secure_sum: SecureSum | None) -> dict[str, ClientData]:
    """Return the clients' rows as they are before preprocessing; all must have the same columns."""
    known, _ = with_vocabularies(clients, secure_sum)
    loaded = {client.name: load(client, keep_missing=True) for client in known}
    check_cards({name: card(data) for name, data in loaded.items()})
    return loaded


def parts(data: ClientData, splits: Iterable[str]) -> list[Examples]:
    """Return a client's rows of these splits, as far as it has such."""
    return [part.whole() for split in splits if (part := getattr(data, split)) is not None]


def as_splits(splits: Any) -> tuple[str, ...]:
    """Return names of splits from one name or several.

    Raises:
        ConfigurationError: If there is none, or one is twice there or not known.
    """
    names = (splits,) if isinstance(splits, str) else tuple(splits)
    for name in names:
        if name not in SPLITS:
            raise UnknownNameError("split", str(name), SPLITS)
    if not names or len(set(names)) < len(names):
        raise ConfigurationError(f"splits must name one or more different splits, got {splits!r}.")
    return names


def plain(values: Array) -> Any:
    """Return numbers as plain JSON values; None for NaN."""
    return [None if isinstance(v, float) and np.isnan(v) else v for v in values.tolist()]


def feature_table(rows: Examples, client: str, chosen: Sequence[int] | None = None) -> Table:
    """Return a client's features, float32, a row each: all of them, or those at some positions.

    Raises:
        ConfigurationError: If features are not one array.
        DataError: If they are infinite, or integers that float32 does not hold.
    """
    x = one_array(rows, "a statistic")
    flat = x.reshape(len(x), int(np.prod(x.shape[1:])))
    table = flat if chosen is None else flat[:, chosen]
    if table.dtype.kind in "iu":
        bad, why = (
            (table > MOST_INTEGER) | (table < -MOST_INTEGER),
            "integers beyond 2^24, not all in float32",
        )
    else:
        bad, why = np.isinf(table), "infinite values"
    if bad.any():
        first = int(bad.any(axis=0).argmax())
        name = column_names(x.shape[1:], rows.columns)[first if chosen is None else chosen[first]]
        raise DataError(
            f"client {client!r}: column {name!r} has {why}. Scale it, correct it, or leave it out."
        )
    return table.astype(np.float32, copy=False)

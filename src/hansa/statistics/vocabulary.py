"""The texts that many rows of a column have, over all clients. How that goes: `hansa.statistics.hashes`."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hansa.data.client import Client, as_clients
from hansa.data.prepare import naming
from hansa.data.table import Table
from hansa.data.vocabulary import Vocabulary
from hansa.errors import ConfigurationError, DataError, UnknownNameError
from hansa.secure_sum import SecureSum, as_secure_sum
from hansa.statistics.hashes import OwnTexts, find_frequent, read_texts
from hansa.statistics.sums import PLAIN

Texts = Mapping[str, Sequence[str | None]]
"""Texts of each column, a row each; None where missing."""


@dataclass(frozen=True, kw_only=True, eq=False)
class TextCounts:
    """Frequent texts of a column.

    Attributes:
        texts: The texts, the most frequent first; equally frequent ones in the order of their letters.
        rows: Rows that have each, int64, shape ``(len(texts),)``.
        holders: Clients that have each.
        other: Rows that have another text.
    """

    texts: tuple[str, ...]
    rows: NDArray[np.int64]
    holders: NDArray[np.int64]
    other: int

    def __getitem__(self, text: str) -> int:
        """Return the rows that have a text."""
        if text not in self.texts:
            raise UnknownNameError("text", str(text), self.texts)
        return int(self.rows[self.texts.index(text)])

    def to_json(self) -> dict[str, Any]:
        """Return rows and clients by text, and the rows that have others."""
        each = zip(self.texts, self.rows.tolist(), self.holders.tolist(), strict=True)
        told = {text: {"rows": rows, "holders": holders} for text, rows, holders in each}
        return {"texts": told, "other": self.other}


def vocabulary(
    clients: Any,
    column: str | None = None,
    *,
    minimum: int,
    holders: int = 1,
    most: int | None = None,
    longest: int = 64,
    secure_sum: SecureSum | str = PLAIN,
) -> TextCounts:
    """Return the texts that many rows have, over all clients.

    Args:
        clients: Clients whose sources are tables (`hansa.data.CSV`, `Parquet`); or a mapping from name to a
            list of texts, None where missing.
        column: The column of the tables. All rows of the files count, whatever their split.
        minimum: Fewest rows that have a text, 1 or more.
        holders: Fewest clients that have it, 1 or more.
        most: Most texts, the most frequent ones; None for all.
        longest: Most bytes of a text in UTF-8, 1 to 1,024.
        secure_sum: How sums come about.

    Raises:
        ConfigurationError: An option cannot be, a client has no table, or the secure sum does not fit or
            would not protect (one or two clients).
        DataError: A text is too long, or there are too many different ones for the minimum.

    Guarantees:
        Exact: all texts that ``minimum`` rows or more and ``holders`` clients or more have, and no other;
        with ``most``, the most frequent of these.

    Leaks:
        What `hansa.statistics.hashes` says: texts that are found, with their numbers of rows and clients; of
        rarer ones counts of the first bytes of their hashes. Nothing here is differentially private. A
        ``minimum`` of 1 finds every text, and names with it.

    Example:
        >>> found = vocabulary({"a": ["red", "red", "blue"], "b": ["blue", "pink"]}, minimum=2)
        >>> found.texts, found.rows.tolist(), found.other
        (('blue', 'red'), [2, 2], 1)
    """
    through = as_secure_sum(secure_sum)
    declared = Vocabulary(minimum=minimum, holders=holders, most=most, longest=longest)
    if column is None:
        name, texts = "x", {client: {"x": own} for client, own in _given(clients).items()}
    else:
        name, texts = column, {c.name: _read(c, [column]) for c in as_clients(clients)}
    return find_texts(texts, {name: declared}, through, "statistics: vocabulary")[name]


def find_texts(
    texts: Mapping[str, Texts], declared: Mapping[str, Vocabulary], secure_sum: SecureSum, label: str
) -> dict[str, TextCounts]:
    """Return the frequent texts of columns, all searched for at once.

    Args:
        texts: Texts by client and column.
        declared: What is wanted, by column.
        secure_sum: How sums come about.
        label: What is found, for messages.
    """
    halves = {
        client: [
            OwnTexts.of(own[column], one.longest, f"client {client!r}: column {column!r}")
            for column, one in declared.items()
        ]
        for client, own in texts.items()
    }
    found = find_frequent(halves, declared, secure_sum, label)
    longest = max(one.longest for one in declared.values())
    read, holders = read_texts(halves, found, longest, secure_sum, label)
    result: dict[str, TextCounts] = {}
    for at, column in enumerate(declared):
        own = [i for i, of in enumerate(found.column.tolist()) if of == at]
        own.sort(key=lambda i: (-int(found.rows[i]), read[i]))
        rows = found.rows[own]
        result[column] = TextCounts(
            texts=tuple(read[i] for i in own),
            rows=rows,
            holders=holders[own],
            other=int(found.total[at] - rows.sum()),
        )
    return result


def with_vocabularies(
    clients: Sequence[Client], secure_sum: SecureSum | None
) -> tuple[tuple[Client, ...], dict[str, TextCounts]]:
    """Return clients whose tables know the categories of all columns, and what was found, by column.

    Args:
        clients: The clients, of the same vocabularies (`hansa.data.client.check_clients`).
        secure_sum: How sums come about; None where there is to be none.

    Raises:
        ConfigurationError: As `vocabulary`, or there would be a sum.
        DataError: As `vocabulary`, or a column has no text that is frequent enough.
    """
    declared = _table(clients[0]).vocabularies if isinstance(clients[0].source, Table) else {}
    if not declared:
        return tuple(clients), {}
    if secure_sum is None:
        raise ConfigurationError(
            f"categories of {', '.join(map(repr, declared))} would be found by exact counts, which noise "
            "does not cover. Declare them (categorical={column: [...]}), or drop the column."
        )
    texts = {client.name: _read(client, declared) for client in clients}
    label = f"vocabulary of {', '.join(map(repr, declared))}"
    found = find_texts(texts, declared, secure_sum, label)
    for column, counts in found.items():
        if not counts.texts:
            wanted = declared[column]
            held = "" if wanted.holders == 1 else f" of {wanted.holders} clients or more"
            raise DataError(
                f"column {column!r}: no text is in {wanted.minimum} rows or more{held}; {counts.other} "
                "rows of all clients have one. Lower minimum, declare the categories, or drop the column."
            )
    known = {column: counts.texts for column, counts in found.items()}
    return tuple(
        dataclasses.replace(client, source=_table(client).with_categories(known)) for client in clients
    ), found


def _read(client: Client, columns: Iterable[str]) -> Texts:
    table = _table(client)
    with naming(client):
        return table.texts(columns)


def _table(client: Client) -> Table:
    if not isinstance(client.source, Table):
        raise ConfigurationError(
            f"client {client.name!r}: a vocabulary is of a text column of a table; its source is "
            f"{type(client.source).__name__}. Use CSV or Parquet, or give texts by client, without a column."
        )
    return client.source


def _given(clients: Any) -> dict[str, list[str | None]]:
    if not isinstance(clients, Mapping) or not clients:
        raise ConfigurationError(
            "name the column of the clients' tables, or give a mapping from each client's name to a list of "
            f"texts; got {clients!r:.200}."
        )
    given: dict[str, list[str | None]] = {}
    for name, values in clients.items():
        listed = values.tolist() if isinstance(values, np.ndarray) else values
        if not isinstance(listed, (list, tuple)) or not all(v is None or isinstance(v, str) for v in listed):
            raise ConfigurationError(
                f"client {name!r} gives {type(values).__name__}, not a list of texts. Name the column, where "
                "clients have tables."
            )
        given[str(name)] = list(listed)
    return given

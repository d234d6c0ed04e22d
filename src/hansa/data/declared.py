"""What partitions share: one client for each part of the rows, and the checks of their arguments."""

from __future__ import annotations

from collections.abc import Sequence, Sized
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from hansa.data.client import Client, check_clients
from hansa.data.labels import class_labels
from hansa.data.preprocess import Transform
from hansa.data.sources import Rows
from hansa.data.split import Split
from hansa.errors import ConfigurationError, DataError
from hansa.types import Examples

Index = NDArray[np.int64]


@dataclass(frozen=True, kw_only=True)
class Declared:
    """What the caller declared alike for all clients of a partition."""

    names: Sequence[str] | None
    split: Split
    preprocess: Sequence[Transform]

    def clients(self, rows: Examples, parts: Sequence[Index]) -> tuple[Client, ...]:
        """Return one client for each part of the rows."""
        names = self.names
        if names is None:
            width = len(str(len(parts) - 1))
            names = [f"client-{i:0{width}d}" for i in range(len(parts))]
        if isinstance(names, str) or not isinstance(names, Sized) or len(names) != len(parts):
            raise ConfigurationError(f"names must be {len(parts)} names, one for each client, got {names!r}.")
        made = tuple(
            Client(
                name=name,
                source=Rows(rows, np.sort(part).astype(np.int64)),
                preprocess=self.preprocess,
                split=self.split,
            )
            for name, part in zip(names, parts, strict=True)
        )
        check_clients(made)
        return made


def classes_of(rows: Examples, who: str) -> Index:
    """Return the class of each row, or raise if the labels are not classes."""
    classes = class_labels(rows.y)
    if classes is None:
        raise DataError(
            f"{who} needs labels that are classes: integers, 0/1, or one-hot rows, at most 1,000 different "
            "ones. Use iid or quantity_skew for other labels."
        )
    return classes


def check_count(clients: int, rows: int, *, min_examples: int = 1) -> None:
    """Raise unless there are enough rows for this many clients."""
    check_whole("clients", clients)
    check_whole("min_examples", min_examples)
    if clients * min_examples > rows:
        raise ConfigurationError(
            f"{clients} clients with {min_examples} rows or more each need {clients * min_examples} rows; "
            f"there are {rows}. Use fewer clients or more rows."
        )


def check_whole(name: str, value: int) -> None:
    """Raise unless the value is an integer of 1 or more."""
    if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or value < 1:
        raise ConfigurationError(f"{name} must be an integer of 1 or more, got {value!r}.")


def check_alpha(alpha: float) -> None:
    """Raise unless the concentration is a positive number."""
    if isinstance(alpha, bool) or not isinstance(alpha, (int, float)) or not 0 < alpha < float("inf"):
        raise ConfigurationError(f"alpha must be a number greater than 0, got {alpha!r}.")


def key_texts(keys: ArrayLike, rows: int) -> NDArray[np.str_]:
    """Return each row's key as text, or raise if there is not one key for each row."""
    values: Any = np.asarray(keys, dtype=object).tolist()
    if not isinstance(values, list) or len(values) != rows:
        count = len(values) if isinstance(values, list) else "no"
        raise DataError(f"by_key: there are {count} keys for {rows} rows; each row needs one key.")
    for row, key in enumerate(values):
        if not isinstance(key, (str, int)):
            raise DataError(f"by_key: the key of row {row + 1} is {key!r}; expected a text or an integer.")
    return np.array([str(key) for key in values])

"""Columns of features by name or position."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from hansa.errors import ConfigurationError, UnknownNameError


def column_names(shape: tuple[int, ...], columns: Sequence[str] | None) -> tuple[str, ...]:
    """Return the names of a row's features: as declared, else their positions.

    Example:
        >>> column_names((2,), ("age", "sex")), column_names((2,), None), column_names((1, 2), None)
        (('age', 'sex'), ('0', '1'), ('0,0', '0,1'))
    """
    if not shape:
        return ("x",)
    last = tuple(map(str, range(shape[-1]))) if columns is None else tuple(columns)
    return tuple(",".join((*map(str, at[:-1]), last[at[-1]])) for at in np.ndindex(*shape))


def position(columns: Sequence[str], name: str) -> int:
    """Return where a column is."""
    if name not in columns:
        raise UnknownNameError("column", str(name), columns)
    return columns.index(name)


def positions(names: Sequence[str], columns: Any) -> list[int]:
    """Return where some columns are.

    Args:
        names: Names of all columns.
        columns: Names or positions of the wanted ones, or one such; None takes all.

    Raises:
        UnknownNameError: There is no column of a name.
        ConfigurationError: One is neither, one is there twice, or there are none.
    """
    if columns is None:
        return list(range(len(names)))
    several = isinstance(columns, Iterable) and not isinstance(columns, str)
    chosen: list[int] = []
    for column in columns if several else [columns]:
        if isinstance(column, str):
            chosen.append(position(names, column))
        elif isinstance(column, int) and not isinstance(column, bool) and 0 <= column < len(names):
            chosen.append(column)
        else:
            raise ConfigurationError(
                f"{column!r} is not a column; give its name, or its position from 0 to {len(names) - 1}."
            )
    if not chosen or len(set(chosen)) < len(chosen):
        raise ConfigurationError(f"columns must name one or more different columns, got {columns!r}.")
    return chosen

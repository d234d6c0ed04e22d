"""Turn the cells of a table, text or typed values, into numbers. Shared by every kind of table file."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hansa.data.vocabulary import Vocabulary, checked_texts
from hansa.errors import ConfigurationError, DataError, UnknownNameError

Numbers = NDArray[np.float64]

_COMPARISONS: Mapping[str, Callable[[float, float], bool]] = {
    ">": lambda a, b: a > b,
    ">=": lambda a, b: a >= b,
    "<": lambda a, b: a < b,
    "<=": lambda a, b: a <= b,
    "==": lambda a, b: a == b,
}
_RULE = re.compile(r"(>=|<=|==|>|<)\s*(.*)")
_WHOLE = re.compile(r"[+-]?[0-9]+")


@dataclass(frozen=True, kw_only=True)
class Cells:
    """A table as it was read.

    Attributes:
        origin: Name of the file, for messages.
        columns: The cells by column name, in the file's order: text, or typed values; None where missing.
        lines: Line of the file on which each row stands, or None where a file has no lines.
    """

    origin: str
    columns: Mapping[str, Sequence[Any]]
    lines: Sequence[int] | None = None

    def __len__(self) -> int:
        return len(next(iter(self.columns.values()), ()))

    def column(self, name: str) -> Sequence[Any]:
        """Return the cells of a column, or raise with the nearest name that exists."""
        header = next(iter(self.columns), "")
        if len(self.columns) == 1 and name != header and any(mark in header for mark in ";\t|"):
            mark = next(mark for mark in ";\t|" if mark in header)
            raise DataError(
                f"{self.origin} has one column, {header!r}: its cells are divided by {mark!r}, not by ','. "
                f"Set delimiter = {mark!r}."
            )
        if name not in self.columns:
            raise UnknownNameError(f"column in {self.origin}", name, self.columns)
        return self.columns[name]

    def place(self, row: int) -> str:
        """Return where a row is: its number from 1, and its line where there are lines."""
        return f"row {row + 1}" + ("" if self.lines is None else f" (line {self.lines[row]})")


FEATURE_ADVICE = (
    "Declare its categories (categorical), leave it out (drop), or name what is missing (na_values)."
)
LABEL_ADVICE = 'It is the target: say which value counts as 1, as in positive = "yes".'


def numbers(cells: Cells, column: str, advice: str = FEATURE_ADVICE) -> Numbers:
    """Return a column as float64, NaN where a cell is missing.

    Raises:
        DataError: A cell is not a number; ``advice`` says what to do.
    """
    values = cells.column(column)
    result = np.empty(len(values))
    for row, value in enumerate(values):
        number = as_number(value)
        if number is None:
            raise DataError(
                f"{cells.origin}: column {column!r}, {cells.place(row)} holds {value!r}, not a number. "
                f"{advice}"
            )
        result[row] = number
    return result


def one_hot(cells: Cells, column: str, categories: Sequence[str], *, drop_first: bool) -> Numbers:
    """Return a column as one 0/1 column for each category, NaN in all of them where it is missing.

    A cell is of a category when the text is the same, or both are the same number ("1.0" is "1").

    Raises:
        DataError: A cell is none of the categories.
    """
    exact = {category: i for i, category in enumerate(categories)}
    numeric = {as_number(category): i for i, category in reversed(list(enumerate(categories)))}
    values = cells.column(column)
    result = np.zeros((len(values), len(categories)))
    for row, value in enumerate(values):
        number = as_number(value)
        if number is not None and math.isnan(number) and str(value) not in exact:
            result[row] = np.nan
            continue
        position = exact.get(str(value), None if number is None else numeric.get(number))
        if position is None:
            raise DataError(
                f"{cells.origin}: column {column!r}, {cells.place(row)} holds {value!r}, none of its "
                f"categories {', '.join(map(repr, categories))}. Add it to categorical=, for all clients."
            )
        result[row, position] = 1.0
    return result[:, 1:] if drop_first else result


def texts(cells: Cells, column: str) -> list[str | None]:
    """Return a column as texts, None where a cell is missing. A whole number of a typed column has no point.

    Raises:
        DataError: A cell is a list or the like.
    """
    result: list[str | None] = []
    for row, value in enumerate(cells.column(column)):
        if isinstance(value, (bytes, list, tuple, dict)):
            raise DataError(
                f"{cells.origin}: column {column!r}, {cells.place(row)} holds a {type(value).__name__}, "
                "not a text. Leave the column out (drop)."
            )
        number = as_number(value)
        whole = isinstance(value, float) and value.is_integer()
        missing = number is not None and math.isnan(number)
        result.append(None if missing else str(int(value) if whole else value))
    return result


def looked_up(cells: Cells, column: str, categories: Sequence[str], *, drop_first: bool) -> Numbers:
    """Return a column as `one_hot` does, with one more 0/1 column at its end for all other texts."""
    places = {category: i for i, category in enumerate(categories)}
    found = texts(cells, column)
    result = np.zeros((len(found), len(categories) + 1))
    for row, text in enumerate(found):
        if text is None:
            result[row] = np.nan
        else:
            result[row, places.get(text, len(categories))] = 1.0
    return result[:, 1:] if drop_first else result


def labels(cells: Cells, column: str, positive: str | float | None) -> tuple[Numbers, bool]:
    """Return the labels as float64 (NaN where missing) and whether they are whole numbers.

    Args:
        cells: The table.
        column: The label column.
        positive: What makes a row positive, see `hansa.data.tables.Table`; None keeps the number.
    """
    values = cells.column(column)
    if positive is None:
        whole = all(_is_whole(value) for value in values if value is not None)
        return numbers(cells, column, LABEL_ADVICE), whole
    if isinstance(positive, str) and not _RULE.fullmatch(positive):
        _check_spelling(cells, column, positive)
        match = [math.nan if _is_missing(value) else float(str(value) == positive) for value in values]
        return np.array(match), True
    compare, bound = _comparison(positive)
    found = numbers(cells, column)
    match = [math.nan if math.isnan(value) else float(compare(value, bound)) for value in found]
    return np.array(match), True


def check_positive(positive: Any) -> None:
    """Raise unless ``positive`` is a rule that `labels` understands."""
    if positive is None or isinstance(positive, (int, float)):
        return
    if not isinstance(positive, str):
        raise ConfigurationError(
            f"positive must be None, a number, a text, or a comparison such as '>0', got {positive!r}."
        )
    if _RULE.fullmatch(positive):
        _comparison(positive)


def checked_categories(categorical: Any, drop_first: bool) -> dict[str, tuple[str, ...] | Vocabulary] | None:
    """Return declared categories as texts, or raise if they cannot be one-hot columns."""
    if categorical is None:
        return None
    if not isinstance(categorical, Mapping):
        raise ConfigurationError(
            "categorical must map each column to its categories, for example {'sex': ('f', 'm')}; "
            f"got {categorical!r}."
        )
    least = 2 if drop_first else 1
    return {
        name: values
        if isinstance(values, Vocabulary)
        else checked_texts(f"categorical[{name!r}]", values, least)
        for name, values in categorical.items()
    }


def as_number(value: Any) -> float | None:
    """Return a cell as a number: NaN where it is missing, None where it is not a number."""
    if value is None:
        return math.nan
    if isinstance(value, str) and "_" in value:
        return None  # Python reads "1_000" as a number; a table does not mean it
    try:
        return float(value)
    except (TypeError, ValueError, OverflowError):
        return None


def _check_spelling(cells: Cells, column: str, positive: str) -> None:
    """Raise where a label differs from the positive one by case, spaces or the spelling of a number alone."""
    meant, number = positive.strip().casefold(), as_number(positive)
    for row, value in enumerate(cells.columns[column]):
        if value is None or str(value) == positive:
            continue
        if str(value).strip().casefold() == meant or (number is not None and as_number(value) == number):
            raise DataError(
                f"{cells.origin}: column {column!r}, {cells.place(row)} holds {str(value)!r}, but positive "
                f"is {positive!r}. Labels must be spelt alike everywhere: correct the file, or positive."
            )


def _is_missing(value: Any) -> bool:
    return value is None or (isinstance(value, float) and math.isnan(value))


def _is_whole(value: Any) -> bool:
    if isinstance(value, str):
        return _WHOLE.fullmatch(value) is not None
    return isinstance(value, (int, np.integer))


def _comparison(positive: str | float) -> tuple[Callable[[float, float], bool], float]:
    if not isinstance(positive, str):
        return _COMPARISONS["=="], float(positive)
    match = _RULE.fullmatch(positive)
    bound = as_number(match[2].strip()) if match else None
    if match is None or bound is None or math.isnan(bound):
        raise ConfigurationError(
            f"positive={positive!r} is a comparison without a number; write for example '>0' or '<= 1.5'."
        )
    return _COMPARISONS[match[1]], bound

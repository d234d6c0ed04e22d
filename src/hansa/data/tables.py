"""Rows in table files: CSV and Parquet."""

from __future__ import annotations

import codecs
import csv
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import KW_ONLY, dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from hansa.data.cells import Cells, Numbers, check_positive, checked_categories, labels, numbers, one_hot
from hansa.data.describe import describe_file
from hansa.data.sources import as_examples
from hansa.errors import ConfigurationError, DataError, MissingExtraError, UnknownNameError
from hansa.types import Examples

_LARGEST_LABEL = 2.0**53  # float64 tells all whole numbers up to here apart


@dataclass(frozen=True)
class Table(ABC):
    """What every kind of table file can be told.

    The features are the numeric columns in their order (that of ``features``, else the file's),
    then the one-hot columns in the order of ``categorical``, named ``column=category``.

    Attributes:
        path: The file.
        target: The column of labels. Whole numbers become int64, others float32.
        features: The columns to use; None uses all but target, weight and drop. Columns in
            ``categorical`` are used whether or not they are listed here too.
        categorical: The categories of each column that is not a number. They are declared, not
            found in the data, so that all parties have the same columns.
        drop_first: Whether to leave out the first category of each, for models with an intercept.
        drop: Columns to leave out.
        positive: What makes a label 1 rather than 0: a number or a text that it equals, or a
            comparison with a number such as ``">0"`` (``> >= < <= ==``). None keeps the label.
        weight: The column of sample weights.
        missing: What to do about missing values: ``"error"`` refuses them, ``"drop"`` leaves out
            rows that have any, ``"keep"`` keeps missing features as NaN for `hansa.data.Impute`.
    """

    path: str | Path
    target: str
    _: KW_ONLY
    features: Sequence[str] | None = None
    categorical: Mapping[str, Sequence[str]] | None = None
    drop_first: bool = False
    drop: Sequence[str] = ()
    positive: str | float | None = None
    weight: str | None = None
    missing: Literal["error", "drop", "keep"] = "error"

    def __post_init__(self) -> None:
        if not isinstance(self.path, (str, Path)):
            raise ConfigurationError(f"path must be the path of a file, got {self.path!r}.")
        for name in ("features", "drop"):
            value = getattr(self, name)
            if value is not None and (isinstance(value, str) or not isinstance(value, Iterable)):
                raise ConfigurationError(f"{name} must be a list of column names, got {value!r}.")
            object.__setattr__(self, name, None if value is None else tuple(value))
        object.__setattr__(self, "categorical", checked_categories(self.categorical, self.drop_first))
        if self.missing not in ("error", "drop", "keep"):
            raise UnknownNameError("value of missing", str(self.missing), ("error", "drop", "keep"))
        check_positive(self.positive)
        self._check_roles()

    @abstractmethod
    def _read(self) -> Cells:
        """Read the file."""

    def load(self) -> Examples:
        """Read the file and return its rows.

        Raises:
            UnknownNameError: A column does not exist.
            DataError: The file cannot be read, or a cell is missing, not a number or no category.
        """
        cells = self._read()
        names, blocks = self._features(cells)
        y, whole = labels(cells, self.target, self.positive)
        weight = None if self.weight is None else numbers(cells, self.weight)
        kept = self._kept(cells, names, blocks, y, weight)
        with np.errstate(over="ignore"):  # an overflow becomes infinite, which the checks then report
            x = np.column_stack(blocks)[kept].astype(np.float32)
        y = y[kept]
        if whole and (np.abs(y) > _LARGEST_LABEL).any():
            raise DataError(
                f"{cells.origin}: column {self.target!r} holds whole numbers above 2**53; several of them "
                "would become one label. Number the classes from 0, or give a column of measured values."
            )
        y = y.astype(np.int64 if whole else np.float32)
        return as_examples(x, y, sample_weight=None if weight is None else weight[kept], columns=names)

    def describe(self) -> dict[str, Any]:
        """Return all options, and the path and hash of the file."""
        categorical = {name: list(values) for name, values in (self.categorical or {}).items()}
        return {
            "kind": type(self).__name__.lower(),
            "file": describe_file(self.path),
            "target": self.target,
            "features": None if self.features is None else list(self.features),
            # A list of pairs, because the order of the columns follows it.
            "categorical": [[name, values] for name, values in categorical.items()],
            "drop_first": self.drop_first,
            "drop": list(self.drop),
            "positive": self.positive,
            "weight": self.weight,
            "missing": self.missing,
        }

    def _check_roles(self) -> None:
        roles: dict[str, str] = {self.target: "the target"}
        if self.weight is not None:
            if self.weight == self.target:
                raise ConfigurationError(f"column {self.target!r} is both target and weight.")
            roles[self.weight] = "the weight"
        roles |= dict.fromkeys(self.drop, "in drop")
        listed = [("features", name) for name in self.features or ()]
        listed += [("categorical", name) for name in self.categorical or ()]
        for where, name in listed:
            if name in roles:
                raise ConfigurationError(f"column {name!r} is in {where} and also {roles[name]}; choose one.")
        if self.target in self.drop or self.weight in self.drop:
            raise ConfigurationError("drop names the target or the weight; both are needed.")
        if self.features is not None and len(set(self.features)) < len(self.features):
            raise ConfigurationError(f"features names a column more than once: {list(self.features)}.")

    def _features(self, cells: Cells) -> tuple[list[str], list[Numbers]]:
        not_features = {self.target, self.weight, *self.drop}
        for name in (self.target, self.weight, *self.drop, *(self.features or ()), *(self.categorical or ())):
            if name is not None:
                cells.column(name)  # names first, so that a misspelt one is not told as a bad cell
        chosen = self.features
        if chosen is None:
            chosen = [name for name in cells.columns if name not in not_features]
        categorical = self.categorical or {}
        names = [name for name in chosen if name not in categorical]
        blocks = [numbers(cells, name) for name in names]
        for column, categories in categorical.items():
            blocks.append(one_hot(cells, column, categories, drop_first=self.drop_first))
            names += [f"{column}={category}" for category in categories[int(self.drop_first) :]]
        if not names:
            raise DataError(
                f"{cells.origin} has no feature column besides {sorted(filter(None, not_features))}."
            )
        return names, blocks

    def _kept(
        self,
        cells: Cells,
        names: Sequence[str],
        blocks: Sequence[Numbers],
        y: Numbers,
        weight: Numbers | None,
    ) -> NDArray[np.bool_]:
        absent = dict(zip(names, np.isnan(np.column_stack(blocks)).T, strict=True))
        needed = {self.target: np.isnan(y)}
        if weight is not None:
            needed[str(self.weight)] = np.isnan(weight)
        gaps = needed if self.missing == "keep" else {**absent, **needed}
        if self.missing == "drop":
            kept = ~np.logical_or.reduce(list(gaps.values()))
            if not kept.any():
                raise DataError(
                    f"{cells.origin}: each of the {len(y)} rows has a missing value; none is left."
                )
            return kept
        for name, gap in gaps.items():
            if gap.any():
                way_out = (
                    "" if name in needed else ", or keep them with missing='keep' and fill them with Impute"
                )
                raise DataError(
                    f"{cells.origin}: column {name!r} has {int(gap.sum())} missing values, the first in "
                    f"{cells.place(int(gap.argmax()))}. Leave such rows out with missing='drop'{way_out}."
                )
        return np.ones(len(y), dtype=bool)


@dataclass(frozen=True)
class CSV(Table):
    """Rows of a text file with a header, for example comma-separated values.

    Cells and names are stripped of surrounding spaces. See `Table` for the other options.

    Attributes:
        delimiter: The character between cells.
        na_values: Texts that mean "missing".
        encoding: Encoding of the file; a byte order mark is skipped.
    """

    _: KW_ONLY
    delimiter: str = ","
    na_values: Sequence[str] = ("", "NA", "NaN", "nan", "?")
    encoding: str = "utf-8"

    def __post_init__(self) -> None:
        super().__post_init__()
        if not isinstance(self.delimiter, str) or len(self.delimiter) != 1:
            raise ConfigurationError(f"delimiter must be one character, got {self.delimiter!r}.")
        if isinstance(self.na_values, str) or not isinstance(self.na_values, Iterable):
            raise ConfigurationError(f"na_values must be a list of texts, got {self.na_values!r}.")
        object.__setattr__(self, "na_values", tuple(self.na_values))
        try:
            "".encode(self.encoding)
        except (LookupError, ValueError, TypeError) as error:
            raise ConfigurationError(
                f"encoding {self.encoding!r} is not an encoding of text; try 'utf-8' or 'cp1252'."
            ) from error

    def describe(self) -> dict[str, Any]:
        """Return all options, and the path and hash of the file."""
        extra = {"delimiter": self.delimiter, "na_values": list(self.na_values), "encoding": self.encoding}
        return {**super().describe(), **extra}

    def _read(self) -> Cells:
        path = _checked_file(self.path)
        utf8 = codecs.lookup(self.encoding).name == "utf-8"
        try:
            with path.open(encoding="utf-8-sig" if utf8 else self.encoding, newline="") as file:
                return self._cells(csv.reader(file, delimiter=self.delimiter, strict=True), path.name)
        except UnicodeError as error:
            raise DataError(
                f"{path} is not text in {self.encoding} ({error}). Give the right encoding=."
            ) from error
        except (csv.Error, OSError) as error:
            raise DataError(f"{path} cannot be read: {error}.") from error

    def _cells(self, reader: Any, origin: str) -> Cells:
        filled: Iterator[tuple[int, list[str]]] = ((reader.line_num, row) for row in reader if row)
        header = [name.strip() for name in next(filled, (0, []))[1]]
        _check_header(header, origin)
        lines: list[int] = []
        rows: list[list[str | None]] = []
        absent = frozenset(self.na_values)
        for line, row in filled:
            if len(row) != len(header):
                raise DataError(
                    f"{origin}: line {line} has {len(row)} cells, the header has {len(header)}. "
                    f"Mend the line, or check that the delimiter is {self.delimiter!r}."
                )
            stripped = (cell.strip() for cell in row)
            rows.append([None if cell in absent else cell for cell in stripped])
            lines.append(line)
        if not rows:
            raise DataError(f"{origin} has a header and no rows.")
        return Cells(
            origin=origin, columns=dict(zip(header, zip(*rows, strict=True), strict=True)), lines=lines
        )


@dataclass(frozen=True)
class Parquet(Table):
    """Rows of a Parquet file. Needs the extra ``parquet``. See `Table` for the options."""

    def _read(self) -> Cells:
        try:
            import pyarrow as pa
            import pyarrow.parquet as pq
        except ImportError as error:
            raise MissingExtraError("reading Parquet files", "pyarrow", "parquet") from error
        path = _checked_file(self.path)
        try:
            table = pq.read_table(path)
        except (pa.ArrowException, OSError) as error:
            raise DataError(f"{path} cannot be read as Parquet: {error}.") from error
        _check_header(table.column_names, path.name)
        if not table.num_rows:
            raise DataError(f"{path.name} has columns and no rows.")
        columns = {name: table.column(name).to_pylist() for name in table.column_names}
        return Cells(origin=path.name, columns=columns)


def _checked_file(path: str | Path) -> Path:
    checked = Path(path)
    if not checked.exists():
        raise DataError(f"{checked} does not exist (the current folder is {Path.cwd()}).")
    if not checked.is_file():
        raise DataError(f"{checked} is not a file.")
    return checked


def _check_header(names: Sequence[str], origin: str) -> None:
    if not names:
        raise DataError(f"{origin} is empty; expected a header and rows.")
    if "" in names:
        raise DataError(
            f"{origin}: column {names.index('') + 1} has no name. Name it (a data frame: index=False)."
        )
    if twice := sorted(name for name, times in Counter(names).items() if times > 1):
        raise DataError(f"{origin}: the header names {', '.join(map(repr, twice))} more than once.")

"""Rows in table files: CSV and Parquet."""

from __future__ import annotations

import codecs
import csv
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import KW_ONLY, dataclass
from pathlib import Path
from typing import Any

from hansa.data.cells import Cells
from hansa.data.table import Table
from hansa.errors import ConfigurationError, DataError, MissingExtraError


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

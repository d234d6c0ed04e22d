"""What every kind of table file can be told, and how its cells become rows."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import KW_ONLY, dataclass, replace
from pathlib import Path
from typing import Any, Literal, Self

import numpy as np
from numpy.typing import NDArray

from hansa.data.cells import (
    Cells,
    Numbers,
    check_positive,
    checked_categories,
    labels,
    looked_up,
    numbers,
    one_hot,
    texts,
)
from hansa.data.describe import describe_file
from hansa.data.sources import as_examples
from hansa.data.vocabulary import UNKNOWN, Vocabulary
from hansa.errors import ConfigurationError, DataError, UnknownNameError
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
            found in one party's data, so that all parties have the same columns; a `Vocabulary` finds
            them over all parties.
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
    categorical: Mapping[str, Sequence[str] | Vocabulary] | None = None
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
            ConfigurationError: Categories are still to be found over all clients.
        """
        if unknown := list(self.vocabularies):
            raise ConfigurationError(
                f"the categories of {', '.join(map(repr, unknown))} are found over all clients, when a "
                "federation prepares. To read this file alone, give them: Vocabulary(categories=[...])."
            )
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

    @property
    def vocabularies(self) -> dict[str, Vocabulary]:
        """The columns whose categories are still to be found."""
        each = (self.categorical or {}).items()
        return {name: v for name, v in each if isinstance(v, Vocabulary) and v.categories is None}

    def texts(self, columns: Iterable[str]) -> dict[str, list[str | None]]:
        """Read some columns as texts, None where a cell is missing."""
        cells = self._read()
        return {name: texts(cells, name) for name in columns}

    def with_categories(self, found: Mapping[str, Sequence[str]]) -> Self:
        """Return this table with the categories of columns that had a `Vocabulary` without any."""
        known = {
            name: replace(v, categories=found[name]) if isinstance(v, Vocabulary) and name in found else v
            for name, v in (self.categorical or {}).items()
        }
        return replace(self, categorical=known)

    def describe(self) -> dict[str, Any]:
        """Return all options, and the path and hash of the file."""
        categorical = {
            name: values.describe() if isinstance(values, Vocabulary) else list(values)
            for name, values in (self.categorical or {}).items()
        }
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
            known = categories.categories or () if isinstance(categories, Vocabulary) else categories
            encode = looked_up if isinstance(categories, Vocabulary) else one_hot
            blocks.append(encode(cells, column, known, drop_first=self.drop_first))
            more = (UNKNOWN,) if isinstance(categories, Vocabulary) else ()
            names += [f"{column}={category}" for category in (*known[int(self.drop_first) :], *more)]
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

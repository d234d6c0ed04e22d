"""What a federation asks its clients to prove of their data, as a user declares it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from hansa.claims.terms import LARGEST, Column, Terms
from hansa.data.table import Table
from hansa.errors import ConfigurationError, UnknownNameError
from hansa.types import DataCard

OTHERS = "*"
"""Stands for every column that has no range of its own."""

NOTE = "certificates"
"""Kind of the entry in a run's log that names the certificates."""


@dataclass(frozen=True)
class Range:
    """From where to where values go, and how finely they are kept.

    Values and ends are whole numbers of units of ``2^-scale``; the nearest stands for a value.

    Attributes:
        low: Smallest value.
        high: Largest value.
        scale: A unit is ``2^-scale``: 0 for whole numbers. None takes the finest for which a value has no
            more bits than `Claims.resolution`.

    Raises:
        ConfigurationError: If these are no numbers, or none is between them.
    """

    low: float
    high: float
    scale: int | None = None

    def __post_init__(self) -> None:
        for value in (self.low, self.high):
            number = isinstance(value, (int, float)) and not isinstance(value, bool)
            if not number or not abs(value) <= LARGEST:
                raise ConfigurationError(
                    f"a range goes from a number to a number, within 2^53; got {value!r}."
                )
        if self.low > self.high:
            raise ConfigurationError(f"a range goes from {self.low} to {self.high}: put the smaller first.")
        if self.scale is not None and (type(self.scale) is not int or not -60 <= self.scale <= 60):
            raise ConfigurationError(f"the scale of a range is a whole number up to 60, got {self.scale!r}.")

    def column(self, name: str, resolution: int) -> Column:
        """Return the column in units: the ends, like all values, are the nearest.

        Raises:
            ConfigurationError: If the ends are too many units.
        """
        scale = self._finest(resolution) if self.scale is None else self.scale
        low, high = self._ends(scale)
        if max(abs(low), abs(high)) > LARGEST:
            raise ConfigurationError(
                f"the range of {name!r}, {self.low} to {self.high}, ends beyond 2^53 units of 2^{-scale}. "
                f"Take a smaller scale, as in hansa.claims.Range({self.low}, {self.high}, scale=...)."
            )
        return Column(name=name, low=low, high=high, scale=scale)

    def _ends(self, scale: int) -> tuple[int, int]:
        return round(math.ldexp(self.low, scale)), round(math.ldexp(self.high, scale))

    def _finest(self, resolution: int) -> int:
        room, width = (1 << resolution) - 1, self.high - self.low
        guess = math.floor(math.log2(room / width)) + 1 if width > 0 else resolution
        scale = min(60, max(-60, guess))
        while scale > -60:
            low, high = self._ends(scale)
            if high - low <= room and max(abs(low), abs(high)) <= LARGEST:
                break
            scale -= 1
        return scale


@dataclass(frozen=True, kw_only=True)
class Claims:
    """Every client proves, before the first round, what its training rows are; and shows none.

    They are proven of the rows as they are read and split, before any preprocessing: in the units in which
    ranges are declared.

    Attributes:
        ranges: A range for every feature by its name, ``"*"`` for all others; or one range for all. A range
            is ``(low, high)``, ``(low, high, scale)`` or `Range`. One-hot columns that a table makes of its
            ``categorical`` need none.
        records: Fewest training rows of a client.
        classes: The labels, where they are classes: a list, or the fewest training rows of each.
        target: The label's range, where it is a number.
        exact_count: Whether clients also prove how many rows they have, which is then told. The weight of
            an update is then bound to it: in plain sums, and in sealed ones with `hansa.NormBound`.
        resolution: Bits that a value takes at most where its range has no scale; 1 to 32.
        same_as: Folder of an earlier run: clients show the certificates that they made for it, and so that
            the data set is the same. In a simulation their signing keys are taken from there.

    Raises:
        ConfigurationError: If a part is not of the right kind.

    Example:
        >>> claims = Claims(ranges={"age": (0, 120, 0)}, records=50, classes={0: 20, 1: 20})
        >>> claims.terms(("age",)).columns[0].high
        120
    """

    ranges: Any
    records: int = 1
    classes: Any = None
    target: Any = None
    exact_count: bool = False
    resolution: int = 16
    same_as: str | Path | None = None

    def __post_init__(self) -> None:
        if type(self.resolution) is not int or not 1 <= self.resolution <= 32:
            raise ConfigurationError(
                f"resolution must be a number of bits from 1 to 32, got {self.resolution!r}."
            )
        if bool(self.classes) == (self.target is not None):
            raise ConfigurationError(
                "claims say what labels are: either classes, as in classes=(0, 1) or classes={0: 20, 1: 20} "
                "(the fewest rows of each); or a range, as in target=(0, 500)."
            )
        if self.same_as is not None and not isinstance(self.same_as, (str, Path)):
            raise ConfigurationError(f"same_as must be the folder of an earlier run, got {self.same_as!r}.")
        if isinstance(self.ranges, Mapping):
            known: Any = {_name(name): _range(name, given) for name, given in self.ranges.items()}
        else:
            known = {OTHERS: _range("every feature", self.ranges)}
        object.__setattr__(self, "ranges", known)
        object.__setattr__(self, "classes", _classes(self.classes))
        target = None if self.target is None else _range("the target", self.target)
        object.__setattr__(self, "target", target)
        self.terms(())  # says what is wrong with the rest

    def terms(self, columns: Sequence[str], indicators: frozenset[str] = frozenset()) -> Terms:
        """Return what is claimed of a data set with these columns.

        Args:
            columns: Names of the features, in order.
            indicators: Those that are 0 or 1 because a table made them of categories.

        Raises:
            UnknownNameError: A range is of a column that does not exist.
            ConfigurationError: A column has no range, or one that cannot be.
        """
        for name in self.ranges:
            if columns and name != OTHERS and name not in columns:
                raise UnknownNameError("column in the ranges of claims", name, columns)
        rest = self.ranges.get(OTHERS)
        given = {**dict.fromkeys(columns, rest), **dict.fromkeys(indicators, Range(0, 1, 0)), **self.ranges}
        if without := [name for name in columns if given[name] is None]:
            raise ConfigurationError(
                f"claims have no range for {', '.join(map(repr, without[:10]))}"
                f"{f' and {len(without) - 10} more columns' if len(without) > 10 else ''}. Every feature is "
                "committed to: give each a range, or '*' one for all others."
            )
        return Terms(
            records=self.records,
            columns=tuple(given[name].column(name, self.resolution) for name in columns),
            classes=tuple(sorted(self.classes.items())),
            target=None if self.target is None else self.target.column("target", self.resolution),
            exact=self.exact_count,
        )


def columns_of(card: DataCard) -> tuple[str, ...]:
    """Return the names of a data set's features: those they have, or their numbers.

    Raises:
        ConfigurationError: If the features are more than one array, of which nothing can be claimed yet.
    """
    shape = card.features
    if not isinstance(shape, Sequence) or not all(isinstance(n, int) for n in shape):
        raise ConfigurationError(
            "claims are about features in one array; these are several. Leave claims out, or give one array."
        )
    size = math.prod(shape)
    return (
        card.columns
        if card.columns and len(card.columns) == size
        else tuple(f"feature {i}" for i in range(size))
    )


def indicators_of(source: Any, columns: Sequence[str]) -> frozenset[str]:
    """Return the columns that a table makes of categories: each value is 0 or 1."""
    categorical = (source.categorical or {}) if isinstance(source, Table) else {}
    return frozenset(name for name in columns if any(name.startswith(f"{column}=") for column in categorical))


def _name(name: Any) -> str:
    if not isinstance(name, str):
        raise ConfigurationError(f"ranges are given by the names of columns, got {name!r}.")
    return name


def _range(name: Any, given: Any) -> Range:
    if isinstance(given, Range):
        return given
    if isinstance(given, Sequence) and not isinstance(given, str) and len(given) in (2, 3):
        return Range(*given)
    raise ConfigurationError(
        f"the range of {name!r} is (low, high), (low, high, scale) or Range; got {given!r}."
    )


def _classes(given: Any) -> dict[int, int]:
    """Return labels and their minima; TOML has labels as text."""
    if given is None or given == {}:
        return {}
    if isinstance(given, str) or not isinstance(given, (Mapping, Sequence)):
        raise ConfigurationError(
            f"classes is a list of labels, or a mapping of labels to counts; got {given!r}."
        )
    pairs = list(given.items()) if isinstance(given, Mapping) else [(label, 0) for label in given]
    labels = [_label(label) for label, _ in pairs]
    if len(set(labels)) < len(labels):
        raise ConfigurationError(f"a class is there twice: {labels[:20]!r}.")
    return {label: fewest for label, (_, fewest) in zip(labels, pairs, strict=True)}


def _label(given: Any) -> int:
    known = isinstance(given, (int, np.integer)) and not isinstance(given, bool)
    if not known and not (isinstance(given, str) and given.isdecimal() and len(given) < 16):
        raise ConfigurationError(f"labels of classes are whole numbers, got {given!r}.")
    return int(given)

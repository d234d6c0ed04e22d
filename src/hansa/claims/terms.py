"""What is claimed of a data set, in whole numbers: agreed by all, hashed, and the same for every client."""

from __future__ import annotations

import functools
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from hansa.crypto.encoding import digest
from hansa.errors import ConfigurationError

LARGEST = 1 << 53
"""Units of a value, of either sign: float64 tells them apart."""
MOST_CELLS = 1 << 25
"""Cells of a statement, at most: a few GB and half a minute to prove."""
_LONGEST_NAME = 1000
_MOST_COLUMNS = 1 << 16


@dataclass(frozen=True, kw_only=True)
class Column:
    """A column of numbers: every value is a whole number of units from ``low`` to ``high``.

    Attributes:
        name: Its name.
        low: Smallest value, in units.
        high: Largest value, in units.
        scale: A unit is ``2^-scale``; −60 to 60.
    """

    name: str
    low: int
    high: int
    scale: int

    def __post_init__(self) -> None:
        _check_text("a column's name", self.name)
        for what, most in (("low", LARGEST), ("high", LARGEST), ("scale", 60)):
            _check_number(f"{what} of column {self.name!r}", getattr(self, what), -most, most)
        if self.low > self.high:
            raise ConfigurationError(
                f"column {self.name!r} has a range from {self.low} to {self.high} units."
            )

    @functools.cached_property
    def weights(self) -> tuple[int, ...]:
        """What each bit of ``value − low`` counts."""
        return weights_up_to(self.high - self.low)

    def __str__(self) -> str:
        unit = 2.0**-self.scale
        return f"{self.name} from {self.low * unit:g} to {self.high * unit:g}"


@dataclass(frozen=True, kw_only=True)
class Terms:
    """What every client claims of its data set.

    Attributes:
        records: The fewest records, 1 or more.
        columns: The features, in order.
        classes: The labels, and the fewest records of each; empty where the label is a number.
        target: The label's column, where it is a number.
        exact: Whether the number of records is told.

    Raises:
        ConfigurationError: If it cannot be.

    Example:
        >>> age = Column(name="age", low=0, high=120, scale=0)
        >>> terms = Terms(records=10, columns=(age,), classes=((0, 1), (1, 1)))
        >>> terms == Terms.from_description(terms.describe())
        True
    """

    records: int
    columns: tuple[Column, ...]
    classes: tuple[tuple[int, int], ...] = ()
    target: Column | None = None
    exact: bool = False

    def __post_init__(self) -> None:
        _check_number("records", self.records, 1, MOST_CELLS)
        if len(self.columns) > _MOST_COLUMNS or not all(type(c) is Column for c in self.columns):
            raise ConfigurationError(f"claims are about up to {_MOST_COLUMNS} columns.")
        if type(self.exact) is not bool:
            raise ConfigurationError(f"exact must be True or False, got {self.exact!r}.")
        if bool(self.classes) == (self.target is not None):
            raise ConfigurationError("labels are either of classes or numbers: give one of the two.")
        if self.target is not None and type(self.target) is not Column:
            raise ConfigurationError(f"the target is a Column, got {self.target!r}.")
        for label, fewest in self.classes:
            _check_number("a label", label, -LARGEST, LARGEST)
            _check_number(f"the fewest records of class {label}", fewest, 0, MOST_CELLS)
        labels = [label for label, _ in self.classes]
        if len(labels) > 1 << 12 or sorted(set(labels)) != labels:
            raise ConfigurationError(f"up to {1 << 12} classes, in order and each once; got {labels[:20]}.")
        if sum(fewest for _, fewest in self.classes) > MOST_CELLS:
            raise ConfigurationError("the classes have more records together than any certificate can show.")

    @property
    def numbers(self) -> tuple[Column, ...]:
        """All columns of numbers, the label's last."""
        return self.columns if self.target is None else (*self.columns, self.target)

    @functools.cached_property
    def record_bits(self) -> int:
        """Bits of one record's numbers."""
        return sum(len(column.weights) for column in self.numbers)

    @functools.cached_property
    def counts(self) -> tuple[tuple[int | None, int], ...]:
        """What is counted and its minimum: all records (None), unless told exactly; classes that have one."""
        every = () if self.exact else ((None, self.records),)
        return (*every, *((k, fewest) for k, (_, fewest) in enumerate(self.classes) if fewest))

    @functools.cached_property
    def hash(self) -> bytes:
        """SHA-256 of all of it."""
        return digest("claims", self.to_json())

    def describe(self) -> dict[str, Any]:
        """Return all of it as JSON values."""
        return {
            "records": self.records,
            "columns": [list(asdict(column).values()) for column in self.columns],
            "classes": [list(pair) for pair in self.classes],
            "target": None if self.target is None else list(asdict(self.target).values()),
            "exact": self.exact,
        }

    def to_json(self) -> bytes:
        """Return the description as canonical JSON."""
        return canonical(self.describe())

    @classmethod
    def from_description(cls, told: Any) -> Terms:
        """Return the terms that `describe` returned.

        Raises:
            ConfigurationError: If it is none.
        """
        try:
            records, columns, classes, target, exact = (told[name] for name in cls.__dataclass_fields__)
            made = cls(
                records=records,
                columns=tuple(_column(one) for one in columns),
                classes=tuple((label, fewest) for label, fewest in classes),
                target=None if target is None else _column(target),
                exact=exact,
            )
            same = canonical(told) == made.to_json()
        except (TypeError, ValueError, KeyError) as error:
            raise ConfigurationError(f"these are not the terms of claims: {error}") from error
        if not same:
            raise ConfigurationError("these are not the terms of claims alone.")
        return made

    def explain(self) -> str:
        """Return in words what is shown, and what is not."""
        known = [f"{fewest} of class {label} or more" for label, fewest in self.classes if fewest]
        labels = [str(label) for label, _ in self.classes]
        told = "" if not known else f", among them {', '.join(known)}"
        every = f"each of its {len(self.columns)} features is within the declared range"
        valid = (
            f"labels are {', '.join(labels[:12])}{' and others' if len(labels) > 12 else ''}, one for each"
            if labels
            else f"labels are numbers, {self.target}"
        )
        count = "The number of records is told." if self.exact else "How many more is not told."
        return (
            f"Every client proves, without showing a record, that it holds {self.records} records or more"
            f"{told}; that {every}; that {valid}. {count} Not shown: that the data are true, that records "
            "are distinct, or that training uses them."
        )


def weights_up_to(most: int) -> tuple[int, ...]:
    """Return what bits count whose sums are the numbers from 0 to ``most``, each of them and no other.

    A number is within the range because nothing else can be written; no further constraint is needed. Some
    numbers can be written in two ways.

    Source:
        Lipmaa, Asokan and Niemi, "Secure Vickrey auctions without threshold trust", 2002, section 4, has
        other weights of the same property.

    Example:
        >>> weights_up_to(120), weights_up_to(0)
        ((1, 2, 4, 8, 16, 32, 57), ())
    """
    if not most:
        return ()
    places = most.bit_length()
    return (*(1 << i for i in range(places - 1)), most - (1 << (places - 1)) + 1)


def canonical(value: Mapping[str, Any]) -> bytes:
    """Return JSON values as the one text that stands for them."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True).encode()


def _column(told: Any) -> Column:
    name, low, high, scale = told
    return Column(name=name, low=low, high=high, scale=scale)


def _check_number(what: str, value: Any, low: int, high: int) -> None:
    if type(value) is not int or not low <= value <= high:
        raise ConfigurationError(f"{what} must be a whole number from {low} to {high}, got {value!r}.")


def _check_text(what: str, value: Any) -> None:
    if type(value) is not str or not 0 < len(value) <= _LONGEST_NAME or not value.isprintable():
        raise ConfigurationError(f"{what} must be printable text of 1 to {_LONGEST_NAME} characters.")

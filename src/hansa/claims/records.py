"""A client's rows as whole numbers, checked against what is claimed of them; and as the committed bits."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hansa.claims.terms import Column, Terms
from hansa.crypto.encoding import digest
from hansa.crypto.secret import Secret
from hansa.data.labels import class_labels
from hansa.errors import DataError
from hansa.types import Examples

FEWEST_SLOTS = 16

Bits = NDArray[np.uint8]


@dataclass(frozen=True, eq=False)
class Records:
    """Rows of which claims hold. They do not print.

    Attributes:
        units: Each number minus its column's low, in units, int64, shape ``(n, columns)``.
        labels: Which class each label is, by place among the terms' classes, int64, shape ``(n,)``; empty
            where labels are numbers.
    """

    units: NDArray[np.int64]
    labels: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.units)

    def __repr__(self) -> str:
        return f"Records({len(self)}, not shown)"


def slots_for(count: int, *, exact: bool) -> int:
    """Return for how many records there is room where so many are: told, so that it says little of them.

    Example:
        >>> slots_for(300, exact=False), slots_for(300, exact=True), slots_for(3, exact=False)
        (512, 300, 16)
    """
    return count if exact else max(FEWEST_SLOTS, 1 << (count - 1).bit_length())


def records_of(rows: Examples, terms: Terms) -> Records:
    """Return rows as records, if all that is claimed of them is so.

    Args:
        rows: The rows, before any preprocessing.
        terms: What is claimed.

    Raises:
        DataError: If a claim does not hold; says which, and of which row, and shows no value.
    """
    count = len(rows)
    if count < terms.records:
        raise DataError(
            f"the claim 'records' does not hold: there are {count} rows, of {terms.records} or more."
        )
    if not isinstance(rows.x, np.ndarray) or not isinstance(rows.y, np.ndarray):
        raise DataError("claims are about features and labels in one array each; these are several.")
    x = rows.x.reshape(count, -1)
    if x.shape[1] != len(terms.columns):
        raise DataError(f"claims are about {len(terms.columns)} features; there are {x.shape[1]}.")
    units = [_units(x[:, i], column, "ranges") for i, column in enumerate(terms.columns)]
    if terms.target is None:
        return Records(_stacked(units, count), _labelled(rows.y, terms))
    if rows.y.size != count:
        raise DataError(
            f"the claim 'target' does not hold: labels have the shape {rows.y.shape}, not one number each."
        )
    units.append(_units(rows.y.reshape(count), terms.target, "target"))
    return Records(_stacked(units, count), np.empty(0, np.int64))


def bits_of(values: NDArray[np.int64], column: Column) -> Bits:
    """Return the bits of numbers from 0 to ``high − low`` (`Column.weights`), shape ``(n, bits)``."""
    weights = column.weights
    if not weights:
        return np.empty((len(values), 0), np.uint8)
    top = (values >= 1 << (len(weights) - 1)).astype(np.int64)
    rest = values - top * weights[-1]
    return np.column_stack([(rest[:, None] >> np.arange(len(weights) - 1)) & 1, top]).astype(np.uint8)


def fingerprint(records: Records, terms: Terms, key: Secret) -> str:
    """Return a hash of records that only the owner of a key can compute, hexadecimal.

    A client keeps it to see later whether its rows are still those that it certified.
    """
    values = [np.ascontiguousarray(part, "<i8").tobytes() for part in (records.units, records.labels)]
    return digest("records", key.reveal(), terms.hash, *values).hex()


def _units(values: NDArray[Any], column: Column, claim: str) -> NDArray[np.int64]:
    """Return values in units above the lowest."""
    if np.isnan(values).any():
        raise _refused(
            values, np.isnan(values), column, claim, "missing (NaN); leave such rows out: missing='drop'"
        )
    with np.errstate(over="ignore"):  # an overflow is out of range
        scaled = np.ldexp(values.astype(np.float64), column.scale)
    # What is nearest to an end is at the end; and an end of the range may itself be rounded in float32.
    ends = max(abs(column.low), abs(column.high))
    room = 0.5 + (float(np.finfo(values.dtype).eps) * ends if values.dtype.kind == "f" else 0.0)
    wrong = (scaled < column.low - room) | (scaled > column.high + room)
    if wrong.any():
        raise _refused(values, wrong, column, claim, "out of range")
    return np.clip(np.rint(scaled), column.low, column.high).astype(np.int64) - column.low


def _refused(values: Any, wrong: Any, column: Column, claim: str, why: str) -> DataError:
    return DataError(
        f"the claim {claim!r} does not hold: {int(wrong.sum())} of {len(values)} values of column "
        f"{column} are {why}. The first is in row {int(wrong.argmax()) + 1}."
    )


def _labelled(y: NDArray[Any], terms: Terms) -> NDArray[np.int64]:
    found = class_labels(y)
    if found is None:
        raise DataError(
            "the claim 'classes' does not hold: labels are not classes. Claim a range: target=(low, high)."
        )
    known = np.array([label for label, _ in terms.classes], np.int64)
    places = np.clip(np.searchsorted(known, found), 0, len(known) - 1)
    wrong = known[places] != found
    if wrong.any():
        raise DataError(
            f"the claim 'classes' does not hold: {int(wrong.sum())} of {len(found)} labels are none of "
            f"{known.tolist()[:20]}. The first is in row {int(wrong.argmax()) + 1}."
        )
    for place, (label, fewest) in enumerate(terms.classes):
        count = int((places == place).sum())
        if count < fewest:
            raise DataError(
                f"the claim 'classes' does not hold: class {label} has {count} rows, of {fewest} or more."
            )
    return places.astype(np.int64)


def _stacked(units: list[NDArray[np.int64]], count: int) -> NDArray[np.int64]:
    return np.column_stack(units) if units else np.empty((count, 0), np.int64)

"""How one party divides its own rows into training, validation and test rows."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hansa.data.describe import describe_array
from hansa.data.labels import class_labels
from hansa.errors import ConfigurationError, DataError, UnknownNameError
from hansa.rng import Seeds

SPLITS = ("train", "validation", "test")


@dataclass(frozen=True, kw_only=True)
class Split:
    """Fractions, or the exact rows, of the three splits.

    Attributes:
        train: Fraction of the rows used for training, greater than 0.
        validation: Fraction held out to follow the training.
        test: Fraction held out to the end.
        seed: Seed of the draw; clients of different names draw independently.
        stratify: Whether every class is spread over the splits in the same proportions.
        indices: Exact rows by split name instead of fractions. Rows not named are not used.

    Guarantees:
        The splits are disjoint. The same seed, name and number of rows give the same splits.
        Counts differ from the fractions' share by less than one row, except that every fraction
        above 0 gets at least one row where there are enough rows, training first.

    Raises:
        ConfigurationError: Fractions do not sum to 1, or indices overlap.

    Example:
        >>> rows = Split(train=0.8, test=0.2).rows(10, name="a")
        >>> {name: len(index) for name, index in rows.items()}
        {'train': 8, 'validation': 0, 'test': 2}
    """

    train: float = 1.0
    validation: float = 0.0
    test: float = 0.0
    seed: int = 0
    stratify: bool = False
    indices: Mapping[str, Sequence[int]] | None = None

    def __post_init__(self) -> None:
        Seeds(self.seed)
        if self.indices is not None:
            if self.fractions != (1.0, 0.0, 0.0) or self.stratify:
                raise ConfigurationError(
                    "Split got both indices and fractions (or stratify); give one or the other."
                )
            object.__setattr__(self, "indices", _checked_indices(self.indices))
            return
        for name, value in zip(SPLITS, self.fractions, strict=True):
            if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value <= 1:
                raise ConfigurationError(f"Split.{name} must be a fraction from 0 to 1, got {value!r}.")
        if abs(math.fsum(self.fractions) - 1) > 1e-9:
            raise ConfigurationError(
                f"the fractions of Split must sum to 1, got train={self.train} + validation="
                f"{self.validation} + test={self.test} = {math.fsum(self.fractions):.6g}."
            )
        if self.train == 0:
            raise ConfigurationError("Split.train is 0; a client needs rows to train on.")

    @property
    def fractions(self) -> tuple[float, float, float]:
        """The fractions of training, validation and test rows."""
        return self.train, self.validation, self.test

    @property
    def trains_on_all(self) -> bool:
        """Whether every row is a training row, however many there are and whatever their labels."""
        return self.fractions == (1.0, 0.0, 0.0) and self.indices is None and not self.stratify

    def rows(self, count: int, *, name: str, y: Any = None) -> dict[str, NDArray[np.int64]]:
        """Return the rows of each split.

        Args:
            count: Number of rows of the client.
            name: Name of the client.
            y: Its labels, needed to stratify.

        Raises:
            DataError: No row is left to train on, an index is out of range, or the labels are
                not classes although ``stratify`` is set.
        """
        if self.indices is not None:
            rows = {split: np.asarray(self.indices.get(split, ()), dtype=np.int64) for split in SPLITS}
            _check_range(rows, count, name)
        else:
            order = self._order(count, name, y)
            ends = np.cumsum(_counts(count, self.fractions))[:-1]
            parts = np.split(order, ends)
            rows = {split: np.sort(part) for split, part in zip(SPLITS, parts, strict=True)}
        if not len(rows["train"]):
            raise DataError(
                f"client {name!r} has {count} rows and none to train on; give it rows or leave it out."
            )
        return rows

    def _order(self, count: int, name: str, y: Any) -> NDArray[np.int64]:
        stream = Seeds(self.seed).stream("split", name)
        shuffled = stream.permutation(count)
        if not self.stratify:
            return shuffled
        classes = class_labels(y)
        if classes is None:
            raise DataError(
                f"client {name!r}: stratify needs labels that are classes: integers, 0/1, or one-hot rows. "
                "Use stratify=False for other labels."
            )
        # Spread the rows of each class evenly, with a random phase, over [0, 1): any stretch of
        # the rows in this order then holds every class in nearly its own proportion.
        place = np.empty(count)
        for label in np.unique(classes):
            members = shuffled[classes[shuffled] == label]
            place[members] = (np.arange(len(members)) + stream.random()) / len(members)
        return shuffled[np.argsort(place[shuffled], kind="stable")]

    def describe(self) -> dict[str, Any]:
        """Return the fractions and the seed, or hashes of the indices."""
        if self.indices is not None:
            arrays = {key: np.asarray(value, dtype=np.int64) for key, value in self.indices.items()}
            return {"indices": {key: describe_array(array) for key, array in arrays.items()}}
        fractions = {name: float(value) for name, value in zip(SPLITS, self.fractions, strict=True)}
        return {**fractions, "seed": int(self.seed), "stratify": bool(self.stratify)}


def _counts(count: int, fractions: Sequence[float]) -> list[int]:
    """Round ``count * fraction`` by largest remainder, one row at least where there are enough."""
    wanted = [i for i, fraction in enumerate(fractions) if fraction > 0]
    if count < len(wanted):  # training first, then the larger of the others
        first = sorted(wanted, key=lambda i: (i != 0, -fractions[i]))[:count]
        return [int(i in first) for i in range(len(fractions))]
    quotas = [count * fraction for fraction in fractions]
    counts = [math.floor(quota) for quota in quotas]
    by_remainder = sorted(wanted, key=lambda i: counts[i] - quotas[i])
    for i in by_remainder[: count - sum(counts)]:
        counts[i] += 1
    for i in wanted:
        if counts[i] == 0:
            counts[counts.index(max(counts))] -= 1
            counts[i] = 1
    return counts


def _checked_indices(indices: Mapping[str, Sequence[int]]) -> dict[str, tuple[int, ...]]:
    seen: dict[int, str] = {}
    checked: dict[str, tuple[int, ...]] = {}
    if not isinstance(indices, Mapping):
        raise ConfigurationError(
            f"indices must map splits to row numbers, as in {{'train': [0], 'test': [1]}}; got {indices!r}."
        )
    for split, values in indices.items():
        if split not in SPLITS:
            raise UnknownNameError("split in indices", split, SPLITS)
        try:
            array = np.asarray(values)
        except ValueError as error:
            raise ConfigurationError(
                f"indices[{split!r}] must be a list of row numbers ({error})."
            ) from error
        if array.ndim != 1 or (array.size and array.dtype.kind not in "iu"):
            raise ConfigurationError(
                f"indices[{split!r}] must be a list of row numbers (integers), got shape {array.shape} "
                f"of type {array.dtype.name}. Turn a mask into numbers with numpy.flatnonzero."
            )
        checked[split] = tuple(int(row) for row in array)
        for row in checked[split]:
            if row in seen:
                raise ConfigurationError(
                    f"row {row} is in indices[{split!r}] and already in indices[{seen[row]!r}]; "
                    "a row may be used once."
                )
            seen[row] = split
    if not checked.get("train"):
        raise ConfigurationError("indices has no rows for 'train'; a client needs rows to train on.")
    return checked


def _check_range(rows: Mapping[str, NDArray[np.int64]], count: int, name: str) -> None:
    for split, index in rows.items():
        if len(index) and (index.min() < 0 or index.max() >= count):
            bad = int(index.min()) if index.min() < 0 else int(index.max())
            raise DataError(
                f"client {name!r}: indices[{split!r}] names row {bad}, but the client has {count} rows "
                f"(numbers from 0 to {count - 1})."
            )

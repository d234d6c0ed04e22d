"""How many rows have each class: one sum of counts."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hansa.data.client import as_clients
from hansa.data.labels import class_labels
from hansa.errors import ConfigurationError, DataError, UnknownNameError
from hansa.privacy import Noise
from hansa.secure_sum import SecureSum, as_secure_sum
from hansa.statistics.columns import as_splits, parts, read
from hansa.statistics.limbs import decode_counts, encode_counts
from hansa.statistics.released import Paid, Released, noise_of, pay
from hansa.statistics.sums import PLAIN, add
from hansa.types import ClientData

MOST_CLASSES = 1 << 16

Labels = NDArray[np.int64]


@dataclass(frozen=True, kw_only=True, eq=False)
class ClassCounts:
    """Rows by class.

    Attributes:
        classes: The classes, increasing.
        counts: Rows of each, int64, shape ``(len(classes),)``.
        other: Rows of other classes.
        released: With noise, what it promises; all counts can be negative then.
    """

    classes: tuple[int, ...]
    counts: Labels
    other: int
    released: Released | None = None

    def __getitem__(self, label: int) -> int:
        """Return the rows of a class."""
        if label not in self.classes:
            raise UnknownNameError("class", str(label), map(str, self.classes))
        return int(self.counts[self.classes.index(label)])

    def to_json(self) -> dict[str, Any]:
        """Return rows by class, and those of others."""
        by_class = dict(zip(map(str, self.classes), self.counts.tolist(), strict=True))
        return {"classes": by_class, "other": self.other}


def class_counts(
    clients: Any,
    *,
    classes: Iterable[int] | None = None,
    splits: Any = "train",
    secure_sum: SecureSum | str = PLAIN,
    privacy: Noise | None = None,
    ledger: Paid = None,
) -> ClassCounts:
    """Return how many rows of all clients have each class.

    Args:
        clients: As in `hansa.statistics.count`, like all that follow ``classes``.
        classes: The classes, which are public; rows of others count as such. None takes the union of the
            classes that clients have; not with noise, for a row can be the only one of its class.
        splits: Which rows.
        secure_sum: How sums come about.
        privacy: Noise.
        ledger: What it is charged to.

    Raises:
        ConfigurationError: As `hansa.statistics.count`, or classes are not different integers, or too many.
        DataError: As `hansa.statistics.count`, or a client's labels are not classes
            (`hansa.data.labels.class_labels`).

    Leaks:
        To the server: with a plain sum each client's counts, else their sum (see `hansa.statistics.limbs`).
        Where ``classes`` is left out, also which classes each client has: give them to keep that from it. In
        a federation data cards tell the server each client's counts by class anyway.
        To everyone: the result.
    """
    noise = noise_of(privacy, ledger=ledger)
    if noise is not None and classes is None:
        raise ConfigurationError("counts of classes with noise need classes=..., the public ones.")
    through, wanted = as_secure_sum(secure_sum), as_splits(splits)
    known = None if classes is None else _checked(classes)
    loaded = read(as_clients(clients), through if noise is None else None)
    labels = {name: _labels(data, wanted, name) for name, data in loaded.items()}
    if not any(map(len, labels.values())):
        raise DataError(f"no client has rows in its split {' or '.join(map(repr, wanted))}.")
    public = _union(labels) if known is None else known
    if noise is not None:
        pay(noise, ledger, labels)
    vectors = {name: encode_classes(own, public) for name, own in labels.items()}
    counts = decode_counts(add(vectors, through, "statistics: class counts").reshape(-1, 2))
    if noise is None:
        return classes_of(counts, public)
    from hansa.statistics.noisy_counts import noisy_cells

    told, promise = noisy_cells(
        counts, noise, through, columns=1, what="numbers of rows by class", label="classes"
    )
    return replace(classes_of(told, public), released=promise)


# client half
def encode_classes(labels: Labels, classes: Labels) -> NDArray[np.int64]:
    """Return limbs of the rows of each class, and of others."""
    place = np.minimum(np.searchsorted(classes, labels), len(classes) - 1)
    at = np.where(classes[place] == labels, place, len(classes))
    return encode_counts(np.bincount(at, minlength=len(classes) + 1)).reshape(-1)


# server half
def classes_of(counts: NDArray[np.int64], classes: Labels) -> ClassCounts:
    """Return the counts that those of `encode_classes` are."""
    return ClassCounts(classes=tuple(classes.tolist()), counts=counts[:-1], other=int(counts[-1]))


def _labels(data: ClientData, splits: tuple[str, ...], client: str) -> Labels:
    chosen = parts(data, splits)
    if not chosen:
        return np.zeros(0, np.int64)
    labels = [part.y for part in chosen]
    classes = class_labels(np.concatenate(labels)) if isinstance(labels[0], np.ndarray) else None
    if classes is None:
        raise DataError(
            f"client {client!r}: its labels are not classes, which are integers, 0 and 1, or one-hot rows."
        )
    return classes


def _union(labels: Mapping[str, Labels]) -> Labels:
    return _checked(np.unique(np.concatenate(list(labels.values()))))


def _checked(classes: Any) -> Labels:
    given = np.asarray(list(classes) if isinstance(classes, Iterable) else [])
    if given.ndim != 1 or not 0 < len(given) <= MOST_CLASSES or given.dtype.kind not in "iu":
        raise ConfigurationError(f"classes must be 1 to {MOST_CLASSES:,} integers, got {classes!r}.")
    unique = np.unique(given.astype(np.int64))
    if len(unique) < len(given):
        raise ConfigurationError(f"classes must be different, got {classes!r}.")
    return unique

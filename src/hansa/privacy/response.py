"""Labels that are sometimes another's: noise that each client adds itself, before anybody sees its labels."""

from __future__ import annotations

import dataclasses
import hashlib
import os
from collections.abc import Iterable
from typing import Any, Protocol, final

import numpy as np
from numpy.typing import NDArray

from hansa.errors import ConfigurationError, DataError
from hansa.privacy.account import Account, charge
from hansa.privacy.budget import is_real, is_whole
from hansa.privacy.events import Pure
from hansa.privacy.ledger import Ledger
from hansa.privacy.mechanism import source_of
from hansa.types import Examples, map_arrays

MOST_CLASSES = 1 << 16
_MOST_EPSILON = 1024.0


def randomised_response(
    labels: Any,
    *,
    classes: int | Iterable[int],
    epsilon: float,
    ledger: Ledger | Account | None = None,
    seed: int | None = None,
) -> NDArray[Any]:
    """Return labels of which each is kept with some probability, and else becomes a random other one.

    Do so once, and keep what comes out: each further time costs epsilon again.

    Args:
        labels: Classes, shape ``(n,)`` or ``(n, 1)``: integers, or floats that are whole.
        classes: All classes there can be, which are public: their number ``k`` for 0 to ``k - 1``, or
            different integers; at least 2.
        epsilon: The privacy loss of each label, above 0.
        ledger: What is charged `Pure` epsilon: a `Ledger`, or an `Account` for zero-out or replace, since how
            many labels there are is seen. Rows of several clients are different records: charge one of the
            calls for all of them.
        seed: For simulations; who knows it can tell which labels were kept.

    Returns:
        Labels of the same shape and dtype.

    Raises:
        ConfigurationError: Classes or epsilon are not of the right form.
        DataError: A label is not one of the classes.
        BudgetError: The account has not enough left.

    Guarantees:
        Each label is epsilon-DP by itself, whoever sees the result, the client's server included: it is kept
        with probability ``e^epsilon / (e^epsilon + k - 1)``, exactly, and any other is as likely as the next.

    Source:
        Warner 1965, Randomized response; Kairouz, Bonawitz and Ramage 2016, Discrete distribution estimation
        under local privacy.

    Example:
        >>> randomised_response([0, 1, 2, 1], classes=3, epsilon=2.0, seed=1).shape
        (4,)
    """
    from hansa.privacy.noise import randomised_response as respond

    known = _classes(classes)
    _check_epsilon(epsilon)
    given = np.asarray(labels)
    if given.ndim not in (1, 2) or (given.ndim == 2 and given.shape[1] != 1) or given.dtype.kind not in "iuf":
        raise DataError(
            f"labels must be classes of shape (n,) or (n, 1), got {given.dtype} of shape {given.shape}. "
            "Of one-hot rows take argmax(axis=1)."
        )
    flat = given.reshape(-1)
    place = np.minimum(np.searchsorted(known, flat), len(known) - 1)
    if (known[place] != flat).any():
        raise DataError("a label is not one of the classes; name all classes there can be.")
    source = source_of(seed, "randomised response")
    charge(ledger, Pure(epsilon=epsilon), neighbours="zero-out")  # and replace: `Pure` is for both
    drawn = known[respond(place, len(known), epsilon, source)]
    return drawn.astype(given.dtype).reshape(given.shape)


def debias(counts: Any, *, epsilon: float) -> NDArray[np.float64]:
    """Return what counts of classes were before randomised response, without bias.

    Args:
        counts: How many randomised labels have each of all classes, shape ``(k,)``.
        epsilon: That of `randomised_response`.

    Returns:
        Estimates, shape ``(k,)``, with the same sum. They can be negative, for they are unbiased.

    Raises:
        ConfigurationError: Counts or epsilon are not of the right form.

    Guarantees:
        Their expectation is the true count of each class. An estimate's deviation is at most
        ``sqrt(n) (e^epsilon + k - 1) / (2 (e^epsilon - 1))`` of ``n`` labels.

    Source:
        Kairouz, Bonawitz and Ramage 2016, section 4.1.

    Example:
        >>> debias([60, 40], epsilon=1.0).round(1).tolist()
        [71.6, 28.4]
    """
    _check_epsilon(epsilon)
    told = np.asarray(counts)
    if told.ndim != 1 or len(told) < 2 or told.dtype.kind not in "iuf" or not np.isfinite(told).all():
        raise ConfigurationError(f"counts must be 2 or more numbers, one for each class, got {counts!r}.")
    other = np.exp(-float(epsilon))  # how likely a false class is, compared with the true one
    true = 1 / (1 + (len(told) - 1) * other)
    return (told - told.sum() * true * other) / (true * (1 - other))


class _Source(Protocol):
    def load(self) -> Examples: ...
    def describe(self) -> dict[str, Any]: ...


@final
class RandomisedLabels:
    """A client's source with `randomised_response` on its labels: those of all its rows, test rows included.

        hansa.data.Client("a", hansa.privacy.RandomisedLabels(source, classes=2, epsilon=2.0, key=key))

    Args:
        source: Where the rows come from.
        classes: As in `randomised_response`.
        epsilon: As there. It is spent once, however often the rows are loaded.
        key: 32 secret bytes of the client, from ``os.urandom(32)``, to be kept where its rows are: the same
            key gives the same labels again, also in another process. None draws one for this object.

    Guarantees:
        The same rows get the same labels at every `load`; other rows get unrelated noise.
    """

    def __init__(
        self, source: _Source, *, classes: int | Iterable[int], epsilon: float, key: bytes | None = None
    ) -> None:
        """Wrap a source."""
        _check_epsilon(epsilon)
        if key is not None and (not isinstance(key, bytes) or len(key) != 32):
            raise ConfigurationError("the key of RandomisedLabels is 32 bytes: os.urandom(32), kept.")
        self.source, self.epsilon = source, epsilon
        self.classes = tuple(_classes(classes).tolist())
        self._key = os.urandom(32) if key is None else key

    def load(self) -> Examples:
        """Return all rows, with randomised labels."""
        from hansa.crypto.encoding import digest

        rows = self.source.load()
        if not isinstance(rows.y, np.ndarray):
            raise DataError("RandomisedLabels takes rows with one array of labels.")
        # So that a stream of noise is never used for two sets of labels.
        of = digest("hansa.privacy.randomised-labels", self._key, rows.y.tobytes())
        seed = int.from_bytes(of, "little")
        y = randomised_response(rows.y, classes=self.classes, epsilon=self.epsilon, seed=seed)
        return dataclasses.replace(rows, y=y)

    def describe(self) -> dict[str, Any]:
        """Return the declaration, and a hash of randomised rows: true labels could be guessed from one."""
        rows, hashed = self.load(), hashlib.sha256()
        map_arrays((rows.x, rows.y), lambda array: hashed.update(np.ascontiguousarray(array).tobytes()))
        told = {"classes": list(self.classes), "epsilon": self.epsilon, "sha256": hashed.hexdigest()}
        return {"kind": "randomised-labels", "source": type(self.source).__name__, **told}

    def __repr__(self) -> str:
        return f"RandomisedLabels({self.source!r}, classes={self.classes}, epsilon={self.epsilon})"


def _classes(classes: Any) -> NDArray[np.int64]:
    if is_whole(classes):
        classes = range(classes) if 2 <= classes <= MOST_CLASSES else ()
    given = np.asarray(list(classes) if isinstance(classes, Iterable) else [])
    if given.ndim != 1 or not 2 <= len(given) <= MOST_CLASSES or given.dtype.kind not in "iu":
        raise ConfigurationError(f"classes must be 2 to {MOST_CLASSES:,} integers, got {classes!r}.")
    unique = np.unique(given.astype(np.int64))
    if len(unique) < len(given):
        raise ConfigurationError(f"classes must be different, got {classes!r}.")
    return unique


def _check_epsilon(epsilon: Any) -> None:
    if not is_real(epsilon) or not 0 < epsilon <= _MOST_EPSILON:
        raise ConfigurationError(
            f"epsilon of randomised response must be a number above 0, at most {_MOST_EPSILON:g}, got "
            f"{epsilon!r}."
        )

"""Randomised response: labels that are sometimes another's."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import numpy as np

from hansa.errors import ConfigurationError, DataError
from hansa.privacy.noise.exact import Uniform, exponential
from hansa.privacy.noise.law import Integers, checked
from hansa.privacy.noise.source import Bytes, Source, derived, new_key, words

MARGIN = 2.0**-48
"""More than the error of the probability to keep a label and of a level in float64, a few ``2**-53``."""

LEAST, MOST = -40, 10
"""Epsilon is between these powers of two."""

MOST_CLASSES = 1 << 31


def randomised_response(values: Any, classes: int, epsilon: Fraction | float, source: Bytes) -> Integers:
    """Return labels of which each is kept with some probability and otherwise replaced by a random other one.

    Each label by itself is epsilon-differentially private, whoever sees the result.

    Args:
        values: Labels, whole numbers from 0 to below ``classes``, shape ``(n,)``.
        classes: How many labels there are, from 2 to ``2**31``.
        epsilon: From ``2**-40`` to ``2**10``.
        source: Where random bytes come from: `system_source`, or a key's `Source` in simulation and tests.

    Returns:
        Labels, ``int64``, shape ``(n,)``.

    Raises:
        ConfigurationError: The classes, epsilon or the source are none of these.
        DataError: The values are.

    Guarantees:
        A label is kept with probability exactly ``exp(epsilon) / (exp(epsilon) + classes - 1)``, and every
        other one is as likely as the next, if the source's bytes are uniform. The work is the same for all
        labels, but for fewer than one in ``2**32``. The same bytes give the same labels.

    Source:
        Warner, 1965; Kairouz, Bonawitz and Ramage, Discrete distribution estimation under local privacy,
        2016.

    Example:
        >>> from hansa.privacy.noise.source import Source
        >>> randomised_response([0, 1, 2, 1], 3, 2.0, Source(bytes(32))).shape
        (4,)
    """
    labels = _labels(values, classes)
    exact = checked("the epsilon", epsilon, LEAST, MOST)
    key = new_key(source)
    drawn = words(key, 0, 2 * len(labels)).reshape(-1, 2)
    keep = 1 / (1 + (classes - 1) * float(np.exp(-float(exact))))
    lead = keep - drawn[:, 0] * np.float64(2.0**-64)
    kept = lead > 0
    step = (drawn[:, 1] % np.uint64(classes - 1)).view(np.int64) + 1
    limit = np.uint64(2**64 - 1 - 2**64 % (classes - 1))
    for i in np.flatnonzero((np.abs(lead) < MARGIN) | (drawn[:, 1] > limit)):
        extra = Source(derived(key, "undecided", int(i)))
        kept[i] = _is_kept(exact, classes, Uniform(int(drawn[i, 0]), extra))
        step[i] = 1 + _other(classes - 1, int(drawn[i, 1]), extra)
    return np.where(kept, labels, (labels + step) % classes)


def _labels(values: Any, classes: Any) -> Integers:
    if isinstance(classes, bool) or not isinstance(classes, int) or not 2 <= classes <= MOST_CLASSES:
        raise ConfigurationError(f"randomised response takes from 2 to 2**31 classes, got {classes!r}.")
    labels = np.asarray(values)
    if labels.ndim != 1 or (labels.size and labels.dtype.kind not in "iu"):
        raise DataError(
            f"labels are whole numbers in one dimension, got {labels.dtype} of shape {labels.shape}."
        )
    if labels.size and not 0 <= labels.min() <= labels.max() < classes:
        raise DataError(
            f"labels are from 0 to {classes - 1}, got some from {labels.min()} to {labels.max()}."
        )
    return labels.astype(np.int64)


def _is_kept(epsilon: Fraction, classes: int, level: Uniform) -> bool:
    """Decide exactly whether a level is below the probability to keep a label."""
    while True:
        low, high = exponential(epsilon, level.bits + 32)
        one = 1 << level.bits + 32
        if level.above() * (one + (classes - 1) * high) <= one:
            return True
        if level.below() * (one + (classes - 1) * low) >= one:
            return False
        level.extend()


def _other(count: int, word: int, extra: Source) -> int:
    """Return a uniform number below a count, from the first word that is below a multiple of it."""
    while word >= 2**64 - 2**64 % count:
        word = int.from_bytes(extra(8), "little")
    return word % count

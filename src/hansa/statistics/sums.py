"""The one way from the clients' integers to their sum."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from hansa.engine.parties import sum_vectors
from hansa.errors import ConfigurationError, VoidRoundError
from hansa.secure_sum import Plain, SecureSum
from hansa.statistics.limbs import BOUND

PLAIN = Plain()


def add(vectors: Mapping[str, NDArray[np.int64]], secure_sum: SecureSum, label: str) -> NDArray[np.int64]:
    """Return the sum of the clients' limbs.

    Args:
        vectors: Limbs by client, int64, shape ``(d,)``, below `BOUND` in magnitude.
        secure_sum: How the sum comes about.
        label: What is summed, for the messages and for what is told when it does not work.

    Raises:
        ConfigurationError: If such a sum does not fit or would not protect.
        VoidRoundError: If not all clients are in the sum.
    """
    try:
        total = sum_vectors(secure_sum, vectors, bound=BOUND, label=label)
    except ConfigurationError as error:
        raise ConfigurationError(f"{label}: {error}") from error
    if total.count != len(vectors):
        raise VoidRoundError(f"{label}: {total.count} of {len(vectors)} clients are in the sum.")
    return total.vector.astype(np.int64)  # exact: sums of limbs of 2^37 clients are below 2^53

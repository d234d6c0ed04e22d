"""Secret sharing of vectors: any ``threshold`` holders restore them, fewer learn nothing.

Source:
    Shamir, "How to share a secret", 1979. Restoring with wrong shares is Reed–Solomon decoding (McEliece
    and Sarwate, 1981); the wrong holders are found on random combinations of the coordinates.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numba import njit

from hansa.crypto import arithmetic, field
from hansa.crypto.encoding import encoded
from hansa.crypto.field import Field
from hansa.crypto.reed_solomon import weights_at_zero, wrong_positions
from hansa.crypto.sampling import public_elements, secret_elements


class ShareError(ValueError):
    """Shares from which the secret cannot be restored, or a sharing that cannot be."""


@dataclass(frozen=True, kw_only=True)
class Restored:
    """What came of shares.

    Attributes:
        secret: The vector, shape ``(L,)``.
        wrong: Positions of the shares that are not on its polynomial, in order.
    """

    secret: Field
    wrong: tuple[int, ...]


def share(
    secret: Field,
    points: Sequence[int],
    threshold: int,
    random: Callable[[int], Field] = secret_elements,
) -> Field:
    """Return one share for each holder.

    Args:
        secret: The vector, shape ``(L,)``.
        points: The holders' places on the polynomials: distinct, from 1 to p − 1.
        threshold: How many restore the secret.
        random: Returns so many uniform elements; another one than the operating system's is for tests.

    Returns:
        Shares, shape ``(len(points), L)``, each coordinate shared by a polynomial of its own.

    Guarantees:
        Any ``threshold - 1`` shares are uniform and independent of the secret.
    """
    _check(points, threshold)
    rows = np.empty((threshold, len(secret)), np.uint64)
    rows[0] = secret
    rows[1:] = random((threshold - 1) * len(secret)).reshape(threshold - 1, len(secret))
    out = np.empty((len(points), len(secret)), np.uint64)
    _evaluate(rows, np.array(points, np.uint64), out)
    return out


def restore(points: Sequence[int], shares: Field, threshold: int) -> Restored:
    """Return the secret, in spite of up to ``(len(points) - threshold) // 2`` wrong shares.

    Args:
        points: The holders' places.
        shares: What they gave, shape ``(len(points), L)``.
        threshold: How many restore the secret.

    Raises:
        ShareError: If there are fewer than ``threshold``, or more are wrong than can be located.

    Guarantees:
        If at most ``(len(points) - threshold) // 2`` shares are wrong, the secret is the one that was shared,
        and they are named, but for a chance of 2^-110 for each guess of someone who makes wrong shares.
        The result is a function of the arguments: anyone gets the same.
    """
    _check(points, threshold)
    if shares.shape[0] != len(points):
        raise ShareError(f"{len(points)} points have {shares.shape[0]} shares")
    if not field.is_canonical(shares):
        raise ShareError("a share is not an array of field elements below the prime")
    wrong: set[int] = set()
    if len(points) > threshold:
        # All points and shares are hashed: who makes a wrong share cannot know what it is multiplied by.
        seed = encoded("shamir.locate", threshold, *map(int, points), np.ascontiguousarray(shares).tobytes())
        weights = public_elements(seed, 2 * shares.shape[1]).reshape(2, -1)
        for row in weights:
            found = wrong_positions(list(points), [int(v) for v in field.inner(row, shares)], threshold)
            if found is None:
                most = (len(points) - threshold) // 2
                raise ShareError(
                    f"of {len(points)} shares more than {most} are wrong; with a threshold of {threshold} no "
                    "more can be told from the others"
                )
            wrong.update(found)
        if len(wrong) > (len(points) - threshold) // 2:
            raise ShareError(f"{len(wrong)} of {len(points)} shares are wrong: more than can be corrected")
    good = [i for i in range(len(points)) if i not in wrong][:threshold]
    secret = field.combine(weights_at_zero([points[i] for i in good]), shares[good])
    return Restored(secret=secret, wrong=tuple(sorted(wrong)))


def _check(points: Sequence[int], threshold: int) -> None:
    if threshold < 1 or threshold > len(points):
        raise ShareError(f"a threshold of {threshold} does not fit {len(points)} holders")
    if len(set(points)) != len(points) or not all(0 < point < arithmetic.P for point in points):
        raise ShareError("holders need distinct places from 1 to p - 1")


@njit(cache=True, nogil=True)
def _evaluate(rows: Any, points: Any, out: Any) -> None:
    last = rows.shape[0] - 1
    for i in range(len(points)):
        point = points[i]
        for j in range(rows.shape[1]):
            out[i, j] = rows[last, j]
        for k in range(last - 1, -1, -1):
            for j in range(rows.shape[1]):
                out[i, j] = arithmetic.add(arithmetic.mul(out[i, j], point), rows[k, j])

"""A client's two secrets as shares: the seed of its self-mask, and its private mask key.

A secret of 32 bytes is five field elements: seven bytes each, the last four. All are below 2^56 and so below
the prime: nothing is lost, and what is not below was never a secret.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from hansa.crypto import field, shamir
from hansa.crypto.field import Field
from hansa.crypto.sampling import secret_elements
from hansa.crypto.secret import Secret
from hansa.crypto.shamir import ShareError

SECRET = 32
"""Bytes of a secret."""
ELEMENTS = 5
"""Field elements of a secret, and of a share of it."""
BYTES = 8 * 2 * ELEMENTS
"""Bytes of a share of both secrets."""

_PIECE = 7
_STARTS = range(0, SECRET, _PIECE)


def to_elements(secret: Secret) -> Field:
    r"""Return 32 bytes as field elements.

    Example:
        >>> to_elements(Secret(b"\1" + bytes(31))).tolist()
        [1, 0, 0, 0, 0]
    """
    data = secret.reveal()
    if len(data) != SECRET:
        raise ShareError(f"a secret has {SECRET} bytes, got {len(data)}")
    return np.array([int.from_bytes(data[i : i + _PIECE], "little") for i in _STARTS], np.uint64)


def from_elements(elements: Field) -> Secret:
    """Return the 32 bytes that field elements are.

    Raises:
        ShareError: If they are those of no secret.
    """
    out = b""
    for start, element in zip(_STARTS, elements.tolist(), strict=True):
        size = min(_PIECE, SECRET - start)
        if element >> (8 * size):
            raise ShareError("what was restored is no secret")
        out += element.to_bytes(size, "little")
    return Secret(out)


def deal(
    seed: Secret,
    key: Secret,
    points: Sequence[int],
    threshold: int,
    random: Callable[[int], Field] = secret_elements,
) -> Field:
    """Return the holders' shares of both secrets, shape ``(len(points), 10)``: of the seed, then of the key.

    Args:
        seed: Of the self-mask.
        key: The private mask key.
        points: The holders' places on the polynomials.
        threshold: How many restore a secret.
        random: Returns uniform elements; another one than the operating system's is for tests.
    """
    return shamir.share(np.concatenate([to_elements(seed), to_elements(key)]), points, threshold, random)


def to_bytes(share: Field) -> bytes:
    """Return a share of both secrets as it is put in an envelope."""
    return share.astype("<u8").tobytes()


def from_bytes(data: bytes) -> Field | None:
    """Return a share of both secrets, or None if the bytes are none."""
    share = np.frombuffer(data, "<u8").astype(np.uint64)
    return share if share.shape == (2 * ELEMENTS,) and field.is_canonical(share) else None


def is_share(share: object) -> bool:
    """Whether something is a share of one secret."""
    # The shape first: an array may claim more elements than it has bytes.
    return getattr(share, "shape", None) == (ELEMENTS,) and field.is_canonical(share)


def restore(
    points: Sequence[int], shares: Field, threshold: int, good: Callable[[Secret], bool]
) -> tuple[Secret, tuple[int, ...]]:
    """Return a secret that its check finds good, and the positions of the shares that are wrong.

    Twice the threshold is more than all shares, so that the first and the last threshold of them are all: if
    both restore the secret no single share is wrong, and the slower decoding is not needed.

    Args:
        points: The holders' places.
        shares: What they gave, shape ``(len(points), 5)``.
        threshold: How many restore the secret.
        good: Whether a secret is the one that was dealt.

    Raises:
        ShareError: If no secret is found that is good.
    """
    ends = [slice(0, threshold), slice(len(points) - threshold, len(points))]
    tried = [_tried(points[end], shares[end], threshold, good) for end in ends]
    if tried[0] and tried[1] and 2 * threshold >= len(points):
        return tried[0][0], ()
    found = _tried(points, shares, threshold, good)
    if found:
        return found
    for one in tried:
        if one:
            return one[0], ()
    raise ShareError("what was restored is not what was dealt")


def _tried(
    points: Sequence[int], shares: Field, threshold: int, good: Callable[[Secret], bool]
) -> tuple[Secret, tuple[int, ...]] | None:
    try:
        restored = shamir.restore(points, shares, threshold)
        secret = from_elements(restored.secret)
    except ShareError:
        return None
    return (secret, restored.wrong) if good(secret) else None

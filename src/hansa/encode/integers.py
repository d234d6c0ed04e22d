"""Exact norms, and whether a sum of integers fits below a modulus: what R2 rests on.

Nothing here rounds or wraps, whatever the input.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from hansa.encode.checks import IntegerVector, check_integers, whole_number
from hansa.errors import ConfigurationError, UpdateError

GOLDILOCKS = 2**64 - 2**32 + 1
"""The modulus of the sealed sum."""
MODULUS_32 = 2**32
"""The modulus of 32-bit masks; signed sums must fit below 2**31."""
MODULUS_64 = 2**64
"""The modulus of 64-bit masks, and of int64 itself; signed sums must fit below 2**63."""


def square_norm(vector: IntegerVector) -> int:
    """Return the sum of the squares of an integer vector, exactly.

    Args:
        vector: Int64, shape ``(d,)``, any values; d below ``2**32``.

    Returns:
        A Python integer, which may be beyond 64 bits.

    Guarantees:
        It equals the sum computed in Python integers, for all values of int64.

    Example:
        >>> square_norm(np.array([3, -4])), square_norm(np.array([-(2**63)])) == 2**126
        (25, True)
    """
    check_integers(vector, "the integer vector")
    largest = max(-int(vector.min()), int(vector.max()))
    if largest * largest * vector.size < 2**63:
        return int(np.dot(vector, vector))
    # |x| = 2**32 a + b with a <= 2**31 and b < 2**32, so that each product below is less than 2**64.
    # uint64 has room for 2**63, which is what the magnitude of -2**63 becomes here.
    size = np.where(vector < 0, np.negative(vector.view(np.uint64)), vector.view(np.uint64))
    a, b = size >> np.uint64(32), size & np.uint64(2**32 - 1)
    return (_exact_sum(a * a) << 64) + (_exact_sum(a * b) << 33) + _exact_sum(b * b)


def largest_each(vector: IntegerVector) -> int:
    """Return the largest magnitude in an int64 vector, as a Python integer (that of ``-2**63`` fits too).

    Example:
        >>> largest_each(np.array([3, -7]))
        7
    """
    check_integers(vector, "the integer vector")
    return max(-int(vector.min()), int(vector.max()))


def check_room(bound: int, clients: int, *, modulus: int, factor: int = 1, error: int = 0) -> int:
    """Check that a signed sum cannot wrap around a modulus, before anything is summed.

    A sum of u values of at most ``bound`` each, times ``factor`` (the scale Δ of the sealed sum) with an
    ``error`` added, is recovered from its residue if and only if it lies strictly within half the modulus:
    ``2 · (u · bound · factor + error) < modulus``.

    Args:
        bound: Largest magnitude of one client's value, 0 or more.
        clients: Largest number of clients in the sum, 1 or more.
        modulus: `GOLDILOCKS`, `MODULUS_32`, `MODULUS_64`, or another, 2 or more.
        factor: What each value is multiplied by, 1 or more. The sealed sum has Δ.
        error: Largest magnitude of what is added to the sum, 0 or more. The sealed sum has Δ/2.

    Returns:
        The largest number of clients for which it would still fit (``clients`` or more).

    Raises:
        ConfigurationError: It does not fit; the message has the numbers and the way out.

    Guarantees:
        If it returns, the sum of any ``clients`` values within the bound is recovered; with one client
        more than it returns, some sum is not.

    Example:
        >>> check_room(2**15, 100, modulus=MODULUS_32)
        65535
        >>> check_room(2**26, 100, modulus=GOLDILOCKS, factor=2**26, error=2**25)
        2047
    """
    bound, clients = whole_number("bound", bound, low=0), whole_number("clients", clients)
    modulus, factor = whole_number("modulus", modulus, low=2), whole_number("factor", factor)
    error = whole_number("error", error, low=0)
    most = (modulus - 1) // 2  # the largest magnitude strictly below half the modulus
    if clients * bound * factor + error <= most:
        return clients if bound == 0 else (most - error) // (bound * factor)
    fit = max(0, (most - error) // (bound * factor)) if bound else 0
    raise ConfigurationError(
        f"{clients} clients times a bound of {bound}{f' times a factor of {factor}' if factor > 1 else ''}"
        f"{f' and an error of {error}' if error else ''} sum to {clients * bound * factor + error}, which is "
        f"not below half the modulus, {modulus} / 2; the sum would wrap around. At most {fit} clients fit: "
        "take a smaller cohort, fewer bits, a coarser scale or a larger modulus."
    )


def check_total(total: Any, count: int, *, bound_l2: int, bound_each: int) -> IntegerVector:
    """Check that a sum can be the sum of so many vectors within their bounds.

    A sum that fails was forged or decrypted wrongly, and the round is void. One that passes is not
    proven right by that.

    Args:
        total: The sum, int64, shape ``(d,)``.
        count: Number of vectors in it, 0 or more.
        bound_l2: Bound on the norm of each vector.
        bound_each: Bound on the magnitude of each coordinate of each vector.

    Returns:
        The sum.

    Raises:
        UpdateError: It is malformed, or beyond ``count`` times a bound.
        ConfigurationError: A count or bound is not an integer of 0 or more.

    Guarantees:
        Decided in exact integers: ``‖total‖² <= (count · bound_l2)²``, ``|total_j| <= count · bound_each``.

    Example:
        >>> check_total(np.array([6, 8]), 2, bound_l2=5, bound_each=4).tolist()
        [6, 8]
    """
    check_integers(total, "the sum")
    count = whole_number("count", count, low=0)
    norm = count * whole_number("bound_l2", bound_l2, low=0)
    each = count * whole_number("bound_each", bound_each, low=0)
    found = largest_each(total)
    if found > each:
        raise UpdateError(
            f"the sum of {count} vectors has a coordinate of magnitude {found}; each has at most "
            f"{bound_each}, so that it is at most {each}. It is not the sum of bounded updates: "
            "the round is void."
        )
    square = square_norm(total)
    if square > norm * norm:
        raise UpdateError(
            f"the sum of {count} vectors has a squared norm of {square}; each has a norm of at most "
            f"{bound_l2}, so that it is at most {norm}² = {norm * norm}. It is not the sum of bounded "
            "updates: the round is void."
        )
    return total


def _exact_sum(values: Any) -> int:
    # Halves of 32 bits: fewer than 2**32 of them cannot overflow 64 bits.
    low = int(np.add.reduce(values & np.uint64(2**32 - 1), dtype=np.uint64))
    return (int(np.add.reduce(values >> np.uint64(32), dtype=np.uint64)) << 32) + low

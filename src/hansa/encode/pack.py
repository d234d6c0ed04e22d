"""Two small integers in one coefficient, so that a sum of packed vectors unpacks into both sums.

``low + high · 2**shift`` with signed parts. Sums of parts stay within ``clients · bound``, which is less than
half of ``2**shift``; so the low sum is the residue nearest to zero, and the rest is the high sum. No carry is
ever ambiguous.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from hansa.encode.checks import IntegerVector, check_integers, settle, whole_number
from hansa.encode.integers import largest_each
from hansa.errors import ConfigurationError, UpdateError


@dataclass(frozen=True, kw_only=True)
class Packing:
    """How two integers share one.

    Attributes:
        size: Number of integers d of a client, 1 or more.
        bound: Bound on the magnitude of each, 1 or more.
        clients: Largest number of clients in a sum, 1 or more.
        limit: A packed sum must be smaller than this in magnitude, at most ``2**63``: half the modulus, less
            the error and divided by the factor where there is one (`hansa.encode.integers.check_room`).

    Raises:
        ConfigurationError: A setting is out of its range, or two sums do not fit below the limit.

    Guarantees:
        The sum of at most ``clients`` packed vectors within the bound is below the limit and unpacks
        exactly. What does not come from such vectors is refused where it is beyond a bound.

    Example:
        >>> packing = Packing(size=3, bound=100, clients=10, limit=2**31)
        >>> a, b = pack(np.array([1, -2, 100]), packing), pack(np.array([-100, 5, 7]), packing)
        >>> a.size, unpack(a + b, packing).tolist()
        (2, [-99, 3, 107])
    """

    size: int
    bound: int
    clients: int
    limit: int

    def __post_init__(self) -> None:
        settle(
            self,
            size=whole_number("size", self.size),
            bound=whole_number("bound", self.bound),
            clients=whole_number("clients", self.clients),
            limit=whole_number("limit", self.limit, high=2**63),
        )
        if self.packed_bound >= self.limit:
            raise ConfigurationError(
                f"{self.clients} clients with integers up to {self.bound} need two parts of {self.shift} "
                f"bits and a packed sum up to {self.packed_bound}, which must be below {self.limit}. Do "
                "not pack, or take fewer bits or a smaller cohort."
            )

    @property
    def shift(self) -> int:
        """Bits of the low part: ``clients · bound < 2**(shift - 1)``."""
        return (self.clients * self.bound).bit_length() + 1

    @property
    def packed(self) -> int:
        """Number of packed integers: half the size, rounded up."""
        return (self.size + 1) // 2

    @property
    def packed_bound(self) -> int:
        """Bound on the magnitude of a sum of packed integers."""
        return self.clients * self.bound * (2**self.shift + 1)

    def describe(self) -> dict[str, Any]:
        """Return the settings for the run's configuration."""
        return {
            "kind": "two-in-one",
            "size": self.size,
            "bound": self.bound,
            "clients": self.clients,
            "limit": self.limit,
            "shift": self.shift,
        }


def pack(vector: IntegerVector, packing: Packing) -> IntegerVector:
    """Pack a client's integers: the first half is the low parts, the second half the high ones.

    Args:
        vector: Int64, shape ``(size,)``, within the bound.
        packing: The packing.

    Returns:
        Int64, shape ``(packed,)``. Of an odd size, the last high part is 0.

    Raises:
        UpdateError: The vector is malformed, or a value is beyond the bound.

    Guarantees:
        `unpack` gives the vector back.
    """
    check_integers(vector, "the vector to pack", size=packing.size)
    found = largest_each(vector)
    if found > packing.bound:
        raise UpdateError(
            f"the vector to pack has a value of magnitude {found}, beyond the bound of {packing.bound}; it "
            "would run into its neighbour. Quantise with a bound_each of at most that."
        )
    result = vector[: packing.packed].copy()
    result[: packing.size - packing.packed] += vector[packing.packed :] << packing.shift
    return result


def unpack(total: IntegerVector, packing: Packing) -> IntegerVector:
    """Unpack a sum of packed vectors into the sum of the vectors.

    Args:
        total: Int64, shape ``(packed,)``: the sum of at most ``clients`` packed vectors.
        packing: The packing.

    Returns:
        Int64, shape ``(size,)``.

    Raises:
        UpdateError: The total is malformed, or a sum is beyond ``clients`` times the bound.

    Guarantees:
        Of a sum of packed vectors, exactly the sum of the vectors; any other total is refused or
        packs to itself.
    """
    check_integers(total, "the packed sum", size=packing.packed)
    most = packing.clients * packing.bound
    if largest_each(total) > packing.packed_bound:
        raise _beyond(largest_each(total), packing.packed_bound, packing)
    half = 1 << (packing.shift - 1)
    # No overflow: a shift of 32 bits is the largest there is, where total + half is at most 2**63 - 1.
    high = (total + half) >> packing.shift  # an arithmetic shift rounds down, for negative numbers too
    low = total - (high << packing.shift)
    result = np.concatenate([low, high])
    found = largest_each(result)
    if found > most or result[packing.size :].any():
        raise _beyond(found, most, packing)
    return result[: packing.size]


def _beyond(found: int, most: int, packing: Packing) -> UpdateError:
    return UpdateError(
        f"a packed sum holds {found}, where {packing.clients} clients with integers up to {packing.bound} "
        f"reach {most} at most, and padding is 0. It is not the sum of packed vectors: the round is void."
    )

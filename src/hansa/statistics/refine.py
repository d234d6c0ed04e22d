"""The search for values at given places of the sorted rows: counts in ever finer buckets.

The 2^32 float32 numbers are ordered like the integers that `images_of` gives. The first sum counts the values
in 256 equal parts of these, each next sum in 256 parts of the buckets where a wanted value lies. No range
need be known, and after four sums a bucket is one number. (Of many columns each of these is several sums.)
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hansa.errors import UpdateError
from hansa.secure_sum import SecureSum
from hansa.statistics.columns import Table
from hansa.statistics.limbs import COUNT_LIMBS, decode_counts, encode_counts
from hansa.statistics.sums import add

ROUNDS = 4
"""Rounds after which a bucket is one float32 number."""

_WIDTH = 8  # bits of a round
_PARTS = 1 << _WIDTH
_BITS = 32
_AT_ONCE = 128  # buckets in a sum, so that vectors of wide tables stay small
_TOP = 0xFF7FFFFF  # image of the largest float32
_BOTTOM = 0x00800000  # and of the smallest

Integers = NDArray[np.int64]
Ranks = Callable[[Integers], Integers]
"""Which places among a column's sorted values are wanted, from 0: of counts ``(d,)`` gives ``(k, d)``."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Found:
    """Buckets in which the wanted values lie.

    Attributes:
        count: Values of each column, int64, shape ``(d,)``.
        low: Smallest number of each bucket, float64, shape ``(k, d)``; NaN where a column has no values.
        middle: Its middle number, in the order of numbers.
        high: Its largest number.
    """

    count: Integers
    low: NDArray[np.float64]
    middle: NDArray[np.float64]
    high: NDArray[np.float64]


def find(tables: Mapping[str, Table], ranks: Ranks, rounds: int, secure_sum: SecureSum, label: str) -> Found:
    """Return in which buckets the values at some places of each column lie.

    Args:
        tables: The clients' rows.
        ranks: Which places.
        rounds: Sums of counts.
        secure_sum: How sums come about.
        label: What is found, for messages.
    """
    halves = {name: sorted_images(table) for name, table in tables.items()}

    def counted(asked: Integers, depth: int) -> Integers:
        told = []
        for first in range(0, len(asked), _AT_ONCE):
            some = asked[first : first + _AT_ONCE]
            vectors = {name: encode_buckets(own, some, depth) for name, own in halves.items()}
            total = add(vectors, secure_sum, f"{label}, round {depth + 1}")
            told.append(decode_counts(total.reshape(len(some), _PARTS, COUNT_LIMBS)))
        return np.concatenate(told)

    width = len(next(iter(halves.values())))
    asked = np.stack([np.arange(width), np.zeros(width, np.int64)], axis=1)
    told = counted(asked, 0)
    count = told.sum(axis=1)
    search = Search.of(count, ranks(count)).narrowed(asked, told)
    for depth in range(1, rounds):
        asked = search.buckets()
        if len(asked):
            search = search.narrowed(asked, counted(asked, depth))
    return _found(count, ranks(count), search, rounds)


# client half
def images_of(values: Table) -> Integers:
    """Return integers from 0 to 2^32 − 1 that are ordered as the numbers are; NaN has none.

    Example:
        >>> images_of(np.float32([-1, -0.0, 0, 1e-45])).tolist()
        [1082130431, 2147483648, 2147483648, 2147483649]
    """
    bits = (values + np.float32(0)).view(np.uint32)  # −0 becomes 0
    return np.where(bits >> 31, ~bits, bits | np.uint32(1 << 31)).astype(np.int64)


def sorted_images(table: Table) -> list[Integers]:
    """Return the sorted images of each column's values."""
    return [np.sort(images_of(column[~np.isnan(column)])) for column in np.ascontiguousarray(table.T)]


def encode_buckets(images: list[Integers], asked: Integers, depth: int) -> Integers:
    """Return limbs of how many values lie in each of 256 parts of the buckets asked for.

    Args:
        images: Sorted images by column.
        asked: Column and number of each bucket, shape ``(b, 2)``.
        depth: Rounds before this one: there are ``256**depth`` buckets in all.
    """
    shift = _BITS - _WIDTH * (depth + 1)
    fences = ((asked[:, 1:] << _WIDTH) + np.arange(_PARTS + 1)) << shift
    places = [
        np.searchsorted(images[c], fence) for c, fence in zip(asked[:, 0].tolist(), fences, strict=True)
    ]
    return encode_counts(np.diff(np.array(places, np.int64), axis=1)).reshape(-1)


# server half
@dataclass(frozen=True, kw_only=True, eq=False)
class Search:
    """Where the wanted values are known to lie.

    Attributes:
        column: Of each wanted value, shape ``(t,)``.
        bucket: The bucket in which it lies.
        rank: Its place among the values of this bucket.
    """

    column: Integers
    bucket: Integers
    rank: Integers

    @classmethod
    def of(cls, count: Integers, ranks: Integers) -> Search:
        """Return the search for these places, in columns that have values."""
        column = np.broadcast_to(np.arange(len(count)), ranks.shape)
        there = np.broadcast_to(count > 0, ranks.shape)
        return cls(column=column[there], bucket=np.zeros(there.sum(), np.int64), rank=ranks[there])

    def buckets(self) -> Integers:
        """Return column and number of the buckets to look into, shape ``(b, 2)``, each once."""
        return np.unique(np.stack([self.column, self.bucket], axis=1), axis=0)

    def narrowed(self, asked: Integers, told: Integers) -> Search:
        """Return the search after the parts of these buckets were counted: ``told``, shape ``(b, 256)``."""
        row = {tuple(pair): i for i, pair in enumerate(asked.tolist())}
        rows = [row[pair] for pair in zip(self.column.tolist(), self.bucket.tolist(), strict=True)]
        upto = np.cumsum(told, axis=1)[np.array(rows, np.int64)]
        part = (upto <= self.rank[:, None]).sum(axis=1)
        if (told < 0).any() or (part >= _PARTS).any():
            raise UpdateError("counts of one round do not fit those of the round before: a client is wrong.")
        before = np.take_along_axis(upto, np.maximum(part - 1, 0)[:, None], axis=1)[:, 0]
        rank = self.rank - np.where(part > 0, before, 0)
        return Search(column=self.column, bucket=(self.bucket << _WIDTH) + part, rank=rank)


def values_of(images: Integers) -> NDArray[np.float64]:
    """Return the numbers that have these images; beyond the finite ones, the outermost of these."""
    inside = np.clip(images, _BOTTOM, _TOP).astype(np.uint32)
    bits = np.where(inside >> 31, inside & np.uint32(0x7FFFFFFF), ~inside)
    return bits.view(np.float32).astype(np.float64)


def _found(count: Integers, ranks: Integers, search: Search, rounds: int) -> Found:
    there = np.broadcast_to(count > 0, ranks.shape)
    width = 1 << (_BITS - _WIDTH * rounds)
    values = {}
    for name, offset in (("low", 0), ("middle", width // 2), ("high", width - 1)):
        values[name] = np.full(ranks.shape, np.nan)
        values[name][there] = values_of(search.bucket * width + offset)
    return Found(count=count, **values)

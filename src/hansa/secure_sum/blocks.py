"""Sums over large vectors, block by block: no large temporaries, and all cores where that pays."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from hansa.types import Array, Delta

T = TypeVar("T")
Doubles = NDArray[np.float64]

BLOCK = 1 << 16
"""Scalars worked on at a time: a block of products (512 KiB) stays in the processor's cache."""
SPAN = 1 << 18
"""Scalars that a thread takes at a time, at most."""
THREADED = 4_000_000
"""All cores share the work from this number of scalars on: 4 ms of work repay the threads."""
NARROW = 1 << 14
"""Vectors of fewer scalars are not cut: Python's share of the work would be too large for threads."""


def add_leaves(out: Doubles, leaves: Sequence[Sequence[Delta]], base: Doubles) -> bool:
    """Write to ``out`` a sum and, added to it one by one, the leaves that follow.

    Args:
        out: Where to; may be ``base`` itself.
        leaves: Updates of each leaf, in order of position, at least one; a leaf is ``Σ weight · vector``.
        base: The sum of what came before.

    Returns:
        Whether the sum is surely finite. NaN and infinity never leave a sum, whatever the weight.
    """

    def work(start: int, stop: int, scratch: Doubles) -> bool:
        good = True
        for a in range(start, stop, BLOCK):
            b = min(a + BLOCK, stop)
            before, into, leaf = base[a:b], out[a:b], scratch[0, : b - a]
            for terms in leaves:
                _fold(leaf, terms, a, scratch[1, : b - a])
                before = np.add(before, leaf, out=into)
            good = good and bool(np.isfinite(np.add.reduce(before)))
        return good

    return all(spread(work, out.size, passes=sum(map(len, leaves))))


def _fold(leaf: Doubles, terms: Sequence[Delta], start: int, product: Doubles) -> None:
    """Sum the terms of a leaf over the scalars from start on, as many as there is room for."""
    for number, delta in enumerate(terms):
        # Copying first is faster than a product of two dtypes, which NumPy buffers.
        target = product if number else leaf
        np.copyto(target, delta.vector[start : start + target.size])
        np.multiply(target, float(delta.weight), out=target)
        if number:
            np.add(leaf, target, out=leaf)


def add_pieces(total: Doubles, pieces: Iterable[Doubles]) -> None:
    """Add flat arrays that are a vector when joined."""
    offset = 0
    for piece in pieces:
        part = total[offset : offset + piece.size]
        offset += piece.size
        if piece.size < THREADED:
            with np.errstate(over="ignore", invalid="ignore"):
                np.add(part, piece, out=part)
            continue

        def work(start: int, stop: int, _: Doubles, part: Doubles = part, piece: Doubles = piece) -> None:
            np.add(part[start:stop], piece[start:stop], out=part[start:stop])

        spread(work, piece.size)


def spread(work: Callable[[int, int, Doubles], T], size: int, *, passes: int = 1) -> list[T]:
    """Do work on parts of ``range(size)``: on one part, or on many over all cores.

    NumPy's warnings of infinities are off: the sums are looked at when they are closed.

    Args:
        work: Takes start, stop and two rows of at most `BLOCK` float64 to write on. Parts are independent.
        size: Number of scalars.
        passes: How many times the work goes over its part.

    Returns:
        What the parts returned, in no order.
    """
    alone = size < NARROW or size * passes < THREADED
    threads = 1 if alone else cores()
    span = size if threads == 1 else min(SPAN, -(-size // threads))
    starts = deque(range(0, size, span)) if size else deque([0])
    # Rows come from this thread: what others allocate, the C library gives back to the system each time.
    rows = np.empty((threads, 2, min(BLOCK, size)))

    def drain(scratch: Doubles) -> list[T]:
        done: list[T] = []
        with np.errstate(over="ignore", invalid="ignore"):
            while starts:
                try:
                    start = starts.popleft()
                except IndexError:
                    break
                done.append(work(start, min(start + span, size), scratch))
        return done

    if threads == 1:
        return drain(rows[0])
    # A pool per call costs 0.1 ms where the work takes milliseconds, and none is left behind for a fork.
    with ThreadPoolExecutor(threads - 1) as pool:
        others = [pool.submit(drain, scratch) for scratch in rows[1:]]
        return drain(rows[0]) + [result for other in others for result in other.result()]


def cores() -> int:
    """Return how many cores a sum uses: those of this process, at most 16, as more wait for memory."""
    mine = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return min(mine, 16)


def count_bad(vector: Array) -> int:
    """Return how many values of a flat vector are NaN or infinite."""

    def work(start: int, stop: int, scratch: Doubles) -> int:
        good, row = 0, scratch[0].view(np.bool_)
        for a in range(start, stop, BLOCK):
            b = min(a + BLOCK, stop)
            good += int(np.count_nonzero(np.isfinite(vector[a:b], out=row[: b - a])))
        return stop - start - good

    def suspect(start: int, stop: int, _: Doubles) -> bool:
        return not np.isfinite(np.add.reduce(vector[start:stop]))

    # NaN and infinity never leave a sum, which is one fast pass. A sum that is too large is looked into too.
    if vector.size < THREADED:
        with np.errstate(over="ignore", invalid="ignore"):
            if not suspect(0, vector.size, _NONE):
                return 0
    elif not any(spread(suspect, vector.size)):
        return 0
    return sum(spread(work, vector.size))


_NONE = np.zeros(0)

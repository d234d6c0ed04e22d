"""Histograms, class counts and quantiles with noise; see `hansa.statistics.released`."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from hansa.privacy import Noise
from hansa.secure_sum import SecureSum
from hansa.statistics.columns import Tables
from hansa.statistics.limbs import decode_counts
from hansa.statistics.released import Paid, Released, bounds_of, clamped, noisy, pay, released
from hansa.statistics.sums import add

PARTS = 32
"""Parts of the range between the bounds; each has as many buckets."""

Counts = NDArray[np.int64]
Floats = NDArray[np.float64]


def moved_cells(noise: Noise) -> int:
    """Return how far a row moves the counts of cells of which it is in one: that, and another's place."""
    return 2 if noise.neighbours == "replace" else 1


def noisy_cells(
    counts: Counts, noise: Noise, secure_sum: SecureSum, *, columns: int, what: str, label: str
) -> tuple[Counts, Released]:
    """Return counts of cells with noise, and what that promises; a row is in one cell of each column."""
    moved = moved_cells(noise)
    told = noisy(noise, counts.tolist(), sensitivity=moved, parts=columns, label=label).astype(np.int64)
    promise = released(noise, secure_sum, what=what, sensitivity=moved, parts=columns, units=np.ones(columns))
    return told, promise


def noisy_quantiles(
    tables: Tables, at: tuple[float, ...], *, bounds: Any, noise: Noise, ledger: Paid, secure_sum: SecureSum
) -> tuple[Floats, Counts, Released]:
    """Return quantiles of clamped values, shape ``(len(at), d)``, noisy counts of values, and the promise.

    Values are counted in 1,024 equal buckets, and these in 32 parts of 32 buckets. Noise is added to both,
    and the two are made to agree by least squares; so the counts before a bucket have noise of about
    11 parts and buckets at most, where without parts it would be of up to 1,024 buckets.

    Source:
        Hay, Rastogi, Miklau and Suciu 2010, Boosting the accuracy of differentially private histograms
        through consistency; Qardaji, Yang and Li 2013, Understanding hierarchical methods, for wide trees.
        Smith 2011, Privacy-preserving statistical estimation with optimal convergence rates, asks for one
        quantile at a time.
    """
    from hansa.statistics.buckets import encode_histogram

    columns, d = tables.columns, len(tables.columns)
    known = bounds_of(bounds, columns)
    pay(noise, ledger, tables.by_client)
    edges = tuple(np.linspace(low, high, PARTS * PARTS + 1) for low, high in known)
    vectors = {
        name: encode_histogram(table, edges) for name, table in clamped(tables, known).by_client.items()
    }
    total = add(vectors, secure_sum, "statistics: quantiles")
    fine = decode_counts(total.reshape(d, -1, 2))[:, 1:-2].reshape(d, PARTS, PARTS)
    moved, parts = moved_cells(noise), 2 * d
    cells = [*fine.sum(axis=2).reshape(-1).tolist(), *fine.reshape(-1).tolist()]
    told = noisy(noise, cells, sensitivity=moved, parts=parts, label=f"quantiles {columns}")
    coarse, fine = told[: d * PARTS].reshape(d, PARTS), told[d * PARTS :].reshape(d, PARTS, PARTS)
    upto = np.stack([rising(np.cumsum(agreed(c, f))) for c, f in zip(coarse, fine, strict=True)])
    values = np.stack([quantiles_of(own, ends, at) for own, ends in zip(upto, edges, strict=True)], axis=1)
    promise = released(
        noise,
        secure_sum,
        what="numbers of values in parts and buckets",
        sensitivity=moved,
        parts=parts,
        units=np.ones(d),
    )
    return values, np.rint(upto[:, -1]).astype(np.int64), promise


def agreed(coarse: Floats, fine: Floats) -> Floats:
    """Return counts of buckets that add up to those of parts, flat: the least squares of both.

    Args:
        coarse: Noisy counts of parts, shape ``(p,)``.
        fine: Noisy counts of the buckets in each, shape ``(p, b)``.
    """
    own, buckets = fine.sum(axis=1), fine.shape[1]
    best = (buckets * coarse + own) / (buckets + 1)
    return (fine + ((best - own) / buckets)[:, None]).reshape(-1)


def rising(values: Floats) -> Floats:
    """Return the least squares of numbers that nowhere fall and are not negative.

    Source:
        Ayer et al. 1955, An empirical distribution function for sampling with incomplete information (pool
        adjacent violators).

    Example:
        >>> rising(np.array([1.0, 3.0, 2.0, 5.0])).tolist()
        [1.0, 2.5, 2.5, 5.0]
    """
    levels: list[tuple[float, int]] = []
    for value in values.tolist():
        level, size = value, 1
        while levels and levels[-1][0] > level:
            before, many = levels.pop()
            level, size = (before * many + level * size) / (many + size), many + size
        levels.append((level, size))
    return np.maximum(np.repeat([level for level, _ in levels], [size for _, size in levels]), 0)


def quantiles_of(upto: Floats, edges: Floats, at: tuple[float, ...]) -> Floats:
    """Return quantiles of counts up to the end of each bucket, spread evenly in each; NaN of no values."""
    if not upto[-1] > 0:
        return np.full(len(at), np.nan)
    before = np.append(0.0, upto)
    wanted = np.array(at) * upto[-1]
    bucket = np.clip(np.searchsorted(before, wanted, side="left") - 1, 0, len(upto) - 1)
    inside = np.maximum(before[bucket + 1] - before[bucket], 1e-300)
    share = np.clip((wanted - before[bucket]) / inside, 0, 1)
    return edges[bucket] + share * (edges[bucket + 1] - edges[bucket])

"""Counts, totals, means and variances with noise; see `hansa.statistics.released`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hansa.privacy import Noise
from hansa.secure_sum import SecureSum, as_secure_sum
from hansa.statistics.columns import read_tables
from hansa.statistics.limbs import SUMS
from hansa.statistics.moments import Counts, Moments, Numbers, sum_moments
from hansa.statistics.released import (
    STEPS,
    Bounds,
    Paid,
    bounds_of,
    clamped,
    noisy,
    pay,
    released,
)

NO_COUNT = -1
"""Stands for a count that is not told."""

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Asked:
    """A statistic with noise that somebody asks for.

    Attributes:
        clients: Whose rows, like ``columns`` and ``splits``.
        columns: Which columns.
        splits: Which rows.
        secure_sum: How sums come about.
        noise: The noise.
        ledger: What is charged for it.
    """

    clients: Any
    columns: Any
    splits: Any
    secure_sum: SecureSum | str
    noise: Noise
    ledger: Paid


def noisy_count(asked: Asked) -> Counts:
    """Return noisy numbers of values; of rows too, where the relation does not tell it."""
    through = as_secure_sum(asked.secure_sum)
    tables = read_tables(asked.clients, asked.columns, asked.splits, None)
    pay(asked.noise, asked.ledger, tables.by_client)
    columns, d = tables.columns, len(tables.columns)
    counts = sum_moments(columns, tables.by_client, through, "statistics: count", squares=False).counts
    cells = counts.present.tolist()
    hidden = asked.noise.neighbours == "add/remove"
    if hidden:
        cells += counts.missing.tolist()
    told = noisy(asked.noise, cells, sensitivity=1, parts=d, label=f"count {columns}").astype(np.int64)
    what = "numbers of values" + (" and of missing ones" if hidden else "")
    return Counts(
        columns=columns,
        rows=round(float((told[:d] + told[d:]).mean())) if hidden else counts.rows,
        present=told[:d],
        released=released(asked.noise, through, what=what, sensitivity=1, parts=d, units=np.ones(d)),
    )


def noisy_total(asked: Asked, bounds: Any) -> Numbers:
    """Return noisy sums of clamped values."""
    through, known, moments = _moments(asked, bounds, "total")
    columns, d = moments.counts.columns, len(known)
    if asked.noise.neighbours == "replace":  # a value may come, go, or move from one bound to the other
        most = [max(high, 0.0) - min(low, 0.0) for low, high in known]
    else:
        most = [max(abs(low), abs(high)) for low, high in known]
    cells = [_steps(s, SUMS.units(m)) for s, m in zip(moments.sums, most, strict=True)]
    told = noisy(asked.noise, cells, sensitivity=STEPS, parts=d, label=f"total {columns}")
    unit = np.array(most) / STEPS
    return Numbers(
        columns=columns,
        values=told * unit,
        count=np.full(d, NO_COUNT, np.int64),
        released=released(asked.noise, through, what="sums", sensitivity=STEPS, parts=d, units=unit),
    )


def noisy_mean(asked: Asked, bounds: Any) -> Numbers:
    """Return means of clamped values: noisy sums over noisy counts, within the bounds."""
    through, known, moments = _moments(asked, bounds, "mean")
    columns, d, moved = moments.counts.columns, len(known), _moved(asked.noise)
    told = noisy(
        asked.noise, _ends(moments, known), sensitivity=moved, parts=d, label=f"mean {columns}"
    ).reshape(2, d)
    width = np.array([high - low for low, high in known])
    return Numbers(
        columns=columns,
        values=np.array([low for low, _ in known]) + width * _shares(told),
        count=_counts(told),
        released=released(
            asked.noise,
            through,
            what="sums of distances to the bounds",
            sensitivity=moved,
            parts=d,
            units=width / STEPS,
        ),
    )


def noisy_variance(asked: Asked, bounds: Any, ddof: int) -> Numbers:
    """Return variances of clamped values, of three noisy sums a column; not above that of two bounds."""
    through, known, moments = _moments(asked, bounds, "variance", squares=True)
    columns, d, moved = moments.counts.columns, len(known), _moved(asked.noise)
    cells = _ends(moments, known) + _squares(moments, known)
    told = noisy(asked.noise, cells, sensitivity=moved, parts=2 * d, label=f"variance {columns}").reshape(
        3, d
    )
    count, half = _counts(told), np.array([(high - low) / 2 for low, high in known])
    with np.errstate(all="ignore"):
        square = told[2] / STEPS / count - (2 * _shares(told) - 1) ** 2  # in units of half^2
        values = half**2 * np.clip(square, 0, 1) * count / (count - ddof)
    return Numbers(
        columns=columns,
        values=np.where(count > max(ddof, 0), values, np.nan),
        count=count,
        released=released(
            asked.noise,
            through,
            what="sums of squared distances to the middle (and of distances to the bounds)",
            sensitivity=moved,
            parts=2 * d,
            units=half**2 / STEPS,
        ),
    )


def _moments(
    asked: Asked, bounds: Any, what: str, *, squares: bool = False
) -> tuple[SecureSum, Bounds, Moments]:
    """Return the exact moments of clamped values, paid for; only the server may see them."""
    through = as_secure_sum(asked.secure_sum)
    tables = read_tables(asked.clients, asked.columns, asked.splits, None)
    known = bounds_of(bounds, tables.columns)
    pay(asked.noise, asked.ledger, tables.by_client)
    within = clamped(tables, known).by_client
    return (
        through,
        known,
        sum_moments(tables.columns, within, through, f"statistics: {what}", squares=squares),
    )


def _moved(noise: Noise) -> int:
    """Return how many steps a row moves a part: its own, and under replace another row's too."""
    return STEPS * (2 if noise.neighbours == "replace" else 1)


def _steps(above: int, below: int) -> int:
    """Return a whole number's share of another in steps of the grid, rounded.

    A row that moves ``above`` by at most ``below`` moves the result by at most `STEPS`, since rounding is
    monotone and ``_steps(above + below, below)`` is ``_steps(above, below) + STEPS``.
    """
    return (2 * above * STEPS + below) // (2 * below)


def _ends(moments: Moments, bounds: Bounds) -> list[int]:
    """Return Σ(x - low), then Σ(high - x), in steps of ``(high - low) / STEPS``.

    A row adds ``k`` to the first and ``STEPS - k`` to the second, with k from 0 to STEPS: STEPS in all.
    """
    before, behind = [], []
    for n, total, (low, high) in zip(moments.counts.present.tolist(), moments.sums, bounds, strict=True):
        first, last = SUMS.units(low), SUMS.units(high)
        before.append(_steps(total - n * first, last - first))
        behind.append(n * STEPS - before[-1])
    return before + behind


def _squares(moments: Moments, bounds: Bounds) -> list[int]:
    """Return Σ(x - middle)^2 in steps of ``((high - low) / 2)^2 / STEPS``; a row adds 0 to STEPS."""
    found = []
    each = zip(moments.counts.present.tolist(), moments.sums, moments.squares, bounds, strict=True)
    for n, total, square, (low, high) in each:
        first, last = SUMS.units(low), SUMS.units(high)
        twice = first + last  # the middle; steps of squares are the squares of steps
        found.append(_steps(4 * square - 4 * twice * total + n * twice * twice, (last - first) ** 2))
    return found


def _shares(told: Floats) -> Floats:
    """Return where between the bounds a mean lies, from 0 to 1; NaN where noise leaves nothing."""
    before, behind = np.maximum(told[0], 0), np.maximum(told[1], 0)
    with np.errstate(invalid="ignore"):
        return before / (before + behind)


def _counts(told: Floats) -> NDArray[np.int64]:
    return np.rint((told[0] + told[1]) / STEPS).astype(np.int64)

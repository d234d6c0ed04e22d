"""Whether cohorts are drawn as the plan says, whose accountant counts on it."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from hansa.audit.canaries import name_of
from hansa.audit.finding import Finding
from hansa.audit.pipeline import Seen
from hansa.audit.scores import far
from hansa.cohort import AtMost, FixedSize, Poisson

NAME = "cohorts"


def cohorts(seen: Seen) -> Finding:
    """Return how far the cohorts that were drawn are from those that the plan draws."""
    who, count = seen.private.participation, len(seen.sent)
    names = [name_of(i) for i in range(count)]
    drawn = np.array([[name in set(record.cohort) for name in names] for record in seen.records])
    if isinstance(who, AtMost):
        broken = _broken(drawn, who)
        return Finding(
            name=NAME,
            words=f"{broken} clients take part more often than {who.times} times, or sooner than the gap",
            measured=float(broken),
            high=0.0,
        )
    sizes = drawn.sum(axis=1)
    if isinstance(who, Poisson):
        strays = _strays(drawn, who.rate)
        if who.cap is not None:
            strays = np.append(strays, np.where(sizes > who.cap, np.inf, 0.0))
    else:
        size = who.size if isinstance(who, FixedSize) else count
        strays = np.where(sizes == size, 0.0, np.inf)
        strays = np.append(strays, _alike(drawn)) if size < count else strays
    worst = float(np.abs(strays).max())
    return Finding(
        name=NAME,
        words=f"sizes and overlaps of cohorts are {worst:.2g} deviations from those of the plan, at most",
        measured=worst,
        high=far(len(strays)),
    )


def minibatches(drawn: NDArray[np.bool_], rate: float) -> Finding:
    """Return how far minibatches are from what the accountant counts on: each record with the same chance.

    Args:
        drawn: Which records are in which, shape ``(minibatches, records)``.
        rate: The chance.
    """
    strays = _strays(drawn, rate)
    worst = float(np.abs(strays).max())
    return Finding(
        name="minibatches",
        words=f"sizes and overlaps of minibatches are {worst:.2g} deviations from independent draws, at most",
        measured=worst,
        high=far(len(strays)),
    )


def _strays(drawn: NDArray[np.bool_], rate: float) -> NDArray[np.float64]:
    """Return sizes and overlaps of Poisson draws, in deviations from what they are expected to be."""
    count = drawn.shape[1]
    spread = np.sqrt(count * rate * (1 - rate) + 1e-12)
    return np.append((drawn.sum(axis=1) - rate * count) / spread, _alike(drawn))


def _alike(drawn: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Return how alike the cohorts of each two rounds are, in deviations of independent draws."""
    centred = drawn - drawn.mean(axis=1, keepdims=True)
    length = np.sqrt((centred**2).sum(axis=1))
    alike = centred @ centred.T / np.maximum(np.outer(length, length), 1e-12) * np.sqrt(drawn.shape[1] - 1)
    return alike[np.triu_indices(len(drawn), 1)]


def _broken(drawn: NDArray[np.bool_], who: AtMost) -> int:
    broken = drawn.sum(axis=0) > who.times
    for gap in range(1, who.min_gap):
        broken |= (drawn[gap:] & drawn[:-gap]).any(axis=0)
    return int(broken.sum())

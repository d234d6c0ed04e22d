"""How much was lost, from below: what a guesser who looks at the releases proves about epsilon."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

SHARES = (1.0, 0.5, 0.25, 0.125)
"""Shares of the canaries that are guessed; the others are abstained from."""


def epsilon_lower_bound(
    scores: NDArray[np.float64], inserted: NDArray[np.bool_], *, delta: float, error: float = 0.01
) -> float:
    """Return an epsilon that what was released exceeds, with confidence.

    Args:
        scores: For each canary how much it seems to be there, shape ``(m,)``.
        inserted: Which were: independent, fair coins.
        delta: At which epsilon is told.
        error: The chance with which the bound may be wrong.

    Returns:
        0 or more. With m canaries it is at most about ``log(m)``: 4.8 for a thousand.

    Source:
        Steinke, Nasr, Jagielski 2023, Privacy Auditing with One (1) Training Run, theorem 5.2 and appendix D;
        the best of several numbers of guesses, each with its share of the error.
    """
    order = np.argsort(scores)
    best = 0.0
    for share in SHARES:
        half = max(1, int(len(scores) * share / 2))
        correct = int(inserted[order[-half:]].sum() + (~inserted[order[:half]]).sum())
        allowed = error / len(SHARES)
        best = max(best, _epsilon(len(scores), 2 * half, correct, delta=delta, error=allowed))
    return best


def _epsilon(canaries: int, guesses: int, correct: int, *, delta: float, error: float) -> float:
    low, high = 0.0, 1.0
    while high < 64 and _chance(canaries, guesses, correct, high, delta) < error:
        low, high = high, 2 * high
    if low == 0.0 and _chance(canaries, guesses, correct, 0.0, delta) >= error:
        return 0.0
    for _ in range(30):
        middle = (low + high) / 2
        if _chance(canaries, guesses, correct, middle, delta) < error:
            low = middle
        else:
            high = middle
    return low


def _chance(canaries: int, guesses: int, correct: int, epsilon: float, delta: float) -> float:
    """Return at most how probable so many correct guesses are under (epsilon, delta)-DP."""
    from scipy.stats import binom  # dp-accounting needs SciPy itself

    rate = 1 / (1 + math.exp(-epsilon))
    pure = float(binom.sf(correct - 1, guesses, rate))
    below = np.cumsum(binom.pmf(np.arange(correct - 1, -1, -1), guesses, rate))
    slope = float(np.max(below / np.arange(1, correct + 1))) if correct else 0.0
    return min(1.0, pure + 2 * canaries * delta * slope)

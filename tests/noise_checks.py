"""What the tests of noise share: keys, a chi-square test, and all decisions taken by exact arithmetic."""

from __future__ import annotations

import numpy as np
from scipy.stats import chi2

from hansa.privacy.noise import Source, rejection


def source(number: int) -> Source:
    """A stream that no other number has. Tests have fixed keys: none fails by chance."""
    return Source(number.to_bytes(32, "big"))


def unlikely(values: np.ndarray, edges: np.ndarray, probabilities: np.ndarray) -> float:
    """Return the chi-square test's p-value.

    Args:
        values: What was drawn.
        edges: ``k - 1`` ascending numbers: bin ``i`` is from edge ``i - 1`` (included) to edge ``i`` (not).
        probabilities: Of the ``k`` bins. Bins of fewer than 8 expected values
            go to the next towards the middle.
    """
    assert abs(probabilities.sum() - 1) < 1e-9
    counts = np.bincount(np.searchsorted(edges, values, side="right"), minlength=len(probabilities)).astype(
        float
    )
    expected = probabilities * len(values)
    middle = len(expected) // 2
    for order in (range(middle), range(len(expected) - 1, middle, -1)):
        for i in order:
            if expected[i] < 8:
                towards = i + (1 if i < middle else -1)
                expected[towards] += expected[i]
                counts[towards] += counts[i]
                expected[i] = counts[i] = 0
    assert not counts[expected == 0].any()
    kept = expected > 0
    statistic = ((counts - expected)[kept] ** 2 / expected[kept]).sum()
    return float(chi2.sf(statistic, kept.sum() - 1))


def exactly(monkeypatch, sampler, *arguments, number: int):
    """Return what a sampler draws in floating point, and what if every decision is exact."""
    usual = sampler(*arguments, source(number))
    with monkeypatch.context() as patch:
        patch.setattr(rejection, "MARGIN", 2.0)
        return usual, sampler(*arguments, source(number))

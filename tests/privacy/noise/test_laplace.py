from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest

from hansa.errors import ConfigurationError
from hansa.privacy.noise import discrete_laplace
from noise_checks import exactly, source, unlikely


def probabilities(scale, edges):
    """P(n < edge) is ``q^(1 - edge) / (1 + q)`` with ``q = exp(-1 / scale)`` up to 0, else by symmetry."""
    scale = float(scale)
    q = math.exp(-1 / scale)
    below = np.exp(-np.abs(np.where(edges > 0, edges, 1 - edges)) / scale) / (1 + q)
    below = np.where(edges > 0, 1 - below, below)
    return np.diff(np.concatenate([[0.0], below, [1.0]]))


@pytest.mark.parametrize("scale", [0.2, 1.0, Fraction(10, 3), 31.9, 32.0, 1000.0, 2.0**40])
def test_noise_follows_its_law(scale):
    edges = max(1, int(scale / 6)) * np.arange(-50, 52)
    values = discrete_laplace(scale, 300_000, source(21))
    assert unlikely(values, edges, probabilities(scale, edges.astype(float))) > 1e-3


@pytest.mark.parametrize("scale", [0.5, 10.0, 2.0**30])
def test_moments_are_those_of_the_law(scale):
    values = discrete_laplace(scale, 400_000, source(22)) / scale
    q = math.exp(-1 / scale)
    variance = 2 * q / (1 - q) ** 2 / scale**2
    assert abs(values.mean()) < 4 * math.sqrt(variance / 400_000)
    assert abs(values.var() / variance - 1) < 4 * math.sqrt(6 / 400_000)


@pytest.mark.parametrize("scale", [0.3, 5.0, Fraction(100, 3), 2.0**50])
def test_exact_decisions_are_those_of_floating_point(monkeypatch, scale):
    usual, exact = exactly(monkeypatch, discrete_laplace, scale, 400, number=23)
    assert (usual == exact).all()


def test_tiny_noise_is_zero():
    for scale in (2.0**-40, 2.0**-12, 2.0**-9, 2.0**-8):
        assert not discrete_laplace(scale, 10_000, source(24)).any()


@pytest.mark.parametrize("scale", [0.0, -1.0, math.nan, math.inf, 2.0**51, 2.0**-41, "1", None, True])
def test_other_scales_are_refused(scale):
    with pytest.raises(ConfigurationError, match="the scale of noise must be a number"):
        discrete_laplace(scale, 3, source(25))

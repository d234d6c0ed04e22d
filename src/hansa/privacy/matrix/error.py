"""What a strategy costs: the error of the prefix sums, which are what a model accumulates.

For a noise multiplier z (the noise of the whole run, in units of its sensitivity) the prefix sum after
release t is off by ``z · sensitivity · ‖row t of A C⁻¹‖`` clips, where A is the lower triangle of ones.
`rmse` is the root of the mean of the squares over all releases, for one coordinate.

Source:
    Choquette-Choo et al. 2023, (Amplified) Banded Matrix Factorization, section 2.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from hansa.privacy.matrix.banded import Banded, independent
from hansa.privacy.matrix.strategy import Strategy, Vector


def errors(strategy: Strategy, noise_multiplier: float = 1.0) -> Vector:
    """Return the standard deviation of every prefix sum's error, in clips; shape ``(rounds,)``.

    Args:
        strategy: The strategy.
        noise_multiplier: Standard deviation of the run's noise over its sensitivity.
    """
    decoded = strategy.solve(np.ones(strategy.rounds))
    return noise_multiplier * strategy.sensitivity() * np.sqrt(np.cumsum(decoded**2))


def rmse(strategy: Strategy, noise_multiplier: float = 1.0) -> float:
    """Return the root mean square over all prefix sums of their error, in clips.

    Example:
        >>> round(rmse(independent(rounds=1000, min_gap=100), noise_multiplier=2.2304763), 1)
        157.8
    """
    return float(np.sqrt(np.mean(errors(strategy, noise_multiplier) ** 2)))


def explain(strategy: Strategy, noise_multiplier: float = 1.0) -> dict[str, Any]:
    """Return the figures of a strategy that a user is told.

    Returns:
        ``strategy`` (``"banded"`` or ``"blt"``), ``size`` (bands or buffers), ``sensitivity``, ``rmse`` and
        ``last_error`` in clips, ``independent_rmse`` at the same guarantee, ``gain`` (how many times
        smaller), and ``state_bytes_per_parameter``.
    """
    described = strategy.describe()
    alone = independent(rounds=strategy.rounds, min_gap=strategy.min_gap, times=strategy.times)
    each, plain = errors(strategy, noise_multiplier), rmse(alone, noise_multiplier)
    own = float(np.sqrt(np.mean(each**2)))
    return {
        "strategy": described["kind"],
        "size": len(described["numerators" if isinstance(strategy, Banded) else "decays"]),
        "sensitivity": strategy.sensitivity(),
        "rmse": own,
        "last_error": float(each[-1]),
        "independent_rmse": plain,
        "gain": plain / own,
        "state_bytes_per_parameter": strategy.state_bytes(1),
    }

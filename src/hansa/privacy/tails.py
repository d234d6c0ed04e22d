"""How long the noise of one client is, at most: what its norm exceeds with a chance of e^-50, below 2^-72.

Both bounds hold for every number of coordinates d and every deviation σ, without constants that are not
written here. They are as good as those of a Gaussian: about σ (√d + 10).

Gaussian noise g, rounded: ‖g‖ is 1-Lipschitz in d normal variates of deviation σ, with a mean of at most
σ √d, so that it exceeds σ (√d + √(2τ)) with a chance of at most e^-τ; rounding adds at most √d / 2 to it.

Skellam noise X of variance v: its squares have no exponential moments, so that the sum of squares is no way.
But X has independent jumps of ±1 in each coordinate, each at the rate v/2. For a function f that no jump
changes by more than 1, with (v/2) Σ (f(x ± e_j) − f(x))² ≤ α² for every x, Bennett's inequality holds:
log E exp(s (f(X) − E f(X))) ≤ α² (e^s − 1 − s), and so f(X) exceeds its mean by τ/3 + √(τ²/9 + 2 τ α²) with a
chance of at most e^-τ. Take f(x) = max(‖x‖, R) with R = √(d v). A jump at coordinate j changes it by at most
(|x_j| + 1/2) / max(‖x‖, R): so α² ≤ v (1 + √d / (2R))² = (√v + 1/2)². And since ‖X‖² has the mean d v and the
variance d v (2v + 1), E f(X) ≤ √(E f(X)²) ≤ √(d v + √(d v (2v + 1)) / 2).

Source:
    Boucheron, Lugosi and Massart 2013, Concentration inequalities, theorem 5.6, for the Gaussian; Houdré
    2002, Remarks on deviation inequalities for functions of infinitely divisible random vectors (Annals of
    Probability 30), and Wu 2000 for functions of jumps. What is taken as f is ours; a test compares the
    bound with exact tails where these can be summed.
"""

from __future__ import annotations

import math

NATS = 50.0
"""τ: the chance of longer noise is at most e^-τ, 2^-72.1."""


def gaussian_norm(sigma: float, size: int, nats: float = NATS) -> int:
    """Return a norm that rounded Gaussian noise exceeds with a chance of at most ``e**-nats``.

    Args:
        sigma: Standard deviation of each coordinate before rounding, in steps of the grid.
        size: Number of coordinates.
        nats: τ.

    Example:
        >>> gaussian_norm(1000.0, 10_000)
        110050
    """
    return math.ceil(sigma * (math.sqrt(size) + math.sqrt(2 * nats)) + math.sqrt(size) / 2)


def skellam_norm(variance: float, size: int, nats: float = NATS) -> int:
    """Return a norm that Skellam noise exceeds with a chance of at most ``e**-nats``.

    Args:
        variance: Of each coordinate, in squared steps of the grid.
        size: Number of coordinates.
        nats: τ.

    Example:
        >>> skellam_norm(1000.0**2, 10_000)
        110375
    """
    whole = size * variance
    mean = math.sqrt(whole + math.sqrt(whole * (2 * variance + 1)) / 2)
    spread = math.sqrt(variance) + 0.5
    return math.ceil(mean + nats / 3 + math.sqrt(nats**2 / 9 + 2 * nats * spread**2))

"""Correlated noise for training without a sampling assumption: later noise takes back earlier noise.

A strategy C (lower triangular, Toeplitz) says how: the noise of release t is ``z_t = (C⁻¹ w)_t`` for fresh
Gaussian w, so that prefix sums of z, which is what a model accumulates, stay small. All releases together
are one Gaussian mechanism on ``C x``.

    optimal, square_root, independent   strategies; `as_strategy` reads one back from a run's configuration
    rmse, errors, explain               what a strategy costs in noise, and what it saves
    CorrelatedNoise                     the state that is kept with a run, and the release of a round
    check_participation                 whether a history keeps the promise that the guarantee rests on

Source:
    Kairouz et al. 2021, Practical and Private (Deep) Learning without Sampling or Shuffling (DP-FTRL).
    Denisov et al. 2022, Improved Differential Privacy for SGD via Optimal Private Linear Operators.
    Choquette-Choo et al. 2023, (Amplified) Banded Matrix Factorization.
    Kalinin, Lampert 2024, Banded Square Root Matrix Factorization for Differentially Private Model Training.
    Dvijotham et al. 2024, Efficient and Near-Optimal Noise Generation for Streaming Differential Privacy.
    McMahan, Xu, Zhang 2024, A Hassle-free Algorithm for Private Learning in Practice (BLT).
"""

from hansa.privacy.matrix.banded import Banded, independent, square_root
from hansa.privacy.matrix.buffered import Buffered
from hansa.privacy.matrix.error import errors, explain, rmse
from hansa.privacy.matrix.noise import CorrelatedNoise
from hansa.privacy.matrix.optimise import as_strategy, optimal
from hansa.privacy.matrix.participation import check_participation, most_participations
from hansa.privacy.matrix.strategy import State, Strategy

__all__ = [
    "Banded",
    "Buffered",
    "CorrelatedNoise",
    "State",
    "Strategy",
    "as_strategy",
    "check_participation",
    "errors",
    "explain",
    "independent",
    "most_participations",
    "optimal",
    "rmse",
    "square_root",
]

"""The one file that knows dp-accounting, Google's accountant. It is imported when it is first needed.

What is asked of it: Renyi curves of the sampled Gaussian mechanism, privacy loss distributions, and the
closed form of the Gaussian mechanism. What events mean is in `renyi` and `losses`.
"""

from __future__ import annotations

import importlib.metadata
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from hansa.errors import MissingExtraError

PldOfOne = Any
"""A ``dp_accounting.pld.privacy_loss_distribution.PrivacyLossDistribution``."""


def dp_accounting() -> Any:
    """Return the package.

    Raises:
        MissingExtraError: If it is not installed. No run has differential privacy and no accounting.
    """
    try:
        import dp_accounting as package
    except ImportError as error:
        raise MissingExtraError("differential privacy", "dp-accounting", "privacy") from error
    return package


def version() -> str:
    """Return the accountant's name and version, as in ``dp-accounting 0.6.0``."""
    dp_accounting()
    return f"dp-accounting {importlib.metadata.version('dp-accounting')}"


class _Unconverged(logging.Filter):
    """Drops the note that a fractional order did not converge: it is left out of a minimum, which is safe."""

    def filter(self, record: logging.LogRecord) -> bool:
        return not str(record.msg).startswith("_compute_log_a_frac failed to converge")


@contextmanager
def _quiet() -> Iterator[None]:
    logger, drop = logging.getLogger("absl"), _Unconverged()
    logger.addFilter(drop)
    try:
        yield
    finally:
        logger.removeFilter(drop)


def poisson_gaussian_rdp(rate: float, noise_multiplier: float, orders: np.ndarray) -> np.ndarray:
    """Return the Renyi divergences of one Gaussian release on a Poisson sample, zero-out or add/remove.

    Source: Mironov, Talwar and Zhang, "Renyi Differential Privacy of the Sampled Gaussian Mechanism", 2019.
    """
    dp = dp_accounting()
    with _quiet():
        return _rdp(dp.PoissonSampledDpEvent(rate, dp.GaussianDpEvent(noise_multiplier)), orders)


def fixed_gaussian_rdp(rate: float, noise_multiplier: float, orders: np.ndarray) -> np.ndarray:
    """Return the Renyi divergences of one Gaussian release on a sample without replacement, relation replace.

    Args:
        rate: Size of the sample divided by the population, at most 1.
        noise_multiplier: Of the noise, for the sensitivity 2C of that relation: *half* of noise/clip.
            dp-accounting 0.6.0 does not halve it on its own (its issues 378 and 464).
        orders: Renyi orders.

    Source: Wang, Balle and Kasiviswanathan, "Subsampled Renyi Differential Privacy and Analytical Moments
    Accountant", 2019, Theorem 27 of the long version.
    """
    dp = dp_accounting()
    gaussian = dp.GaussianDpEvent(noise_multiplier)
    return _rdp(
        dp.SampledWithoutReplacementDpEvent(1, rate, gaussian), orders, replace=True
    )  # uses the ratio


def _rdp(event: Any, orders: np.ndarray, *, replace: bool = False) -> np.ndarray:
    dp = dp_accounting()
    relation = dp.NeighboringRelation.REPLACE_ONE if replace else dp.NeighboringRelation.ADD_OR_REMOVE_ONE
    return dp.rdp.RdpAccountant(list(orders), relation).compose(event).rdp


def binomial_above(value: int, trials: int, probability: float) -> float:
    """Return how probable more than `value` successes are."""
    from scipy.stats import binom  # dp-accounting needs SciPy itself

    return float(binom.sf(value, trials, probability))


def epsilon_of_rdp(orders: np.ndarray, rdp: np.ndarray, delta: float) -> float:
    """Convert a Renyi curve (Canonne, Kamath and Steinke, 2020, Proposition 12)."""
    return float(dp_accounting().rdp.compute_epsilon(orders, rdp, delta)[0])


def delta_of_rdp(orders: np.ndarray, rdp: np.ndarray, epsilon: float) -> float:
    """Convert a Renyi curve (Canonne, Kamath and Steinke, 2020, Proposition 12)."""
    dp_accounting()
    from dp_accounting.rdp import rdp_privacy_accountant

    return float(rdp_privacy_accountant.compute_delta(orders, rdp, epsilon)[0])  # type: ignore[arg-type]


def gaussian_epsilon(noise_multiplier: float, delta: float) -> float:
    """Return the exact epsilon of one Gaussian release (Balle and Wang, 2018, Theorem 8)."""
    with np.errstate(divide="ignore"):  # with next to no noise it takes the logarithm of 0, rightly
        return float(dp_accounting().get_epsilon_gaussian(noise_multiplier, delta))


def gaussian_delta(noise_multiplier: float, epsilon: float) -> float:
    """Return the exact delta of one Gaussian release (Balle and Wang, 2018, Theorem 8)."""
    from scipy.stats import norm

    mean, shift = 1 / (2 * noise_multiplier), epsilon * noise_multiplier
    above, below = norm.logcdf(mean - shift), epsilon + norm.logcdf(-mean - shift)
    return float(np.exp(above) * -np.expm1(below - above)) if below < above else 0.0


def gaussian_sigma(epsilon: float, delta: float) -> float:
    """Return the exact noise multiplier of one Gaussian release (Balle and Wang, 2018, Theorem 8)."""
    return float(dp_accounting().get_sigma_gaussian(epsilon, delta))


def gaussian_pld(noise_multiplier: float, *, rate: float, replace: bool, interval: float) -> PldOfOne:
    """Return the privacy losses of one Gaussian release on a Poisson sample.

    Unlike the Renyi accountant, this one takes the sensitivity 2C of replace into account on its own.
    """
    return _plds().from_gaussian_mechanism(
        noise_multiplier,
        sampling_prob=rate,
        value_discretization_interval=interval,
        neighboring_relation=_relation(replace=replace),
    )


def truncated_gaussian_pld(
    noise_multiplier: float, *, rate: float, population: int, cap: int, replace: bool, interval: float
) -> PldOfOne:
    """Return the privacy losses of one release on a truncated Poisson sample (Ganesh et al., 2025)."""
    return _plds().from_truncated_subsampled_gaussian_mechanism(
        population,
        rate,
        cap,
        noise_multiplier,
        value_discretization_interval=interval,
        neighboring_relation=_relation(replace=replace),
    )


def laplace_pld(noise_multiplier: float, *, rate: float, interval: float) -> PldOfOne:
    """Return the privacy losses of one Laplace release on a Poisson sample, zero-out or add/remove."""
    return _plds().from_laplace_mechanism(
        noise_multiplier, sampling_prob=rate, value_discretization_interval=interval
    )


def pld_through(rungs: np.ndarray, deltas: np.ndarray, *, interval: float) -> PldOfOne:
    """Return symmetric privacy losses on a grid that dominate those with given deltas.

    Args:
        rungs: Losses in units of `interval`, whole numbers in increasing order.
        deltas: The least delta for each of them as epsilon.
        interval: Width of the grid.

    Source: Doroshenko et al., "Connect the Dots", 2022, Algorithm 1.
    """
    dp_accounting()
    from dp_accounting.pld import pld_pmf

    return _plds().PrivacyLossDistribution(
        pld_pmf.create_pmf_pessimistic_connect_dots(interval, rungs, deltas)
    )


def _plds() -> Any:
    dp_accounting()
    from dp_accounting.pld import privacy_loss_distribution

    return privacy_loss_distribution


def _relation(*, replace: bool) -> Any:
    relations = dp_accounting().NeighboringRelation
    return relations.REPLACE_ONE if replace else relations.ADD_OR_REMOVE_ONE

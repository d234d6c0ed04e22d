"""What is asked of canaries, whatever carried them: clients in rounds, or records in steps."""

from __future__ import annotations

import math

import numpy as np

from hansa.audit.finding import Finding
from hansa.audit.loss import epsilon_lower_bound
from hansa.audit.scores import ROUNDING, TOLERANCE, Scores, far


def clip(scores: Scores) -> Finding:
    """Return how far one canary moves a sum, in clips: a missing or wrong clip makes it more."""
    there = scores.inserted
    if not there.any():
        return Finding(name="clip", words="", skipped="no canary is in a release")
    weight = scores.parts[there]
    moved = float((scores.raw[there] * weight).sum() / (weight**2).sum())
    chance = far() / math.sqrt(float((weight**2).sum()))
    return Finding(
        name="clip",
        words=f"on average over {there.sum()} canaries, each moves a sum by {moved:.3g} times the clip",
        measured=moved,
        low=max(0.0, 1 - TOLERANCE - chance),
        high=1 + TOLERANCE + chance,
    )


def heavy(scores: Scores) -> Finding:
    """Return the loss of the client that has 90 % of the data: what weights without a bound make more."""
    part = float(scores.parts[-1])
    if not part:
        return Finding(name="largest client", words="", skipped="it took part in no round")
    loss = float(scores.found[-1])
    return Finding(
        name="largest client",
        words=f"the client with 90 % of the data loses {loss / part:.3g} times what is claimed",
        measured=loss / part,
        high=1 + TOLERANCE + far() / part,
    )


def noise(scores: Scores) -> list[Finding]:
    """Return the deviation of the noise over what the plan claims: of all releases together, and of each."""
    count, ratios = scores.noise.shape[1], np.sqrt(np.diag(scores.covariance))
    whole = float(np.sqrt(np.mean(ratios**2)))
    worst = float(ratios[np.argmax(np.abs(ratios - 1))])
    chance = far() / math.sqrt(2 * count * len(ratios))
    chance_each = far(len(ratios)) / math.sqrt(2 * count)
    return [
        Finding(
            name="noise",
            words=f"noise has {whole:.3g} times the deviation that is claimed",
            measured=whole,
            low=1 - ROUNDING - chance,
            high=1 + TOLERANCE + chance,
        ),
        Finding(
            name="noise of each release",
            words=f"in the worst of {len(ratios)} releases it has {worst:.3g} times that deviation",
            measured=worst,
            low=1 - ROUNDING - chance_each,
            high=1 + TOLERANCE + chance_each,
        ),
    ]


def reuse(scores: Scores) -> Finding:
    """Return the deviation of the difference of two releases, over that for independent noise, √2 z C."""
    covariance, count = scores.covariance, scores.noise.shape[1]
    if scores.turned is not None:  # a rotation of its own in each round hides that noise is the same
        covariance = scores.turned @ scores.turned.T / count
    spread = np.sqrt(np.diag(covariance))
    if len(spread) < 2:
        return Finding(name="noise reused", words="", skipped="there is one release only")
    products = np.outer(spread, spread)
    alike = np.divide(covariance, products, out=np.zeros_like(covariance), where=products > 1e-9)
    alike = np.abs(alike[np.triu_indices(len(spread), 1)])
    chance = far(len(alike)) / math.sqrt(count)
    least = math.sqrt(max(0.0, 1 - float(alike.max())))
    return Finding(
        name="noise reused",
        words=f"two releases differ by {least:.3g} of what independent noise makes, at least",
        measured=least,
        low=math.sqrt(1 - min(chance, 0.75)),
    )


def separation(scores: Scores) -> Finding:
    """Return how far apart worlds with and without a canary are, in deviations of the noise found.

    Source:
        Andrew, Kairouz, Oh, Oprea, McMahan, Suriyakumar 2023, One-shot Empirical Privacy Estimation for
        Federated Learning, section 3: the statistic is the product of canary and releases. Dong, Roth, Su
        2022, Gaussian Differential Privacy, for μ.
    """
    there, absent = scores.inserted, scores.held_out
    if there.sum() < 2 or absent.sum() < 2:
        return Finding(name="separation", words="", skipped="too few canaries took part")
    measured = float(scores.found[there].mean() - scores.found[absent].mean())
    claim = scores.apart * float(scores.parts[there | absent].mean())
    chance = far() * math.sqrt(1 / there.sum() + 1 / absent.sum())
    return Finding(
        name="separation",
        words=f"worlds with and without a canary are {measured:.3g} deviations apart; {claim:.3g} is claimed",
        measured=measured,
        high=claim * (1 + TOLERANCE) + chance,
    )


def epsilon(scores: Scores, *, claimed: float, delta: float) -> Finding:
    """Return the epsilon that a guesser proves, which must not be above the one that the plan tells."""
    proven = epsilon_lower_bound(scores.guessed[scores.tossed], scores.sent[scores.tossed] > 0, delta=delta)
    return Finding(
        name="epsilon",
        words=f"a guesser proves an epsilon of {proven:.2f}; the plan tells {claimed:.2f}",
        measured=proven,
        high=claimed,
    )

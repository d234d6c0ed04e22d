"""What is asked of a run of canaries."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from hansa.audit.cohorts import cohorts
from hansa.audit.finding import Finding
from hansa.audit.loss import epsilon_lower_bound
from hansa.audit.pipeline import Seen
from hansa.audit.scores import ROUNDING, TOLERANCE, Scores, far
from hansa.privacy import AdaptiveClip, MatrixDP


def findings(seen: Seen, *, claimed: float, delta: float) -> tuple[tuple[Finding, ...], float]:
    """Return what is found in a run of canaries, and the epsilon that is proven.

    Args:
        seen: What was seen.
        claimed: The epsilon that the plan tells.
        delta: The delta that it is told for.
    """
    scores = Scores(seen=seen)
    if not scores.opened.any():
        why = seen.records[0].void or "no client sent anything"
        return (Finding(name="releases", words=f"nothing was released: {why}", low=1.0),), 0.0
    proven = _proven(scores, delta)
    asked = [
        _clip(scores),
        _heavy(scores),
        *_noise(scores),
        _reuse(scores),
        _clip_of_round(scores),
        _bits(scores),
        _denominator(scores),
        cohorts(seen),
        _separation(scores),
        Finding(
            name="epsilon",
            words=f"a guesser proves an epsilon of {proven:.2f}; the plan tells {claimed:.2f}",
            measured=proven,
            high=claimed,
        ),
    ]
    return tuple(finding for finding in asked if finding is not None), proven


def _coins(scores: Scores) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Return who sent a canary and who did not, of those whom a coin decided on and who took part."""
    sent, played = scores.seen.sent[:-1], scores.played[:-1]
    return (sent > 0) & played, (sent <= 0) & played


def _clip(scores: Scores) -> Finding:
    """How far one client moves a sum, in clips: what a missing or wrong clip makes more."""
    there = scores.seen.sent[:-1] > 0
    there &= scores.played[:-1]
    weight = scores.parts[:-1][there]
    moved = float((scores.raw[:-1][there] * weight).sum() / (weight**2).sum())
    chance = far() / math.sqrt(float((weight**2).sum()))
    return Finding(
        name="clip",
        words=f"a client moves a sum by {moved:.3g} times the clip, on average over {there.sum()} canaries",
        measured=moved,
        low=max(0.0, 1 - TOLERANCE - chance),
        high=1 + TOLERANCE + chance,
    )


def _heavy(scores: Scores) -> Finding:
    """The loss of the client that has 90 % of the data: what weights without a bound make more."""
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


def _noise(scores: Scores) -> list[Finding]:
    """The deviation of the noise over what the plan claims: of all releases together, and of each."""
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


def _reuse(scores: Scores) -> Finding:
    """The deviation of the difference of two releases, over that for independent noise, √2 z C."""
    covariance, count = scores.covariance, scores.noise.shape[1]
    if scores.seen.drawn is not None:  # a rotation of its own in each round hides that noise is the same
        drawn = scores.seen.drawn[scores.opened]
        covariance = drawn @ drawn.T / count
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


def _clip_of_round(scores: Scores) -> Finding | None:
    """How noise follows the clip of the next round, in place of the one that was clipped to: 0 is not."""
    seen = scores.seen
    if not isinstance(seen.private.clip, AdaptiveClip):
        return None
    grown = np.log(np.array(seen.clips[1:]) / np.array(seen.clips[:-1]))
    noise = np.log(np.maximum(np.sqrt(np.diag(scores.covariance)), 1e-12))[:-1]
    square = float((grown**2).sum())
    follows = float((noise * grown).sum() / square) if square else 0.0
    chance = far() / math.sqrt(2 * scores.noise.shape[1] * square) if square else math.inf
    name = "clip of the round"
    if chance > 0.5:
        return Finding(name=name, words="", skipped="the clip hardly moved")
    return Finding(
        name=name,
        words=f"noise follows the clip of the next round to the power {follows:.2g}; its own is right",
        measured=abs(follows),
        high=max(chance, 0.25),
    )


def _bits(scores: Scores) -> Finding | None:
    """The noise in the number of updates within the clip, as the moves of the clip show it."""
    seen, private = scores.seen, scores.seen.private
    if not isinstance(private.clip, AdaptiveClip):
        return None
    from scipy.stats import chi2

    adapts, expected = private.clip, private.expected
    share = adapts.target_unclipped - np.diff(np.log(seen.clips)) / adapts.lr
    if share.min() < -1e-6 or share.max() > 1 + 1e-6:
        told = "the clip moved farther than any share of clipped updates lets it"
        return Finding(name="noise of bits", words=told, measured=math.inf, high=1.0)
    short = (seen.there & (seen.sent == 0)).sum(axis=1) - (seen.there & (seen.sent != 0)).sum(axis=1)
    free = (share > 1e-6) & (share < 1 - 1e-6)
    strays = ((share - 0.5) * expected - short[:-1] / 2)[free] / adapts.noise_of_bits(private.noise, expected)
    if len(strays) < 2:
        return Finding(name="noise of bits", words="", skipped="the clip moved as far as it can")
    measured = float(np.sqrt(np.mean(strays**2)))
    low, high = chi2.ppf([1e-6, 1 - 1e-6], len(strays))
    return Finding(
        name="noise of bits",
        words=f"the number of clipped updates has {measured:.2g} times the noise that is claimed",
        measured=measured,
        low=math.sqrt(low / len(strays)),
        high=math.sqrt(high / len(strays)),
    )


def _denominator(scores: Scores) -> Finding:
    """What is released where clients fall silent, over what it is else: 1 with a fixed denominator."""
    seen, name = scores.seen, "denominator"
    told = "with clients silent, what is released is {:.3g} times as large"
    if seen.single:
        worst = max(seen.ratios, key=lambda ratio: abs(ratio - 1))
        return Finding(name=name, words=told.format(worst), measured=worst, low=0.999, high=1.001)
    void = np.array([bool(record.void) for record in seen.records])
    if not isinstance(seen.private, MatrixDP) and np.any(seen.moved[void]):
        return Finding(name=name, words="a void round moved the model", measured=math.inf, high=0.0)
    ratios = np.full(len(void), np.nan)
    ratios[scores.opened] = np.sqrt(np.diag(scores.covariance))
    usual, quiet = ratios[:-2][scores.opened[:-2]], ratios[-2:][scores.opened[-2:]]
    if not len(quiet) or not len(usual):
        return Finding(name=name, words="", skipped="rounds with silent clients are void")
    ratio = quiet / max(float(np.sqrt(np.mean(usual**2))), 1e-12)
    worst = float(ratio[np.argmax(np.abs(ratio - 1))])
    chance = 1.5 * far(len(ratio)) / math.sqrt(2 * scores.noise.shape[1])
    low, high = 1 - TOLERANCE - chance, 1 + TOLERANCE + chance
    return Finding(name=name, words=told.format(worst), measured=worst, low=low, high=high)


def _separation(scores: Scores) -> Finding:
    """How far apart the world with a canary is from that without, in deviations of the noise that was found.

    Source:
        Andrew, Kairouz, Oh, Oprea, McMahan, Suriyakumar 2023, One-shot Empirical Privacy Estimation for
        Federated Learning, section 3: the statistic is the product of canary and releases. Dong, Roth, Su
        2022, Gaussian Differential Privacy, for μ.
    """
    there, absent = _coins(scores)
    if there.sum() < 2 or absent.sum() < 2:
        return Finding(name="separation", words="", skipped="too few canaries took part")
    measured = float(scores.found[:-1][there].mean() - scores.found[:-1][absent].mean())
    apart = 2.0 if scores.seen.private.compared == "replace" else 1.0
    claim = apart * float(scores.parts[:-1][there | absent].mean())
    chance = far() * math.sqrt(1 / there.sum() + 1 / absent.sum())
    return Finding(
        name="separation",
        words=f"worlds with and without a canary are {measured:.3g} deviations apart; {claim:.3g} is claimed",
        measured=measured,
        high=claim * (1 + TOLERANCE) + chance,
    )


def _proven(scores: Scores, delta: float) -> float:
    private, sent = scores.seen.private, scores.seen.sent[:-1]
    seen = scores.blind if private.secret_cohort else scores.found
    return epsilon_lower_bound(seen[:-1], sent > 0, delta=delta)

"""What is asked of a run of canary clients, round by round."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from hansa.audit import checks
from hansa.audit.cohorts import cohorts
from hansa.audit.finding import Finding
from hansa.audit.pipeline import Seen
from hansa.audit.scores import TOLERANCE, Floats, Scores, far
from hansa.privacy import AdaptiveClip, CentralDP, DistributedDP, LocalDP, MatrixDP


def findings(seen: Seen, *, claimed: float, delta: float) -> tuple[Finding, ...]:
    """Return what is found in a run of canary clients.

    Args:
        seen: What was seen.
        claimed: The epsilon that the plan tells.
        delta: The delta that it is told for.
    """
    if not _opened(seen).any():
        why = seen.records[0].void or "no client sent anything"
        return (Finding(name="releases", words=f"nothing was released: {why}", low=1.0),)
    scores = scores_of(seen)
    asked = [
        checks.clip(scores),
        checks.heavy(scores),
        *checks.noise(scores),
        checks.reuse(scores),
        _clip_of_round(seen, scores),
        _bits(seen),
        _denominator(seen, scores),
        cohorts(seen),
        checks.separation(scores),
        checks.epsilon(scores, claimed=claimed, delta=delta),
    ]
    return tuple(finding for finding in asked if finding is not None)


def scores_of(seen: Seen) -> Scores:
    """Return what was seen in units of the noise that the plan claims.

    With `MatrixDP` releases are brought back to independent ones by the strategy's own matrix.
    """
    private, there, opened = seen.private, seen.there.astype(np.float64), _opened(seen)
    if isinstance(private, MatrixDP):
        column = private.correlation.coefficients()
        apart = np.subtract.outer(np.arange(len(column)), np.arange(len(column)))
        matrix = np.where(apart >= 0, column[apart], 0.0)
        matrix /= private.correlation.sensitivity() * private.noise
        values, patterns = matrix @ seen.releases, matrix @ there
    else:
        claimed = _claimed(seen)[:, None]
        values, patterns = seen.releases / claimed, there / claimed
    return Scores(
        values=values[opened],
        patterns=patterns[opened],
        sent=seen.sent,
        tossed=np.arange(len(seen.sent)) < len(seen.sent) - 1,
        apart=2.0 if private.compared == "replace" else 1.0,
        secret=private.secret_cohort,
        turned=None if seen.drawn is None else seen.drawn[opened],
    )


def _claimed(seen: Seen) -> Floats:
    """Return the deviation of the noise of each release, in clips, as the plan has it."""
    private = seen.private
    z = private.noise_of_updates if isinstance(private, CentralDP) else private.noise
    claimed = np.full(len(seen.releases), z)
    if isinstance(private, DistributedDP):
        # All who answer bring a share; those who must, bring all of it.
        claimed *= np.sqrt(seen.answered / private.sharers)
    elif isinstance(private, LocalDP) and not seen.single:
        claimed *= np.sqrt(seen.answered)
    return np.where(claimed > 0, claimed, 1.0)


def _opened(seen: Seen) -> NDArray[np.bool_]:
    """Return which releases there were: those of void rounds are none, but with `MatrixDP`."""
    if seen.single or isinstance(seen.private, MatrixDP):
        return np.ones(len(seen.releases), np.bool_)
    void = np.array([bool(record.void) for record in seen.records])
    return ~void & ((seen.answered > 0) | isinstance(seen.private, CentralDP))


def _clip_of_round(seen: Seen, scores: Scores) -> Finding | None:
    """How noise follows the clip of the next round, in place of the one that was clipped to: 0 is not."""
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


def _bits(seen: Seen) -> Finding | None:
    """The noise in the number of updates within the clip, as the moves of the clip show it."""
    private = seen.private
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


def _denominator(seen: Seen, scores: Scores) -> Finding:
    """What is released where clients fall silent, over what it is else: 1 with a fixed denominator."""
    name = "denominator"
    told = "with clients silent, what is released is {:.3g} times as large"
    if seen.single:
        worst = max(seen.ratios, key=lambda ratio: abs(ratio - 1))
        return Finding(name=name, words=told.format(worst), measured=worst, low=0.999, high=1.001)
    opened, void = _opened(seen), np.array([bool(record.void) for record in seen.records])
    if not isinstance(seen.private, MatrixDP) and np.any(seen.moved[void]):
        return Finding(name=name, words="a void round moved the model", measured=math.inf, high=0.0)
    ratios = np.full(len(void), np.nan)
    ratios[opened] = np.sqrt(np.diag(scores.covariance))
    usual, quiet = ratios[:-2][opened[:-2]], ratios[-2:][opened[-2:]]
    if not len(quiet) or not len(usual):
        return Finding(name=name, words="", skipped="rounds with silent clients are void")
    ratio = quiet / max(float(np.sqrt(np.mean(usual**2))), 1e-12)
    worst = float(ratio[np.argmax(np.abs(ratio - 1))])
    chance = 1.5 * far(len(ratio)) / math.sqrt(2 * scores.noise.shape[1])
    low, high = 1 - TOLERANCE - chance, 1 + TOLERANCE + chance
    return Finding(name=name, words=told.format(worst), measured=worst, low=low, high=high)

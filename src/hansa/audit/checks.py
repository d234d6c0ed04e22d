"""What is asked of a run of canaries, and how much the answers may stray by chance.

With noise in units of what the plan claims, each direction of each release that nobody sends is a standard
normal number, and a canary's is one with its part in the release as mean. All bounds leave room for five to six
standard deviations, so that a pipeline that does what it says fails about once in a million audits.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from hansa.audit.finding import Finding
from hansa.audit.loss import epsilon_lower_bound
from hansa.audit.pipeline import Seen
from hansa.privacy import AdaptiveClip, CentralDP, DistributedDP, LocalDP, MatrixDP

Floats = NDArray[np.float64]
TOLERANCE = 0.05
"""What rounding to grids and the like may add to or take from a ratio."""
FAR = 5.5
"""Standard deviations that chance is given."""


@dataclass(frozen=True, kw_only=True)
class Scores:
    """What was seen, in units in which the noise that the plan claims has deviation 1.

    With `MatrixDP` releases are brought back to independent ones by the strategy's own matrix.

    Attributes:
        seen: What was seen.
    """

    seen: Seen

    @cached_property
    def _units(self) -> tuple[Floats, Floats]:
        """Return releases and parts of clients in them, in units of the noise."""
        seen, private = self.seen, self.seen.private
        there = seen.there.astype(np.float64)
        if isinstance(private, MatrixDP):
            column = private.correlation.coefficients()
            rounds = len(column)
            matrix = np.array([[column[i - j] if i >= j else 0.0 for j in range(rounds)] for i in range(rounds)])
            matrix /= private.correlation.sensitivity()
            return matrix @ seen.releases / private.noise, matrix @ there / private.noise
        return seen.releases / self.claimed[:, None], there / self.claimed[:, None]

    @cached_property
    def claimed(self) -> Floats:
        """Deviation of the noise of each release, in clips, as the plan has it; 0 where none is due."""
        seen, private = self.seen, self.seen.private
        z = private.noise_of_updates if isinstance(private, CentralDP) else private.noise
        claimed = np.full(len(seen.releases), z)
        if isinstance(private, DistributedDP):
            # All who answer bring a share; those who must, bring all of it.
            claimed *= np.sqrt(seen.answered / private.sharers)
        elif isinstance(private, LocalDP) and not seen.single:
            claimed *= np.sqrt(seen.answered)
        return np.where(claimed > 0, claimed, 1.0)

    @cached_property
    def opened(self) -> NDArray[np.bool_]:
        """Which releases there were: those of void rounds are none, but with `MatrixDP`."""
        seen, private = self.seen, self.seen.private
        if seen.single or isinstance(private, MatrixDP):
            return np.ones(len(seen.releases), np.bool_)
        void = np.array([bool(record.void) for record in seen.records])
        return ~void & ((seen.answered > 0) | isinstance(private, CentralDP))

    @cached_property
    def noise(self) -> Floats:
        """Directions that nobody sends, shape ``(releases that were opened, unused)``."""
        return self._units[0][self.opened, self.seen.there.shape[1] :]

    @cached_property
    def covariance(self) -> Floats:
        """Of the noise of releases, from directions that nobody sends."""
        return self.noise @ self.noise.T / self.noise.shape[1]

    @cached_property
    def _patterns(self) -> Floats:
        """What each client adds to each release along its direction, if it sends its canary."""
        return self._units[1][self.opened]

    @cached_property
    def parts(self) -> Floats:
        """How strong each client is in all releases together, in deviations of the claimed noise."""
        return np.sqrt(np.einsum("ri,ri->i", self._patterns, self._patterns))

    @cached_property
    def played(self) -> NDArray[np.bool_]:
        """Which clients took part at all."""
        return self.parts > 0

    @cached_property
    def raw(self) -> Floats:
        """Each client's direction in all releases together, in deviations of the claimed noise."""
        values = self._units[0][self.opened][:, : len(self.parts)]
        return np.einsum("ri,ri->i", self._patterns, values) / np.where(self.played, self.parts, 1.0)

    @cached_property
    def found(self) -> Floats:
        """The same, in deviations of the noise that was found."""
        spread = np.einsum("ri,rs,si->i", self._patterns, self.covariance, self._patterns, optimize=True)
        spread = np.sqrt(np.maximum(spread, 1e-18)) / np.where(self.played, self.parts, 1.0)
        return self.raw / spread

    @cached_property
    def blind(self) -> Floats:
        """Each client's direction in the sum of all releases: for who does not know who took part when."""
        return self._units[0][self.opened][:, : len(self.parts)].sum(axis=0)


def findings(seen: Seen, *, claimed: float, delta: float) -> tuple[tuple[Finding, ...], float]:
    """Return what is found in a run of canaries, and the epsilon that is proven.

    Args:
        seen: What was seen.
        claimed: The epsilon that the plan tells.
        delta: The delta that it is told for.
    """
    scores = Scores(seen=seen)
    proven = _proven(scores, delta)
    asked = [
        _clip(scores),
        _heavy(scores),
        _noise(scores),
        _reuse(scores),
        _clip_of_round(scores),
        _bits(scores),
        _denominator(scores),
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
    chance = FAR / math.sqrt(float((weight**2).sum()))
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
        high=1 + TOLERANCE + FAR / part,
    )


def _noise(scores: Scores) -> Finding:
    """The deviation of the noise of each release over what the plan claims."""
    count = scores.noise.shape[1]
    ratios = np.sqrt(np.diag(scores.covariance))
    chance = (FAR + math.sqrt(2 * math.log(len(ratios)))) / math.sqrt(2 * count)
    low, high = float(ratios.min()), float(ratios.max())
    worst = low if 1 - low > high - 1 else high
    whole = float(np.sqrt(np.mean(ratios**2)))
    return Finding(
        name="noise",
        words=f"noise has {whole:.3g} times the deviation that is claimed, and {worst:.3g} in the worst of "
        f"{len(ratios)} releases",
        measured=worst,
        low=1 - 0.01 - chance,
        high=1 + TOLERANCE + chance,
    )


def _reuse(scores: Scores) -> Finding:
    """The deviation of the difference of two releases, over that for independent noise, √2 z C."""
    covariance, count = scores.covariance, scores.noise.shape[1]
    spread = np.sqrt(np.diag(covariance))
    if len(spread) < 2:
        return Finding(name="noise reused", words="", skipped="there is one release only")
    products = np.outer(spread, spread)
    alike = np.divide(covariance, products, out=np.zeros_like(covariance), where=products > 1e-9)
    alike = np.abs(alike[np.triu_indices(len(spread), 1)])
    chance = (FAR + math.sqrt(2 * math.log(len(alike)))) / math.sqrt(count)
    least = math.sqrt(max(0.0, 1 - float(alike.max())))
    return Finding(
        name="noise reused",
        words=f"the difference of two releases has {least:.3g} of the deviation of independent noise, at least",
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
    chance = FAR / math.sqrt(2 * scores.noise.shape[1] * square) if square else math.inf
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
    """What is released where clients fall silent, over what it is where all answer: 1 with a fixed denominator."""
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
    chance = 1.5 * FAR / math.sqrt(2 * scores.noise.shape[1])
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
    chance = FAR * math.sqrt(1 / there.sum() + 1 / absent.sum())
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

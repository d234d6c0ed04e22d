"""How much noise a budget asks for, and how many rounds it allows. The promise holds for what is returned.

A search begins with Renyi curves (milliseconds), goes on with privacy losses on a coarse grid (tenths of a
second) and ends with those on the fine grid (seconds), so that few of the last are needed.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TypeVar

from hansa.errors import ConfigurationError
from hansa.privacy import losses, upstream
from hansa.privacy.accountant import spent
from hansa.privacy.budget import check_delta, check_epsilon
from hansa.privacy.events import Event
from hansa.privacy.terms import Neighbours, UnaccountableError

_LEAST_NOISE, _MOST_NOISE = 0.02, 1e6
_MOST_ROUNDS = 10**8
_CLOSE = 1e-5  # relative, of a noise multiplier

Number = TypeVar("Number", int, float)
Epsilon = Callable[[Event], float]

_calibrated: dict[tuple[object, ...], tuple[float, Event]] = {}


def noise_multiplier(
    event_of: Callable[[float], Event],
    *,
    epsilon: float,
    delta: float,
    neighbours: Neighbours,
    progress: Callable[[str], None] | None = None,
) -> float:
    """Return the least noise multiplier with which a run stays within a budget, rounded up to 6 digits.

    Args:
        event_of: The whole run for a noise multiplier; more noise must not make it less private.
        epsilon: The budget, greater than 0.
        delta: The budget's delta, between 0 and 1.
        neighbours: The neighbouring relation.
        progress: Is given a line of text now and then; the search takes up to some ten seconds. What was
            found is remembered for as long as the process lives.

    Raises:
        ConfigurationError: If a value is out of range, or no noise between 0.02 and a million does.

    Guarantees:
        ``spent(event_of(z), ...)`` is at most epsilon, and within about 1e-5 of it relative to z.

    Example:
        >>> from hansa.privacy.events import Gaussian, Repeated
        >>> def run(z):
        ...     return Repeated(event=Gaussian(noise_multiplier=z), count=10)
        >>> z = noise_multiplier(run, epsilon=17.8566, delta=1e-5, neighbours="zero-out")
        >>> round(z, 4)
        1.0
    """
    check_epsilon(epsilon)
    check_delta(delta)
    tell = progress or _silent
    key = (event_of(1.0), event_of(2.0), epsilon, delta, neighbours)
    if key in _calibrated and event_of(_calibrated[key][0]) == _calibrated[key][1]:
        return _calibrated[key][0]
    quick, coarse, fine = _accountants(delta, neighbours)
    tell(f"looking for the noise multiplier for epsilon {epsilon:g} at delta {delta:g}")
    inside, outside = _bracket(lambda z: quick(event_of(z)), epsilon, 1.0)
    inside, outside = _close_in(lambda z: quick(event_of(z)), epsilon, inside, outside, 0.01)
    inside, outside = _bracket(lambda z: coarse(event_of(z)), epsilon, inside, step=1.1)
    inside, outside = _close_in(lambda z: coarse(event_of(z)), epsilon, inside, outside, 1e-3)
    slope = _slope(lambda z: coarse(event_of(z)), inside, outside)
    tell(f"noise multiplier about {inside:.4g}; refining")
    z = _refine(lambda z: fine(event_of(z)), epsilon, inside, slope, tell)
    _calibrated[key] = z, event_of(z)
    return z


def rounds(
    event_of: Callable[[int], Event],
    *,
    epsilon: float,
    delta: float,
    neighbours: Neighbours,
    progress: Callable[[str], None] | None = None,
) -> int:
    """Return the largest number of rounds that stays within a budget; 0 if not even one does.

    Args:
        event_of: The run of so many rounds, 1 or more; more rounds must not make it more private.
        epsilon: The budget, greater than 0.
        delta: The budget's delta, between 0 and 1.
        neighbours: The neighbouring relation.
        progress: Is given a line of text now and then.

    Raises:
        ConfigurationError: If a value is out of range, or a hundred million rounds are within the budget.

    Example:
        >>> from hansa.privacy.events import Gaussian, Repeated
        >>> def run(count):
        ...     return Repeated(event=Gaussian(noise_multiplier=10.0), count=count)
        >>> rounds(run, epsilon=2.9433, delta=1e-5, neighbours="zero-out")
        50
    """
    check_epsilon(epsilon)
    check_delta(delta)
    tell = progress or _silent
    tell(f"looking for the number of rounds within epsilon {epsilon:g} at delta {delta:g}")
    quick, coarse, fine = _accountants(delta, neighbours)
    guess = 1
    for account in (quick, coarse, fine):
        found = _most(lambda count, of=account: of(event_of(count)), epsilon, guess)
        tell(f"at least {found} rounds")
        guess = max(found, 1)
    return found


def gaussian_sigma(*, epsilon: float, delta: float) -> float:
    """Return the noise multiplier of a single Gaussian release, exactly and rounded up.

    For local privacy: multiply by the sensitivity, which is twice the clip, for a client's whole update is
    replaced by another.

    Source: Balle and Wang, "Improving the Gaussian Mechanism for Differential Privacy", 2018, Theorem 8.

    Example:
        >>> gaussian_sigma(epsilon=1.0, delta=1e-5)
        3.73064
    """
    check_epsilon(epsilon)
    check_delta(delta)
    return _round_up(upstream.gaussian_sigma(epsilon, delta) * (1 + 1e-9))


def adaptive_split(noise_multiplier: float, bit_noise: float) -> float:
    """Return the noise multiplier of the sum of updates if a part of the budget goes to the clipped bits.

    The sum of the bits b - 1/2, by which the clip adapts, gets its own noise. Both releases together are as
    private as one with `noise_multiplier`.

    Args:
        noise_multiplier: Of both together, z.
        bit_noise: Standard deviation of the noise on the sum of the bits, sigma_b, greater than z/2; Andrew
            et al. take a twentieth of the expected cohort.

    Raises:
        ConfigurationError: If the bits alone would cost more than everything may.

    Source: Andrew, Thakkar, McMahan and Ramaswamy, "Differentially Private Learning with Adaptive Clipping",
    2021, Theorem 1: z_delta = (z^-2 - (2 sigma_b)^-2)^(-1/2).

    Example:
        >>> round(adaptive_split(1.0, 20 / 20), 6), round(adaptive_split(0.5, 50 / 20), 6)
        (1.154701, 0.502519)
    """
    for name, value in (("noise_multiplier", noise_multiplier), ("bit_noise", bit_noise)):
        if not 0 < value < math.inf:
            raise ConfigurationError(f"{name} must be greater than 0 and finite, got {value}.")
    if 2 * bit_noise <= noise_multiplier:
        raise ConfigurationError(
            f"bit_noise must be above {noise_multiplier / 2:g}, half the noise multiplier, got "
            f"{bit_noise:g}: "
            "the clipped bits alone would use up the budget. Take a larger cohort or a fixed clip."
        )
    return (noise_multiplier**-2 - (2 * bit_noise) ** -2) ** -0.5


def _accountants(delta: float, neighbours: Neighbours) -> tuple[Epsilon, Epsilon, Epsilon]:
    def quick(event: Event) -> float:
        try:
            return spent(event, delta=delta, neighbours=neighbours, accountant="rdp").epsilon
        except UnaccountableError:
            return coarse(event)

    def coarse(event: Event) -> float:
        return spent(event, delta=delta, neighbours=neighbours, interval=losses.COARSE).epsilon

    def fine(event: Event) -> float:
        return spent(event, delta=delta, neighbours=neighbours).epsilon

    return quick, coarse, fine


def _bracket(
    f: Callable[[float], float], target: float, start: float, *, step: float = 2.0
) -> tuple[float, float]:
    """Return two noise multipliers, one within the target and one not."""
    x, least, most = start, _LEAST_NOISE, _MOST_NOISE
    if f(x) <= target:
        while f(x / step) <= target:
            x, step = x / step, step * step
            if x / step < least:
                raise ConfigurationError(
                    f"epsilon={target:g} is met with a noise multiplier below {least:g}: no protection. "
                    "State a smaller epsilon, or release without a claim of privacy."
                )
        return x, x / step
    while f(x * step) > target:
        x, step = x * step, step * step
        if x * step > most:
            raise ConfigurationError(
                f"no noise multiplier up to {most:g} meets epsilon={target:g}. State a larger epsilon, fewer "
                "rounds or a smaller rate."
            )
    return x * step, x


def _close_in(
    f: Callable[[float], float], target: float, inside: float, outside: float, close: float
) -> tuple[float, float]:
    """Narrow a bracket until its ends are relatively close; false position in logs, with Illinois weights."""
    low, high = _height(f(inside), target), _height(f(outside), target)
    side = 0
    while abs(math.log(inside / outside)) > close:
        share = low / (low - high) if math.isfinite(low - high) and low != high else 0.5
        share = min(max(share, 0.02), 0.98)
        x = inside * (outside / inside) ** share
        height = _height(f(x), target)
        if height <= 0:
            inside, low, high = x, height, high / 2 if side == 1 else high
            side = 1
        else:
            outside, high, low = x, height, low / 2 if side == -1 else low
            side = -1
    return inside, outside


def _height(epsilon: float, target: float) -> float:
    return math.log(epsilon / target) if epsilon > 0 else -math.inf


def _slope(f: Callable[[float], float], inside: float, outside: float) -> float:
    """Return d log epsilon / d log z, at most -0.1."""
    rise = _height(f(inside), f(outside))
    return min(rise / math.log(inside / outside), -0.1) if math.isfinite(rise) else -1.0


def _refine(
    f: Callable[[float], float], target: float, start: float, slope: float, tell: Callable[[str], None]
) -> float:
    x, best = _round_up(start), math.inf
    for _ in range(6):
        epsilon = f(x)
        tell(f"noise multiplier {x:g}: epsilon {epsilon:.5f}")
        off = max(_height(epsilon, target), -1.0) / slope
        if epsilon <= target:
            best = min(best, x)
            if off < 2 * _CLOSE:
                break
        x = _round_up(min(x * math.exp(-off), x * 1.5) * (1 + _CLOSE / 4))
        if x >= best:
            break
    if not math.isfinite(best):
        raise ConfigurationError(
            f"the search for epsilon={target:g} did not converge; state it with fewer digits."
        )
    return best


def _round_up(x: float) -> float:
    digits = 5 - math.floor(math.log10(x))
    return round(math.ceil(x * 10**digits - 1e-6) / 10**digits, max(digits, 0))


def _most(f: Callable[[int], float], target: float, guess: int) -> int:
    """Return the largest count within the target, near a guess or far from it."""
    if f(guess) > target:
        inside, outside = 0, guess
    else:
        inside, step = guess, max(1, guess // 500)
        while f(inside + step) <= target:
            inside, step = inside + step, step * 2
            if inside > _MOST_ROUNDS:
                raise ConfigurationError(
                    f"more than {_MOST_ROUNDS:,} rounds are within epsilon={target:g}; nothing limits them."
                )
        outside = inside + step
    while outside - inside > 1:
        middle = (inside + outside) // 2
        if f(middle) <= target:
            inside = middle
        else:
            outside = middle
    return inside


def _silent(_: str) -> None:
    """Say nothing."""

"""What a sealed sum is computed with, derived and checked before anything is sealed.

Source:
    The sum is key-homomorphic Ring-LWE encryption as in ACORN (Bell et al., ePrint 2022/1461); the tables of
    security levels are those of the homomorphic-encryption standard (Albrecht et al., 2018) against classical
    attacks, and of Bossuat et al., ePrint 2024/463, against quantum ones.
"""

from __future__ import annotations

import dataclasses
import functools
import math
from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING, Any

from hansa.crypto.arithmetic import P
from hansa.crypto.ring import N
from hansa.crypto.sampling import ETA
from hansa.errors import ConfigurationError
from hansa.secure_sum.roster import MOST_HOLDERS

if TYPE_CHECKING:
    from collections.abc import Callable

    from hansa.secure_sum.sealed.bounds import Bounds

ERROR_BITS = 40
"""A committee has too many corrupt holders with a chance of 2^-40 at most,"""
TRIED_BITS = 64
"""for whoever settles the configuration or gives the last key, and tries 2^64 of them."""
HONEST = 2
"""Clients in a sum that are assumed not to collude: one alone could not be told from its sum."""

_LEVELS = (128, 192, 256)
_MOST_BITS = {  # of the modulus, by degree: for 128, 192 and 256 bits of security
    "classical": {2048: (54, 37, 29), 4096: (109, 75, 58), 8192: (218, 152, 118)},
    "quantum": {4096: (83, 61, 49)},
}


@dataclass(frozen=True, kw_only=True)
class Parameters:
    """The numbers of a sealed sum.

    Attributes:
        dimension: Integers in a vector, 1 or more.
        members: Most clients in a sum.
        bound: Most that one integer's absolute value may be.
        holders: Clients that hold shares of the keys.
        threshold: Holders whose shares open a sum.
        packed: Whether two integers share a coefficient.
        place: Distance in bits between two integers that share a coefficient; 0 where none do.
        scale: Δ, by which integers are lifted above the error; a power of two.
        proof: What every client proves of its vector; None where vectors are only clipped.
    """

    dimension: int
    members: int
    bound: int
    holders: int
    threshold: int
    packed: bool
    place: int
    scale: int
    proof: Bounds | None = None

    @property
    def coefficients(self) -> int:
        """Coefficients that the integers take."""
        return -(-self.dimension // 2) if self.packed else self.dimension

    @property
    def elements(self) -> int:
        """Ring elements of a seal: its bytes are ``8 · 4096 ·`` this."""
        return -(-self.coefficients // N)

    @property
    def corrupt(self) -> int:
        """Holders that may be corrupt (c_max), with secrecy and with only one sum opened for each round."""
        return min(self.holders - self.threshold, 2 * self.threshold - self.holders - 1)

    @functools.cached_property
    def corrupt_members(self) -> int:
        """Clients of the cohort that may be corrupt, so that at most `corrupt` of the holders are.

        As many where all clients hold shares. A committee is drawn by hash: so many clients may be corrupt
        that it has more than `corrupt` of them with a chance of at most 2^-104.
        """
        if self.holders == self.members:
            return self.corrupt
        low, high = self.corrupt, self.members  # the first holds, the second does not
        while high - low > 1:
            middle = (low + high) // 2
            if _chance_above(self.corrupt, self.members, middle, self.holders) <= Fraction(
                1, 2 ** (ERROR_BITS + TRIED_BITS)
            ):
                low = middle
            else:
                high = middle
        return low

    @property
    def survivors(self) -> int:
        """Fewest clients in a sum that is opened (u_min); a sum of one that is meant has one."""
        return min(max(self.threshold, self.corrupt_members + HONEST), self.members)

    @property
    def coefficient_bound(self) -> int:
        """Most that one coefficient's absolute value may be."""
        if self.proof is not None:
            return self.proof.sealed_norm
        return self.bound * (1 + 2**self.place) if self.packed else self.bound

    @property
    def error_bound(self) -> int:
        """Most that a coefficient of a key, or of an error, may be."""
        return ETA if self.proof is None else 2 * self.proof.error_width

    @property
    def share_bytes(self) -> int:
        """Bytes that one holder is dealt: of the key, and of what its check needs."""
        return 8 * N if self.proof is None else 8 * (N + 2) + 32

    def describe(self) -> dict[str, Any]:
        """Return the numbers for the run's configuration, and for who asks what holds."""
        return {
            "modulus": P,
            "degree": N,
            "dimension": self.dimension,
            "members": self.members,
            "bound": self.bound,
            "holders": self.holders,
            "threshold": self.threshold,
            "corrupt": self.corrupt,
            "corrupt_members": self.corrupt_members,
            "survivors": self.survivors,
            "packed": self.packed,
            "scale": self.scale,
            **(
                {}
                if self.proof is None
                else {"proof": self.proof.describe(), "proof_bytes": self.proof.bytes}
            ),
            "bytes": 8 * N * self.elements,
            "share_bytes": self.share_bytes * self.holders,
            "opening_bytes": 8 * N,
        }

    def explain(self) -> str:
        """Return in words what holds for whom."""
        spare = min(self.members - self.survivors, self.holders - self.threshold)
        committee = (
            ""
            if self.holders == self.members
            else f"The holders are drawn by hash in each round: with at most {self.corrupt_members} of "
            f"{self.members} clients corrupt, that holds but for a chance of 2^-{ERROR_BITS} a round, "
            f"for who tries 2^{TRIED_BITS} configurations. "
        )
        return (
            f"Of {self.holders} share holders any {self.threshold} open the sum, and {self.threshold - 1} "
            f"learn nothing. It stays secret and unique while at most {self.corrupt} of them are corrupt and "
            f"at least {HONEST} clients of the sum are honest. {committee}A sum has at least "
            f"{self.survivors} clients; {spare or 'no'} client{'' if spare == 1 else 's'} may drop out."
            f"{'' if self.proof is None else self.proof.explain()}"
        )


def choose(
    *,
    dimension: int,
    members: int,
    bound: int,
    threshold: int | None = None,
    may_be_few: bool = False,
    proof: Callable[[int], Bounds] | None = None,
) -> Parameters:
    """Return parameters for sums of up to ``members`` vectors.

    Args:
        dimension: Integers in a vector.
        members: Most clients in a sum.
        bound: Most that one integer's absolute value may be.
        threshold: Holders whose shares open a sum; None takes ⌊2k/3⌋ + 1 of k.
        may_be_few: Whether a sum of one or two clients is meant, which hides nothing from the other.
        proof: What is proven of every vector, by the ring elements of a seal; None for nothing.

    Raises:
        ConfigurationError: If no parameters hold, with the numbers.
    """
    _check_counts(dimension, members, bound, may_be_few)
    holders = min(members, MOST_HOLDERS)
    chosen = 2 * holders // 3 + 1 if threshold is None else threshold
    if isinstance(chosen, bool) or not isinstance(chosen, int) or not 1 <= chosen <= holders:
        raise ConfigurationError(
            f"the threshold of a sealed sum is a number of holders from 1 to {holders}, got {threshold!r}."
        )
    if 2 * chosen <= holders:
        raise ConfigurationError(
            f"with a threshold of {chosen} of {holders} holders two groups could each open another sum of "
            f"one round. Take at least {holders // 2 + 1}, or leave it out for {2 * holders // 3 + 1}."
        )
    place = (2 * members * bound).bit_length()
    proven = None if proof is None else proof(-(-dimension // N))
    if proven is not None and (fault := proven.fault()):
        raise ConfigurationError(
            f"the norm of these vectors cannot be proven: {fault}. Quantise to fewer steps."
        )
    error = ETA if proven is None else 2 * proven.error_width
    scale = 1 << (2 * members * error).bit_length()  # above twice the largest sum of errors
    fits = []
    for packed in (True, False) if dimension > 1 and proven is None else (False,):
        found = Parameters(
            dimension=dimension,
            members=members,
            bound=bound,
            holders=holders,
            threshold=chosen,
            packed=packed,
            place=place if packed else 0,
            scale=scale,
            proof=proven,
        )
        fits.append(found)
        if _room(found) and _is_unique(found):
            return found
    raise ConfigurationError(_refusal(fits[-1]))


def _chance_above(most: int, members: int, corrupt: int, drawn: int) -> Fraction:
    """Return the chance that more than ``most`` of those drawn are corrupt (hypergeometric), exactly."""
    few = sum(math.comb(corrupt, i) * math.comb(members - corrupt, drawn - i) for i in range(most + 1))
    return 1 - Fraction(few, math.comb(members, drawn))


def security_bits(modulus_bits: int, degree: int, attack: str = "classical") -> int:
    """Return the security level in the tables of a modulus of so many bits: 256, 192, 128, or 0 below."""
    rows = _MOST_BITS[attack][degree]
    return max((level for level, most in zip(_LEVELS, rows, strict=True) if modulus_bits <= most), default=0)


def _check_counts(dimension: int, members: int, bound: int, may_be_few: bool) -> None:
    for name, value in (("dimension", dimension), ("members", members), ("bound", bound)):
        if isinstance(value, bool) or not isinstance(value, int) or value < 1:
            raise ConfigurationError(
                f"{name} of a sealed sum must be a whole number of 1 or more, got {value!r}."
            )
    if members <= HONEST and not may_be_few:
        raise ConfigurationError(
            f"a sealed sum of {members} client{'s' if members > 1 else ''} hides nothing: each could "
            "subtract its own update from the sum. Have at least 3 clients, or say that you know: "
            "may_be_few=True."
        )


def _room(found: Parameters) -> bool:
    """Whether the largest sum stays below half the modulus: members · bound · Δ + Δ/2 < p/2."""
    return 2 * found.members * found.coefficient_bound * found.scale + found.scale < P


def _is_unique(found: Parameters) -> bool:
    """Whether only one sum can be opened from a total of seals.

    A counting argument: the triples (S, E, X) within their bounds are far fewer than the totals, so that two
    of them give one total with a chance of 2^-128 over the choice of a:
    (dp + N) · log2(160 u + 1) + dp · log2(2 u · 2^b + 1) ≤ 63 dp − 128, where 2^(b-1) bounds a coefficient.
    With proofs the triples lie in balls: of radius r in n dimensions, of at most (2r √(2πe/n))^n points.
    """
    size, wide = found.elements * N, 4 * found.members * found.coefficient_bound + 1
    if found.proof is not None:
        ball = 2 * found.members * math.sqrt(2 * math.pi * math.e)
        errors = (size + N) * math.log2(ball * found.proof.error_radius / math.sqrt(size + N))
        vectors = size * math.log2(ball * found.proof.sealed_norm / math.sqrt(size))
        return errors + max(0.0, vectors) <= 63 * size - 128
    small = (size + N) * math.log2(4 * ETA * found.members + 1)
    return small + size * math.log2(wide) <= 63 * size - 128


def _refusal(found: Parameters) -> str:
    most = found.bound
    if found.proof is not None:
        most = found.proof.norm
    while most and not (_room(fits := _with_bound(found, most)) and _is_unique(fits)):
        most //= 2
    what = "Values" if found.proof is None else "Norms"
    way_out = f"{what} up to {most} fit" if most else "None fit"
    way_out += ": quantise to fewer steps (bound times the largest weight), or have a smaller cohort."
    if not _room(found):
        return (
            f"a sealed sum of {found.members} vectors with values up to {found.coefficient_bound} does not "
            f"fit: {found.members} · {found.coefficient_bound} · {found.scale} is more than p/2 = 2^63. "
            f"{way_out}"
        )
    return (
        f"with {found.members} clients, {found.dimension} values and a bound of {found.bound} more than one "
        f"sum could be opened from the same seals (uniqueness rule). {way_out}"
    )


def _with_bound(found: Parameters, most: int) -> Parameters:
    if found.proof is None:
        return dataclasses.replace(found, bound=most)
    proof = found.proof  # noise is in proportion to the norm
    noise = None if proof.noise is None else -(-proof.noise * most // proof.norm)
    return dataclasses.replace(found, proof=dataclasses.replace(proof, norm=most, noise=noise))

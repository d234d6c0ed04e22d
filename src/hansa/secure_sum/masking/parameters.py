"""What a masked sum is computed with, derived and checked before anything is masked.

Why the numbers are what they are. Of n clients at most C are corrupt, the server is too, and h = k + 1
clients (k neighbours and itself) hold shares of a client's two secrets, any t of which restore them. U is
the set of survivors.

1. *One set.* All clients are shown the signatures of q clients on one hash of U, of all keys that were
   advertised and of all that was dealt, and an honest client signs one such hash for an attempt. Two sets
   with q signatures each would share 2q − n clients; 2q > n + C leaves an honest one among them, who
   signed both. So all honest clients that unmask do it for one U, one graph and one set of dealers. The
   quorum is of all clients: quorums of neighbourhoods would let two neighbourhoods lock two sets.
2. *Not both secrets.* For one U each honest holder gives a share of the seed (survivors) or of the key
   (all others). Of the other secret the corrupt holders alone have shares: at most c < t. Who is not in
   U, unmasks nothing.
3. *No client is cut off.* Masks hide all but the sum over each connected part of the graph of honest
   survivors; a server that drops clients could try to cut it. Of each survivor's holders at least t are
   in U, which clients check, so that at least t − 1 − c of its neighbours are honest survivors. In the
   complete graph all survivors are joined. Else t ≥ k/2 + c + 2, so that these are more than k/2: if the
   honest survivors fell apart, one at the end of a part would have none of them among the k/2 that follow
   it in the ring, and at most k/2 in all. So it is connected whatever U is, and only the sum over all
   honest survivors is seen.

In the complete graph c = C, q = t, and the conditions are those of t alone. Else c is the least number for
which n · P[more than c of k neighbours are corrupt] is at most 2^-104: a neighbourhood is a uniform choice
of k of the least number of others that clients accept (u_min − 1), C of them corrupt, so that the tail is
hypergeometric and is computed exactly. Of the 104 bits, 40 are the error, and 64 are for a server that
tries: it, or a corrupt client, sees all keys before it advertises its own, and each choice is another
graph; 2^64 of them are allowed for. Who is corrupt is settled before keys are advertised: whoever could
corrupt clients of its choice when it knows the graph, would take the neighbours of one.

Source:
    Bonawitz et al., "Practical Secure Aggregation for Privacy-Preserving Machine Learning", 2017, section
    6, for two masks, their shares and the consistency round. Bell et al., "Secure Single-Server Aggregation
    with (Poly)Logarithmic Overhead", 2020, sections 3 and 4, for the graph and the tails; their example
    against a malicious server has one twentieth corrupt and one twentieth dropping out. The defaults here
    are twice that.
"""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from hansa.crypto.envelope import OVERHEAD
from hansa.errors import ConfigurationError
from hansa.secure_sum.masking import shares

HONEST = 2
"""Clients in a sum that are assumed not to collude: one alone could not be told from its sum."""
COMPLETE = 64
"""Cohorts of up to so many clients have a complete graph: it holds against more corrupt clients."""
ERROR_BITS = 40
"""An honest client has too many corrupt neighbours with a chance of 2^-40 at most."""
TRIED_BITS = 64
"""Graphs that a server is thought to try, in bits."""
LOSS_BITS = 20
"""Too many holders of one client drop out with a chance of 2^-20 at most: the round is void then."""

WIDE = 64


@dataclass(frozen=True, kw_only=True)
class Parameters:
    """The numbers of a masked sum.

    Attributes:
        dimension: Integers in a vector, 1 or more.
        members: Most clients in a sum (n).
        bound: Most that one integer's absolute value may be.
        neighbours: Of a client (k), with whom it masks; all others in a complete graph.
        threshold: Holders whose shares restore a client's secret (t), of k + 1.
        quorum: Clients that lock the survivors before anyone unmasks (q).
        corrupt: Clients of the cohort that may be corrupt (c_max).
        near: Corrupt clients among the neighbours of one (c).
        survivors: Fewest clients in a sum (u_min), and fewest that advertise and deal.
        modulus_bits: Of a masked integer: 32 or 64.
    """

    dimension: int
    members: int
    bound: int
    neighbours: int
    threshold: int
    quorum: int
    corrupt: int
    near: int
    survivors: int
    modulus_bits: int

    @property
    def is_complete(self) -> bool:
        """Whether each client masks with all others."""
        return self.neighbours == self.members - 1

    def describe(self) -> dict[str, Any]:
        """Return the numbers for the run's configuration, and for who asks what holds."""
        return {
            "kind": "masking",
            "dimension": self.dimension,
            "members": self.members,
            "bound": self.bound,
            "neighbours": self.neighbours,
            "threshold": self.threshold,
            "quorum": self.quorum,
            "corrupt": self.corrupt,
            "corrupt_neighbours": self.near,
            "survivors": self.survivors,
            "modulus_bits": self.modulus_bits,
            "bytes": self.dimension * self.modulus_bits // 8,
            "share_bytes": self.neighbours * (shares.BYTES + OVERHEAD),
            "opening_bytes": (self.neighbours + 1) * shares.BYTES // 2,  # of each dealer one of two secrets
        }

    def explain(self) -> str:
        """Return in words what holds for whom."""
        spare = self.members - self.survivors
        holders = self.neighbours + 1
        whom = "all others" if self.is_complete else f"{self.neighbours} others, drawn by hash in each round"
        chance = (
            ""
            if self.is_complete
            else f" At most {self.near} of a client's neighbours are corrupt but for a chance of "
            f"2^-{ERROR_BITS} a round, for a server that tries 2^{TRIED_BITS} graphs."
        )
        return (
            f"Each client masks with {whom}. Of {holders} holders of its two secrets any {self.threshold} "
            f"restore one, and {self.threshold - 1} learn nothing; a holder gives one of them, never both. "
            f"{self.quorum} clients sign one set of survivors before anything is given. Whatever the server "
            f"does, the sum stays secret and unique while at most {self.corrupt} of {self.members} clients "
            f"are corrupt and at least {HONEST} clients of the sum are honest.{chance} A sum has at least "
            f"{self.survivors} clients; {spare or 'no'} client{'' if spare == 1 else 's'} may drop out."
        )


def choose(
    *,
    dimension: int,
    members: int,
    bound: int,
    neighbours: int | None = None,
    threshold: int | None = None,
    corrupt: float = 0.1,
    dropouts: float = 0.1,
    may_be_few: bool = False,
) -> Parameters:
    """Return parameters for sums of up to ``members`` vectors.

    Args:
        dimension: Integers in a vector.
        members: Most clients in a sum.
        bound: Most that one integer's absolute value may be.
        neighbours: Of a client; None takes all others up to `COMPLETE` clients, else the smallest number
            that is safe.
        threshold: Holders whose shares restore a secret; None takes ⌊2n/3⌋ + 1 of n in a complete graph, else
            the smallest that is safe.
        corrupt: Share of the clients that may be corrupt, where the graph is not complete.
        dropouts: Share of the clients that may drop out, where the graph is not complete.
        may_be_few: Whether a sum of one or two clients is meant, which hides nothing from the other.

    Raises:
        ConfigurationError: If no parameters hold, with the numbers.
    """
    _check_counts(dimension, members, bound, may_be_few)
    for name, value in (("corrupt", corrupt), ("dropouts", dropouts)):
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value < 1 / 3:
            raise ConfigurationError(
                f"{name} of a masked sum is a share of the clients from 0 to below a third, got {value!r}."
            )
    bits = _modulus_bits(members, bound)
    lost = _share(dropouts, members)
    bad = _share(corrupt, members)
    count = _neighbours(neighbours, members, bad, lost)
    complete = count == members - 1
    numbers = _complete(members, threshold) if complete else _sparse(members, count, threshold, bad, lost)
    return Parameters(
        dimension=dimension, members=members, bound=bound, neighbours=count, modulus_bits=bits, **numbers
    )


def most_marked(others: int, marked: int, drawn: int, times: int, bits: int) -> int:
    """Return the least c with ``times`` · P[more than c of those drawn are marked] ≤ 2^-bits, exactly.

    Args:
        others: From whom is drawn, without replacement.
        marked: How many of them are marked.
        drawn: How many are drawn.
        times: How many draws must all hold.
        bits: Of the error.

    Example:
        >>> most_marked(10, 3, 2, 1, 3), most_marked(10, 3, 2, 1, 4)
        (1, 2)
    """
    drawn, marked = min(drawn, others), min(marked, others)
    c = min(marked, drawn)
    # Draws with exactly c marked, and with more: integers, so that no rounding hides a tail.
    ways, more, limit = (
        math.comb(marked, c) * math.comb(others - marked, drawn - c),
        0,
        math.comb(others, drawn),
    )
    while c > 0:
        if (times * (more + ways)) << bits > limit:
            return c
        more += ways
        ways = ways * c * (others - marked - drawn + c) // ((marked - c + 1) * (drawn - c + 1))
        c -= 1
    return 0


def _complete(members: int, threshold: int | None) -> dict[str, int]:
    chosen = 2 * members // 3 + 1 if threshold is None else threshold
    if isinstance(chosen, bool) or not isinstance(chosen, int) or not 1 <= chosen <= members:
        raise ConfigurationError(
            f"the threshold of a masked sum is a number of clients from 1 to {members}, got {threshold!r}."
        )
    if 2 * chosen <= members:
        raise ConfigurationError(
            f"with a threshold of {chosen} of {members} clients two groups could each unmask another sum of "
            f"one round. Take at least {members // 2 + 1}, or leave it out for {2 * members // 3 + 1}."
        )
    bad = min(members - chosen, 2 * chosen - members - 1)
    # A sum of fewer than two honest clients is only made where it was asked for: may_be_few.
    least = min(members, max(chosen, bad + HONEST))
    return {"threshold": chosen, "quorum": chosen, "corrupt": bad, "near": bad, "survivors": least}


def _sparse(members: int, count: int, threshold: int | None, bad: int, lost: int) -> dict[str, int]:
    least, near, absent = _tails(members, count, bad, lost)
    lowest, highest = count // 2 + near + 2, count + 1 - absent
    if lowest > (highest if threshold is None else count + 1):
        raise ConfigurationError(
            f"{count} neighbours are too few among {members} clients of which {bad} may be corrupt and "
            f"{lost} drop out: {lowest} of {count + 1} holders are needed, and {absent} of them may be gone. "
            f"{_remedy(members, bad, lost)}"
        )
    chosen = lowest if threshold is None else threshold
    if isinstance(chosen, bool) or not isinstance(chosen, int) or not lowest <= chosen <= count + 1:
        raise ConfigurationError(
            f"with {count} neighbours of which {near} may be corrupt, the threshold of a masked sum is a "
            f"number from {lowest} to {count + 1}, got {threshold!r}."
        )
    quorum = 2 * members // 3 + 1  # 2q > n + C, as C is below n / 3
    return {"threshold": chosen, "quorum": quorum, "corrupt": bad, "near": near, "survivors": least}


def _tails(members: int, count: int, bad: int, lost: int) -> tuple[int, int, int]:
    """Return u_min, how many of a client's neighbours may be corrupt, and how many of its holders gone."""
    least = max(2 * members // 3 + 1, bad + HONEST, members - lost)
    near = most_marked(least - 1, bad, count, members, ERROR_BITS + TRIED_BITS)
    # The client itself may be gone too; but not more than all that drop out.
    absent = min(lost, most_marked(members - 1, lost, count, members, LOSS_BITS) + 1)
    return least, near, absent


@functools.lru_cache(maxsize=64)
def _smallest(members: int, bad: int, lost: int) -> int:
    """Return the smallest number of neighbours that is safe; all others if no smaller one is."""
    for count in range(2, members - 1, 2):
        _, near, absent = _tails(members, count, bad, lost)
        if count // 2 + near + 2 <= count + 1 - absent:
            return count
    return members - 1


def _neighbours(neighbours: Any, members: int, bad: int, lost: int) -> int:
    if neighbours is None:
        return members - 1 if members <= COMPLETE else _smallest(members, bad, lost)
    if isinstance(neighbours, bool) or not isinstance(neighbours, int) or not 0 <= neighbours < members:
        raise ConfigurationError(
            f"the neighbours in a masked sum are a number from 2 to {members - 1}, all others, got "
            f"{neighbours!r}."
        )
    if neighbours != members - 1 and (neighbours % 2 or not neighbours):
        raise ConfigurationError(
            f"the neighbours in a masked sum are an even number, or all {members - 1} others: half of them "
            f"on each side of the ring. Got {neighbours}."
        )
    return neighbours


def _remedy(members: int, bad: int, lost: int) -> str:
    found = _smallest(members, bad, lost)
    more = f"{found} are safe" if found < members - 1 else f"only all {found} others are safe"
    return f"{more}; leave neighbours out to have it chosen."


def _modulus_bits(members: int, bound: int) -> int:
    room = 2 * members * bound
    if room < 1 << 32:
        return 32
    if room < 1 << (WIDE - 1):
        return WIDE
    raise ConfigurationError(
        f"a masked sum of {members} vectors with values up to {bound} does not fit: 2 · {members} · {bound} "
        f"is more than 2^63. Values up to {((1 << (WIDE - 1)) - 1) // (2 * members)} fit; quantise to fewer "
        "bits."
    )


def _share(of: float, members: int) -> int:
    return math.floor(Fraction(str(of)) * members)


def _check_counts(dimension: int, members: int, bound: int, may_be_few: bool) -> None:
    for name, value in (("dimension", dimension), ("members", members), ("bound", bound)):
        if isinstance(value, bool) or not isinstance(value, int) or value < 1:
            raise ConfigurationError(
                f"{name} of a masked sum must be a whole number of 1 or more, got {value!r}."
            )
    if members <= HONEST and not may_be_few:
        raise ConfigurationError(
            f"a masked sum of {members} client{'s' if members > 1 else ''} hides nothing: each could "
            "subtract its own update from the sum. Have at least 3 clients, or say that you know: "
            "may_be_few=True."
        )

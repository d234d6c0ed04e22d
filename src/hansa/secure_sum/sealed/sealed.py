"""The sealed sum in a run: what a user declares, and the phases that it adds to a round.

train     clients seal their vectors, and share their keys in envelopes
deliver   holders of shares are given what was sealed, and complain of what they cannot use
lock      holders sign one set of survivors
open      holders give their shares of the sum of the survivors' keys
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, MutableMapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from hansa.errors import ConfigurationError, MissingExtraError
from hansa.secure_sum.interface import Keys, Phases, Planned, Run, SecureSum, Shape
from hansa.secure_sum.phases import pinned, place_of, said, summed
from hansa.types import Ask

if TYPE_CHECKING:
    from hansa.secure_sum.sealed.bounds import Bounds
    from hansa.secure_sum.sealed.parameters import Parameters
    from hansa.secure_sum.sealed.party import Party


@dataclass(frozen=True, kw_only=True)
class NormBound:
    """Every client proves that its sealed update is within the norm it was quantised to, and shows no more.

    Whose proof fails is left out of the sum and named. Metrics are no part of the model, and not proven.
    Where clients add noise, its norm is proven as well, apart; that it is noise is not shown.

    Assumes:
        SHA-256 and SHAKE-256 as random oracles, AES-256 as an ideal cipher. The statement has not been
        reviewed by outsiders (`hansa.secure_sum.sealed.norm`).

    Attributes:
        bits: Work to forge a proof, as a power of two; 1 to 108.
    """

    bits: int = 100

    def __post_init__(self) -> None:
        if isinstance(self.bits, bool) or not isinstance(self.bits, int) or not 1 <= self.bits <= 108:
            raise ConfigurationError(
                f"NormBound.bits must be a whole number from 1 to 108, got {self.bits!r}."
            )


@dataclass(frozen=True, kw_only=True)
class Sealed(SecureSum):
    """The server sees sums of updates only: each is sealed with a key of its own, and one sum is opened.

    Assumes:
        Ring-LWE; fewer than the threshold of share holders corrupt (`SealedSum.explain` has the numbers); two
        honest clients in every sum. Nothing of the server. Outsiders have not reviewed the composition.

    Leaks:
        To everyone: sums of updates, of their weights and of metrics, and who took part. To the server,
        besides: data cards, whether an update was clipped, and how long a client takes.

    Attributes:
        threshold: How many share holders open a sum, a number; None takes two thirds of them and one.
        may_be_few: Whether cohorts of one or two are meant, where the sum hides nothing from the other.
        proof: What clients prove of their sealed updates: `NormBound`, ``"norm"`` for the same with its
            defaults, or None.
    """

    threshold: int | None = None
    may_be_few: bool = False
    proof: NormBound | str | None = None

    def __post_init__(self) -> None:
        if self.proof == "norm":
            object.__setattr__(self, "proof", NormBound())
        if self.proof is not None and not isinstance(self.proof, NormBound):
            raise ConfigurationError(
                f"Sealed.proof must be hansa.NormBound(), 'norm' or None, got {self.proof!r}."
            )

    @property
    def proof_bits(self) -> int:
        """Work to forge a client's proof of its norm, as a power of two; 0 where clients prove nothing."""
        return self.proof.bits if isinstance(self.proof, NormBound) else 0

    def anywhere(self) -> Sealed:
        """Return the same with the threshold left to the number of clients."""
        return dataclasses.replace(self, threshold=None)

    def plan(self, shape: Shape, run: Run | None = None) -> SealedSum:
        """Return the sum with its parameters."""
        try:
            from hansa.secure_sum.sealed.parameters import choose
        except ImportError as error:
            raise MissingExtraError("a sealed sum", error.name or "numba", "secure") from error
        if shape.members is None:
            raise ConfigurationError(
                "a sealed sum needs to know how many clients a round asks, and the size of this cohort "
                "changes. Use cohort=FixedSize(n), or all clients."
            )
        if shape.bound is None:
            raise ConfigurationError("a sealed sum adds integers: give quantise=hansa.Quantise(...).")
        parameters = choose(
            dimension=shape.dimension,
            members=shape.members,
            bound=shape.bound,
            threshold=self.threshold,
            may_be_few=self.may_be_few,
            proof=self._proof(shape),
        )
        return SealedSum(parameters=parameters, run=run)

    def _proof(self, shape: Shape) -> Callable[[int], Bounds] | None:
        """Return what is proven of vectors, by the ring elements of their seals; None for nothing."""
        if not isinstance(self.proof, NormBound) or shape.norm is None:
            return None
        from hansa.secure_sum.sealed.bounds import Bounds

        if shape.noise is not None and shape.max_weight is not None:
            raise ConfigurationError(
                "norms are proven of vectors with a weight, or of vectors with noise, not of both: where "
                "clients add noise all count alike. Use aggregate='uniform'."
            )
        numbers = {"norm": shape.norm, "max_weight": shape.max_weight, "noise": shape.noise}
        numbers |= {"dimension": shape.dimension, "bits": self.proof.bits}
        return lambda elements: Bounds(elements=elements, **numbers)


@dataclass(frozen=True, kw_only=True)
class SealedSum(Planned):
    """A sealed sum in one run.

    Attributes:
        parameters: Its numbers.
        run: Whom and what it belongs to.
    """

    verifiable: ClassVar[bool] = True

    parameters: Parameters
    run: Run | None

    def describe(self) -> dict[str, Any]:
        """Return the parameters."""
        return {"kind": "sealed", **self.parameters.describe()}

    def explain(self) -> str:
        """Return in words what holds for whom."""
        return self.parameters.explain()

    @property
    def fewest(self) -> int:
        """Fewest clients in a sum that is opened (u_min)."""
        return self.parameters.survivors

    @property
    def noise_norm(self) -> int | None:
        """The most that the norm of a client's noise may be, where it is proven apart."""
        return None if self.parameters.proof is None else self.parameters.proof.noise

    def party(self, name: str, keys: Keys, memory: MutableMapping[str, bytes]) -> Party:
        """Return the half of one client, joined to the run."""
        from hansa.secure_sum.sealed.party import Party

        party, run = Party(name, keys, memory), pinned(self.run)
        party.join(run.roster, run.configuration, self.parameters)
        return party

    def collect(self, ask: Ask, *, number: int) -> Phases:
        """Let clients answer with seals, and open the sum."""
        from hansa.secure_sum.sealed.coordinator import Coordinator
        from hansa.secure_sum.sealed.messages import Complaints, Lock, Opening, SealedVector

        run = pinned(self.run)
        place = place_of(run, ask, number)
        trained = yield dataclasses.replace(ask, place=place, reduce="keep")
        server = Coordinator(run.roster, self.parameters, place, replays=trained.replayed)
        delivery = server.deliver(said(trained, SealedVector), trained.dropped)

        delivered = yield Ask(phase="deliver", clients=tuple(delivery), place=place, each=delivery)
        survivors = server.survivors(said(delivered, Complaints))

        to_lock = dict.fromkeys(server.holders, survivors)
        locked = yield Ask(phase="lock", clients=server.holders, place=place, each=to_lock)
        locks = server.locks(said(locked, Lock))

        to_open = dict.fromkeys(server.holders, (survivors, locks))
        opened = yield Ask(phase="open", clients=server.holders, place=place, each=to_open)
        result = server.sum(said(opened, Opening))
        return summed(
            trained,
            (delivered, locked, opened),
            result.total,
            result.survivors,
            dropped=server.dropped,
            wrong=result.wrong,
        )

"""The masked sum in a run: what a user declares, and the phases that it adds to a round.

advertise  clients make a fresh mask key each
share      clients compute the graph, and deal shares of their two secrets in envelopes
train      clients open the envelopes, train, and mask their vectors
lock       clients sign one set of survivors
unmask     clients give, for each neighbour, their share of one of its two secrets
"""

from __future__ import annotations

import dataclasses
from collections.abc import MutableMapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from hansa.errors import ConfigurationError, MissingExtraError
from hansa.secure_sum.interface import Keys, Phases, Planned, Run, SecureSum, Shape
from hansa.secure_sum.phases import pinned, place_of, said, summed
from hansa.types import Ask

if TYPE_CHECKING:
    from hansa.secure_sum.masking.parameters import Parameters
    from hansa.secure_sum.masking.party import Party


@dataclass(frozen=True, kw_only=True)
class Masking(SecureSum):
    """The server sees sums of updates only: masks hide each update, and cancel in the sum.

    Assumes:
        X25519, AES-256 and Ed25519; not more corrupt clients than `MaskingSum.explain` says, with its
        numbers; two honest clients in every sum. Nothing of the server. The composition has not been reviewed
        by outsiders.

    Leaks:
        To the server: sums of updates, of their weights and of metrics, who took part and who dropped out,
        and data cards. To clients: who took part. A client that sends a false vector or false shares can
        spoil the sum, or make the round void; it learns nothing by it.

    Attributes:
        neighbours: With how many others a client masks; None takes all others up to 64 clients, and the
            smallest number that is safe beyond.
        threshold: How many holders restore a client's secret; None takes the default of the graph.
        corrupt: Share of the clients that may be corrupt, where not all mask with all.
        dropouts: Share of the clients that may drop out, where not all mask with all.
        may_be_few: Whether cohorts of one or two are meant, where the sum hides nothing from the other.
    """

    neighbours: int | None = None
    threshold: int | None = None
    corrupt: float = 0.1
    dropouts: float = 0.1
    may_be_few: bool = False

    def anywhere(self) -> Masking:
        """Return the same with graph and threshold left to the number of clients."""
        return dataclasses.replace(self, neighbours=None, threshold=None)

    def plan(self, shape: Shape, run: Run | None = None) -> MaskingSum:
        """Return the sum with its parameters."""
        try:
            import hansa.secure_sum.masking.party  # noqa: F401 - what it needs is missed now, not in a round
            from hansa.secure_sum.masking.parameters import choose
        except ImportError as error:
            raise MissingExtraError("a masked sum", error.name or "cryptography", "secure") from error
        if shape.members is None:
            raise ConfigurationError(
                "a masked sum needs to know how many clients a round asks, and this cohort's size changes "
                "from round to round. Use cohort=FixedSize(n), or all clients."
            )
        if shape.bound is None:
            raise ConfigurationError("a masked sum adds integers: give quantise=hansa.Quantise(...).")
        parameters = choose(
            dimension=shape.dimension,
            members=shape.members,
            bound=shape.bound,
            neighbours=self.neighbours,
            threshold=self.threshold,
            corrupt=self.corrupt,
            dropouts=self.dropouts,
            may_be_few=self.may_be_few,
        )
        return MaskingSum(parameters=parameters, run=run)


@dataclass(frozen=True, kw_only=True)
class MaskingSum(Planned):
    """A masked sum in one run.

    Attributes:
        parameters: Its numbers.
        run: Whom and what it belongs to.
    """

    parameters: Parameters
    run: Run | None

    def describe(self) -> dict[str, Any]:
        """Return the parameters."""
        return self.parameters.describe()

    def explain(self) -> str:
        """Return in words what holds for whom."""
        return self.parameters.explain()

    @property
    def fewest(self) -> int:
        """Fewest clients in a sum that is opened (u_min)."""
        return self.parameters.survivors

    def party(self, name: str, keys: Keys, memory: MutableMapping[str, bytes]) -> Party:
        """Return the half of one client, joined to the run."""
        from hansa.secure_sum.masking.party import Party

        party, run = Party(name, keys, memory), pinned(self.run)
        party.join(run.roster, run.configuration, self.parameters)
        return party

    def collect(self, ask: Ask, *, number: int) -> Phases:
        """Let clients agree on masks, answer with masked vectors, and unmask the sum."""
        from hansa.secure_sum.masking.coordinator import Coordinator
        from hansa.secure_sum.masking.messages import Advert, Deal, Lock, MaskedVector, Unmasking

        run = pinned(self.run)
        place = place_of(run, ask, number)
        server = Coordinator(run.roster, self.parameters, place)

        advertised = yield Ask(phase="advertise", clients=ask.clients, place=place)
        adverts = server.adverts(said(advertised, Advert), advertised.dropped)

        to_share = dict.fromkeys(server.left, adverts)
        shared = yield Ask(phase="share", clients=server.left, place=place, each=to_share)
        deals = server.deals(said(shared, Deal), shared.dropped)

        to_send = dataclasses.replace(ask, clients=server.left, place=place, each=deals, reduce="keep")
        trained = yield to_send
        survivors = server.survivors(said(trained, MaskedVector), trained.dropped)

        to_lock = dict.fromkeys(server.left, survivors)
        locked = yield Ask(phase="lock", clients=server.left, place=place, each=to_lock)
        locks = server.locks(said(locked, Lock))

        to_unmask = dict.fromkeys(server.left, locks)
        unmasked = yield Ask(phase="unmask", clients=server.left, place=place, each=to_unmask)
        result = server.sum(said(unmasked, Unmasking))
        return summed(
            trained,
            (advertised, shared, locked, unmasked),
            result.total,
            result.survivors,
            dropped=server.dropped,
            wrong=result.wrong,
        )

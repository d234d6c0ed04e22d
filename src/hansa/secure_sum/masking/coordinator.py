"""The server half of a masked sum. It is trusted with nothing but to carry messages.

Each function takes what came of a phase and returns what the next one is asked. Whoever drops out is named
with the reason; where too few are left, nothing is unmasked.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TypeVar

import numpy as np

from hansa.crypto.envelope import OVERHEAD, EnvelopeError, ExchangeKey
from hansa.crypto.secret import Secret
from hansa.crypto.shamir import ShareError
from hansa.errors import VoidRoundError
from hansa.secure_sum.masking import shares
from hansa.secure_sum.masking.graph import Graph
from hansa.secure_sum.masking.masks import Integers, Mask, add_masks, integers, largest, pair_mask, words_of
from hansa.secure_sum.masking.messages import (
    FIELDS,
    Advert,
    Adverts,
    Deal,
    Deals,
    Lock,
    Locks,
    MaskedVector,
    Survivors,
    Unmasking,
    seed_hash,
    shares_hash,
    vector_hash,
)
from hansa.secure_sum.masking.parameters import Parameters
from hansa.secure_sum.messages import Malformed, is_from, read, readable
from hansa.secure_sum.roster import Place, Roster

T = TypeVar("T")


@dataclass(frozen=True, kw_only=True)
class Sum:
    """What a masked sum gives.

    Attributes:
        total: Sum of the survivors' vectors, int64.
        survivors: Whose vectors are in it.
        wrong: Clients that gave wrong shares, or were dealt them, which were corrected.
    """

    total: Integers
    survivors: tuple[str, ...]
    wrong: tuple[str, ...]


class Coordinator:
    """One attempt at a masked sum, phase by phase.

    Attributes:
        left: The clients that are still asked, in order of the cohort.
        dropped: Reason by client, for those whose vectors are not in the sum.
    """

    def __init__(self, roster: Roster, parameters: Parameters, place: Place) -> None:
        """Take the run's pinned values and the place of the attempt."""
        self._roster, self._parameters, self._place = roster, parameters, place
        self.left: tuple[str, ...] = place.cohort
        self.dropped: dict[str, str] = {}
        self._points = {name: point for point, name in enumerate(place.cohort, start=1)}
        self._public: dict[str, bytes] = {}
        self._graph = Graph((), 0, b"")
        self._commitments: dict[str, bytes] = {}
        self._vectors: dict[str, MaskedVector] = {}
        self._root, self._hash = b"", b""

    def adverts(self, came: Mapping[str, Advert], reasons: Mapping[str, str] | None = None) -> Adverts:
        """Check the mask keys that came; return what all are shown.

        Args:
            came: What came, by client.
            reasons: Why nothing came of others, where that is known.

        Raises:
            VoidRoundError: If too few can be used.
        """
        good = self._take(came, reasons, Advert, self._advert_fault, "no mask key came")
        adverts = Adverts(tuple(good.values()))
        self._public = {name: advert.public for name, advert in good.items()}
        root = adverts.root(self._place)
        self._graph = Graph(self.left, self._parameters.neighbours, root)
        return adverts

    def deals(self, came: Mapping[str, Deal], reasons: Mapping[str, str] | None = None) -> dict[str, Deals]:
        """Check the shares that came; return what each client is given to mask with.

        Raises:
            VoidRoundError: If too few can be used, in all or around one dealer.
        """
        good = self._take(came, reasons, Deal, self._deal_fault, "no shares came")
        self._commitments = {name: deal.commitment for name, deal in good.items()}
        self._check_holders()
        entries = tuple(deal.entry for deal in good.values())
        to: dict[str, dict[str, bytes]] = {name: {} for name in self.left}
        for dealer, deal in good.items():
            others = self._graph.near(dealer, self._graph.names)
            for holder, content in zip(others, deal.envelopes, strict=True):
                if holder in to:
                    to[holder][dealer] = content
        deals = {name: Deals(entries=entries, envelopes=envelopes) for name, envelopes in to.items()}
        self._root = deals[self.left[0]].root(self._graph.root)
        return deals

    def survivors(
        self, came: Mapping[str, MaskedVector], reasons: Mapping[str, str] | None = None
    ) -> Survivors:
        """Fix whose vectors are in the sum.

        Raises:
            VoidRoundError: If too few can be used, in all or around one dealer.
        """
        self._vectors = self._take(came, reasons, MaskedVector, self._vector_fault, "no masked vector came")
        self._check_holders()
        survivors = Survivors(tuple(one.entry for one in self._vectors.values()))
        self._hash = survivors.hash(self._root)
        return survivors

    def locks(self, came: Mapping[str, Lock]) -> Locks:
        """Collect the locks that are valid.

        Raises:
            VoidRoundError: If there are fewer than the quorum.
        """
        valid = {
            name: lock.signature
            for name, lock in readable(came, self.left, Lock, FIELDS).items()
            if self._signed(name, lock.signature, "masking.lock", self._hash)
        }
        if len(valid) < self._parameters.quorum:
            raise VoidRoundError(
                f"{len(valid)} clients locked the survivors; {self._parameters.quorum} are needed. "
                "Nothing was unmasked."
            )
        self.left = tuple(valid)
        return Locks(valid)

    def sum(self, came: Mapping[str, Unmasking]) -> Sum:
        """Add the vectors up and take all masks away that do not cancel.

        Raises:
            VoidRoundError: If too few shares came of a dealer's secret, they restore none, or the sum is
                larger than honest vectors can make it. Then no other set of these vectors may be unmasked.
        """
        said = readable(came, self.left, Unmasking, FIELDS)
        good = {name: unmasking for name, unmasking in said.items() if self._usable(name, unmasking)}
        wrong: set[str] = set()
        masks: list[Mask] = []
        for dealer in self._commitments:
            secret, false = self._secret(dealer, good)
            wrong.update(false)
            masks += self._masks(dealer, secret)
        total = np.zeros(self._parameters.dimension, words_of(self._parameters))
        for one in self._vectors.values():
            np.add(total, one.vector, out=total)
        add_masks(total, masks)
        values, most = integers(total), len(self._vectors) * self._parameters.bound
        if largest(values) > most:
            raise VoidRoundError(
                f"the sum is void: a value of it is {largest(values)}, more than the {most} that honest "
                "clients can make it; a masked vector is false. The model is left as it was."
            )
        named = tuple(name for name in self._place.cohort if name in wrong)
        return Sum(total=values, survivors=tuple(self._vectors), wrong=named)

    # ------------------------------------------------------------------ secrets

    def _secret(self, dealer: str, came: Mapping[str, Unmasking]) -> tuple[Secret, tuple[str, ...]]:
        """Return the seed of a survivor, or the key of another dealer, and whose shares of it are wrong."""
        holders = [
            name for name in self._graph.holders[dealer] if name in came and dealer in came[name].shares
        ]
        if len(holders) < self._parameters.threshold:
            raise VoidRoundError(
                f"{len(holders)} shares of a secret of {dealer!r} came; {self._parameters.threshold} are "
                "needed. Nothing was learned."
            )
        points = [self._points[name] for name in holders]
        rows = np.stack([came[name].shares[dealer] for name in holders])
        try:
            secret, wrong = shares.restore(
                points, rows, self._parameters.threshold, lambda found: self._is_dealt(dealer, found)
            )
        except ShareError as error:
            raise VoidRoundError(
                f"the sum is void: shares of a secret of {dealer!r} do not restore what it dealt; it, or "
                "more of its holders than can be told from the others, gave false ones. The model is left as "
                "it was."
            ) from error
        return secret, tuple(holders[i] for i in wrong)

    def _is_dealt(self, dealer: str, secret: Secret) -> bool:
        if dealer in self._vectors:
            return seed_hash(secret.reveal(), self._place, dealer) == self._commitments[dealer]
        return ExchangeKey(secret).public == self._public[dealer]

    def _masks(self, dealer: str, secret: Secret) -> list[Mask]:
        """Return what takes away a survivor's self-mask, or the masks of survivors with another dealer."""
        if dealer in self._vectors:
            return [Mask(secret).opposite()]
        key, near = ExchangeKey(secret), self._graph.near(dealer, self._vectors)
        # What the dealer would have added for them cancels what they have added for it.
        return [pair_mask(key, self._public[other], dealer, other, self._place) for other in near]

    # ------------------------------------------------------------------ checks

    def _take(
        self,
        came: Mapping[str, T],
        reasons: Mapping[str, str] | None,
        kind: type[T],
        fault: Callable[[str, T], str | None],
        missing: str,
    ) -> dict[str, T]:
        """Return what can be used of what came of those that are left; drop the others with the reason."""
        good: dict[str, T] = {}
        for name in self.left:
            reason = (reasons or {}).get(name) or ("" if name in came else missing)
            if not reason:
                try:
                    good[name] = read(came[name], kind, FIELDS)
                    reason = fault(name, good[name])
                except Malformed as error:
                    reason = str(error)
            if reason:
                self.dropped[name] = reason
                good.pop(name, None)
        self.left = tuple(good)
        if len(good) < self._parameters.survivors:
            raise VoidRoundError(
                f"{len(good)} usable clients of {len(self._place.cohort)}; a sum has at least "
                f"{self._parameters.survivors} ({self._told()}). Nothing was unmasked."
            )
        return good

    def _check_holders(self) -> None:
        dealers = tuple(self._commitments)
        cut = self._graph.alone(dealers, self.left, self._parameters.threshold)
        if cut:
            raise VoidRoundError(
                f"of the holders of {cut[0]!r} fewer than {self._parameters.threshold} are left "
                f"({self._told()}). Nothing was unmasked."
            )

    def _told(self) -> str:
        return "; ".join(f"{name}: {why}" for name, why in self.dropped.items()) or "none was dropped"

    def _advert_fault(self, name: str, advert: Advert) -> str | None:
        if advert.sender != name:
            return f"the mask key says that it is from {advert.sender[:40]!r}"
        if not self._signed(name, advert.signature, "masking.advert", advert.public):
            return "the mask key is not signed by its sender for this round and attempt"
        try:
            ExchangeKey.fresh().shared_with(advert.public, "masking.check")
        except EnvelopeError as error:
            return f"the mask key is none: {error}"
        return None

    def _deal_fault(self, name: str, deal: Deal) -> str | None:
        if deal.sender != name:
            return f"the shares say that they are from {deal.sender[:40]!r}"
        wanted = len(self._graph.holders[name]) - 1
        if len(deal.envelopes) != wanted:
            return f"{len(deal.envelopes)} envelopes came for {wanted} neighbours"
        if any(len(content) != shares.BYTES + OVERHEAD for content in deal.envelopes):
            return "an envelope has another length than a share"
        parts = self._graph.root, deal.commitment, deal.entry.envelopes
        if not self._signed(name, deal.signature, "masking.deal", *parts):
            return "the shares are not signed by their sender for this round and attempt, and its graph"
        return None

    def _vector_fault(self, name: str, masked: MaskedVector) -> str | None:
        words, vector = words_of(self._parameters), masked.vector
        if masked.sender != name:
            return f"the masked vector says that it is from {masked.sender[:40]!r}"
        if not isinstance(vector, np.ndarray) or vector.dtype != words:
            return f"the masked vector is not of {words.name}"
        if vector.shape != (self._parameters.dimension,):
            return f"the masked vector is not of {self._parameters.dimension} words"
        if not self._signed(name, masked.signature, "masking.vector", self._root, vector_hash(vector)):
            return "the masked vector is not signed by its sender for this round, attempt and its dealers"
        return None

    def _usable(self, name: str, came: Unmasking) -> bool:
        good = all(shares.is_share(share) for share in came.shares.values())
        return good and self._signed(
            name, came.signature, "masking.unmask", self._hash, shares_hash(came.shares)
        )

    def _signed(self, name: str, signature: bytes, label: str, *parts: bytes) -> bool:
        return is_from(self._roster.by_name[name], signature, self._place, label, *parts)

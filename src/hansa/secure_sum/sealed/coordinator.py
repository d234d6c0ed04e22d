"""The server half of a sealed sum. It is trusted with nothing but to carry messages.

Each function takes what came of a phase and returns what the next one is asked, and whom it leaves out, with
the reason.
"""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np

from hansa.crypto import field, shamir
from hansa.crypto.envelope import OVERHEAD
from hansa.crypto.ring import N
from hansa.crypto.shamir import ShareError
from hansa.errors import VoidRoundError
from hansa.secure_sum.blocks import cores
from hansa.secure_sum.messages import Malformed, is_from, read, readable
from hansa.secure_sum.roster import Place, Roster
from hansa.secure_sum.sealed.dealing import Dealer, head_bytes
from hansa.secure_sum.sealed.messages import (
    FIELDS,
    Complaints,
    Deliver,
    Entry,
    Lock,
    Locks,
    Opening,
    SealedVector,
    Survivors,
    share_hash,
    survivors_hash,
)
from hansa.secure_sum.sealed.parameters import Parameters
from hansa.secure_sum.sealed.seal import Integers, NotAccepted, open_sum


@dataclass(frozen=True, kw_only=True)
class Sum:
    """What a sealed sum gives.

    Attributes:
        total: Sum of the survivors' vectors, int64.
        survivors: Whose vectors are in it.
        wrong: Holders whose answers were wrong, by their own fault or a dealer's, and were corrected.
    """

    total: Integers
    survivors: tuple[str, ...]
    wrong: tuple[str, ...]


class Coordinator:
    """One attempt at a sealed sum, phase by phase.

    Attributes:
        dropped: Reason by client, for those whose vectors are not in the sum.
    """

    def __init__(
        self, roster: Roster, parameters: Parameters, place: Place, *, replays: bool = False
    ) -> None:
        """Take the run's pinned values and the place of the attempt.

        Args:
            roster: Who takes part in the run.
            parameters: Of the sum.
            place: Of the attempt.
            replays: Whether messages come from a log, in which envelopes are known by their hashes.
        """
        self._replays = replays
        self._roster, self._parameters, self._place = roster, parameters, place
        self.dropped: dict[str, str] = {}
        self._seals: dict[str, SealedVector] = {}
        self._survivors: tuple[str, ...] = ()
        self._holders: tuple[str, ...] = place.holders

    def deliver(
        self, sealed: Mapping[str, SealedVector], reasons: Mapping[str, str] | None = None
    ) -> dict[str, Deliver]:
        """Check the seals that came; return what each holder is given.

        Args:
            sealed: What came, by client.
            reasons: Why nothing came of others, where that is known.

        Raises:
            VoidRoundError: If too few can be used.
        """
        cohort = self._place.cohort
        with ThreadPoolExecutor(cores()) as pool:  # proofs are checked apart, without Python's lock
            found = pool.map(
                lambda name: (reasons or {}).get(name) or self._usable(name, sealed.get(name)), cohort
            )
        for name, one in zip(cohort, found, strict=True):
            if isinstance(one, str):
                self.dropped[name] = one
            else:
                self._seals[name] = one
        self._enough()
        entries = tuple(one.entry for one in self._seals.values())
        return {
            holder: Deliver(
                entries=entries,
                envelopes=()
                if self._replays
                else tuple(one.envelopes[number] for one in self._seals.values()),
            )
            for number, holder in enumerate(self._place.holders)
        }

    def survivors(self, complaints: Mapping[str, Complaints]) -> Survivors:
        """Fix whose vectors are in the sum, from the answers of the holders that are still there.

        A dealer of whom more than ``corrupt`` holders complain is left out; where fewer do, it is they who
        hold no shares any more: nobody is blamed on one word.

        Raises:
            VoidRoundError: If too few dealers or holders are left.
        """
        came = readable(complaints, self._place.holders, Complaints, FIELDS)
        self._holders = tuple(came)
        for dealer in tuple(self._seals):
            holders = [holder for holder, told in came.items() if dealer in told.reasons]
            if len(holders) > self._parameters.corrupt:
                del self._seals[dealer]
                self.dropped[dealer] = f"{len(holders)} holders cannot use its shares"
            else:
                self._holders = tuple(holder for holder in self._holders if holder not in holders)
        self._enough()
        if len(self._holders) < self._parameters.threshold:
            raise VoidRoundError(
                f"{len(self._holders)} holders are left; {self._parameters.threshold} are needed. "
                "Nothing was opened."
            )
        self._survivors = tuple(self._seals)
        return Survivors(self._survivors)

    def locks(self, locks: Mapping[str, Lock]) -> Locks:
        """Collect the locks that are valid.

        Raises:
            VoidRoundError: If there are fewer than the threshold.
        """
        valid = {
            name: lock.signature
            for name, lock in readable(locks, self._holders, Lock, FIELDS).items()
            if self._signed(name, lock.signature, "lock", self._hash)
        }
        if len(valid) < self._parameters.threshold:
            raise VoidRoundError(
                f"{len(valid)} holders locked the survivors; {self._parameters.threshold} are needed. "
                "Nothing was opened."
            )
        self._holders = tuple(name for name in self._holders if name in valid)
        return Locks(valid)

    @property
    def holders(self) -> tuple[str, ...]:
        """The holders that are still asked."""
        return self._holders

    def sum(self, openings: Mapping[str, Opening]) -> Sum:
        """Add the seals up and open their sum.

        Raises:
            VoidRoundError: If too few openings came, or what they give is not accepted. Then no other set of
                these seals may be opened.
        """
        came = readable(openings, self._holders, Opening, FIELDS)
        good = [name for name, opening in came.items() if self._opened(name, opening)]
        if len(good) < self._parameters.threshold:
            raise VoidRoundError(
                f"{len(good)} holders opened; {self._parameters.threshold} are needed. Nothing was learned."
            )
        total = np.zeros((self._parameters.elements, N), np.uint64)
        for name in self._survivors:
            field.add_into(total, self._seals[name].seal)
        shares = np.stack([came[name].share for name in good])
        points = self._place.points(good)
        count = len(self._survivors)
        try:
            restored = shamir.restore(points, shares, self._parameters.threshold)
            place = ("sealed sum", *self._place.parts)
            values = open_sum(total, restored.secret, count, self._parameters, *place)
        except (ShareError, NotAccepted) as error:
            raise VoidRoundError(f"the sum is void: {error}. The model is left as it was.") from error
        wrong = tuple(good[i] for i in restored.wrong)
        return Sum(total=values, survivors=self._survivors, wrong=wrong)

    # ------------------------------------------------------------------ checks

    @property
    def _hash(self) -> bytes:
        return survivors_hash(tuple(self._seals[name].entry for name in self._survivors))

    def _usable(self, name: str, sealed: SealedVector | None) -> SealedVector | str:
        """Return what came of a client, or why it cannot be used."""
        if sealed is None:
            return "no seal came"
        try:
            sealed = read(sealed, SealedVector, FIELDS)
        except Malformed as error:
            return str(error)
        most = Dealer(self._parameters, self._place).most_bytes
        if len(sealed.proof) > most:  # before it is hashed, in copies
            return f"a proof of {len(sealed.proof)} bytes came; it has at most {most}"
        return self._fault(name, sealed) or sealed

    def _fault(self, name: str, sealed: SealedVector) -> str | None:
        shape = (self._parameters.elements, N)
        if sealed.sender != name:
            return f"the seal says that it is from {sealed.sender[:40]!r}"
        # The shape first: an array may claim more elements than it has bytes.
        if sealed.seal.shape != shape or not field.is_canonical(sealed.seal):
            return f"the seal is not {shape[0]} ring elements"
        if fault := self._fault_of_envelopes(sealed):
            return fault
        entry: Entry = sealed.entry
        good = sealed.head == head_bytes(self._parameters)
        if not (good and self._signed(name, sealed.signature, "seal", *entry.signed)):
            return "the seal is not signed by its sender for this round and attempt"
        member = self._roster.by_name[name]
        return Dealer(self._parameters, self._place).why_rejected(member, sealed.seal, sealed.proof) or None

    def _fault_of_envelopes(self, sealed: SealedVector) -> str:
        if bool(sealed.envelopes if self._replays else sealed.hashes or sealed.length):
            return "hashes came in place of envelopes, or these in place of hashes"
        came = len(sealed.hashes if self._replays else sealed.envelopes)
        if came != len(self._place.holders):
            return f"{came} envelopes came for {len(self._place.holders)} holders"
        lengths = {sealed.length} if self._replays else set(map(len, sealed.envelopes))
        if lengths != {self._parameters.share_bytes + OVERHEAD}:
            return "an envelope has another length than a share"
        return ""

    def _opened(self, name: str, opening: Opening) -> bool:
        good = opening.share.shape == (N,) and field.is_canonical(opening.share)
        return good and self._signed(name, opening.signature, "open", self._hash, share_hash(opening.share))

    def _signed(self, name: str, signature: bytes, label: str, *parts: bytes) -> bool:
        return is_from(self._roster.by_name[name], signature, self._place, label, *parts)

    def _enough(self) -> None:
        if len(self._seals) < self._parameters.survivors:
            told = "; ".join(f"{name}: {why}" for name, why in self.dropped.items()) or "none was dropped"
            raise VoidRoundError(
                f"{len(self._seals)} usable seals of {len(self._place.cohort)}; a sum has at least "
                f"{self._parameters.survivors} ({told}). Nothing was opened."
            )

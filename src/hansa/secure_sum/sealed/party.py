"""The client half of a sealed sum: seal a vector, receive shares, lock the survivors, open the sum.

Everything that protects a client comes from what it was made with (roster, configuration, parameters), never
from a message. What it has done it writes down first: a party that is begun again over the same memory
neither seals, nor locks, nor opens anything else.

Assumes:
    Fewer than ``threshold`` holders and at most ``corrupt`` of them are corrupt, and at least two clients of
    the sum are honest. Nothing is assumed of the server: but it chooses who is in a cohort, and with it, in
    cohorts of more than 128, who holds shares; where cohorts are drawn from a larger roster, holders and
    clients of any cohort that it can choose must be honest in these numbers.

Leaks:
    To the server and everyone: the sum of the survivors' vectors, their keys and errors; who took part.
"""

from __future__ import annotations

import dataclasses
import os
from dataclasses import dataclass
from typing import Any

import numpy as np

from hansa.crypto import envelope, field
from hansa.crypto.encoding import digest
from hansa.crypto.envelope import EnvelopeError
from hansa.crypto.field import Field
from hansa.crypto.ring import N
from hansa.secure_sum.interface import Refused
from hansa.secure_sum.joined import JoinedParty
from hansa.secure_sum.messages import understood
from hansa.secure_sum.roster import Place
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
    envelope_hash,
    share_hash,
    survivors_hash,
)
from hansa.secure_sum.sealed.parameters import Parameters
from hansa.secure_sum.sealed.seal import Integers, seal


@dataclass(kw_only=True)
class _Held:
    """What a party knows of the attempt that it is in."""

    place: Place
    entries: tuple[Entry, ...] = ()
    shares: dict[str, Field] | None = None  # by dealer; None before delivery


class Party(JoinedParty[Parameters]):
    """One client in the sealed sums of a run."""

    _held: _Held | None = None

    # ------------------------------------------------------------------ phases

    def send(self, vector: Integers, message: Any, place: Place) -> SealedVector:  # noqa: ARG002 - none comes
        """Return the sealed vector."""
        return self.seal(vector, place)

    def answer(self, phase: str, message: Any, place: Place) -> Complaints | Lock | Opening:
        """Do what is asked in the phase ``"deliver"``, ``"lock"`` or ``"open"``."""
        if type(phase) is not str:
            raise Refused("a phase is text")
        if phase == "deliver":
            return self.receive(message, place)
        if phase == "lock":
            return self.lock(message, place)
        if phase == "open":
            if type(message) is not tuple or len(message) != 2:
                raise Refused("an Ask to open has the survivors and the locks")
            survivors, locks = message
            return self.open(survivors, locks, place)
        raise Refused("a sealed sum has no such phase")

    def seal(self, vector: Integers, place: Place) -> SealedVector:
        """Seal a vector for a round.

        Raises:
            Refused: If the place is not of this run, something was sealed there before, or this vector was.
            UpdateError: If the vector is not what the parameters were made for.
        """
        place = self._checked(place)
        done = f"sealed {place.purpose} {place.round} {place.attempt}"
        if done in self._memory:
            raise Refused("this party has already sealed a vector for this round and attempt")
        sealed, key = seal(vector, self._parameters, "sealed sum", *place.parts)
        dealing = Dealer(self._parameters, place).deal(self.member, vector, sealed, key)
        envelopes = tuple(
            envelope.put(
                content,
                *self._context(place, self._name, holder),
                sender=self._exchange,
                receiver=self._roster.by_name[holder].exchange,
            )
            for holder, content in zip(place.holders, dealing.contents, strict=True)
        )
        head = head_bytes(self._parameters)
        unsigned = SealedVector(
            sender=self._name, seal=sealed, envelopes=envelopes, signature=b"", proof=dealing.proof, head=head
        )
        entry = unsigned.entry
        hashed = entry.seal
        # Written down before anything leaves: neither two vectors at one place, nor one vector at two.
        salt = self._memory.setdefault("salt", os.urandom(32))  # small vectors could be guessed
        content = digest("vector", salt, np.ascontiguousarray(vector, "<i8").tobytes())
        self._once(f"sealed {place.round} vector {content.hex()}", hashed)  # whatever the purpose
        self._once(done, hashed)
        self._held = _Held(place=place)
        return dataclasses.replace(unsigned, signature=self._sign(place, "seal", *entry.signed))

    def receive(self, deliver: Deliver, place: Place) -> Complaints:
        """Check what was sealed and open the envelopes that came.

        Raises:
            Refused: If something is not of this run, round and attempt, which is the server's fault.
        """
        held = self._at(place)
        place, deliver = held.place, understood(deliver, Deliver, FIELDS)
        if self._name not in place.holders:
            raise Refused(f"{self._name!r} holds no shares in this round")
        entries = deliver.entries
        if held.shares is not None and held.entries != entries:
            raise Refused("other seals were delivered for this attempt before")
        self._check_entries(entries, place)
        if len(deliver.envelopes) != len(entries):
            raise Refused(f"{len(entries)} seals came with {len(deliver.envelopes)} envelopes")
        mine = place.holders.index(self._name)
        shares: dict[str, Field] = {}
        reasons: dict[str, str] = {}
        for entry, content in zip(entries, deliver.envelopes, strict=True):
            if envelope_hash(content) != entry.envelopes[mine]:
                raise Refused(f"the envelope of {entry.sender!r} is not the one that it signed")
            try:
                shares[entry.sender] = self._share_in(content, entry, place)
            except EnvelopeError as error:
                reasons[entry.sender] = str(error)
        held.entries, held.shares = entries, shares
        self._held = held
        return Complaints(reasons)

    def lock(self, survivors: Survivors, place: Place) -> Lock:
        """Sign the set of survivors, once.

        Raises:
            Refused: If the set is not one that this party may open, or another was locked before.
        """
        held = self._at(place)
        place = held.place
        chosen = self._chosen(understood(survivors, Survivors, FIELDS).names, held)
        hashed = survivors_hash(chosen)
        self._once(f"locked {place.purpose} {place.round} {place.attempt}", hashed, again=True)
        return Lock(self._sign(place, "lock", hashed))

    def open(self, survivors: Survivors, locks: Locks, place: Place) -> Opening:
        """Give this holder's share of the sum of the keys, having seen enough locks on the same survivors.

        Raises:
            Refused: If the set was not locked here, or too few locks on it are valid.
        """
        held = self._at(place)
        place, locks = held.place, understood(locks, Locks, FIELDS)
        chosen = self._chosen(understood(survivors, Survivors, FIELDS).names, held)
        hashed = survivors_hash(chosen)
        if self._memory.get(f"locked {place.purpose} {place.round} {place.attempt}") != hashed:
            raise Refused("these survivors were not locked by this holder")
        valid = sum(
            name in place.holders and self._signed(name, signature, place, "lock", hashed)
            for name, signature in locks.signatures.items()
        )
        if valid < self._parameters.threshold:
            raise Refused(
                f"{valid} holders locked these survivors; {self._parameters.threshold} are needed to open"
            )
        self._once(f"opened {place.purpose} {place.round} {place.attempt}", hashed, again=True)
        total = np.zeros(N, np.uint64)
        for entry in chosen:
            field.add_into(total, held.shares[entry.sender])  # type: ignore[index] - `_chosen` has looked
        signature = self._sign(place, "open", hashed, share_hash(total))
        return Opening(share=total, signature=signature)

    # ------------------------------------------------------------------ checks

    def _checked(self, place: Place) -> Place:
        place = super()._checked(place)
        if len(place.holders) != self._parameters.holders:
            raise Refused(
                f"{len(place.holders)} hold shares; the sum was planned for {self._parameters.holders}"
            )
        return place

    def _at(self, place: Place) -> _Held:
        """Return what is held of a place; of another than the last one nothing, until all is well there."""
        place = understood(place, Place, FIELDS)
        if self._held is not None and self._held.place == place:
            return self._held
        return _Held(place=self._checked(place))

    def _check_entries(self, entries: tuple[Entry, ...], place: Place) -> None:
        own = self._memory.get(f"sealed {place.purpose} {place.round} {place.attempt}")
        names = [entry.sender for entry in entries]
        if len(set(names)) != len(names):
            raise Refused("a member is twice among the seals")
        if any(name not in place.cohort for name in names):
            raise Refused("someone who is not in the cohort is among the seals")
        for entry in entries:
            if len(entry.envelopes) != len(place.holders):
                raise Refused(f"{entry.sender!r} has {len(entry.envelopes)} envelopes")
            if not self._signed(entry.sender, entry.signature, place, "seal", *entry.signed):
                raise Refused(f"the seal of {entry.sender!r} is not signed by it for this round and attempt")
            if entry.sender == self._name and entry.seal != own:
                raise Refused("the seal shown as this party's own is another one")

    def _share_in(self, content: bytes, entry: Entry, place: Place) -> Field:
        dealer = self._roster.by_name[entry.sender]
        data = envelope.take(
            content,
            *self._context(place, entry.sender, self._name),
            sender=dealer.exchange,
            receiver=self._exchange,
            size=self._parameters.share_bytes,
        )
        share = np.frombuffer(data[: 8 * N], "<u8").astype(np.uint64)
        if not field.is_canonical(share):
            raise EnvelopeError("a share is not made of field elements")
        number = place.holders.index(self._name)
        why = Dealer(self._parameters, place).why_unusable(dealer, entry, number, data)
        if why:
            raise EnvelopeError(why)
        return share

    def _chosen(self, names: tuple[str, ...], held: _Held) -> tuple[Entry, ...]:
        """Return the survivors' entries, if this party may lock and open their sum."""
        if held.shares is None:
            raise Refused("no shares were delivered for this attempt")
        by_name = {entry.sender: entry for entry in held.entries}
        if len(set(names)) != len(names) or any(name not in by_name for name in names):
            raise Refused("the survivors are not among the seals that were delivered, each once")
        if tuple(name for name in held.place.cohort if name in names) != names:
            raise Refused("the survivors are not in the order of the cohort")
        if len(names) < self._parameters.survivors:
            raise Refused(
                f"{len(names)} survivors are fewer than {self._parameters.survivors}, the least of a sum"
            )
        if any(name not in held.shares for name in names):
            raise Refused("this holder has no usable share of a survivor's key")
        return tuple(by_name[name] for name in names)

    def _context(self, place: Place, sender: str, receiver: str) -> tuple[bytes | str | int, ...]:
        return (*place.parts, sender, receiver)

"""The client half of a masked sum: advertise a key, deal shares, mask a vector, lock the survivors, unmask.

Everything that protects a client comes from what it was made with (roster, configuration, parameters),
never from a message; the graph it computes itself. What it has done it writes down first. Its secrets of an
attempt are in memory alone: a party that is begun again over the same memory has dropped out of the attempt
that it was in, and neither advertises, masks, locks nor unmasks there again.

Assumes:
    At most ``corrupt`` clients of a cohort are corrupt, together with the server; then at most ``near``
    neighbours of an honest client are, but for the chance that `hansa.secure_sum.masking.parameters` states.
    At least two clients of the sum are honest. Nothing is assumed of the server: but where it draws cohorts
    from a larger roster, it chooses who is in them.

Leaks:
    To the server: the sum of the survivors' vectors; who took part, and in which phase others dropped out.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from hansa.crypto import envelope
from hansa.crypto.encoding import Part, digest
from hansa.crypto.envelope import EnvelopeError, ExchangeKey
from hansa.crypto.field import Field
from hansa.crypto.secret import Secret
from hansa.secure_sum.interface import Refused
from hansa.secure_sum.joined import JoinedParty
from hansa.secure_sum.masking import shares
from hansa.secure_sum.masking.graph import Graph
from hansa.secure_sum.masking.masks import Integers, Mask, add_masks, pair_mask, residues
from hansa.secure_sum.masking.messages import (
    FIELDS,
    Advert,
    Adverts,
    Deal,
    Deals,
    Lock,
    Locks,
    Masked,
    MaskedVector,
    Survivors,
    Unmasking,
    envelopes_hash,
    seed_hash,
    shares_hash,
    vector_hash,
)
from hansa.secure_sum.masking.parameters import Parameters
from hansa.secure_sum.messages import understood
from hansa.secure_sum.roster import Place


@dataclass(frozen=True, kw_only=True)
class _Shared:
    """What a party has dealt. It does not print."""

    public: dict[str, bytes]  # mask keys by client
    graph: Graph
    seed: Secret
    deal: Deal
    own: Field = field(repr=False)  # its share of its own secrets


@dataclass(frozen=True, kw_only=True)
class _Sent:
    """What a party has masked, and what it holds for others."""

    dealers: tuple[str, ...]
    root: bytes  # of adverts and deals
    masked: Masked
    shares: dict[str, Field] = field(repr=False)  # of both secrets, by dealer


@dataclass(kw_only=True)
class _Held:
    """What a party knows of the attempt that it is in."""

    place: Place
    key: ExchangeKey
    advert: Advert
    shared: _Shared | None = None
    sent: _Sent | None = None
    survivors: Survivors | None = None


class Party(JoinedParty[Parameters]):
    """One client in the masked sums of a run."""

    _held: _Held | None = None

    # ------------------------------------------------------------------ phases

    def send(self, vector: Integers, message: Any, place: Place) -> MaskedVector:
        """Return the masked vector."""
        place = understood(place, Place, FIELDS)
        return self.mask(vector, understood(message, Deals, FIELDS), place)

    def answer(self, phase: str, message: Any, place: Place) -> Advert | Deal | Lock | Unmasking:
        """Do what is asked in the phase ``"advertise"``, ``"share"``, ``"lock"`` or ``"unmask"``."""
        if type(phase) is not str:
            raise Refused("a phase is text")
        place = understood(place, Place, FIELDS)
        if phase == "advertise":
            return self.advertise(place)
        if phase == "share":
            return self.share(understood(message, Adverts, FIELDS), place)
        if phase == "lock":
            return self.lock(understood(message, Survivors, FIELDS), place)
        if phase == "unmask":
            return self.unmask(understood(message, Locks, FIELDS), place)
        raise Refused(f"a masked sum has no phase {phase[:40]!r}")

    def advertise(self, place: Place) -> Advert:
        """Make a mask key for an attempt, and sign it.

        Raises:
            Refused: If the place is not of this run, or something was advertised there before.
        """
        if self._held is not None and self._held.place == place:
            return self._held.advert
        place = self._checked(place)
        key = ExchangeKey.fresh()
        self._once(f"advertised {place.purpose} {place.round} {place.attempt}", key.public)
        signature = self._sign(place, "masking.advert", key.public)
        advert = Advert(sender=self._name, public=key.public, signature=signature)
        self._held = _Held(place=place, key=key, advert=advert)
        return advert

    def share(self, adverts: Adverts, place: Place) -> Deal:
        """Compute the graph, and deal shares of mask key and seed to its neighbours.

        Raises:
            Refused: If the keys are not those of members, each its own, or others were shown before.
        """
        held = self._at(place)
        root = adverts.root(place)
        if held.shared is not None:
            if held.shared.graph.root != root:
                raise Refused("other mask keys were shown for this attempt before")
            return held.shared.deal
        names = self._check_senders(adverts.entries, place, place.cohort, "mask keys")
        for entry in adverts.entries:
            self._check_signed(entry.sender, entry.signature, place, "masking.advert", entry.public)
        if held.advert not in adverts.entries:
            raise Refused("this party's own mask key is not among those that were shown")
        graph, seed = Graph(names, self._parameters.neighbours, root), Secret.random(shares.SECRET)
        points = [place.cohort.index(holder) + 1 for holder in graph.holders[self._name]]
        rows = shares.deal(seed, held.key.private, points, self._parameters.threshold)
        by_holder = dict(zip(graph.holders[self._name], rows, strict=True))
        held.shared = _Shared(
            public={entry.sender: entry.public for entry in adverts.entries},
            graph=graph,
            seed=seed,
            own=by_holder.pop(self._name),
            deal=self._deal(by_holder, seed_hash(seed.reveal(), place, self._name), root, place),
        )
        return held.shared.deal

    def mask(self, vector: Integers, deals: Deals, place: Place) -> MaskedVector:
        """Open the envelopes that came, and mask a vector with all neighbours that have dealt shares.

        Raises:
            Refused: If who has dealt is not shown as it must be, too few have, something was masked there
                before, or this vector was in this round.
            UpdateError: If the vector is not what the parameters were made for.
        """
        held = self._at(place)
        shared = held.shared
        if shared is None:
            raise Refused("this party has dealt no shares in this attempt")
        dealers = self._check_deals(deals, shared, place)
        words, root = residues(vector, self._parameters), deals.root(shared.graph.root)
        near = shared.graph.near(self._name, dealers)
        masks = [Mask(shared.seed), *self._pair_masks(held.key, shared, near, place)]
        # Written down before anything leaves: neither two vectors at one place, nor one vector at two.
        salt = self._memory.setdefault("salt", os.urandom(32))  # small vectors could be guessed
        self._once(f"masked {place.round} vector {digest('vector', salt, vector_hash(words)).hex()}", root)
        self._once(f"masked {place.purpose} {place.round} {place.attempt}", root)
        add_masks(words, masks)
        hashed = vector_hash(words)
        signature = self._sign(place, "masking.vector", root, hashed)
        opened = {name: self._share_in(deals.envelopes[name], name, shared, place) for name in near}
        usable = {name: share for name, share in opened.items() if share is not None}
        held.sent = _Sent(
            dealers=dealers,
            root=root,
            masked=Masked(sender=self._name, vector=hashed, signature=signature),
            shares={**usable, self._name: shared.own},
        )
        return MaskedVector(sender=self._name, vector=words, signature=signature)

    def lock(self, survivors: Survivors, place: Place) -> Lock:
        """Sign the set of survivors, once.

        Raises:
            Refused: If the set is not one that this party may unmask, or another was locked before.
        """
        held = self._at(place)
        shared, sent = held.shared, held.sent
        if shared is None or sent is None:
            raise Refused("this party has masked nothing in this attempt")
        names = self._check_senders(survivors.entries, place, sent.dealers, "survivors")
        for entry in survivors.entries:
            self._check_signed(
                entry.sender, entry.signature, place, "masking.vector", sent.root, entry.vector
            )
        if sent.masked not in survivors.entries:
            raise Refused("this party's own masked vector is not among the survivors")
        self._check_holders(shared.graph, sent.dealers, names)
        hashed = survivors.hash(sent.root)
        self._once(f"locked {place.purpose} {place.round} {place.attempt}", hashed, again=True)
        held.survivors = survivors
        return Lock(self._sign(place, "masking.lock", hashed))

    def unmask(self, locks: Locks, place: Place) -> Unmasking:
        """Give one share for each neighbour and itself, having seen enough locks on the same survivors.

        Raises:
            Refused: If no survivors were locked here, or too few locks on them are valid.
        """
        held = self._at(place)
        if held.sent is None or held.survivors is None:
            raise Refused("this party has locked no survivors in this attempt")
        hashed = held.survivors.hash(held.sent.root)
        names = {entry.sender for entry in held.survivors.entries}
        valid = sum(
            name in names and self._signed(name, signature, place, "masking.lock", hashed)
            for name, signature in locks.signatures.items()
        )
        if valid < self._parameters.quorum:
            raise Refused(
                f"{valid} clients locked these survivors; {self._parameters.quorum} are needed to unmask"
            )
        self._once(f"unmasked {place.purpose} {place.round} {place.attempt}", hashed, again=True)
        # One list says which of the two a share is of: there is no way to ask for both.
        given = {
            dealer: (both[: shares.ELEMENTS] if dealer in names else both[shares.ELEMENTS :]).copy()
            for dealer, both in held.sent.shares.items()
        }
        return Unmasking(
            shares=given, signature=self._sign(place, "masking.unmask", hashed, shares_hash(given))
        )

    # ------------------------------------------------------------------ masks and shares

    def _deal(self, rows: Mapping[str, Field], commitment: bytes, root: bytes, place: Place) -> Deal:
        envelopes = tuple(
            envelope.put(
                shares.to_bytes(row),
                *self._context(place, root, self._name, holder),
                sender=self._exchange,
                receiver=self._roster.by_name[holder].exchange,
            )
            for holder, row in rows.items()
        )
        signature = self._sign(place, "masking.deal", root, commitment, envelopes_hash(envelopes))
        return Deal(sender=self._name, commitment=commitment, envelopes=envelopes, signature=signature)

    def _share_in(self, content: bytes, dealer: str, shared: _Shared, place: Place) -> Field | None:
        """Return a dealer's share of both secrets, or None if its envelope is of no use: nobody is blamed."""
        try:
            data = envelope.take(
                content,
                *self._context(place, shared.graph.root, dealer, self._name),
                sender=self._roster.by_name[dealer].exchange,
                receiver=self._exchange,
                size=shares.BYTES,
            )
        except EnvelopeError:
            return None
        return shares.from_bytes(data)

    def _pair_masks(
        self, key: ExchangeKey, shared: _Shared, near: tuple[str, ...], place: Place
    ) -> list[Mask]:
        try:
            return [pair_mask(key, shared.public[other], self._name, other, place) for other in near]
        except EnvelopeError as error:
            raise Refused(f"a neighbour's mask key cannot be used: {error}") from None

    # ------------------------------------------------------------------ checks

    def _at(self, place: Place) -> _Held:
        if self._held is None or self._held.place != place:
            raise Refused("this party has advertised no mask key in this attempt, or has begun again since")
        return self._held

    def _check_senders(
        self, entries: Iterable[Any], place: Place, among: tuple[str, ...], what: str
    ) -> tuple[str, ...]:
        """Return whose entries these are: enough, each once, in order of the cohort, of those before."""
        names = tuple(entry.sender for entry in entries)
        if len(set(names)) != len(names):
            raise Refused(f"a member is twice among the {what}")
        allowed = set(among)
        strangers = [name for name in names if name not in allowed]
        if strangers:
            raise Refused(f"{strangers[0]!r} cannot be among the {what}")
        given = set(names)
        if tuple(name for name in place.cohort if name in given) != names:
            raise Refused(f"the {what} are not in the order of the cohort")
        if len(names) < self._parameters.survivors:
            raise Refused(
                f"{len(names)} {what} are fewer than {self._parameters.survivors}, the least of a sum"
            )
        return names

    def _check_deals(self, deals: Deals, shared: _Shared, place: Place) -> tuple[str, ...]:
        """Return who has dealt shares, if all that is shown of it is signed and enough."""
        graph = shared.graph
        names = self._check_senders(deals.entries, place, graph.names, "dealers")
        for entry in deals.entries:
            parts = graph.root, entry.commitment, entry.envelopes
            self._check_signed(entry.sender, entry.signature, place, "masking.deal", *parts)
        if shared.deal.entry not in deals.entries:
            raise Refused("this party's own shares are not among those that were dealt")
        self._check_holders(graph, names, names)
        if set(deals.envelopes) != set(graph.near(self._name, names)):
            raise Refused("the envelopes are not those of this party's neighbours that have dealt shares")
        return names

    def _check_holders(self, graph: Graph, dealers: tuple[str, ...], left: tuple[str, ...]) -> None:
        cut = graph.alone(dealers, left, self._parameters.threshold)
        if cut:
            raise Refused(
                f"of the holders of {cut[0]!r} fewer than {self._parameters.threshold} are left, and with "
                "them too few of its neighbours"
            )

    def _check_signed(self, name: str, signature: bytes, place: Place, label: str, *parts: bytes) -> None:
        if not self._signed(name, signature, place, label, *parts):
            raise Refused(f"a message of {name!r} is not signed by it for this round and attempt")

    def _context(self, place: Place, root: bytes, sender: str, receiver: str) -> tuple[Part, ...]:
        return (*place.parts, root, sender, receiver)

"""What a client's half does alike in every secure sum: pin the run, check places, sign, write down."""

from __future__ import annotations

from collections.abc import MutableMapping
from typing import Any, Generic, Protocol, TypeVar

from hansa.crypto.encoding import Part, digest
from hansa.secure_sum.interface import Keys, Party, Refused
from hansa.secure_sum.messages import PLACE, is_from, understood
from hansa.secure_sum.roster import Place, Roster


class Numbers(Protocol):
    """What is known of the parameters of any secure sum."""

    @property
    def members(self) -> int:
        """Clients in a cohort."""
        ...

    def describe(self) -> dict[str, Any]:
        """Return all numbers."""
        ...


N = TypeVar("N", bound=Numbers)


class JoinedParty(Party, Generic[N]):
    """One client in the secure sums of a run.

    Attributes:
        member: Its name, public keys, and the root of its data.
    """

    def __init__(self, name: str, keys: Keys, memory: MutableMapping[str, bytes]) -> None:
        """Take name and keys.

        Args:
            name: The client's name.
            keys: Its private keys.
            memory: What it has done, so that it does nothing else; kept on the disk where a process may end.
        """
        self.member = keys.member(name)
        self._name, self._exchange, self._signing = name, keys.exchange, keys.signing
        self._memory = memory

    def join(self, roster: Roster, configuration: bytes, parameters: N) -> None:
        """Pin the run: its roster, configuration and parameters.

        Raises:
            Refused: If this party is not in the roster with its keys and data, or has joined with another
                roster, configuration or parameters.
        """
        if roster.by_name.get(self._name) != self.member:
            raise Refused(f"{self._name!r} is not in the roster with its own keys and data")
        pinned = digest("run", roster.hash, configuration, repr(sorted(parameters.describe().items())))
        if self._memory.setdefault("run", pinned) != pinned:
            raise Refused("roster, configuration or parameters changed; that is another run, with other keys")
        self._roster, self._configuration, self._parameters = roster, configuration, parameters

    def _checked(self, place: Place) -> Place:
        """Return a place that this party may take part in, made anew."""
        place = understood(place, Place, PLACE)
        if not (0 <= place.round < 2**63 and 0 <= place.attempt < 2**63 and len(place.payload) == 32):
            raise Refused("round, attempt or hash of the payload are none")
        if not (place.purpose.isascii() and place.purpose.isidentifier() and len(place.purpose) <= 32):
            raise Refused("the purpose is none")
        if place.configuration != self._configuration or place.roster != self._roster.hash:
            raise Refused("the message is of another configuration or roster")
        names = place.cohort
        if len(set(names)) != len(names):
            raise Refused("a member is twice in the cohort")
        strangers = [name for name in names if name not in self._roster.by_name]
        if strangers:
            raise Refused(f"{strangers[0]!r} is in the cohort and not in the roster")
        if self._name not in names:
            raise Refused(f"{self._name!r} is not in the cohort")
        if len(names) != self._parameters.members:
            raise Refused(
                f"the cohort has {len(names)} members; the sum was planned for {self._parameters.members}"
            )
        return place

    def _sign(self, place: Place, label: str, *parts: Part) -> bytes:
        return self._signing.sign(label, *place.parts, self._name, *parts)

    def _signed(self, name: str, signature: bytes, place: Place, label: str, *parts: Part) -> bool:
        return is_from(self._roster.by_name[name], signature, place, label, *parts)

    def _once(self, what: str, value: bytes, *, again: bool = False) -> None:
        """Write down what is about to be done; refuse what was done before, unless it is the same again."""
        before = self._memory.get(what)
        if before is not None and not (again and before == value):
            raise Refused(f"this party has already {what.split(maxsplit=1)[0]} something here")
        self._memory[what] = value

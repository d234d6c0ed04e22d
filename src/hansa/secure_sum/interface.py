"""What every secure sum is: a declaration, and both halves of what it does in a round.

SecureSum   what a user declares: a few settings.
Planned     the same for one run: sizes checked, members and configuration pinned; the server's half.
Party       one client's half.
"""

from __future__ import annotations

import abc
from collections.abc import Generator, MutableMapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from hansa.secure_sum.roster import Member, Place, Roster
from hansa.types import Answer, Ask

if TYPE_CHECKING:
    from hansa.crypto.envelope import ExchangeKey
    from hansa.crypto.signature import SigningKey

Phases = Generator[Ask, Answer, Answer]


class SecureSum(abc.ABC):
    """How the sum of the clients' updates comes about, as a user declares it."""

    sends_update: ClassVar[bool] = False
    """Whether what a client sends is its update, so that an engine may add updates where they arise."""

    @property
    def proof_bits(self) -> int:
        """Work to forge a client's proof of its norm, as a power of two; 0 where clients prove nothing."""
        return 0

    def anywhere(self) -> SecureSum:
        """Return the same for any number of clients: without what was said for the number of one cohort."""
        return self

    @abc.abstractmethod
    def plan(self, shape: Shape, run: Run | None = None) -> Planned:
        """Return the sum as it is computed in one run.

        Args:
            shape: Of what is summed.
            run: Whom and what it belongs to, or None while that is not known: then it is checked alone.

        Raises:
            ConfigurationError: If such sums do not fit, or would not protect; with the numbers.
            MissingExtraError: If a package that it needs is not installed.
        """


@dataclass(frozen=True, kw_only=True)
class Shape:
    """What is summed.

    Attributes:
        dimension: Numbers in a vector.
        members: Clients in a round, all that are asked; None where the number is not fixed.
        bound: Most that one integer's absolute value may be; None where vectors are floats.
        norm: Most that a vector's norm may be, where that is bounded; with weights, divided by its weight.
        max_weight: Most that a vector's weight, its last coordinate, may be; None where vectors have none.
        noise: Most that the norm of the noise in a vector may be, where clients add some.
    """

    dimension: int
    members: int | None
    bound: int | None
    norm: int | None = None
    max_weight: int | None = None
    noise: int | None = None


@dataclass(frozen=True, kw_only=True)
class Run:
    """What a client pins before it takes part.

    Attributes:
        roster: Names and public keys of all clients.
        configuration: Hash of the run's configuration, 32 bytes.
    """

    roster: Roster
    configuration: bytes


class Planned(abc.ABC):
    """A secure sum in one run: its public numbers, and the server's half."""

    @abc.abstractmethod
    def describe(self) -> dict[str, Any]:
        """Return kind, settings and the numbers that follow, for the run's configuration."""

    @abc.abstractmethod
    def explain(self) -> str:
        """Return in words what is hidden from whom, and while what holds."""

    verifiable: ClassVar[bool] = False
    """Whether anyone who has what clients said can add it up again, and be sure of it."""

    @property
    def fewest(self) -> int:
        """Fewest clients in a sum that is opened; 0 where a sum of any number is."""
        return 0

    @property
    def noise_norm(self) -> int | None:
        """The most that the norm of a client's noise may be, where it is proven apart from its update.

        Then clients give vectors of two rows, update and noise, and abstain with longer noise.
        """
        return None

    @abc.abstractmethod
    def collect(self, ask: Ask, *, number: int) -> Phases:
        """Let clients answer an Ask with a vector each, and add these up: a part of the round's generator.

        Asks of a secure sum have a `Place`, and for each client what it is sent, in ``each``; its answer is
        the reply's ``message``.

        Args:
            ask: What is asked: to train, or to tell metrics.
            number: Number of the round.

        Returns:
            The answer to the Ask: with the total, without the replies of clients whose vectors are
            not in it, and with the reasons in ``dropped``.

        Raises:
            VoidRoundError: If the sum cannot be opened. Nothing of it is known; training may go on.
        """

    def party(self, name: str, keys: Keys, memory: MutableMapping[str, bytes]) -> Party:
        """Return the half of one client, joined to the run.

        Args:
            name: The client.
            keys: Its private keys.
            memory: What it has done so far, kept on the disk where a process may end.
        """
        raise NotImplementedError(f"{type(self).__name__} has nothing for a client to keep")


@dataclass(frozen=True)
class Keys:
    """A client's private keys, and what it pins of its own data. Private keys do not print.

    Attributes:
        exchange: X25519, to which envelopes are addressed.
        signing: Ed25519, with which all that it says is signed.
        data: Root of the client's certificate about its data, public; empty where there is none.
        rows: Number of its training rows, where that certificate tells it; else None.
    """

    exchange: ExchangeKey
    signing: SigningKey
    data: bytes = b""
    rows: int | None = None

    def member(self, name: str) -> Member:
        """Return the client as all others know it."""
        public = self.exchange.public, self.signing.public
        return Member(name=name, exchange=public[0], signing=public[1], data=self.data, rows=self.rows)


class Party(abc.ABC):
    """One client's half of a secure sum. What protects it comes from what it joined, never from a message."""

    @abc.abstractmethod
    def send(self, vector: NDArray[np.int64], message: Any, place: Place) -> Any:
        """Return what is sent for a vector: that local training gave, or of metrics.

        Raises:
            Refused: If this party does not send it; it says why.
        """

    @abc.abstractmethod
    def answer(self, phase: str, message: Any, place: Place) -> Any:
        """Return the answer to a message of another phase.

        Raises:
            Refused: If this party does not do what it is asked; it says why.
        """


class Refused(Exception):  # noqa: N818 - what a party answers
    """A party does not do what it was asked, and says why. Nothing was given away."""

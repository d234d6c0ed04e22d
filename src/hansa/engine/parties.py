"""The clients' halves of a secure sum where all clients are in this process: in a simulation."""

from __future__ import annotations

import dataclasses
import functools
import secrets
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hansa import client
from hansa.engine.crew import Part
from hansa.errors import ConfigurationError, UpdateError
from hansa.evaluate.tally import Tally
from hansa.plan import Plan
from hansa.rng import Seeds
from hansa.secure_sum.interface import Keys, Party, Planned, Refused, Run, SecureSum, Shape
from hansa.secure_sum.roster import Roster
from hansa.types import Answer, Ask, Delta, Reply, Total


class Parties:
    """What each client does in the phases of a run's secure sums: that of updates, and that of metrics.

    What clients have done is kept in memory alone: server and clients of a simulation end together, so that
    nobody is left who could ask for the same round twice.
    """

    def __init__(
        self,
        sums: Mapping[str, Planned | None],
        keys: Callable[[str], Keys | None],
        tally: Tally | None = None,
        why_not: Callable[[Ask], str] = lambda _: "",
    ) -> None:
        """Take the secure sums of a run.

        Args:
            sums: By the phase that brings vectors.
            keys: Returns a client's keys.
            tally: Of the metrics.
            why_not: Returns why a client must not answer an Ask for vectors (`hansa.client.why_not`).
        """
        self._sums, self._keys, self._tally, self._why_not = sums, keys, tally, why_not
        self._looked: tuple[Ask | None, str] = None, ""
        self._parties: dict[tuple[str, str], Party] = {}
        self._trained: dict[str, Reply] = {}  # of this round, until it is told

    @classmethod
    def of(cls, plan: Plan, sites: Mapping[str, client.Site], seeds: Seeds) -> Parties:
        """Return the parties of a run."""
        sums = {"train": plan.sums, "tell": plan.telling}
        look = functools.partial(client.why_not, plan, seeds=seeds)
        return cls(sums, lambda name: sites[name].keys, plan.tally, look)

    def send(self, name: str, reply: Reply, ask: Ask) -> Reply:
        """Return a client's reply with what it sends in place of its vector, or why it does not.

        What else is in the reply is not sent: neither number of rows nor metrics.
        """
        if reply.delta is None:
            return Reply(refusal=reply.refusal)
        if self._looked[0] is not ask:  # all clients of a simulation look at one Ask: once will do
            self._looked = ask, self._why_not(ask)
        if self._looked[1]:
            return Reply(refusal=self._looked[1])
        try:
            message = self._party(name, ask).send(reply.delta.vector, ask.each.get(name), ask.place)
        except Refused as error:
            return Reply(refusal=str(error))
        except UpdateError:  # whose text may have a value of the vector
            return Reply(refusal="its vector does not fit the sum")
        return Reply(message=message)

    def sent(self, part: Part, ask: Ask) -> Part:
        """Return part of a cohort with what its clients send through a secure sum, where there is one."""
        if ask.place is None:
            return part
        self._trained.update(part.replies)
        replies = {name: self.send(name, reply, ask) for name, reply in part.replies.items()}
        return replace(part, replies=replies)

    def told(self, name: str, measured: Reply | None, ask: Ask) -> Reply:
        """Return what a client sends of its metrics: of its training in this round, and of the new model.

        Args:
            name: The client.
            measured: What it measured on its validation rows, or None.
            ask: The Ask to tell.
        """
        if self._tally is None:
            raise ConfigurationError("metrics are told in the clear in this run.")
        trained = self._trained.pop(name, Reply())
        told = {"training": (trained.examples, trained.metrics.get("training", {}))}
        if measured is not None:
            told["validation"] = measured.examples, measured.metrics["validation"]
        vector = self._tally.encode(told, clipped=trained.clipped)
        return self.send(name, Reply(delta=Delta(vector=vector, weight=1.0)), ask)

    def reply(self, name: str, ask: Ask) -> Reply:
        """Return a client's answer in a phase of the secure sum."""
        try:
            return Reply(message=self._party(name, ask).answer(ask.phase, ask.each.get(name), ask.place))
        except Refused as error:
            return Reply(refusal=str(error))

    def _party(self, name: str, ask: Ask) -> Party:
        of = ask.place.purpose, name
        if of not in self._parties:
            keys, planned = self._keys(name), self._sums.get(of[0])
            if keys is None or planned is None:
                raise ConfigurationError(f"client {name!r} has no keys, which the secure sum needs.")
            self._parties[of] = planned.party(name, keys, {})
        return self._parties[of]


def fresh_keys(names: Iterable[str]) -> dict[str, Keys]:
    """Return new keys for clients, from the operating system's generator."""
    from hansa.crypto.envelope import ExchangeKey
    from hansa.crypto.signature import SigningKey

    return {name: Keys(ExchangeKey.fresh(), SigningKey.fresh()) for name in names}


def roster_of(keys: Mapping[str, Keys]) -> Roster:
    """Return the roster of these clients: their public keys, and the roots of their data."""
    return Roster(tuple(own.member(name) for name, own in keys.items()))


def sum_vectors(
    secure_sum: SecureSum,
    vectors: Mapping[str, NDArray[np.int64]],
    *,
    bound: int,
    keys: Mapping[str, Keys] | None = None,
    label: str = "",
) -> Total:
    """Return the sum of one integer vector of each client, through a secure sum, all in this process.

    Args:
        secure_sum: How the sum comes about.
        vectors: Vector by client, int64, all of one shape ``(d,)``.
        bound: Most that one integer's absolute value may be.
        keys: The clients' keys; None takes fresh ones for this sum.
        label: What is summed; messages of another label do not pass for this one's.

    Raises:
        ConfigurationError: If such a sum does not fit or would not protect.
        VoidRoundError: If the sum cannot be opened.
        UpdateError: If a vector is not within the bound.
    """
    names, dimension = tuple(vectors), len(next(iter(vectors.values())))
    shape = Shape(dimension=dimension, members=len(names), bound=bound)
    _check_vectors(vectors, dimension, bound)
    if secure_sum.sends_update:
        total = np.add.reduce(list(vectors.values()), dtype=np.int64)
        return Total(vector=total.astype(np.float64), weight=float(len(names)), count=len(names))
    secure_sum.plan(shape)  # says what is missing or does not fit, before keys are made
    from hansa.crypto.encoding import digest

    keys = fresh_keys(names) if keys is None else keys
    salt = secrets.token_bytes(32)
    run = Run(roster=roster_of(keys), configuration=digest("one sum", label, salt))
    planned = secure_sum.plan(shape, run)
    parties = Parties({"train": planned}, keys.__getitem__)
    ask = Ask(phase="train", clients=names)
    steps = planned.collect(ask, number=0)
    ask = next(steps)
    while True:
        replies: dict[str, Reply] = {}
        for name in ask.clients:
            if ask.phase == "train":
                own = Reply(delta=Delta(vector=vectors[name], weight=1.0))
                replies[name] = parties.send(name, own, ask)
            else:
                replies[name] = parties.reply(name, ask)
        try:
            ask = steps.send(answer_of(ask, replies))
        except StopIteration as end:
            return end.value.total


def answer_of(ask: Ask, replies: Mapping[str, Reply]) -> Answer:
    """Return the answer that clients' replies to a phase of a secure sum are, in the order asked."""
    ordered = {name: replies[name] for name in ask.clients}
    return Answer(
        replies={name: reply for name, reply in ordered.items() if not reply.refusal},
        dropped={name: reply.refusal for name, reply in ordered.items() if reply.refusal},
        bytes_down=len(ask.clients) * size_of(ask.payload) + sum(map(size_of, ask.each.values())),
        bytes_up=sum(size_of(reply.message) for reply in ordered.values()),
    )


def _check_vectors(vectors: Mapping[str, Any], dimension: int, bound: int) -> None:
    for name, vector in vectors.items():
        if not isinstance(vector, np.ndarray) or vector.dtype != np.int64 or vector.shape != (dimension,):
            raise UpdateError(f"the vector of {name!r} is not {dimension} integers of int64.")
        if len(vector) and max(int(vector.max()), -int(vector.min())) > bound:
            raise UpdateError(f"the vector of {name!r} has a value beyond the bound of {bound}.")


def size_of(message: Any) -> int:
    """Return how many bytes a message of a secure sum has: arrays, bytes and names in it."""
    if isinstance(message, (np.ndarray, bytes)):
        return message.nbytes if isinstance(message, np.ndarray) else len(message)
    if isinstance(message, str):
        return len(message.encode())
    if isinstance(message, Mapping):
        return sum(size_of(key) + size_of(value) for key, value in message.items())
    if isinstance(message, (tuple, list)):
        return sum(map(size_of, message))
    if dataclasses.is_dataclass(message):
        return sum(size_of(getattr(message, field.name)) for field in dataclasses.fields(message))
    return 8 if isinstance(message, int) else 0

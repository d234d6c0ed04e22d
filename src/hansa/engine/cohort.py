"""One round's training in an engine, while it goes on."""

from __future__ import annotations

import dataclasses
import time

from hansa.engine.crew import Part
from hansa.engine.parties import size_of
from hansa.plan import Plan
from hansa.secure_sum.tree import TreeSum
from hansa.types import Answer, Ask, Memory, Reply


class Cohort:
    """What has come of an Ask to train.

    Attributes:
        ask: What was asked.
        total: The sum so far, where the engine adds updates up; a secure sum's messages are kept.
        learned: What clients remember from now on, by name.
    """

    def __init__(self, ask: Ask, plan: Plan) -> None:
        """Begin with nothing."""
        self.ask = ask
        self.total = TreeSum(plan.sum_size if ask.place is None else 0, len(ask.clients))
        self.learned: dict[str, Memory] = {}
        self._plan = plan
        self._replies: dict[str, Reply] = {}
        self._dropped: dict[str, str] = {}
        self._spent_s: dict[str, float] = dict.fromkeys(("gather", "train", "encode", "sum"), 0.0)
        self._begun = time.perf_counter()

    def take(self, part: Part, *, first: int, leaves: range | None = None) -> None:
        """Take in a part of the cohort.

        Args:
            part: What came of it.
            first: Position of its first client.
            leaves: Numbers of the leaves that it summed, or None where its clients sent updates.
        """
        begun = time.perf_counter()
        if leaves is not None:
            for leaf, (vector, weights) in zip(leaves, part.sums, strict=True):
                good = {first + place: weight for place, weight in weights.items()}
                self.total.add_leaf(leaf, vector if good else None, good)
            self._replies.update(part.replies)
            self._dropped.update(part.dropped)
            self.learned.update(part.learned)
        else:
            for place, (name, reply) in enumerate(part.replies.items()):
                self._take_update(first + place, name, reply, part.learned.get(name))
        for phase, seconds in part.spent_s.items():
            self._spent_s[phase] += seconds
        self._spent_s["sum"] += time.perf_counter() - begun

    def _take_update(self, position: int, name: str, reply: Reply, memory: Memory | None) -> None:
        miscounted = self._plan.why_miscounted(name, reply.delta) if self.ask.place is None else ""
        if reply.refusal or miscounted:
            self._dropped[name] = reply.refusal or miscounted
            return
        self.total.add(position, reply.delta, client=name)
        if memory:
            self.learned[name] = memory
        self._replies[name] = reply if self.ask.reduce == "keep" else dataclasses.replace(reply, delta=None)

    def answer(self) -> Answer:
        """Return the answer, once every part is taken in."""
        begun = time.perf_counter()
        total = self.total.result()
        for position, reason in self.total.refused.items():
            name = self.ask.clients[position]
            self._dropped[name] = reason
            del self._replies[name]
            self.learned.pop(name, None)
        now = time.perf_counter()
        self._spent_s["sum"] += now - begun
        # Workers overlap: the time that has passed is told in proportion to what they spent on each phase.
        share = (now - self._begun) / sum(self._spent_s.values())
        ask, start = self.ask, self.ask.payload
        down = start.weights.nbytes + sum(array.nbytes for array in start.extra.values())
        count = len(ask.clients)
        bytes_down, bytes_up = down * count, self._plan.update_bytes * count
        if self._plan.compress is not None:
            bytes_up = sum(reply.size for reply in self._replies.values())
        if ask.place is not None:
            bytes_down += sum(map(size_of, ask.each.values()))
            bytes_up = sum(size_of(reply.message) for reply in self._replies.values())
        return Answer(
            replies={name: self._replies[name] for name in ask.clients if name in self._replies},
            total=total if ask.place is None else None,
            dropped={name: self._dropped[name] for name in ask.clients if name in self._dropped},
            bytes_down=bytes_down,
            bytes_up=bytes_up,
            timings_s={phase: seconds * share for phase, seconds in self._spent_s.items()},
        )

"""What every secure sum must do, and the running sum that engines keep for the plain one."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

import numpy as np

from hansa.engine.parties import Parties, answer_of, fresh_keys, roster_of
from hansa.errors import UpdateError, VoidRoundError
from hansa.secure_sum.interface import Run, SecureSum, Shape
from hansa.secure_sum.tree import TreeSum
from hansa.testing.contracts.values import check_description
from hansa.types import Answer, Array, Ask, Delta, Reply, Total


class Sum(Protocol):
    """A running sum of a cohort's updates, such as `hansa.secure_sum.tree.TreeSum`."""

    leaf: int
    refused: dict[int, str]

    def add(self, position: int, delta: Delta | None, *, client: str = "") -> None:
        """Add the update at a cohort position, or None; `refused` tells in the end why one was left out."""
        ...

    def add_leaf(
        self, number: int, vector: Array | Sequence[Array] | None, weights: Mapping[int, float]
    ) -> None:
        """Add the sum of `leaf` positions that was computed elsewhere."""
        ...

    def result(self) -> Total:
        """Close the sum."""
        ...


def check_secure_sum(secure_sum: SecureSum, *, members: int = 5, size: int = 6, bound: int = 1000) -> None:
    """Check that a secure sum gives the plain integer sum, whoever falls silent in whichever phase.

    Guarantees:
        With all clients, the sum is exact. Where one client answers no more from some phase on, the sum is
        that of the clients said to be in it, exactly, or the round is void. Where all are silent, it is void.

    Args:
        secure_sum: The secure sum.
        members: Clients of a round.
        size: Integers in a vector.
        bound: Most that their absolute values are.
    """
    planned = secure_sum.plan(Shape(dimension=size, members=members, bound=bound))
    check_description(planned.describe())
    assert planned.explain(), "explain() says nothing"
    rng = np.random.default_rng(3)
    names = tuple(f"c{i}" for i in range(members))
    vectors = {name: rng.integers(-bound, bound + 1, size) for name in names}
    phases, answer = _run(secure_sum, vectors, bound, lambda *_: False)
    _check_exact(answer, vectors, names)
    for phase in phases:
        for lost in (names[0], names[-1]):
            _check_loss(secure_sum, vectors, bound, phases[phases.index(phase) :], lost)
        if not secure_sum.sends_update:
            _, answer = _run(secure_sum, vectors, bound, lambda at, _, phase=phase: at == phase)
            assert answer is None, f"a sum was opened though nobody answered in the phase {phase!r}"


def _check_loss(
    secure_sum: SecureSum, vectors: Mapping[str, Any], bound: int, silent: Sequence[str], lost: str
) -> None:
    _, answer = _run(secure_sum, vectors, bound, lambda phase, name: name == lost and phase in silent)
    if answer is None:
        return
    survivors = tuple(answer.replies)
    assert set(vectors) - {lost} <= set(survivors), f"one client was silent, and only {survivors} are left"
    _check_exact(answer, vectors, survivors)


def _check_exact(answer: Answer | None, vectors: Mapping[str, Any], survivors: Sequence[str]) -> None:
    assert answer is not None, "the round is void though everyone answered"
    assert answer.total is not None, "there is no total"
    expected = sum(vectors[name] for name in survivors)
    assert np.array_equal(answer.total.vector, expected), "the sum is wrong"
    assert answer.total.count == len(survivors), "the count is wrong"
    assert tuple(answer.replies) == tuple(survivors), "replies are not those of the clients in the sum"


def _run(
    secure_sum: SecureSum, vectors: Mapping[str, Any], bound: int, silent: Callable[[str, str], bool]
) -> tuple[list[str], Answer | None]:
    """Return the phases of a round, and its answer; None if it is void."""
    names = tuple(vectors)
    shape = Shape(dimension=len(vectors[names[0]]), members=len(names), bound=bound)
    keys = {} if secure_sum.sends_update else fresh_keys(names)
    run = Run(roster=roster_of(keys), configuration=bytes(32)) if keys else None
    planned = secure_sum.plan(shape, run)
    parties = Parties({"train": planned}, keys.__getitem__)
    first = Ask(phase="train", clients=names, reduce="sum")
    steps = planned.collect(first, number=0)
    phases: list[str] = []
    ask = next(steps)
    while True:
        assert isinstance(ask, Ask), f"collect yielded {type(ask).__name__}, expected an Ask"
        assert set(ask.clients) <= set(names), f"collect asked {ask.clients}, not all of the cohort"
        phases.append(ask.phase)
        there = dataclasses.replace(
            ask, clients=tuple(name for name in ask.clients if not silent(ask.phase, name))
        )
        try:
            ask = steps.send(_answer(parties, vectors, there))
        except StopIteration as end:
            assert isinstance(end.value, Answer), "collect must return an Answer"
            return phases, end.value
        except VoidRoundError:
            return phases, None


def _answer(parties: Parties, vectors: Mapping[str, Any], ask: Ask) -> Answer:
    if ask.phase != "train":
        return answer_of(ask, {name: parties.reply(name, ask) for name in ask.clients})
    replies = {name: Reply(delta=Delta(vector=vectors[name], weight=1.0)) for name in ask.clients}
    if ask.place is not None:
        return answer_of(ask, {name: parties.send(name, replies[name], ask) for name in ask.clients})
    total = TreeSum(len(next(iter(vectors.values()))), len(ask.clients))
    for position, name in enumerate(ask.clients):
        total.add(position, replies[name].delta)
    return Answer(replies=replies, total=total.result())


def check_running_sum(begin: Callable[[int, int], Sum] = TreeSum, *, size: int = 5) -> None:
    """Check that a running sum of updates adds up, whoever comes first and whoever does not come.

    Guarantees:
        The sum is NumPy's within rounding, and the same bit for bit in any order of arrival and
        wherever leaves of it are summed. Updates that are missing or not finite are not in it.
        Ill-formed updates raise `UpdateError`.

    Args:
        begin: Begins the sum, from the vectors' length and the cohort's size.
        size: Length of the vectors.
    """
    rng = np.random.default_rng(2)
    for cohort in (1, 2, 7, 8, 9, 40, 63, 64, 65, 100, 257):
        deltas: list[Delta | None] = [
            Delta(vector=rng.normal(size=size).astype(np.float32), weight=float(rng.integers(0, 50)))
            for _ in range(cohort)
        ]
        _check_sums(begin, deltas, size, rng)
        for position in rng.choice(cohort, size=cohort // 3, replace=False):
            deltas[position] = None
        _check_sums(begin, deltas, size, rng)
    _check_refusals(begin, size)


def _check_sums(begin: Callable[[int, int], Sum], deltas: list[Delta | None], size: int, rng: Any) -> None:
    present = [d for d in deltas if d is not None]
    expected = sum((d.weight * d.vector.astype(np.float64) for d in present), np.zeros(size))
    results = []
    for order in (range(len(deltas)), reversed(range(len(deltas))), rng.permutation(len(deltas))):
        total = begin(size, len(deltas))
        for position in order:
            # One that does not come may be told as None, or never.
            if deltas[position] is not None or position % 2:
                total.add(int(position), deltas[position], client=str(position))
        results.append(total.result())
        assert not total.refused, f"good updates were left out: {total.refused}"
    first = results[0]
    assert np.allclose(first.vector, expected, rtol=1e-12, atol=1e-9), "the sum is wrong"
    assert np.isclose(first.weight, sum(d.weight for d in present)), "the sum of the weights is wrong"
    assert first.count == len(present), f"count is {first.count}, expected {len(present)}"
    for other in results[1:]:
        assert np.array_equal(other.vector, first.vector), "the sum depends on the order of arrival"
        assert (other.weight, other.count) == (first.weight, first.count), "the weight depends on the order"
    elsewhere = _sum_by_leaves(begin, deltas, size, rng)
    assert np.array_equal(elsewhere.vector, first.vector), "the sum depends on where leaves are summed"
    assert (elsewhere.weight, elsewhere.count) == (first.weight, first.count), "a leaf's weights are lost"


def _sum_by_leaves(
    begin: Callable[[int, int], Sum], deltas: list[Delta | None], size: int, rng: Any
) -> Total:
    """Sum about half of the leaves elsewhere; they come in any order, from one buffer."""
    total, buffer = begin(size, len(deltas)), np.zeros(size)
    for number in rng.permutation(-(-len(deltas) // total.leaf)):
        positions = range(number * total.leaf, min((number + 1) * total.leaf, len(deltas)))
        if rng.random() < 0.5:
            for position in positions:
                total.add(position, deltas[position])
            continue
        part = begin(size, len(positions))
        for offset, position in enumerate(positions):
            part.add(offset, deltas[position])
        weights = {p: d.weight for p in positions if (d := deltas[p]) is not None}
        buffer[:] = part.result().vector
        total.add_leaf(int(number), buffer if weights else None, weights)
        buffer[:] = np.nan
    return total.result()


def _check_refusals(begin: Callable[[int, int], Sum], size: int) -> None:
    good = Delta(vector=np.ones(size, np.float32), weight=1.0)
    total = begin(size, 3)
    spoiled = dataclasses.replace(good, vector=np.full(size, np.nan, np.float32))
    total.add(0, spoiled)
    total.add(1, good)
    closed = total.result()
    assert list(total.refused) == [0], f"left out were {total.refused}, expected the update with NaN alone"
    assert closed.count == 1, "an update with NaN was counted"
    assert np.array_equal(closed.vector, np.ones(size)), "an update with NaN changed the sum"
    wrong = {
        "another length": dataclasses.replace(good, vector=np.ones(size + 1, np.float32)),
        "another dtype": dataclasses.replace(good, vector=np.ones(size)),
        "a negative weight": dataclasses.replace(good, weight=-1.0),
        "a weight that is not finite": dataclasses.replace(good, weight=float("nan")),
    }
    for what, delta in wrong.items():
        try:
            begin(size, 3).add(0, delta, client="x")
        except UpdateError:
            continue
        raise AssertionError(f"an update with {what} was accepted")

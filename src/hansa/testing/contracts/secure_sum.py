"""What every secure sum must do."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

import numpy as np

from hansa.errors import UpdateError
from hansa.secure_sum.plain import Plain
from hansa.secure_sum.tree import TreeSum
from hansa.testing.contracts.values import check_description
from hansa.types import Answer, Array, Ask, Delta, Start, Total


class Sum(Protocol):
    """A running sum of a cohort's updates, such as `hansa.secure_sum.tree.TreeSum`."""

    leaf: int

    def add(self, position: int, delta: Delta | None, *, client: str = "") -> str | None:
        """Add the update at a cohort position, or None; return why it was left out, or None."""
        ...

    def add_leaf(
        self, number: int, vector: Array | Sequence[Array] | None, weights: Mapping[int, float]
    ) -> None:
        """Add the sum of `leaf` positions that was computed elsewhere."""
        ...

    def result(self) -> Total:
        """Close the sum."""
        ...


def check_secure_sum(secure_sum: Plain, *, begin: Callable[[int, int], Sum] = TreeSum, size: int = 5) -> None:
    """Check that a secure sum adds up, whoever comes first and whoever does not come.

    Guarantees:
        The sum is NumPy's within rounding, and the same bit for bit in any order of arrival and
        wherever leaves of it are summed. Updates that are missing or not finite are not in it.
        Ill-formed updates raise `UpdateError`.

    Args:
        secure_sum: The secure sum.
        begin: Begins the sum that an engine computes for it, from the vectors' length and the cohort's size.
        size: Length of the vectors.
    """
    check_description(secure_sum.describe())
    _check_collect(secure_sum)
    rng = np.random.default_rng(2)
    for cohort in (1, 2, 7, 8, 9, 40, 63, 64, 65, 100, 257):
        deltas: list[Delta | None] = [
            secure_sum.send(
                Delta(vector=rng.normal(size=size).astype(np.float32), weight=float(rng.integers(0, 50)))
            )
            for _ in range(cohort)
        ]
        _check_sums(begin, deltas, size, rng)
        for position in rng.choice(cohort, size=cohort // 3, replace=False):
            deltas[position] = None
        _check_sums(begin, deltas, size, rng)
    _check_refusals(begin, size)


def _check_collect(secure_sum: Plain) -> None:
    start = Start(round=0, weights=np.zeros(2, np.float32))
    steps = secure_sum.collect(start, ("a", "b"), reduce="sum")
    ask = next(steps)
    assert isinstance(ask, Ask), f"collect yielded {type(ask).__name__}, expected an Ask"
    assert ask.clients == ("a", "b"), f"collect asked {ask.clients}, expected the cohort"
    try:
        while True:
            steps.send(Answer(replies={}))
    except StopIteration as stop:
        assert isinstance(stop.value, Answer), "collect must return an Answer"


def _check_sums(begin: Callable[[int, int], Sum], deltas: list[Delta | None], size: int, rng: Any) -> None:
    present = [d for d in deltas if d is not None]
    expected = sum((d.weight * d.vector.astype(np.float64) for d in present), np.zeros(size))
    results = []
    for order in (range(len(deltas)), reversed(range(len(deltas))), rng.permutation(len(deltas))):
        total = begin(size, len(deltas))
        for position in order:
            # One that does not come may be told as None, or never.
            if deltas[position] is not None or position % 2:
                reason = total.add(int(position), deltas[position], client=str(position))
                assert reason is None, f"a good update was left out: {reason}"
        results.append(total.result())
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
    assert total.add(0, spoiled), "an update with NaN was accepted"
    assert total.add(1, good) is None, "a good update was left out"
    closed = total.result()
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

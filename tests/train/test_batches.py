from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hansa.rng import Seeds
from hansa.train.batches import batches_per_pass, carried_batches, fresh_batches

SIZES = st.integers(1, 30), st.integers(1, 12)


def fresh(rows: int, size: int, **more: Any) -> list[Any]:
    settings = {
        "epochs": 1,
        "steps": None,
        "shuffle": True,
        "seeds": Seeds(0),
        "client": "a",
        "round": 0,
        **more,
    }
    return list(fresh_batches(rows, batch_size=size, **settings))


def carried(rows: int, size: int, **more: Any) -> list[Any]:
    settings = {"steps": 1, "shuffle": True, "seeds": Seeds(0), "client": "a", "position": 0, **more}
    return list(carried_batches(rows, batch_size=size, **settings))


@given(*SIZES, st.integers(1, 4))
def test_each_epoch_sees_each_row_once(rows, size, epochs):
    batches = fresh(rows, size, epochs=epochs)
    length = batches_per_pass(rows, size)
    assert len(batches) == epochs * length
    for number in range(epochs):
        one = batches[number * length : (number + 1) * length]
        assert sorted(np.concatenate(one)) == list(range(rows))
        assert all(len(b) == size for b in one[:-1])
        assert 1 <= len(one[-1]) <= size


@given(*SIZES, st.integers(1, 20))
def test_steps_run_over_as_many_passes_as_needed(rows, size, steps):
    batches = fresh(rows, size, epochs=None, steps=steps)
    assert len(batches) == steps
    passes = -(-steps // batches_per_pass(rows, size))
    longer = fresh(rows, size, epochs=passes)
    assert all(np.array_equal(a, b) for a, b in zip(batches, longer, strict=False))


@given(*SIZES, st.lists(st.integers(1, 9), min_size=1, max_size=5))
def test_carried_rounds_are_one_long_course(rows, size, lengths):
    position, seen = 0, []
    for steps in lengths:
        seen += carried(rows, size, steps=steps, position=position)
        position += steps
    whole = carried(rows, size, steps=sum(lengths))
    assert len(seen) == len(whole)
    assert all(np.array_equal(a, b) for a, b in zip(seen, whole, strict=True))


def test_without_shuffling_rows_come_in_order():
    assert [b.tolist() for b in fresh(5, 2, shuffle=False)] == [[0, 1], [2, 3], [4]]
    assert [b.tolist() for b in carried(5, 2, shuffle=False, steps=2, position=2)] == [[4], [0, 1]]


@pytest.mark.parametrize("changed", [{"client": "b"}, {"round": 1}, {"seeds": Seeds(1)}])
def test_orders_differ_by_client_round_and_seed(changed):
    assert not np.array_equal(np.concatenate(fresh(50, 8)), np.concatenate(fresh(50, 8, **changed)))
    assert np.array_equal(np.concatenate(fresh(50, 8)), np.concatenate(fresh(50, 8)))


def test_passes_of_one_round_differ():
    first, second = fresh(50, 50, epochs=2)
    assert not np.array_equal(first, second)

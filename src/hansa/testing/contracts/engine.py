"""What every engine must do: answer the Asks of a round as the local engine does."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from hansa.api.loop import drive
from hansa.engine.engine import Engine
from hansa.errors import ConfigurationError
from hansa.plan import Plan
from hansa.record import RoundRecord
from hansa.rng import Seeds
from hansa.round import first_state, round_steps
from hansa.types import Array, Ask, Memory


def check_engine(
    start: Callable[[], Engine],
    reference: Callable[[], Engine],
    plan: Plan,
    seeds: Seeds,
    *,
    rounds: int = 3,
    rtol: float = 1e-4,
    atol: float = 1e-5,
) -> None:
    """Check an engine against another one on the same plan.

    Args:
        start: Returns the engine, new.
        reference: Returns the engine to compare with, new: usually the local one.
        plan: The plan.
        seeds: The run's seeds.
        rounds: Number of rounds.
        rtol: Relative tolerance of weights, logs and memories.
        atol: Absolute tolerance.

    Raises:
        AssertionError: The engine breaks the contract; says how.
    """
    expected_states, expected, expected_memories = _run(reference(), plan, seeds, rounds)
    states, records, memories = _run(start(), plan, seeds, rounds)
    again, *_ = _run(start(), plan, seeds, rounds)
    for number, (state, other) in enumerate(zip(states, again, strict=True)):
        assert np.array_equal(state, other), f"two runs differ after round {number}"
    near: Any = {"rtol": rtol, "atol": atol}
    for number, (state, other) in enumerate(zip(states, expected_states, strict=True)):
        np.testing.assert_allclose(state, other, err_msg=f"weights after round {number}", **near)
    for record, other in zip(records, expected, strict=True):
        where = f"round {record.round}"
        assert record.cohort == other.cohort, f"{where} has another cohort"
        assert list(record.clients) == list(other.clients), f"{where}: clients are told in another order"
        assert record.dropped == other.dropped, f"{where} dropped {record.dropped}, expected {other.dropped}"
        assert (record.bytes_down, record.bytes_up) == (other.bytes_down, other.bytes_up), f"{where}: bytes"
        assert record.logs.keys() == other.logs.keys(), f"{where} has other logs"
        for name, value in other.logs.items():
            np.testing.assert_allclose(record.logs[name], value, err_msg=f"{where}: {name}", **near)
    assert memories.keys() == expected_memories.keys(), "other clients remember something"
    for client, memory in expected_memories.items():
        assert memories[client].keys() == memory.keys(), f"{client} remembers something else"
        for name, value in memory.items():
            np.testing.assert_allclose(memories[client][name], value, err_msg=f"{client}: {name}", **near)
    _check_phases(start())


def _run(
    engine: Engine, plan: Plan, seeds: Seeds, rounds: int
) -> tuple[list[Array], list[RoundRecord], dict[str, Memory]]:
    """Return the weights after each round, its record, and what clients remember in the end."""
    state, weights, records = first_state(plan), [], []
    try:
        for _ in range(rounds):
            before = dict(engine.memories)
            state, record = drive(round_steps(plan, state, seeds), engine)
            assert engine.memories.keys() == before.keys(), "memories changed before the round was committed"
            engine.forget(record.dropped)
            learned = dict(engine.learned)
            engine.commit()
            assert not engine.learned, "something is still staged after the commit"
            assert all(engine.memories[name] is memory for name, memory in learned.items()), (
                "a memory is lost"
            )
            weights.append(state.weights)
            records.append(record)
    finally:
        engine.close()
    return weights, records, engine.memories


def _check_phases(engine: Engine) -> None:
    try:
        engine.answer(Ask(phase="no such phase", clients=(), payload=None))
    except ConfigurationError:
        pass
    else:
        raise AssertionError("an unknown phase was answered")
    finally:
        engine.close()
        engine.close()

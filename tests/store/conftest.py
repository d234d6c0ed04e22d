from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator

import numpy as np
import pytest

from hansa.record import ClientRecord, RoundRecord
from hansa.store import Checkpoint, Run
from hansa.types import ServerState

Step = tuple[RoundRecord, Checkpoint]


def make_step(number: int) -> Step:
    weights = np.arange(3, dtype=np.float32) + number
    record = RoundRecord(
        round=number,
        cohort=("north", "south"),
        dropped={"south": "too late"},
        logs={"loss": 0.1 * number, "val_loss": float("nan")},
        clients={"north": ClientRecord(examples=7, training={"loss": 0.25})},
        model_hash=hashlib.sha256(weights.tobytes()).hexdigest(),
        update_norm=1.5,
        timings_s={"train": 0.125},
        bytes_down=24,
        bytes_up=12,
    )
    state = ServerState(round=number + 1, weights=weights, slots={"m": np.full(2, number, np.float64)})
    memories = {"north": {"c": np.full(2, number)}, "south": {"c": np.full(2, 7)}}
    return record, Checkpoint(state=state, memories=memories)


def same(a: Checkpoint, b: Checkpoint) -> bool:
    def flat(c: Checkpoint) -> dict:
        arrays = {("weights",): c.state.weights} | {("slot", n): v for n, v in c.state.slots.items()}
        arrays |= {(name, n): v for name, m in c.memories.items() for n, v in m.items()}
        return {key: (v.dtype.str, v.shape, v.tobytes()) for key, v in arrays.items()}

    return a.state.round == b.state.round and flat(a) == flat(b)


def fixed_bytes() -> Callable[[int], bytes]:
    """Salts that repeat from run to run but not within one."""
    count = iter(range(10**6))
    return lambda n: hashlib.sha256(next(count).to_bytes(8, "big")).digest()[:n]


@pytest.fixture
def step() -> Callable[[int], Step]:
    return make_step


@pytest.fixture
def equal() -> Callable[[Checkpoint, Checkpoint], bool]:
    return same


@pytest.fixture
def salts() -> Callable[[], Callable[[int], bytes]]:
    return fixed_bytes


@pytest.fixture
def run(tmp_path) -> Iterator[Run]:
    """A run of two committed rounds."""
    with Run.create(tmp_path / "run", {"seed": 1}, random_bytes=fixed_bytes()) as run:
        for number in range(2):
            run.commit(*make_step(number), private={"draw": [1, 2]})
        yield run

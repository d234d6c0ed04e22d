"""What the vector engine adds up where whole clients are protected: changes, each clipped by itself."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import keras
import numpy as np
import pytest

import hansa
from hansa.audit.canaries import pulled
from hansa.bridge import load_trainer
from hansa.engine import Local, Vector
from hansa.privacy import AdaptiveClip, Capped, CentralDP, LocalDP, MatrixDP
from hansa.rng import Seeds
from hansa.round import first_state
from hansa.testing.contracts.engine import check_engine
from hansa.types import Ask, Start

pytestmark = pytest.mark.backends
ADDS = load_trainer().adds
ANY = {"jax": "loop", "tensorflow": "graph", "torch": "eager"}[keras.config.backend()]
QUIET = 1e-9
"""A noise multiplier that leaves what clients changed."""
BITS = {"bit_noise": 1.0, "initial": 0.9}

PLANS = {
    "clip": CentralDP(rounds=3, noise_multiplier=QUIET, clip=0.9),
    "rows": CentralDP(rounds=3, noise_multiplier=QUIET, clip=0.5, weights=Capped(20)),
    "adaptive": CentralDP(rounds=3, noise_multiplier=0.5, clip=AdaptiveClip(**BITS), seed=1),
    "matrix": MatrixDP(rounds=3, noise_multiplier=QUIET, clip=0.9),
}


def people(sizes: tuple[int, ...], scale: float = 1.0, only: int | None = None) -> list[Any]:
    """Clients with so many rows; the features of one of them are scaled."""
    made = []
    for number, n in enumerate(sizes):
        rng = np.random.default_rng(number)
        x = rng.normal(size=(n, 5)).astype("float32") * np.float32(scale if number == only else 1.0)
        y = (x @ np.linspace(-2, 2, 5) * (1 + number % 3)).astype("float32")
        made.append(hansa.data.Client(name=f"c{number}", source=hansa.data.Arrays(x, y)))
    return made


def model() -> Any:
    made = keras.Sequential([keras.Input((5,)), keras.layers.Dense(1, kernel_initializer="zeros")])
    made.compile(keras.optimizers.SGD(0.03), "mse")
    return made


def federation(clients: list[Any], privacy: Any, **settings: Any) -> Any:
    fed = hansa.Federation(
        model, clients, algorithm=hansa.FedAvg(batch_size=8), privacy=privacy, seed=2, **settings
    )
    fed.seeds = Seeds(2, b"s" * 32)
    return fed


def trained(fed: Any, engine: Any) -> Any:
    """What an engine answers in the first round."""
    plan = fed.plan()
    clip = plan.private.clip.initial if isinstance(plan.private.clip, AdaptiveClip) else None
    start = Start(round=0, weights=first_state(plan).weights, clip_l2=clip)
    running = engine.start(plan, fed.prepare().sites, fed.learner, fed.seeds, server=None, known={})
    answer = running.answer(Ask(phase="train", clients=plan.clients, payload=start, reduce="sum"))
    running.close()
    return answer


ENGINES = {"local": Local(), "vector": Vector(workers=2, strategy=ANY)}
SIZES = (23, 40, 9, 31, 8, 16)


@pytest.mark.parametrize("name", PLANS)
def test_a_sum_is_that_of_the_local_engine(name):
    fed = federation(people(SIZES), PLANS[name])
    local, vector = (trained(fed, engine) for engine in ENGINES.values())
    np.testing.assert_allclose(vector.total.vector, local.total.vector, rtol=1e-4, atol=1e-5)
    clipped = [[reply.clipped for reply in answer.replies.values()] for answer in (local, vector)]
    assert clipped[0] == clipped[1]
    assert 0 < sum(clipped[0]) < len(SIZES)
    assert vector.total.weight == local.total.weight == len(SIZES)


def test_it_is_an_engine_as_the_local_one():
    fed = federation(people(SIZES), PLANS["clip"])
    plan, sites = fed.plan(), fed.prepare().sites

    def begun(name: str) -> Any:
        return ENGINES[name].start(plan, sites, fed.learner, fed.seeds, server=None, known={})

    check_engine(lambda: begun("vector"), lambda: begun("local"), plan, fed.seeds, rounds=2)


def test_the_clip_moves_as_with_the_local_engine_and_the_same_is_charged():
    told = []
    for engine in ENGINES.values():
        fed = federation(people(SIZES), PLANS["adaptive"], engine=engine)
        fed.fit(2)
        told.append([dict(record.privacy) for record in fed.records])
    assert told[0] == told[1]
    assert told[0][0]["clip_l2"] != told[0][1]["clip_l2"]


@pytest.mark.skipif(not ADDS, reason="this backend adds nothing up where it arises")
def test_no_single_update_exists(monkeypatch):
    monkeypatch.setattr("hansa.client.finish", None)
    answer = trained(federation(people((8, 8)), PLANS["clip"]), Vector(workers=1, strategy=ANY))
    assert answer.total.count == 2


def test_clients_that_add_noise_still_send_integers():
    answer = trained(
        federation(people((8, 8)), LocalDP(rounds=1, noise_multiplier=1.0)), Vector(workers=1, strategy=ANY)
    )
    assert np.array_equal(answer.total.vector, np.rint(answer.total.vector))


CLIP = 0.185
EDGE = np.random.default_rng(0).normal(size=3000).astype(np.float32)
LIES = {
    "long": np.full(4, 1e30),
    "as long as float32 can": np.array([3e38, -3e38, 3e38, 3e38]),
    "in one coordinate": np.array([0, 1e20, 0, 0]),
    "long and short": np.array([1e30, 1e-30, -1e-30, 1.0]),
    "just above": np.array([0.222001, 0.296001, 0, 0]),
    "just below": np.array([0.221999, 0.295999, 0, 0]),
    "short": np.full(4, 1e-30),
    "hardly any": np.full(4, 1e-42),
    "nothing": np.zeros(4),
    "many, at the bound": EDGE * (2 * CLIP / np.linalg.norm(EDGE.astype(np.float64))),
    "many, above it": EDGE,
}


@pytest.mark.parametrize("weight", [1.0, 0.25])
@pytest.mark.parametrize("lie", LIES.values(), ids=LIES)
def test_no_change_moves_the_sum_farther_than_the_clip(lie, weight):
    sent = lie.astype(np.float32) * np.float32(0.5)
    weights = "uniform" if weight == 1 else Capped(4)
    plan = CentralDP(rounds=1, noise_multiplier=1.0, clip=CLIP, weights=weights)
    rows = hansa.data.Arrays(lie.astype(np.float32)[None], np.full(1, 0.5, np.float32))
    client = hansa.data.Client(name="c", source=rows)
    fed = hansa.Federation(lambda: pulled(len(lie), rate=1.0), [client], privacy=plan)
    answer = trained(fed, Vector(workers=1, strategy=ANY))
    moved = [Fraction(value) for value in answer.total.vector.tolist()]
    assert sum(value**2 for value in moved) <= Fraction(CLIP) ** 2
    norm = float(np.linalg.norm(sent.astype(np.float64))) * weight
    # Short of the clip a change is as it was sent; beyond, its direction is kept.
    expected = sent.astype(np.float64) * weight * min(1.0, CLIP / max(norm, 1e-300))
    np.testing.assert_allclose(answer.total.vector, expected, rtol=2.0**-22, atol=2.0**-120)
    if abs(norm - CLIP) > 1e-7:
        assert answer.replies["c"].clipped == (norm > CLIP)


def test_who_is_not_finite_is_named_and_moves_nobody():
    """Not even in the last bit, whatever its rows: leaves here have two clients, and calls several."""
    sums = []
    for rows in (3, 8, 40):
        sizes = (8,) * 5 + (rows,) + (8,) * 64
        fed = federation(people(sizes, 1e30, 5), PLANS["clip"])
        with np.errstate(all="ignore"):
            answer = trained(fed, Vector(workers=2, strategy=ANY))
        assert list(answer.dropped) == ["c5"]
        assert answer.dropped["c5"].endswith(" of 6 values of the update are NaN or infinite")
        assert (answer.total.count, len(answer.replies)) == (69, 69)
        sums.append(answer.total.vector)
    assert np.isfinite(sums[0]).all()
    assert np.array_equal(sums[0], sums[1])
    assert np.array_equal(sums[0], sums[2])


def test_the_result_does_not_depend_on_the_number_of_workers():
    hashes = set()
    for workers in (1, 2, 3):
        fed = federation(people((8, 11, 5) * 24), PLANS["clip"], engine=Vector(workers=workers, strategy=ANY))
        fed.fit(2)
        hashes.add(fed.model_hash)
    assert len(hashes) == 1

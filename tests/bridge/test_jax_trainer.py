"""Training by one worker on the population is that of the program on each client's rows."""

from __future__ import annotations

import dataclasses
from typing import Any

import keras
import numpy as np
import pytest
from bridge_cases import all_cases
from trainer_cases import Pair, places

from hansa.algorithms import FedProx, Scaffold
from hansa.errors import UnknownNameError
from hansa.train.strategy import choose

if keras.config.backend() != "jax":
    pytest.skip("the trainer is JAX's", allow_module_level=True)

from hansa.bridge import jax_device, jax_trainer

CASES = all_cases()
STRATEGIES = jax_trainer.Trainer.strategies
QUICK = {"sgd", "adam", "sample_weight", "batchnorm", "conv_batchnorm", "average", "embedding", "dropout"}
EACH = [name if name in QUICK else pytest.param(name, marks=pytest.mark.slow) for name in CASES]


@pytest.mark.parametrize("strategy", ["loop", "step"])
@pytest.mark.parametrize("name", EACH)
def test_training_is_that_of_the_program(name: str, strategy: str) -> None:
    chosen = CASES[name]
    loose = {"batchnorm": 5e-3, "conv_batchnorm": 5e-3, "mixes": 5e-3}  # rounding, scaled up by Adam
    pair = Pair(chosen, strategy)
    atol = max(chosen.atol, loose.get(name, 0))
    pair.check(pair.task(chosen.batch_size, passes=2), rtol=chosen.rtol, atol=atol)


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_gradients_and_corrections_are_those_of_the_program(strategy: str) -> None:
    pair = Pair(CASES["sgd"], strategy)
    pair.check(pair.task(kind="gradient"))
    pair.check(pair.task(correct=FedProx(mu=0.5).correct))
    control = np.linspace(-0.1, 0.1, pair.layout.size, dtype=np.float32)
    pair.check(pair.task(correct=Scaffold().correct, control=control))
    pair.check(pair.task(learning_rate=0.03))


@pytest.mark.parametrize("strategy", STRATEGIES)
@pytest.mark.parametrize("name", ["sgd", "batchnorm"])
def test_sums_are_those_of_the_changes(name: str, strategy: str) -> None:
    pair = Pair(CASES[name], strategy)
    tasks = [pair.task(n=n, passes=p, seed=n) for n, p in ((10, 1), (7, 2), (10, 1), (4, 1), (9, 1))]
    moved = [
        dataclasses.replace(t, batches=[places(b, len(pair.examples)) for b in t.batches]) for t in tasks
    ]
    weights = [3.0, 1.0, 2.0, 5.0, 1.0]
    arrays = pair.layout.unflatten(pair.start)
    for _ in range(2):  # the second call has the first one's memory
        sums, metrics = pair.trainer.add(arrays, moved, weights, leaf=2, room=6)
        changes = [pair.expected(task)[0].astype(float) - pair.start for task in tasks]
        assert len(sums) == 3
        for number, found in enumerate(sums):
            inside = range(number * 2, min(number * 2 + 2, 5))
            expected = sum(weights[i] * changes[i] for i in inside)
            flat = np.concatenate([part.reshape(-1) for part in found])
            assert flat.dtype == np.float64
            np.testing.assert_allclose(flat, expected, rtol=1e-3, atol=5e-3 if name == "batchnorm" else 1e-4)
        assert [m["loss"] for m in metrics] == pytest.approx(
            [pair.expected(task)[3]["loss"] for task in tasks], rel=1e-4
        )


@pytest.mark.parametrize("strategy", STRATEGIES)
@pytest.mark.parametrize("name", ["sgd", "batchnorm"])
def test_what_does_not_fit_is_laid_out_in_parts(name: str, strategy: str, monkeypatch: Any) -> None:
    whole = Pair(CASES[name], strategy)
    expected = whole.found(whole.task(passes=6))
    monkeypatch.setattr(jax_trainer, "HELD_BYTES", 1)
    part = Pair(CASES[name], strategy)
    found = part.found(part.task(passes=6))
    np.testing.assert_allclose(found[0], expected[0], rtol=1e-5, atol=1e-6)
    assert found[1] == expected[1]


def test_rows_taken_on_the_device_are_the_same(monkeypatch: Any) -> None:
    expected = {name: Pair(CASES["sgd"], name) for name in STRATEGIES}
    results = {name: pair.found(pair.task(passes=2)) for name, pair in expected.items()}
    for module in (jax_trainer, jax_device):
        monkeypatch.setattr(module, "on_cpu", lambda: False)
    for name in STRATEGIES:
        pair = Pair(CASES["sgd"], name)
        np.testing.assert_allclose(pair.found(pair.task(passes=2))[0], results[name][0], rtol=1e-5, atol=1e-6)
        task = pair.task(passes=2)
        task = dataclasses.replace(task, batches=[places(b, len(pair.examples)) for b in task.batches])
        arrays = pair.layout.unflatten(pair.start)
        sums, _ = pair.trainer.add(arrays, [task, task], [1.0, 1.0], leaf=2, room=2)
        change = np.concatenate([part.reshape(-1) for part in sums[0]]) / 2
        np.testing.assert_allclose(change, results[name][0] - pair.start, rtol=1e-3, atol=1e-5)


def test_the_fastest_strategy_is_chosen_once_and_kept(tmp_path: Any, monkeypatch: Any) -> None:
    monkeypatch.setenv("HANSA_CACHE", str(tmp_path))
    pair, made = Pair(CASES["sgd"], "loop"), []

    def make(name: str, like: Any = None) -> Any:
        made.append(name)
        return jax_trainer.Trainer(pair.program, pair.trainer._population, strategy=name, like=like)

    task = pair.task()
    first = choose(make, ("loop", "step"), pair.learner, task, task.batches, leaf=1, room=1)[1]
    assert made == ["loop", "step"]
    assert choose(make, ("loop", "step"), pair.learner, task, task.batches, leaf=1, room=1)[1] == first
    assert made == ["loop", "step", first]
    (tmp_path / "strategies.json").write_text("[no json")
    choose(make, ("loop", "step"), pair.learner, task, task.batches, leaf=1, room=1)
    assert made[3:] == ["loop", "step"]


def test_a_strategy_that_is_not_there_is_refused() -> None:
    with pytest.raises(UnknownNameError, match="strategy: 'lop'"):
        Pair(CASES["sgd"], "lop")

"""The fast trainer gives what `Program` gives, or says that it cannot."""

from __future__ import annotations

import dataclasses
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import keras
import numpy as np
import pytest
from bridge_cases import WIDTH, Case, all_cases, case, compile_fresh, noisy, rows, sequential
from keras import layers, ops

from hansa.algorithms import FedProx
from hansa.errors import ConfigurationError
from hansa.train.keras_learner import KerasLearner
from hansa.types import Examples, LocalTask

if keras.config.backend() != "torch":
    pytest.skip("the trainer of PyTorch", allow_module_level=True)

import torch

from hansa.bridge.torch_trainer import Trainer

pytestmark = pytest.mark.backends
CASES = all_cases()
STRATEGIES = Trainer.strategies
REFUSED = {"accumulation", "dropout", "mixed_float16"}  # Python decides there on a number in a tensor
LOOSE = {"batchnorm": 1e-3, "conv_batchnorm": 1e-3, "mixes": 1e-3}  # Adam divides gradients that should be 0


def pair(chosen: Case, strategy: str) -> tuple[KerasLearner, Trainer]:
    """Return a learner to compare with, and a trainer with a model of its own."""
    learner, other = KerasLearner(chosen.build), KerasLearner(chosen.build)
    for one in (learner, other):
        one.build(chosen.examples, 0)
    return learner, Trainer(other._program, chosen.examples, strategy=strategy)


def task_of(learner: KerasLearner, chosen: Case, n: int | None = None, **more: Any) -> LocalTask:
    order = np.random.default_rng(1).permutation(len(chosen.examples))[:n]
    size = chosen.batch_size
    batches = [order[i : i + size] for i in range(0, len(order), size)]
    return LocalTask(**{"start": learner.initial_weights(), "batches": batches, "batch_size": size, **more})


def both(learner: KerasLearner, trainer: Trainer, chosen: Case, task: LocalTask) -> tuple[Any, Any]:
    start = learner.layout().unflatten(task.start)
    control = [] if task.control is None else learner.layout().unflatten(task.control)
    found = trainer.train(start, control, task)
    return found, learner._program.train(start, control, chosen.examples, task)


def check(found: Any, expected: Any, *, rtol: float = 1e-4, atol: float = 1e-5) -> None:
    assert found[1:3] == expected[1:3]
    for one, other in zip(found[0], expected[0], strict=True):
        assert one.dtype == other.dtype
        np.testing.assert_allclose(one, other, rtol=rtol, atol=atol)
    assert list(found[3]) == list(expected[3])
    assert found[3] == pytest.approx(expected[3], rel=rtol, abs=atol, nan_ok=True)


def vector(result: Any) -> Any:
    return np.concatenate([a.ravel() for a in result[0]])


SGD = CASES["sgd"]


# ---------------------------------------------------------------- the same numbers


@pytest.mark.parametrize("strategy", STRATEGIES)
@pytest.mark.parametrize("name", CASES)
def test_training_is_that_of_the_program(name: str, strategy: str) -> None:
    chosen = CASES[name]
    learner, trainer = pair(chosen, strategy)
    task = task_of(learner, chosen, seed=5)
    if strategy == "traced" and name in REFUSED:
        with pytest.raises(ConfigurationError, match="cannot be traced"):
            both(learner, trainer, chosen, task)
        return
    for _ in range(2):  # a second training starts afresh
        found, expected = both(learner, trainer, chosen, task)
        check(found, expected, rtol=chosen.rtol, atol=max(chosen.atol, LOOSE.get(name, 0)))
    assert trainer.compilations == (2 if strategy == "traced" else 0)


@pytest.mark.parametrize("strategy", STRATEGIES)
@pytest.mark.parametrize(
    "name", ["sgd", "batchnorm", "loss_scale_factor", "sample_weight", "frozen", "mixes"]
)
def test_the_mean_gradient_is_that_of_the_program(name: str, strategy: str) -> None:
    chosen = CASES[name]
    learner, trainer = pair(chosen, strategy)
    found, expected = both(learner, trainer, chosen, task_of(learner, chosen, kind="gradient"))
    check(found, expected)
    assert np.abs(vector(found) - learner.initial_weights()).max() > 1e-3


def scaffold(gradient: Any, weight: Any, start: Any, control: Any) -> Any:
    return gradient + control


@pytest.mark.parametrize("strategy", STRATEGIES)
@pytest.mark.parametrize("name", ["sgd", "adam", "batchnorm"])
def test_gradients_are_corrected(name: str, strategy: str) -> None:
    chosen = CASES[name]
    learner, trainer = pair(chosen, strategy)
    control = np.random.default_rng(2).normal(size=learner.layout().size).astype("float32")
    settings: list[dict[str, Any]] = [
        {"correct": FedProx(mu=5.0).correct},
        {"correct": scaffold, "control": control},
        {"correct": scaffold, "control": -control},
        {"correct": scaffold},
        {},
    ]
    seen = []
    for more in settings:
        found, expected = both(learner, trainer, chosen, task_of(learner, chosen, **more))
        check(found, expected, atol=LOOSE.get(name, 1e-5))
        seen.append(vector(found))
        assert trainer.compilations <= 4
    different = [0, 1, 2, 4]
    assert all(np.abs(seen[i] - seen[j]).max() > 1e-4 for i in different for j in different if i < j)


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_loss_scaling_and_corrections_do_not_go_together(strategy: str) -> None:
    chosen = CASES["loss_scale_factor"]
    learner, trainer = pair(chosen, strategy)
    with pytest.raises(ConfigurationError, match="corrects gradients"):
        both(learner, trainer, chosen, task_of(learner, chosen, correct=scaffold))


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_a_learning_rate_replaces_the_compiled_one_once(strategy: str) -> None:
    for name in ("sgd", "adam"):
        learner, trainer = pair(CASES[name], strategy)
        for rate in (None, 0.5, 0.0, None):
            task = task_of(learner, CASES[name], learning_rate=rate)
            check(*both(learner, trainer, CASES[name], task))
        assert trainer.compilations == (2 if strategy == "traced" else 0)
    learner, trainer = pair(CASES["schedule"], strategy)
    with pytest.raises(ConfigurationError, match="schedule"):
        both(learner, trainer, CASES["schedule"], task_of(learner, CASES["schedule"], learning_rate=0.5))


@pytest.mark.parametrize("strategy", STRATEGIES)
@pytest.mark.parametrize("name", ["momentum", "batchnorm"])
def test_clients_of_different_sizes_do_not_influence_one_another(name: str, strategy: str) -> None:
    chosen = CASES[name]
    learner, trainer = pair(chosen, strategy)
    tasks = [task_of(learner, chosen, n, seed=n) for n in (3, 8, 21, 5, 23)]
    for task in (*tasks, *tasks[::-1]):
        check(*both(learner, trainer, chosen, task), atol=LOOSE.get(name, 1e-5))
    filled = name == "momentum"
    assert trainer.compilations == (0 if strategy == "eager" else 2 if filled else 3)


def test_a_batch_size_far_above_the_rows_costs_no_memory() -> None:
    learner, trainer = pair(SGD, "traced")
    task = task_of(learner, dataclasses.replace(SGD, batch_size=10**12))
    check(*both(learner, trainer, SGD, task))


def test_weights_in_every_update_are_the_new_ones() -> None:
    """An optimizer that reads weights after it has written others is not changed by updates in place."""

    class Crossed(keras.optimizers.SGD):
        def apply(self, grads: Any, trainable_variables: Any = None) -> None:
            first, *others = trainable_variables
            first.assign(first - 0.1 * grads[0])
            for variable, grad in zip(others, grads[1:], strict=True):
                variable.assign(variable - 0.1 * (grad + ops.mean(first.value)))

    hidden = (lambda: layers.Dense(4, activation="tanh"),)
    chosen = case(sequential(*hidden, optimizer=lambda: Crossed(0.1)), rows())
    learner, trainer = pair(chosen, "traced")
    check(*both(learner, trainer, chosen, task_of(learner, chosen)))


# ---------------------------------------------------------------- noise


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_noise_is_the_programs_and_follows_the_seed(strategy: str) -> None:
    chosen = noisy()
    learner, trainer = pair(chosen, strategy)
    before = torch.get_rng_state()
    results = []
    for seed in (1, 1, 2):
        found, expected = both(learner, trainer, chosen, task_of(learner, chosen, 20, seed=seed))
        check(found, expected)
        results.append(vector(found))
    assert np.array_equal(results[0], results[1])
    assert not np.array_equal(results[0], results[2])
    assert torch.equal(before, torch.get_rng_state())


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_every_step_has_its_own_noise(strategy: str) -> None:
    x, y = np.ones((8, WIDTH), "float32"), np.zeros(8, "float32")
    build = sequential(lambda: layers.Dropout(0.5), activation=None, loss="mse", optimizer=still)
    chosen = case(build, (x, y), batch_size=8)
    learner, trainer = pair(chosen, strategy)
    batch = np.arange(8)
    losses = [
        both(learner, trainer, chosen, task_of(learner, chosen, batches=[batch] * n, seed=1))[0][3]["loss"]
        for n in (1, 2, 3)
    ]
    assert len(set(losses)) == 3  # were the noise the same in each step, so were the mean loss


def still() -> Any:
    return keras.optimizers.SGD(0.0)


# ---------------------------------------------------------------- what cannot be traced


class Counts(layers.Layer):
    calls = 0

    def call(self, x: Any) -> Any:
        self.calls += 1
        return x * (1.0 if self.calls < 1000 else 2.0)


class Draws(layers.Layer):
    def call(self, x: Any) -> Any:
        return x * float(np.random.default_rng(time.perf_counter_ns()).uniform(0.5, 1.5))


class Branches(layers.Layer):
    def call(self, x: Any) -> Any:
        return x * 2 if ops.max(x) > 1 else x


class Own(layers.Layer):
    def __init__(self) -> None:
        super().__init__()
        self.noise = torch.Generator().manual_seed(1)

    def call(self, x: Any) -> Any:
        return x * torch.rand(x.shape, generator=self.noise)


class Listing(keras.metrics.Metric):
    def __init__(self) -> None:
        super().__init__(name="listing")
        self.seen: list[float] = []

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:
        self.seen.append(len(y_true))

    def reset_state(self) -> None:
        self.seen = []

    def result(self) -> Any:
        return ops.convert_to_tensor(float(sum(self.seen)))


UNTRACEABLE: dict[str, Callable[[], Any]] = {
    "counter": sequential(Counts),
    "numpy": sequential(Draws),
    "branch": sequential(Branches),
    "generator": sequential(Own),
    "metric": sequential(metrics=lambda: [Listing()]),
}


@pytest.mark.parametrize("name", UNTRACEABLE)
def test_what_a_trace_would_get_wrong_is_refused(name: str) -> None:
    chosen = case(UNTRACEABLE[name], rows())
    learner, trainer = pair(chosen, "traced")
    with pytest.raises(ConfigurationError, match="eager strategy"):
        both(learner, trainer, chosen, task_of(learner, chosen))
    assert trainer.compilations == 0
    learner, trainer = pair(chosen, "eager")
    found, expected = both(learner, trainer, chosen, task_of(learner, chosen))
    if name not in ("numpy", "generator"):
        check(found, expected)


def test_an_unknown_strategy_is_told() -> None:
    learner, _ = pair(SGD, "eager")
    with pytest.raises(ConfigurationError, match="traced"):
        Trainer(learner._program, SGD.examples, strategy="trace")


# ---------------------------------------------------------------- threads, and what is left alone


@pytest.mark.parametrize("strategy", STRATEGIES)
@pytest.mark.parametrize("name", ["adam", "noisy"])
def test_two_workers_give_what_one_gives(name: str, strategy: str) -> None:
    chosen = noisy() if name == "noisy" else CASES[name]
    learner, trainer = pair(chosen, strategy)
    _, other = pair(chosen, strategy)
    tasks = [task_of(learner, chosen, 20, seed=seed) for seed in range(12)]
    start = learner.layout().unflatten(learner.initial_weights())
    expected = [vector(trainer.train(start, [], task)) for task in tasks]
    state, cores = torch.get_rng_state(), torch.get_num_threads()
    _, fresh = pair(chosen, strategy)
    with ThreadPoolExecutor(2) as pool:
        halves = [
            pool.submit(lambda w, ts: [vector(w.train(start, [], t)) for t in ts], worker, part)
            for worker, part in ((fresh, tasks[:6]), (other, tasks[6:]))
        ]
        found = [one for half in halves for one in half.result()]
    for one, another in zip(found, expected, strict=True):
        np.testing.assert_allclose(one, another, rtol=1e-5, atol=1e-6)
    assert torch.equal(state, torch.get_rng_state())
    assert torch.get_num_threads() == cores
    with ThreadPoolExecutor(1) as pool:
        assert pool.submit(torch.get_num_threads).result() == cores


def test_rows_may_be_read_only_shared_and_of_other_dtypes() -> None:
    x, y = rows()
    wide = Examples(x=x.astype("float64"), y=y.astype("uint8"))
    wide.x.flags.writeable = False
    chosen = dataclasses.replace(SGD, examples=wide)
    learner, trainer = pair(chosen, "traced")
    check(*both(learner, trainer, chosen, task_of(learner, chosen)))
    another = Trainer(learner._program, wide, strategy="traced", like=trainer)
    assert another._data is trainer._data


def test_the_model_and_its_optimizer_are_not_patched() -> None:
    model = compile_fresh(keras.Sequential([keras.Input((WIDTH,)), layers.Dense(1, activation="sigmoid")]))
    learner = KerasLearner(lambda: model)
    learner.build(SGD.examples, 0)
    attributes = set(vars(model)), set(vars(model.optimizer))
    values = [v._value for v in model.variables]
    trainer = Trainer(learner._program, SGD.examples, strategy="traced")
    task = task_of(learner, SGD)
    first = trainer.train(learner.layout().unflatten(task.start), [], task)
    assert (set(vars(model)), set(vars(model.optimizer))) == attributes
    assert all(v._value is value for v, value in zip(model.variables, values, strict=True))
    model.fit(*rows(), verbose=0)  # still a model like any other
    again = trainer.train(learner.layout().unflatten(task.start), [], task)
    assert np.array_equal(vector(first), vector(again))


def test_cores_are_given_back_when_the_last_worker_has_ended(monkeypatch):
    """What sets the number of threads is partly the process': another worker would sum in another order."""
    _, trainer = pair(next(iter(CASES.values())), STRATEGIES[0])
    asked = []
    monkeypatch.setattr(torch, "set_num_threads", asked.append)
    inside, leave = threading.Event(), threading.Event()

    def longer():
        with trainer._on_one_core():
            inside.set()
            leave.wait(10)

    def shorter():
        with trainer._on_one_core():
            pass

    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(longer)
        assert inside.wait(10)
        pool.submit(shorter).result()
        assert asked == [1, 1]
        leave.set()
        first.result()
    assert asked == [1, 1, trainer._cores]

"""Training by one worker on the population is that of the program on each client's rows."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import pytest
from bridge_cases import all_cases, case, rows, sequential
from keras import layers
from trainer_cases import BEFORE, Pair, population

from hansa.algorithms import FedProx, Scaffold
from hansa.errors import ConfigurationError, UnknownNameError

pytestmark = pytest.mark.backends
if keras.config.backend() != "tensorflow":
    pytest.skip("the trainer is TensorFlow's", allow_module_level=True)

from hansa.bridge.tensorflow_trainer import Trainer  # noqa: E402

CASES = all_cases()
STRATEGIES = Trainer.strategies
SIZES = (5, 8, 11, 13, 16, 23, 30, 38)
BATCH = 8

REFUSED_BY_XLA = {"dropout", "two_outputs_named", "two_outputs_listed"}
# A bias before something that takes the mean away has no gradient but rounding errors, which Adam scales up.
LOOSE = {"batchnorm": 5e-3, "conv_batchnorm": 5e-3, "mixes": 5e-3}


QUICK = {"sgd", "adam", "sample_weight", "batchnorm", "conv_batchnorm", "average", "embedding", "dropout"}
EACH = [name if name in QUICK else pytest.param(name, marks=pytest.mark.slow) for name in CASES]


@pytest.mark.parametrize("strategy", STRATEGIES)
@pytest.mark.parametrize("name", EACH)
def test_training_is_that_of_the_program(name: str, strategy: str) -> None:
    chosen = CASES[name]
    pair = Pair(chosen, strategy)
    task = pair.task(chosen.batch_size, passes=2)
    if strategy == "xla" and name in REFUSED_BY_XLA:
        with pytest.raises(ConfigurationError, match="XLA cannot compile"):
            pair.found(task)
        return
    pair.check(task, rtol=chosen.rtol, atol=max(chosen.atol, LOOSE.get(name, 0)))


@pytest.mark.parametrize("strategy", STRATEGIES)
@pytest.mark.parametrize("name", ["adam", "sample_weight", "loss_scale_factor", "batchnorm", "embedding"])
def test_mean_gradients_are_those_of_the_program(name: str, strategy: str) -> None:
    pair = Pair(CASES[name], strategy)
    pair.check(pair.task(kind="gradient"))


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_corrections_and_learning_rates_are_those_of_the_program(strategy: str) -> None:
    pair = Pair(case(sequential(lambda: layers.Dense(4), metrics=["accuracy"]), rows()), strategy)
    control = np.random.default_rng(1).normal(size=pair.layout.size).astype("float32")
    pair.check(pair.task(correct=FedProx(mu=5.0).correct))
    pair.check(pair.task(correct=Scaffold().correct, control=control, passes=2))
    plain = pair.found(pair.task())
    corrected = pair.found(pair.task(correct=Scaffold().correct, control=control))
    assert np.abs(plain[0] - corrected[0]).max() > 0.01
    count = pair.trainer.compilations
    for rate in (0.5, 0.0, None):
        pair.check(pair.task(learning_rate=rate))
    assert np.array_equal(pair.found(pair.task(learning_rate=0.0))[0], pair.start)
    assert pair.trainer.compilations == count


def test_a_correction_of_an_embedding_is_that_of_the_program() -> None:
    for strategy in STRATEGIES:
        pair = Pair(CASES["embedding"], strategy)
        pair.check(pair.task(correct=FedProx(mu=1.0).correct))


@pytest.mark.parametrize("strategy", STRATEGIES)
@pytest.mark.parametrize("name", ["schedule", "loss_scale_factor"])
def test_what_the_program_refuses_is_refused(name: str, strategy: str) -> None:
    pair = Pair(CASES[name], strategy)
    more = {"schedule": {"learning_rate": 0.1}, "loss_scale_factor": {"correct": FedProx(mu=0.1).correct}}
    with pytest.raises(ConfigurationError):
        pair.found(pair.task(**more[name]))


def test_dropout_noise_comes_from_the_tasks_seed() -> None:
    build = sequential(lambda: layers.Dense(8), lambda: layers.Dropout(0.5))
    pair = Pair(case(build, rows()), "graph")
    one, same, other = (pair.found(pair.task(seed=seed))[0] for seed in (1, 1, 2))
    assert np.array_equal(one, same)
    assert not np.array_equal(one, other)
    pair.check(pair.task(seed=2**31 - 1))


@pytest.mark.parametrize("strategy", STRATEGIES)
@pytest.mark.parametrize("name", ["average", "add_loss", "adam"])
def test_one_training_leaves_nothing_behind_for_the_next(name: str, strategy: str) -> None:
    pair = Pair(CASES[name], strategy)
    first = pair.found(pair.task())
    assert not np.array_equal(pair.found(pair.task(start=first[0], learning_rate=0.5))[0], first[0])
    pair.found(pair.task(kind="gradient", start=first[0]))
    again = pair.found(pair.task())
    assert np.array_equal(again[0], first[0])
    assert again[1:] == first[1:]
    pair.check(pair.task())  # nor for the program


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_a_trainer_made_late_begins_as_one_made_early(strategy: str) -> None:
    pair = Pair(CASES["momentum"], strategy)
    expected = pair.expected(pair.task(learning_rate=0.3))
    pair.trainer = Trainer(pair.program, population(pair.examples), strategy=strategy, like=pair.trainer)
    found = pair.found(pair.task())
    assert found[2] == pytest.approx(0.05)
    np.testing.assert_allclose(found[0], pair.expected(pair.task())[0], rtol=1e-4, atol=1e-6)
    assert not np.allclose(found[0], expected[0])


@pytest.mark.parametrize(("strategy", "most"), [("xla", 4), ("graph", 1)])
def test_clients_of_different_sizes_share_programs(strategy: str, most: int) -> None:
    # 1 to 5 minibatches: room for 1, 2, 4 or 8.
    pair = Pair(case(sequential(metrics=["accuracy"]), rows(n=SIZES[-1])), strategy)
    for n in (*SIZES, *SIZES):
        pair.check(pair.task(BATCH, n=n))
    assert pair.trainer.compilations <= most


def test_the_programs_of_a_model_that_is_not_padded_are_bounded() -> None:
    pair = Pair(case(CASES["batchnorm"].build, rows(n=SIZES[-1])), "xla")
    for n in SIZES[:5]:
        pair.check(pair.task(BATCH, n=n), atol=5e-3)
    seen = pair.trainer.compilations
    for n in SIZES[:5]:
        pair.found(pair.task(BATCH, n=n))
    tails = {n % BATCH for n in SIZES[:5]} - {0}
    assert pair.trainer.compilations == seen <= 2 + 2 + len(tails)  # begin, end; whole ones; short ones


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_a_batch_size_far_above_the_rows_costs_no_memory(strategy: str) -> None:
    pair = Pair(CASES["sgd"], strategy)
    order = np.arange(pair.n)
    pair.check(pair.task(batches=[order], batch_size=10**12))


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_no_minibatches_change_nothing(strategy: str) -> None:
    pair = Pair(CASES["sgd"], strategy)
    weights, steps, rate, metrics = pair.found(pair.task(batches=[]))
    assert np.array_equal(weights, pair.start)
    assert (steps, rate, metrics["loss"]) == (0, pytest.approx(0.1), 0.0)


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_rows_that_are_not_there_are_refused(strategy: str) -> None:
    pair = Pair(CASES["sgd"], strategy)
    arrays = pair.layout.unflatten(pair.start)
    for row in (-1, pair.n + BEFORE):
        with pytest.raises(IndexError, match=f"rows are from 0 to {pair.n + BEFORE - 1}"):
            pair.trainer.train(arrays, [], pair.task(batches=[np.array([0, row])]))


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_other_dtypes_are_taken_and_the_rows_are_not_changed(strategy: str) -> None:
    x, y = rows()
    expected = Pair(case(sequential(), (x, y)), strategy)
    pair = Pair(case(sequential(), (x.astype("float64"), y.astype("uint8"))), strategy)
    found = pair.found(pair.task(start=expected.start))
    np.testing.assert_allclose(found[0], expected.found(expected.task())[0], rtol=1e-5, atol=1e-7)
    assert np.array_equal(x, rows()[0])


class Words(layers.Layer):
    """Needs an operation on strings, which XLA does not have."""

    def call(self, x: Any) -> Any:
        import tensorflow as tf

        return tf.strings.to_number(tf.strings.as_string(x))


def test_what_xla_cannot_compile_is_refused() -> None:
    pair = Pair(case(sequential(Words, layers.Flatten), rows()), "xla")
    with pytest.raises(ConfigurationError, match="XLA cannot compile the model"):
        pair.found(pair.task())
    graph = Pair(case(sequential(Words, layers.Flatten), rows()), "graph")
    graph.check(graph.task())


def test_a_strategy_that_is_not_there_is_refused() -> None:
    pair = Pair(CASES["sgd"], "graph")
    with pytest.raises(UnknownNameError, match="strategy"):
        Trainer(pair.program, pair.examples, strategy="xle")

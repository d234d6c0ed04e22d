"""Training by one worker on the population is that of the program on each client's rows."""

from __future__ import annotations

import dataclasses
from typing import Any

import keras
import numpy as np
import pytest
from bridge_cases import all_cases, case, rows, sequential
from keras import layers
from trainer_cases import BEFORE, Pair, places, population

from hansa.algorithms import FedProx, Scaffold
from hansa.errors import ConfigurationError, UnknownNameError

pytestmark = pytest.mark.backends
if keras.config.backend() != "tensorflow":
    pytest.skip("the trainer is TensorFlow's", allow_module_level=True)

from hansa.bridge import tensorflow_trainer  # noqa: E402

Trainer = tensorflow_trainer.Trainer

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


UNEVEN = ((10, 1), (7, 2), (10, 1), (4, 1), (9, 1))  # rows and passes of each client
FACTORS = [3.0, 1.0, 2.0, 5.0, 1.0]
# Those that `add` cannot train in one program with XLA, or not at all, are among them.
ADDED = ["sgd", "adam", "average", "sample_weight", "batchnorm", "embedding", "dropout"]


def uneven(pair: Pair, sizes: Any = UNEVEN, **more: Any) -> list[Any]:
    return [pair.task(n=n, passes=p, seed=seed, **more) for seed, (n, p) in enumerate(sizes)]


def added(pair: Pair, tasks: Any, factors: Any = FACTORS, *, leaf: int, room: int) -> tuple[list[Any], Any]:
    """Return what `add` gives, each leaf's sum as one vector."""
    n = len(pair.examples)
    moved = [dataclasses.replace(t, batches=[places(b, n) for b in t.batches]) for t in tasks]
    arrays = pair.layout.unflatten(pair.start)
    sums, metrics = pair.trainer.add(arrays, moved, factors, leaf=leaf, room=room)
    return [np.concatenate([part.reshape(-1) for part in found]) for found in sums], metrics


def check_sums(pair: Pair, tasks: Any, *, leaf: int, room: int, atol: float = 1e-4) -> None:
    sums, metrics = added(pair, tasks, FACTORS[: len(tasks)], leaf=leaf, room=room)
    expected = [pair.expected(task) for task in tasks]
    assert len(sums) == -(-len(tasks) // leaf)
    for number, found in enumerate(sums):
        inside = range(number * leaf, min((number + 1) * leaf, len(tasks)))
        change = sum(FACTORS[i] * (expected[i][0].astype(float) - pair.start) for i in inside)
        assert found.dtype == np.float64
        np.testing.assert_allclose(found, change, rtol=1e-3, atol=atol)
    for found, (*_, told) in zip(metrics, expected, strict=True):
        assert found == pytest.approx(told, rel=max(1e-4, atol / 5), abs=1e-6)


@pytest.mark.parametrize("strategy", STRATEGIES)
@pytest.mark.parametrize("name", ADDED)
def test_sums_are_those_of_the_changes(name: str, strategy: str) -> None:
    pair = Pair(CASES[name], strategy)
    tasks = uneven(pair)
    if strategy == "xla" and name in REFUSED_BY_XLA:
        with pytest.raises(ConfigurationError, match="XLA cannot compile"):
            added(pair, tasks, leaf=2, room=6)
        return
    for _ in range(2):  # the second call has the first one's memory
        check_sums(pair, tasks, leaf=2, room=6, atol=5 * LOOSE.get(name, 2e-5))


@pytest.mark.parametrize("strategy", STRATEGIES)
@pytest.mark.parametrize(("leaf", "room"), [(1, 5), (1, 8), (3, 6), (5, 5), (8, 8)])
def test_leaves_may_have_any_size(leaf: int, room: int, strategy: str) -> None:
    pair = Pair(CASES["adam"], strategy)
    check_sums(pair, uneven(pair), leaf=leaf, room=room)
    count = pair.trainer.compilations
    check_sums(pair, uneven(pair)[:2], leaf=leaf, room=room)
    # At most one more: minibatches are fewer, or all of them full.
    assert pair.trainer.compilations <= count + 1


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_one_client_is_a_sum(strategy: str) -> None:
    pair = Pair(CASES["momentum"], strategy)
    check_sums(pair, uneven(pair)[1:2], leaf=1, room=1)
    check_sums(pair, uneven(pair, learning_rate=0.02)[:1], leaf=1, room=1)
    check_sums(pair, uneven(pair, correct=FedProx(mu=0.5).correct)[:1], leaf=1, room=1)


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_sums_of_mean_gradients(strategy: str) -> None:
    pair = Pair(CASES["sample_weight"], strategy)
    check_sums(pair, uneven(pair, kind="gradient"), leaf=2, room=6)


def test_full_minibatches_of_a_model_that_is_not_padded_are_one_program() -> None:
    pair = Pair(CASES["batchnorm"], "xla")
    check_sums(pair, uneven(pair, ((8, 1), (4, 2), (12, 1))), leaf=2, room=4, atol=2.5e-2)
    assert pair.trainer.compilations == 1


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_what_is_not_finite_spoils_its_leaf_alone(strategy: str) -> None:
    pair = Pair(CASES["sgd"], strategy)
    spoilt = Pair(CASES["sgd"], strategy)
    bad = spoilt.trainer._rows.population.x
    bad[places(np.array([9]), spoilt.n)] = np.nan  # only clients of 10 rows have it
    spoilt.trainer = Trainer(spoilt.program, spoilt.trainer._rows.population, strategy=strategy)
    tasks = uneven(pair, ((4, 1), (7, 1), (4, 1), (10, 1), (9, 1)))
    whole, part = (added(one, tasks, leaf=2, room=6)[0] for one in (pair, spoilt))
    assert [bool(np.isfinite(leaf).all()) for leaf in part] == [True, False, True]
    assert np.array_equal(part[0], whole[0])
    np.testing.assert_allclose(part[2], whole[2], rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize("name", ["sgd", "sample_weight", "embedding"])
def test_rows_that_are_not_laid_out_give_the_same_sums(name: str, monkeypatch: Any) -> None:
    laid = Pair(CASES[name], "xla")
    expected = added(laid, uneven(laid), leaf=2, room=6)[0]
    monkeypatch.setattr(tensorflow_trainer, "HELD_BYTES", 0)
    pair = Pair(CASES[name], "xla")
    for found, sums in zip(added(pair, uneven(pair), leaf=2, room=6)[0], expected, strict=True):
        np.testing.assert_allclose(found, sums, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_rows_that_are_not_there_are_not_added(strategy: str) -> None:
    pair = Pair(CASES["sgd"], strategy)
    task = pair.task(batches=[np.array([0, pair.n + BEFORE])])
    with pytest.raises(IndexError, match=f"rows are from 0 to {pair.n + BEFORE - 1}"):
        pair.trainer.add(pair.layout.unflatten(pair.start), [task], [1.0], leaf=1, room=1)


class Words(layers.Layer):
    """Needs an operation on strings, which XLA does not have."""

    def call(self, x: Any) -> Any:
        import tensorflow as tf

        return tf.strings.to_number(tf.strings.as_string(x))


def test_what_xla_cannot_compile_is_refused() -> None:
    pair = Pair(case(sequential(Words, layers.Flatten), rows()), "xla")
    with pytest.raises(ConfigurationError, match="XLA cannot compile the model"):
        pair.found(pair.task())
    with pytest.raises(ConfigurationError, match="XLA cannot compile the model"):
        added(pair, [pair.task()], [1.0], leaf=1, room=1)
    graph = Pair(case(sequential(Words, layers.Flatten), rows()), "graph")
    graph.check(graph.task())


def test_a_strategy_that_is_not_there_is_refused() -> None:
    pair = Pair(CASES["sgd"], "graph")
    with pytest.raises(UnknownNameError, match="strategy"):
        Trainer(pair.program, pair.examples, strategy="xle")

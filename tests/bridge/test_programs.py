"""Compilations, independence of one training from another, and what is left alone."""

from __future__ import annotations

import dataclasses
import random
from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import pytest
from bridge_cases import WIDTH, Case, all_cases, case, rows, sequential
from keras import layers

from hansa.algorithms import FedProx
from hansa.testing.contracts import check_learner
from hansa.train.keras_learner import KerasLearner
from hansa.types import Examples, LocalTask

pytestmark = pytest.mark.backends
BACKEND = keras.config.backend()
CASES = all_cases()
SIZES = (5, 8, 11, 13, 16, 23, 30, 38)
BATCH = 8
compiled = pytest.mark.skipif(BACKEND == "torch", reason="PyTorch runs eagerly: nothing is compiled")


def built(build: Callable[[], Any], examples: Examples, seed: int = 0) -> KerasLearner:
    learner = KerasLearner(build)
    learner.build(examples, seed)
    return learner


def simple(**more: Any) -> Callable[[], Any]:
    return sequential(lambda: layers.Dense(4, activation="tanh"), metrics=["accuracy"], **more)


def task(learner: KerasLearner, n: int, **more: Any) -> LocalTask:
    order = np.arange(n)
    batches = [order[i : i + BATCH] for i in range(0, n, BATCH)]
    settings = {"start": learner.initial_weights(), "batches": batches, "batch_size": BATCH, **more}
    return LocalTask(**settings)


def compilations(learner: KerasLearner) -> dict[str, int]:
    """Return the number of compiled programs by kind of step."""
    counts: dict[str, int] = {}
    for key, step in learner._program._steps.items():
        number = step._cache_size() if BACKEND == "jax" else step.experimental_get_tracing_count()
        counts[key[0]] = counts.get(key[0], 0) + number
    return counts


# ---------------------------------------------------------------- compilations


@compiled
def test_clients_of_different_sizes_share_compiled_steps() -> None:
    learner = built(simple(), examples_of(SIZES[-1]))
    for n in (*SIZES, *SIZES):
        learner.train(examples_of(n), task(learner, n))
        learner.train(examples_of(n), task(learner, n, kind="gradient"))
        learner.evaluate(learner.initial_weights(), examples_of(n), 16)
    assert compilations(learner) == {"train": 1, "gradient": 1, "evaluate": 1}


@compiled
def test_batch_normalization_compiles_for_each_size_of_the_last_batch_at_most() -> None:
    learner = built(CASES["batchnorm"].build, examples_of(SIZES[-1]))
    for n in (*SIZES, *SIZES):
        learner.train(examples_of(n), task(learner, n))
        learner.evaluate(learner.initial_weights(), examples_of(n), 16)
    counts = compilations(learner)
    assert counts["train"] <= len({(n - 1) % BATCH + 1 for n in SIZES} | {BATCH})
    assert counts["evaluate"] == 1


@compiled
def test_rates_seeds_and_controls_do_not_recompile() -> None:
    learner = built(simple(), examples_of(16))
    algorithm = FedProx(mu=0.1)
    trained = []
    for rate, seed in ((None, 0), (0.1, 1), (0.01, 2), (0.5, 3)):
        learner.train(examples_of(16), task(learner, 16, learning_rate=rate, seed=seed))
        prox = task(learner, 16, learning_rate=rate, seed=seed, correct=algorithm.correct)
        trained.append(learner.train(examples_of(16), prox))
    assert compilations(learner) == {"train": 2}  # with and without correction
    assert [round(t.learning_rate, 6) for t in trained] == [0.1, 0.1, 0.01, 0.5]
    moved = [float(np.abs(t.weights - learner.initial_weights()).sum()) for t in trained]
    assert moved[2] < moved[1] == moved[0] < moved[3]


def examples_of(n: int) -> Examples:
    x, y = rows(n=n)
    return Examples(x=x, y=y)


# ---------------------------------------------------------------- padding


@pytest.mark.skipif(BACKEND != "jax", reason="only JAX needs fixed shapes")
def test_padding_is_only_where_it_changes_nothing() -> None:
    padded = {name: program_of(chosen) for name, chosen in CASES.items()}
    training = {name for name, program in padded.items() if program.pads_training}
    evaluation = {name for name, program in padded.items() if program.pads_evaluation}
    never = {
        *("sum", "sum_in_list", "dice", "loss_function", "metric_function", "metric_class"),
        *("masked", "masked_lstm", "steps", "activity", "add_loss", "mixes", "unit_norm_function"),
        *("subclass", "own_loss", "two_outputs_named", "two_outputs_listed"),
    }
    assert never.isdisjoint(evaluation)
    assert evaluation - training == {"batchnorm", "conv_batchnorm"}
    assert {"adam", "sparse", "mse", "sample_weight", "conv", "gru", "dropout", "regularized"} <= training
    assert {"two_inputs", "embedding", "layernorm", "mixed_float16"} <= training


def program_of(chosen: Case) -> Any:
    return built(chosen.build, chosen.examples)._program


LATE: dict[str, Callable[[], Any]] = {
    "activation": sequential(lambda: layers.Dense(3, activation=lambda x: x - keras.ops.mean(x, axis=0))),
    "axis": sequential(lambda: layers.Softmax(axis=0)),
    "lambda": sequential(lambda: layers.Lambda(lambda x: x * keras.ops.mean(x))),
    "ignored_class": sequential(
        units=3,
        activation="softmax",
        loss=lambda: keras.losses.SparseCategoricalCrossentropy(ignore_class=0),
    ),
}


@pytest.mark.skipif(BACKEND != "jax", reason="only JAX needs fixed shapes")
@pytest.mark.parametrize("name", LATE)
def test_functions_of_the_users_are_not_padded(name: str) -> None:
    program = program_of(case(LATE[name], rows()))
    assert not program.pads_training
    assert not program.pads_evaluation


# ---------------------------------------------------------------- independence


@pytest.mark.parametrize(
    "name", ["momentum", "adam", "conv_batchnorm", "mixed_float16", "two_inputs", "add_loss"]
)
def test_keras_models_keep_the_contract_of_learners(name: str) -> None:
    chosen = CASES[name]
    apart = name not in ("conv_batchnorm", "add_loss")
    check_learner(
        lambda: KerasLearner(chosen.build), chosen.examples, batch_size=BATCH, rows_independent=apart
    )


def test_plain_sgd_keeps_the_contract_of_learners() -> None:
    build = sequential(lambda: layers.Dense(4, activation="tanh"))
    assert built(build, examples_of(16)).plain_sgd
    check_learner(lambda: KerasLearner(build), examples_of(23), batch_size=BATCH)


@pytest.mark.parametrize(
    "name", ["momentum", "adam", "adamw_clipnorm", "schedule", "accumulation", "average", "constraint"]
)
def test_other_optimizers_are_not_plain_sgd(name: str) -> None:
    assert not built(CASES[name].build, CASES[name].examples).plain_sgd


def test_the_mean_gradient_is_that_of_plain_sgd() -> None:
    learner = built(simple(optimizer=lambda: keras.optimizers.SGD(1.0)), examples_of(16))
    step = learner.train(examples_of(16), task(learner, 16, batches=[np.arange(16)], batch_size=16))
    gradient = learner.train(examples_of(16), task(learner, 16, kind="gradient"))
    np.testing.assert_allclose(gradient.weights, step.weights, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("scaled", ["loss_scale_factor", "mixed_float16"])
def test_the_mean_gradient_is_not_scaled_as_the_loss_is(scaled: str) -> None:
    chosen = CASES[scaled]
    learner = built(chosen.build, chosen.examples)
    n = len(chosen.examples)
    plain = built(CASES["sgd" if scaled == "loss_scale_factor" else "adam"].build, chosen.examples)
    start = plain.initial_weights()
    found, expected = (
        one.train(chosen.examples, task(one, n, kind="gradient", start=start)).weights
        for one in (learner, plain)
    )
    np.testing.assert_allclose(found, expected, rtol=chosen.rtol, atol=chosen.atol)


def test_moving_statistics_move_in_gradients_too() -> None:
    chosen = CASES["batchnorm"]
    learner = built(chosen.build, chosen.examples)
    moved = (
        learner.train(chosen.examples, task(learner, 23, kind="gradient")).weights - learner.initial_weights()
    )
    statistics = learner.layout().mask(lambda entry: not entry.trainable)
    assert np.abs(moved[statistics]).min() > 0


def test_a_learning_rate_under_loss_scaling_is_the_inner_optimizers() -> None:
    chosen = CASES["mixed_float16"]
    learner = built(chosen.build, chosen.examples)
    frozen = learner.train(chosen.examples, task(learner, 23, learning_rate=0.0))
    assert np.array_equal(frozen.weights, learner.initial_weights())
    assert frozen.learning_rate == 0
    assert learner.train(chosen.examples, task(learner, 23)).learning_rate == pytest.approx(0.01)


def test_dropout_noise_comes_from_the_tasks_seed() -> None:
    build = sequential(lambda: layers.Dense(8), lambda: layers.Dropout(0.5))
    learner = built(build, examples_of(16))
    one, same, other = (learner.train(examples_of(16), task(learner, 16, seed=s)).weights for s in (1, 1, 2))
    assert np.array_equal(one, same)
    assert not np.array_equal(one, other)


def test_dropout_keeps_the_mean_of_what_it_lets_through() -> None:
    # A linear model with dropout on constant features: the first gradient is that without, on average.
    x, y = np.ones((512, WIDTH), "float32"), np.zeros(512, "int64")
    learner = built(sequential(lambda: layers.Dropout(0.5), activation=None, loss="mse"), Examples(x=x, y=y))
    start = np.append(np.full(WIDTH, 0.1, "float32"), np.float32(0))
    moved = [
        learner.train(
            Examples(x=x, y=y),
            LocalTask(start=start, batches=[np.arange(512)], batch_size=512, kind="gradient", seed=s),
        ).weights
        - start
        for s in range(8)
    ]
    # E[2 z x_j / keep ...] = 2 (5 · 0.1 + 0.1): each kept feature is doubled, which adds to its own square.
    np.testing.assert_allclose(np.mean(moved, axis=0)[:WIDTH], -1.2, rtol=0.1)
    np.testing.assert_allclose(np.mean(moved, axis=0)[WIDTH], -1.0, rtol=0.05)


def test_the_order_of_clients_does_not_matter() -> None:
    learner = built(CASES["adam"].build, examples_of(23))
    tasks = [(examples_of(n), task(learner, n, seed=n)) for n in (7, 16, 23)]
    forwards = [learner.train(*one).weights for one in tasks]
    backwards = [learner.train(*one).weights for one in reversed(tasks)][::-1]
    assert all(np.array_equal(a, b) for a, b in zip(forwards, backwards, strict=True))


# ---------------------------------------------------------------- what is left alone


def test_the_users_model_is_not_patched() -> None:
    model = CASES["batchnorm"].build()
    kept = {name: id(value) for name, value in vars(type(model)).items()}
    methods = ("call", "train_step", "test_step", "compute_loss", "compute_metrics", "fit", "compile")
    learner = built(lambda: model, examples_of(16))
    attributes = set(vars(model))
    learner.train(examples_of(16), task(learner, 16))
    learner.evaluate(learner.initial_weights(), examples_of(16), 8)
    assert learner.model is model
    assert {name: id(value) for name, value in vars(type(model)).items()} == kept
    assert not set(methods) & set(vars(model))
    assert set(vars(model)) == attributes
    model.fit(*rows(), verbose=0)  # still a model like any other


def test_loading_and_reading_the_model() -> None:
    learner = built(CASES["batchnorm"].build, examples_of(16))
    weights = np.random.default_rng(0).normal(size=learner.layout().size).astype("float32")
    learner.load(weights)
    weights_before = weights.copy()
    assert np.array_equal(learner.read(), weights)
    weights += 1  # the model holds copies
    assert np.array_equal(learner.read(), weights_before)
    learner.build(examples_of(16), 9)  # a second call does nothing
    assert np.array_equal(learner.read(), weights_before)


def test_global_generators_are_untouched_and_seeds_give_the_same_weights() -> None:
    build = sequential(lambda: layers.Dense(4), lambda: layers.Dropout(0.2), layers.BatchNormalization)
    before = random.getstate(), np.random.get_state()[1].tolist()  # noqa: NPY002
    one, same, other = (built(build, examples_of(16), seed).initial_weights() for seed in (1, 1, 2))
    assert (random.getstate(), np.random.get_state()[1].tolist()) == before  # noqa: NPY002
    assert np.array_equal(one, same)
    assert not np.array_equal(one, other)


def test_training_leaves_global_generators_alone() -> None:
    learner = built(sequential(lambda: layers.Dropout(0.2)), examples_of(16))
    before = random.getstate(), np.random.get_state()[1].tolist(), torch_state()  # noqa: NPY002
    learner.train(examples_of(16), task(learner, 16))
    assert (random.getstate(), np.random.get_state()[1].tolist(), torch_state()) == before  # noqa: NPY002


def torch_state() -> Any:
    if BACKEND != "torch":
        return None
    import torch

    return torch.get_rng_state().tolist()


def test_examples_are_not_changed_and_other_dtypes_are_taken() -> None:
    learner = built(simple(), examples_of(16))
    x, y = rows(n=16)
    expected = learner.train(Examples(x=x, y=y), task(learner, 16)).weights
    wide = Examples(x=x.astype("float64"), y=y.astype("uint8"))
    np.testing.assert_allclose(learner.train(wide, task(learner, 16)).weights, expected, rtol=1e-5)
    assert np.array_equal(x, rows(n=16)[0])
    weighted = dataclasses.replace(wide, sample_weight=np.ones(16, "float32"))
    np.testing.assert_allclose(learner.train(weighted, task(learner, 16)).weights, expected, rtol=1e-5)


def test_a_batch_size_far_above_the_rows_costs_no_memory() -> None:
    learner, examples = built(simple(), examples_of(7)), examples_of(7)
    start = learner.initial_weights()
    one = learner.train(examples, LocalTask(start=start, batches=[np.arange(7)], batch_size=7))
    huge = learner.train(examples, LocalTask(start=start, batches=[np.arange(7)], batch_size=10**12))
    np.testing.assert_allclose(huge.weights, one.weights, rtol=1e-5, atol=1e-6)
    assert huge.metrics["loss"] == pytest.approx(one.metrics["loss"], rel=1e-5)
    measured = learner.evaluate(start, examples, 10**12)["loss"]
    assert measured == pytest.approx(learner.evaluate(start, examples, 7)["loss"], rel=1e-5)


def test_the_user_may_fit_the_model_by_hand_between_trainings() -> None:
    learner, examples = built(simple(), examples_of(8)), examples_of(8)
    start = learner.initial_weights()
    chosen = LocalTask(start=start, batches=[np.arange(8)], batch_size=8)
    before = learner.train(examples, chosen)
    learner.load(start).fit(examples.x, examples.y, epochs=2, verbose=0)
    after = learner.train(examples, chosen)
    assert np.array_equal(before.weights, after.weights)
    assert before.metrics == after.metrics


class Both(keras.metrics.Mean):
    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> Any:
        return super().update_state(y_pred)

    def result(self) -> Any:
        return {"once": super().result(), "twice": 2 * super().result()}


def test_a_metric_with_several_results() -> None:
    examples = examples_of(8)
    learner = built(sequential(lambda: layers.Dense(2), metrics=lambda: [Both()]), examples)
    metrics = learner.evaluate(learner.initial_weights(), examples, 4)
    assert set(metrics) == {"loss", "once", "twice"}
    assert metrics["twice"] == pytest.approx(2 * metrics["once"])

"""Local training is `keras.Model.fit` on the same batches; evaluation is `keras.Model.evaluate`."""

from __future__ import annotations

import dataclasses
from typing import Any

import keras
import numpy as np
import pytest
from bridge_cases import Case, all_cases, noisy

from hansa.bridge import model as inside
from hansa.train.keras_learner import KerasLearner
from hansa.train.learner import class_weighted
from hansa.types import LocalTask, map_arrays

pytestmark = pytest.mark.backends
CASES = all_cases()
SEED = 5


@pytest.mark.parametrize("name", CASES)
def test_training_and_evaluation_are_those_of_keras(name: str) -> None:
    chosen = CASES[name]
    examples = chosen.examples
    learner = KerasLearner(chosen.build)
    learner.build(examples, SEED)
    start = learner.initial_weights()
    reference = fit(chosen, learner, start)

    order = np.arange(len(examples))
    batches = [order[i : i + chosen.batch_size] for i in range(0, len(order), chosen.batch_size)]
    task = LocalTask(start=start, batches=batches, batch_size=chosen.batch_size, seed=SEED)
    trained = learner.train(class_weighted(examples, chosen.class_weight), task)

    tolerance: Any = {"rtol": chosen.rtol, "atol": chosen.atol}
    assert np.abs(trained.weights - start).max() > 0
    np.testing.assert_allclose(trained.weights, flat(reference, learner), **tolerance)
    assert_same_logs(trained.metrics, reference.history.history, **tolerance)
    assert trained.steps == len(batches)

    for variable in inside.state_variables(reference):  # counters do not travel: they begin anew
        variable.assign(np.zeros(variable.shape, str(variable.dtype)))
    theirs = reference.evaluate(
        examples.x,
        examples.y,
        batch_size=5,
        sample_weight=examples.sample_weight,
        verbose=0,
        return_dict=True,
    )
    ours = learner.evaluate(flat(reference, learner), examples, 5)
    assert_same_logs(ours, {k: [v] for k, v in theirs.items()}, **tolerance)


@pytest.mark.parametrize("name", ["adam", "batchnorm", "add_loss", "noisy", "metric_class"])
def test_one_training_leaves_nothing_behind_for_the_next(name: str) -> None:
    chosen = noisy() if name == "noisy" else CASES[name]
    learner = KerasLearner(chosen.build)
    learner.build(chosen.examples, SEED)
    order = np.arange(len(chosen.examples))
    batches = [order[i : i + 4] for i in range(0, len(order), 4)]
    task = LocalTask(start=learner.initial_weights(), batches=batches, batch_size=4, seed=1)
    first = learner.train(chosen.examples, task)
    before = learner.evaluate(first.weights, chosen.examples, 8)
    other = dataclasses.replace(task, start=first.weights, learning_rate=0.5, seed=9)
    assert not np.array_equal(learner.train(chosen.examples, other).weights, first.weights)
    again = learner.train(chosen.examples, task)
    assert np.array_equal(first.weights, again.weights)
    assert first.metrics == again.metrics
    assert learner.evaluate(first.weights, chosen.examples, 8) == before


def fit(chosen: Case, learner: KerasLearner, start: Any) -> Any:
    """Return a second model after Keras' own fit from these weights, with its history in it."""
    examples = chosen.examples
    model = inside.build(chosen.build, SEED)
    inside.complete(model, examples, SEED)
    for variable, array in zip(
        inside.weight_variables(model), learner.layout().unflatten(start), strict=True
    ):
        variable.assign(array)
    for position, variable in enumerate(inside.seed_variables(model)):
        variable.assign(np.array([SEED, position], dtype=str(variable.dtype)))
    y = list(examples.y) if isinstance(examples.y, tuple) else examples.y
    settings: Any = {"sample_weight": examples.sample_weight, "class_weight": chosen.class_weight}
    model.fit(
        map_arrays(examples.x, np.array),
        y,
        batch_size=chosen.batch_size,
        shuffle=False,
        verbose=0,
        **settings,
    )
    return model


def flat(model: Any, learner: KerasLearner) -> Any:
    values = [keras.ops.convert_to_numpy(v.value) for v in inside.weight_variables(model)]
    return learner.layout().flatten([np.asarray(v) for v in values])


def assert_same_logs(ours: Any, theirs: dict[str, Any], **tolerance: Any) -> None:
    assert set(ours) == set(theirs)
    for name, values in theirs.items():
        expected = float(np.mean(values[-1]))
        np.testing.assert_allclose(ours[name], expected, err_msg=name, **tolerance)

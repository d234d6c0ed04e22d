"""What is refused, and the layout of Keras models."""

from __future__ import annotations

import importlib.util
import sys
from typing import Any

import keras
import numpy as np
import pytest
from bridge_cases import WIDTH, Norm2, Plain, all_cases, compile_fresh, rows, sequential
from keras import layers

import hansa
from hansa import bridge
from hansa.algorithms import FedBN, FedProx
from hansa.bridge import model as inside
from hansa.errors import ConfigurationError, DataError, MissingExtraError
from hansa.train.keras_learner import KerasLearner
from hansa.tree import Layout
from hansa.types import Examples, LocalTask

pytestmark = pytest.mark.backends
CASES = all_cases()
X, Y = rows()
ROWS = Examples(x=X, y=Y)
good = sequential(lambda: layers.Dense(3))


class OwnStep(keras.Model):
    def train_step(self, *args: Any) -> Any:
        raise NotImplementedError


class OwnTest(keras.Model):
    def test_step(self, *args: Any) -> Any:
        raise NotImplementedError


def functional(kind: type[Any]) -> Any:
    entry = keras.Input((WIDTH,))
    return compile_fresh(kind(entry, layers.Dense(1)(entry)))


def patched() -> Any:
    model = good()
    model.train_step = lambda *args: None
    return model


def needs(units: int) -> Any:
    return units


def stateful() -> Any:
    return compile_fresh(
        keras.Sequential([keras.Input((4, 3), batch_size=2), layers.GRU(2, stateful=True), layers.Dense(1)])
    )


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (lambda: None, "returned NoneType, expected a compiled"),
        (lambda: 5, "returned int, expected"),
        (lambda: keras.Sequential([layers.Dense(1)]), "not compiled"),
        ("model", "function of no arguments that returns a compiled keras.Model, got str"),
        (None, "got NoneType"),
        (needs, "needs cannot be called without any"),
        (lambda: functional(OwnStep), "OwnStep overrides train_step"),
        (lambda: functional(OwnTest), "OwnTest overrides test_step"),
        (patched, "overrides train_step"),
        (stateful, "is stateful"),
    ],
)
def test_model_functions_that_cannot_be_used(function, message):
    with pytest.raises(ConfigurationError, match=message):
        KerasLearner(function).build(ROWS, 0)


def test_a_model_in_place_of_a_function():
    with pytest.raises(ConfigurationError, match="got Sequential"):
        KerasLearner(good()).build(ROWS, 0)


def test_errors_of_the_users_own_are_not_hidden():
    def broken() -> Any:
        raise KeyError("units")

    with pytest.raises(KeyError, match="units"):
        KerasLearner(broken).build(ROWS, 0)


def softmax(units: int, loss: Any) -> Any:
    return sequential(units=units, activation="softmax", loss=loss)


@pytest.mark.parametrize(
    ("build", "x", "y"),
    [
        (good, X[:, :3], Y),
        (good, np.zeros((23, 4, 4), "float32"), Y),
        (good, {"a": X, "b": X}, Y),
        (CASES["two_inputs"].build, {"left": X}, Y),
        (softmax(3, "categorical_crossentropy"), X, Y),
        (softmax(3, "binary_crossentropy"), X, Y),
        (softmax(2, "categorical_crossentropy"), X, Y),
        (softmax(2, "binary_crossentropy"), X, Y),
        (softmax(5, "categorical_crossentropy"), X, np.eye(3)[Y]),
        (CASES["two_outputs_named"].build, X, Y),
    ],
)
def test_models_that_do_not_match_the_data(build, x, y):
    with pytest.raises(
        ConfigurationError, match=r"does not match the data: features of one row are .*Keras said"
    ):
        KerasLearner(build).build(Examples(x=x, y=y), 0)


def test_a_model_without_trainable_weights():
    def frozen() -> Any:
        model = good()
        model.trainable = False
        return compile_fresh(model)

    with pytest.raises(ConfigurationError, match="no trainable weights"):
        KerasLearner(frozen).build(ROWS, 0)


@pytest.mark.parametrize(
    "loss", ["sparse_categorical_crossentropy", "in a list", "as an object", "in a dict"]
)
@pytest.mark.parametrize("labels", [[0, 1, 3], [-1, 0, 1], [0.5, 1, 2], [0, 1, 1.5]])
def test_labels_beyond_the_classes(loss, labels):
    sparse: Any = keras.losses.SparseCategoricalCrossentropy()
    given = {"in a list": [sparse], "as an object": lambda: sparse, "in a dict": {"out": sparse}}.get(
        loss, loss
    )

    def build() -> Any:
        entry = keras.Input((WIDTH,))
        out = layers.Dense(3, activation="softmax", name="out")(entry)
        return compile_fresh(keras.Model(entry, out), loss=given)

    y = np.resize(np.array(labels), len(X))
    clients = {"a": (X, np.resize([0, 1, 2], len(X))), "b": (X, y)}
    low, high = min(labels), max(labels)
    with pytest.raises(
        DataError, match=rf"client 'b' has labels from {low:g} to {high:g} .* whole numbers from 0 to 2"
    ):
        hansa.Federation(build, clients).prepare()


@pytest.mark.parametrize("loss", ["binary_crossentropy", "bce", "binary_focal_crossentropy"])
def test_labels_beyond_zero_and_one(loss):
    clients = {"a": (X, Y), "b": (X, Y * 2)}
    with pytest.raises(DataError, match=r"client 'b' has labels from 0 to 2 for binary cross-entropy"):
        hansa.Federation(sequential(loss=loss), clients).prepare()


def test_labels_of_an_ignored_class_are_allowed():
    loss = keras.losses.SparseCategoricalCrossentropy(ignore_class=-1)
    learner = KerasLearner(softmax(3, lambda: loss))
    learner.build(ROWS, 0)
    assert inside.check_labels(learner.model, learner._outputs, (-1, 2)) is None


def task(learner: KerasLearner, **more: Any) -> LocalTask:
    return LocalTask(start=learner.initial_weights(), batches=[np.arange(4)], batch_size=4, **more)


def test_a_learning_rate_beside_a_schedule():
    learner = KerasLearner(CASES["schedule"].build)
    learner.build(ROWS, 0)
    with pytest.raises(ConfigurationError, match="has a learning-rate schedule"):
        learner.train(ROWS, task(learner, learning_rate=0.1))
    assert learner.train(ROWS, task(learner)).learning_rate == pytest.approx(0.2 * 0.5**0.5)


@pytest.mark.parametrize("name", ["mixed_float16", "loss_scale_factor"])
def test_corrections_under_loss_scaling(name):
    learner = KerasLearner(CASES[name].build)
    learner.build(ROWS, 0)
    with pytest.raises(ConfigurationError, match="loss-scaling optimizer"):
        learner.train(ROWS, task(learner, correct=FedProx().correct))


def test_a_learner_that_is_not_built():
    learner = KerasLearner(good)
    for use in (learner.layout, learner.initial_weights, lambda: learner.model):
        with pytest.raises(ConfigurationError, match="not built yet"):
            use()


# ---------------------------------------------------------------- backends


def test_a_backend_that_hansa_does_not_know(monkeypatch):
    monkeypatch.delitem(sys.modules, "keras")
    monkeypatch.setenv("KERAS_BACKEND", "theano")
    with pytest.raises(
        ConfigurationError, match=r"KERAS_BACKEND is 'theano'; Hansa trains on jax, tensorflow, torch"
    ):
        bridge.choose_backend()


def test_a_backend_that_is_not_installed(monkeypatch):
    monkeypatch.delitem(sys.modules, "keras")
    monkeypatch.setenv("KERAS_BACKEND", "torch")
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(MissingExtraError, match=r"pip install '\.\[torch\]'"):
        bridge.choose_backend()
    monkeypatch.delenv("KERAS_BACKEND")
    with pytest.raises(ConfigurationError, match="no Keras backend is installed"):
        bridge.choose_backend()


@pytest.mark.parametrize("missing", [(), ("jax",), ("jax", "tensorflow")])
def test_the_first_installed_backend_is_chosen(monkeypatch, missing):
    monkeypatch.delitem(sys.modules, "keras")
    monkeypatch.delenv("KERAS_BACKEND", raising=False)
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name in missing else object())
    expected = ("jax", "tensorflow", "torch")[len(missing)]
    assert bridge.choose_backend() == expected
    assert bridge.os.environ["KERAS_BACKEND"] == expected


def test_versions_of_backends():
    name = bridge.choose_backend()
    assert bridge.backend_version(name).startswith(f"{bridge.BACKENDS[name]} ")


# ---------------------------------------------------------------- layout


def layout(build: Any, examples: Examples = ROWS) -> Layout:
    learner = KerasLearner(build)
    learner.build(examples, 0)
    return learner.layout()


@pytest.mark.parametrize("name", ["batchnorm", "add_loss", "subclass", "masked_lstm", "two_outputs_named"])
def test_names_do_not_depend_on_what_was_built_before(name):
    chosen = CASES[name]
    first, second = (layout(chosen.build, chosen.examples) for _ in range(2))
    assert [e.name for e in first.entries] == [e.name for e in second.entries]
    assert first.hash == second.hash


def test_names_and_roles_of_batch_normalization():
    entries = layout(CASES["batchnorm"].build).entries
    assert [e.name for e in entries] == [
        "0/Dense/kernel",
        "1/Dense/bias",
        "2/BatchNormalization/gamma",
        "3/BatchNormalization/beta",
        "4/BatchNormalization/moving_mean",
        "5/BatchNormalization/moving_variance",
        "6/Dense/kernel",
        "7/Dense/bias",
    ]
    assert [e.name for e in entries if not e.trainable] == [e.name for e in entries if "moving" in e.name]


class OwnNormalization(layers.BatchNormalization):
    pass


@pytest.mark.parametrize("kind", [layers.BatchNormalization, OwnNormalization])
def test_fedbn_keeps_batch_normalization_at_home(kind):
    whole = layout(sequential(lambda: layers.Dense(3), kind))
    shared = whole.select(FedBN().travels)
    assert [e.name for e in shared.entries] == [
        "0/Dense/kernel",
        "1/Dense/bias",
        "6/Dense/kernel",
        "7/Dense/bias",
    ]
    assert whole.mask(FedBN().travels).sum() == shared.size


def test_seeds_and_counters_do_not_travel():
    build = sequential(lambda: layers.Dropout(0.5), Norm2)
    assert [e.name for e in layout(build).entries] == ["0/Norm2/variable", "1/Dense/kernel", "2/Dense/bias"]


def test_models_without_an_input_are_created_from_the_data():
    def late() -> Any:
        return compile_fresh(keras.Sequential([layers.Dense(2), layers.Dense(1, activation="sigmoid")]))

    assert [e.shape for e in layout(late).entries] == [(WIDTH, 2), (2,), (2, 1), (1,)]
    assert {e.dtype for e in layout(CASES["bfloat16"].build).entries} == {"bfloat16"}
    assert layout(lambda: compile_fresh(Plain())).size == layout(CASES["subclass"].build).size


def test_an_empty_choice_is_none(monkeypatch):
    monkeypatch.delitem(sys.modules, "keras")
    monkeypatch.setenv("KERAS_BACKEND", "")
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: name == "jax" or None)
    assert not bridge.user_chose()
    assert bridge.choose_backend() == "jax"

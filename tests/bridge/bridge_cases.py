"""Small models with data, one for each feature of Keras that local training must honour."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
from keras import layers, ops

from hansa.types import Examples

ROWS, WIDTH = 23, 5


@dataclass(frozen=True, kw_only=True)
class Case:
    """A model function, rows, and how both are trained."""

    build: Callable[[], Any]
    examples: Examples
    batch_size: int = 4
    class_weight: dict[int, float] | None = None
    rtol: float = 1e-4
    atol: float = 1e-5


def rows(kind: str = "binary", n: int = ROWS) -> tuple[Any, Any]:
    rng = np.random.default_rng(7)
    x = rng.normal(size=(n, WIDTH)).astype("float32")
    score = x @ np.arange(-2, 3).astype("float32")
    classes = np.digitize(score, [-2, 2])
    labels = {
        "binary": (score > 0).astype("int64"),
        "sparse": classes.astype("int64"),
        "onehot": np.eye(3, dtype="float32")[classes],
        "real": (score / 3).astype("float32"),
    }
    return x, labels[kind]


def weights(n: int = ROWS) -> Any:
    return np.random.default_rng(8).uniform(0.1, 2, n).astype("float32")


def sequential(
    *inner: Any, units: int = 1, activation: str | None = "sigmoid", shape: Any = (WIDTH,), **compiled: Any
):
    """Return a model function; the optimizer may be given as a function, since each model needs its own."""

    def build() -> Any:
        body = [make() for make in inner]
        model = keras.Sequential([keras.Input(shape), *body, layers.Dense(units, activation=activation)])
        return compile_fresh(model, **compiled)

    return build


def compile_fresh(model: Any, **settings: Any) -> Any:
    made = {k: v() if k in ("optimizer", "loss") and callable(v) else v for k, v in settings.items()}
    for name in ("metrics", "weighted_metrics"):
        if callable(made.get(name)):
            made[name] = made[name]()
    made.setdefault("optimizer", keras.optimizers.SGD(0.1))
    made.setdefault("loss", "binary_crossentropy")
    model.compile(**made)
    return model


def case(build: Callable[[], Any], data: tuple[Any, Any], **more: Any) -> Case:
    weight = more.pop("sample_weight", None)
    return Case(build=build, examples=Examples(x=data[0], y=data[1], sample_weight=weight), **more)


# ---------------------------------------------------------------- optimizers


def optimizers() -> dict[str, Case]:
    o = keras.optimizers
    made: dict[str, tuple[Callable[[], Any], dict[str, Any]]] = {
        "sgd": (lambda: o.SGD(0.1), {}),
        "momentum": (lambda: o.SGD(0.05, momentum=0.9, nesterov=True), {}),
        "adam": (lambda: o.Adam(0.01), {}),
        "adamw_clipnorm": (lambda: o.AdamW(0.01, weight_decay=0.1, clipnorm=0.5), {}),
        "rmsprop_global_clipnorm": (lambda: o.RMSprop(0.01, global_clipnorm=0.1), {}),
        "schedule": (lambda: o.SGD(o.schedules.ExponentialDecay(0.2, 2, 0.5)), {}),
        "accumulation": (lambda: o.SGD(0.1, gradient_accumulation_steps=2), {}),
        "average": (lambda: o.SGD(0.1, use_ema=True, ema_momentum=0.5), {}),
        "loss_scale_factor": (lambda: o.SGD(0.1, loss_scale_factor=8.0), {}),
    }
    hidden = (lambda: layers.Dense(4, activation="tanh"),)
    return {
        name: case(sequential(*hidden, optimizer=optimizer, metrics=["accuracy"]), rows(), **more)
        for name, (optimizer, more) in made.items()
    }


# ---------------------------------------------------------------- losses and metrics


def squared(y: Any, p: Any) -> Any:
    """A loss of the user's that is already a mean over the batch."""
    return ops.mean(ops.square(ops.reshape(ops.cast(y, p.dtype), ops.shape(p)) - p))


def largest(y: Any, p: Any) -> Any:
    """A metric of the user's that is one number for the batch."""
    return ops.max(p)


class Batches(keras.metrics.Metric):
    """Counts rows, whatever their weights."""

    def __init__(self) -> None:
        super().__init__(name="rows")
        self.total = self.add_weight(shape=(), initializer="zeros", name="total")

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:
        self.total.assign(self.total + ops.cast(ops.shape(y_pred)[0], "float32"))

    def result(self) -> Any:
        return ops.convert_to_tensor(self.total)


def losses() -> dict[str, Case]:
    k, softmax = keras.losses, {"units": 3, "activation": "softmax"}
    both = {"metrics": ["accuracy", "AUC"], "weighted_metrics": ["accuracy"]}
    return {
        "binary_auc": case(sequential(metrics=["accuracy", "AUC"]), rows()),
        "binary_column": case(sequential(metrics=["accuracy"]), (rows()[0], rows()[1][:, None])),
        "binary_focal": case(sequential(loss="binary_focal_crossentropy"), rows()),
        "sparse": case(
            sequential(**softmax, loss="sparse_categorical_crossentropy", metrics=["accuracy"]),
            rows("sparse"),
        ),
        "categorical": case(
            sequential(
                **softmax, loss="categorical_crossentropy", metrics=["accuracy", keras.metrics.F1Score()]
            ),
            rows("onehot"),
        ),
        "mse": case(sequential(activation=None, loss="mse", metrics=["mae", "r2_score"]), rows("real")),
        "huber": case(
            sequential(activation=None, loss="huber", metrics=["root_mean_squared_error"]), rows("real")
        ),
        "sample_weight": case(sequential(**both), rows(), sample_weight=weights()),
        "sample_weight_mean": case(
            sequential(loss=lambda: k.BinaryCrossentropy(reduction="mean_with_sample_weight")),
            rows(),
            sample_weight=weights(),
        ),
        "class_weight": case(sequential(**both), rows(), class_weight={0: 0.5, 1: 3.0}),
        "class_weight_onehot": case(
            sequential(**softmax, loss="categorical_crossentropy"), rows("onehot"), class_weight={2: 4.0}
        ),
        "sum": case(sequential(loss=lambda: k.BinaryCrossentropy(reduction="sum")), rows()),
        "sum_in_list": case(sequential(loss=lambda: [k.BinaryCrossentropy(reduction="sum")]), rows()),
        "dice": case(sequential(loss="dice"), (rows()[0], rows()[1][:, None].astype("float32"))),
        "loss_function": case(sequential(activation=None, loss=lambda: squared), rows("real")),
        "metric_function": case(sequential(metrics=[largest]), rows()),
        "metric_class": case(sequential(metrics=lambda: [Batches()]), rows()),
    }


# ---------------------------------------------------------------- layers


class Norm2(layers.Layer):
    """Adds a loss of its own, and counts its calls in an integer."""

    def build(self, shape: Any) -> None:
        self.kernel = self.add_weight(shape=(shape[-1],), initializer="ones")
        self.calls = self.add_weight(shape=(), dtype="int32", initializer="zeros", trainable=False)

    def call(self, x: Any) -> Any:
        self.calls.assign(self.calls + 1)
        self.add_loss(0.1 * ops.mean(ops.square(x * self.kernel)))
        return x * self.kernel + 0.1 * ops.cast(self.calls, "float32")


class Mixes(layers.Layer):
    """Lets rows influence one another."""

    def call(self, x: Any) -> Any:
        return x - ops.mean(x, axis=0, keepdims=True)


def images() -> tuple[Any, Any]:
    rng = np.random.default_rng(3)
    return rng.normal(size=(ROWS, 6, 6, 2)).astype("float32"), rng.integers(0, 2, ROWS)


def words() -> tuple[Any, Any]:
    rng = np.random.default_rng(4)
    x = rng.integers(0, 9, size=(ROWS, 6)).astype("int32")
    x[:, 0] = 1 + x[:, 0] % 8
    return x, rng.integers(0, 2, ROWS)


def layered() -> dict[str, Case]:
    l2 = keras.regularizers.L2(0.1)
    word = {"shape": (6,)}
    average = layers.GlobalAveragePooling1D
    adam: dict[str, Any] = {"optimizer": lambda: keras.optimizers.Adam(0.01), "metrics": ["accuracy"]}
    series = (np.random.default_rng(5).normal(size=(ROWS, 4, 3)).astype("float32"), None)
    steps = (series[0], (series[0].sum(-1) > 0).astype("float32")[..., None])
    return {
        "batchnorm": case(sequential(lambda: layers.Dense(4), layers.BatchNormalization, **adam), rows()),
        "layernorm": case(sequential(lambda: layers.Dense(4), layers.LayerNormalization, **adam), rows()),
        "conv": case(
            sequential(
                lambda: layers.Conv2D(3, 3, activation="relu"), layers.Flatten, shape=(6, 6, 2), **adam
            ),
            images(),
        ),
        "conv_batchnorm": case(
            sequential(
                lambda: layers.Conv2D(3, 3),
                layers.BatchNormalization,
                layers.Flatten,
                shape=(6, 6, 2),
                **adam,
            ),
            images(),
        ),
        "embedding": case(sequential(lambda: layers.Embedding(9, 3), average, **word, **adam), words()),
        "masked": case(
            sequential(lambda: layers.Embedding(9, 3, mask_zero=True), average, **word, **adam), words()
        ),
        "masked_lstm": case(
            sequential(
                lambda: layers.Embedding(9, 3, mask_zero=True), lambda: layers.LSTM(4), **word, **adam
            ),
            words(),
        ),
        "gru": case(sequential(lambda: layers.GRU(4), shape=(4, 3), **adam), (series[0], words()[1])),
        "steps": case(sequential(lambda: layers.Dense(4), shape=(4, 3), **adam), steps),
        "dropout": case(
            sequential(lambda: layers.Dense(8), lambda: layers.Dropout(0.5, seed=3), **adam), rows(n=24)
        ),
        "regularized": case(sequential(lambda: layers.Dense(4, kernel_regularizer=l2), **adam), rows()),
        "activity": case(sequential(lambda: layers.Dense(4, activity_regularizer=l2), **adam), rows()),
        "constraint": case(sequential(lambda: layers.Dense(4, kernel_constraint="max_norm"), **adam), rows()),
        "frozen": case(sequential(lambda: layers.Dense(4, trainable=False), **adam), rows()),
        "add_loss": case(sequential(Norm2, **adam), rows()),
        "mixes": case(sequential(lambda: layers.Dense(4), Mixes, **adam), rows()),
        "unit_norm_function": case(mixing_function, rows()),
    }


def mixing_function() -> Any:
    entry = keras.Input((WIDTH,))
    hidden = layers.Dense(3)(entry)
    out = layers.Dense(1, activation="sigmoid")(hidden - ops.mean(hidden, axis=0, keepdims=True))
    return compile_fresh(keras.Model(entry, out))


# ---------------------------------------------------------------- models


class Plain(keras.Model):
    """A subclassed model whose call does not take ``training``."""

    def __init__(self) -> None:
        super().__init__()
        self.hidden, self.out = layers.Dense(4, activation="relu"), layers.Dense(1, activation="sigmoid")
        self.scale = self.add_weight(shape=(), initializer="ones")

    def call(self, x: Any) -> Any:
        return self.out(self.hidden(x)) * self.scale


class OwnLoss(keras.Model):
    """Overrides compute_loss as it was before Keras 3.3, and keeps a metric of its own."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.tracker = keras.metrics.Mean(name="squares")

    def compute_loss(
        self, x: Any = None, y: Any = None, y_pred: Any = None, sample_weight: Any = None
    ) -> Any:
        squares = ops.mean(ops.square(ops.cast(y, y_pred.dtype) - y_pred[:, 0])) + 0.01 * ops.sum(x) ** 2
        self.tracker.update_state(squares)
        return squares


def own_loss() -> Any:
    entry = keras.Input((WIDTH,))
    return compile_fresh(OwnLoss(entry, layers.Dense(1)(entry)), loss=None)


def two_inputs() -> Any:
    left, right = keras.Input((WIDTH,), name="left"), keras.Input((2,), name="right")
    joined = layers.Concatenate()([layers.Dense(3)(left), right])
    model = keras.Model({"left": left, "right": right}, layers.Dense(1, activation="sigmoid")(joined))
    return compile_fresh(model, metrics=["accuracy"])


def two_outputs(*, named: bool) -> Callable[[], Any]:
    def build() -> Any:
        entry = keras.Input((WIDTH,))
        hidden = layers.Dense(4, activation="relu")(entry)
        outs = {
            "kind": layers.Dense(1, activation="sigmoid", name="kind")(hidden),
            "size": layers.Dense(1, name="size")(hidden),
        }
        model = keras.Model(entry, outs if named else list(outs.values()))
        settings: dict[str, Any] = {
            "loss": {"kind": "binary_crossentropy", "size": "mse"},
            "loss_weights": {"kind": 1.0, "size": 0.3},
            "metrics": {"kind": ["accuracy"], "size": ["mae"]},
        }
        if not named:
            settings = {k: list(v.values()) for k, v in settings.items()}
        return compile_fresh(model, **settings)

    return build


def with_policy(policy: str, build: Callable[[], Any]) -> Callable[[], Any]:
    def build_under() -> Any:
        before = keras.config.dtype_policy()
        keras.config.set_dtype_policy(policy)
        try:
            return build()
        finally:
            keras.config.set_dtype_policy(before)

    return build_under


def models() -> dict[str, Case]:
    x, y = rows()
    real = rows("real")[1]
    hidden = (lambda: layers.Dense(4, activation="tanh"),)
    network = sequential(*hidden, optimizer=lambda: keras.optimizers.Adam(0.01), metrics=["accuracy"])
    simple = sequential(*hidden, optimizer=lambda: keras.optimizers.SGD(0.1))
    loose: dict[str, Any] = {"rtol": 2e-2, "atol": 2e-2}
    return {
        "subclass": case(
            lambda: compile_fresh(
                Plain(), metrics=["accuracy"], optimizer=lambda: keras.optimizers.Adam(0.01)
            ),
            (x, y),
        ),
        "own_loss": case(own_loss, (x, y)),
        "two_inputs": case(two_inputs, ({"left": x, "right": x[:, :2]}, y)),
        "two_outputs_named": case(two_outputs(named=True), (x, {"kind": y, "size": real})),
        "two_outputs_listed": case(two_outputs(named=False), (x, (y, real)), sample_weight=weights()),
        "mixed_float16": case(with_policy("mixed_float16", network), (x, y), **loose),
        "mixed_bfloat16": case(with_policy("mixed_bfloat16", network), (x, y), **loose),
        "bfloat16": case(with_policy("bfloat16", simple), (x, y), **loose),
        "float16": case(with_policy("float16", simple), (x, y), **loose),
    }


def noisy() -> Case:
    """Return a model whose dropout has no seed of its own."""
    return case(sequential(lambda: layers.Dense(8), lambda: layers.Dropout(0.5)), rows())


def all_cases() -> dict[str, Case]:
    return {**optimizers(), **losses(), **layered(), **models()}

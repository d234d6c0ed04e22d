"""The built-in models: small Keras models whose layers fit the clients' rows."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from hansa.cli.declaration import ModelKeys
from hansa.cli.optimizers import optimizer_of
from hansa.data.client import Client
from hansa.data.labels import class_labels
from hansa.errors import ConfigurationError, UnknownNameError

Task = Literal["binary", "classes", "one_hot", "numbers"]

_LOSSES: dict[Task, str] = {
    "binary": "binary_crossentropy",
    "classes": "sparse_categorical_crossentropy",
    "one_hot": "categorical_crossentropy",
    "numbers": "mean_squared_error",
}
_TASKS: dict[str, Task] = {
    "binary_crossentropy": "binary",
    "sparse_categorical_crossentropy": "classes",
    "categorical_crossentropy": "one_hot",
    "mean_squared_error": "numbers",
    "mean_absolute_error": "numbers",
    "huber": "numbers",
}
_ACTIVATIONS: dict[Task, str | None] = {
    "binary": "sigmoid",
    "classes": "softmax",
    "one_hot": "softmax",
    "numbers": None,
}
LEARNING_RATE = 0.1
"""Of the built-in models' default optimizer, plain SGD: suits standardized features."""
_MOST = 1_000_000  # units of a layer
METRICS = (
    "accuracy",
    "auc",
    "precision",
    "recall",
    "mean_absolute_error",
    "mean_squared_error",
    "root_mean_squared_error",
)
_METRIC_CLASSES = {
    "auc": "AUC",
    "precision": "Precision",
    "recall": "Recall",
    "root_mean_squared_error": "RootMeanSquaredError",
}


@dataclass(frozen=True, kw_only=True)
class Shape:
    """What a model must take and give.

    Attributes:
        features: Shape of one row's features.
        task: What the labels are.
        units: Number of outputs.
    """

    features: tuple[int, ...]
    task: Task
    units: int


def check_model(keys: ModelKeys) -> None:
    """Raise unless a built-in model can be made of these keys.

    Raises:
        UnknownNameError: The model, the loss or a metric does not exist.
        ConfigurationError: A value is out of range.
    """
    if keys.name not in BUILT_IN:
        raise UnknownNameError("built-in model in [model] name", str(keys.name), BUILT_IN)
    if keys.loss is not None and keys.loss not in _TASKS:
        raise UnknownNameError("loss in [model]", keys.loss, _TASKS)
    for metric in keys.metrics or ():
        if metric not in METRICS:
            raise UnknownNameError("metric in [model]", metric, METRICS)
    if not 0 <= keys.dropout < 1:
        raise ConfigurationError(f"[model] dropout is {keys.dropout}; it must be at least 0 and below 1.")
    for name in ("hidden", "filters"):
        if not getattr(keys, name) or min(getattr(keys, name)) < 1 or max(getattr(keys, name)) > _MOST:
            raise ConfigurationError(f"[model] {name} must be a list of whole numbers from 1 to {_MOST}.")
    if keys.classes is not None and not 2 <= keys.classes <= _MOST:
        raise ConfigurationError(f"[model] classes is {keys.classes}; it must be from 2 to {_MOST}.")
    optimizer_of(keys.optimizer, "[model] optimizer", learning_rate=keys.learning_rate)


def built_in(keys: ModelKeys, clients: Sequence[Client]) -> Callable[[], Any]:
    """Return the model function of a built-in model, whose inputs and outputs follow the clients' rows."""
    check_model(keys)

    def build() -> Any:
        import keras

        shape = shape_of(keys, clients)
        rate = LEARNING_RATE if keys.learning_rate is None and keys.optimizer == "sgd" else keys.learning_rate
        optimizer = optimizer_of(keys.optimizer, "[model] optimizer", learning_rate=rate)
        layers = [
            keras.Input(shape.features),
            *BUILT_IN[str(keys.name)](keys, shape),
            keras.layers.Dense(shape.units, activation=_ACTIVATIONS[shape.task]),
        ]
        model = keras.Sequential(layers, name=keys.name)
        model.compile(optimizer.build(), keys.loss or _LOSSES[shape.task], metrics=_metrics(keys, shape.task))
        return model

    return build


def shape_of(keys: ModelKeys, clients: Sequence[Client]) -> Shape:
    """Return what a model of these clients' rows, preprocessed, must take and give.

    Raises:
        ConfigurationError: The rows have several inputs or outputs.
        DataError: As `hansa.api.localise.localise`.
    """
    from hansa.api.localise import localise

    features, outputs, largest, classes = (), 1, 0, True
    for name, site in localise(tuple(clients)).sites.items():
        for rows in (site.data.train, site.data.validation, site.data.test):
            if rows is None:
                continue
            x, y = rows.take(np.arange(1)).x, rows.y
            if not isinstance(x, np.ndarray) or not isinstance(y, np.ndarray):
                raise ConfigurationError(
                    f"client {name!r} has several inputs or outputs; bring a model of your own: file."
                )
            features = x.shape[1:]
            labels = class_labels(y)
            classes = classes and labels is not None
            outputs = y.shape[1] if y.ndim == 2 else 1
            if labels is not None and len(labels):
                largest = max(largest, int(labels.max()))
    task = (
        _TASKS[keys.loss]
        if keys.loss
        else _task(classes=classes, outputs=outputs, largest=largest, keys=keys)
    )
    units = {"binary": 1, "classes": keys.classes or largest + 1, "one_hot": outputs, "numbers": outputs}[
        task
    ]
    return Shape(features=features, task=task, units=units)


def _task(*, classes: bool, outputs: int, largest: int, keys: ModelKeys) -> Task:
    if not classes:
        return "numbers"
    if outputs > 1:
        return "one_hot"
    return "binary" if max(largest + 1, keys.classes or 0) <= 2 else "classes"


def _metrics(keys: ModelKeys, task: Task) -> list[Any]:
    import keras

    names = keys.metrics
    if names is None:
        names = ["mean_absolute_error"] if task == "numbers" else ["accuracy"]
    return [getattr(keras.metrics, _METRIC_CLASSES[n])(name=n) if n in _METRIC_CLASSES else n for n in names]


def _logistic(keys: ModelKeys, shape: Shape) -> list[Any]:  # noqa: ARG001 - all have one signature
    return _flat(shape)


def _mlp(keys: ModelKeys, shape: Shape) -> list[Any]:
    import keras

    layers = _flat(shape)
    for units in keys.hidden:
        layers.append(keras.layers.Dense(units, activation="relu"))
        if keys.dropout:
            layers.append(keras.layers.Dropout(keys.dropout))
    return layers


def _cnn(keys: ModelKeys, shape: Shape) -> list[Any]:
    import keras

    size = shape.features
    least = 2 ** len(keys.filters)
    if len(size) not in (2, 3) or min(size[:2]) < least:
        raise ConfigurationError(
            f'[model] name = "cnn" needs images of at least {least} by {least} pixels for '
            f"{len(keys.filters)} filters; one row has the shape {size}. Use mlp, or fewer filters."
        )
    layers: list[Any] = [] if len(size) == 3 else [keras.layers.Reshape((*size, 1))]
    for filters in keys.filters:
        layers += [
            keras.layers.Conv2D(filters, 3, padding="same", activation="relu"),
            keras.layers.MaxPooling2D(),
        ]
    layers.append(keras.layers.Flatten())
    if keys.dropout:
        layers.append(keras.layers.Dropout(keys.dropout))
    return layers


def _flat(shape: Shape) -> list[Any]:
    import keras

    if math.prod(shape.features) < 1:
        raise ConfigurationError(
            f"one row has features of shape {shape.features}; there is nothing to learn from."
        )
    return [] if len(shape.features) == 1 else [keras.layers.Flatten()]


BUILT_IN: dict[str, Callable[[ModelKeys, Shape], list[Any]]] = {
    "logistic": _logistic,
    "mlp": _mlp,
    "cnn": _cnn,
}
"""The layers between input and output by the model's name."""

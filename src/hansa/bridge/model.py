"""What Hansa needs to know of a Keras model, whatever the backend.

Private attributes of Keras are read here and in the three program files alone, and are
covered by the bridge's contract tests.
"""

from __future__ import annotations

import contextlib
import inspect
import random
import re
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import keras
import numpy as np

from hansa.bridge.padding import flat_losses, loss_name
from hansa.errors import ConfigurationError
from hansa.tree import Entry, Layout
from hansa.types import Array, Examples, map_arrays


@contextlib.contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Let Keras draw its default seeds from ``seed`` inside the block; global state is put back after it.

    Keras draws every seed that a model does not give itself from Python's global generator.
    """
    before = random.getstate()
    random.seed(seed)
    try:
        yield
    finally:
        random.setstate(before)


def build(model_function: Callable[[], Any], seed: int) -> Any:
    """Call the user's model function and check what it returns.

    Raises:
        ConfigurationError: If it is not a function of no arguments that returns a compiled
            `keras.Model` that keeps Keras' own training step.
    """
    if isinstance(model_function, keras.Model) or not callable(model_function):
        raise ConfigurationError(
            f"model must be a function of no arguments that returns a compiled keras.Model, got "
            f"{type(model_function).__name__}. Write: def build(): ...; return model  and pass model=build."
        )
    try:
        inspect.signature(model_function).bind()
    except TypeError as error:
        name = getattr(model_function, "__name__", repr(model_function))
        raise ConfigurationError(
            f"model must be a function of no arguments, but {name} cannot be called without any ({error}). "
            "Bind them: model=lambda: build(units=8)."
        ) from error
    except ValueError:
        pass  # some built-in callables have no signature; calling them tells
    with seeded(seed):
        model = model_function()
    if not isinstance(model, keras.Model):
        raise ConfigurationError(
            f"the model function returned {type(model).__name__}, expected a compiled keras.Model."
        )
    if not model.compiled or model.optimizer is None:
        raise ConfigurationError(
            "the model is not compiled. Call model.compile(optimizer=..., loss=...) in the model function."
        )
    for step in ("train_step", "test_step"):
        if step in vars(model) or getattr(type(model), step) is not getattr(keras.Model, step):
            raise ConfigurationError(
                f"{type(model).__name__} overrides {step}, which Hansa replaces by its own compiled step. "
                "Override compute_loss instead, or bring the model in as a Learner."
            )
    for layer in model._flatten_layers(include_self=False):
        if getattr(layer, "stateful", False) and isinstance(layer, keras.layers.RNN):
            raise ConfigurationError(
                f"layer {layer.name!r} is stateful: it would carry one batch's state into the next, and one "
                "client's into another's. Build it with stateful=False."
            )
    return model


def complete(model: Any, examples: Examples, seed: int) -> list[tuple[int, ...]]:
    """Create every variable of the model, its optimizer and its metrics from a few rows of data.

    Returns:
        The shape of one row of each output.

    Raises:
        ConfigurationError: If the model cannot take the data, or the loss cannot take the labels.
    """
    try:
        with seeded(seed), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # metrics may find fault with two rows
            outputs = _probe(model, examples.take(np.arange(2) % len(examples)))
            if any(2 in shape for shape in outputs):
                # As many rows as outputs would hide labels of the wrong shape behind broadcasting.
                _probe(model, examples.take(np.arange(5) % len(examples)))
            model.optimizer.build(model.trainable_variables)
            model.reset_metrics()
    except Exception as error:
        one = examples.take(np.arange(1))
        lines = [line.strip() for line in str(error).strip().splitlines()]
        # Keras names the layer in its first line and what is wrong after it.
        told = [line for line in lines if line and not line.startswith("Exception encountered")] or lines
        raise ConfigurationError(
            f"the model does not match the data: features of one row are {_shapes(one.x)}, labels are "
            f"{_shapes(one.y)}. Keras said: {told[0] if told else type(error).__name__}"
        ) from error
    if not model.trainable_variables:
        raise ConfigurationError("the model has no trainable weights; there is nothing to train.")
    return outputs


def _probe(model: Any, rows: Examples) -> list[tuple[int, ...]]:
    """Run forward pass, loss and metrics once and leave the model's state as it was."""
    x, y = (map_arrays(part, keras.ops.convert_to_tensor) for part in (rows.x, rows.y))
    if not all(layer.built for layer in model._flatten_layers()):
        # A model that cannot be traced with symbols is created by the eager call below.
        with contextlib.suppress(Exception):
            model._symbolic_build(data_batch=(x, y, None))
    before = [(v, keras.ops.copy(v.value)) for v in model.non_trainable_variables]
    y_pred = model(x, training=False)
    compute_loss(model, x, y, y_pred, None, training=False)
    model.compute_metrics(x, y, y_pred, None)
    metric_tensors(model)
    for variable, value in before:
        variable.assign(value)
    return [tuple(output.shape[1:]) for output in keras.tree.flatten(y_pred)]


def _shapes(tree: Any) -> Any:
    return map_arrays(tree, lambda a: (a.shape[1:], str(a.dtype)))


def check_labels(
    model: Any, outputs: list[tuple[int, ...]], label_range: tuple[float, float] | None
) -> str | None:
    """Return what is wrong with labels in this range for the model's loss, or None.

    Only the losses whose labels have a known range are checked.
    """
    losses = flat_losses(model)
    if label_range is None or len(outputs) != 1 or len(losses) != 1 or not outputs[0]:
        return None
    low, high = label_range
    name, units = loss_name(losses[0]), outputs[0][-1]
    told = f"labels from {low:g} to {high:g}"
    settings = getattr(losses[0], "_fn_kwargs", {})
    if name == "sparse_categorical_crossentropy" and settings.get("ignore_class") is None:
        if low < 0 or high >= units or low % 1 or high % 1:
            return (
                f"{told} for a model with {units} classes; they must be whole numbers from 0 to {units - 1}"
            )
    elif name.startswith("binary_") and (low < 0 or high > 1):
        return f"{told} for binary cross-entropy; they must be 0 or 1"
    return None


def weight_variables(model: Any) -> list[Any]:
    """Return the variables that travel, in order: floating-point weights, trainable or not."""
    return [v for v in model.weights if "float" in str(v.dtype)]


def seed_variables(model: Any) -> list[Any]:
    """Return the states of the model's random layers. They never travel."""
    return [v for v in model.variables if v.path.endswith("seed_generator_state")]


def state_variables(model: Any) -> list[Any]:
    """Return what else changes in training and never travels: counters and the like, not metrics."""
    known = {id(v) for v in (*weight_variables(model), *seed_variables(model))}
    return [v for v in model.non_trainable_variables if id(v) not in known]


def layout_of(model: Any) -> Layout:
    """Return the layout of the model's travelling weights. Names do not depend on what was built before."""
    owners = {
        id(variable): _kind(layer)
        for layer in model._flatten_layers(include_self=False)
        for variable in (*layer._trainable_variables, *layer._non_trainable_variables)
    }
    entries = []
    for position, variable in enumerate(weight_variables(model)):
        owner = owners.get(id(variable), "")
        # Keras numbers variables without a name in the order of their creation in the process.
        name = re.sub(r"^variable(_\d+)?$", "variable", variable.name)
        entries.append(
            Entry(
                name="/".join(filter(None, (str(position), owner, name))),
                shape=tuple(variable.shape),
                dtype=str(variable.dtype),
                trainable=bool(variable.trainable),
                layer=owner,
            )
        )
    return Layout(tuple(entries))


def _kind(layer: Any) -> str:
    """Return a layer's class name; kinds of batch normalization all count as that."""
    batch_normalization = isinstance(layer, keras.layers.BatchNormalization)
    return "BatchNormalization" if batch_normalization else type(layer).__name__


def compute_loss(model: Any, x: Any, y: Any, y_pred: Any, weight: Any, *, training: bool) -> Any:
    """Return the model's whole loss, also where the user's compute_loss predates ``training``."""
    return model._compute_loss(x, y, y_pred, weight, training=training)


def update_metrics(model: Any, x: Any, y: Any, y_pred: Any, weight: Any) -> None:
    """Update the compiled metrics with one batch."""
    if type(model).compute_metrics is not keras.Model.compute_metrics:
        model.compute_metrics(x, y, y_pred, weight)
    elif model._compile_metrics is not None:
        # Keras' own method would also compute every result, after every batch.
        model._compile_metrics.update_state(y, y_pred, weight)


def update_padded_metrics(model: Any, y: Any, y_pred: Any, weight: Any, mask: Any) -> None:
    """Update the compiled metrics of a model with one output; rows where ``mask`` is 0 do not count."""
    compiled = model._compile_metrics
    if compiled is None:
        return
    labels, outputs = compiled._flatten_y(y), compiled._flatten_y(y_pred)
    weighted = mask if weight is None else weight * mask
    for metrics, rows in ((compiled._flat_metrics, mask), (compiled._flat_weighted_metrics, weighted)):
        for metric, label, output in zip(metrics, labels, outputs, strict=True):
            if metric:
                metric.update_state(label, output, rows)


def tells_losses(model: Any) -> bool:
    """Whether the model keeps a mean of each output's loss, as Keras does where there are several."""
    own = type(model).compute_loss is keras.Model.compute_loss
    return own and model._compile_loss is not None and bool(model._compile_loss.metrics)


def metric_tensors(model: Any) -> dict[str, Any]:
    """Return the compiled metrics' current values by log name, without the loss."""
    results: dict[str, Any] = {}
    for name, value in model.get_metrics_result().items():
        # A metric may have several results.
        results.update(value if isinstance(value, dict) else {name: value})
    results.pop("loss", None)
    return {name: keras.ops.convert_to_tensor(value) for name, value in results.items()}


def learning_rate_variable(optimizer: Any) -> Any | None:
    """Return the optimizer's learning-rate variable, or None if a schedule sets the rate."""
    rate = getattr(getattr(optimizer, "inner_optimizer", optimizer), "_learning_rate", None)
    return rate if isinstance(rate, keras.Variable) else None


def is_plain_sgd(model: Any) -> bool:
    """Whether a step is the weight minus a constant learning rate times the gradient, and nothing else."""
    optimizer = model.optimizer
    settings = (
        *("momentum", "nesterov", "weight_decay", "clipnorm", "clipvalue", "global_clipnorm", "use_ema"),
        "gradient_accumulation_steps",
    )
    return (
        isinstance(optimizer, keras.optimizers.SGD)
        and type(optimizer).__module__.startswith("keras.")
        and not any(getattr(optimizer, setting, None) for setting in settings)
        and learning_rate_variable(optimizer) is not None
        and all(v.constraint is None for v in model.trainable_variables)
    )


def check_learning_rate(optimizer: Any, rate: float | None) -> None:
    """Raise `ConfigurationError` if a rate is given and the optimizer has a schedule."""
    if rate is not None and learning_rate_variable(optimizer) is None:
        raise ConfigurationError(
            "the client optimizer has a learning-rate schedule, so a callback cannot set its learning rate. "
            "Compile it with a number, or remove the callback."
        )


def check_correction(optimizer: Any) -> None:
    """Raise `ConfigurationError` where a corrected gradient would be scaled wrongly."""
    loss_scaling = isinstance(optimizer, keras.optimizers.LossScaleOptimizer)
    if optimizer.loss_scale_factor is not None or loss_scaling:
        raise ConfigurationError(
            "this algorithm corrects gradients (FedProx, SCAFFOLD), which a loss-scaling optimizer would "
            "scale wrongly. Compile the model without loss scaling: auto_scale_loss=False and no "
            "loss_scale_factor."
        )


def averages_weights(optimizer: Any) -> bool:
    """Whether training ends with the weights' moving average in their place, as in `keras.Model.fit`."""
    return bool(getattr(getattr(optimizer, "inner_optimizer", optimizer), "use_ema", False))


def batch_of(examples: Examples, rows: Array) -> tuple[Any, Any, Array | None]:
    """Return features, labels and sample weights of these rows."""
    weight = None if examples.sample_weight is None else examples.sample_weight[rows]
    return map_arrays(examples.x, lambda a: a[rows]), map_arrays(examples.y, lambda a: a[rows]), weight

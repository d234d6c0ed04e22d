"""What Hansa needs to know of a Keras model, whatever the backend.

Private attributes of Keras are read here and in the three program files alone, and are
covered by the bridge's contract tests.
"""

from __future__ import annotations

import contextlib
import inspect
import random
from collections.abc import Callable, Iterator
from typing import Any

import keras
import numpy as np

from hansa.errors import ConfigurationError
from hansa.tree import Entry, Layout
from hansa.types import Array, Examples, first_array, map_arrays

_MEAN_REDUCTIONS = ("sum_over_batch_size", "mean", "mean_with_sample_weight")


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
    if type(model).train_step is not keras.Model.train_step:
        raise ConfigurationError(
            f"{type(model).__name__} overrides train_step, which Hansa replaces by its own compiled step. "
            "Override compute_loss instead, or bring the model in as a Learner."
        )
    return model


def complete(model: Any, examples: Examples, seed: int) -> list[tuple[int, ...]]:
    """Create every variable of the model, its optimizer and its metrics from two rows of data.

    Returns:
        The shape of one row of each output.

    Raises:
        ConfigurationError: If the model cannot take the data, or the loss cannot take the labels.
    """
    rows = examples.take(np.arange(min(2, len(examples))))
    shapes = map_arrays(rows.x, lambda a: (a.shape[1:], str(a.dtype)))
    try:
        with seeded(seed):
            x, y = map_arrays(rows.x, keras.ops.convert_to_tensor), map_arrays(rows.y, keras.ops.convert_to_tensor)
            y_pred = model(x, training=False)
            compute_loss(model, x, y, y_pred, None, training=False)
            model.compute_metrics(x, y, y_pred, None)
            model.optimizer.build(model.trainable_variables)
            model.reset_metrics()
    except Exception as error:
        raise ConfigurationError(
            f"the model does not match the data: features of one row are {shapes}, labels are "
            f"{map_arrays(rows.y, lambda a: (a.shape[1:], str(a.dtype)))}. Keras said: "
            f"{str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__}"
        ) from error
    if not model.trainable_variables:
        raise ConfigurationError("the model has no trainable weights; there is nothing to train.")
    return [tuple(output.shape[1:]) for output in keras.tree.flatten(y_pred)]


def check_labels(
    model: Any, outputs: list[tuple[int, ...]], label_range: tuple[float, float] | None
) -> str | None:
    """Return what is wrong with labels in this range for the model's loss, or None.

    Only the losses whose labels have a known range are checked.
    """
    if label_range is None or len(outputs) != 1 or not outputs[0]:
        return None
    low, high = label_range
    name = _loss_name(model)
    units = outputs[0][-1]
    if name == "sparse_categorical_crossentropy" and units and (low < 0 or high >= units or high % 1):
        return f"labels from {low:g} to {high:g} for a model with {units} classes; they must be 0 to {units - 1}"
    if name == "binary_crossentropy" and (low < 0 or high > 1):
        return f"labels from {low:g} to {high:g} for binary cross-entropy; they must be 0 or 1"
    return None


def weight_variables(model: Any) -> list[Any]:
    """Return the variables that travel, in order: floating-point weights, trainable or not."""
    return [v for v in model.weights if "float" in str(v.dtype)]


def seed_variables(model: Any) -> list[Any]:
    """Return the states of the model's random layers. They never travel."""
    return [v for v in model.variables if v.path.endswith("seed_generator_state")]


def layout_of(model: Any) -> Layout:
    """Return the layout of the model's travelling weights."""
    owners = {
        id(variable): type(layer).__name__
        for layer in model._flatten_layers(include_self=False)
        for variable in (*layer._trainable_variables, *layer._non_trainable_variables)
    }
    entries = []
    for position, variable in enumerate(weight_variables(model)):
        owner = owners.get(id(variable), "")
        entries.append(
            Entry(
                name="/".join(filter(None, (str(position), owner, variable.name))),
                shape=tuple(variable.shape),
                dtype=str(variable.dtype),
                trainable=bool(variable.trainable),
                layer=owner,
            )
        )
    return Layout(tuple(entries))


def pads(model: Any, outputs: int) -> bool:
    """Whether a short batch may be filled with rows of weight zero without changing the result.

    True for models whose rows do not influence one another and whose loss is a mean over
    rows. Others (batch normalisation, masks, add_loss, several outputs, overridden
    compute_loss) run short batches at their exact size.
    """
    layers = list(model._flatten_layers(include_self=True))
    mixes = any(isinstance(layer, (keras.layers.BatchNormalization, keras.layers.Masking)) for layer in layers)
    masks = any(getattr(layer, "mask_zero", False) for layer in layers)
    regularised = sum(v.regularizer is not None for v in model.trainable_weights)
    adds = any(getattr(layer, "activity_regularizer", None) for layer in layers) or len(model.losses) > regularised
    own = (
        type(model).compute_loss is not keras.Model.compute_loss
        or type(model).compute_metrics is not keras.Model.compute_metrics
    )
    reduction = getattr(model.loss, "reduction", "sum_over_batch_size")
    return not (mixes or masks or adds or own) and outputs == 1 and reduction in _MEAN_REDUCTIONS


def compute_loss(model: Any, x: Any, y: Any, y_pred: Any, weight: Any, *, training: bool) -> Any:
    """Return the model's whole loss, also where the user's compute_loss predates ``training``."""
    if "training" in inspect.signature(model.compute_loss).parameters:
        return model.compute_loss(x, y, y_pred, weight, training=training)
    return model.compute_loss(x, y, y_pred, weight)


def update_metrics(model: Any, x: Any, y: Any, y_pred: Any, weight: Any, mask: Any) -> None:
    """Update the compiled metrics with one batch; rows where ``mask`` is 0 do not count.

    ``mask`` None means that every row counts, and is Keras' own path.
    """
    if mask is None:
        model.compute_metrics(x, y, y_pred, weight)
        return
    compiled = model._compile_metrics
    if compiled is None:
        return
    labels, outputs = compiled._flatten_y(y), compiled._flatten_y(y_pred)
    weighted = mask if weight is None else weight * mask
    for metrics, rows in ((compiled._flat_metrics, mask), (compiled._flat_weighted_metrics, weighted)):
        for metric, label, output in zip(metrics, labels, outputs, strict=True):
            if metric:
                metric.update_state(label, output, rows)


def metric_results(model: Any) -> dict[str, float]:
    """Return the compiled metrics' current values by log name, without the loss."""
    results = {k: v for k, v in model.get_metrics_result().items() if k != "loss"}
    return {name: float(np.asarray(keras.ops.convert_to_numpy(value)).mean()) for name, value in results.items()}


def learning_rate_variable(optimizer: Any) -> Any | None:
    """Return the optimizer's learning-rate variable, or None if a schedule sets the rate."""
    rate = getattr(optimizer, "_learning_rate", None)
    return rate if isinstance(rate, keras.Variable) else None


def check_learning_rate(optimizer: Any, rate: float | None) -> None:
    """Raise `ConfigurationError` if a rate is given and the optimizer has a schedule."""
    if rate is not None and learning_rate_variable(optimizer) is None:
        raise ConfigurationError(
            "the client optimizer has a learning-rate schedule, so a callback cannot set its learning rate. "
            "Compile it with a number, or remove the callback."
        )


def check_correction(optimizer: Any) -> None:
    """Raise `ConfigurationError` where a corrected gradient would be scaled wrongly."""
    if optimizer.loss_scale_factor is not None or isinstance(optimizer, keras.optimizers.LossScaleOptimizer):
        raise ConfigurationError(
            "this algorithm corrects gradients (FedProx, SCAFFOLD), which a loss-scaling optimizer would scale "
            "wrongly. Compile the model without loss scaling."
        )


def batch_of(examples: Examples, rows: Array) -> tuple[Any, Any, Array | None]:
    """Return features, labels and sample weights of these rows."""
    weight = None if examples.sample_weight is None else examples.sample_weight[rows]
    return map_arrays(examples.x, lambda a: a[rows]), map_arrays(examples.y, lambda a: a[rows]), weight


def row_count(tree: Any) -> int:
    """Return the number of rows of a batch."""
    return int(first_array(tree).shape[0])


def _loss_name(model: Any) -> str:
    loss = model.loss
    name = loss if isinstance(loss, str) else getattr(loss, "name", None) or getattr(loss, "__name__", "")
    return str(name)

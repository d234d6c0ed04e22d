"""Whether short batches may be filled up, so that clients of different sizes share one compiled step.

A filled row has weight zero. That changes nothing where rows do not influence one another, the loss
is a mean over rows, and every metric honours weights. Code of the user's could break each of these,
so that only what Keras itself defines is trusted; other models run short batches at their exact size
(at most one compilation for each size up to the batch size).
"""

from __future__ import annotations

from typing import Any

import keras

_LEAST_BOUND = 256  # up to here all parties share one size
_MEANS = ("sum_over_batch_size", "mean", "mean_with_sample_weight")
_BATCH_LOSSES = ("dice", "tversky", "circle", "ctc")
_BATCH_LAYERS = (
    "Masking",
    "MixUp",
    "CutMix",
    "Lambda",
    "TorchModuleWrapper",
    "JaxLayer",
    "FlaxLayer",
    "TFSMLayer",
)


def pads(model: Any, outputs: list[tuple[int, ...]], *, training: bool) -> bool:
    """Return whether rows of weight zero change nothing.

    Args:
        model: A compiled model with all variables created.
        outputs: Shape of one row of each output.
        training: In training; otherwise in evaluation, where batch normalization uses its moving statistics.
    """
    layers = list(model._flatten_layers(include_self=True))
    return (
        len(outputs) == 1
        and len(outputs[0]) == 1
        and all(keeps_rows_apart(layer, training=training) for layer in layers)
        and len(flat_losses(model)) == 1
        and is_mean(flat_losses(model)[0])
        and all(_honours_weights(metric) for metric in _compiled_metrics(model))
    )


def padded_size(batch_size: int, *, rows: int) -> int:
    """Return the size to which a short batch of a party with so many rows is filled.

    It is the batch size, unless that is far above what the party has: then a power of two, so that neither
    the memory for rows that are not there, nor the number of sizes to compile, grows with the batch size.
    """
    return min(batch_size, max(_LEAST_BOUND, 1 << (rows - 1).bit_length()))


def flat_losses(model: Any) -> list[Any]:
    """Return the compiled losses, one for each output, as `keras.losses.Loss`."""
    compiled = model._compile_loss
    return [] if compiled is None else [entry.loss for entry in compiled._flat_losses or []]


def loss_name(loss: Any) -> str:
    """Return the name of the function that a loss computes, or that of its class."""
    return str(getattr(getattr(loss, "fn", None), "__name__", type(loss).__name__))


def keeps_rows_apart(layer: Any, *, training: bool) -> bool:
    """Return whether this is one of Keras' own layers in which rows do not influence one another."""
    if isinstance(layer, keras.Model):
        # Operations on tensors may reduce over the batch, so that a functional model must be layers alone.
        operations = layer.operations if hasattr(layer, "operations") else ()
        return _comes_with_keras(layer, "models") and all(
            isinstance(o, keras.layers.Layer) for o in operations
        )
    if not _comes_with_keras(layer, "layers") or type(layer).__name__ in _BATCH_LAYERS:
        return False
    if training and isinstance(layer, keras.layers.BatchNormalization):
        return False
    functions = (getattr(layer, name, None) for name in ("activation", "recurrent_activation"))
    return (
        all(f is None or _is_activation(f) for f in functions)
        and not _may_mean_rows(layer)
        and not getattr(layer, "mask_zero", False)
        and getattr(layer, "activity_regularizer", None) is None
    )


def _may_mean_rows(layer: Any) -> bool:
    """Whether an axis of a layer is that of rows, counted from either end, as far as that is known."""
    axes = [a for a in keras.tree.flatten(getattr(layer, "axis", None)) if a is not None]
    given = [t for node in getattr(layer, "_inbound_nodes", ()) for t in node.input_tensors]
    ranks = [len(t.shape) for t in given] or [2]  # at least the axis of rows and one more
    return any(axis == 0 or axis + min(ranks) <= 0 for axis in axes)


def is_mean(loss: Any) -> bool:
    """Return whether a loss is one of Keras' own and the mean over rows of each row's."""
    settings = getattr(loss, "_fn_kwargs", {})
    return (
        _comes_with_keras(loss, "losses")
        and _is_builtin(getattr(loss, "fn", None))
        and loss_name(loss) not in _BATCH_LOSSES
        and loss.reduction in _MEANS
        and settings.get("axis", -1) == -1
        and settings.get("ignore_class") is None
    )


def _honours_weights(metric: Any) -> bool:
    function = getattr(metric, "_fn", None)
    return (
        _comes_with_keras(metric, "metrics")
        and (function is None or _is_builtin(function))
        and not getattr(metric, "num_regressors", 0)
    )


def _compiled_metrics(model: Any) -> list[Any]:
    return [] if model._compile_metrics is None else model._compile_metrics.metrics


def _comes_with_keras(thing: Any, part: str) -> bool:
    return type(thing).__module__.startswith(f"keras.src.{part}")


def _is_activation(function: Any) -> bool:
    """Whether a function is one of Keras' activations. Others of its functions can mix rows: `flip` does."""
    module = str(getattr(function, "__module__", ""))
    return module.startswith(("keras.src.activations", "keras.src.ops.nn", "keras.src.layers"))


def _is_builtin(function: Any) -> bool:
    """Whether a function (or a callable object) is defined by Keras."""
    return str(getattr(function, "__module__", "")).startswith("keras.")

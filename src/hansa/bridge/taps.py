"""Which models' gradients of single examples follow from layers' inputs and outputs, and getting these."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, final

import keras
from keras import layers

from hansa.bridge.padding import flat_losses, is_mean, keeps_rows_apart
from hansa.bridge.per_example import Part
from hansa.bridge.tapped_layers import Tap, tap_of

ops: Any = keras.ops

Record = list[list[tuple[Any, Any]]]
"""By tap, and by call of its layer: what the layer was given, and its output before the activation."""


@final
class Taps:
    """All layers of a model that have trainable weights, where each of them has a `Tap`.

    Attributes:
        each: The taps.
    """

    def __init__(self, each: list[Tap], trainable: list[Any]) -> None:
        """Keep the taps and the model's trainable variables, in order."""
        self.each, self._trainable = each, trainable
        self._lock = threading.RLock()

    @contextmanager
    def recording(self, change: Callable[[int, Any], Any] = lambda _, z: z) -> Iterator[Record]:
        """Record what the layers are given and give while this thread runs the model inside.

        Layers have hooks for that time, which another thread that runs the model meanwhile passes by.

        Args:
            change: Of a tap's number and the layer's output before its activation, returns that to use.
        """
        record: Record = [[] for _ in self.each]
        with self._lock:
            for number, tap in enumerate(self.each):
                _hook(tap, record[number], lambda z, number=number: change(number, z))
            try:
                yield record
            finally:
                for tap in self.each:
                    _unhook(tap)

    def parts(self, inputs: list[Any], gradients: list[Any]) -> list[Part]:
        """Return the gradients of examples by each trainable variable, in the model's order."""
        found: dict[int, Part] = {}
        for tap, given, gradient in zip(self.each, inputs, gradients, strict=True):
            found.update(tap.parts(given, ops.cast(gradient, "float32")))
        return [found[id(v)] for v in self._trainable]


def taps_of(model: Any) -> Taps | None:
    """Return the model's taps, or None where gradients of examples have to be taken one by one.

    Examples must not influence one another, which is trusted of Keras' own layers alone, and the loss must be
    a mean over them. Whether each layer is called once, only running the model shows.
    """
    every = model._flatten_layers(include_self=True)
    losses = flat_losses(model)
    apart = (
        type(model).compute_loss is keras.Model.compute_loss
        and all(keeps_rows_apart(layer, training=True) for layer in every)
        and losses
        and all(is_mean(loss) and loss.reduction != "mean_with_sample_weight" for loss in losses)
    )
    if not apart:
        return None
    trainable = list(model.trainable_variables)
    found = [tap_of(layer) for layer in _leaves(model) if layer.trainable_variables]
    taps = [tap for tap in found if tap is not None]
    owned = sorted(id(v) for tap in taps for v in tap.layer.trainable_variables)
    # Else there is a layer of another kind, or one that holds others, or weights that two layers share.
    known = len(taps) == len(found) and owned == sorted(map(id, trainable))
    return Taps(taps, trainable) if known else None


def _leaves(model: Any) -> Iterator[Any]:
    for layer in model.layers:
        if isinstance(layer, keras.Model):
            yield from _leaves(layer)
        elif type(layer) is layers.MultiHeadAttention:
            yield from layer._flatten_layers(include_self=False)
        else:
            yield layer


def _hook(tap: Tap, calls: list[tuple[Any, Any]], change: Callable[[Any], Any]) -> None:
    """Set functions in place of the layer's own ``call`` and ``activation``."""
    layer, thread, held = tap.layer, threading.get_ident(), []
    own: Any = layer.call
    activation: Any = getattr(layer, "activation", None)

    def call(inputs: Any, *args: Any, **kwargs: Any) -> Any:
        if threading.get_ident() != thread:
            return own(inputs, *args, **kwargs)
        held[:] = [inputs]
        outputs = own(inputs, *args, **kwargs)
        return outputs if activation is not None else taken(outputs)

    def activated(outputs: Any) -> Any:
        return activation(taken(outputs) if threading.get_ident() == thread else outputs)

    def taken(outputs: Any) -> Any:
        changed = change(outputs)
        calls.append((held.pop(), changed))
        return changed

    # Written past Keras, which would track them.
    vars(layer)["call"] = call
    if activation is not None:
        vars(layer).update(activation=activated, _hansa_activation=activation)


def _unhook(tap: Tap) -> None:
    kept = vars(tap.layer)
    kept.pop("call", None)
    if "_hansa_activation" in kept:
        kept["activation"] = kept.pop("_hansa_activation")

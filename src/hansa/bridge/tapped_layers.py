"""Layers whose gradients of single examples follow from their inputs and output gradients."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, final

import keras
from keras import layers

from hansa.bridge.per_example import Lookup, Part, Whole, narrowed, product

ops: Any = keras.ops

Parts = Mapping[int, Part]
_Gradients = Callable[[Any, Any], Parts]


@final
@dataclass(frozen=True)
class Tap:
    """A layer and how gradients of single examples by its weights follow.

    Attributes:
        layer: The layer.
        parts: Gives the gradients by each variable, by the variable's id, of the layer's input and the
            gradient by its output before the activation, float32.
        whole: Numbers of an example's gradient that are held, at most.
    """

    layer: Any
    parts: _Gradients
    whole: int


def tap_of(layer: Any) -> Tap | None:
    """Return a layer's tap, or None where there is none."""
    make = _KINDS.get(type(layer))
    adapted = getattr(layer, "quantization_mode", None) or getattr(layer, "lora_enabled", False)
    if make is None or adapted or "call" in vars(layer) or layer._remat_mode is not None:
        return None
    parts = make(layer)
    flat = type(layer) is layers.Dense
    held = sum(math.prod(v.shape) for v in layer.trainable_variables if not flat or len(v.shape) < 2)
    return None if parts is None else Tap(layer, parts, held)


def _dense(layer: Any) -> _Gradients:
    def parts(a: Any, g: Any) -> Parts:
        return {**_kernel(layer, _flat(a), _flat(g)), **_bias(layer, g)}

    return parts


def _einsum(layer: Any) -> _Gradients | None:
    """Return gradients where the equation is a product of matrices at each of some places, in order."""
    sides = layer.equation.replace(" ", "").replace("->", ",").split(",")
    if "." in layer.equation or len(sides) != 3:
        return None
    given, kernel, result = sides
    contracted, new = (tuple(c for c in side if c in kernel) for side in (given, result))
    places = given[: len(given) - len(contracted)]
    expected = ("".join((places, *contracted)), "".join((*contracted, *new)), "".join((places, *new)))
    if not places or expected != (given, kernel, result):
        return None

    def parts(a: Any, g: Any) -> Parts:
        p = math.prod(layer._kernel.shape[: len(contracted)])
        q = math.prod(layer._kernel.shape[len(contracted) :])
        flat = [_flat(_joined(t, len(places), size)) for t, size in ((a, p), (g, q))]
        return {**_kernel(layer, *flat), **_bias(layer, g)}

    return parts


def _convolution(layer: Any) -> _Gradients | None:
    if layer.groups != 1:
        return None

    def parts(a: Any, g: Any) -> Parts:
        if layer.data_format == "channels_first":
            a, g = ops.moveaxis(a, 1, -1), ops.moveaxis(g, 1, -1)
        return {**_kernel(layer, _flat(_patches(layer, a)), _flat(g)), **_bias(layer, g)}

    return parts


def _embedding(layer: Any) -> _Gradients:
    def parts(a: Any, g: Any) -> Parts:
        ids = _flat(ops.cast(a, "int32")[..., None])[..., 0]
        return {id(layer._embeddings): Lookup(ids, _flat(g), layer.input_dim)}

    return parts


def _normalization(layer: Any) -> _Gradients:
    axes = layer.axis if isinstance(layer.axis, (list, tuple)) else [layer.axis]
    scale = layer.scale if type(layer) is layers.RMSNormalization else layer.gamma
    shift = getattr(layer, "beta", None)

    def parts(a: Any, g: Any) -> Parts:
        here = {axis % len(g.shape) for axis in axes}
        others = tuple(i for i in range(1, len(g.shape)) if i not in here)
        found: dict[int, Part] = {}
        if shift is not None:
            found[id(shift)] = Whole(ops.sum(g, others) if others else g)
        if scale is not None:
            plain = [(scale, ops.ones(scale.shape, scale.dtype))]
            plain += [] if shift is None else [(shift, ops.zeros(shift.shape, shift.dtype))]
            with keras.StatelessScope(state_mapping=plain):
                normal = g * ops.cast(layer.call(a), "float32")
            found[id(scale)] = Whole(ops.sum(normal, others) if others else normal)
        return found

    return parts


_KINDS: dict[Any, Callable[[Any], _Gradients | None]] = {
    layers.Dense: _dense,
    layers.EinsumDense: _einsum,
    layers.Conv1D: _convolution,
    layers.Conv2D: _convolution,
    layers.Conv3D: _convolution,
    layers.Embedding: _embedding,
    layers.LayerNormalization: _normalization,
    layers.GroupNormalization: _normalization,
    layers.RMSNormalization: _normalization,
}


def _kernel(layer: Any, a: Any, g: Any) -> Parts:
    return {id(layer._kernel): product(ops.cast(a, "float32"), g, tuple(layer._kernel.shape))}


def _bias(layer: Any, g: Any) -> Parts:
    return {} if layer.bias is None else {id(layer.bias): Whole(narrowed(g, tuple(layer.bias.shape)))}


def _joined(values: Any, first: int, size: int) -> Any:
    """Return the values with all axes from the first on as one of this size."""
    shape = ops.shape(values)
    return ops.reshape(values, (*shape[:first], size))


def _flat(values: Any) -> Any:
    """Return values of shape ``(rows, ..., n)`` as ``(rows, places, n)``."""
    if len(values.shape) == 2:
        return values[:, None]
    middle = values.shape[1:-1]
    places = -1 if None in middle else math.prod(middle)
    return ops.reshape(values, (ops.shape(values)[0], places, values.shape[-1]))


def _patches(layer: Any, inputs: Any) -> Any:
    """Return what each place of a convolution's output is made of, shape ``(rows, *places, n)``."""
    starts, counts, pads = [], [], [(0, 0)]
    sizes = zip(inputs.shape[1:-1], layer.kernel_size, layer.strides, layer.dilation_rate, strict=True)
    for size, kernel, stride, dilation in sizes:
        reach = (kernel - 1) * dilation + 1
        before, after = (reach - 1, 0) if layer.padding == "causal" else (0, 0)
        if layer.padding == "same":
            missing = max((-(-size // stride) - 1) * stride + reach - size, 0)
            before, after = missing // 2, missing - missing // 2
        pads.append((before, after))
        counts.append((size + before + after - reach) // stride + 1)
        starts.append([k * dilation for k in range(kernel)])
    padded = ops.pad(inputs, [*pads, (0, 0)]) if any(map(any, pads)) else inputs
    cut = []
    for corner in itertools.product(*starts):
        inside = zip(corner, counts, layer.strides, strict=True)
        spans = (slice(first, first + (count - 1) * step + 1, step) for first, count, step in inside)
        cut.append(padded[(slice(None), *spans)])
    patches = ops.stack(cut, -2)
    return ops.reshape(patches, (ops.shape(patches)[0], *counts, len(cut) * inputs.shape[-1]))

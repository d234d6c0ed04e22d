"""Gradients of single examples, of which only norms and weighted sums are ever needed.

A layer's gradient of one example follows from what the layer was given and from the gradient of the
example's loss by what the layer gave. For many layers its norm is found without the gradient itself: for a
dense layer it is the product of two vectors' norms (Goodfellow 2015), over a sequence a sum over pairs of
places (Li et al. 2022); and the weighted sum over examples is one product of matrices (Bu et al. 2023). So
clipping costs about as much as a plain step.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Protocol, final

import keras

ops: Any = keras.ops

_UNIT = 2.0**-24  # most that float32 rounds a number by, against its size
_LOST = 2.0**-126  # most that a square may be which float32 takes for zero


class Part(Protocol):
    """The gradients of a minibatch's examples by one variable."""

    def squares(self) -> Any:
        """Return each example's squared norm, float32, shape ``(rows,)``."""
        ...

    def total(self, factors: Any) -> Any:
        """Return the sum over examples, each times its factor; one of factor 0 is left out, NaN or not."""
        ...


@final
@dataclass(frozen=True)
class Whole:
    """Gradients as they are, shape ``(rows, *variable)``."""

    values: Any

    def squares(self) -> Any:
        """Return each example's squared norm."""
        return _squares(self.values)

    def total(self, factors: Any) -> Any:
        """Return the weighted sum."""
        shape = self.values.shape[1:]
        values = ops.reshape(_kept(factors, self.values), (-1, math.prod(shape)))
        return ops.reshape(ops.matmul(factors[None], values), shape)


@final
@dataclass(frozen=True)
class Outer:
    """Gradients that are products of inputs, ``(rows, p)``, and output gradients, ``(rows, q)``.

    With ``(rows, places, p)`` and ``(rows, places, q)`` they are sums of products over the places.
    """

    inputs: Any
    outputs: Any
    shape: tuple[int, ...]

    def squares(self) -> Any:
        """Return each example's squared norm, over places not below what it is in exact arithmetic."""
        if len(self.inputs.shape) == 2:
            # Inputs whose squares are lost may meet outputs as large as theirs are small.
            return _not_below(self.inputs) * _not_below(self.outputs)
        pairs = _pairs(self.inputs) * _pairs(self.outputs)
        rounding = _rounding(self.inputs.shape[-1] + self.outputs.shape[-1], self.inputs)
        sizes = ops.sqrt(_not_below(self.inputs, rounding) * _not_below(self.outputs, rounding))
        return ops.maximum(ops.sum(pairs, (1, 2)), 0.0) + rounding * ops.sum(sizes, 1) ** 2

    def total(self, factors: Any) -> Any:
        """Return the weighted sum."""
        inputs = ops.reshape(_kept(factors, self.inputs), (-1, self.inputs.shape[-1]))
        weighted = _kept(factors, self.outputs) * _beside(factors, self.outputs)
        outputs = ops.reshape(weighted, (-1, self.outputs.shape[-1]))
        return ops.reshape(ops.matmul(ops.transpose(inputs), outputs), self.shape)


@final
@dataclass(frozen=True)
class Lookup:
    """Gradients of a table, of which ``ids``, shape ``(rows, places)``, were looked up."""

    ids: Any
    outputs: Any
    entries: int

    def squares(self) -> Any:
        """Return each example's squared norm, not below what it is in exact arithmetic."""
        if self.ids.shape[1] == 1:
            return _squares(self.outputs)
        same = ops.cast(self.ids[:, :, None] == self.ids[:, None], "float32")
        rounding = _rounding(self.outputs.shape[-1], self.outputs)
        sizes = ops.sqrt(_not_below(self.outputs, rounding))
        return ops.maximum(ops.sum(same * _pairs(self.outputs), (1, 2)), 0.0) + rounding * ops.sum(
            ops.matmul(same, sizes[..., None])[..., 0] * sizes, 1
        )

    def total(self, factors: Any) -> Any:
        """Return the weighted sum."""
        weighted = _kept(factors, self.outputs) * _beside(factors, self.outputs)
        values = ops.reshape(weighted, (-1, self.outputs.shape[-1]))
        return ops.segment_sum(values, ops.reshape(self.ids, (-1,)), num_segments=self.entries)


def product(inputs: Any, outputs: Any, shape: tuple[int, ...]) -> Part:
    """Return gradients that are sums of products over places, in the form that costs less.

    Args:
        inputs: Shape ``(rows, places, p)``.
        outputs: Gradients by outputs, shape ``(rows, places, q)``.
        shape: The variable's shape, of ``p * q`` numbers.
    """
    places, p, q = inputs.shape[1], inputs.shape[2], outputs.shape[2]
    if places == 1:
        return Outer(inputs[:, 0], outputs[:, 0], shape)
    if places is not None and 2 * places**2 <= p * q:
        return Outer(inputs, outputs, shape)
    values = ops.matmul(ops.transpose(inputs, (0, 2, 1)), outputs)
    return Whole(ops.reshape(values, (-1, *shape)))


def narrowed(values: Any, shape: tuple[int, ...]) -> Any:
    """Return gradients by a variable of this shape, which was spread over the axes that values have beside.

    Args:
        values: Shape ``(rows, ...)``, the last axes those of the variable or wider.
        shape: The variable's shape.
    """
    extra = len(values.shape) - 1 - len(shape)
    wide = [1 + extra + i for i, size in enumerate(shape) if size == 1 and values.shape[1 + extra + i] != 1]
    if wide:
        values = ops.sum(values, wide, keepdims=True)
    return ops.sum(values, tuple(range(1, 1 + extra))) if extra else values


def clip_factors(squares: Any, clip: Any, counts: Any) -> tuple[Any, Any]:
    """Return what shortens each example's gradient to the clip, and how many examples were left out.

    An example whose gradient's norm is not finite gets 0, as does one that does not count.

    Args:
        squares: Squared norms of the gradients, shape ``(rows,)``.
        clip: Norm that gradients are shortened to.
        counts: 1.0 for examples that count and 0.0 for those that fill a minibatch up, shape ``(rows,)``.
    """
    usable = ops.logical_and(ops.isfinite(squares), counts > 0)
    norms = ops.sqrt(ops.where(usable, ops.maximum(squares, 1e-30), 1.0))
    factors = ops.where(usable, ops.minimum(clip / norms, 1.0), 0.0)
    return factors, ops.sum(counts) - ops.sum(ops.cast(usable, "float32"))


def whole_sum(gradients: list[Any], clip: Any, counts: Any) -> list[Any]:
    """Return the sum of clipped gradients that are given as they are, variable by variable."""
    parts = [Whole(ops.cast(gradient, "float32")) for gradient in gradients]
    return clipped_sum(parts, clip, counts)


def clipped_sum(parts: list[Any], clip: Any, counts: Any) -> list[Any]:
    """Return the sum over examples of gradients shortened to the clip, variable by variable."""
    squares = sum(part.squares() for part in parts)
    factors, _ = clip_factors(squares, clip, counts)
    return [part.total(factors) for part in parts]


def _squares(values: Any) -> Any:
    return ops.sum(values**2, tuple(range(1, len(values.shape))))


def _not_below(values: Any, share: Any = 1.0) -> Any:
    """Return squared norms over the last axis, and what may be lost of its squares, over a share."""
    return ops.sum(values**2, -1) + values.shape[-1] * _LOST / share


def _rounding(added: int, places: Any) -> Any:
    """Return how far a sum over pairs of places may be off, against the sum of its parts' sizes.

    Products of vectors round by their length at most, in whatever order they are added up; sums over pairs
    are of rows of places, and of the rows. (Higham 2002, Accuracy and Stability, section 3.1.)

    Args:
        added: Length of both vectors of a pair, together.
        places: What has the places, shape ``(rows, places, ...)``.
    """
    count = places.shape[1]
    if count is None:
        count = ops.cast(ops.shape(places)[1], "float32")
    return _UNIT * (added + 2 * count + 16)


def _pairs(values: Any) -> Any:
    return ops.matmul(values, ops.transpose(values, (0, 2, 1)))


def _beside(factors: Any, values: Any) -> Any:
    return ops.reshape(factors, (-1, *[1] * (len(values.shape) - 1)))


def _kept(factors: Any, values: Any) -> Any:
    """Return the values with zeros for examples of factor 0: zero times NaN would be NaN."""
    return ops.where(_beside(factors, values) > 0, values, keras.ops.zeros((), values.dtype))

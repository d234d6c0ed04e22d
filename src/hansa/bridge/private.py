"""What private training steps (DP-SGD) are on every backend: what they refuse, and how minibatches are cut.

In a step (Abadi et al., 2016, algorithm 1) every example's gradient is shortened to a norm, they are added
up, noise is added to the sum, and the sum is divided by the expected number of examples. The rest of a step,
the compiled optimizer with its own clipping, momentum and weight decay and the algorithm's correction of
gradients, sees only that.

Guarantees:
    An example's gradient is that of the model's loss on a minibatch of this example alone, its weight
    included, shortened afterwards, so that no weight breaks the bound. An example whose gradient is not
    finite is left out; the loss that is told shows it where it is not finite either.

    Regularisation of weights does not depend on examples: its gradient is added after the noise.

    Weights that are not trained (moving statistics) stay as they are, so that no example gets into them.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import keras
import numpy as np

from hansa.bridge.taps import Taps
from hansa.errors import ConfigurationError
from hansa.types import Array, LocalTask, PrivateSteps

HELD_NUMBERS = 1 << 26  # of gradients that are held at once, where the task does not say how many
_MOST_ROWS, _LEAST_ROWS = 512, 16
_MOST_ALONE = 64  # rows whose gradients are held whole


class Held:
    """A setting of the whole process that has one value while any thread needs it."""

    def __init__(self, read: Callable[[], Any], write: Callable[[Any], None], value: Any) -> None:
        """Take what reads and what writes the setting, and its value."""
        self._read, self._write, self._value = read, write, value
        self._lock, self._needed, self._before = threading.Lock(), 0, value

    @contextmanager
    def __call__(self) -> Iterator[None]:
        """Hold it; the last thread to leave puts it back."""
        with self._lock:
            if not self._needed:
                self._before = self._read()
                self._put(self._value)
            self._needed += 1
        try:
            yield
        finally:
            with self._lock:
                self._needed -= 1
                if not self._needed:
                    self._put(self._before)

    def _put(self, value: Any) -> None:
        if self._before != self._value:
            self._write(value)


class Micro(NamedTuple):
    """A part of a minibatch that is worked on at once.

    Attributes:
        rows: Which rows it has; maybe none.
        ends: Whether the minibatch ends with it.
    """

    rows: Array
    ends: bool


def why_not_private(model: Any) -> str | None:
    """Return why a compiled model cannot take private steps, or None."""
    for layer in model._flatten_layers():
        if isinstance(layer, keras.layers.BatchNormalization) and layer.trainable:
            return (
                f"layer {layer.name!r} is batch normalization, in which the examples of a minibatch "
                "influence one another, so that no single example's influence can be bounded. Use "
                "LayerNormalization or GroupNormalization in its place, or set trainable=False on it."
            )
    optimizer = model.optimizer
    scales = isinstance(optimizer, keras.optimizers.LossScaleOptimizer)
    if scales or optimizer.loss_scale_factor is not None:
        return (
            "its optimizer scales the loss, and with it what is clipped. Compile the model with "
            "auto_scale_loss=False and no loss_scale_factor."
        )
    return None


def check_private(model: Any) -> None:
    """Raise `ConfigurationError` where a compiled model cannot take private steps."""
    reason = why_not_private(model)
    if reason is not None:
        raise ConfigurationError(f"the model cannot be trained with privacy of records: {reason}")


def steps_of(task: LocalTask) -> PrivateSteps:
    """Return what makes a task's steps private.

    Raises:
        ConfigurationError: If the task takes no steps, or its numbers are out of range.
    """
    private = task.private
    if private is None or task.kind != "train":
        raise ConfigurationError(
            "privacy of records is added in training steps; an algorithm whose clients send one gradient "
            "takes none. Use FedAvg with steps=1."
        )
    positive = {"clip_l2": private.clip_l2, "expected": private.expected}
    for name, value in positive.items():
        if not (0 < value < math.inf):
            raise ConfigurationError(f"{name} of private steps must be above 0, got {value!r}.")
    if not (0 <= private.noise < math.inf):
        raise ConfigurationError(f"noise of private steps must be 0 or more, got {private.noise!r}.")
    if private.microbatch is not None and private.microbatch < 1:
        raise ConfigurationError(f"microbatch must be 1 or more, got {private.microbatch!r}.")
    return private


def most_rows(model: Any, taps: Taps | None, private: PrivateSteps) -> int:
    """Return how many rows are worked on at once, at most."""
    if private.microbatch is not None:
        return private.microbatch
    held = sum(math.prod(v.shape) for v in model.trainable_variables)
    held = held if taps is None else sum(tap.whole for tap in taps.each)
    return max(1, min(_MOST_ALONE if taps is None else _MOST_ROWS, HELD_NUMBERS // max(held, 1)))


def width_of(longest: int, most: int) -> int:
    """Return the number of rows that microbatches are filled up to, one of few, so that little is compiled.

    Example:
        >>> [width_of(n, 512) for n in (0, 3, 100, 256, 270, 800)]
        [16, 16, 112, 256, 320, 448]
    """
    if longest > most:
        longest = -(-longest // -(-longest // most))  # parts of about one size
    longest = max(longest, _LEAST_ROWS)
    step = (1 << (longest - 1).bit_length()) // 8
    return min(most, -(-longest // step) * step)


def micros(task: LocalTask, width: int) -> Iterator[Micro]:
    """Cut a task's minibatches into parts of so many rows at most; an empty one is one part without rows."""
    for batch in task.batches:
        for first in range(0, max(len(batch), 1), width):
            yield Micro(batch[first : first + width], first + width >= len(batch))


def filled(rows: Array, width: int) -> Array:
    """Return so many row numbers: these, then the first of them again, or 0 where there is none."""
    every = np.full(width, rows[0] if len(rows) else 0)
    every[: len(rows)] = rows
    return every

"""The layout of a model's weights in one flat float32 vector, and back.

Between training and the server step an update is one vector. Privacy, sealing and proofs
therefore see only vectors, and work for any model, Keras or not.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from hansa.errors import ConfigurationError, UpdateError
from hansa.types import Array, FloatVector


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One variable of a model.

    Attributes:
        name: Stable name: position, owning layer's class and variable name (``"0/Dense/kernel"``).
        shape: Its shape.
        dtype: Its dtype on the client (``"float32"``, ``"bfloat16"``); in the vector it is float32.
        trainable: Whether gradients change it. Moving statistics are not trainable, and travel.
        layer: Class name of the owning layer (``"BatchNormalization"``), or ``""``.
    """

    name: str
    shape: tuple[int, ...]
    dtype: str = "float32"
    trainable: bool = True
    layer: str = ""

    @property
    def size(self) -> int:
        """Number of scalars."""
        return int(np.prod(self.shape, dtype=np.int64))


@dataclass(frozen=True)
class Layout:
    """The order, shapes and offsets of the variables in the flat vector.

    Guarantees:
        ``flatten(unflatten(v)) == v`` bit for bit, for every vector of the right size.

    Example:
        >>> kernel = Entry(name="0/Dense/kernel", shape=(2, 1))
        >>> layout = Layout((kernel, Entry(name="1/Dense/bias", shape=(1,))))
        >>> [a.tolist() for a in layout.unflatten(np.arange(3, dtype="float32"))]
        [[[0.0], [1.0]], [2.0]]

    Attributes:
        entries: The variables in order.
    """

    entries: tuple[Entry, ...]

    @cached_property
    def offsets(self) -> tuple[int, ...]:
        """Position of each entry's first scalar, and at the end the size of the vector."""
        return tuple(int(o) for o in np.cumsum([0, *(e.size for e in self.entries)]))

    @property
    def size(self) -> int:
        """Number of scalars in the vector."""
        return self.offsets[-1]

    @cached_property
    def hash(self) -> str:
        """SHA-256 of names, shapes, dtypes and roles, hexadecimal: the same anywhere."""
        facts = [[e.name, list(e.shape), e.dtype, e.trainable] for e in self.entries]
        return hashlib.sha256(json.dumps(facts).encode()).hexdigest()

    def describe(self) -> list[dict[str, Any]]:
        """Return the variables in order, for the run's configuration."""
        return [dataclasses.asdict(entry) for entry in self.entries]

    def flatten(self, arrays: Sequence[Any]) -> FloatVector:
        """Return one float32 vector of these arrays.

        Raises:
            UpdateError: If the number of arrays or a shape differs from the layout's.
        """
        if len(arrays) != len(self.entries):
            raise UpdateError(f"expected {len(self.entries)} arrays, got {len(arrays)}.")
        vector = np.empty(self.size, np.float32)
        for entry, start, array in zip(self.entries, self.offsets, arrays, strict=False):
            values = np.asarray(array)
            if values.shape != entry.shape:
                raise UpdateError(f"{entry.name}: expected shape {entry.shape}, got {values.shape}.")
            vector[start : start + entry.size] = values.reshape(-1)
        return vector

    def unflatten(self, vector: Array) -> list[Array]:
        """Return the arrays in a vector, as views of it where the dtype allows."""
        self.check(vector)
        return [
            vector[start : start + entry.size].reshape(entry.shape)
            for entry, start in zip(self.entries, self.offsets, strict=False)
        ]

    def check(self, vector: Array) -> None:
        """Raise `UpdateError` unless this is a vector of the layout's size."""
        if vector.shape != (self.size,):
            raise UpdateError(
                f"expected a flat vector of {self.size} scalars ({len(self.entries)} variables), got shape "
                f"{vector.shape}. Do all clients build the same model?"
            )

    def mask(self, chosen: Callable[[Entry], bool]) -> Array:
        """Return a boolean vector that is True at the scalars of the chosen entries."""
        picked = np.array([bool(chosen(e)) for e in self.entries], bool)
        return np.repeat(picked, np.array([e.size for e in self.entries], np.int64))

    def select(self, chosen: Callable[[Entry], bool]) -> Layout:
        """Return the layout of the chosen entries alone, in their order."""
        return Layout(tuple(e for e in self.entries if chosen(e)))


def flat_weights(value: Any, layout: Layout) -> FloatVector:
    """Return given weights as one vector: a flat vector, or a list of arrays in the layout's order.

    Raises:
        ConfigurationError: If they do not fit the layout or are not finite.
    """
    try:
        with np.errstate(over="ignore"):  # told below
            if isinstance(value, np.ndarray) and value.ndim == 1:
                layout.check(value)
                vector = value.astype(np.float32)
            else:
                vector = layout.flatten(list(value))
    except (UpdateError, TypeError, ValueError) as error:
        raise ConfigurationError(
            f"initial weights do not fit the model: {error} Give one flat vector of {layout.size} numbers, "
            f"or a list of {len(layout.entries)} arrays in the model's order."
        ) from error
    if not np.isfinite(vector).all():
        raise ConfigurationError("initial weights must be finite; they hold NaN or infinity.")
    return vector


def vector_hash(vector: Array) -> str:
    """Return the SHA-256 of a float32 vector's little-endian bytes, hexadecimal."""
    return hashlib.sha256(np.ascontiguousarray(vector, dtype="<f4").data).hexdigest()

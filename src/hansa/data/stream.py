"""Rows that come in batches: tf.data, keras.utils.PyDataset, or a function that gives an iterator.

Recognised by what they can do, so that this file imports neither TensorFlow nor Keras.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import KW_ONLY, dataclass
from typing import Any

import numpy as np

from hansa.data.describe import describe_callable
from hansa.data.sources import as_examples, named_arrays
from hansa.errors import ConfigurationError, DataError
from hansa.types import Examples, first_array

_INFINITE_CARDINALITY = -1  # tf.data.INFINITE_CARDINALITY


@dataclass(frozen=True, eq=False)
class Stream:
    """Rows that are read batch by batch and then held in memory.

    Every load must give the same rows in the same order: a stream that shuffles differently
    each time gives another split each time. Shuffling is done in training; leave it out here.

    Attributes:
        data: A finite ``tf.data.Dataset``, a ``keras.utils.PyDataset``, any object that can be
            iterated more than once, or a function without arguments that returns an iterator. Its
            batches are ``(x, y)`` or ``(x, y, sample_weight)``.
        max_examples: Refuse a stream of more rows than this.

    Raises:
        ConfigurationError: ``data`` is a generator that can be consumed only once, or not a stream.

    Example:
        >>> def batches():
        ...     for start in (0, 2):
        ...         yield np.arange(start, start + 2.0)[:, None], np.array([0, 1])
        >>> len(Stream(batches).load())
        4
    """

    data: Any
    _: KW_ONLY
    max_examples: int = 10_000_000

    def __post_init__(self) -> None:
        if isinstance(self.data, Iterator):
            raise ConfigurationError(
                f"the stream is a {type(self.data).__name__} object, which can be read only once. "
                "Pass the function that makes it, without calling it: Stream(batches), not Stream(batches())."
            )
        if isinstance(self.data, (str, bytes, dict)) or not (
            callable(self.data) or _is_py_dataset(self.data) or isinstance(self.data, Iterable)
        ):
            raise ConfigurationError(
                f"cannot read batches from a {type(self.data).__name__}. Expected a tf.data.Dataset, a "
                "keras.utils.PyDataset, or a function that returns an iterator of (x, y) batches."
            )
        if isinstance(self.max_examples, bool) or self.max_examples < 1:
            raise ConfigurationError(f"max_examples must be 1 or more, got {self.max_examples!r}.")

    def load(self) -> Examples:
        """Read every batch and return the rows.

        Raises:
            DataError: The stream is endless, empty, or its batches do not fit together.
        """
        parts: list[tuple[Any, ...]] = []
        count = 0
        for number, batch in enumerate(_batches(self.data)):
            parts.append(_checked_batch(batch, number, first=parts[0] if parts else None))
            count += max(1, len(first_array(parts[-1][0])))  # empty batches count, so that the loop ends
            if count > self.max_examples:
                raise DataError(
                    f"the stream gave more than max_examples={self.max_examples} rows and may be endless. "
                    "Make it finite (Dataset.take, num_batches), or raise max_examples."
                )
        if not parts:
            raise DataError(
                "the stream gave no batches. A function must return a new iterator at every call."
            )
        x, y, *weight = (_joined([part[i] for part in parts]) for i in range(len(parts[0])))
        return as_examples(x, y, sample_weight=weight[0] if weight else None)

    def describe(self) -> dict[str, Any]:
        """Return the qualified name of the stream; its rows are not read and not hashed."""
        return {"kind": "stream", "data": describe_callable(self.data), "max_examples": self.max_examples}


def _is_py_dataset(data: Any) -> bool:
    return hasattr(type(data), "num_batches")


def _batches(data: Any) -> Iterable[Any]:
    if _is_py_dataset(data):
        try:
            count = data.num_batches
        except NotImplementedError:
            count = None
        if count is None:
            raise DataError("the PyDataset has no end (num_batches is None or missing). Give it a __len__.")
        return (data[i] for i in range(int(count)))
    if hasattr(data, "cardinality"):  # tf.data.Dataset
        if int(data.cardinality()) == _INFINITE_CARDINALITY:
            raise DataError("the tf.data.Dataset is endless. Remove repeat(), or end it with take(n).")
        return data
    if callable(data):
        found = data()
        if not isinstance(found, Iterable):
            raise DataError(
                f"the stream's function returned a {type(found).__name__}, not an iterator of batches."
            )
        return found
    return data


def _checked_batch(batch: Any, number: int, *, first: tuple[Any, ...] | None) -> tuple[Any, ...]:
    if not isinstance(batch, (tuple, list)) or len(batch) not in (2, 3):
        size = f" of {len(batch)} parts" if isinstance(batch, (tuple, list)) else ""
        raise DataError(
            f"batch {number} is a {type(batch).__name__}{size}; "
            "expected a tuple (x, y) or (x, y, sample_weight)."
        )
    try:
        examples = as_examples(batch[0], batch[1], sample_weight=batch[2] if len(batch) == 3 else None)
    except DataError as error:
        raise DataError(f"batch {number}: {error}") from error
    part = (examples.x, examples.y, examples.sample_weight)[: len(batch)]
    if first is not None and _shape(part) != _shape(first):
        raise DataError(
            f"batch {number} has rows of the form {_shape(part)}, the first batch {_shape(first)}; "
            "all batches must have the same parts, names and row shapes."
        )
    return part


def _shape(part: tuple[Any, ...]) -> dict[str, tuple[int, ...]]:
    return {name: array.shape[1:] for name, array in named_arrays(part, "batch")}


def _joined(parts: list[Any]) -> Any:
    first = parts[0]
    if isinstance(first, dict):
        return {key: _joined([part[key] for part in parts]) for key in first}
    if isinstance(first, tuple):
        return tuple(_joined([part[i] for part in parts]) for i in range(len(first)))
    return np.concatenate(parts)

"""The frozen values that stages hand to one another. No logic beyond reading them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
FloatVector = NDArray[np.float32]
Metrics = Mapping[str, float]
Memory = Mapping[str, Array]
"""What a client keeps from round to round, by name: control variates, personal layers, positions."""


@dataclass(frozen=True, kw_only=True)
class Examples:
    """Rows of one party's data.

    Attributes:
        x: Features: one array of shape ``(n, ...)``, or a dict or tuple of such arrays.
        y: Labels, shape ``(n, ...)``, or a dict or tuple of such arrays.
        sample_weight: Weight of each row in the loss, shape ``(n,)``, or None for equal weights.
        columns: Names of the features along the last axis of ``x``, where they have names.
    """

    x: Any
    y: Any
    sample_weight: Array | None = None
    columns: tuple[str, ...] | None = None

    def __len__(self) -> int:
        return len(first_array(self.x))

    def take(self, rows: Array) -> Examples:
        """Return the rows with these indices (or True in a boolean mask), in their order."""
        return Examples(
            x=map_arrays(self.x, lambda a: a[rows]),
            y=map_arrays(self.y, lambda a: a[rows]),
            sample_weight=None if self.sample_weight is None else self.sample_weight[rows],
            columns=self.columns,
        )


def first_array(tree: Any) -> Array:
    """Return the first array of an array, dict or tuple."""
    if isinstance(tree, dict):
        return first_array(next(iter(tree.values())))
    return first_array(tree[0]) if isinstance(tree, (tuple, list)) else tree


def map_arrays(tree: Any, function: Any) -> Any:
    """Apply a function to every array of an array, dict or tuple, keeping its structure."""
    if isinstance(tree, dict):
        return {key: map_arrays(value, function) for key, value in tree.items()}
    if isinstance(tree, (tuple, list)):
        return tuple(map_arrays(value, function) for value in tree)
    return function(tree)


@dataclass(frozen=True, kw_only=True)
class ClientData:
    """One party's rows after preprocessing, in the splits that the party itself made."""

    train: Examples
    validation: Examples | None = None
    test: Examples | None = None


@dataclass(frozen=True, kw_only=True)
class DataCard:
    """What a party tells about its data when it joins: sizes and schema, never a record.

    Attributes:
        examples: Number of rows by split (``"train"``, ``"validation"``, ``"test"``).
        features: Shape of one row's features: a shape, or shapes by name.
        columns: Names of the features, where they have names.
        labels: Number of training rows by label, where labels are classes; else None.
        label_range: Smallest and largest label value over all splits, where labels are numbers.
    """

    examples: Mapping[str, int]
    features: Any
    columns: tuple[str, ...] | None = None
    labels: Mapping[str, int] | None = None
    label_range: tuple[float, float] | None = None


@dataclass(frozen=True, kw_only=True)
class Delta:
    """One client's update: what it would add to the global weights.

    Attributes:
        vector: Flat update, float32, shape ``(d,)``; see `hansa.tree.Layout`.
        weight: Weight in the mean, 0 or greater (number of training examples, or 1).
    """

    vector: FloatVector
    weight: float


@dataclass(frozen=True, kw_only=True)
class Total:
    """The weighted sum of the deltas of a cohort: all that a server learns from a secure sum.

    Attributes:
        vector: ``Σ weight_i · vector_i``, float64, shape ``(d,)``.
        weight: ``Σ weight_i``.
        count: Number of deltas in the sum.
    """

    vector: NDArray[np.float64]
    weight: float
    count: int


@dataclass(frozen=True, kw_only=True)
class Start:
    """What the server sends to the clients of a round.

    Attributes:
        round: Number of the round, from 0.
        weights: Global weights, flat float32, shape ``(d,)``.
        extra: Further vectors of the algorithm by name (SCAFFOLD's control variate).
        learning_rate: The clients' learning rate, or None to use the one the model was compiled with.
    """

    round: int
    weights: FloatVector
    extra: Mapping[str, Array] = field(default_factory=dict)
    learning_rate: float | None = None


@dataclass(frozen=True, kw_only=True)
class ServerState:
    """Everything that the server carries from one round to the next.

    Attributes:
        round: Number of rounds finished.
        weights: Global weights, flat float32, shape ``(d,)``.
        slots: The server optimizer's or algorithm's own arrays by name (moments, control variate).
    """

    round: int
    weights: FloatVector
    slots: Mapping[str, Array] = field(default_factory=dict)

"""The server step by any Keras optimizer: the negative mean update is the gradient.

Source:
    Reddi et al. 2021, Adaptive Federated Optimization, section 2.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from hansa.tree import Layout
from hansa.types import Array, FloatVector

PREFIX = "server_optimizer/"


def optimizer_step(
    optimizer: Any, layout: Layout, *, weights: FloatVector, mean: Array, slots: Mapping[str, Array]
) -> tuple[FloatVector, dict[str, Array]]:
    """Return the weights and the optimizer's own arrays after one step.

    Trainable variables take the optimizer's step; others (moving statistics) take the mean.

    Args:
        optimizer: A `keras.optimizers.Optimizer`. It is used as a function: its state comes from ``slots``.
        layout: Layout of the vectors.
        weights: Global weights, float32, shape ``(d,)``.
        mean: Mean update, shape ``(d,)``.
        slots: The optimizer's arrays from the step before; empty at the first step.
    """
    import keras

    values, changes = layout.unflatten(weights), layout.unflatten(mean.astype(np.float32))
    chosen = [i for i, entry in enumerate(layout.entries) if entry.trainable]
    variables = [keras.Variable(values[i], name=f"server_{i}") for i in chosen]
    optimizer = optimizer.from_config(optimizer.get_config())
    optimizer.build(variables)
    for position, variable in enumerate(optimizer.variables):
        if f"{PREFIX}{position}" in slots:
            variable.assign(slots[f"{PREFIX}{position}"])
    optimizer.apply([keras.ops.convert_to_tensor(-changes[i]) for i in chosen], variables)
    new = [value + change for value, change in zip(values, changes, strict=True)]
    for i, variable in zip(chosen, variables, strict=True):
        new[i] = np.asarray(keras.ops.convert_to_numpy(variable.value))
    arrays = {
        f"{PREFIX}{position}": np.array(keras.ops.convert_to_numpy(variable.value))
        for position, variable in enumerate(optimizer.variables)
    }
    return layout.flatten(new), arrays

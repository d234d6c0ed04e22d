"""What a user may write for the arguments of a federation, and the errors for everything else."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from hansa.algorithms.algorithm import is_number
from hansa.api.loop import Target
from hansa.data.sources import as_examples
from hansa.errors import ConfigurationError
from hansa.types import Examples


def checked_optimizer(optimizer: Any) -> Any:
    """Return a Keras optimizer for what the user wrote: one, its name, or None."""
    if optimizer is None:
        return None
    import keras

    if isinstance(optimizer, str):
        try:
            optimizer = keras.optimizers.get(optimizer)
        except ValueError as error:
            raise ConfigurationError(
                f"server_optimizer {optimizer!r} is none of Keras' optimizers; give one such as 'adam', or "
                "keras.optimizers.Adam(0.01)."
            ) from error
    if not isinstance(optimizer, keras.optimizers.Optimizer):
        raise ConfigurationError(
            f"server_optimizer must be a keras.optimizers.Optimizer or its name, got {optimizer!r}."
        )
    return optimizer


def check_rounds(rounds: Any) -> None:
    """Raise `ConfigurationError` unless it is a number of rounds."""
    if isinstance(rounds, bool) or not isinstance(rounds, int) or rounds < 1:
        raise ConfigurationError(f"rounds must be a whole number of 1 or more, got {rounds!r}.")


def as_target(target: Mapping[str, float] | None) -> Target | None:
    """Return the target that a mapping of one log to its value names."""
    if target is None:
        return None
    if not isinstance(target, Mapping) or len(target) != 1:
        raise ConfigurationError(
            f"target names one log and its value, as {{'val_accuracy': 0.97}}; got {target!r}."
        )
    name, value = next(iter(target.items()))
    if not isinstance(name, str) or not is_number(value) or not math.isfinite(value):
        raise ConfigurationError(
            "target names one log and its value, a finite number, as {'val_accuracy': 0.97}; "
            f"got {target!r}."
        )
    return Target(name, float(value))


def as_rows(validation: Any) -> Examples:
    """Return the server's validation rows."""
    if isinstance(validation, Examples):
        return validation
    if isinstance(validation, Sequence) and len(validation) in (2, 3):
        return as_examples(
            validation[0], validation[1], sample_weight=validation[2] if len(validation) == 3 else None
        )
    raise ConfigurationError(
        f"validation must be (x, y), (x, y, sample_weight) or Examples, got {type(validation).__name__}."
    )

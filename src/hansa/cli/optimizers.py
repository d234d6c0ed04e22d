"""The Keras optimizers that a TOML file may name, and their keys."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from hansa.cli.keys import Section, given, kind_of, parse
from hansa.errors import ConfigurationError


class _Keys(Section):
    learning_rate: float | None = None


class _Sgd(_Keys):
    momentum: float = 0.0
    nesterov: bool = False
    weight_decay: float | None = None


class _Adam(_Keys):
    beta_1: float = 0.9
    beta_2: float = 0.999
    epsilon: float = 1e-7
    weight_decay: float | None = None


class _Adagrad(_Keys):
    initial_accumulator_value: float = 0.1
    epsilon: float = 1e-7


class _Rmsprop(_Keys):
    rho: float = 0.9
    momentum: float = 0.0
    epsilon: float = 1e-7


OPTIMIZERS: dict[str, tuple[str, type[_Keys]]] = {
    "sgd": ("SGD", _Sgd),
    "adam": ("Adam", _Adam),
    "adamw": ("AdamW", _Adam),
    "nadam": ("Nadam", _Adam),
    "adamax": ("Adamax", _Adam),
    "adagrad": ("Adagrad", _Adagrad),
    "rmsprop": ("RMSprop", _Rmsprop),
}


@dataclass(frozen=True, kw_only=True)
class Optimizer:
    """A Keras optimizer as declared.

    Attributes:
        name: Name of its class in `keras.optimizers`.
        settings: Its arguments.
    """

    name: str
    settings: Mapping[str, Any]

    def build(self) -> Any:
        """Return the optimizer.

        Raises:
            ConfigurationError: Keras refuses a value.
        """
        import keras

        try:
            return getattr(keras.optimizers, self.name)(**self.settings)
        except ValueError as error:
            told = ", ".join(f"{key} = {value}" for key, value in self.settings.items())
            raise ConfigurationError(
                f"the optimizer {self.name} cannot have {told}. Keras said: {error}"
            ) from error


def optimizer_of(raw: Any, where: str, *, learning_rate: float | None = None) -> Optimizer:
    """Return the optimizer that a section or a name declares.

    Args:
        raw: A name such as ``"adam"``, or a table with ``kind`` and its keys.
        where: The section as the user reads it.
        learning_rate: The learning rate, where it is given outside of the table.

    Raises:
        UnknownNameError: The optimizer or a key does not exist.
        ConfigurationError: A value is of the wrong type, or not finite.
    """
    table = {"kind": raw} if isinstance(raw, str) else raw
    kind, rest = kind_of(dict.fromkeys(OPTIMIZERS), table, where)
    if learning_rate is not None:
        rest = {"learning_rate": learning_rate, **rest}
    name, keys = OPTIMIZERS[kind]
    settings = given(parse(keys, rest, f"{where} of kind {kind!r}"))
    for key, value in settings.items():
        if value is not None and not math.isfinite(value):
            raise ConfigurationError(
                f"{where} of kind {kind!r} {key} is {value}; it must be a finite number."
            )
    return Optimizer(name=name, settings=settings)

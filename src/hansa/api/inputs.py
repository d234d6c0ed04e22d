"""What a user may write for the arguments of a federation, and the errors for everything else."""

from __future__ import annotations

import math
import os
import re
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

from hansa.algorithms.algorithm import is_number
from hansa.api.loop import Target
from hansa.claims.claims import Claims
from hansa.data.sources import as_examples
from hansa.encode import EightBits, Quantise, TopK
from hansa.engine import ENGINES, Declared
from hansa.errors import ConfigurationError, UnknownNameError
from hansa.privacy import Privacy
from hansa.types import Examples

_FILE_NAME = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]{0,99}")


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


def as_folder(run: Any) -> Path | None:
    """Return the folder to keep a run in, or None."""
    if run is not None and (not isinstance(run, (str, os.PathLike)) or "\0" in os.fsdecode(run)):
        raise ConfigurationError(f"run must be the path of a folder, or None to keep nothing; got {run!r}.")
    return None if run is None else Path(os.fsdecode(run))


def check_texts(texts: Any, *, reserved: Collection[str]) -> None:
    """Raise `ConfigurationError` unless these are texts by file name that may lie in a run's folder."""
    if not isinstance(texts, Mapping):
        raise ConfigurationError(
            f"keep maps file names to texts, as in {{'notes.txt': '...'}}; got {texts!r}."
        )
    for name, text in texts.items():
        if not isinstance(name, str) or not _FILE_NAME.fullmatch(name) or name in reserved:
            raise ConfigurationError(
                f"keep cannot name a file {name!r}: expected letters, digits, '.', '_' and '-', not starting "
                f"with '.', and none of the run's own: {', '.join(sorted(reserved))}."
            )
        if not isinstance(text, str):
            raise ConfigurationError(f"keep[{name!r}] must be a text, got {type(text).__name__}.")


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


def as_privacy(value: Any) -> Privacy | None:
    """Return a plan of privacy, or None."""
    if value is None or isinstance(value, Privacy):
        return value
    raise ConfigurationError(
        "privacy must be a plan of hansa.privacy such as CentralDP(rounds=..., budget=...), or None, got "
        f"{value!r}."
    )


def as_claims(value: Any) -> Claims | None:
    """Return what clients prove of their data, or None."""
    if value is None or isinstance(value, Claims):
        return value
    raise ConfigurationError(f"claims must be hansa.claims.Claims(...) or None, got {value!r}.")


def as_quantise(value: Any) -> Quantise | None:
    """Return how updates become integers for what the user wrote: a declaration, a norm to clip to, or None.

    Raises:
        ConfigurationError: If it is neither.
    """
    if value is None or isinstance(value, Quantise):
        return value
    if is_number(value):
        return Quantise(clip=float(value))
    raise ConfigurationError(
        f"quantise is a declaration such as hansa.Quantise(clip=10.0), or None; got {value!r}."
    )


def as_compress(value: Any) -> TopK | EightBits | None:
    """Return how updates are made smaller: a declaration, or None.

    Raises:
        ConfigurationError: If it is neither.
    """
    if value is None or isinstance(value, (TopK, EightBits)):
        return value
    raise ConfigurationError(f"compress is hansa.TopK(keep=0.01), hansa.EightBits(), or None; got {value!r}.")


def as_engine(value: Any) -> Declared:
    """Return an engine as declared, for what the user wrote: a name, or a declaration.

    Raises:
        UnknownNameError: If there is no engine of that name.
        ConfigurationError: If it is neither.
    """
    if isinstance(value, str):
        if value not in ENGINES:
            raise UnknownNameError("engine", value, ENGINES)
        return ENGINES[value]()
    if not isinstance(value, Declared):
        raise ConfigurationError(
            f"engine is one of {', '.join(map(repr, ENGINES))}, or a declaration such as "
            f"hansa.Vector(workers=2); got {value!r}."
        )
    return value

"""Checks that the files of this stage share: what a vector, a whole number and a setting must be."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hansa.errors import ConfigurationError, UpdateError
from hansa.types import FloatVector

IntegerVector = NDArray[np.int64]


def check_floats(vector: Any, what: str, *, size: int | None = None) -> FloatVector:
    """Return a vector that is flat, float32, not empty and finite.

    Args:
        vector: What was given.
        what: What it is, for the message, for example ``"the update"``.
        size: Number of scalars it must have, or None for any.

    Raises:
        UpdateError: It is something else.
    """
    _check_flat(vector, what, np.dtype(np.float32), size)
    bad = vector.size - int(np.count_nonzero(np.isfinite(vector)))
    if bad:
        raise UpdateError(
            f"{bad} of {vector.size} values of {what} are NaN or infinite; all must be finite. Such an "
            "update is left out of the round: look at the client's loss and learning rate."
        )
    return vector


def check_integers(vector: Any, what: str, *, size: int | None = None) -> IntegerVector:
    """Return a vector that is flat, int64 and not empty.

    Args:
        vector: What was given.
        what: What it is, for the message.
        size: Number of integers it must have, or None for any.

    Raises:
        UpdateError: It is something else.
    """
    _check_flat(vector, what, np.dtype(np.int64), size)
    return vector


def whole_number(name: str, value: Any, *, low: int = 1, high: int | None = None) -> int:
    """Return a setting that is an integer of the range, both ends included.

    Raises:
        ConfigurationError: It is no integer (a boolean is none), or out of the range.
    """
    wanted = f"an integer of {low} or more" if high is None else f"an integer from {low} to {high}"
    if isinstance(value, (bool, np.bool_)) or not isinstance(value, (int, np.integer)):
        raise ConfigurationError(f"{name} must be {wanted}, got {value!r} of type {type(value).__name__}.")
    if value < low or (high is not None and value > high):
        raise ConfigurationError(f"{name} must be {wanted}, got {value}.")
    return int(value)


def real_number(name: str, value: Any, *, low: float, high: float) -> float:
    """Return a setting that is a finite number of the range, both ends included.

    Raises:
        ConfigurationError: It is no number (a boolean is none), not finite, or out of the range.
    """
    number = isinstance(value, (int, float, np.integer, np.floating)) and not isinstance(value, bool)
    if not number or not math.isfinite(value) or not low <= value <= high:
        raise ConfigurationError(f"{name} must be a finite number from {low:g} to {high:g}, got {value!r}.")
    return float(value)


def power_of_two(name: str, value: Any) -> float:
    """Return a setting that is a power of two from ``2**-100`` to ``2**100``.

    Multiplying by such a number is exact in float64, so that no machine rounds differently.

    Raises:
        ConfigurationError: It is something else; the message names the powers of two beside it.
    """
    number = real_number(name, value, low=2.0**-100, high=2.0**100)
    mantissa, exponent = math.frexp(number)
    if mantissa != 0.5:
        raise ConfigurationError(
            f"{name} must be a power of two, so that scaling rounds nothing; got {value!r}. "
            f"The nearest are 2**{exponent - 1} = {2.0 ** (exponent - 1):g} and "
            f"2**{exponent} = {2.0**exponent:g}."
        )
    return number


def settle(value: Any, **fields: Any) -> None:
    """Give fields of a frozen dataclass being built their checked values.

    NumPy's numbers become Python's by that, whose products do not overflow.
    """
    for name, field in fields.items():
        object.__setattr__(value, name, field)


def read_only(vector: Any) -> Any:
    """Mark an array that this stage made as read-only, so that its bounds stay true, and return it."""
    vector.flags.writeable = False
    return vector


def _check_flat(vector: Any, what: str, dtype: np.dtype[Any], size: int | None) -> None:
    if not isinstance(vector, np.ndarray):
        raise UpdateError(
            f"{what} is a {type(vector).__name__}; expected a NumPy array of dtype {dtype}. "
            f"Convert it with numpy.asarray(value, '{dtype}')."
        )
    if vector.ndim != 1 or vector.size == 0 or (size is not None and vector.size != size):
        wanted = "at least one number" if size is None else f"{size} numbers"
        raise UpdateError(f"{what} has the shape {vector.shape}; expected a flat vector of {wanted}.")
    if vector.dtype != dtype:
        raise UpdateError(
            f"{what} has the dtype {vector.dtype}; expected {dtype}. Convert it with value.astype('{dtype}') "
            "if no value is changed by that."
        )

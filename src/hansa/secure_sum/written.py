"""Messages written down: what is in a log of them, and the same messages read back strictly.

A message is JSON and arrays. What each field is follows from its kind alone (`messages.Fields`), never from
what was written, so that whoever changes a log can at most write other values.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

import numpy as np

from hansa.secure_sum.messages import Fields, Malformed, read
from hansa.types import Array

T = TypeVar("T")

SHORT = 64
"""Bytes up to which they are written as hexadecimal text; more are an array."""


def write(message: Any, kind: type, fields: Fields, at: str) -> tuple[Any, dict[str, Array]]:
    """Return a message as a JSON value, and the arrays that belong to it.

    Args:
        message: The message.
        kind: Its kind.
        fields: What messages are made of.
        at: With what the names of the arrays begin.

    Raises:
        Malformed: If it is no message of this kind.
    """
    arrays: dict[str, Array] = {}
    return _write(read(message, kind, fields), kind, fields, at, arrays), arrays


def read_written(value: Any, arrays: Mapping[str, Array], kind: type[T], fields: Fields, at: str) -> T:
    """Return the message that `write` wrote.

    Raises:
        Malformed: If this is no message of this kind.
    """
    return read(_read(value, kind, fields, at, arrays), kind, fields)


def _write(  # noqa: PLR0911 - one return for each kind of value
    value: Any, shape: Any, fields: Fields, at: str, arrays: dict[str, Array]
) -> Any:
    if isinstance(shape, tuple):
        return [_write(one, shape[0], fields, f"{at}.{i}", arrays) for i, one in enumerate(value)]
    if isinstance(shape, dict):
        (of,) = shape.values()
        # Pairs, since keys are any text that a client likes, and an object reserves some.
        return [
            [key, _write(one, of, fields, f"{at}.{i}", arrays)] for i, (key, one) in enumerate(value.items())
        ]
    if shape in fields:
        own = vars(value)
        return {
            name: _write(own[name], of, fields, f"{at}.{name}", arrays) for name, of in fields[shape].items()
        }
    if shape is np.ndarray:
        arrays[at] = value
        return None
    if shape is not bytes:
        return value
    if len(value) <= SHORT:
        return value.hex()
    arrays[at] = np.frombuffer(value, np.uint8)
    return None


def _read(value: Any, shape: Any, fields: Fields, at: str, arrays: Mapping[str, Array]) -> Any:
    if isinstance(shape, tuple):
        if not isinstance(value, list):
            raise Malformed(f"{at} is no list")
        return tuple(_read(one, shape[0], fields, f"{at}.{i}", arrays) for i, one in enumerate(value))
    if isinstance(shape, dict):
        (of,) = shape.values()
        return _read_pairs(value, of, fields, at, arrays)
    if shape in fields:
        if not isinstance(value, dict) or set(value) != set(fields[shape]):
            raise Malformed(f"{at} does not have the fields of {shape.__name__}")
        own = {
            name: _read(value[name], of, fields, f"{at}.{name}", arrays) for name, of in fields[shape].items()
        }
        return shape(**own)
    if shape is np.ndarray:
        return _array(value, at, arrays)
    if shape is not bytes:
        return value
    return _read_bytes(value, at, arrays)


def _read_pairs(value: Any, of: Any, fields: Fields, at: str, arrays: Mapping[str, Array]) -> dict[str, Any]:
    if not isinstance(value, list) or not all(isinstance(pair, list) and len(pair) == 2 for pair in value):
        raise Malformed(f"{at} is no list of pairs")
    if not all(isinstance(key, str) for key, _ in value) or len({key for key, _ in value}) != len(value):
        raise Malformed(f"{at} has a key twice, or one that is no text")
    return {key: _read(one, of, fields, f"{at}.{i}", arrays) for i, (key, one) in enumerate(value)}


def _read_bytes(value: Any, at: str, arrays: Mapping[str, Array]) -> bytes:
    if value is None:
        array = _array(value, at, arrays)
        if array.dtype != np.uint8 or array.ndim != 1 or array.size <= SHORT:
            raise Malformed(f"the array {at} is no row of more than {SHORT} bytes")
        return array.tobytes()
    try:
        found = bytes.fromhex(value)
    except (TypeError, ValueError):
        raise Malformed(f"{at} is not hexadecimal") from None
    if found.hex() != value:
        raise Malformed(f"{at} is not written as hexadecimal is here")
    return found


def _array(value: Any, at: str, arrays: Mapping[str, Array]) -> Array:
    if value is not None or at not in arrays:
        raise Malformed(f"the array {at} is missing, or something else is in its place")
    return arrays[at]

"""One byte string for each JSON value, so that values can be hashed and compared by their bytes.

The form: UTF-8; keys sorted by code point; no spaces; floats as the shortest decimal that reads back
to the same float64 (``1.0`` is a float, ``1`` an integer); NaN and the infinities, which JSON lacks, as
``{"$float":"nan"}``, ``{"$float":"inf"}`` and ``{"$float":"-inf"}``. The key ``$float`` is reserved for
this, so that a string ``"nan"`` stays a string.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any, Never

import numpy as np

from hansa.errors import LogError, RunError

_DEPTH_LIMIT = 64
_INTEGER_BITS_LIMIT = 4096
_FLOAT_KEY = "$float"
_SPECIAL = {"nan": math.nan, "inf": math.inf, "-inf": -math.inf}


def canonical_json(value: Any) -> bytes:
    """Return the canonical JSON of a value.

    Args:
        value: Mappings with string keys, lists, tuples, strings, booleans, None, and Python or NumPy
            integers and floats, nested at most 64 deep. Tuples become lists.

    Returns:
        The bytes, without a newline at the end or anywhere inside.

    Raises:
        RunError: The value holds something else; the message says where.

    Guarantees:
        `parse_json` gives the value back (tuples as lists, NumPy numbers as Python's). Equal values give
        equal bytes, different values give different bytes.

    Example:
        >>> canonical_json({"b": (1, 0.5), "a": float("nan")})
        b'{"a":{"$float":"nan"},"b":[1,0.5]}'
    """
    plain = _plain(value, "$", 0)
    return json.dumps(
        plain, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False
    ).encode()


def parse_json(data: bytes) -> Any:
    """Return the value that `canonical_json` wrote.

    Raises:
        LogError: The bytes are not JSON, or not in the canonical form (spaces, other key order,
            repeated keys, another spelling of a number).
    """
    try:
        value = json.loads(data.decode(), object_pairs_hook=_pairs, parse_constant=_refuse_constant)
        canonical = canonical_json(value)
    except (ValueError, RecursionError, RunError) as error:
        raise LogError(f"not canonical JSON: {error}.") from error
    if canonical != data:
        raise LogError(
            "not canonical JSON: spaces, order of keys, repeated keys or numbers were changed; "
            "the bytes must be exactly as Hansa wrote them."
        )
    return value


def differences(old: Any, new: Any, path: str = "") -> list[str]:
    """Return one line ``path: old -> new`` for each place where two values differ.

    Example:
        >>> differences({"a": {"b": 1}, "c": [1, 2]}, {"a": {"b": 2}, "c": [1, 3]})
        ['a.b: 1 -> 2', 'c[1]: 2 -> 3']
    """
    if isinstance(old, Mapping) and isinstance(new, Mapping):
        lines = []
        for key in sorted({*old, *new}):
            inner = f"{path}.{key}" if path else key
            if key not in old:
                lines.append(f"{inner}: (absent) -> {_short(new[key])}")
            elif key not in new:
                lines.append(f"{inner}: {_short(old[key])} -> (absent)")
            else:
                lines += differences(old[key], new[key], inner)
        return lines
    if isinstance(old, list) and isinstance(new, list) and len(old) == len(new):
        pairs = enumerate(zip(old, new, strict=True))
        return [line for i, (a, b) in pairs for line in differences(a, b, f"{path}[{i}]")]
    # By canonical bytes, so that 1 and 1.0 and True differ and NaN equals itself.
    return [] if canonical_json(old) == canonical_json(new) else [f"{path}: {_short(old)} -> {_short(new)}"]


def _short(value: Any) -> str:
    text = canonical_json(value).decode()
    return text if len(text) <= 60 else f"{text[:57]}..."


def _plain(value: Any, path: str, depth: int) -> Any:  # noqa: PLR0911 - one return for each kind of value
    if depth > _DEPTH_LIMIT:
        raise RunError(f"value at {path[:200]} is nested more than {_DEPTH_LIMIT} deep; make it flatter.")
    if value is None or isinstance(value, (bool, np.bool_)):
        return None if value is None else bool(value)
    if isinstance(value, str):
        return _text(value, path)
    if isinstance(value, (int, np.integer)):
        return _integer(int(value), path)
    if isinstance(value, (float, np.floating)):
        number = float(value)
        if math.isfinite(number):
            return number
        return {_FLOAT_KEY: "nan" if math.isnan(number) else "inf" if number > 0 else "-inf"}
    if isinstance(value, Mapping):
        return {_key(k, path): _plain(v, f"{path}.{k}", depth + 1) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(v, f"{path}[{i}]", depth + 1) for i, v in enumerate(value)]
    remedy = "arrays belong in a blob" if isinstance(value, np.ndarray) else "convert it first"
    raise RunError(
        f"value at {path} has type {type(value).__name__}, which JSON cannot keep; {remedy}. "
        "Expected a mapping, list, string, number, boolean or None."
    )


def _text(value: str, path: str) -> str:
    text = str.__str__(value)  # the value of a string enum, not its name
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise RunError(f"text at {path!a} is not valid Unicode (a lone surrogate): {text!a}.") from error
    return text


def _integer(value: int, path: str) -> int:
    if value.bit_length() > _INTEGER_BITS_LIMIT:
        raise RunError(
            f"integer at {path} has {value.bit_length()} bits, more than {_INTEGER_BITS_LIMIT}; "
            "keep it as a hexadecimal string."
        )
    return value


def _key(key: Any, path: str) -> str:
    if not isinstance(key, str):
        raise RunError(f"key {key!r} at {path} has type {type(key).__name__}; keys must be strings.")
    if key == _FLOAT_KEY:
        raise RunError(f"key {_FLOAT_KEY!r} at {path} is reserved for NaN and infinities; use another.")
    return _text(key, path)


def _pairs(pairs: list[tuple[str, Any]]) -> Any:
    value = dict(pairs)
    if _FLOAT_KEY not in value:
        return value
    if len(pairs) == 1 and isinstance(value[_FLOAT_KEY], str) and value[_FLOAT_KEY] in _SPECIAL:
        return _SPECIAL[value[_FLOAT_KEY]]
    raise ValueError(f"{_FLOAT_KEY} must stand alone and be one of {', '.join(_SPECIAL)}")


def _refuse_constant(name: str) -> Never:
    raise ValueError(f"{name} is not JSON")

"""Describe declared things as plain JSON values, so that a configuration can be written down and hashed.

Arrays are told by shape, type and a SHA-256 of their bytes, files by path and SHA-256, functions
by their qualified name: equal descriptions mean equal data, and no value of the data is in them.
"""

from __future__ import annotations

import hashlib
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from hansa.types import Array, Examples, map_arrays

_BLOCK = 1 << 20


def describe_array(array: Array) -> dict[str, Any]:
    """Return shape, type and SHA-256 (of the little-endian, row-major bytes) of an array."""
    little, name = _forms(array.dtype)
    digest = hashlib.sha256(np.ascontiguousarray(array, dtype=little).data)
    return {"shape": list(array.shape), "dtype": name, "sha256": digest.hexdigest()}


@lru_cache(maxsize=64)
def _forms(dtype: np.dtype[Any]) -> tuple[np.dtype[Any], str]:
    """Return a type with its bytes in little-endian order, and its name, both slow to ask for."""
    return dtype.newbyteorder("<"), dtype.name


def describe_examples(examples: Examples) -> dict[str, Any]:
    """Return the description of rows: their arrays and the names of their columns."""
    weight = examples.sample_weight
    return {
        "x": map_arrays(examples.x, describe_array),
        "y": map_arrays(examples.y, describe_array),
        "sample_weight": None if weight is None else describe_array(weight),
        "columns": None if examples.columns is None else list(examples.columns),
    }


def describe_file(path: str | Path) -> dict[str, Any]:
    """Return a file's path as given and its SHA-256, None where it cannot be read."""
    digest = hashlib.sha256()
    try:
        with Path(path).open("rb") as file:
            while block := file.read(_BLOCK):
                digest.update(block)
    except OSError:
        return {"path": str(path), "sha256": None}
    return {"path": str(path), "sha256": digest.hexdigest()}


def describe_callable(function: Any) -> str:
    """Return ``module:qualified.name`` of a function, or of the type of any other object."""
    named = function if hasattr(function, "__qualname__") else type(function)
    return f"{named.__module__}:{named.__qualname__}"

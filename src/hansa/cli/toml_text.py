"""Writes TOML: Python reads it by itself, but does not write it."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping, Sequence
from typing import Any

_BARE = re.compile(r"[A-Za-z0-9_-]+")


def dumps(document: Mapping[str, Any]) -> str:
    """Return a document of sections as TOML; keys whose value is None are left out.

    Args:
        document: Sections by name: a mapping, or a list of mappings.

    Guarantees:
        `tomllib.loads` gives the document back (tuples as lists, without None).

    Example:
        >>> print(dumps({"run": {"rounds": 3, "target": {"loss": 0.1}}, "clients": [{"name": "a"}]}))
        [run]
        rounds = 3
        target = { loss = 0.1 }
        <BLANKLINE>
        [[clients]]
        name = "a"
        <BLANKLINE>
    """
    blocks = []
    for name, section in document.items():
        if isinstance(section, Mapping):
            blocks.append(_block(f"[{_key(name)}]", section))
        else:
            blocks += [_block(f"[[{_key(name)}]]", one) for one in section]
    return "\n".join(blocks)


def _block(head: str, section: Mapping[str, Any]) -> str:
    lines = [f"{_key(key)} = {_value(value)}" for key, value in section.items() if value is not None]
    return "\n".join([head, *lines]) + "\n"


def _key(name: str) -> str:
    return name if _BARE.fullmatch(name) else _text(name)


def _text(value: str) -> str:
    # A JSON string is a TOML string, but for DEL, which TOML wants escaped.
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")


def _value(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return _text(value)
    if isinstance(value, float):
        return str(value) if math.isfinite(value) else "nan" if math.isnan(value) else str(value)
    if isinstance(value, Mapping):
        inner = ", ".join(f"{_key(k)} = {_value(v)}" for k, v in value.items() if v is not None)
        return f"{{ {inner} }}" if inner else "{}"
    if isinstance(value, Sequence):
        return f"[{', '.join(map(_value, value))}]"
    return str(value)

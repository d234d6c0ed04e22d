"""Checks one section of a TOML file: unknown keys, missing keys, wrong types, each told in words.

A section is a flat pydantic model. Sections that name a kind (an algorithm, a cohort) have one model
for each kind, made of the fields of the dataclass that it becomes.
"""

from __future__ import annotations

import dataclasses
import inspect
import types
import typing
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError, create_model

from hansa.errors import ConfigurationError, UnknownNameError

STRICT = ConfigDict(extra="forbid", strict=True, frozen=True, arbitrary_types_allowed=True)
_WORDS: dict[Any, str] = {
    int: "a whole number",
    float: "a number",
    str: "a text in quotes",
    bool: "true or false",
    dict: "a table",
}

Keys = TypeVar("Keys", bound=BaseModel)


class Section(BaseModel):
    """A section of the file. Its fields are its keys."""

    model_config = STRICT


def parse(keys: type[Keys], raw: Any, where: str) -> Keys:
    """Return a section with its values checked.

    Args:
        keys: The section's model.
        raw: What the TOML file has there.
        where: The section as the user reads it, for example ``"[run]"``.

    Raises:
        UnknownNameError: A key does not exist; told with the nearest that does.
        ConfigurationError: A value is of the wrong type, or a key is missing.
    """
    if not isinstance(raw, Mapping):
        raise ConfigurationError(f"{where} is {_shown(raw)}; expected a table of keys.")
    for name in raw:
        if name not in keys.model_fields:
            raise UnknownNameError(f"key in {where}", str(name), keys.model_fields)
    try:
        return keys.model_validate(dict(raw))
    except ValidationError as problem:
        error = problem.errors()[0]
    name = str(error["loc"][0])
    if error["type"] == "missing":
        raise ConfigurationError(f"{where} lacks the key {name!r}: {expected(_hint(keys, name))}.")
    place = name + "".join(f"[{part}]" for part in error["loc"][1:] if isinstance(part, int))
    raise ConfigurationError(
        f"{where} {place} is {_shown(error['input'])}; {name} must be {expected(_hint(keys, name))}."
    )


def given(section: BaseModel) -> dict[str, Any]:
    """Return the keys that were given, without those left at their defaults."""
    return {name: getattr(section, name) for name in section.model_fields_set}


def make(kinds: Mapping[str, Callable[..., Any]], raw: Any, where: str) -> Any:
    """Return the object that a section with ``kind = "..."`` declares.

    Args:
        kinds: The kinds there are: a dataclass, or a function whose keyword arguments are the keys.
        raw: What the TOML file has there.
        where: The section as the user reads it.

    Raises:
        UnknownNameError: The kind or a key does not exist.
        ConfigurationError: A value cannot be.
    """
    kind, rest = kind_of(kinds, raw, where)
    return build(kinds[kind], rest, f"{where} of kind {kind!r}")


def kind_of(kinds: Mapping[str, Any], raw: Any, where: str) -> tuple[str, dict[str, Any]]:
    """Return the kind that a section names, and its other keys.

    Raises:
        UnknownNameError: There is no such kind.
        ConfigurationError: It names none.
    """
    if not isinstance(raw, Mapping):
        raise ConfigurationError(f'{where} is {_shown(raw)}; expected a table such as {{ kind = "..." }}.')
    kind, rest = raw.get("kind"), {key: value for key, value in raw.items() if key != "kind"}
    if kind is None:
        raise ConfigurationError(f"{where} lacks the key 'kind': one of {', '.join(kinds)}.")
    if not isinstance(kind, str):
        raise ConfigurationError(f"{where} kind is {_shown(kind)}; kind must be a text in quotes.")
    if kind not in kinds:
        raise UnknownNameError(f"kind in {where}", kind, kinds)
    return kind, rest


def build(target: Callable[..., Any], raw: Mapping[str, Any], where: str, **more: Any) -> Any:
    """Call a dataclass or function with a section's keys, checked against its own annotations."""
    section = parse(_model_of(target, frozenset(more)), raw, where)
    try:
        return target(**given(section), **more)
    except ConfigurationError as error:
        if isinstance(error, UnknownNameError):
            raise
        raise ConfigurationError(f"{where}: {error}") from error


def expected(hint: Any) -> str:
    """Return a type in words.

    Example:
        >>> expected(float | None), expected(Sequence[str])
        ('a number', 'a list, each a text in quotes')
    """
    origin, parts = typing.get_origin(hint), typing.get_args(hint)
    if origin in (typing.Union, types.UnionType):
        words = [expected(part) for part in parts if part is not type(None)]
        return " or ".join(dict.fromkeys(words))
    if origin is typing.Literal:
        return "one of " + ", ".join(map(repr, parts))
    if isinstance(origin, type) and issubclass(origin, Mapping):
        return f"a table, each value {expected(parts[1])}" if len(parts) == 2 else "a table"
    if isinstance(origin, type) and issubclass(origin, Sequence):
        return f"a list, each {expected(parts[0])}" if parts else "a list"
    return _WORDS.get(hint, "a value")


def _model_of(target: Callable[..., Any], without: frozenset[str]) -> type[BaseModel]:
    hints = typing.get_type_hints(target)
    fields: dict[str, Any] = {}
    if dataclasses.is_dataclass(target):
        for field in dataclasses.fields(target):
            required = field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING
            default = ... if required else None if field.default is dataclasses.MISSING else field.default
            fields[field.name] = (hints[field.name], default)
    else:
        for name, parameter in inspect.signature(target).parameters.items():
            required = parameter.default is inspect.Parameter.empty
            fields[name] = (hints[name], ... if required else parameter.default)
    fields = {name: pair for name, pair in fields.items() if name not in without}
    return create_model(getattr(target, "__name__", "Keys"), __config__=STRICT, **fields)


def _hint(keys: type[BaseModel], name: str) -> Any:
    return keys.model_fields[name].annotation


def _shown(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    text = f'"{value}"' if isinstance(value, str) else str(value)
    kind = "" if isinstance(value, (str, int, float)) else f" ({type(value).__name__})"
    return (text if len(text) <= 60 else text[:57] + "...") + kind

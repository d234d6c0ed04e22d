"""Messages are read before they are believed: rebuilt of the very types that their kind is made of."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

from hansa.crypto.encoding import Part
from hansa.secure_sum.interface import Refused
from hansa.secure_sum.roster import Member, Place

T = TypeVar("T")
Fields = Mapping[type, Mapping[str, Any]]
"""By kind of message the type of each field: ``(x,)`` is a tuple of any number of x, ``{x: y}`` a dict."""

REJECTED = "its proof was rejected"
"""How a reason begins that only the client itself can have given: it has signed the proof."""
LONGEST_TEXT = 10_000
"""Bytes of a text in a message."""

PLACE: Fields = {
    Place: {
        **{"configuration": bytes, "roster": bytes, "payload": bytes, "round": int, "attempt": int},
        **{"cohort": (str,), "purpose": str},
    },
}


class Malformed(ValueError):  # noqa: N818 - what is said of a message
    """A message that is not made of the fields and types of its kind."""


def read(message: Any, kind: type[T], fields: Fields) -> T:
    """Return a message of a kind, made anew of its fields.

    Values are of these very types: an object of a subclass could say one thing when it is checked and
    another when it is used. What a message computes of itself (hashes, holders) is computed here again.

    Raises:
        Malformed: If it is of another kind, or a field is missing or of another type.
    """
    return _read(message, kind, fields)


def understood(message: Any, kind: type[T], fields: Fields) -> T:
    """Return what `read` does, on a client's side.

    Raises:
        Refused: If the message is malformed.
    """
    try:
        return read(message, kind, fields)
    except Malformed as error:
        raise Refused(str(error)) from None


def readable(came: Mapping[str, Any], names: tuple[str, ...], kind: type[T], fields: Fields) -> dict[str, T]:
    """Return what these clients said, in their order; who said something malformed has said nothing."""
    out: dict[str, T] = {}
    for name in names:
        try:
            out[name] = read(came.get(name), kind, fields)
        except Malformed:
            continue
    return out


def is_from(member: Member, signature: bytes, place: Place, label: str, *parts: Part) -> bool:
    """Whether a member has signed these parts in a phase of an attempt at a sum."""
    from hansa.crypto.signature import is_signed  # whoever keeps messages need not have the extra

    return is_signed(signature, member.signing, label, *place.parts, member.name, *parts)


def _read(value: Any, shape: Any, fields: Fields) -> Any:
    if isinstance(shape, tuple):
        if type(value) is tuple:
            return tuple(_read(one, shape[0], fields) for one in value)
    elif isinstance(shape, dict):
        if type(value) is dict:
            ((key, of),) = shape.items()
            return {_read(k, key, fields): _read(v, of, fields) for k, v in value.items()}
    elif type(value) is shape and _is_plain(value):
        if shape not in fields:
            return value
        own = vars(value)
        return shape(**{name: _read(own.get(name), each, fields) for name, each in fields[shape].items()})
    wanted = getattr(shape, "__name__", None) or f"a {type(shape).__name__}"
    raise Malformed(f"a message is malformed: {type(value).__name__:.40} is in the place of {wanted}")


def _is_plain(value: Any) -> bool:
    """Whether a value can be encoded: a whole number of 64 bits, text of UTF-8 and not endless."""
    if type(value) is int:
        return -(2**63) <= value < 2**63
    if type(value) is not str:
        return True
    try:
        return len(value) <= LONGEST_TEXT and len(value.encode()) <= LONGEST_TEXT
    except UnicodeEncodeError:
        return False

"""What one party declares: its name, its rows, how they are preprocessed and split."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from hansa.data.bucketize import Bucketize
from hansa.data.preprocess import Impute, MinMax, Standardize
from hansa.data.sources import Arrays, Rows, Source
from hansa.data.split import Split
from hansa.data.table import Table
from hansa.data.transform import Transform
from hansa.data.vocabulary import Vocabulary
from hansa.errors import ConfigurationError
from hansa.types import Examples

MAX_NAME = 64
_NAME = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._ -]*(?<! )")
_TRANSFORMS = (Standardize, MinMax, Impute, Bucketize)


@dataclass(frozen=True, kw_only=True, slots=True)
class Client:
    """One party of a federation, as declared. Nothing is read until its rows are needed.

    Attributes:
        name: Its name in logs and reports: 1 to 64 letters, digits, dots, dashes, underscores and
            inner spaces; not starting with a dot.
        source: Where its rows come from, for example `hansa.data.CSV`.
        preprocess: Transforms of the features in order, fitted on training rows.
        split: How it divides its rows.

    Raises:
        ConfigurationError: The name or a part is not of the right form.

    Example:
        >>> Client(name="hospital-a", source=Arrays([[1.0], [2.0]], [0, 1])).name
        'hospital-a'
    """

    name: str
    source: Source
    preprocess: Sequence[Transform] = ()
    split: Split = field(default_factory=Split)

    def __post_init__(self) -> None:
        _check_name(self.name)
        # Python asks a protocol's methods of an object one by one, which is slow for a large population.
        known = isinstance(self.source, (Rows, Arrays))
        if not known and (not isinstance(self.source, Source) or isinstance(self.source, type)):
            raise ConfigurationError(
                f"client {self.name!r}: source is a {type(self.source).__name__}; expected Arrays, CSV, "
                "Parquet, Stream or another object with load() and describe(). Wrap arrays: Arrays(x, y)."
            )
        steps = as_steps(self.preprocess)
        for step in steps:
            if not _is_transform(step):
                raise ConfigurationError(
                    f"client {self.name!r}: preprocess holds {step!r}; expected transforms such as "
                    "Standardize(), with parentheses."
                )
        object.__setattr__(self, "preprocess", steps)
        if not isinstance(self.split, Split):
            raise ConfigurationError(f"client {self.name!r}: split must be a Split, got {self.split!r}.")

    def describe(self) -> dict[str, Any]:
        """Return the whole declaration as plain JSON values."""
        return {
            "name": self.name,
            "source": self.source.describe(),
            "preprocess": [step.describe() for step in self.preprocess],
            "split": self.split.describe(),
        }


def as_steps(preprocess: Any) -> tuple[Any, ...]:
    """Return what was given as preprocessing as a tuple: one transform, or any number of them."""
    if isinstance(preprocess, tuple):
        return preprocess
    several = not _is_transform(preprocess) and isinstance(preprocess, Iterable)
    return tuple(preprocess) if several else (preprocess,)


def _is_transform(step: Any) -> bool:
    return isinstance(step, _TRANSFORMS) or (isinstance(step, Transform) and not isinstance(step, type))


def as_clients(value: Any) -> tuple[Client, ...]:
    """Return clients from the forms in which a user may declare them.

    Args:
        value: A sequence of `Client`, or a mapping from name to a `Client` of that name, a source,
            `Examples`, or a tuple ``(x, y)`` or ``(x, y, sample_weight)`` of arrays.

    Raises:
        ConfigurationError: The form is none of these, or the clients do not fit together.
        DataError: Arrays are malformed.

    Example:
        >>> [c.name for c in as_clients({"a": ([[1.0]], [0]), "b": ([[2.0]], [1])})]
        ['a', 'b']
    """
    if isinstance(value, Mapping):
        clients = tuple(_named_client(name, given) for name, given in value.items())
    elif isinstance(value, Sequence) and not isinstance(value, (str, bytes)):
        for i, client in enumerate(value):
            if not isinstance(client, Client):
                raise ConfigurationError(
                    f"clients[{i}] is a {type(client).__name__}; expected a Client. Arrays without names "
                    "need a mapping: {'hospital-a': (x, y), ...}, or a partition such as hansa.data.iid."
                )
        clients = tuple(value)
    else:
        hint = " Put it in a list: [client]." if isinstance(value, Client) else ""
        raise ConfigurationError(
            f"clients is a {type(value).__name__}; expected a sequence of Client or a mapping by name.{hint}"
        )
    check_clients(clients)
    return clients


def check_clients(clients: Sequence[Client]) -> None:
    """Raise unless there are clients, their names differ, and they share federated preprocessing.

    Vocabularies of text columns are part of it.

    Raises:
        ConfigurationError: One of these does not hold.
    """
    if not clients:
        raise ConfigurationError("there are no clients; a federation needs at least one.")
    seen: set[str] = set()
    for client in clients:
        if client.name in seen:
            raise ConfigurationError(f"two clients are named {client.name!r}; names must differ.")
        seen.add(client.name)
    _check_vocabularies(clients)
    if not any(step.scope == "federated" for client in clients for step in client.preprocess):
        return
    first = clients[0]
    wanted = [step.describe() for step in first.preprocess]
    for client in clients[1:]:
        if client.preprocess is first.preprocess:
            continue
        given = [step.describe() for step in client.preprocess]
        if given != wanted:
            raise ConfigurationError(
                "federated preprocessing must be the same for all clients: "
                f"{first.name!r} has {wanted}, {client.name!r} has {given}."
            )


def _check_vocabularies(clients: Sequence[Client]) -> None:
    wanted = _vocabularies(clients[0])
    for client in clients[1:]:
        if (given := _vocabularies(client)) != wanted:
            told = [{name: v.describe() for name, v in own.items()} or "none" for own in (wanted, given)]
            raise ConfigurationError(
                "vocabularies, which are found over all clients, must be the same for all of them: "
                f"{clients[0].name!r} has {told[0]}, {client.name!r} has {told[1]}."
            )


def _vocabularies(client: Client) -> Mapping[str, Vocabulary]:
    return client.source.vocabularies if isinstance(client.source, Table) else {}


def _named_client(name: Any, given: Any) -> Client:
    _check_name(name)
    if isinstance(given, Client):
        if given.name != name:
            raise ConfigurationError(f"the client under {name!r} is named {given.name!r}; use one name.")
        return given
    if isinstance(given, Examples):
        source: Any = Arrays(given.x, given.y, sample_weight=given.sample_weight, columns=given.columns)
    elif isinstance(given, tuple) and len(given) in (2, 3):
        source = Arrays(given[0], given[1], sample_weight=given[2] if len(given) == 3 else None)
    elif isinstance(given, Source):
        source = given
    else:
        raise ConfigurationError(
            f"client {name!r} is given as a {type(given).__name__}; expected a Client, a source such as "
            "hansa.data.CSV, or a tuple (x, y) or (x, y, sample_weight)."
        )
    return Client(name=name, source=source)


def _check_name(name: Any) -> None:
    if not isinstance(name, str) or len(name) > MAX_NAME or not _NAME.fullmatch(name):
        told = f"{name[:MAX_NAME]}..." if isinstance(name, str) and len(name) > 2 * MAX_NAME else name
        raise ConfigurationError(
            f"{told!r} is not a client name. Names have 1 to {MAX_NAME} characters: letters, digits, '.', "
            "'_', '-' and inner spaces, not starting with '.'."
        )

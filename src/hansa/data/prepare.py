"""From a declared client to the rows it trains on: load, check, split, fit transforms, apply them.

A federated transform needs the sums of all parties. They are taken one position after another, because
later sums are taken after earlier transforms were applied:

    for k in federated_positions(clients):
        known[k] = add_summaries([local_summary(client, k, known) for client in clients])
    data = [prepare(client, known) for client in clients]

`hansa.statistics.transforms.fit_federated` does so through any secure sum, and for `Ordered` transforms too.

Where rows are kept between these calls, `load` them once (`load_all` for a population in one process)
and pass them as ``loaded``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np

from hansa.data.client import Client
from hansa.data.shared import shared_rows
from hansa.data.sources import as_examples, named_arrays
from hansa.data.split import SPLITS
from hansa.data.transform import Ordered, Summary
from hansa.errors import ConfigurationError, DataError, UnknownNameError
from hansa.types import Array, ClientData, Examples, TrainRows

Federated = Mapping[int, Summary]
"""Sums over all parties by position of the federated transform in ``Client.preprocess``."""


def federated_positions(clients: Sequence[Client]) -> tuple[int, ...]:
    """Return the positions of the federated transforms, the same for all clients (`check_clients`)."""
    steps = clients[0].preprocess if clients else ()
    return tuple(i for i, step in enumerate(steps) if step.scope == "federated")


def load(client: Client, *, keep_missing: bool = False) -> ClientData:
    """Read a client's rows, check them and split them. No transform is applied yet.

    Args:
        client: The client.
        keep_missing: Whether features may be missing though no transform fills them.

    Raises:
        DataError: The rows are missing, malformed or hold values that cannot be trained on.
    """
    with naming(client):
        given = client.source.load()
        if not isinstance(given, Examples):
            raise DataError(f"its source returned a {type(given).__name__} instead of Examples.")
        rows = as_examples(given.x, given.y, sample_weight=given.sample_weight, columns=given.columns)
        if not len(rows):
            raise DataError("it has no rows. Give it data or leave it out.")
        fills = keep_missing or any(step.fills_missing for step in client.preprocess)
        _check_features(rows, missing_allowed=fills, hint="")
        _check_labels(rows)
        _check_weights(rows)
    index = client.split.rows(len(rows), name=client.name, y=rows.y)
    whole = len(index["train"]) == len(rows) and client.split.indices is None
    data = ClientData(
        train=rows if whole else rows.take(index["train"]),
        validation=rows.take(index["validation"]) if len(index["validation"]) else None,
        test=rows.take(index["test"]) if len(index["test"]) else None,
    )
    weight = data.train.sample_weight
    if weight is not None and not weight.any():
        raise DataError(
            f"client {client.name!r}: the sample weights of all {len(weight)} training rows are 0, so that "
            "nothing can be learnt. Give some rows a weight above 0."
        )
    return data


def load_all(clients: Sequence[Client]) -> dict[str, ClientData]:
    """Read the rows of a whole population, as `load` does; rows of shared arrays stay where they are.

    A client of a partition that has no preprocessing and trains on all of its rows gets a
    `hansa.types.View` of the shared arrays, which are checked once. All others get their own rows.

    Args:
        clients: Clients whose names differ.

    Raises:
        DataError: As `load`, for the first client that has such rows.
    """
    shared = shared_rows(clients)
    return {
        client.name: ClientData(train=shared[client.name]) if client.name in shared else load(client)
        for client in clients
    }


class Reading(Mapping[str, ClientData]):
    """The rows of a whole population as `load_all` returns them, but read again at every look and not kept.

    Rows of shared arrays are where they are and need not be read.
    """

    def __init__(self, clients: Sequence[Client]) -> None:
        """Read nothing yet.

        Args:
            clients: Clients whose names differ.
        """
        self.shared = shared_rows(clients)
        self._clients = {client.name: client for client in clients}

    def __getitem__(self, name: str) -> ClientData:
        """Return a client's rows."""
        if name in self.shared:
            return ClientData(train=self.shared[name])
        return load(self._clients[name])

    def __iter__(self) -> Iterator[str]:
        """Go through the clients' names."""
        return iter(self._clients)

    def __len__(self) -> int:
        """Return the number of clients."""
        return len(self._clients)


def local_summary(
    client: Client, position: int, federated: Federated | None = None, *, loaded: ClientData | None = None
) -> Summary:
    """Return a client's own sums for one transform, after the transforms before it.

    Args:
        client: The client.
        position: Position of the transform in ``client.preprocess``.
        federated: Sums over all parties of the federated transforms before it.
        loaded: The rows as `load` returned them, or None to load them now.

    Raises:
        ConfigurationError: There is no such transform, sums for an earlier one are missing, or it is
            federated and `Ordered`, and so not fitted on sums.
        DataError: As `load`.
    """
    rows = rows_before(client, position, federated, loaded=loaded)
    step = client.preprocess[position]
    with naming(client):
        if step.scope == "federated" and isinstance(step, Ordered):
            raise ConfigurationError(
                f"what {type(step).__name__}(scope='federated') is fitted on are not sums; hansa.statistics "
                "finds them."
            )
        return step.summary(rows)


def rows_before(
    client: Client, position: int, federated: Federated | None = None, *, loaded: ClientData | None = None
) -> Examples:
    """Return a client's training rows as the transform at a position is fitted to them.

    Args:
        client: The client.
        position: Position of the transform in ``client.preprocess``.
        federated: Sums over all parties of the federated transforms before it.
        loaded: The rows as `load` returned them, or None to load them now.

    Raises:
        ConfigurationError: There is no such transform, or sums for an earlier one are missing.
        DataError: As `load`.
    """
    if not 0 <= position < len(client.preprocess):
        raise ConfigurationError(
            f"client {client.name!r} has {len(client.preprocess)} transforms; none is at position {position}."
        )
    data = _transformed(client, load(client) if loaded is None else loaded, federated or {}, stop=position)
    return data.train.whole()


def prepare(
    client: Client, federated: Federated | None = None, *, loaded: ClientData | None = None
) -> ClientData:
    """Return the rows a client trains and evaluates on, in their splits, after all transforms.

    Transforms are fitted on training rows only and applied to all splits.

    Args:
        client: The client.
        federated: Sums over all parties for each federated transform.
        loaded: The rows as `load` returned them, or None to load them now.

    Raises:
        ConfigurationError: Sums for a federated transform are missing.
        DataError: As `load`, or a feature is still missing after all transforms.
    """
    data = load(client) if loaded is None else loaded
    data = _transformed(client, data, federated or {}, stop=len(client.preprocess))
    if client.preprocess:
        for split in SPLITS:
            part: TrainRows | None = getattr(data, split)
            if part is not None:
                with naming(client):
                    _check_features(
                        part.whole(), missing_allowed=False, hint=f" in the {split} rows after preprocessing"
                    )
    return data


def _transformed(client: Client, data: ClientData, federated: Federated, *, stop: int) -> ClientData:
    for position, step in enumerate(client.preprocess[:stop]):
        with naming(client):
            if step.scope == "local":
                fitted = step.fit(step.summary(data.train.whole()))
            elif position in federated:
                fitted = step.fit(federated[position])
            else:
                raise ConfigurationError(
                    f"preprocess[{position}] is federated and needs the sums over all clients, which are not "
                    "given. Collect them with local_summary, or use scope='local'."
                )
            data = _each_split(data, fitted.apply)
    return data


def _each_split(data: ClientData, function: Callable[[Examples], Examples]) -> ClientData:
    parts = {split: getattr(data, split) for split in SPLITS}
    return ClientData(**{split: part and function(part.whole()) for split, part in parts.items()})


@contextmanager
def naming(client: Client) -> Iterator[None]:
    """Put the client's name in front of what went wrong. A column it lacks is a fault of its data."""
    try:
        yield
    except (DataError, UnknownNameError) as error:
        raise DataError(f"client {client.name!r}: {error}") from error
    except ConfigurationError as error:
        raise ConfigurationError(f"client {client.name!r}: {error}") from error


def _check_features(rows: Examples, *, missing_allowed: bool, hint: str) -> None:
    for name, array in named_arrays(rows.x, "x"):
        if array.dtype.kind != "f":
            continue
        for what, bad in (("infinite", np.isinf(array)), ("missing (NaN)", np.isnan(array))):
            if not bad.any() or (what != "infinite" and missing_allowed):
                continue
            way_out = "Correct or leave out these rows."
            if what != "infinite" and hint:
                way_out = "No training row has a value to fill them with: leave the column out, or use "
                way_out += "Impute(scope='federated')."
            elif what != "infinite":
                way_out = "Leave out these rows (missing='drop' in a table) or add Impute() to preprocess."
            raise DataError(
                f"{int(bad.sum())} values of {_feature_name(rows, name, bad)} are {what}{hint}, "
                f"in {int(np.any(bad.reshape(len(bad), -1), axis=1).sum())} of {len(rows)} rows. {way_out}"
            )


def _feature_name(rows: Examples, name: str, bad: Array) -> str:
    if bad.ndim == 1:
        return name
    first: tuple[Any, ...] = tuple(int(i) for i in np.argwhere(bad.any(axis=0))[0])
    if rows.columns is not None:
        return f"{name} (first in column {rows.columns[first[-1]]!r})"
    return f"{name} (first in feature {first[0] if len(first) == 1 else first})"


def _check_labels(rows: Examples) -> None:
    for name, array in named_arrays(rows.y, "y"):
        if array.dtype.kind == "f" and not np.isfinite(array).all():
            bad: Array = np.asarray((~np.isfinite(array)).reshape(len(array), -1).any(axis=1))
            raise DataError(
                f"{int(bad.sum())} of {len(bad)} labels in {name} are missing or infinite, the first in row "
                f"{int(bad.argmax()) + 1}. Leave out these rows; a label cannot be imputed."
            )


def _check_weights(rows: Examples) -> None:
    weight = rows.sample_weight
    if weight is None:
        return
    bad = ~(np.isfinite(weight) & (weight >= 0))
    if bad.any():
        raise DataError(
            f"{int(bad.sum())} of {len(weight)} sample weights are negative or not finite, the first in row "
            f"{int(bad.argmax()) + 1} ({weight[bad.argmax()]}). Weights must be 0 or greater."
        )

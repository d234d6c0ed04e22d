"""From the data sections of a TOML file to clients."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hansa.cli.arrays import ARRAY_SETS, server_rows
from hansa.cli.declaration import Declaration, TableKeys
from hansa.cli.keys import build, given, kind_of, make
from hansa.data import (
    CSV,
    Bucketize,
    Client,
    Impute,
    MinMax,
    Parquet,
    Split,
    Standardize,
    Vocabulary,
    dirichlet,
    iid,
    quantity_skew,
    shards,
)
from hansa.data.sources import Source
from hansa.data.transform import Transform
from hansa.errors import ConfigurationError, UnknownNameError

PREPROCESS = {"standardize": Standardize, "min_max": MinMax, "impute": Impute, "bucketize": Bucketize}
PARTITIONS = {"iid": iid, "dirichlet": dirichlet, "shards": shards, "quantity_skew": quantity_skew}
_CSV_ALONE = ("delimiter", "na_values", "encoding")
_NOT_TABLE = ("csv", "parquet", "preprocess", "dataset", "partition", "name")


@dataclass(frozen=True, kw_only=True)
class Parties:
    """The clients of a run, and the server's own rows where the data bring some.

    Attributes:
        clients: The clients.
        validation: The server's rows, ``(x, y)``, or None.
    """

    clients: tuple[Client, ...]
    validation: tuple[Any, Any] | None = None


def parties(declaration: Declaration, folder: Path) -> Parties:
    """Return the clients that a declaration names.

    Args:
        declaration: The declaration, without a recipe.
        folder: The folder that paths in it are relative to.

    Raises:
        ConfigurationError: The sections contradict one another, or lack something.
        DataError: A dataset or a file that is to be divided cannot be read.
    """
    data = declaration.data
    if declaration.clients:
        if data.dataset or data.csv or data.parquet or data.partition:
            raise ConfigurationError(
                "[[clients]] and a dataset, file or partition in [data] are both given; [data] may only hold "
                "what all clients' files have in common. Keep one."
            )
        return Parties(
            clients=tuple(_client(declaration, i, folder) for i in range(len(declaration.clients)))
        )
    if data.dataset is not None and (data.csv or data.parquet):
        raise ConfigurationError("[data] names a dataset and a file; keep one.")
    if data.dataset is not None:
        return _from_dataset(declaration)
    if data.csv is None and data.parquet is None:
        raise ConfigurationError(
            "[data] names neither a dataset nor a csv or parquet file, and there are no [[clients]]."
        )
    rows = _source(given(data), folder, "[data]").load()
    hint = "one file"
    more = {"sample_weight": rows.sample_weight} if rows.sample_weight is not None else {}
    return Parties(clients=_divide(declaration, rows.x, rows.y, hint, **more))


def _from_dataset(declaration: Declaration) -> Parties:
    from hansa.recipes import RECIPES

    data = declaration.data
    name = str(data.dataset).replace("_", "-")
    if table := sorted(set(given(data)) - {"dataset", "partition", "preprocess"}):
        raise ConfigurationError(f"[data] {table[0]} is for files; the dataset {name!r} is read without it.")
    if name in RECIPES:
        if data.partition is not None:
            raise ConfigurationError(
                f"[data] partition: the dataset {name!r} comes with its own clients; leave partition out."
            )
        clients = (
            RECIPES[name]
            .build(model=RECIPES[name].models[0], seed=declaration.run.seed, algorithm=None)
            .clients
        )
        changes: dict[str, Any] = {} if declaration.split is None else {"split": declaration.split}
        if data.preprocess is not None:
            changes["preprocess"] = _transforms(data, "[data]")
        return Parties(clients=tuple(dataclasses.replace(client, **changes) for client in clients))
    known = {set_.replace("_", "-"): set_ for set_ in ARRAY_SETS}
    if name not in known:
        raise UnknownNameError("dataset in [data]", str(data.dataset), [*RECIPES, *known])
    x, y = ARRAY_SETS[known[name]]()
    clients = _divide(declaration, x, y, f"the dataset {name!r}")
    whole = data.preprocess is None  # the server's rows cannot follow what each client fits for itself
    return Parties(clients=clients, validation=server_rows(known[name]) if whole else None)


def _divide(declaration: Declaration, x: Any, y: Any, what: str, **more: Any) -> tuple[Client, ...]:
    if declaration.data.partition is None:
        raise ConfigurationError(
            f"{what} must be divided among clients: add to [data] for example "
            'partition = { kind = "iid", clients = 10 }.'
        )
    where = "[data] partition"
    kind, rest = kind_of(PARTITIONS, declaration.data.partition, where)
    split = Split() if declaration.split is None else declaration.split
    fixed = {
        "x": x,
        "y": y,
        "split": split,
        "preprocess": _transforms(declaration.data, "[data]"),
        "sample_weight": None,
    }
    return build(PARTITIONS[kind], rest, f"{where} of kind {kind!r}", **{**fixed, **more})


def _client(declaration: Declaration, index: int, folder: Path) -> Client:
    keys = declaration.clients[index]
    where = f"[[clients]] {keys.name!r}"
    own = given(keys)
    merged = {**given(declaration.data), **own}
    transforms = _transforms(keys if keys.preprocess is not None else declaration.data, where)
    split = Split() if declaration.split is None else declaration.split
    return Client(name=keys.name, source=_source(merged, folder, where), preprocess=transforms, split=split)


def _source(keys: Mapping[str, Any], folder: Path, where: str) -> Source:
    paths = [(kind, keys[kind]) for kind in ("csv", "parquet") if keys.get(kind) is not None]
    if len(paths) != 1:
        raise ConfigurationError(f'{where} needs one file: csv = "rows.csv" or parquet = "rows.parquet".')
    if keys.get("target") is None:
        raise ConfigurationError(
            f"{where} lacks the key 'target', the column of labels; give it there or in [data]."
        )
    (kind, name), settings = paths[0], {k: v for k, v in keys.items() if k not in _NOT_TABLE}
    if kind == "parquet" and (wrong := [key for key in _CSV_ALONE if key in settings]):
        raise ConfigurationError(f"{where} {wrong[0]} is for CSV files; a Parquet file is read without it.")
    if "categorical" in settings:
        settings["categorical"] = {
            column: build(Vocabulary, values, f"{where} categorical, column {column!r}")
            if isinstance(values, Mapping)
            else values
            for column, values in settings["categorical"].items()
        }
    return (CSV if kind == "csv" else Parquet)(folder / name, **settings)


def _transforms(keys: TableKeys, where: str) -> tuple[Transform, ...]:
    steps = keys.preprocess or ()
    return tuple(make(PREPROCESS, step, f"{where} preprocess[{i}]") for i, step in enumerate(steps))

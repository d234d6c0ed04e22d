"""A run as one TOML file declares it: its sections, and what each may hold."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from hansa.algorithms import ALGORITHMS, Algorithm
from hansa.claims.claims import Claims
from hansa.cli.keys import Section, build, make, parse
from hansa.cli.optimizers import Optimizer, optimizer_of
from hansa.cli.privacy_section import COHORTS, privacy_of
from hansa.cohort import Cohort
from hansa.data.split import Split
from hansa.encode import COMPRESSIONS, EightBits, Quantise, TopK
from hansa.engine import ENGINES, Declared
from hansa.errors import ConfigurationError, UnknownNameError
from hansa.privacy import Privacy
from hansa.secure_sum import SECURE_SUMS, SecureSum


class RunKeys(Section):
    """``[run]``: what is common to every run."""

    title: str | None = None
    summary: str = ""
    rounds: int
    seed: int = 0
    target: Mapping[str, float] | None = None
    metric: str | None = None
    compare: bool | None = None
    aggregate: Literal["examples", "uniform"] | None = None
    clients_validate: Literal["all", "cohort", "none"] = "all"
    validation_freq: int = 1
    local_metrics: bool = False
    verifiable: bool = True


class RecipeKeys(Section):
    """``[recipe]``: a run that Hansa brings, instead of ``[model]``, ``[data]`` and ``[[clients]]``."""

    name: str
    model: str | None = None


class ModelKeys(Section):
    """``[model]``: a built-in model by name, or a function of a Python file beside the TOML file."""

    name: str | None = None
    file: str | None = None
    function: str | None = None
    optimizer: str | Mapping[str, Any] = "sgd"
    learning_rate: float | None = None
    loss: str | None = None
    metrics: Sequence[str] | None = None
    hidden: Sequence[int] = (32,)
    filters: Sequence[int] = (16, 32)
    dropout: float = 0.0
    classes: int | None = None


class TableKeys(Section):
    """How a CSV or Parquet file is read; in ``[data]`` for all clients, in ``[[clients]]`` for one."""

    csv: str | None = None
    parquet: str | None = None
    target: str | None = None
    features: Sequence[str] | None = None
    categorical: Mapping[str, Sequence[str] | Mapping[str, Any]] | None = None
    drop_first: bool = False
    drop: Sequence[str] = ()
    positive: str | int | float | None = None
    weight: str | None = None
    missing: Literal["error", "drop", "keep"] = "error"
    delimiter: str = ","
    na_values: Sequence[str] = ()
    encoding: str = "utf-8"
    preprocess: Sequence[Mapping[str, Any]] | None = None


class DataKeys(TableKeys):
    """``[data]``: a dataset or one file, divided among clients; or what all ``[[clients]]`` share."""

    dataset: str | None = None
    partition: Mapping[str, Any] | None = None


class ClientKeys(TableKeys):
    """``[[clients]]``: one party and its file."""

    name: str


class OutputKeys(Section):
    """``[output]``: where runs are kept."""

    folder: str = "runs"


class OriginKeys(Section):
    """``[origin]``: written by ``hansa run`` into the run's folder, for ``--resume``."""

    target: str = ""
    folder: str = ""
    backend: str = ""
    model_sha256: str = ""


@dataclass(frozen=True, kw_only=True)
class Declaration:
    """A run as declared, every section checked. Nothing is read or built yet.

    Attributes:
        run: What is common to every run.
        recipe: The recipe, or None.
        model: The model, or None where a recipe brings it.
        data: The data that clients share.
        clients: The clients with files of their own.
        split: How each client divides its rows, or None for the source's own way.
        algorithm: The algorithm, or None for FedAvg (or the recipe's).
        cohort: Who takes part in a round.
        server_optimizer: The server's optimizer, or None to take the mean.
        compress: How updates are made smaller for a plain sum, or None.
        quantise: How updates become integers, or None.
        secure_sum: How the sum of updates comes about, or None for the plain sum.
        privacy: The plan of differential privacy, or None.
        claims: What clients prove of their training rows, or None.
        engine: Where clients run, or None for the local engine.
        output: Where runs are kept.
        origin: Where the declaration came from.
        raw: The file's content, from which all of this was read.
    """

    run: RunKeys
    recipe: RecipeKeys | None = None
    model: ModelKeys | None = None
    data: DataKeys = field(default_factory=DataKeys)
    clients: tuple[ClientKeys, ...] = ()
    split: Split | None = None
    algorithm: Algorithm | None = None
    cohort: Cohort | None = None
    server_optimizer: Optimizer | None = None
    compress: TopK | EightBits | None = None
    quantise: Quantise | None = None
    secure_sum: SecureSum | None = None
    privacy: Privacy | None = None
    claims: Claims | None = None
    engine: Declared | None = None
    output: OutputKeys = field(default_factory=OutputKeys)
    origin: OriginKeys = field(default_factory=OriginKeys)
    raw: Mapping[str, Any] = field(default_factory=dict)


_DEEPEST = 16
SECTIONS = tuple(name for name in Declaration.__dataclass_fields__ if name != "raw")
_NOT_WITH_RECIPE = ("model", "data", "clients", "split", "cohort", "server_optimizer")


def declare(raw: Mapping[str, Any]) -> Declaration:
    """Return the declaration in the content of a TOML file.

    Raises:
        UnknownNameError: A section, key, or name does not exist.
        ConfigurationError: Something has the wrong type, is missing, or contradicts something else.
    """
    for name in raw:
        if name not in SECTIONS:
            raise UnknownNameError("section", name, SECTIONS)
    if "recipe" in raw:
        if both := [name for name in _NOT_WITH_RECIPE if name in raw]:
            raise ConfigurationError(
                f"[{both[0]}] and [recipe] are both given; a recipe brings its own model and data. Keep one."
            )
    else:
        _check_whole(raw)
    run = parse(RunKeys, raw.get("run", {}), "[run]")
    return Declaration(
        run=run,
        recipe=parse(RecipeKeys, raw["recipe"], "[recipe]") if "recipe" in raw else None,
        model=parse(ModelKeys, raw["model"], "[model]") if "model" in raw else None,
        data=parse(DataKeys, raw.get("data", {}), "[data]"),
        clients=_clients(raw.get("clients", [])),
        split=build(Split, raw["split"], "[split]") if "split" in raw else None,
        algorithm=make(ALGORITHMS, raw["algorithm"], "[algorithm]") if "algorithm" in raw else None,
        cohort=make(COHORTS, raw["cohort"], "[cohort]") if "cohort" in raw else None,
        server_optimizer=_server_optimizer(raw),
        compress=make(COMPRESSIONS, raw["compress"], "[compress]") if "compress" in raw else None,
        quantise=build(Quantise, raw["quantise"], "[quantise]") if "quantise" in raw else None,
        secure_sum=make(SECURE_SUMS, raw["secure_sum"], "[secure_sum]") if "secure_sum" in raw else None,
        privacy=privacy_of(raw["privacy"], run.rounds) if "privacy" in raw else None,
        claims=build(Claims, raw["claims"], "[claims]") if "claims" in raw else None,
        engine=make(ENGINES, raw["engine"], "[engine]") if "engine" in raw else None,
        output=parse(OutputKeys, raw.get("output", {}), "[output]"),
        origin=parse(OriginKeys, raw.get("origin", {}), "[origin]"),
        raw=raw,
    )


def read_toml(path: Path) -> dict[str, Any]:
    """Return the content of a TOML file.

    Raises:
        ConfigurationError: It is missing, cannot be read, or is not TOML; says where.
    """
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8-sig"))
    except FileNotFoundError as error:
        others = sorted(p.name for p in path.parent.glob("*.toml")) if path.parent.is_dir() else []
        hint = f" There is {', '.join(others[:5])}." if others else ""
        raise ConfigurationError(
            f"{path} does not exist (the current folder is {Path.cwd()}).{hint}"
        ) from error
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"{path} cannot be read: {error}.") from error
    except tomllib.TOMLDecodeError as error:
        raise ConfigurationError(f"{path} is not valid TOML: {error}.") from error
    except (RecursionError, ValueError) as error:  # brackets in brackets, numbers of thousands of digits
        raise ConfigurationError(f"{path} cannot be read as TOML: {error}.") from error
    if _depth(content) > _DEEPEST:
        raise ConfigurationError(
            f"{path} has tables in tables more than {_DEEPEST} deep; no section needs that."
        )
    return content


def _depth(content: Any) -> int:
    depth, level = 0, [content]
    while level and depth <= _DEEPEST:
        depth += 1
        inner = [list(v.values()) if isinstance(v, dict) else v for v in level if isinstance(v, (dict, list))]
        level = [value for values in inner for value in values]
    return depth


def _check_whole(raw: Mapping[str, Any]) -> None:
    if "run" not in raw:
        raise ConfigurationError("the section [run] is missing; it needs at least: rounds = 20.")
    if "model" not in raw:
        raise ConfigurationError('the section [model] is missing; for example: name = "logistic".')
    if "data" not in raw and "clients" not in raw:
        raise ConfigurationError(
            "there are no data: give [[clients]] with a csv each, or [data] with a dataset and a partition."
        )


def _clients(raw: Any) -> tuple[ClientKeys, ...]:
    if not isinstance(raw, list):
        raise ConfigurationError("[clients] must be a list of tables: write [[clients]] before each client.")
    named = [f"[[clients]] number {i + 1}" for i in range(len(raw))]
    return tuple(parse(ClientKeys, one, where) for one, where in zip(raw, named, strict=True))


def _server_optimizer(raw: Mapping[str, Any]) -> Optimizer | None:
    if "server_optimizer" not in raw:
        return None
    return optimizer_of(raw["server_optimizer"], "[server_optimizer]")

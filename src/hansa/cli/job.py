"""What ``hansa run`` was asked for: the declaration, where it came from, and the federation it makes."""

from __future__ import annotations

import dataclasses
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hansa import bridge
from hansa._version import __version__
from hansa.claims.claims import Claims
from hansa.cli.clients import parties
from hansa.cli.declaration import Declaration, ModelKeys, declare, read_toml
from hansa.cli.model_file import file_hash, load_function, model_path
from hansa.cli.models import built_in, check_model
from hansa.cli.resolve import Options, recipe_algorithm, resolved
from hansa.cli.toml_text import dumps
from hansa.errors import ConfigurationError, RunError, UnknownNameError
from hansa.store.run import Run

RUN_TOML = "run.toml"
_LOWER = ("loss", "error", "entropy", "mse", "mae")


@dataclass(frozen=True, kw_only=True)
class Job:
    """A run to make.

    Attributes:
        name: Short name, for the run's folder.
        declaration: What is declared.
        folder: The folder that its paths are relative to, absolute.
    """

    name: str
    declaration: Declaration
    folder: Path

    @property
    def metric(self) -> str:
        """The metric to show and to compare, or ``""`` for the model's first."""
        return self.declaration.run.metric or ""

    def higher_is_better(self, metric: str) -> bool:
        """Return whether a greater value of a metric is the better one."""
        from hansa.recipes import RECIPES

        recipe = self.declaration.recipe
        if recipe is not None and metric == RECIPES[recipe.name].metric:
            return RECIPES[recipe.name].higher_is_better
        return not any(part in metric for part in _LOWER)

    @property
    def compares(self) -> bool:
        """Whether to compare with training alone and pooled, where the command line does not say."""
        wanted = self.declaration.run.compare
        return self.declaration.recipe is not None if wanted is None else wanted

    def text(self, backend: str) -> str:
        """Return the resolved TOML, from which `from_run` makes the same job again."""
        origin = {"target": self.declaration.origin.target, "folder": str(self.folder), "backend": backend}
        if path := self._model_path():
            origin["model_sha256"] = file_hash(path)
        head = (
            f"# Written by Hansa {__version__}: what this run is made of. `hansa run --resume` reads it.\n\n"
        )
        return head + dumps({**self.declaration.raw, "origin": origin})

    def _model_path(self) -> Path | None:
        model = self.declaration.model
        return (
            None
            if model is None or model.file is None
            else model_path(_file_and_function(model)[0], self.folder)
        )

    def check_model_file(self) -> None:
        """Raise `RunError` if the model file changed since the run began."""
        known, path = self.declaration.origin.model_sha256, self._model_path()
        if path is not None and known and file_hash(path) != known:
            raise RunError(
                f"{path} was changed since the run began; resuming would train another model. "
                "Put the old file back, or start a new run."
            )


@dataclass(frozen=True, kw_only=True)
class Assembled:
    """A federation ready to fit.

    Attributes:
        federation: The federation.
        validation: The server's own rows, or None.
    """

    federation: Any
    validation: Any = None


def from_target(target: str, options: Options) -> Job:
    """Return the job for what the user named: a recipe or a TOML file.

    Raises:
        UnknownNameError: It is neither; told with the nearest recipe.
        ConfigurationError: The file is missing or cannot work.
    """
    from hansa.recipes import RECIPES

    path = Path(target)
    if target in RECIPES:
        raw: dict[str, Any] = {"run": {}, "recipe": {"name": target}}
        return _job(target, resolved(raw, options, name=target), Path.cwd(), target)
    if path.is_dir() and (path / RUN_TOML).is_file():
        raise ConfigurationError(
            f"{target} is a folder. To run the file in it: hansa run {path / RUN_TOML}. "
            f"To go on with a run kept there: hansa run --resume {target}."
        )
    if path.suffix == ".toml" or path.is_file():
        raw = {key: value for key, value in read_toml(path).items() if key != "origin"}
        name = path.resolve().parent.name if path.stem == "run" else path.stem
        return _job(name, resolved(raw, options, name=name), path.resolve().parent, target)
    raise UnknownNameError("recipe (a file must end in .toml)", target, RECIPES)


def from_run(folder: Path, target: str | None, options: Options) -> Job:
    """Return the job that a run's folder was begun with.

    Args:
        folder: The run's folder.
        target: What the user named besides, which must be the run's own, or None.
        options: Options of the command line; only ``rounds`` may differ from the run's.

    Raises:
        RunError: There is no run, or it was not begun by ``hansa run``.
        ConfigurationError: The target or an option contradicts the run.
    """
    with Run.open(folder, write=False) as run:
        done = run.rounds
    path = folder / RUN_TOML
    if not path.is_file():
        raise RunError(
            f"{path} is missing: the run was begun from Python (go on there with fit(run=..., resume=True)), "
            "or stopped before it began to train (start it anew)."
        )
    declaration = declare(read_toml(path))
    origin = declaration.origin
    if target is not None and not _same(target, origin.target, Path(origin.folder)):
        raise ConfigurationError(
            f"{folder} is a run of {origin.target!r}, not of {target!r}. Leave the name out, "
            "or start a new run."
        )
    _check_agrees(folder, declaration, options)
    declaration = declare(options.on_engine(declaration.raw))
    if options.rounds is not None:
        if options.rounds < done:
            raise ConfigurationError(
                f"{folder} has {done} rounds done already; --rounds {options.rounds} is less. "
                f"Ask for {done} or more."
            )
        raw = {**declaration.raw, "run": {**declaration.raw["run"], "rounds": options.rounds}}
        declaration = declare(raw)
    job = Job(name=folder.name, declaration=declaration, folder=Path(origin.folder))
    job.check_model_file()
    return job


def assemble(job: Job) -> Assembled:
    """Return the federation that a job declares. The model is not built yet.

    Raises:
        ConfigurationError: The declaration cannot work.
        DataError: Data that are to be divided among clients cannot be read.
    """
    from hansa.api import Federation
    from hansa.recipes import RECIPES

    bridge.choose_backend()  # before a model file imports Keras, whose own error would blame the file
    told = job.declaration
    if told.recipe is not None:
        recipe = RECIPES[told.recipe.name]
        federation = recipe.build(model=told.recipe.model, seed=told.run.seed, algorithm=told.algorithm)
        if told.privacy is not None:
            federation.protect(told.privacy)
        federation.claims = _claims(job) or federation.claims
        federation.engine = told.engine or federation.engine
        federation.compress = told.compress or federation.compress
        federation.quantise = told.quantise or federation.quantise
        federation.secure_sum = told.secure_sum or federation.secure_sum
        return Assembled(federation=federation)
    model = _checked_model(told)
    people = parties(told, job.folder)
    if model.file is not None:
        file, function = _file_and_function(model)
        build = load_function(model_path(file, job.folder), function)
    else:
        build = built_in(model, people.clients)
    federation = Federation(
        build,
        people.clients,
        algorithm=told.algorithm,
        cohort=told.cohort,
        aggregate=told.run.aggregate,
        compress=told.compress,
        quantise=told.quantise,
        secure_sum=told.secure_sum,
        privacy=told.privacy,
        claims=_claims(job),
        server_optimizer=None if told.server_optimizer is None else told.server_optimizer.build(),
        engine=told.engine or "local",
        seed=told.run.seed,
        title=told.run.title or job.name,
    )
    return Assembled(federation=federation, validation=people.validation)


def _claims(job: Job) -> Claims | None:
    """Return what clients prove of their data; the earlier run's folder is relative to the file's."""
    claims = job.declaration.claims
    if claims is None or claims.same_as is None:
        return claims
    return dataclasses.replace(claims, same_as=job.folder / claims.same_as)


def free_folder(parent: Path, name: str) -> Path:
    """Return ``parent/name-n`` with the next number that is free."""
    stem = re.sub(r"[^A-Za-z0-9._-]+", "-", name).strip("-.") or "run"
    pattern = re.compile(re.escape(stem) + r"-([0-9]+)")
    names = [entry.name for entry in os.scandir(parent)] if parent.is_dir() else []
    taken = [int(match[1]) for entry in names if (match := pattern.fullmatch(entry))]
    return parent / f"{stem}-{max(taken, default=0) + 1}"


def _job(name: str, raw: Mapping[str, Any], folder: Path, target: str) -> Job:
    declaration = declare(raw)
    origin = declaration.origin.model_copy(update={"target": target})
    return Job(
        name=name, declaration=dataclasses.replace(declaration, origin=origin), folder=folder.absolute()
    )


def _checked_model(told: Declaration) -> ModelKeys:
    model = told.model
    if model is None or (model.name is None) == (model.file is None):
        raise ConfigurationError(
            '[model] needs either a name, as in name = "logistic", or a file with a function that returns a '
            'compiled Keras model, as in file = "model.py:build".'
        )
    if model.file is None:
        if model.function is not None:
            raise ConfigurationError("[model] function goes with file; a built-in model has none.")
        check_model(model)
        return model
    if extra := sorted(model.model_fields_set - {"file", "function"}):
        raise ConfigurationError(
            f"[model] {extra[0]} is for built-in models; set it in {model.file}, where the model is compiled."
        )
    return model


def _file_and_function(model: ModelKeys) -> tuple[str, str]:
    file, _, function = str(model.file).partition(":")
    if function and model.function and function != model.function:
        raise ConfigurationError(
            f"[model] names two functions, {function!r} and {model.function!r}; keep one."
        )
    return file, function or model.function or "build"


def _same(target: str, origin: str, folder: Path) -> bool:
    if target == origin:
        return True
    path = Path(target)
    return path.suffix == ".toml" and path.name == Path(origin).name and path.resolve().parent == folder


def _check_agrees(folder: Path, declaration: Declaration, options: Options) -> None:
    recipe, model, algorithm = declaration.recipe, declaration.model, declaration.algorithm
    if algorithm is None and recipe is not None and options.algorithm is not None:
        algorithm = recipe_algorithm(recipe.name, recipe.model)
    own = {
        "model": recipe.model if recipe else model.name if model else None,
        "algorithm": "fedavg" if algorithm is None else algorithm.describe()["kind"],
        "seed": declaration.run.seed,
        "secure_sum": declaration.raw.get("secure_sum", {}).get("kind", "plain"),
        "proof": None if declaration.secure_sum is None else declaration.secure_sum.proof_bits > 0,
        "epsilon": declaration.raw.get("privacy", {}).get("epsilon"),
        "delta": declaration.raw.get("privacy", {}).get("delta"),
    }
    for name, value in own.items():
        asked, option = getattr(options, name), name.replace("_", "-")
        if asked is not None and asked is not False and asked != value:
            raise ConfigurationError(
                f"--{option} {asked} contradicts the run {folder}, which was begun with {name} {value}. "
                f"Leave --{option} out, or start a new run."
            )

"""Puts together what a TOML file says, what a recipe brings, and what the command line's options change."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from hansa.algorithms import ALGORITHMS, Algorithm
from hansa.cli.declaration import RecipeKeys
from hansa.cli.keys import parse
from hansa.engine import ENGINES
from hansa.errors import ConfigurationError, UnknownNameError
from hansa.secure_sum import SECURE_SUMS

DELTA = 1e-5
"""Of a budget that is given by epsilon alone."""
_LOCAL_WORK = ("epochs", "steps", "batch_size", "shuffle", "carry_over")


@dataclass(frozen=True, kw_only=True)
class Options:
    """The options of the command line that change a declaration; None leaves it as it is."""

    model: str | None = None
    algorithm: str | None = None
    rounds: int | None = None
    seed: int | None = None
    secure_sum: str | None = None
    proof: bool = False
    epsilon: float | None = None
    delta: float | None = None
    engine: str | None = None
    workers: int | None = None
    address: str | None = None

    def on_engine(self, raw: Mapping[str, Any]) -> dict[str, Any]:
        """Return a file's content with the options that say where clients run put into ``[engine]``."""
        asked = {"kind": self.engine, "workers": self.workers, "address": self.address}
        asked = {key: value for key, value in asked.items() if value is not None}
        if not asked:
            return dict(raw)
        if self.engine is not None and self.engine not in ENGINES:
            raise UnknownNameError("engine", self.engine, ENGINES)
        section = dict(_table(raw, "engine"))
        if section.get("kind") != asked.get("kind", section.get("kind")):
            section = {}  # what another kind was told means nothing to this one
        section = {"kind": "vector" if "address" not in asked else "ray", **section, **asked}
        return {**raw, "engine": section}


def resolved(raw: Mapping[str, Any], options: Options, *, name: str) -> dict[str, Any]:
    """Return a file's content with what a recipe brings and the options of the command line put in."""
    result = options.on_engine(raw)
    run = {} if "recipe" not in raw else _recipe_keys(result, options)
    if "run" in raw:
        run = {**run, **_table(raw, "run")}
    elif "recipe" not in raw and options.rounds is None:
        return result  # told as a missing section when it is declared
    if "recipe" not in raw:
        run = {"title": name, **run}
    asked = {"rounds": options.rounds, "seed": options.seed}
    result["run"] = {**run, **{key: value for key, value in asked.items() if value is not None}}
    if options.model is not None and "recipe" not in raw:
        result["model"] = _other_model(_table(raw, "model"), options.model)
    result |= _secure_sum(raw, options) | _privacy(raw, options)
    if options.algorithm is not None:
        if options.algorithm not in ALGORITHMS:
            raise UnknownNameError("algorithm", options.algorithm, ALGORITHMS)
        result["algorithm"] = {"kind": options.algorithm, **_local_work(result)}
    return result


def _secure_sum(raw: Mapping[str, Any], options: Options) -> dict[str, Any]:
    """Return the section ``[secure_sum]`` that the options ask for; ``--proof`` alone seals."""
    kind = options.secure_sum or ("sealed" if options.proof else None)
    if kind is None:
        return {}
    if kind not in SECURE_SUMS:
        raise UnknownNameError("secure sum", kind, SECURE_SUMS)
    if options.proof and kind != "sealed":
        raise ConfigurationError(
            f"--proof proves norms of sealed updates; --secure-sum {kind} has none. Leave --secure-sum out."
        )
    section = _table(raw, "secure_sum")
    kept = section if section.get("kind") == kind else {}
    return {"secure_sum": {**kept, "kind": kind, **({"proof": "norm"} if options.proof else {})}}


def _privacy(raw: Mapping[str, Any], options: Options) -> dict[str, Any]:
    """Return the section ``[privacy]`` that ``--epsilon`` asks for, or changes."""
    asked = {"epsilon": options.epsilon, "delta": options.delta}
    asked = {key: value for key, value in asked.items() if value is not None}
    if not asked:
        return {}
    section = dict(_table(raw, "privacy"))
    if not section and options.epsilon is None:
        raise ConfigurationError("--delta needs --epsilon, the other half of a budget.")
    section.pop("noise_multiplier", None)  # a budget takes its place
    return {"privacy": {"kind": "record", "delta": DELTA, **section, **asked}}


def _table(raw: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    section = raw.get(name, {})
    if not isinstance(section, Mapping):
        raise ConfigurationError(f"[{name}] must be a table of keys, got {section!r}.")
    return section


def _recipe_keys(raw: dict[str, Any], options: Options) -> dict[str, Any]:
    """Settle the recipe's model in place, and return what the recipe says of ``[run]``."""
    from hansa.recipes import RECIPES

    keys = parse(RecipeKeys, raw["recipe"], "[recipe]")
    name = keys.name
    if name not in RECIPES:
        raise UnknownNameError("recipe", name, RECIPES)
    recipe = RECIPES[name]
    model = options.model or keys.model or recipe.models[0]
    if model not in recipe.models:
        raise UnknownNameError(f"model of the recipe {name}", str(model), recipe.models)
    raw["recipe"] = {"name": name, "model": model}
    return {"summary": recipe.summary, "rounds": recipe.rounds, "seed": 0, "metric": recipe.metric}


def _local_work(raw: Mapping[str, Any]) -> dict[str, Any]:
    """Return the settings of local work that an algorithm keeps when another takes its place."""
    if "algorithm" in raw:
        section = _table(raw, "algorithm")
        return {key: section[key] for key in _LOCAL_WORK if key in section}
    if "recipe" not in raw:
        return {}
    default = recipe_algorithm(raw["recipe"]["name"], raw["recipe"]["model"])
    plain = type(default)()
    return {key: getattr(default, key) for key in _LOCAL_WORK if getattr(default, key) != getattr(plain, key)}


def recipe_algorithm(name: str, model: str | None) -> Algorithm:
    """Return the algorithm that a recipe uses by itself."""
    from hansa.recipes import RECIPES

    return RECIPES[name].build(model=model, seed=0, algorithm=None).algorithm


def _other_model(section: Mapping[str, Any], name: str) -> dict[str, Any]:
    if "file" in section:
        raise ConfigurationError(
            f"--model {name} names a built-in model, but [model] names a file of your own. Leave --model out."
        )
    return {**section, "name": name}

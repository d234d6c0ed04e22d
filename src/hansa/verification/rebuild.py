"""The server's half of a run, from its configuration alone: what is needed to do each round again."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from hansa.algorithms import ALGORITHMS, Algorithm
from hansa.cohort import AllClients, AtMost, Cohort, FixedSize, Poisson
from hansa.encode import Quantise
from hansa.errors import ConfigurationError, HansaError, LogError
from hansa.plan import Plan
from hansa.privacy import Capped, ClientLevel, Clip, DistributedDP, LocalDP, Person, Privacy
from hansa.secure_sum import NormBound, Sealed
from hansa.secure_sum.roster import Member, Roster, configuration_hash
from hansa.store.canonical import canonical_json, differences, parse_json
from hansa.tree import Entry, Layout
from hansa.types import FloatVector

_COHORTS: dict[str, type[Cohort]] = {
    "all": AllClients,
    "fixed": FixedSize,
    "poisson": Poisson,
    "at_most": AtMost,
}
_NOISY: dict[str, type[ClientLevel]] = {"DistributedDP": DistributedDP, "LocalDP": LocalDP}
"""Plans of privacy in which nothing is added to the sum after it is opened."""
_BESIDE = ("class_weight", "privacy")
"""What the plan says of the clients' half alone, or is rebuilt apart."""

_OF_OTHERS = ("budget", "seeded")
"""What a plan of privacy says that does not change what is done."""

_MOST_METRICS = 10_000
_MOST_DRAWS = 10**8
"""Clients times rounds that a plan of privacy looks ahead over: seconds."""


class NotRebuilt(Exception):  # noqa: N818 - says why something is not checked
    """The rounds of a run cannot be done again, and why."""


def why_not(config: Mapping[str, Any]) -> str:
    """Return why the rounds of a run cannot be done again from its log; empty where they can."""
    kind = config["secure_sum"]["kind"]
    if kind == "plain":
        return "sums were added in the clear, so that only the coordinator has seen what went into them"
    if kind == "masking":
        return "masked sums cannot be added up again: a sum is bound to nothing that clients signed"
    noise = config["privacy"]["kind"] if "privacy" in config else ""
    if noise in ("CentralDP", "MatrixDP"):
        return f"with {noise} sums are not public: noise is added to them after they were opened"
    if config["algorithm"]["kind"] not in ALGORITHMS:
        return f"the algorithm {config['algorithm']['kind']!r:.60} is not one of Hansa's"
    if noise in _NOISY and config["privacy"]["rounds"] * len(config["roster"]["members"]) > _MOST_DRAWS:
        return "the plan of privacy is for more rounds than are looked ahead over"
    return ""


def roster_hash(config: Mapping[str, Any]) -> str:
    """Return the hash of the roster; empty where there is none.

    Raises:
        LogError: If the configuration tells another than its members have.
    """
    if "roster" not in config:
        return ""
    found, told = roster_of(config["roster"]).hash.hex(), config["roster"]["hash"]
    if told != found:
        raise LogError(f"the members of the roster have the hash {found}, and it says {told!r:.80}.")
    return found


def configuration_of(config: Mapping[str, Any]) -> bytes:
    """Return the hash of a configuration that its clients pinned."""
    return configuration_hash(canonical_json({k: v for k, v in config.items() if k != "engine"}))


def rebuilt(config: Mapping[str, Any], initial: FloatVector) -> Plan:
    """Return the plan of a run, as far as the server's half goes.

    Args:
        config: The run's configuration.
        initial: All of the model's weights before the first round.

    Raises:
        NotRebuilt: If something in it cannot be made again faithfully.
        ConfigurationError: If it declares what cannot work, or numbers that do not follow.
    """
    try:
        plan = _plan(config, initial)
    except HansaError:
        raise
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise ConfigurationError(f"the configuration is not that of a run: {error!r}.") from error
    # What follows from settings must be what the configuration says: bounds, thresholds, widths, hashes.
    again = {name: value for name, value in plan.describe().items() if name not in _BESIDE}
    told = {name: config.get(name) for name in again}
    if plan.private is not None:
        again["privacy"] = {name: v for name, v in plan.private.describe().items() if name not in _OF_OTHERS}
        told["privacy"] = {name: config["privacy"].get(name) for name in again["privacy"]}
    lines = differences(parse_json(canonical_json(again)), told)
    if lines:
        raise ConfigurationError(
            "numbers in the configuration do not follow from it: " + "; ".join(lines[:3])
        )
    return plan


def _plan(config: Mapping[str, Any], initial: FloatVector) -> Plan:
    roster, layout = roster_of(config["roster"]), _layout(config["model"]["variables"])
    evaluation, sums, metrics = config["evaluation"], config["secure_sum"], tuple(config.get("metrics", ()))
    if len(metrics) > _MOST_METRICS:
        raise ConfigurationError(f"there are {len(metrics)} metrics; expected at most {_MOST_METRICS}.")
    if math.prod(initial.shape) != sum(math.prod(entry.shape) for entry in layout.entries):
        raise ConfigurationError(f"the first model has {initial.size} weights, its layout another number.")
    return Plan(
        clients=tuple(member.name for member in roster.members),
        cards={},
        layout=layout,
        initial=initial,
        algorithm=_algorithm(config["algorithm"]),
        cohort=_cohort(config["cohort"]),
        aggregate=config["aggregate"],
        quantise=_quantise(config["quantise"]),
        secure_sum=Sealed(
            threshold=sums["threshold"],
            may_be_few=sums["members"] <= 2,
            proof=NormBound(bits=sums["proof"]["bits"]) if "proof" in sums else None,
        ),
        privacy=_privacy(config.get("privacy")),
        seed=config["seed"],
        metrics=metrics,
        roster=roster,
        configuration=configuration_of(config),
        server_optimizer=_optimizer(config["server_optimizer"]),
        server_validates=evaluation["server"],
        clients_validate=evaluation["clients"],
        validation_freq=evaluation["every"],
    )


def _layout(variables: Any) -> Layout:
    entries = [Entry(**{**each, "shape": tuple(each["shape"])}) for each in variables]
    if not all(type(length) is int and length >= 0 for entry in entries for length in entry.shape):
        raise ConfigurationError("a shape in the layout of the model is none.")
    return Layout(tuple(entries))


def roster_of(told: Mapping[str, Any]) -> Roster:
    """Return the roster that a configuration describes."""
    return Roster(
        tuple(
            Member(
                name=each["name"],
                exchange=bytes.fromhex(each["exchange"]),
                signing=bytes.fromhex(each["signing"]),
                data=bytes.fromhex(each.get("data", "")),
                rows=each.get("rows"),
            )
            for each in told["members"]
        )
    )


def _algorithm(told: Mapping[str, Any]) -> Algorithm:
    return ALGORITHMS[told["kind"]](**{name: value for name, value in told.items() if name != "kind"})


def _cohort(told: Mapping[str, Any]) -> Cohort:
    return _COHORTS[told["kind"]](**{name: value for name, value in told.items() if name != "kind"})


def _quantise(told: Mapping[str, Any]) -> Quantise:
    # The finest grid within its own bound is the grid itself.
    return Quantise(
        clip=told["clip_l2"],
        bound=told["bound_l2"],
        bits=told["bits"],
        rotate=told["rotate"],
        max_weight=told["max_weight"] or 1,
    )


def _privacy(told: Mapping[str, Any] | None) -> Privacy | None:
    """Return the plan of privacy where it has a part in what the server does; its noise is the clients'."""
    if told is None or told["kind"] not in _NOISY:
        return None
    unit, weights = told["protects"], told["weights"]
    more = {"corrupt": told["corrupt"]} if "corrupt" in told else {}
    return _NOISY[told["kind"]](
        rounds=told["rounds"],
        noise_multiplier=told["noise_multiplier"],
        delta=told["delta"],
        protects=Person(max_clients=unit["person"]) if isinstance(unit, dict) else unit,
        neighbours=told["neighbours"],
        clip=Clip(told["clip"]["norm"]),
        participation=_cohort(told["participation"]),
        population=told["population"],
        weights=weights if isinstance(weights, str) else Capped(weights["cap"]),
        **more,
    )


def _optimizer(told: Mapping[str, Any] | None) -> Any:
    """Return a server optimizer of Keras, of its settings; only of Keras' own, and of plain numbers."""
    if told is None:
        return None
    import keras

    kind = getattr(keras.optimizers, told["kind"], None)
    settings = {name: value for name, value in told.items() if name != "kind"}
    plain = all(isinstance(value, (int, float, str, bool, type(None))) for value in settings.values())
    if not (isinstance(kind, type) and issubclass(kind, keras.optimizers.Optimizer) and plain):
        raise NotRebuilt(f"the server optimizer {told['kind']!r} with its settings is not one of Keras' own")
    return kind.from_config(settings)

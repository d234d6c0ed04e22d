"""The real pipeline with canaries in it, and what is seen of it.

A `hansa.Federation` of canaries is fitted: its plan, engine, clients, sums, server and ledger are those of
any run. Releases are differences of the model from round to round, times the denominator. In the last two
rounds clients fall silent: a quarter of them, and all.
"""

from __future__ import annotations

import dataclasses
import secrets
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hansa.algorithms import FedAvg
from hansa.api import Federation
from hansa.audit.canaries import HEAVY, LOUD, Canaries, Directions, clients, name_of, pulled, pulling
from hansa.audit.watched import Watched
from hansa.cohort import AllClients, AtMost, Cohort, FixedSize, Poisson, roomy_cap
from hansa.encode import Quantise
from hansa.encode.rotate import Rotation, rotate
from hansa.engine import Declared, Local
from hansa.errors import ConfigurationError
from hansa.plan import Plan
from hansa.privacy import AdaptiveClip, ClientLevel, DistributedDP, LocalDP
from hansa.record import RoundRecord
from hansa.rng import Seeds
from hansa.secure_sum import Plain, SecureSum
from hansa.train.keras_learner import KerasLearner

DRAWN = 32
"""Clients of a round in the audit of a plan that draws them, at least."""
GAP = 3
"""Rounds between two of a client's in the audit of a plan that has such a gap, at most."""


@dataclass(frozen=True, kw_only=True)
class Settings:
    """How an audit is made.

    Attributes:
        canaries: Clients of which each sends its canary, or not, by the toss of a coin; 8 or more.
        rounds: Rounds in all; in the last two clients fall silent. 3 or more.
        seed: Makes an audit repeatable, its noise too. None takes the operating system's generator.
        secure_sum: The sum that updates go through.
        quantise: How updates become integers, or None.
        engine: Where clients run. Any but the local one is given a Keras model.

    Raises:
        ConfigurationError: A number is out of its range.
    """

    canaries: int = 200
    rounds: int = 6
    seed: int | None = None
    secure_sum: SecureSum = field(default_factory=Plain)
    quantise: Quantise | None = None
    engine: Declared = field(default_factory=Local)

    def __post_init__(self) -> None:
        for name, least in (("canaries", 8), ("rounds", 3)):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int) or value < least:
                raise ConfigurationError(f"{name} of an audit is {least} or more, got {value!r}.")

    @property
    def dimension(self) -> int:
        """Numbers in an update: a power of two, with many directions that nobody sends."""
        return max(1024, 1 << (16 * self.canaries - 1).bit_length())


@dataclass(frozen=True, kw_only=True)
class Seen:
    """What came out of a run of canaries, and what went in.

    Attributes:
        plan: The plan of the run.
        releases: What was released: coordinates along the directions, in units of the clip of its round,
            shape ``(n, d)``: differences of the model, or with `LocalDP` what single clients sent.
        there: Which of the clients' updates are in it, shape ``(n, clients)``; the last client is heavy.
        sent: For each client the sign of what it sends, or 0.
        answered: How many clients' updates are in each.
        clips: The norm that clients were given, by round.
        records: What each round did.
        moved: Differences of the model, times the denominator, by round; shape ``(rounds, d)``.
        drawn: Where updates are rotated: the releases without what canaries sent, rotated again, so that
            noise is as it was drawn, shape ``(n, d)``.
        ratios: By round, what moved the model over the sum of what clients sent, where that was listened to.
    """

    plan: Plan
    releases: NDArray[np.float64]
    there: NDArray[np.bool_]
    sent: NDArray[np.float64]
    answered: NDArray[np.int64]
    clips: tuple[float, ...]
    records: tuple[RoundRecord, ...]
    moved: NDArray[np.float64]
    ratios: tuple[float, ...] = ()
    drawn: NDArray[np.float64] | None = None

    @property
    def single(self) -> bool:
        """Whether releases are what single clients sent."""
        return bool(self.ratios)

    @property
    def private(self) -> ClientLevel:
        """The plan of privacy, bound to its run."""
        return _client_level(self.plan)


def resized(private: ClientLevel, settings: Settings) -> ClientLevel:
    """Return a plan for the population and the rounds of an audit, with the noise multiplier that it has.

    Cohorts that are drawn are made large enough to see something; gaps become short.
    """
    population, rounds = settings.canaries + 1, settings.rounds
    rest: dict[str, Any] = {}
    if isinstance(private, DistributedDP):
        threshold = private.threshold
        if private.facts is not None:
            threshold = private.facts.fewest or threshold
            threshold = None if threshold is None else int(threshold / private.expected * population)
        threshold = None if threshold is None else max(1, min(population, threshold))
        rest = {"threshold": threshold, "corrupt": min(private.corrupt, (threshold or population) - 1)}
    return dataclasses.replace(
        private,
        participation=_resized(private.participation or AllClients(), population, rounds),
        noise_multiplier=private.noise,
        budget=None,
        delta=None,
        population=None,
        facts=None,
        rounds=rounds,
        seed=private.seed if settings.seed is None else settings.seed,
        **rest,
    )


def _resized(who: Cohort, population: int, rounds: int) -> Cohort:
    few = min(population // 2, DRAWN)
    if isinstance(who, Poisson):
        rate = max(who.rate, few / population)
        return Poisson(rate, cap=None if who.cap is None else roomy_cap(rate, population))
    if isinstance(who, FixedSize):
        return FixedSize(max(few, min(who.size, population // 2)))
    if isinstance(who, AtMost):
        gap = min(who.min_gap, GAP, rounds)
        return AtMost(times=-(-rounds // gap), min_gap=gap)
    return who


def observe(private: ClientLevel, settings: Settings) -> Seen:
    """Run a plan with canaries, and return what is seen.

    Args:
        private: The plan, `resized`.
        settings: How the audit is made.
    """
    count = settings.canaries
    seed = secrets.randbits(31) if settings.seed is None else settings.seed
    directions = Directions(count=count + 1, dimension=settings.dimension, seed=seed)
    other = -1.0 if private.compared == "replace" else 0.0
    coins = Seeds(seed).stream("audit", "coins").random(count) < 0.5
    sent = np.append(np.where(coins, 1.0, other), 1.0)
    loud = sent * LOUD * _longest(private)
    learner, people = Canaries(directions=directions, sent=loud), clients(count)
    if not isinstance(settings.engine, Local):
        learner, people = (
            KerasLearner(lambda: pulled(settings.dimension, rate=1.0)),
            pulling(directions, loud),
        )
    taps = isinstance(private, LocalDP) and settings.secure_sum.sends_update
    engine = Watched(settings.engine, taps=taps, rounds=settings.rounds)
    federation = Federation(
        learner,
        people,
        algorithm=FedAvg(batch_size=HEAVY * count),
        privacy=private,
        secure_sum=settings.secure_sum,
        quantise=settings.quantise,
        engine=engine,
        seed=seed,
        title="audit",
    )
    watch = Watch(federation)
    federation.fit(settings.rounds, clients_validate="none", progress=watch)
    return _seen(watch, engine, directions, sent)


def _seen(watch: Watch, engine: Watched, directions: Directions, sent: NDArray[np.float64]) -> Seen:
    if engine.plan is None:
        raise ConfigurationError("the engine was never started.")
    plan, records = engine.plan, tuple(watch.records)
    private = _client_level(plan)
    fixed = getattr(private.clip, "norm", 0.0)
    clips = tuple(float(record.privacy.get("clip_l2", fixed)) for record in records)
    moved = watch.moved(directions.dimension) * private.expected
    count, ratios = len(sent), ()
    if engine.taps:
        keys = list(engine.messages)
        releases = np.stack([engine.messages[key] for key in keys]) / fixed
        there = np.array([[name == name_of(i) for i in range(count)] for _, name in keys])
        ratios = tuple(_ratio(engine, number, row) for number, row in enumerate(moved))
    else:
        releases = moved / np.array(clips)[:, None]
        there = np.array([_there(record, count) for record in records])
    along = directions.coordinates(releases)
    numbers = [number for number, _ in engine.messages] if engine.taps else range(len(records))
    drawn = _rotated(plan, directions, along, [engine.seeds.get(number) for number in numbers])
    return Seen(
        plan=plan,
        releases=along,
        drawn=drawn,
        there=there,
        sent=sent,
        answered=there.sum(axis=1),
        clips=clips,
        records=records,
        moved=moved,
        ratios=ratios,
    )


def _rotated(
    plan: Plan, directions: Directions, along: NDArray[np.float64], seeds: list[bytes | None]
) -> NDArray[np.float64] | None:
    if plan.encoder is None or not plan.encoder.rotates:
        return None
    along = along.copy()
    along[:, : directions.count] = 0.0
    vectors = directions.vectors(along).astype(np.float32)
    turns = [None if seed is None else Rotation(size=directions.dimension, seed=seed) for seed in seeds]
    pairs = zip(vectors, turns, strict=True)
    return np.array([vector if turn is None else rotate(vector, turn) for vector, turn in pairs], np.float64)


def _ratio(engine: Watched, number: int, moved: NDArray[np.float64]) -> float:
    sent = [message for (of, _), message in engine.messages.items() if of == number]
    if not sent:
        return 1.0 + float(np.abs(moved).max())
    total = np.sum(sent, axis=0)
    return float(moved @ total / (total @ total))


def _there(record: RoundRecord, count: int) -> list[bool]:
    names = set() if record.void else set(record.cohort) - set(record.dropped)
    return [name_of(i) in names for i in range(count)]


def _longest(private: ClientLevel) -> float:
    clip = private.clip
    return max(1.0, clip.initial if isinstance(clip, AdaptiveClip) else getattr(clip, "norm", 1.0))


def _client_level(plan: Plan) -> ClientLevel:
    if not isinstance(plan.private, ClientLevel):
        raise ConfigurationError("this audit is of plans that protect clients.")
    return plan.private


class Watch:
    """Keeps the model and the record of each round."""

    def __init__(self, federation: Federation) -> None:
        """Take the federation that is watched."""
        self._federation = federation
        self.models: list[NDArray[np.float64]] = []
        self.records: list[RoundRecord] = []

    def begin(self, *, title: str, rounds: int, done: int, clients: int, backend: str) -> None:
        """Do nothing."""

    def round(self, record: RoundRecord) -> None:
        """Take the model as it is after a round."""
        self.records.append(record)
        self.models.append(np.array(self._federation.weights, np.float64))

    def end(self, status: str) -> None:
        """Do nothing."""

    def moved(self, size: int) -> NDArray[np.float64]:
        """Return how each round moved the model, which was zero, shape ``(rounds, size)``."""
        return np.diff(np.stack([np.zeros(size), *self.models]), axis=0)

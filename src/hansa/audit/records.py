"""Canaries among the records of a silo: the real steps of DP-SGD, on the Keras backend in use.

The model is `hansa.audit.canaries.pulled`, in which records choose their gradients.
"""

from __future__ import annotations

import dataclasses
import secrets
from dataclasses import dataclass, field
from typing import final

import numpy as np
from numpy.typing import NDArray

from hansa.algorithms import FedAvg
from hansa.api import Federation
from hansa.audit import checks
from hansa.audit.canaries import LOUD, Directions, pulled
from hansa.audit.cohorts import minibatches
from hansa.audit.finding import Finding
from hansa.audit.pipeline import Settings, Watch
from hansa.audit.scores import Scores
from hansa.errors import ConfigurationError
from hansa.privacy import RecordDP
from hansa.rng import Seeds
from hansa.train.keras_learner import KerasLearner
from hansa.tree import Layout
from hansa.types import DataCard, Examples, FloatVector, LocalTask, Metrics, Trained

SILO = "silo"
STEPS = 2
"""Steps of local training in a round."""
RATE = 0.5
"""The learning rate."""


@final
@dataclass
class Listening:
    """A Keras learner that keeps which records were in which minibatch."""

    inner: KerasLearner
    drawn: list[NDArray[np.int64]] = field(default_factory=list)
    corrects_gradients: bool = False
    plain_sgd: bool = True
    private_steps: bool = True

    def build(self, examples: Examples, seed: int) -> None:
        """Build the model."""
        self.inner.build(examples, seed)

    def layout(self) -> Layout:
        """Return the layout of the model's weights."""
        return self.inner.layout()

    def initial_weights(self) -> FloatVector:
        """Return zeros."""
        return self.inner.initial_weights()

    def check_data(self, card: DataCard) -> str | None:
        """Return what is wrong with the data for the model, or None."""
        return self.inner.check_data(card)

    def train(self, examples: Examples, task: LocalTask) -> Trained:
        """Take the steps of a task, which are those of any run."""
        self.drawn.extend(np.asarray(batch) for batch in task.batches)
        return self.inner.train(examples, task)

    def evaluate(self, weights: FloatVector, examples: Examples, batch_size: int) -> Metrics:
        """Return the loss."""
        return self.inner.evaluate(weights, examples, batch_size)


def resized(private: RecordDP, settings: Settings) -> RecordDP:
    """Return a plan for the records and the rounds of an audit, with the noise multiplier that it has.

    Raises:
        ConfigurationError: If its noise depends on silos that are not known here.
    """
    if private.noise_multiplier is None and private.facts is None:
        raise ConfigurationError(
            "what noise RecordDP adds for a budget depends on the silos: audit the TOML file that has them, "
            "or a plan with noise_multiplier."
        )
    return dataclasses.replace(
        private,
        noise_multiplier=private.noise if private.noise_multiplier is None else private.noise_multiplier,
        budget=None,
        delta=None,
        facts=None,
        rounds=settings.rounds,
        seed=private.seed if settings.seed is None else settings.seed,
    )


@dataclass(frozen=True, kw_only=True)
class Run:
    """A run of a silo of canaries.

    Attributes:
        private: The plan, bound to it.
        directions: What the records are.
        sent: The sign of each record's label, or 0.
        moved: How each round moved the model, shape ``(rounds, d)``.
        there: Which records were in which minibatch, shape ``(rounds * STEPS, records)``.
    """

    private: RecordDP
    directions: Directions
    sent: NDArray[np.float64]
    moved: NDArray[np.float64]
    there: NDArray[np.bool_]


def observe(private: RecordDP, settings: Settings, *, rate: float) -> Run:
    """Run a silo of canaries.

    Args:
        private: The plan, `resized`.
        settings: How the audit is made.
        rate: The chance with which a record is in a minibatch.
    """
    count = settings.canaries
    seed = secrets.randbits(31) if settings.seed is None else settings.seed
    directions = Directions(count=count, dimension=settings.dimension, seed=seed)
    other = -1.0 if private.neighbours == "replace" else 0.0
    sent = np.where(Seeds(seed).stream("audit", "coins").random(count) < 0.5, 1.0, other)
    x = directions.vectors(np.eye(count, settings.dimension)).astype(np.float32)
    y = (LOUD * max(1.0, private.clip) * sent).astype(np.float32)
    learner = Listening(KerasLearner(lambda: pulled(settings.dimension, rate=RATE)))
    federation = Federation(
        learner,
        {SILO: (x, y)},
        algorithm=FedAvg(batch_size=max(1, round(rate * count)), steps=STEPS),
        privacy=private,
        engine=settings.engine,
        seed=seed,
        title="audit",
    )
    watch = Watch(federation)
    federation.fit(settings.rounds, clients_validate="none", progress=watch)
    bound = federation.plan().private
    return Run(
        private=bound if isinstance(bound, RecordDP) else private,
        directions=directions,
        sent=sent,
        moved=watch.moved(settings.dimension),
        there=np.array([np.isin(np.arange(count), batch) for batch in learner.drawn]),
    )


def findings(run: Run, *, claimed: float, delta: float) -> tuple[Finding, ...]:
    """Return what is found in a run of canary records.

    Args:
        run: The run.
        claimed: The epsilon that the plan tells.
        delta: The delta that it is told for.
    """
    scores = scores_of(run)
    return (
        checks.clip(scores),
        *checks.noise(scores),
        checks.reuse(scores),
        minibatches(run.there, run.private.rate(SILO)),
        checks.separation(scores),
        checks.epsilon(scores, claimed=claimed, delta=delta),
    )


def scores_of(run: Run) -> Scores:
    """Return what was seen in units of the claimed noise; the release of a round is the sum of its steps."""
    private, rate = run.private, run.private.rate(SILO)
    # A step adds learning rate / expected records · (clipped gradients downhill + noise) to the model.
    sums = run.moved * (rate * len(run.sent) / RATE / private.clip)
    claimed = private.noise * np.sqrt(STEPS)
    return Scores(
        values=run.directions.coordinates(sums) / claimed,
        patterns=run.there.reshape(len(sums), STEPS, -1).sum(axis=1) / claimed,
        sent=run.sent,
        tossed=np.ones(len(run.sent), np.bool_),
        apart=2.0 if private.neighbours == "replace" else 1.0,
        secret=rate < 1,
    )

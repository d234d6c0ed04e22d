"""The plan of a run: one frozen value that names every stage, and all checks that cross stages.

Whatever cannot work raises here, when the plan is built, and not in the middle of a run.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal

import numpy as np

from hansa.algorithms.algorithm import Algorithm, positive
from hansa.cohort import Cohort
from hansa.encode import EightBits, Encoder, Quantise, TopK, check_room
from hansa.errors import ConfigurationError, DataError, UnknownNameError
from hansa.evaluate.tally import BOUND, Tally
from hansa.privacy import AdaptiveClip, ClientLevel, Clip, DistributedDP, Facts, Privacy, RecordDP
from hansa.rng import Seeds
from hansa.secure_sum.interface import Planned, Run, SecureSum, Shape
from hansa.secure_sum.plain import Plain
from hansa.secure_sum.roster import Roster
from hansa.server.aggregate import KINDS, Aggregate
from hansa.tree import Layout
from hansa.types import Array, DataCard, Delta, FloatVector, Memory

PERSONAL = "personal"
RESIDUAL = "residual"
POSITION = "position"
MOST_TOLD = 1000
"""Clients that tell metrics through one secure sum, at most."""
FEWEST_STEPS = 1 << 12
"""A clip of fewer steps is too coarse to take without being asked for."""
VALIDATES = ("all", "cohort", "none")
SEEN_PLAIN = "It sees every client's update."
SEEN_SUMS = "Single updates are hidden in a secure sum."


@dataclass(frozen=True, kw_only=True)
class Plan:
    """Everything that a run needs to know, decided before it begins.

    Attributes:
        clients: Names of all clients, in the population's order.
        cards: What each told about its data.
        layout: Layout of all of the model's weights.
        initial: Initial weights, flat float32, all of them.
        algorithm: The algorithm: both halves and the settings of local work.
        cohort: Who takes part in a round.
        aggregate: ``"examples"``, ``"uniform"``, or a function of updates and weights.
        compress: How updates are made smaller for a plain sum, or None.
        quantise: How updates become integers; None leaves them floats, where the secure sum takes such.
        secure_sum: How the sum comes about.
        privacy: The plan of differential privacy, or None. One of whole clients owns cohort and weights.
        seed: Root of the run's public randomness, from which public cohorts follow.
        metrics: Names of the metrics that clients measure, where they tell them through a secure sum.
        roster: Names and public keys of the clients, where the secure sum needs such.
        configuration: Hash of the run's configuration, to which messages of the secure sum are bound.
        server_optimizer: A `keras.optimizers.Optimizer` for the server step, or None for the algorithm's.
        class_weight: Weight of each class in the clients' loss, or None.
        corrects_gradients: Whether the learner can correct gradients.
        plain_sgd: Whether the learner's optimizer is plain SGD.
        private_steps: Whether the learner can make its steps differentially private.
        server_validates: Whether the server holds a validation set.
        clients_validate: Which clients measure the new global model on their own rows.
        validation_freq: Every how many rounds the model is evaluated.
        local_metrics: Whether clients also measure before and after their local training.
        evaluation_batch_size: Rows per batch in evaluation.
    """

    clients: tuple[str, ...]
    cards: Mapping[str, DataCard]
    layout: Layout
    initial: FloatVector
    algorithm: Algorithm
    cohort: Cohort
    aggregate: Aggregate = "examples"
    compress: TopK | EightBits | None = None
    quantise: Quantise | None = None
    secure_sum: SecureSum = field(default_factory=Plain)
    privacy: Privacy | None = None
    seed: int = 0
    metrics: tuple[str, ...] = ()
    roster: Roster | None = None
    configuration: bytes = b""
    server_optimizer: Any = None
    class_weight: Mapping[int, float] | None = None
    corrects_gradients: bool = True
    plain_sgd: bool = True
    private_steps: bool = False
    server_validates: bool = False
    clients_validate: Literal["all", "cohort", "none"] = "all"
    validation_freq: int = 1
    local_metrics: bool = False
    evaluation_batch_size: int = 256

    def __post_init__(self) -> None:
        self.cohort.check(len(self.clients))
        _check_settings(self)
        _check_algorithm(self)
        _check_class_weight(self)
        _check_privacy(self)
        _check_sum(self)

    @cached_property
    def shared(self) -> Layout:
        """Layout of the weights that travel."""
        return self.layout.select(self.algorithm.travels)

    @cached_property
    def _mask(self) -> Array | None:
        mask = self.layout.mask(self.algorithm.travels)
        return None if mask.all() else mask

    def shared_part(self, weights: FloatVector) -> FloatVector:
        """Return the part of a full weight vector that travels."""
        return weights if self._mask is None else weights[self._mask]

    def full(self, shared: FloatVector, memory: Memory | None = None) -> FloatVector:
        """Return full weights: the shared ones, and the client's own (or the initial ones) for the rest."""
        if self._mask is None:
            return shared
        weights = np.empty(self.layout.size, np.float32)
        weights[self._mask] = shared
        weights[~self._mask] = (memory or {}).get(PERSONAL, self.initial[~self._mask])
        return weights

    def widen(self, control: FloatVector) -> FloatVector:
        """Return a vector over the shared weights as one over all weights, zero elsewhere."""
        if self._mask is None:
            return control
        wide = np.zeros(self.layout.size, np.float32)
        wide[self._mask] = control
        return wide

    def personal_part(self, weights: FloatVector) -> dict[str, Array]:
        """Return what a client remembers of its trained weights: those that do not travel."""
        return {} if self._mask is None else {PERSONAL: weights[~self._mask]}

    @cached_property
    def adds_changes(self) -> bool:
        """Whether the sum is the weighted sum of the changes of all weights, clipped or not, in the clear.

        Then an engine may add changes up where they arise, and need not keep a single one.
        """
        return (
            self.algorithm.sends_change
            and self._mask is None
            and self.secure_sum.sends_update
            and self.encoder is None
            and self.compress is None
            and (self.privacy is None or isinstance(self.privacy, ClientLevel))
            and not callable(self.aggregate)
            and not self.local_metrics
        )

    @cached_property
    def validating(self) -> frozenset[str]:
        """Names of the clients that have validation rows."""
        return frozenset(n for n, card in self.cards.items() if card.examples.get("validation", 0))

    @property
    def update_size(self) -> int:
        """Length of the vector that a client sends."""
        return self.shared.size * self.algorithm.parts

    @cached_property
    def settled(self) -> Quantise | None:
        """How updates become integers, with the largest weight of this run; None where they stay floats."""
        clients = self.privacy if isinstance(self.privacy, ClientLevel) else None
        if self.quantise is None and self.secure_sum.sends_update and not (clients and clients.integers):
            return None
        wanted = Quantise() if self.quantise is None else self.quantise
        if clients is not None and isinstance(clients.clip, Clip):
            rotates = wanted.rotate or isinstance(clients, DistributedDP)
            wanted = dataclasses.replace(wanted, clip=clients.clip.norm, rotate=rotates)
        if wanted.max_weight is None:
            rows = max(card.examples.get("train", 0) for card in self.cards.values())
            wanted = dataclasses.replace(wanted, max_weight=max(1, rows))
        return wanted if self.quantise is not None else self._fitting(wanted)

    def _fitting(self, wanted: Quantise) -> Quantise:
        """Return this with as many steps, by fours from those it has, as fit the secure sum."""
        while True:
            try:
                self.secure_sum.plan(self._shape(self._encoder(wanted)))
            except ConfigurationError:
                fewer = dataclasses.replace(wanted, bound=wanted.bound // 4)
                if fewer.bound < FEWEST_STEPS:
                    return wanted  # told when the sum is planned
                wanted = fewer
            else:
                return wanted

    def _encoder(self, settled: Quantise) -> Encoder:
        return settled.encoder(
            size=self.update_size,
            weighs=self.aggregate == "examples",
            proven=self.secure_sum.proof_bits > 0,
        )

    def _shape(self, encoder: Encoder | None) -> Shape:
        size = self.update_size if encoder is None else encoder.dimension
        members = self.cohort.members(len(self.clients))
        if encoder is None:
            return Shape(dimension=size, members=members, bound=None)
        private = self._bound(encoder)
        return Shape(
            dimension=size,
            members=members,
            bound=self._most(encoder, private),
            norm=encoder.grid.bound_l2,
            max_weight=encoder.max_weight,
            noise=(private.noise_norm or None) if isinstance(private, ClientLevel) else None,
        )

    def _most(self, encoder: Encoder, private: Privacy | None) -> int:
        """Return the largest magnitude of a client's integers, with the noise that it may add."""
        return encoder.bound + (private.largest_noise if isinstance(private, ClientLevel) else 0)

    def _bound(self, encoder: Encoder | None) -> Privacy | None:
        """Return the plan of privacy with what it has to know of this run."""
        if self.privacy is None:
            return None
        facts = Facts(
            population=len(self.clients),
            size=self.update_size if encoder is None else encoder.dimension,
            bound=0 if encoder is None else encoder.grid.bound_l2,
            fewest=self._fewest,
            sums=SEEN_PLAIN if self.secure_sum.sends_update else SEEN_SUMS,
            **self._schedule,
        )
        return self.privacy.bound(facts)

    @cached_property
    def _fewest(self) -> int:
        """Fewest clients of a secure sum; 0 with a plain one, which may be of any number."""
        members = self.cohort.members(len(self.clients))
        if self.secure_sum.sends_update or members is None:
            return 0
        return self.secure_sum.plan(Shape(dimension=1, members=members, bound=1)).fewest

    @cached_property
    def _schedule(self) -> dict[str, Any]:
        """What a plan of privacy must know of who takes part and works how much, where that is public."""
        private = self.privacy
        if private is None:
            return {}
        steps, batch = self.algorithm.steps, self.algorithm.batch_size
        rows = {name: card.examples.get("train", 0) for name, card in self.cards.items()}
        epochs = self.algorithm.epochs or 1
        known = {
            "records": rows,
            "batch_size": batch,
            "steps": {name: steps or epochs * -(-n // batch) for name, n in rows.items()},
        }
        if isinstance(private, ClientLevel) and private.amplified and self.secure_sum.sends_update:
            return known  # drawn in secret, or the same for all
        counts, public = np.zeros(len(self.clients), np.int64), Seeds(self.seed)
        places = {name: i for i, name in enumerate(self.clients)}
        most, each = [], []
        for number in range(private.rounds):
            counts[[places[name] for name in self.cohort.draw(self.clients, number, public)]] += 1
            most.append(int(counts.max()))
            if isinstance(private, RecordDP):
                each.append(counts.copy())
        if each:
            known["taken_by"] = dict(zip(self.clients, map(tuple, np.array(each).T.tolist()), strict=True))
        return {**known, "taken": tuple(most)}

    @cached_property
    def private(self) -> Privacy | None:
        """The plan of differential privacy with what it has to know of this run; None without."""
        return self._bound(self.encoder)

    @property
    def hides_cohort(self) -> bool:
        """Whether cohorts are drawn in secret."""
        return isinstance(self.private, ClientLevel) and self.private.secret_cohort

    def is_public(self, purpose: str) -> bool:
        """Whether anyone may see the messages of a secure sum of updates, or of metrics.

        Their sum can be worked out from them. It must not be where noise is added to it afterwards.
        """
        if self.private is None:
            return True
        added_later = isinstance(self.private, ClientLevel) and not self.private.integers
        return purpose == "train" and not added_later

    def draw(self, number: int, seeds: Seeds) -> tuple[str, ...]:
        """Return the cohort of the round of this number."""
        return self.cohort.draw(self.clients, number, seeds.hidden if self.hides_cohort else seeds)

    @cached_property
    def encoder(self) -> Encoder | None:
        """What makes integers of updates, or None where updates are summed as floats."""
        return None if self.settled is None else self._encoder(self.settled)

    def why_miscounted(self, name: str, delta: Delta | None) -> str:
        """Return why a client's weight in a plain sum is not its certified number of rows; empty where it is.

        In a sealed sum the proof of the norm shows it; where an engine adds changes up, it weighs them.
        """
        rows = None if self.roster is None or delta is None else self.roster.by_name[name].rows
        if rows is None or self.aggregate == "uniform":
            return ""
        weight = delta.weight  # type: ignore[union-attr] - else there are no rows
        if self.encoder is not None:
            rows = min(rows, self.encoder.max_weight or 0)
            weight = int(delta.vector[-1])  # type: ignore[union-attr]
        return "" if weight == rows else f"its weight is {weight:g}, and it certified {rows} rows"

    @property
    def proves(self) -> str:
        """What clients prove of their updates, in words; empty for nothing."""
        if self.encoder is None or not self.secure_sum.proof_bits:
            return ""
        grid, noise = self.encoder.grid, self.sums.noise_norm
        beside = (
            "" if noise is None else f", without its noise, whose norm is at most {noise * grid.scale:.6g}"
        )
        return (
            f"the norm of every update is at most {grid.bound_l2 * grid.scale:.6g} (clipped to "
            f"{grid.clip_l2:g}, and rounded){beside}, exactly; "
            f"to forge that takes 2^{self.secure_sum.proof_bits} tries"
        )

    @property
    def sum_size(self) -> int:
        """Length of the vector that is summed."""
        return self.update_size if self.encoder is None else self.encoder.dimension

    @property
    def update_bytes(self) -> int:
        """Bytes of what a client sends where that is its update, or the integers that stand for it."""
        return 4 * self.update_size if self.encoder is None else 8 * self.sum_size

    @cached_property
    def sums(self) -> Planned:
        """The secure sum of this run."""
        run = None if self.roster is None else Run(roster=self.roster, configuration=self.configuration)
        return self.secure_sum.plan(self._shape(self.encoder), run)

    @cached_property
    def tally(self) -> Tally | None:
        """What makes integers of metrics; None where clients tell theirs in the clear."""
        return None if self.secure_sum.sends_update else Tally(self.metrics)

    @cached_property
    def telling(self) -> Planned | None:
        """The secure sum of the metrics, or None where they are told in the clear."""
        if self.tally is None:
            return None
        members, secure_sum = self.cohort.members(len(self.clients)), self.secure_sum
        if self.clients_validate == "all" and members != len(self.clients):
            members, secure_sum = len(self.clients), secure_sum.anywhere()
        run = None if self.roster is None else Run(roster=self.roster, configuration=self.configuration)
        shape = Shape(dimension=self.tally.dimension, members=members, bound=BOUND)
        return secure_sum.plan(shape, run)

    def describe(self) -> dict[str, Any]:
        """Return the plan for the run's configuration: what decides the result, JSON-able."""
        aggregate, weights = self.aggregate, self.class_weight
        return {
            "algorithm": self.algorithm.describe(),
            "cohort": self.cohort.describe(),
            "aggregate": aggregate if isinstance(aggregate, str) else getattr(aggregate, "__qualname__", "?"),
            **({} if self.compress is None else {"compress": self.compress.describe()}),
            **({} if self.encoder is None else {"quantise": self.encoder.describe()}),
            "secure_sum": self.sums.describe(),
            **({} if self.private is None else {"privacy": self.private.describe()}),
            **({} if self.telling is None else {"metrics": list(self.metrics)}),
            **({} if self.roster is None else {"roster": self.roster.describe()}),
            "server_optimizer": _optimizer(self.server_optimizer),
            "class_weight": None if weights is None else {str(k): float(v) for k, v in weights.items()},
            "evaluation": {
                "server": self.server_validates,
                "clients": self.clients_validate,
                "every": self.validation_freq,
                "local_metrics": self.local_metrics,
            },
            "model": {
                "weights": self.layout.size,
                "layout": self.layout.hash,
                "variables": self.layout.describe(),
            },
        }


def _check_settings(plan: Plan) -> None:
    if not callable(plan.aggregate) and plan.aggregate not in KINDS:
        kind = "aggregate (or give a function of updates and weights)"
        raise UnknownNameError(kind, plan.aggregate, KINDS)
    if plan.clients_validate not in VALIDATES:
        raise UnknownNameError("value of clients_validate", plan.clients_validate, VALIDATES)
    for name in ("validation_freq", "evaluation_batch_size"):
        value = getattr(plan, name)
        if isinstance(value, bool) or not isinstance(value, int) or value < 1:
            raise ConfigurationError(f"{name} must be a whole number of 1 or more, got {value!r}.")


def _check_algorithm(plan: Plan) -> None:
    algorithm, name = plan.algorithm, type(plan.algorithm).__name__
    if plan.server_optimizer is not None and not algorithm.takes_mean:
        raise ConfigurationError(
            f"{name} has a server step of its own, so server_optimizer cannot take its place. Use "
            "algorithm=FedAvg(...) with server_optimizer, or leave server_optimizer out."
        )
    if algorithm.corrects and not plan.corrects_gradients:
        raise ConfigurationError(
            f"{name} changes the gradients of local training, which this learner does not let it do "
            "(corrects_gradients is False). Use FedAvg or an adaptive server step."
        )
    if algorithm.needs_plain_sgd and not plan.plain_sgd:
        raise ConfigurationError(
            f"{name} derives its control variates from plain SGD steps, but the model is compiled with "
            "another optimizer or with momentum, clipping, decay or a schedule. Compile it with "
            "keras.optimizers.SGD(rate)."
        )
    if not any(entry.trainable for entry in plan.shared.entries):
        raise ConfigurationError(
            f"{name} shares none of this model's trainable weights; there is nothing to aggregate. "
            "Use FedAvg, or a model with other layers than batch normalization."
        )


def _check_privacy(plan: Plan) -> None:
    """Raise where a plan of differential privacy would not hold in this run, or not do what it says."""
    private = plan.privacy
    if private is None:
        return
    name = type(private).__name__
    if not isinstance(private, Privacy):
        raise ConfigurationError(
            f"privacy must be a plan such as hansa.privacy.CentralDP(...), got {private!r}."
        )
    if isinstance(private, RecordDP):
        _check_record_level(plan)
    if isinstance(private, ClientLevel):
        _check_client_level(plan, private)
    _ = plan.private
    if isinstance(private, DistributedDP) and plan.cohort.members(len(plan.clients)) is None:
        raise ConfigurationError(
            f"{name} divides its noise among a fixed number of clients, and this cohort has none. Take "
            "FixedSize(n), or everyone."
        )


def _check_record_level(plan: Plan) -> None:
    if not plan.private_steps:
        raise ConfigurationError(
            "RecordDP adds noise in the steps of local training, which this learner does not do "
            "(private_steps is not True). Use a Keras model, or CentralDP."
        )
    if plan.algorithm.work != "train":
        raise ConfigurationError(
            f"RecordDP adds noise in the steps of local training, and {type(plan.algorithm).__name__} "
            "takes none. "
            "Use FedAvg(steps=1, ...), or CentralDP."
        )
    if plan.algorithm.carry_over or not plan.algorithm.shuffle:
        raise ConfigurationError(
            "RecordDP draws each minibatch anew, every record with the same chance; carry_over=True and "
            "shuffle=False ask for another order. Leave them out."
        )


def _check_client_level(plan: Plan, private: ClientLevel) -> None:
    name = type(private).__name__
    if plan.aggregate != "uniform":
        raise ConfigurationError(
            f"{name} protects whole clients, so that no client may count for more by what only it knows: "
            f"aggregate={plan.aggregate!r} would weigh by numbers of rows, which are secret too, or "
            "look at single "
            "updates. Leave aggregate out; weights=hansa.privacy.Capped(rows) weighs by rows up to a cap."
        )
    if plan.compress is not None:
        raise ConfigurationError(
            f"{name} bounds each update by its clip, which compress would undo. Leave compress out."
        )
    if plan.local_metrics:
        raise ConfigurationError(f"local_metrics tells of each client what {name} protects. Leave it out.")
    adapts = isinstance(private.clip, AdaptiveClip)
    if adapts and (plan.quantise is not None or not plan.secure_sum.sends_update):
        raise ConfigurationError(
            "AdaptiveClip changes the norm from round to round, for which the integers of quantise and of "
            "secure sums have no room. Use Clip(norm) with them, or the plain sum without quantise."
        )
    if (
        plan.quantise is not None
        and not adapts
        and plan.quantise.clip not in (Quantise().clip, private.norm())
    ):
        raise ConfigurationError(
            f"quantise clips updates to {plan.quantise.clip:g} and {name} to {private.norm():g}. Say "
            "the norm "
            "once, in the plan of privacy."
        )


def _check_sum(plan: Plan) -> None:
    """Raise where sums of integers do not fit, or a secure sum does not hold: with the numbers."""
    if not isinstance(plan.secure_sum, SecureSum):
        raise ConfigurationError(
            "secure_sum must be a secure sum such as hansa.Plain() or hansa.Sealed(), got "
            f"{plan.secure_sum!r}."
        )
    if plan.compress is not None and plan.encoder is not None:
        raise ConfigurationError(
            "compress is for plain sums of floats: integers of a secure sum must line up coordinate by "
            "coordinate. Leave compress out; fewer bits in quantise make seals smaller."
        )
    if plan.encoder is not None:
        if callable(plan.aggregate):
            raise ConfigurationError(
                "a function as aggregate needs each client's update, which a secure sum hides and quantise "
                "makes integers of. Use aggregate='examples' or 'uniform', or leave both out."
            )
        # Sums of a simulation are float64, which is exact to 2^53.
        members = plan.cohort.members(len(plan.clients)) or len(plan.clients)
        check_room(plan._most(plan.encoder, plan.private), members, modulus=2**54)
    if not plan.secure_sum.sends_update and plan.local_metrics:
        raise ConfigurationError(
            "local_metrics tells what each client measures before and after its training, which a secure sum "
            "is there to hide. Leave it out, or use the plain sum."
        )
    everyone = plan.clients_validate == "all" and not plan.secure_sum.sends_update
    if everyone and len(plan.clients) > MOST_TOLD:
        raise ConfigurationError(
            f"clients_validate='all' would add up the metrics of {len(plan.clients)} clients through a "
            f"secure sum in every round; up to {MOST_TOLD} are. Use clients_validate='cohort'."
        )
    _ = plan.sums, plan.telling


def _check_class_weight(plan: Plan) -> None:
    if plan.class_weight is None:
        return
    if not isinstance(plan.class_weight, Mapping):
        raise ConfigurationError(
            f"class_weight maps classes to weights, as in {{0: 1.0, 1: 5.0}}; got {plan.class_weight!r}."
        )
    for label, weight in plan.class_weight.items():
        if isinstance(label, bool) or not isinstance(label, (int, np.integer)):
            raise ConfigurationError(
                f"class_weight maps classes, which are whole numbers, to weights; got {label!r}."
            )
        positive(f"the weight of class {label}", weight, zero=True)
    without = [name for name, card in plan.cards.items() if card.labels is None]
    if without:
        raise DataError(
            f"class_weight needs labels that are classes (whole numbers); those of {without[0]!r} are not. "
            "Leave class_weight out, or weigh rows by sample_weight."
        )
    for name, card in plan.cards.items():
        if not any(plan.class_weight.get(int(label), 1.0) for label in card.labels or ()):
            raise DataError(
                f"client {name!r}: class_weight gives all of its training rows, which are of the classes "
                f"{', '.join(card.labels or ())}, the weight 0, so that nothing can be learnt. Give one of "
                "them a weight above 0, or leave the client out."
            )


def _optimizer(optimizer: Any) -> dict[str, Any] | None:
    """Return a server optimizer's configuration without its name, which Keras numbers."""
    if optimizer is None:
        return None
    config = {k: v for k, v in optimizer.get_config().items() if k != "name"}
    return {"kind": type(optimizer).__name__, **_plain(config)}


def _plain(value: Any) -> Any:
    """Return a configuration with NumPy numbers as Python numbers."""
    if isinstance(value, Mapping):
        return {str(k): _plain(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(v) for v in value]
    return value.item() if isinstance(value, np.generic) else value

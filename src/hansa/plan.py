"""The plan of a run: one frozen value that names every stage, and all checks that cross stages.

Whatever cannot work raises here, when the plan is built, and not in the middle of a run.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal

import numpy as np

from hansa.algorithms.algorithm import Algorithm
from hansa.errors import ConfigurationError, DataError, UnknownNameError
from hansa.secure_sum.plain import Plain
from hansa.server.aggregate import KINDS, Aggregate
from hansa.server.cohort import Cohort
from hansa.tree import Layout
from hansa.types import Array, DataCard, FloatVector, Memory

PERSONAL = "personal"
POSITION = "position"


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
        secure_sum: How the sum comes about.
        server_optimizer: A `keras.optimizers.Optimizer` for the server step, or None for the algorithm's own.
        class_weight: Weight of each class in the clients' loss, or None.
        corrects_gradients: Whether the learner can correct gradients.
        plain_sgd: Whether the learner's optimizer is plain SGD.
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
    secure_sum: Plain = field(default_factory=Plain)
    server_optimizer: Any = None
    class_weight: Mapping[int, float] | None = None
    corrects_gradients: bool = True
    plain_sgd: bool = True
    server_validates: bool = False
    clients_validate: Literal["all", "cohort", "none"] = "all"
    validation_freq: int = 1
    local_metrics: bool = False
    evaluation_batch_size: int = 256

    def __post_init__(self) -> None:
        self.cohort.check(len(self.clients))
        name = type(self.algorithm).__name__
        if not callable(self.aggregate) and self.aggregate not in KINDS:
            raise UnknownNameError("aggregate (or give a function of updates and weights)", self.aggregate, KINDS)
        if self.clients_validate not in ("all", "cohort", "none"):
            raise UnknownNameError("value of clients_validate", self.clients_validate, ("all", "cohort", "none"))
        if isinstance(self.validation_freq, bool) or not isinstance(self.validation_freq, int) or self.validation_freq < 1:
            raise ConfigurationError(f"validation_freq must be a whole number of 1 or more, got {self.validation_freq!r}.")
        if self.server_optimizer is not None and not self.algorithm.takes_mean:
            raise ConfigurationError(
                f"{name} has a server step of its own, so server_optimizer cannot take its place. Use "
                "algorithm=FedAvg(...) with server_optimizer, or leave server_optimizer out."
            )
        if self.algorithm.corrects and not self.corrects_gradients:
            raise ConfigurationError(
                f"{name} changes the gradients of local training, which this learner does not let it do "
                "(corrects_gradients is False). Use FedAvg or an adaptive server step."
            )
        if self.algorithm.needs_plain_sgd and not self.plain_sgd:
            raise ConfigurationError(
                f"{name} derives its control variates from plain SGD steps, but the model is compiled with another "
                "optimizer or with momentum, clipping or decay. Compile it with keras.optimizers.SGD(rate)."
            )
        if not self.shared.size or not any(e.trainable for e in self.shared.entries):
            raise ConfigurationError(f"{name} shares none of this model's weights; there is nothing to aggregate.")
        if self.class_weight is not None and any(not w >= 0 for w in self.class_weight.values()):
            raise ConfigurationError(f"class weights must be 0 or more, got {dict(self.class_weight)}.")
        if self.class_weight is not None and all(card.labels is None for card in self.cards.values()):
            raise DataError("class_weight needs labels that are classes (whole numbers); these are not.")

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

    @property
    def update_size(self) -> int:
        """Length of the vector that a client sends."""
        return self.shared.size * self.algorithm.parts

    def describe(self) -> dict[str, Any]:
        """Return the plan for the run's configuration: what decides the result, JSON-able."""
        optimizer = self.server_optimizer
        return {
            "algorithm": self.algorithm.describe(),
            "cohort": self.cohort.describe(),
            "aggregate": self.aggregate if isinstance(self.aggregate, str) else getattr(self.aggregate, "__qualname__", "?"),
            "secure_sum": self.secure_sum.describe(),
            "server_optimizer": None
            if optimizer is None
            else {"kind": type(optimizer).__name__, **_plain({k: v for k, v in optimizer.get_config().items() if k != "name"})},
            "class_weight": None
            if self.class_weight is None
            else {str(k): float(v) for k, v in self.class_weight.items()},
            "evaluation": {
                "server": self.server_validates,
                "clients": self.clients_validate,
                "every": self.validation_freq,
                "local_metrics": self.local_metrics,
            },
            "model": {"weights": self.layout.size, "layout": self.layout.hash},
        }


def _plain(value: Any) -> Any:
    """Return a configuration with NumPy numbers as Python numbers."""
    if isinstance(value, Mapping):
        return {str(k): _plain(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(v) for v in value]
    return value.item() if isinstance(value, np.generic) else value

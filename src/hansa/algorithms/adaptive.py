"""FedAdam, FedYogi, FedAdagrad: FedAvg's clients, an adaptive step on the server.

All three share one client half and one server half (`adaptive_step`); they differ in how the
second moment moves, as in the paper's algorithm 2. Everything is NumPy float64, bit for bit the
same on any machine, so that a verifier can recompute the step.

Source:
    Reddi, Charles, Zaheer, Garrett, Rush, Konečný, Kumar, McMahan 2021, Adaptive Federated
    Optimization, algorithm 2. There is no bias correction.
"""

from __future__ import annotations

import abc
import dataclasses
import math
from dataclasses import dataclass
from typing import ClassVar, final

import numpy as np

from hansa.algorithms.algorithm import Algorithm, is_number, positive
from hansa.errors import ConfigurationError
from hansa.tree import Layout
from hansa.types import Array, ServerState


@dataclass(frozen=True, kw_only=True)
class Adaptive(Algorithm):
    """What the three have in common.

    Attributes:
        learning_rate: The server's step size, above 0.
        beta_1: Decay of the first moment (momentum), at least 0 and below 1.
        beta_2: Decay of the second moment, at least 0 and below 1 (not used by FedAdagrad).
        tau: Added to the root of the second moment: the degree of adaptivity, above 0.
        m0: Initial value of the first moment.
        v0: Initial value of the second moment, 0 or greater (the paper asks for at least tau²).
    """

    learning_rate: float = 0.01
    beta_1: float = 0.9
    beta_2: float = 0.99
    tau: float = 1e-3
    m0: float = 0.0
    v0: float = 0.0
    takes_mean: ClassVar[bool] = False

    def __post_init__(self) -> None:
        super().__post_init__()
        positive("learning_rate", self.learning_rate)
        positive("tau", self.tau)
        positive("v0", self.v0, zero=True)
        for name in ("beta_1", "beta_2"):
            value = getattr(self, name)
            if not is_number(value) or not 0 <= value < 1:
                raise ConfigurationError(f"{name} must be at least 0 and below 1, got {value!r}.")
        if not is_number(self.m0) or not math.isfinite(self.m0):
            raise ConfigurationError(f"m0 must be a finite number, got {self.m0!r}.")

    # client half: the change of the weights, as `Algorithm.client_update` says
    # server half
    def server_slots(self, layout: Layout) -> dict[str, Array]:
        """Start with moments of ``m0`` and ``v0``."""
        return {"m": np.full(layout.size, self.m0), "v": np.full(layout.size, self.v0)}

    @abc.abstractmethod
    def second_moment(self, v: Array, square: Array) -> Array:
        """Return the new second moment from the old one and the squared mean change."""

    def server_step(self, state: ServerState, mean: Array, layout: Layout, *, share: float) -> ServerState:
        """Step by ``learning_rate · m / (√v + tau)``; moving statistics take the mean as it is."""
        m = self.beta_1 * state.slots["m"] + (1 - self.beta_1) * mean
        v = self.second_moment(state.slots["v"], mean * mean)
        step = self.learning_rate * m / (np.sqrt(v) + self.tau)
        step = np.where(layout.mask(lambda entry: entry.trainable), step, mean)
        weights = (state.weights.astype(np.float64) + step).astype(np.float32)
        return dataclasses.replace(state, weights=weights, slots={**state.slots, "m": m, "v": v})


@final
@dataclass(frozen=True, kw_only=True)
class FedAdam(Adaptive):
    """Adam on the server."""

    def second_moment(self, v: Array, square: Array) -> Array:
        """Return the moving mean of squares."""
        return self.beta_2 * v + (1 - self.beta_2) * square


@final
@dataclass(frozen=True, kw_only=True)
class FedYogi(Adaptive):
    """Yogi on the server: the second moment moves by a bounded amount."""

    def second_moment(self, v: Array, square: Array) -> Array:
        """Move towards the square by ``(1 - beta_2)`` times the square."""
        return v - (1 - self.beta_2) * square * np.sign(v - square)


@final
@dataclass(frozen=True, kw_only=True)
class FedAdagrad(Adaptive):
    """Adagrad on the server: squares add up. The first moment has momentum ``beta_1``.

    The paper's experiments use ``beta_1 = 0`` for FedAdagrad, which is the default here.
    """

    beta_1: float = 0.0

    def second_moment(self, v: Array, square: Array) -> Array:
        """Add the square."""
        return v + square

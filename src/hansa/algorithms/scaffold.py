"""SCAFFOLD: control variates take the clients' drift out of their gradients."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, final

import numpy as np

from hansa.algorithms.algorithm import Algorithm, add_mean, positive
from hansa.tree import Layout
from hansa.types import Array, FloatVector, Memory, ServerState, Start, Trained


@final
@dataclass(frozen=True, kw_only=True)
class Scaffold(Algorithm):
    """Stochastic controlled averaging, with option II for the clients' variates.

    A client steps along ``gradient - c_i + c`` and sends the changes of its weights and of its
    variate, which travel as one vector of twice the model's size. Both are averaged with the
    run's weights (by examples, or uniform as in the paper; equal clients make no difference).

    Attributes:
        learning_rate: The server's step size, above 0.

    Source:
        Karimireddy, Kale, Mohri, Reddi, Stich, Suresh 2020, SCAFFOLD: Stochastic Controlled
        Averaging for Federated Learning, algorithm 1.
    """

    learning_rate: float = 1.0
    corrects: ClassVar[bool] = True
    takes_mean: ClassVar[bool] = False
    needs_plain_sgd: ClassVar[bool] = True
    parts: ClassVar[int] = 2

    def __post_init__(self) -> None:
        super().__post_init__()
        positive("learning_rate", self.learning_rate)

    # client half
    def control(self, start: Start, memory: Memory, layout: Layout) -> FloatVector:
        """Return ``c - c_i``."""
        server = start.extra["control"]
        return server - memory.get("control", np.zeros_like(server))

    def correct(self, gradient: Any, weight: Any, start: Any, control: Any) -> Any:
        """Add ``c - c_i``."""
        return gradient + control

    def client_update(
        self, start: Start, memory: Memory, trained: Trained, layout: Layout
    ) -> tuple[FloatVector, Memory]:
        """Send the changes of weights and variate; remember the new variate (option II)."""
        change = trained.weights - start.weights
        server = start.extra["control"]
        own = memory.get("control", np.zeros_like(server))
        trainable = layout.mask(lambda entry: entry.trainable)
        new = (own - server - change / np.float32(trained.steps * trained.learning_rate)) * trainable
        new = new.astype(np.float32)
        return np.concatenate([change, new - own]), {"control": new}

    # server half
    def server_slots(self, layout: Layout) -> dict[str, Array]:
        """Start with a variate of zero."""
        return {"control": np.zeros(layout.size, np.float32)}

    def broadcast(self, state: ServerState) -> Mapping[str, Array]:
        """Send the server's variate."""
        return {"control": state.slots["control"]}

    def server_step(self, state: ServerState, mean: Array, layout: Layout, *, share: float) -> ServerState:
        """Add the mean change of the weights, and ``share`` times that of the variates."""
        change, drift = mean[: layout.size], mean[layout.size :]
        control = (state.slots["control"].astype(np.float64) + share * drift).astype(np.float32)
        state = add_mean(state, change, learning_rate=self.learning_rate)
        return dataclasses.replace(state, slots={**state.slots, "control": control})

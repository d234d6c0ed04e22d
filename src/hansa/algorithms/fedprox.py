"""FedProx: FedAvg with a pull back to the global weights."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, final

from hansa.algorithms.algorithm import Algorithm, add_mean, positive
from hansa.tree import Layout
from hansa.types import Array, ServerState


@final
@dataclass(frozen=True, kw_only=True)
class FedProx(Algorithm):
    """FedAvg whose clients minimise their loss plus ``mu / 2 · ‖w - w_global‖²``.

    Attributes:
        mu: Strength of the pull, 0 or greater; 0 is FedAvg.

    Source:
        Li, Sahu, Zaheer, Sanjabi, Talwalkar, Smith 2020, Federated Optimization in Heterogeneous
        Networks, algorithm 2.
    """

    mu: float = 0.01
    corrects: ClassVar[bool] = True

    def __post_init__(self) -> None:
        super().__post_init__()
        positive("mu", self.mu, zero=True)

    # client half: beside this, the change of the weights, as `Algorithm.client_update` says
    def correct(self, gradient: Any, weight: Any, start: Any, control: Any) -> Any:
        """Add the gradient of the proximal term."""
        return gradient + self.mu * (weight - start)

    # server half
    def server_step(self, state: ServerState, mean: Array, layout: Layout, *, share: float) -> ServerState:
        """Add the mean change."""
        return add_mean(state, mean)

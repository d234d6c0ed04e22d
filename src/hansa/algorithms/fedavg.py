"""FedAvg: train locally, average the changes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import final

from hansa.algorithms.algorithm import Algorithm, add_mean
from hansa.tree import Layout
from hansa.types import Array, ServerState


@final
@dataclass(frozen=True, kw_only=True)
class FedAvg(Algorithm):
    """Federated averaging.

    Source:
        McMahan, Moore, Ramage, Hampson, Agüera y Arcas 2017, Communication-Efficient Learning of
        Deep Networks from Decentralized Data, algorithm 1.

    Example:
        >>> FedAvg(epochs=5, batch_size=10).describe()["kind"]
        'fedavg'
    """

    # client half: the change of the weights, as `Algorithm.client_update` says
    # server half
    def server_step(self, state: ServerState, mean: Array, layout: Layout, *, share: float) -> ServerState:
        """Add the mean change."""
        return add_mean(state, mean)

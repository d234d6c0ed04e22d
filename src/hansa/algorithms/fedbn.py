"""FedBN: batch-normalization layers stay with each client, the rest is averaged."""

from __future__ import annotations

from dataclasses import dataclass
from typing import final

from hansa.algorithms.algorithm import Algorithm, add_mean
from hansa.tree import Entry, Layout
from hansa.types import Array, ServerState


@final
@dataclass(frozen=True, kw_only=True)
class FedBN(Algorithm):
    """FedAvg over all variables but those of BatchNormalization layers, which are personal.

    A client is evaluated with its own batch normalization. The global model keeps the initial one,
    so that a central test set says little; look at ``clients_val_*``.

    Source:
        Li, Jiang, Zhang, Kamp, Dou 2021, FedBN: Federated Learning on Non-IID Features via Local
        Batch Normalization, algorithm 1.
    """

    def travels(self, entry: Entry) -> bool:
        """Share everything but batch normalization (scale, offset and moving statistics)."""
        return entry.layer != "BatchNormalization"

    # client half: the change of the weights, as `Algorithm.client_update` says
    # server half
    def server_step(self, state: ServerState, mean: Array, layout: Layout, *, share: float) -> ServerState:
        """Add the mean change."""
        return add_mean(state, mean)

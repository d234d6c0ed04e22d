"""FedSGD: one gradient per client and round, one step on the server."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal, final

from hansa.algorithms.algorithm import Algorithm, add_mean, positive
from hansa.errors import ConfigurationError
from hansa.tree import Layout
from hansa.types import Array, ServerState


@final
@dataclass(frozen=True, kw_only=True)
class FedSGD(Algorithm):
    """Distributed gradient descent: each client sends the mean gradient over all its rows.

    The clients' optimizer is not used. ``batch_size`` only bounds memory.

    Attributes:
        learning_rate: The server's step size, above 0.

    Source:
        McMahan et al. 2017, section 2 (FederatedSGD).
    """

    learning_rate: float = 0.1
    shuffle: bool = False
    work: ClassVar[Literal["train", "gradient"]] = "gradient"
    takes_mean: ClassVar[bool] = False

    def __post_init__(self) -> None:
        super().__post_init__()
        positive("learning_rate", self.learning_rate)
        if self.epochs not in (None, 1) or self.steps is not None:
            raise ConfigurationError(
                "FedSGD takes one gradient over all rows; it has no epochs or steps. Use FedAvg."
            )

    # client half: the negative mean gradient, which local work leaves as the change of the weights
    # server half
    def server_step(self, state: ServerState, mean: Array, layout: Layout, *, share: float) -> ServerState:
        """Step along the mean of the negative gradients; moving statistics take their mean as it is."""
        trainable = layout.mask(lambda entry: entry.trainable)
        return add_mean(state, mean * (trainable * self.learning_rate + ~trainable))

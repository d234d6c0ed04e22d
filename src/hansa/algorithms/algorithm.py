"""What an algorithm is: settings of the local work, a client half and a server half."""

from __future__ import annotations

import abc
import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

from hansa.errors import ConfigurationError
from hansa.tree import Entry, Layout
from hansa.types import Array, FloatVector, Memory, ServerState, Start, Trained


@dataclass(frozen=True, kw_only=True)
class Algorithm(abc.ABC):
    """A federated algorithm. Subclasses are final; they add settings and fill in both halves.

    Attributes:
        epochs: Passes over the client's rows in a round; 1 if neither it nor ``steps`` is given.
        steps: Minibatches in a round, instead of ``epochs``.
        batch_size: Rows per minibatch; the last of a pass holds what is left.
        shuffle: Whether each pass is a new seeded permutation.
        carry_over: Whether a round goes on in the data where the client's last one stopped (needs ``steps``).
    """

    epochs: int | None = None
    steps: int | None = None
    batch_size: int = 32
    shuffle: bool = True
    carry_over: bool = False

    work: ClassVar[Literal["train", "gradient"]] = "train"
    corrects: ClassVar[bool] = False
    """Whether `correct` changes gradients."""
    takes_mean: ClassVar[bool] = True
    """Whether the server step is to add the mean, so that a server optimizer may take its place."""
    needs_plain_sgd: ClassVar[bool] = False
    """Whether the clients' optimizer must be plain SGD."""
    parts: ClassVar[int] = 1
    """How many vectors of the model's size one update is made of."""

    def __post_init__(self) -> None:
        for name in ("epochs", "steps", "batch_size"):
            value = getattr(self, name)
            whole = isinstance(value, int) and not isinstance(value, bool)
            if value is not None and (not whole or value < 1):
                raise ConfigurationError(f"{name} must be a whole number of 1 or more, got {value!r}.")
        if self.batch_size is None:
            raise ConfigurationError("batch_size must be a whole number of 1 or more, got None.")
        if self.epochs is not None and self.steps is not None:
            raise ConfigurationError(
                f"give epochs or steps, not both (got epochs={self.epochs}, steps={self.steps})."
            )
        if self.epochs is None and self.steps is None:
            object.__setattr__(self, "epochs", 1)
        if self.carry_over and self.steps is None:
            raise ConfigurationError("carry_over goes on within the data, so it needs steps=..., not epochs.")

    def describe(self) -> dict[str, Any]:
        """Return the settings for the run's configuration."""
        return {"kind": type(self).__name__.lower(), **dataclasses.asdict(self)}

    def travels(self, entry: Entry) -> bool:
        """Whether a variable is shared; one that is not stays with each client."""
        return True

    # client half

    def control(self, start: Start, memory: Memory, layout: Layout) -> FloatVector | None:
        """Return the vector that `correct` gets beside each gradient, or None."""
        return None

    def correct(self, gradient: Any, weight: Any, start: Any, control: Any) -> Any:
        """Return the gradient to use, from tensors of one variable; runs inside the compiled step."""
        return gradient

    def client_update(
        self, start: Start, memory: Memory, trained: Trained, layout: Layout
    ) -> tuple[FloatVector, Memory]:
        """Return the update to send, of ``parts`` times the layout's size, and what to remember.

        Most algorithms send the change of the weights and remember nothing, as here.
        """
        return trained.weights - start.weights, {}

    @property
    def sends_change(self) -> bool:
        """Whether the update is the change of the weights, so that engines may add where it arises."""
        return type(self).client_update is Algorithm.client_update

    # server half

    def server_slots(self, layout: Layout) -> dict[str, Array]:
        """Return the arrays that the server keeps between rounds, as they are at the start."""
        return {}

    def broadcast(self, state: ServerState) -> Mapping[str, Array]:
        """Return what clients need beside the weights."""
        return {}

    @abc.abstractmethod
    def server_step(self, state: ServerState, mean: Array, layout: Layout, *, share: float) -> ServerState:
        """Return the state after the round.

        Args:
            state: The state before it.
            mean: Mean of the clients' updates, float64.
            layout: Layout of the weights.
            share: Clients in the mean as a part of the population, above 0 and at most 1.
        """


def add_mean(state: ServerState, mean: Array, *, learning_rate: float = 1.0) -> ServerState:
    """Return the state with ``learning_rate`` times the mean added to the weights, computed in float64."""
    weights = learning_rate * mean
    weights += state.weights  # in place: a large model's weights are held as few times as possible
    return dataclasses.replace(state, weights=weights.astype("float32"))


def is_number(value: Any) -> bool:
    """Whether a setting is a Python number; True and False are none."""
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def positive(name: str, value: float, *, zero: bool = False) -> None:
    """Raise `ConfigurationError` unless a setting is a finite number above 0 (or of 0 or more)."""
    if not is_number(value) or not (value > 0 or (zero and value == 0)) or value == float("inf"):
        wanted = "of 0 or more" if zero else "above 0"
        raise ConfigurationError(f"{name} must be a finite number {wanted}, got {value!r}.")

"""Reports are data: what a round did, as one frozen value that the caller may print, plot or keep."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from hansa.types import Metrics


@dataclass(frozen=True, kw_only=True)
class ClientRecord:
    """What one client reported of one round.

    Attributes:
        examples: Number of its training rows, or None where counts are not sent.
        training: Loss and metrics during its local training.
        before: Loss and metrics of the global model it received, on its own held-out rows.
        after: Loss and metrics of its locally trained model, on the same rows.
        validation: Loss and metrics of the new global model on its own held-out rows.
    """

    examples: int | None = None
    training: Metrics = field(default_factory=dict)
    before: Metrics = field(default_factory=dict)
    after: Metrics = field(default_factory=dict)
    validation: Metrics = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class RoundRecord:
    """What one round did.

    Attributes:
        round: Number of the round, from 0.
        cohort: Names of the clients drawn, in the order drawn.
        dropped: Reason by client, for clients whose update was not used.
        corrected: What was wrong, by client, in answers to the secure sum that were corrected.
        void: Why the secure sum could not be used, where it could not; then the model is as before.
        clipped: How many of the updates that were used had been clipped.
        privacy: What the round was charged for (the ledger of differential privacy): events as plain values,
            and what is spent so far: ``epsilon``, ``delta``; empty without a plan of privacy.
        logs: Averaged loss and metrics under Keras' log names: ``loss``, ``val_loss``,
            ``clients_val_loss`` and one triple for each metric.
        clients: What each client reported, by name.
        model_hash: SHA-256 of the global weights after the round, hexadecimal.
        update_norm: L2 norm of the mean update.
        timings_s: Seconds by phase: ``draw``, ``gather``, ``train``, ``encode``, ``sum`` (with all that a
            secure sum does), ``step`` (the server's),
            ``evaluate``, ``other``. Where an engine does not tell phases apart, ``train`` is all
            that clients do.
        bytes_down: Bytes of payload sent to the clients.
        bytes_up: Bytes of payload received from the clients.
    """

    round: int
    cohort: tuple[str, ...]
    dropped: Mapping[str, str] = field(default_factory=dict)
    corrected: Mapping[str, str] = field(default_factory=dict)
    void: str = ""
    clipped: int = 0
    privacy: Mapping[str, Any] = field(default_factory=dict)
    logs: Metrics = field(default_factory=dict)
    clients: Mapping[str, ClientRecord] = field(default_factory=dict)
    model_hash: str = ""
    update_norm: float = 0.0
    timings_s: Mapping[str, float] = field(default_factory=dict)
    bytes_down: int = 0
    bytes_up: int = 0

    def to_json(self) -> dict[str, Any]:
        """Return the record as plain dicts, lists, numbers and strings."""
        return asdict(self)

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> RoundRecord:
        """Return the record that `to_json` wrote."""
        values = dict(data)
        values["cohort"] = tuple(values["cohort"])
        values["clients"] = {name: ClientRecord(**c) for name, c in values["clients"].items()}
        return cls(**values)

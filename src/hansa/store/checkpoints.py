"""A run's state after a round, and the blobs that it is kept in."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

import numpy as np

from hansa.errors import LogError
from hansa.store.blobs import Blobs, encode_arrays, name_of
from hansa.types import Memory, ServerState


@dataclass(frozen=True, kw_only=True)
class Checkpoint:
    """What a run needs to go on after a round.

    Attributes:
        state: The server's state after the round.
        memories: What each client keeps from round to round, by the client's name.
    """

    state: ServerState
    memories: Mapping[str, Memory] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class References:
    """The blobs of one round's checkpoint, by name.

    Attributes:
        weights: Blob of the global weights.
        slots: Blob of the server's other arrays, and of the learning rate if a callback has set one.
        memories: Blob of each client's memory, by the client's name.
    """

    weights: str
    slots: str
    memories: Mapping[str, str]

    def names(self) -> frozenset[str]:
        """Return every blob that the checkpoint needs."""
        return frozenset({self.weights, self.slots, *self.memories.values()})

    def changes(self, new: Mapping[str, str]) -> dict[str, str | None]:
        """Return what turns these memories into the new ones: a blob by client, None where one is gone."""
        changed: dict[str, str | None] = {c: b for c, b in new.items() if self.memories.get(c) != b}
        return changed | {client: None for client in self.memories if client not in new}


NO_REFERENCES = References(weights="", slots="", memories={})
LEARNING_RATE = "@learning_rate"
"""Name beside the slots of the learning rate that a callback has set; no slot's name begins with ``@``."""


def put_checkpoint(
    blobs: Blobs, checkpoint: Checkpoint, *, known: Mapping[str, str], changed: Collection[str] | None
) -> References:
    """Keep a checkpoint.

    Args:
        blobs: Where.
        checkpoint: What.
        known: Blobs of the last committed memories, by client.
        changed: Clients whose memory may differ from those, or None to look at every one.
    """
    memories = {}
    for client, memory in checkpoint.memories.items():
        if changed is not None and client in known and client not in changed:
            memories[client] = known[client]
            continue
        data = encode_arrays(memory)
        # A committed blob is on the disk already, and need not be read to make sure.
        memories[client] = name_of(data) if known.get(client) == name_of(data) else blobs.put(data)
    rate = {}
    if checkpoint.state.learning_rate is not None:
        rate = {LEARNING_RATE: np.asarray(checkpoint.state.learning_rate, np.float64)}
    return References(
        weights=blobs.put_arrays({"weights": checkpoint.state.weights}),
        slots=blobs.put_arrays({**checkpoint.state.slots, **rate}),
        memories=memories,
    )


def get_checkpoint(blobs: Blobs, references: References, *, rounds: int) -> Checkpoint:
    """Return the checkpoint that was kept in these blobs after this number of rounds.

    Raises:
        LogError: A blob is missing, changed, or not what it should be.
    """
    weights = blobs.get_arrays(references.weights).get("weights")
    if weights is None:
        raise LogError(f"blob {references.weights} holds no weights; restore it from a copy of the run.")
    slots = dict(blobs.get_arrays(references.slots))
    rate = slots.pop(LEARNING_RATE, None)
    learning_rate = None if rate is None else float(rate)
    state = ServerState(round=rounds, weights=weights, slots=slots, learning_rate=learning_rate)
    memories = {client: blobs.get_arrays(blob) for client, blob in references.memories.items()}
    return Checkpoint(state=state, memories=memories)

"""A learner as plain JSON values: for the resolved configuration, and for people."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from typing import Any

from hansa.data.client import Client
from hansa.plan import Plan
from hansa.rng import Seeds
from hansa.train.keras_learner import KerasLearner
from hansa.train.learner import Learner

MANY = 10_000  # clients; the declarations of more are too long for a file that people read


def learner_settings(learner: Learner) -> dict[str, Any]:
    """Return the client optimizer's settings and the loss, which decide the result of local training."""
    if not isinstance(learner, KerasLearner):
        return {"learner": type(learner).__name__}
    model = learner.model
    settings = {name: _plain(value) for name, value in model.optimizer.get_config().items() if name != "name"}
    loss = model.loss
    return {
        "client_optimizer": {"kind": type(model.optimizer).__name__, **settings},
        "loss": loss
        if isinstance(loss, str)
        else _plain(getattr(loss, "name", None) or str(type(loss).__name__)),
    }


def clients_settings(clients: Sequence[Client], *, hide: bytes | None = None) -> dict[str, Any]:
    """Return what clients declared, by name; of more than 10,000 clients their number and two hashes.

    Args:
        clients: The clients.
        hide: The run's secret where a plan of privacy protects rows: hashes of these are keyed with it, or
            left out where it is empty. With plain ones, who knows all rows but one could try that one.
    """
    told = _clients_settings(clients)
    return told if hide is None else _keyed(told, hide)


def _keyed(told: Any, secret: bytes) -> Any:
    """Return a description with its hashes of data keyed."""
    if isinstance(told, list):
        return [_keyed(value, secret) for value in told]
    if not isinstance(told, dict):
        return told
    return {
        name: _hash_keyed(value, secret)
        if name == "sha256" and isinstance(value, str)
        else _keyed(value, secret)
        for name, value in told.items()
    }


def _hash_keyed(value: str, secret: bytes) -> str | None:
    return Seeds(0, secret).hidden.key("hash of rows", value).hex() if secret else None


def _clients_settings(clients: Sequence[Client]) -> dict[str, Any]:
    if len(clients) <= MANY:
        return {client.name: client.describe() for client in clients}
    names, whole = hashlib.sha256(), hashlib.sha256()
    for client in clients:
        names.update(f"{client.name}\n".encode())
        whole.update(json.dumps(client.describe(), sort_keys=True).encode() + b"\n")
    return {"count": len(clients), "names_sha256": names.hexdigest(), "sha256": whole.hexdigest()}


def model_summary(learner: Learner, plan: Plan) -> dict[str, Any]:
    """Return a model's name, number of parameters and variables."""
    name = learner.model.name if isinstance(learner, KerasLearner) else type(learner).__name__
    layers = [f"{e.name} {'x'.join(map(str, e.shape)) or 'scalar'}" for e in plan.layout.entries]
    return {"name": name, "parameters": plan.layout.size, "layers": layers}


def _plain(value: Any) -> Any:
    return value if isinstance(value, (int, float, bool, str, type(None))) else str(value)

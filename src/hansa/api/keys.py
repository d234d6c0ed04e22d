"""The clients' keys in a simulation, where a secure sum needs such. In a deployment each client has its own.

A simulation keeps the private keys in the run's folder, readable by its owner alone, so that a run that is
gone on with has the roster that its configuration names.
"""

from __future__ import annotations

import dataclasses
import json
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from hansa.client import Site
from hansa.crypto.encoding import digest
from hansa.engine.parties import fresh_keys, roster_of
from hansa.errors import RunError
from hansa.plan import Plan
from hansa.secure_sum.interface import Keys
from hansa.store.canonical import canonical_json

KEYS = "keys.json"
_LIMIT = 1 << 28


def keys_for(plan: Plan, folder: Path | None) -> dict[str, Keys]:
    """Return the keys of a run's clients: those in a run's folder, or new ones; none for a plain sum.

    Args:
        plan: The plan of the run.
        folder: The folder of a run to go on with, or None.

    Raises:
        RunError: If the folder's keys are missing or unreadable.
    """
    if plan.secure_sum.sends_update:
        return {}
    return fresh_keys(plan.clients) if folder is None else _read(folder / KEYS)


def pinned(plan: Plan, keys: Mapping[str, Keys], declare: Callable[[Plan], Mapping[str, Any]]) -> Plan:
    """Return the plan with what clients pin: who takes part with which keys, and the configuration's hash.

    Args:
        plan: The plan of the run.
        keys: The clients' keys; without any, the plan stays as it is.
        declare: Returns the configuration of a plan.
    """
    if not keys:
        return plan
    plan = dataclasses.replace(plan, roster=roster_of(keys))
    return dataclasses.replace(plan, configuration=digest("configuration", canonical_json(declare(plan))))


def with_keys(sites: Mapping[str, Site], keys: Mapping[str, Keys]) -> Mapping[str, Site]:
    """Return the sites with their keys, where there are any."""
    return (
        {name: dataclasses.replace(site, keys=keys[name]) for name, site in sites.items()} if keys else sites
    )


def write_keys(folder: Path, keys: Mapping[str, Keys]) -> None:
    """Write the private keys of a simulation's clients into the run's folder, for its owner alone."""
    if not keys:
        return
    told = {
        "note": "Private keys of the clients of a simulation. Real clients keep theirs to themselves.",
        "keys": {
            name: {
                "exchange": own.exchange.private.reveal().hex(),
                "signing": own.signing.private.reveal().hex(),
            }
            for name, own in keys.items()
        },
    }
    path = folder / KEYS
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w") as file:
            json.dump(told, file, indent=1)
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        raise RunError(f"the clients' keys cannot be written to {path}: {error}") from error


def _read(path: Path) -> dict[str, Keys]:
    from hansa.crypto.envelope import ExchangeKey
    from hansa.crypto.secret import Secret
    from hansa.crypto.signature import SigningKey

    try:
        if path.stat().st_size > _LIMIT:
            raise RunError(f"{path} is too large to be the keys of a run.")
        told: Any = json.loads(path.read_bytes())["keys"]
        return {
            str(name): Keys(
                ExchangeKey(Secret(bytes.fromhex(own["exchange"]))),
                SigningKey(Secret(bytes.fromhex(own["signing"]))),
            )
            for name, own in told.items()
        }
    except OSError as error:
        raise RunError(
            f"the keys of the run's clients cannot be read from {path} ({error.strerror}). Without them its "
            "roster cannot be had again; start a new run."
        ) from error
    except (ValueError, KeyError, TypeError, AttributeError):
        # Not chained: what is wrong may quote a key.
        raise RunError(f"{path} does not hold the keys of the run's clients.") from None

"""The clients' keys in a simulation, where a secure sum needs such. In a deployment each client has its own.

A simulation keeps the private keys in the run's folder, readable by its owner alone, so that a run that is
gone on with has the roster that its configuration names.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import secrets
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from hansa.claims.claims import Claims
from hansa.client import Site
from hansa.engine.parties import fresh_keys, roster_of
from hansa.errors import MissingExtraError, RunError
from hansa.plan import Plan
from hansa.secure_sum.interface import Keys
from hansa.secure_sum.roster import configuration_hash
from hansa.store.canonical import canonical_json

KEYS = "keys.json"
_LIMIT = 1 << 28


def keys_for(plan: Plan, folder: Path | None, claims: Claims | None = None) -> dict[str, Keys]:
    """Return the keys of a run's clients: those in a run's folder, or new ones; none for a plain sum.

    Args:
        plan: The plan of the run.
        folder: The folder of a run to go on with, or None.
        claims: What clients claim of their data, which they sign; or None.

    Raises:
        RunError: If the folder's keys are missing or unreadable.
    """
    if plan.secure_sum.sends_update and claims is None:
        return {}
    if folder is not None:
        return _read(folder / KEYS)
    try:
        fresh = fresh_keys(plan.clients)
    except ImportError as error:
        raise MissingExtraError("a client's key", error.name or "cryptography", "secure") from error
    if claims is None or claims.same_as is None:
        return fresh
    # Whoever shows a certificate again signs as then; envelopes are of this run alone.
    known = _read(Path(claims.same_as) / KEYS)
    if other := [name for name in plan.clients if name not in known]:
        raise RunError(f"client {other[0]!r} had no part in the run in {claims.same_as}. Leave same_as out.")
    return {name: Keys(own.exchange, known[name].signing) for name, own in fresh.items()}


def secret_for(plan: Plan, folder: Path | None) -> bytes:
    """Return the secret from which a run's hidden draws come: that in a run's folder, or a new one.

    A plan of privacy with a seed derives it from that, so that a simulation can be repeated.

    Args:
        plan: The plan of the run.
        folder: The folder of a run to go on with, or None.

    Raises:
        RunError: If the folder's secret is missing or unreadable, or that of another seed.
    """
    private = plan.private
    if private is None:
        return b""
    if private.seed is not None:
        derived = hashlib.sha256(b"hansa.privacy.seed.v1" + str(private.seed).encode()).digest()
        if folder is not None and (folder / KEYS).is_file() and _secret(folder / KEYS) != derived:
            raise RunError(
                f"the run in {folder} began with another seed of its plan of privacy than {private.seed}. "
                "Resume with the run's own, or start a new run in another folder."
            )
        return derived
    if folder is None:
        return secrets.token_bytes(32)
    return _secret(folder / KEYS)


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
    return dataclasses.replace(plan, configuration=configuration_hash(canonical_json(declare(plan))))


def with_keys(plan: Plan, sites: Mapping[str, Site], keys: Mapping[str, Keys]) -> Mapping[str, Site]:
    """Return the sites with their keys, where a secure sum needs them."""
    if plan.secure_sum.sends_update or not keys:
        return sites
    return {name: dataclasses.replace(site, keys=keys[name]) for name, site in sites.items()}


def write_keys(
    folder: Path, keys: Mapping[str, Keys], secret: bytes, fingerprints: Mapping[str, str] | None = None
) -> None:
    """Write a simulation's keys, and what its hidden draws come from, for the folder's owner alone.

    ``fingerprints`` are what clients keep of certified rows.
    """
    if not keys and not secret:
        return
    told = {
        "note": "Private: keys of a simulation's clients, which real clients keep to themselves; and "
        "the secret "
        "from which privacy noise and draws come. Who has it can take the noise off.",
        "secret": secret.hex(),
        "keys": {
            name: {
                "exchange": own.exchange.private.reveal().hex(),
                "signing": own.signing.private.reveal().hex(),
            }
            for name, own in keys.items()
        },
        **({"data": dict(fingerprints)} if fingerprints else {}),
    }
    path = folder / KEYS
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w") as file:
            json.dump(told, file, indent=1)
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        raise RunError(f"the run's keys cannot be written to {path}: {error}") from error


def read_fingerprints(folder: Path) -> dict[str, str]:
    """Return what clients kept of the rows that they certified in a run.

    Raises:
        RunError: If it is missing or unreadable.
    """
    found: Any = _told(folder / KEYS)
    found = found.get("data", {}) if isinstance(found, dict) else {}
    return {str(name): str(own) for name, own in found.items()} if isinstance(found, dict) else {}


def _read(path: Path) -> dict[str, Keys]:
    from hansa.crypto.envelope import ExchangeKey
    from hansa.crypto.secret import Secret
    from hansa.crypto.signature import SigningKey

    try:
        told: Any = _told(path)["keys"]
        return {
            str(name): Keys(
                ExchangeKey(Secret(bytes.fromhex(own["exchange"]))),
                SigningKey(Secret(bytes.fromhex(own["signing"]))),
            )
            for name, own in told.items()
        }
    except (ValueError, KeyError, TypeError, AttributeError):
        # Not chained: what is wrong may quote a key.
        raise RunError(f"{path} does not hold the keys of the run's clients.") from None


def _secret(path: Path) -> bytes:
    try:
        secret = bytes.fromhex(_told(path)["secret"])
    except (ValueError, KeyError, TypeError, AttributeError):
        raise RunError(f"{path} does not hold the secret of the run's privacy noise.") from None
    if len(secret) != 32:
        raise RunError(f"{path} does not hold the secret of the run's privacy noise.")
    return secret


def _told(path: Path) -> Any:
    try:
        if path.stat().st_size > _LIMIT:
            raise RunError(f"{path} is too large to be the keys of a run.")
        return json.loads(path.read_bytes())
    except OSError as error:
        raise RunError(
            f"the keys of the run cannot be read from {path} ({error.strerror}). Without them it "
            "cannot go on "
            "as it began; start a new run."
        ) from error

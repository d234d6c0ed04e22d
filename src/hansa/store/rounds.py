"""What a run keeps of one round: which part is public, which private, and how the two are bound."""

from __future__ import annotations

import hashlib
from typing import Any

from hansa.errors import LogError
from hansa.record import RoundRecord
from hansa.store.checkpoints import References
from hansa.store.log import Entry

SALT_BYTES = 32
_DOMAIN = b"hansa.store.commitment.v1"
_PUBLIC_FIELDS = ("round", "model_hash")
_NOT_NOISY = ("logs",)
"""What is public too, but where a plan of privacy is spent: no noise covers it."""
_OF_SILOS = ("silos",)
"""Of what is spent: rates and steps, from which a silo's number of records follows."""


def split(record: RoundRecord) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return what of a record anyone may see, and the rest.

    Leaks:
        The public part tells the round and the model's hash; with a plan of privacy what is spent; without
        one averaged metrics, and how many clients were drawn and dropped; never who, nor what one of them
        reported.
    """
    fields = record.to_json()
    public = {name: fields.pop(name) for name in _PUBLIC_FIELDS}
    if record.privacy:
        spent = {name: value for name, value in record.privacy.items() if name not in _OF_SILOS}
        fields["privacy"] = {name: record.privacy[name] for name in _OF_SILOS if name in record.privacy}
        return {**public, "privacy": spent}, fields
    public |= {name: fields.pop(name) for name in _NOT_NOISY}
    return public | {"cohort_size": len(record.cohort), "dropped_count": len(record.dropped)}, fields


def merge(public: Entry, private: Entry) -> RoundRecord:
    """Return the record whose parts are in these two entries."""
    try:
        told = {name: public.body[name] for name in _PUBLIC_FIELDS}
        told |= {name: public.body[name] for name in _NOT_NOISY if name in public.body}
        own = private.body["record"]
        privacy = {**own["privacy"], **public.body.get("privacy", {})}
        return RoundRecord.from_json({**own, **told, "privacy": privacy})
    except (KeyError, TypeError, AttributeError) as error:
        raise LogError(f"round entry {public.seq} does not hold a round's record: {error!r}.") from error


def references_after(before: References, public: Entry, private: Entry) -> References:
    """Return the blobs of the checkpoint after the round of these entries, given those before it."""
    try:
        changes = {**before.memories, **private.body["memories"]}
        memories = {client: blob for client, blob in changes.items() if blob is not None}
        return References(weights=public.body["weights"], slots=private.body["slots"], memories=memories)
    except (KeyError, TypeError) as error:
        raise LogError(f"round entry {public.seq} does not name its blobs: {error!r}.") from error


def commitment(private: Entry) -> str:
    """Return what the public log says of a private entry: a hash that only its salt can open.

    Assumes:
        The entry's salt is 32 random bytes that no one else knows.
    Leaks:
        Nothing about the entry to those who lack the salt.
    """
    try:
        salt = bytes.fromhex(private.body["salt"])
    except (KeyError, TypeError, ValueError) as error:
        raise LogError(f"private entry {private.seq} has no salt.") from error
    if len(salt) != SALT_BYTES:
        raise LogError(f"the salt of an entry has {len(salt)} bytes; expected {SALT_BYTES}.")
    return hashlib.sha256(_DOMAIN + salt + bytes.fromhex(private.hash)).hexdigest()


def check_pair(public: Entry, private: Entry) -> None:
    """Check that a private entry is the one that a public entry commits to.

    Raises:
        LogError: It is not, and so one of the two logs is another run's.
    """
    if public.body.get("private") != commitment(private):
        raise LogError(
            f"public entry {public.seq} does not commit to private entry {private.seq}: one of "
            "log/public.jsonl and log/private.jsonl is from another run. "
            "Restore both from the same copy of the run."
        )

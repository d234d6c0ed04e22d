"""Who takes part: names and public keys, pinned by one hash that every message is bound to."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from hansa.crypto.encoding import digest
from hansa.errors import ConfigurationError

KEY = ROOT = 32
MOST_ROWS = 1 << 32
LONGEST_NAME = 1000
"""Bytes of a name: all that is signed has names in it."""
MOST_HOLDERS = 128
"""Share holders; in larger cohorts they are a committee."""

_PRIME = 2**255 - 19
_EIGHTH = bytes.fromhex("e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800")
_OTHER = bytes.fromhex("5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157")
_SMALL = {0, 1, _PRIME - 1, int.from_bytes(_EIGHTH, "little"), int.from_bytes(_OTHER, "little")}
"""Points of X25519 of small order, modulo the prime: an exchange with one fails (RFC 7748, section 6.1)."""


@dataclass(frozen=True, kw_only=True)
class Member:
    """A client as all others know it.

    Attributes:
        name: Its name.
        exchange: X25519 public key, 32 bytes, to which envelopes are addressed.
        signing: Ed25519 public key, 32 bytes.
        data: Root of the certificate about its data (`hansa.claims`), 32 bytes; empty where there is none.
        rows: Number of its training rows, where that certificate tells it; else None.
    """

    name: str
    exchange: bytes
    signing: bytes
    data: bytes = b""
    rows: int | None = None

    @property
    def certified(self) -> tuple[bytes | int, ...]:
        """What is known of its data; empty where nothing is."""
        return (self.data, -1 if self.rows is None else self.rows) if self.data else ()


@dataclass(frozen=True)
class Roster:
    """The members of a run. It does not change: a changed one is another run.

    Raises:
        ConfigurationError: If there is none, or two share a name or a key, or a name or key is none.
    """

    members: tuple[Member, ...]

    def __post_init__(self) -> None:
        if not self.members:
            raise ConfigurationError("a roster needs members.")
        for member in self.members:
            _check(member)
        for what in ("name", "exchange", "signing"):
            values = [getattr(member, what) for member in self.members]
            if len(set(values)) != len(values):
                twice = next(value for value in values if values.count(value) > 1)
                told = repr(twice) if what == "name" else f"{what} key"
                raise ConfigurationError(f"two members of the roster share the {told}; each needs its own.")

    @functools.cached_property
    def hash(self) -> bytes:
        """SHA-256 over all names, keys and roots in order."""
        # A name is text and a root bytes: who has one cannot be read as who has none.
        parts = [part for m in self.members for part in (m.name, m.exchange, m.signing, *m.certified)]
        return digest("roster", *parts)

    def describe(self) -> dict[str, Any]:
        """Return its hash and all keys, for the run's configuration."""
        members = [
            {"name": m.name, "exchange": m.exchange.hex(), "signing": m.signing.hex(), **_data(m)}
            for m in self.members
        ]
        return {"hash": self.hash.hex(), "members": members}

    @functools.cached_property
    def by_name(self) -> dict[str, Member]:
        """The members by name."""
        return {member.name: member for member in self.members}


def configuration_hash(content: bytes) -> bytes:
    """Return the hash by which clients pin a configuration, 32 bytes.

    Args:
        content: Its canonical JSON, without what the coordinator alone settles (``engine``).
    """
    return digest("configuration", content)


@dataclass(frozen=True, kw_only=True)
class Place:
    """Where a message belongs. All of it is in what is signed, sealed and derived.

    Attributes:
        configuration: Hash of the run's configuration, 32 bytes.
        roster: Hash of the roster, 32 bytes.
        payload: Hash of all that clients were given to compute their vectors from, 32 bytes (`payload_hash`).
        round: Number of the round.
        attempt: Number of the attempt at it, from 0.
        purpose: The phase in which vectors are sent: ``"train"`` for updates, ``"tell"`` for metrics.
        cohort: Who was asked, in order.
    """

    configuration: bytes
    roster: bytes
    payload: bytes
    round: int
    attempt: int
    cohort: tuple[str, ...]
    purpose: str = "train"

    @functools.cached_property
    def parts(self) -> tuple[bytes | str | int, ...]:
        """What is encoded."""
        cohort = digest("cohort", *self.cohort)
        return (
            *(self.configuration, self.roster, self.purpose, self.payload),
            *(self.round, self.attempt, cohort),
        )

    @functools.cached_property
    def holders(self) -> tuple[str, ...]:
        """Who holds shares: the cohort, or a committee of it drawn by hash; in order of the cohort."""
        if len(self.cohort) <= MOST_HOLDERS:
            return self.cohort
        # Neither payload nor attempt is in it: a server could try many until it likes the committee.
        run = self.configuration, self.roster, self.round
        chosen = set(sorted(self.cohort, key=lambda name: digest("committee", *run, name))[:MOST_HOLDERS])
        return tuple(name for name in self.cohort if name in chosen)

    def points(self, names: Sequence[str]) -> list[int]:
        """Return the holders' places on the polynomials, from 1."""
        return [self.holders.index(name) + 1 for name in names]


def _data(member: Member) -> dict[str, Any]:
    """Return what is known of a member's data, for the run's configuration."""
    if not member.data:
        return {}
    return {"data": member.data.hex(), **({} if member.rows is None else {"rows": member.rows})}


def _check(member: Member) -> None:
    """Raise `ConfigurationError` unless others can work with a member's name and keys."""
    if type(member.name) is not str or not 0 < len(member.name.encode(errors="replace")) <= LONGEST_NAME:
        raise ConfigurationError(f"names of members are text of 1 to {LONGEST_NAME} bytes.")
    try:
        member.name.encode()
    except UnicodeEncodeError:
        raise ConfigurationError(f"the name {member.name!r} cannot be written as UTF-8.") from None
    for key in (member.exchange, member.signing):
        if type(key) is not bytes or len(key) != KEY:
            raise ConfigurationError(f"a public key of {member.name!r} does not have {KEY} bytes.")
    if type(member.data) is not bytes or len(member.data) not in (0, ROOT):
        raise ConfigurationError(f"the root of the data of {member.name!r} does not have {ROOT} bytes.")
    if member.rows is not None and (
        type(member.rows) is not int or not 0 < member.rows <= MOST_ROWS or not member.data
    ):
        raise ConfigurationError(
            f"{member.name!r} is listed with {member.rows!r} rows; certified ones are 1 to {MOST_ROWS}."
        )
    if int.from_bytes(member.exchange, "little") % 2**255 % _PRIME in _SMALL:
        raise ConfigurationError(
            f"the exchange public key of {member.name!r} cannot be used: it is a point of small order, with "
            "which nobody can agree on a secret."
        )

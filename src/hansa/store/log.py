"""An append-only log of which each entry holds the hash of the entry before it.

    {"body":{...},"hash":"...","kind":"round","prev":"...","seq":3}

One entry a line, in canonical JSON. The hash covers the stream's name, the number, the hash before, the
kind and the body, so that an entry can be neither changed, removed, moved nor taken from another log
without a trace. What a chain alone cannot show is that entries are missing at its end: compare the head
with one noted elsewhere.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hansa.errors import LogError, RunError
from hansa.store.blobs import is_name
from hansa.store.canonical import canonical_json, parse_json
from hansa.store.files import explained, sync_folder, write_all

GENESIS = "0" * 64
LINE_LIMIT_BYTES = 64 * 2**20
_DOMAIN = b"hansa.store.log.v1"
_KIND = re.compile(r"[a-z][a-z0-9_]{0,63}", re.ASCII)
_KEYS = {"seq", "prev", "kind", "body", "hash"}


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One entry of a log.

    Attributes:
        seq: Its number, from 0.
        prev: Hash of the entry before, 64 zeros for the first.
        kind: What it tells, for example ``"round"``.
        body: The telling, as JSON values.
        hash: SHA-256 over the stream's name and all of the above, hexadecimal.
    """

    seq: int
    prev: str
    kind: str
    body: Mapping[str, Any] = field(repr=False)
    hash: str

    def to_line(self) -> bytes:
        """Return the entry as the log keeps it, with its newline."""
        fields = {"seq": self.seq, "prev": self.prev, "kind": self.kind, "body": self.body, "hash": self.hash}
        return canonical_json(fields) + b"\n"


def entry_hash(*, stream: str, seq: int, prev: str, kind: str, body: Mapping[str, Any]) -> str:
    """Return the hash of an entry; each part has its length before it, so that none passes for another."""
    digest = hashlib.sha256()
    for part in (
        _DOMAIN,
        stream.encode(),
        seq.to_bytes(8, "big"),
        bytes.fromhex(prev),
        kind.encode(),
        canonical_json(body),
    ):
        digest.update(len(part).to_bytes(8, "big") + part)
    return digest.hexdigest()


class Log:
    """A log in one file.

    Guarantees:
        Opening checks every entry. `append` returns when the entry survives a power cut; if it
        raises, the log is as before. A line cut short by a crash is removed when the log is opened.

    Attributes:
        path: The file.
        stream: Name of the stream; an entry of one stream does not pass for one of another.
        length: Number of entries.
        head: Hash of the last entry, 64 zeros where there is none.
        cut_bytes: Bytes of an unfinished last line that opening removed (or, opened to read, passed over).
    """

    def __init__(self, path: Path | str, *, stream: str, write: bool = True) -> None:
        """Open a log and check it.

        Args:
            path: The file, which must exist; see `create`.
            stream: The stream's name that it was created with.
            write: Whether to append; if not, the file is left as it is.

        Raises:
            LogError: The log is changed; the message names the file, the line and what is wrong.
            RunError: The file cannot be read or written.
        """
        self.path = Path(path)
        self.stream = stream
        self.length = 0
        self.head = GENESIS
        self._write = write
        self._size = 0
        self._sound = True
        if not self.path.is_file():
            raise LogError(f"{self.path} is missing. Restore it from a copy of the run.")
        with explained("read", self.path):
            found = self.path.stat().st_size
        for entry, end in self._walk(found, unfinished=True):
            self.length, self.head, self._size = entry.seq + 1, entry.hash, end
        self.cut_bytes = found - self._size
        if self.cut_bytes:
            self._cut()

    @classmethod
    def create(cls, path: Path | str, *, stream: str) -> Log:
        """Create an empty log, in place of what the file held."""
        path = Path(path)
        with explained("create", path):
            flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW
            os.close(os.open(path, flags, 0o600))
            sync_folder(path.parent)
        return cls(path, stream=stream)

    def append(self, kind: str, body: Mapping[str, Any]) -> Entry:
        """Add an entry at the end.

        Args:
            kind: Lower-case letters, digits and underscores, at most 64.
            body: JSON values; see `hansa.store.canonical_json`.

        Raises:
            RunError: The entry cannot be kept or written (a full disk); the log is as before.
            LogError: Something else wrote to the file.
        """
        self._check_writable()
        if not isinstance(kind, str) or not _KIND.fullmatch(kind):
            raise RunError(f"kind of entry {kind!r}: expected lower-case letters, digits and underscores.")
        body = parse_json(canonical_json(body))  # a copy that no one else can change
        digest = entry_hash(stream=self.stream, seq=self.length, prev=self.head, kind=kind, body=body)
        entry = Entry(seq=self.length, prev=self.head, kind=kind, body=body, hash=digest)
        line = entry.to_line()
        if len(line) > LINE_LIMIT_BYTES:
            raise RunError(f"an entry of {len(line)} bytes is larger than the limit of {LINE_LIMIT_BYTES}.")
        with explained("write", self.path):
            self._append_line(line)
        self.length, self.head, self._size, self._sound = (
            entry.seq + 1,
            entry.hash,
            self._size + len(line),
            True,
        )
        return entry

    def entries(self) -> Iterator[Entry]:
        """Yield the entries from the first on, checked again while they are read."""
        for entry, _ in self._walk(self._size):
            yield entry

    def drop_from(self, seq: int) -> None:
        """Remove the entries from number ``seq`` on: those of a round that was not committed."""
        length, head, size = 0, GENESIS, 0
        for entry, end in self._walk(self._size):
            if entry.seq >= seq:
                break
            length, head, size = entry.seq + 1, entry.hash, end
        self.length, self.head, self._size = length, head, size
        self._cut()

    @property
    def sound(self) -> bool:
        """Whether the file holds what this object believes; False after a write that could not be undone."""
        return self._sound

    def _check_writable(self) -> None:
        if not self._write:
            raise RunError(f"{self.path} was opened to read only; open it with write=True.")
        if not self._sound:
            raise RunError(f"an earlier write to {self.path} broke off; close the run and open it again.")

    def _append_line(self, line: bytes) -> None:
        descriptor = os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_NOFOLLOW)
        try:
            size = os.fstat(descriptor).st_size
            if size != self._size:
                raise LogError(
                    f"{self.path} has {size} bytes where {self._size} were expected: something else wrote to "
                    "it. Restore it from a copy of the run."
                )
            self._sound = False
            try:
                write_all(descriptor, line)
                os.fsync(descriptor)
            except OSError:
                os.ftruncate(descriptor, self._size)
                os.fsync(descriptor)
                self._sound = True
                raise
        finally:
            os.close(descriptor)

    def _cut(self) -> None:
        if not self._write:
            return
        self._sound = False
        with explained("mend", self.path):
            descriptor = os.open(self.path, os.O_WRONLY | os.O_NOFOLLOW)
            try:
                os.ftruncate(descriptor, self._size)
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
        self._sound = True

    def _walk(self, stop: int, *, unfinished: bool = False) -> Iterator[tuple[Entry, int]]:
        """Yield each entry with the offset after it, up to offset ``stop``; or to an unfinished last line."""
        prev, end, number = GENESIS, 0, 0
        with explained("read", self.path), self.path.open("rb") as file:
            while end < stop:
                line = file.readline(min(LINE_LIMIT_BYTES + 1, stop - end))
                end += len(line)
                # A power cut can leave zeros where the blocks of the last line were not written yet.
                if unfinished and end == stop and (not line.endswith(b"\n") or b"\0" in line):
                    return
                if not line:
                    raise LogError(f"{self.path} became shorter while it was open: {end} bytes of {stop}.")
                try:
                    entry = _checked(line, stream=self.stream, seq=number, prev=prev)
                except LogError as error:
                    raise LogError(
                        f"{self.path}, line {number + 1}: {error} Restore it from a copy of the run."
                    ) from error
                yield entry, end
                prev, number = entry.hash, number + 1


def _checked(line: bytes, *, stream: str, seq: int, prev: str) -> Entry:
    """Return the entry of a line that must be number ``seq`` and follow ``prev``."""
    if len(line) > LINE_LIMIT_BYTES:
        raise LogError(f"the line is longer than the limit of {LINE_LIMIT_BYTES} bytes.")
    if not line.endswith(b"\n"):
        raise LogError("the line has no end.")
    fields = parse_json(line[:-1])
    if not isinstance(fields, dict) or set(fields) != _KEYS:
        raise LogError(f"not an entry: expected an object with exactly the keys {', '.join(sorted(_KEYS))}.")
    entry = Entry(**fields)
    if not (
        type(entry.seq) is int and 0 <= entry.seq < 2**63 and is_name(entry.prev) and is_name(entry.hash)
    ):
        raise LogError("not an entry: seq must be an integer, prev and hash 64 hexadecimal digits.")
    if not (isinstance(entry.kind, str) and _KIND.fullmatch(entry.kind) and isinstance(entry.body, dict)):
        raise LogError("not an entry: kind must be a short lower-case word, body an object.")
    found = entry_hash(stream=stream, seq=entry.seq, prev=entry.prev, kind=entry.kind, body=entry.body)
    if found != entry.hash:
        raise LogError(
            f"the entry was changed, or is of another stream than {stream!r}: its content "
            f"has the hash {found}, it says {entry.hash}."
        )
    if entry.seq < seq:
        raise LogError(f"entry {entry.seq} stands here twice or out of order; expected entry {seq}.")
    if entry.seq > seq:
        raise LogError(f"entry {seq} is missing or out of order; found entry {entry.seq}.")
    if entry.prev != prev:
        raise LogError(
            f"the entry does not follow the one before: it says {entry.prev}, that one's hash is {prev}. "
            "It comes from another log, or an earlier entry was replaced."
        )
    return entry

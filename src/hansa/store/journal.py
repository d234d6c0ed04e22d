"""A run's two logs as one: each round has a private entry and then a public one that commits to it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from hansa.errors import LogError, RunError
from hansa.store.blobs import is_name
from hansa.store.checkpoints import NO_REFERENCES, References
from hansa.store.folder import FORMAT, first_body
from hansa.store.history import history_line
from hansa.store.log import Entry, Log
from hansa.store.rounds import SALT_BYTES, check_pair, commitment, merge, references_after

RandomBytes = Callable[[int], bytes]
Pair = tuple[Entry, Entry]
_OWN_KINDS = ("created", "round")


class Journal:
    """The public and the private log of a run.

    Guarantees:
        A round counts as committed once its public entry is whole. A private round entry beyond
        that is what a crash left, and is dropped on opening.

    Attributes:
        public: What anyone may see.
        private: What only the coordinator may see.
        rounds: Number of rounds committed.
        references: Blobs of the last committed round's checkpoint.
        kept_from: First round whose checkpoint is kept.
    """

    def __init__(self, folder: Path, *, random_bytes: RandomBytes, write: bool) -> None:
        """Open and check both logs; call `recover` next.

        Raises:
            LogError: One is missing or changed.
        """
        # The public log first: of a process that writes meanwhile, the private one is then ahead.
        self.public = Log(folder / "log" / "public.jsonl", stream="public", write=write)
        self.private = Log(folder / "log" / "private.jsonl", stream="private", write=write)
        self.rounds = 0
        self.references = NO_REFERENCES
        self.kept_from = 0
        self._random_bytes = random_bytes
        self._sound = True
        public, private = next(self.public.entries(), None), next(self.private.entries(), None)
        self.created = first_body(folder, public)
        first_body(folder, private)
        if public is not None and private is not None:
            check_pair(public, private)

    @classmethod
    def create(cls, folder: Path, *, config_hash: str, random_bytes: RandomBytes) -> None:
        """Create both logs in a folder; the run exists once the public one has its first entry."""
        private = Log.create(folder / "log" / "private.jsonl", stream="private")
        entry = private.append("created", {"format": FORMAT, "salt": random_bytes(SALT_BYTES).hex()})
        public = Log.create(folder / "log" / "public.jsonl", stream="public")
        public.append("created", {"format": FORMAT, "config": config_hash, "private": commitment(entry)})

    def recover(self) -> tuple[list[bytes], list[str]]:
        """Read every round and set aside what was not committed.

        Returns:
            The lines of the history, and one line for each thing that a crash had cut short.

        Raises:
            LogError: The two logs do not belong together, or lack entries.
        """
        lines = []
        privates = _rounds(self.private.entries())
        for public, private in self._paired(privates):
            self.references = references_after(self.references, public, private)
            self.kept_from = private.body.get("kept_from", 0)
            self.rounds += 1
            lines.append(history_line(merge(public, private)))
        extra = list(privates)
        if len(extra) > 1:
            raise LogError(
                f"{self.public.path} ends after round {self.rounds - 1}, {self.private.path} after round "
                f"{extra[-1].body.get('round')}: entries are missing. Restore both from a copy of the run."
            )
        repairs = [
            f"{log.path.name}: {log.cut_bytes} bytes of an unfinished entry after entry {log.length - 1}"
            for log in (self.public, self.private)
            if log.cut_bytes
        ]
        if extra:
            self.private.drop_from(extra[0].seq)
            repairs.append(f"{self.private.path.name}: round {self.rounds}, which was not committed")
        return lines, repairs

    def commit(
        self, public: Mapping[str, Any], private: Mapping[str, Any], references: References, *, kept_from: int
    ) -> None:
        """Append both entries of the next round.

        Raises:
            RunError: One cannot be written; both logs are as before.
        """
        self._check_sound()
        start = self.private.length
        changes = self.references.changes(references.memories)
        own = {"slots": references.slots, "memories": changes, "kept_from": kept_from}
        salt = self._random_bytes(SALT_BYTES).hex()
        self._sound = False
        try:
            entry = self.private.append("round", {"salt": salt, "round": self.rounds, **own, **private})
            body = {**public, "weights": references.weights, "private": commitment(entry)}
            self.public.append("round", body)
        except RunError:
            # Where the public entry may still stand in the file, only opening the run anew can tell.
            if self.public.sound and self.private.length > start:
                self.private.drop_from(start)
            self._sound = self.public.sound and self.private.sound
            raise
        self.rounds, self.references, self.kept_from = self.rounds + 1, references, kept_from
        self._sound = True

    def note(self, kind: str, body: Mapping[str, Any], *, private: bool) -> Entry:
        """Append an entry of another kind than the journal's own."""
        if kind in _OWN_KINDS:
            raise RunError(f"entries of kind {kind!r} are the run's own; name the note otherwise.")
        self._check_sound()
        return (self.private if private else self.public).append(kind, body)

    def pairs(self) -> Iterator[Pair]:
        """Yield the public and the private entry of each committed round."""
        return self._paired(_rounds(self.private.entries()))

    def references_by_round(self) -> Iterator[References]:
        """Yield the blobs of the checkpoint after each committed round."""
        references = NO_REFERENCES
        for public, private in self.pairs():
            references = references_after(references, public, private)
            yield references

    def noted_blobs(self) -> set[str]:
        """Return what looks like a blob's name in entries other than rounds, and in the sums of rounds."""
        entries = [entry for log in (self.public, self.private) for entry in log.entries()]
        noted = {n for e in entries if e.kind not in _OWN_KINDS for n in blob_names(e.body)}
        return noted | {n for e in entries if e.kind == "round" for n in blob_names(e.body.get("sums"))}

    def _check_sound(self) -> None:
        if not self._sound:
            raise RunError(
                f"an earlier write to {self.public.path.parent} broke off; close the run and open it again."
            )

    def _paired(self, privates: Iterator[Entry]) -> Iterator[Pair]:
        for number, public in enumerate(_rounds(self.public.entries())):
            private = next(privates, None)
            if private is None:
                raise LogError(
                    f"{self.private.path} has no entry of round {number}, which {self.public.path.name} has. "
                    "Restore both from the same copy of the run."
                )
            for entry in (public, private):
                if entry.body.get("round") != number:
                    raise LogError(
                        f"entry {entry.seq} is of round {entry.body.get('round')}; expected {number}. "
                        "Restore the log from a copy of the run."
                    )
            check_pair(public, private)
            yield public, private


def blob_names(value: Any) -> set[str]:
    """Return every string inside a JSON value that has the form of a blob's name."""
    if isinstance(value, str):
        return {value} if is_name(value) else set()
    if isinstance(value, Mapping):
        value = value.values()
    return {n for v in value for n in blob_names(v)} if isinstance(value, Iterable) else set()


def _rounds(entries: Iterable[Entry]) -> Iterator[Entry]:
    return (entry for entry in entries if entry.kind == "round")

"""What is verified: a run's folder, or the bundle that an auditor got. Read only, and without any secret."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from hansa.errors import LogError, RunError
from hansa.store.blobs import Blobs
from hansa.store.canonical import parse_json
from hansa.store.checkpoints import NO_REFERENCES
from hansa.store.folder import check_format, find, first_body, read_config
from hansa.store.log import Entry, Log
from hansa.store.rounds import check_pair, references_after
from hansa.verification.bundle import is_bundle, unpack


@dataclass(frozen=True, kw_only=True)
class Source:
    """A run's log, its hash chains checked.

    Attributes:
        folder: Where it is.
        config: The configuration.
        public: The entries of the public log.
        private: Those of the private log; None in a bundle.
        blobs: Content-addressed files.
        bundled: Whether it is a bundle, which has what the public log names of sums, and the last model.
    """

    folder: Path
    config: Mapping[str, Any]
    public: tuple[Entry, ...]
    private: tuple[Entry, ...] | None
    blobs: Blobs
    bundled: bool

    @property
    def head(self) -> str:
        """Hash of the public log's last entry, which stands for all of it."""
        return self.public[-1].hash

    @property
    def kept_from(self) -> int:
        """First round whose model has to be there; 0 where the private log, which tells, is not."""
        rounds = [entry for entry in self.private or () if entry.kind == "round"]
        return int(rounds[-1].body.get("kept_from", 0)) if rounds else 0

    def keeps(self, number: int) -> bool:
        """Whether the model after a round has to be there."""
        return not self.bundled and number >= self.kept_from

    def check_checkpoints(self) -> None:
        """Check all that the coordinator would resume from: what it and clients keep from round to round.

        Raises:
            LogError: If something is missing or changed; says which blob.
        """
        before, needed, kept_from = NO_REFERENCES, set[str](), self.kept_from
        for number, (public, private) in enumerate(self.rounds()):
            if private is None:
                return
            before = references_after(before, public, private)
            needed |= before.names() if number >= kept_from else set()
        for name in sorted(needed):
            self.blobs.get(name)

    def rounds(self) -> Iterator[tuple[Entry, Entry | None]]:
        """Yield the public entry of each round, and the private one where there is one.

        Raises:
            LogError: If they do not belong together, or one is missing.
        """
        own = None if self.private is None else [e for e in self.private if e.kind == "round"]
        entries = [entry for entry in self.public if entry.kind == "round"]
        if own is not None and not len(entries) <= len(own) <= len(entries) + 1:  # a crash may leave one
            raise LogError(
                f"log/public.jsonl has {len(entries)} rounds and log/private.jsonl has {len(own)}: entries "
                "are missing."
            )
        for number, entry in enumerate(entries):
            private = None if own is None else own[number]
            for each in (entry, private):
                if each is not None and each.body.get("round") != number:
                    raise LogError(
                        f"entry {each.seq} is of round {each.body.get('round')!r:.20}, not {number}."
                    )
            if private is not None:
                check_pair(entry, private)
            yield entry, private


@contextlib.contextmanager
def opened(run: Path | str) -> Iterator[Source]:
    """Open a run's folder or a bundle, and check its hash chains.

    Raises:
        RunError: If there is none.
        LogError: If an entry or the configuration was changed; says which.
    """
    path = Path(run)
    if not is_bundle(path):
        yield _read(path, bundled=False)
        return
    with TemporaryDirectory(prefix="hansa-verify-") as folder:
        unpack(path, Path(folder))
        try:
            yield _read(Path(folder), bundled=True)
        except RunError as error:  # who has the bundle knows of no other folder
            text = str(error).replace(f"{folder}/", f"{path}: ").replace(folder, str(path))
            raise type(error)(text) from error


def _read(folder: Path, *, bundled: bool) -> Source:
    find(folder)
    check_format(folder)
    public = _entries(folder, "public")
    created = first_body(folder, public[0] if public else None)
    config, _ = read_config(folder, created)
    private = None
    if not bundled and (folder / "log" / "private.jsonl").exists():
        private = _entries(folder, "private")
        first_body(folder, private[0] if private else None)
        check_pair(public[0], private[0])
    settings = parse_json(config)
    if not isinstance(settings, dict):
        raise LogError(f"{folder / 'config.json'} is no configuration.")
    return Source(
        folder=folder,
        config=settings,
        public=public,
        private=private,
        blobs=Blobs(folder / "blobs"),
        bundled=bundled,
    )


def _entries(folder: Path, stream: str) -> tuple[Entry, ...]:
    log = Log(folder / "log" / f"{stream}.jsonl", stream=stream, write=False)
    entries = tuple(log.entries())
    if log.cut_bytes:
        raise LogError(
            f"{log.path} ends in {log.cut_bytes} bytes that are no entry, after entry {log.length - 1}. "
            "Where a run was killed, hansa run --resume mends that; else they were changed."
        )
    return entries

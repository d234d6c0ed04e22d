"""The folder of a run: configuration, log, checkpoints; what a killed run resumes from."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Collection, Iterator, Mapping
from itertools import islice
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Self

from hansa.errors import ConfigurationError, RunError
from hansa.record import RoundRecord
from hansa.store.blobs import Blobs, name_of
from hansa.store.canonical import canonical_json, differences, parse_json
from hansa.store.checkpoints import Checkpoint, References, get_checkpoint, put_checkpoint
from hansa.store.files import Lock, explained, write_atomic
from hansa.store.folder import CONFIG_LIMIT_BYTES, check_format, claim, find, read_config
from hansa.store.history import History
from hansa.store.journal import Journal, RandomBytes, blob_names
from hansa.store.log import Entry
from hansa.store.rounds import merge, split
from hansa.store.sums import Sums, put_sums

Keep = Literal["all"] | int


class Run:
    """A run's folder, opened. Use `create` or `open`; close it, or use it in a ``with`` block.

    One process writes a run, from one thread; others may open it with ``write=False`` meanwhile.

    Guarantees:
        A round is committed as a whole or not at all, whenever the process dies. What `latest`
        returns is, bit for bit, what was committed. The public log has nothing that one client reported
        in the clear; it names clients only where a sealed sum has to show who took part.
    Assumes:
        The folder is the coordinator's own: the hash chains show damage and edits, yet whoever can write
        the folder can write a new run into it.

    Example:
        >>> import tempfile
        >>> import numpy as np
        >>> from hansa.types import ServerState
        >>> folder = tempfile.mkdtemp()
        >>> weights = np.zeros(3, np.float32)
        >>> with Run.create(folder, {"rounds": 2}) as run:
        ...     state = ServerState(round=1, weights=weights)
        ...     run.commit(RoundRecord(round=0, cohort=("a", "b")), Checkpoint(state=state))
        >>> with Run.open(folder) as run:
        ...     run.rounds, run.latest().state.weights.tolist()
        (1, [0.0, 0.0, 0.0])

    Attributes:
        folder: The run's folder.
        blobs: Its content-addressed files.
        config_hash: SHA-256 of the configuration's canonical JSON.
        repairs: What opening found cut short by a crash and set aside, one line each.
    """

    def __init__(self, folder: Path, *, lock: Lock | None, keep: Keep, random_bytes: RandomBytes) -> None:
        """Open a folder that `create` or `open` has made sure of; without a lock, to read only."""
        self.folder = folder
        self.blobs = Blobs(folder / "blobs")
        self._lock = lock
        self._keep = keep
        self._journal = Journal(folder, random_bytes=random_bytes, write=lock is not None)
        self._config_bytes, self.config_hash = read_config(folder, self._journal.created)
        lines, repairs = self._journal.recover()
        self.repairs = tuple(repairs)
        self._history: History | None = None
        # Only a policy that forgets needs to know, at every commit, what is still needed.
        self._needed: dict[int, frozenset[str]] = {}
        self._noted: set[str] = set()
        if keep != "all":
            self._noted = self._journal.noted_blobs()
            self._needed = self._needed_by_round()
        if lock is not None:
            self._history = History(folder / "history.jsonl", lines)

    @classmethod
    def create(
        cls,
        folder: Path | str,
        config: Mapping[str, Any],
        *,
        keep_checkpoints: Keep = "all",
        random_bytes: RandomBytes = os.urandom,
    ) -> Run:
        """Create a run in a new or empty folder.

        Args:
            folder: Where; parents are created as well.
            config: The resolved configuration, JSON values.
            keep_checkpoints: ``"all"``, or how many of the last rounds keep their checkpoint.
            random_bytes: Source of the salts, for tests; elsewhere leave it the system's.

        Raises:
            RunError: The folder is a run already, holds something else, or cannot be written.
        """
        _check_keep(keep_checkpoints)
        folder = Path(folder)
        content = canonical_json(config)
        if not isinstance(config, Mapping) or len(content) > CONFIG_LIMIT_BYTES:
            raise RunError(f"a configuration is a mapping of at most {CONFIG_LIMIT_BYTES} bytes of JSON.")
        lock = claim(folder)
        try:
            with explained("write", folder / "config.json"):
                write_atomic(folder / "config.json", content)
            Journal.create(folder, config_hash=name_of(content), random_bytes=random_bytes)
            return cls(folder, lock=lock, keep=keep_checkpoints, random_bytes=random_bytes)
        except BaseException:
            lock.release()
            raise

    @classmethod
    def open(
        cls,
        folder: Path | str,
        *,
        write: bool = True,
        keep_checkpoints: Keep = "all",
        random_bytes: RandomBytes = os.urandom,
    ) -> Run:
        """Open a run at its last committed round, having checked its whole log.

        Args:
            folder: The run's folder.
            write: Whether to go on with the run; if not, nothing is locked, mended or written.
            keep_checkpoints: ``"all"``, or how many of the last rounds keep their checkpoint.
            random_bytes: Source of the salts, for tests; elsewhere leave it the system's.

        Raises:
            RunError: There is no run, another process writes it, or a newer Hansa wrote it.
            LogError: The log or the configuration is missing or changed; says where.
        """
        _check_keep(keep_checkpoints)
        folder = Path(folder)
        find(folder)
        lock = Lock(folder / "lock") if write else None
        try:
            check_format(folder)
            return cls(folder, lock=lock, keep=keep_checkpoints, random_bytes=random_bytes)
        except BaseException:
            if lock is not None:
                lock.release()
            raise

    @property
    def config(self) -> dict[str, Any]:
        """The configuration that the run was created with."""
        return parse_json(self._config_bytes)

    @property
    def head(self) -> str:
        """The hash of the public log's last entry, which stands for all of the log: note it elsewhere."""
        return self._journal.public.head

    @property
    def rounds(self) -> int:
        """The number of rounds committed, and so the number of the next round."""
        return self._journal.rounds

    def check_config(self, config: Mapping[str, Any]) -> None:
        """Check that a configuration is the run's own.

        Raises:
            RunError: It differs; the message lists each key with its old and new value.
        """
        lines = differences(self.config, parse_json(canonical_json(config)))
        if lines:
            shown = "\n".join(f"  {line}" for line in lines[:20])
            more = f"\n  and {len(lines) - 20} more" if len(lines) > 20 else ""
            raise RunError(
                f"the configuration differs from that of the run {self.folder} (run -> now):\n{shown}{more}\n"
                "Resume with the run's own configuration, or start a new run in another folder."
            )

    def commit(
        self,
        record: RoundRecord,
        checkpoint: Checkpoint,
        private: Mapping[str, Any] | None = None,
        *,
        changed: Collection[str] | None = None,
        sums: Sums | None = None,
    ) -> None:
        """Keep a finished round. On return it survives a power cut; if this raises, it never was.

        Args:
            record: What the round did.
            checkpoint: What the next round starts from.
            private: What else to keep in the private log, such as the draws of the round; JSON values.
            changed: Clients whose memory may differ from the last commit; None looks at every one.
            sums: What clients said in the round's secure sums, to be kept; None keeps nothing of it.

        Raises:
            RunError: It is not the next round, or cannot be written.
        """
        self._check_writable()
        self._check_next(record, checkpoint)
        public, private_record = split(record)
        told = put_sums(self.blobs, sums or Sums(), record)
        known = self._journal.references.memories
        references = put_checkpoint(self.blobs, checkpoint, known=known, changed=changed)
        kept_from = self._journal.kept_from
        if isinstance(self._keep, int):
            kept_from = max(kept_from, record.round - self._keep + 1)
        body = {"record": private_record, "private": private or {}, **told[1]}
        self._journal.commit({**public, **told[0]}, body, references, kept_from=kept_from)
        self._noted |= blob_names(told)
        if self._history is not None:
            self._history.add(record, self.history)
        self._forget(references)

    def note(self, kind: str, body: Mapping[str, Any], *, private: bool = False) -> Entry:
        """Append an entry of another kind to the log, such as ``"finished"`` or ``"resumed"``."""
        self._check_writable()
        entry = self._journal.note(kind, body, private=private)
        self._noted |= blob_names(entry.body)
        return entry

    def latest(self) -> Checkpoint | None:
        """Return the checkpoint of the last committed round, or None before the first."""
        if not self.rounds:
            return None
        return get_checkpoint(self.blobs, self._journal.references, rounds=self.rounds)

    def at(self, round: int) -> Checkpoint:  # noqa: A002 - a round is a round
        """Return the checkpoint after a round.

        Raises:
            RunError: The round is not committed, or its checkpoint was not to be kept.
            LogError: One of its blobs is missing or changed.
        """
        self._check_committed(round)
        if round < self._journal.kept_from:
            raise RunError(
                f"the checkpoint of round {round} was not kept: those of rounds {self._journal.kept_from} to "
                f'{self.rounds - 1} are. A run with keep_checkpoints="all" keeps each.'
            )
        references = next(islice(self._journal.references_by_round(), round, None))
        return get_checkpoint(self.blobs, references, rounds=round + 1)

    def private(self, round: int) -> dict[str, Any]:  # noqa: A002 - a round is a round
        """Return what `commit` was given as ``private`` for a round."""
        self._check_committed(round)
        _, entry = next(islice(self._journal.pairs(), round, None))
        return dict(entry.body["private"])

    def history(self) -> list[RoundRecord]:
        """Return the record of every committed round, from the log."""
        return [merge(public, private) for public, private in self._journal.pairs()]

    def entries(self, *, private: bool = False) -> Iterator[Entry]:
        """Yield the entries of the public (or the private) log."""
        return (self._journal.private if private else self._journal.public).entries()

    def collect(self) -> int:
        """Remove what uncommitted rounds, and rounds no longer kept, left among the blobs.

        Kept is, besides the checkpoints, every blob that a note names.

        Returns:
            The number of files removed.
        """
        self._check_writable()
        needed = self._journal.noted_blobs().union(*self._needed_by_round().values())
        return self.blobs.collect(needed)

    def close(self) -> None:
        """Let other processes write the run; does nothing the second time."""
        if self._lock is not None:
            self._lock.release()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _check_writable(self) -> None:
        if self._lock is None:
            raise RunError(f"{self.folder} was opened to read only; open it with write=True.")
        if not self._lock.held:
            raise RunError(f"{self.folder} was closed, or belongs to the parent process; open it again.")

    def _check_next(self, record: RoundRecord, checkpoint: Checkpoint) -> None:
        if record.round != self.rounds:
            raise RunError(
                f"cannot commit round {record.round}: the next round of {self.folder} is {self.rounds}."
            )
        if checkpoint.state.round != self.rounds + 1:
            raise RunError(
                f"the checkpoint of round {record.round} says that {checkpoint.state.round} rounds are "
                f"finished; expected {self.rounds + 1}."
            )

    def _check_committed(self, number: int) -> None:
        if not 0 <= number < self.rounds:
            raise RunError(f"round {number} is not in {self.folder}, which has {self.rounds} rounds, from 0.")

    def _needed_by_round(self) -> dict[int, frozenset[str]]:
        rounds = enumerate(self._journal.references_by_round())
        return {number: r.names() for number, r in rounds if number >= self._journal.kept_from}

    def _forget(self, references: References) -> None:
        if self._keep == "all":
            return
        self._needed[self.rounds - 1] = references.names()
        gone = [self._needed.pop(n) for n in sorted(self._needed) if n < self._journal.kept_from]
        for name in frozenset().union(*gone).difference(self._noted, *self._needed.values()):
            # Committed is committed: what cannot be removed now is left for `collect`.
            with contextlib.suppress(RunError):
                self.blobs.remove(name)


def _check_keep(keep: Keep) -> None:
    if keep != "all" and (isinstance(keep, bool) or not isinstance(keep, int) or keep < 1):
        raise ConfigurationError(f'keep_checkpoints must be "all" or an integer of 1 or more, got {keep!r}.')

"""The bundle that an auditor gets: one file with all of a run that is public.

A ZIP archive, nothing in it compressed, the same bytes for the same run: configuration, public log, what the
log names of sealed sums, the first and the last model, and a text that says what this is. No key, no secret,
no row of data, nothing that one client reported in the clear.
"""

from __future__ import annotations

import re
import struct
import zipfile
from pathlib import Path
from typing import Any

from hansa.claims.claims import NOTE
from hansa.errors import LogError, RunError
from hansa.store.blobs import Blobs
from hansa.store.files import explained
from hansa.store.journal import blob_names
from hansa.store.run import Run
from hansa.store.sums import message_blobs

CONFIG, LOG, README = "config.json", "log/public.jsonl", "README.txt"
_BLOB = re.compile(r"blobs/([0-9a-f]{2})/(\1[0-9a-f]{62})", re.ASCII)
_MOST_FILES = 10_000_000
_LIMITS = {CONFIG: 1 << 24, LOG: 1 << 34, README: 1 << 20}
_CHUNK = 1 << 20
_DAMAGED = (zipfile.BadZipFile, EOFError, NotImplementedError, RuntimeError, ValueError, struct.error)
"""What reading a damaged archive raises."""
_DATE = (1980, 1, 1, 0, 0, 0)  # the earliest that the format knows: bytes do not depend on the clock

_TEXT = """A run of Hansa, as anyone may see and verify it.

    pip install 'hansa[secure]'
    hansa verify {name}

config.json        the configuration, which every client pinned by its hash: who takes part with which public
                   keys, the algorithm, the bounds
log/public.jsonl   what happened, entry by entry, each with the hash of the one before
blobs/             what the log names: sealed updates, proofs, locks and openings of every sum; the first and
                   the last model

Compare with what you got elsewhere (a party, the coordinator's site):
    head of the log        {head}
    hash of the roster     {roster}

Not in it: rows, keys, secrets, single updates in the clear, and the coordinator's private log.
{sums}"""
_NO_SUMS = """
The sums of this run are not in it: they were added in the clear, or noise was added to them only afterwards,
and whoever sees a sum without its noise is not covered by the promise of privacy. Models and log can be
checked, sums cannot.
"""


def export(run: Path | str, to: Path | str | None = None) -> Path:
    """Write the bundle of a run that anyone can verify, and return its path.

    Args:
        run: The run's folder.
        to: The file to write; None is the folder's name with ``.hansa.zip``, beside it.

    Raises:
        RunError: If there is no run, the file exists already, or cannot be written.
        LogError: If the run's log was changed, or a blob that belongs into it is missing.
    """
    folder = Path(run)
    path = folder.resolve().with_name(f"{folder.resolve().name}.hansa.zip") if to is None else Path(to)
    with Run.open(folder, write=False) as opened:
        names = _public_blobs(opened)
        roster = opened.config.get("roster", {}).get("hash", "none: the sum was in the clear")
        has_sums = any("sums" in entry.body for entry in opened.entries())
        text = _TEXT.format(
            name=path.name, head=opened.head, roster=roster, sums="" if has_sums else _NO_SUMS
        )
        partial = path.with_name(f".partial-{path.name}")
        with explained("write", path):
            if path.exists():
                raise RunError(f"{path} exists already; choose another file (--to), or remove it.")
            try:
                with zipfile.ZipFile(partial, "w", zipfile.ZIP_STORED) as archive:
                    _add(archive, README, text.encode())
                    for name in (CONFIG, LOG):
                        _add(archive, name, (folder / name).read_bytes())
                    for name in sorted(names):
                        _add(archive, f"blobs/{name[:2]}/{name}", opened.blobs.get(name))
                partial.replace(path)
            finally:
                partial.unlink(missing_ok=True)
    return path


def is_bundle(path: Path) -> bool:
    """Whether a path is a file, and so not the folder of a run.

    Raises:
        RunError: If it is a file and no bundle.
    """
    if not path.is_file():
        return False
    if not zipfile.is_zipfile(path):
        raise RunError(f"{path} is neither the folder of a run nor a bundle that hansa export wrote.")
    return True


def unpack(path: Path, folder: Path) -> None:
    """Write what is in a bundle into a folder; nothing outside of it, and nothing that is not a bundle's.

    Raises:
        LogError: If the file is no whole bundle.
    """
    blobs = Blobs(folder)
    try:
        with explained("unpack", path), zipfile.ZipFile(path) as archive:
            infos = archive.infolist()
            if len(infos) > _MOST_FILES or len({info.filename for info in infos}) != len(infos):
                raise LogError(f"{path} is no bundle: it has a file twice, or too many.")
            for info in infos:
                _check(path, info, blobs.limit_bytes)
            if sum(info.file_size for info in infos) > path.stat().st_size:  # some would share their bytes
                raise LogError(f"{path} is no bundle: its files are larger than itself.")
            for info in infos:
                target = folder / info.filename
                target.parent.mkdir(parents=True, exist_ok=True)
                with archive.open(info) as source, target.open("xb") as out:
                    while chunk := source.read(_CHUNK):
                        out.write(chunk)
                if target.stat().st_size != info.file_size:
                    raise LogError(f"{path} is damaged: {info.filename} is cut short. Get the bundle again.")
    except _DAMAGED as error:
        raise LogError(f"{path} is damaged: {error}. Get the bundle again.") from error


def _check(path: Path, info: zipfile.ZipInfo, limit: int) -> None:
    """Raise `LogError` unless a file in an archive is one that a bundle has, stored as it is."""
    known = info.filename in _LIMITS or _BLOB.fullmatch(info.filename)
    if not known or info.is_dir():
        raise LogError(f"{path} is no bundle: {info.filename[:80]!r} does not belong into one.")
    if info.compress_type != zipfile.ZIP_STORED or info.file_size != info.compress_size or info.flag_bits & 1:
        raise LogError(f"{path} is no bundle: {info.filename} is compressed or encrypted.")
    if info.file_size > _LIMITS.get(info.filename, limit):
        raise LogError(f"{path} is no bundle: {info.filename} has {info.file_size} bytes.")


def _public_blobs(run: Run) -> set[str]:
    """Return the blobs of a bundle: of sums, the first and the last model; all models where needed."""
    entries: list[Any] = list(run.entries())
    rounds = [entry.body for entry in entries if entry.kind == "round"]
    noted = [entry.body for entry in entries if entry.kind in ("started", NOTE)]
    names = {name for body in noted for name in blob_names(body)}
    names |= {name for body in rounds for name in message_blobs(body)}
    models = [body["weights"] for body in rounds]
    # A step that is recomputed to a tolerance starts from the model before it, as it was.
    kept = models if run.config.get("server_optimizer") else models[-1:]
    return names | {name for name in kept if run.blobs.has(name)}


def _add(archive: zipfile.ZipFile, name: str, data: bytes) -> None:
    archive.writestr(zipfile.ZipInfo(name, _DATE), data)

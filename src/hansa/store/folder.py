"""The outside of a run's folder: claiming a new one, finding an old one, and its configuration."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hansa.errors import LogError, RunError
from hansa.store.blobs import name_of
from hansa.store.files import Lock, explained, make_folder, read_bounded
from hansa.store.log import Entry

FORMAT = 1
CONFIG_LIMIT_BYTES = 16 * 2**20
_OWN_NAMES = {"lock", "config.json", "log", "blobs"}
_FIRST_LINE_LIMIT_BYTES = 4096


def claim(folder: Path) -> Lock:
    """Make a new or empty folder ready for a run, locked.

    A folder in which `hansa.store.Run.create` was itself interrupted counts as empty.

    Raises:
        RunError: It is a run already, holds something else, is a file, or cannot be written.
    """
    with explained("create", folder):
        _check_free(folder)
        make_folder(folder)
    lock = Lock(folder / "lock")
    try:
        with explained("create", folder):
            _check_free(folder)  # another process may have been quicker
            make_folder(folder / "log")
            make_folder(folder / "blobs")
    except BaseException:
        lock.release()
        raise
    return lock


def find(folder: Path) -> None:
    """Check that there is a run in a folder.

    Raises:
        RunError: There is none.
    """
    with explained("read", folder):
        if not folder.exists():
            raise RunError(f"there is no run at {folder}: check the path, or start a new run there.")
        if not folder.is_dir():
            raise RunError(f"{folder} is a file; expected the folder of a run.")
        if _is_run(folder):
            return
        if _is_unfinished(folder):
            raise RunError(f"no run was begun in {folder}: start one there without --resume.")
    raise RunError(
        f"{folder} is not a run: log/public.jsonl is missing or empty. Check the path, or restore the log "
        "from a copy of the run."
    )


def check_format(folder: Path) -> None:
    """Check that this version of Hansa can read a run, before its entries are judged.

    Raises:
        RunError: A newer version wrote it.
    """
    with explained("read", folder), (folder / "log" / "public.jsonl").open("rb") as file:
        line = file.readline(_FIRST_LINE_LIMIT_BYTES)
    try:
        found = json.loads(line)["body"]["format"]
    except (ValueError, KeyError, TypeError, RecursionError):
        return  # damage: opening the log says more of it
    if isinstance(found, int) and found > FORMAT:
        raise RunError(
            f"{folder} was written in format {found}; this version of Hansa reads up to {FORMAT}. "
            "Install a newer Hansa (pip install --upgrade hansa)."
        )


def read_config(folder: Path, created: Mapping[str, Any]) -> tuple[bytes, str]:
    """Return the configuration's bytes and hash, checked against the log's first entry.

    Raises:
        LogError: It is missing or changed.
    """
    path = folder / "config.json"
    remedy = "Restore it from a copy of the run."
    if not path.is_file():
        raise LogError(f"{path} is missing. {remedy}")
    with explained("read", path):
        content = read_bounded(path, CONFIG_LIMIT_BYTES)
    if name_of(content) != created.get("config"):
        raise LogError(
            f"{path} was changed: its hash is {name_of(content)}, "
            f"the log says {created.get('config')}. {remedy}"
        )
    return content, name_of(content)


def first_body(folder: Path, entry: Entry | None) -> Mapping[str, Any]:
    """Return the body of a log's first entry, which must say that the run was created.

    Raises:
        LogError: The log begins with something else.
    """
    if entry is None or entry.kind != "created":
        raise LogError(f"the log in {folder / 'log'} does not begin with the run's creation.")
    return entry.body


def _check_free(folder: Path) -> None:
    if not folder.exists():
        return
    if not folder.is_dir():
        raise RunError(f"{folder} is a file; choose another folder for the run.")
    if _is_run(folder):
        raise RunError(f"{folder} is a run already: go on with it by --resume, or choose another folder.")
    if not _is_unfinished(folder):
        names = ", ".join(sorted(path.name for path in folder.iterdir())[:5])
        raise RunError(
            f"{folder} is not empty and not a run (it holds {names}): choose another folder, or empty it."
        )


def _is_run(folder: Path) -> bool:
    # A run exists from the moment the first line of its public log is whole.
    return b"\n" in _start_of(folder / "log" / "public.jsonl")


def _is_unfinished(folder: Path) -> bool:
    """Tell whether a folder is empty but for what an interrupted creation leaves."""
    names = {path.name for path in folder.iterdir() if not path.name.startswith(".config.json.")}
    blobs = folder / "blobs"
    private = _start_of(folder / "log" / "private.jsonl")
    return (
        names <= _OWN_NAMES
        and not (blobs.is_dir() and any(blobs.iterdir()))
        and private.count(b"\n") <= 1
        and len(private) < _FIRST_LINE_LIMIT_BYTES
    )


def _start_of(path: Path) -> bytes:
    if not path.is_file():
        return b""
    with path.open("rb") as file:
        return file.read(_FIRST_LINE_LIMIT_BYTES)

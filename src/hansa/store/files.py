"""Writing files so that a crash leaves the old content or the new, and one process at a time writes a run."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import stat
import weakref
from collections.abc import Iterator
from pathlib import Path

from hansa.errors import LogError, RunError

_MODE = 0o600  # a run holds what clients must not read of one another
_REMEDIES = {
    errno.ENOSPC: "the disk is full; free some space and resume the run",
    errno.EDQUOT: "the disk quota is used up; free some space and resume the run",
    errno.EACCES: "permission denied; change the permissions or choose another folder",
    errno.EPERM: "permission denied; change the permissions or choose another folder",
    errno.EROFS: "the file system is read-only; choose another folder",
    errno.ENOTDIR: "a part of the path is a file, not a folder; choose another folder",
    errno.EEXIST: "a file of this name is in the way; choose another folder",
    errno.ENOENT: "it does not exist; check the path, and that nobody removed the run's folder",
    errno.EIO: "the disk reports an error; check it, and restore the run from a copy if need be",
}


@contextlib.contextmanager
def explained(action: str, path: Path) -> Iterator[None]:
    """Turn an `OSError` inside the block into a `RunError` that says what to do."""
    try:
        yield
    except OSError as error:
        reason = error.strerror or str(error)
        remedy = _REMEDIES.get(error.errno or 0, "see to the cause and try again")
        raise RunError(f"cannot {action} {path}: {reason}: {remedy}.") from error


def write_all(descriptor: int, data: bytes) -> None:
    """Write every byte, however few the system takes at a time."""
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]


def sync_folder(folder: Path) -> None:
    """Make names created in, renamed in or removed from a folder survive a power cut."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def make_folder(folder: Path) -> None:
    """Create a folder and its parents, and make them survive a power cut."""
    missing = [p for p in (folder, *folder.parents) if not p.exists()]
    folder.mkdir(parents=True, exist_ok=True)
    for path in reversed(missing):
        sync_folder(path.parent)


def write_atomic(path: Path, data: bytes) -> None:
    """Replace a file's content as a whole: after a crash it has the old content or the new.

    Raises:
        OSError: As the system reports it; the old content is still there.
    """
    # The process number keeps two processes apart; a file left by a crash is written over.
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, _MODE)
        try:
            write_all(descriptor, data)
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        os.replace(temporary, path)  # noqa: PTH105 - tests make this very call fail
    except BaseException:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)
        raise
    sync_folder(path.parent)


def read_bounded(path: Path, limit: int) -> bytes:
    """Return a regular file's content, its size checked before any of it is read.

    Raises:
        OSError: As the system reports it.
        LogError: It is a link or another kind of file, or larger than ``limit`` bytes.
    """
    try:
        # Neither follow a link out of the run's folder, nor wait for a writer of a named pipe.
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError as error:
        if error.errno == errno.ELOOP:
            raise LogError(f"{path} is a symbolic link; expected a file. Restore it from a copy.") from error
        raise
    with os.fdopen(descriptor, "rb") as file:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise LogError(f"{path} is not a regular file. Restore it from a copy.")
        if status.st_size > limit:
            raise LogError(f"{path} has {status.st_size} bytes, more than the limit of {limit}.")
        # Python allocates what it is asked to read, so that the limit must not be asked for.
        return file.read(status.st_size)


class Lock:
    """The right to write a run: held by one process, freed by the kernel if that process dies.

    A forked child does not inherit it: were it to, a run could not be resumed after its process
    was killed while a data loader's worker lives on.
    """

    def __init__(self, path: Path) -> None:
        """Take the lock.

        Raises:
            RunError: Another process, or this one, holds it already, or it cannot be written.
        """
        self._descriptor: int | None = None
        with explained("lock", path):
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, _MODE)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                os.ftruncate(descriptor, 0)
                write_all(descriptor, f"{os.getpid()}\n".encode())
            except BlockingIOError as error:
                holder = os.pread(descriptor, 20, 0).decode(errors="replace").strip()
                os.close(descriptor)
                process = f"process {holder}" if holder.isdecimal() else "another process"
                raise RunError(
                    f"{process} is writing the run {path.parent}: wait until it ends, stop it, or choose "
                    "another folder. To look at the run meanwhile, open it with write=False."
                ) from error
            except BaseException:
                os.close(descriptor)
                raise
        self._descriptor = descriptor
        _HELD.add(self)

    @property
    def held(self) -> bool:
        """Whether this process holds the lock."""
        return self._descriptor is not None

    def release(self) -> None:
        """Let others write; does nothing the second time."""
        if self._descriptor is not None:
            fcntl.flock(self._descriptor, fcntl.LOCK_UN)
            self._forget()

    def _forget(self) -> None:
        # Closing a forked copy leaves the parent's lock as it is; LOCK_UN would release it.
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None


_HELD: weakref.WeakSet[Lock] = weakref.WeakSet()


def _forget_in_child() -> None:
    for lock in list(_HELD):
        lock._forget()


os.register_at_fork(after_in_child=_forget_in_child)

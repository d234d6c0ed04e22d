from __future__ import annotations

import errno
import os
import subprocess
import sys

import pytest

from hansa.errors import LogError, RunError
from hansa.store.files import Lock, explained, make_folder, read_bounded, write_all, write_atomic


def test_write_atomic_replaces_the_whole_and_leaves_nothing_beside(tmp_path):
    path = tmp_path / "a"
    write_atomic(path, b"old and long")
    write_atomic(path, b"new")
    assert path.read_bytes() == b"new"
    assert [p.name for p in tmp_path.iterdir()] == ["a"]
    assert path.stat().st_mode & 0o077 == 0


@pytest.mark.parametrize("call", ["write", "fsync", "replace"])
def test_write_atomic_keeps_the_old_content_when_it_fails(tmp_path, monkeypatch, call):
    path = tmp_path / "a"
    write_atomic(path, b"old")

    def fail(*args):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, call, fail)
    with pytest.raises(RunError, match="disk is full"), explained("write", path):
        write_atomic(path, b"new")
    assert path.read_bytes() == b"old"
    assert [p.name for p in tmp_path.iterdir()] == ["a"]


def test_write_all_goes_on_after_a_short_write(tmp_path, monkeypatch):
    path = tmp_path / "a"
    write = os.write
    monkeypatch.setattr(os, "write", lambda fd, data: write(fd, bytes(data[:3])))
    write_atomic(path, b"0123456789")
    assert path.read_bytes() == b"0123456789"
    assert write_all(1, b"") is None


def test_make_folder_creates_parents_and_accepts_one_that_is_there(tmp_path):
    for _ in range(2):
        make_folder(tmp_path / "a" / "b")
    assert (tmp_path / "a" / "b").is_dir()


def test_read_bounded_refuses_links_pipes_and_large_files(tmp_path):
    (tmp_path / "file").write_bytes(b"12345")
    (tmp_path / "link").symlink_to("file")
    os.mkfifo(tmp_path / "pipe")
    assert read_bounded(tmp_path / "file", 5) == b"12345"
    for name, limit, told in (("file", 4, "5 bytes"), ("link", 9, "symbolic"), ("pipe", 9, "regular")):
        with pytest.raises(LogError, match=told):
            read_bounded(tmp_path / name, limit)


@pytest.mark.parametrize(
    ("number", "told"),
    [
        (errno.ENOSPC, "free some space"),
        (errno.EACCES, "permissions"),
        (errno.EROFS, "read-only"),
        (errno.EMFILE, "see to the cause"),
    ],
)
def test_explained_says_what_to_do(tmp_path, number, told):
    with pytest.raises(RunError, match=told) as caught, explained("write", tmp_path):
        raise OSError(number, os.strerror(number))
    assert str(tmp_path) in str(caught.value)


def test_a_lock_is_held_by_one_and_can_be_taken_after(tmp_path):
    lock = Lock(tmp_path / "lock")
    with pytest.raises(RunError, match=f"process {os.getpid()} is writing"):
        Lock(tmp_path / "lock")
    lock.release()
    lock.release()
    assert not lock.held
    Lock(tmp_path / "lock").release()


FORK = """
import os, sys, time
from pathlib import Path
from hansa.errors import RunError
from hansa.store.files import Lock
path = Path(sys.argv[1])
lock = Lock(path)
read, write = os.pipe()
child = os.fork()
if child == 0:
    held = lock.held
    try:
        Lock(path)
    except RunError:
        os.write(write, b"no" if not held else b"held")
    os._exit(0)
os.waitpid(child, 0)
assert os.read(read, 9) == b"no"
child = os.fork()
if child == 0:
    os.write(write, b"up")
    time.sleep(60)
    os._exit(0)
assert os.read(read, 9) == b"up"  # else it may not have let go of the lock yet
print(child, flush=True)
os.kill(os.getpid(), 9)
"""


def test_a_forked_child_neither_holds_nor_keeps_the_lock(tmp_path):
    command = [sys.executable, "-c", FORK, str(tmp_path / "lock")]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        child = int(process.stdout.readline())
        try:
            assert process.wait() == -9
            Lock(tmp_path / "lock").release()
        finally:
            os.kill(child, 9)


def test_read_bounded_asks_for_the_memory_of_the_file_and_not_of_the_limit(tmp_path):
    (tmp_path / "file").write_bytes(b"12345")
    assert read_bounded(tmp_path / "file", 1 << 60) == b"12345"

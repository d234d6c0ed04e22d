"""A commit broken off at every system call: by a full disk, by death, by kill -9."""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from hansa.errors import RunError
from hansa.store import Run

CALLS = ("write", "fsync", "replace", "ftruncate")
FOREVER = 10**9
HERE = Path(__file__).parent


class Broke(BaseException):
    """Raised where a process would die; nothing catches it."""


def break_at(patch, when, failure, *, times=1):
    """Make calls from number ``when`` (from 0) on fail, a write after half of its bytes; count the calls."""
    state = {"calls": 0}

    def wrap(name):
        real = getattr(os, name)

        def call(*args):
            number = state["calls"]
            state["calls"] += 1
            if 0 <= when <= number < when + times:
                if name == "write" and number == when:
                    real(args[0], bytes(args[1][: len(args[1]) // 2]))
                failure()
            return real(*args)

        return call

    for name in CALLS:
        (patch or pytest.MonkeyPatch()).setattr(os, name, wrap(name))
    return state


def disk_full():
    raise OSError(errno.ENOSPC, "No space left on device")


def die():
    raise Broke


def head_after(folder, step, salts, rounds):
    with Run.create(folder, {"seed": 1}, random_bytes=salts()) as run:
        for number in range(rounds):
            run.commit(*step(number), private={"draw": [1, 2]})
        return run.head, list(run.entries(private=True))[-1].hash


def salts_from(salts, start):
    """The salts of a process that starts after ``start`` of them were used."""
    source = salts()
    for _ in range(start):
        source(32)
    return source


@pytest.fixture
def calls_of_a_commit(run, step, monkeypatch):
    """A copy of a run of two rounds, and how many system calls its next commit makes."""
    run.close()
    copy = run.folder.with_name("counted")
    shutil.copytree(run.folder, copy)
    with Run.open(copy) as counted, monkeypatch.context() as patch:
        state = break_at(patch, -1, die)
        counted.commit(*step(2))
    assert state["calls"] > 12
    return run.folder, state["calls"]


def test_a_disk_full_at_every_call_changes_nothing(
    calls_of_a_commit, step, salts, equal, tmp_path, monkeypatch
):
    folder, calls = calls_of_a_commit
    expected = head_after(tmp_path / "uninterrupted", step, salts, 3)
    failed = 0
    for when in range(calls):
        copy = tmp_path / str(when)
        shutil.copytree(folder, copy)
        with Run.open(copy, random_bytes=salts_from(salts, 3)) as run:
            logs = [(copy / "log" / f"{n}.jsonl").read_bytes() for n in ("public", "private")]
            with monkeypatch.context() as patch:
                break_at(patch, when, disk_full)
                try:
                    run.commit(*step(2), private={"draw": [1, 2]})
                except RunError as error:
                    assert "disk is full" in str(error)
                    failed += 1
            if run.rounds == 2:
                assert [(copy / "log" / f"{n}.jsonl").read_bytes() for n in ("public", "private")] == logs
                assert equal(run.latest(), step(1)[1])
                run._journal._random_bytes = salts_from(salts, 3)
                run.commit(*step(2), private={"draw": [1, 2]})
            assert equal(run.latest(), step(2)[1])
            assert (run.head, list(run.entries(private=True))[-1].hash) == expected
        with Run.open(copy) as again:
            assert again.repairs == ()
            assert equal(again.latest(), step(2)[1])
        shutil.rmtree(copy)
    assert failed == calls - 1  # the last call writes the history, without which a round stands


DYING = """
import importlib.util, os, shutil, sys
from pathlib import Path

def load(name):
    spec = importlib.util.spec_from_file_location(name, Path(sys.argv[2]) / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module

from hansa.store import Run
crash, steps = load("test_crash"), load("conftest")
for when in range(int(sys.argv[3])):
    if os.fork() == 0:
        run = Run.open(f"{sys.argv[1]}/{when}", random_bytes=crash.salts_from(steps.fixed_bytes, 3))
        crash.break_at(None, when, lambda: os._exit(9))
        run.commit(*steps.make_step(2), private={"draw": [1, 2]})
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.wait()[1]) == 9
"""


def test_a_process_that_dies_at_any_call_leaves_the_round_whole_or_not_there(
    calls_of_a_commit, step, salts, equal, tmp_path
):
    folder, calls = calls_of_a_commit
    expected = head_after(tmp_path / "uninterrupted", step, salts, 3)
    for when in range(calls):
        shutil.copytree(folder, tmp_path / "dead" / str(when))
    command = [sys.executable, "-c", DYING, str(tmp_path / "dead"), str(HERE), str(calls)]
    subprocess.run(command, check=True, timeout=120)
    seen = set()
    for when in range(calls):
        copy = tmp_path / "dead" / str(when)
        with Run.open(copy, random_bytes=salts_from(salts, 3)) as run:
            seen.add((run.rounds, bool(run.repairs)))
            assert equal(run.latest(), step(run.rounds - 1)[1])
            if run.rounds == 2:
                run.commit(*step(2), private={"draw": [1, 2]})
            assert (run.head, list(run.entries(private=True))[-1].hash) == expected
            assert (copy / "history.jsonl").read_bytes().count(b"\n") == 3
            run.collect()
            assert not list((copy / "blobs").rglob("*.tmp"))
            for number in range(3):
                assert equal(run.at(number), step(number)[1])
    assert seen == {(2, False), (2, True), (3, False)}


@pytest.mark.parametrize("times", [1, FOREVER])
def test_after_an_interrupt_the_same_run_writes_no_more_where_it_cannot_know(
    calls_of_a_commit, step, tmp_path, monkeypatch, times
):
    folder, calls = calls_of_a_commit
    for when in range(calls):
        copy = tmp_path / str(when)
        shutil.copytree(folder, copy)
        with Run.open(copy) as run:
            with monkeypatch.context() as patch:
                break_at(patch, when, die, times=times)
                with pytest.raises(Broke):
                    run.commit(*step(2))
            try:
                run.commit(*step(run.rounds))
                committed = run.rounds
            except RunError as error:
                assert "open it again" in str(error)
                committed = 2
        with Run.open(copy) as recovered:
            assert recovered.rounds >= committed
        shutil.rmtree(copy)


@pytest.mark.parametrize("times", [2, 3, 4, FOREVER])
def test_a_disk_that_fails_again_and_again_leaves_a_run_that_opens(
    calls_of_a_commit, step, equal, tmp_path, monkeypatch, times
):
    folder, calls = calls_of_a_commit
    for when in range(calls - 1):
        copy = tmp_path / str(when)
        shutil.copytree(folder, copy)
        with Run.open(copy) as run, monkeypatch.context() as patch:
            break_at(patch, when, disk_full, times=times)
            with pytest.raises(RunError, match="disk is full"):
                run.commit(*step(2))
        with Run.open(copy) as recovered:
            assert recovered.rounds in (2, 3)
            assert equal(recovered.latest(), step(recovered.rounds - 1)[1])
            recovered.commit(*step(recovered.rounds))
        shutil.rmtree(copy)


@pytest.mark.parametrize("name", ["public", "private"])
def test_a_last_line_cut_at_every_byte(run, step, equal, name, tmp_path):
    run.close()
    log = run.folder / "log" / f"{name}.jsonl"
    content = log.read_bytes()
    start = content[:-1].rindex(b"\n") + 1
    for end in range(start, len(content)):
        copy = tmp_path / "copy"
        shutil.copytree(run.folder, copy)
        (copy / "log" / f"{name}.jsonl").write_bytes(content[:end])
        if name == "private":  # its round was committed, so this is no crash but a loss
            with pytest.raises(RunError, match="no entry of round 1"):
                Run.open(copy)
        else:
            with Run.open(copy) as recovered:
                assert recovered.rounds == 1
                assert recovered.repairs
                assert equal(recovered.latest(), step(0)[1])
                recovered.commit(*step(1))
                assert equal(recovered.latest(), step(1)[1])
        shutil.rmtree(copy)


def test_creation_broken_off_at_every_call_can_begin_again(tmp_path, monkeypatch):
    with monkeypatch.context() as patch:
        calls = break_at(patch, -1, die)
        Run.create(tmp_path / "counted", {"a": 1}).close()
    for failure in (die, disk_full):
        for when in range(calls["calls"]):
            folder = tmp_path / f"{failure.__name__}{when}"
            with monkeypatch.context() as patch:
                break_at(patch, when, failure)
                with contextlib.suppress(Broke, RunError):
                    Run.create(folder, {"a": 1}).close()
            try:
                Run.create(folder, {"a": 2}).close()
            except RunError as error:
                assert "is a run already" in str(error)
            with Run.open(folder) as run:
                assert run.rounds == 0


WRITER = """
import importlib.util, sys
from hansa.store import Run
spec = importlib.util.spec_from_file_location("steps", sys.argv[2])
steps = importlib.util.module_from_spec(spec)
spec.loader.exec_module(steps)
with Run.open(sys.argv[1]) as run:
    while True:
        run.commit(*steps.make_step(run.rounds), private={"draw": [1, 2]})
        print(run.rounds, flush=True)
"""


def start_writer(folder):
    command = [sys.executable, "-c", WRITER, str(folder), str(HERE / "conftest.py")]
    return subprocess.Popen(command, stdout=subprocess.PIPE)


def test_kill_9_of_a_writing_process_loses_no_committed_round(tmp_path, step, equal):
    folder = tmp_path / "run"
    Run.create(folder, {"seed": 1}).close()
    total = 0
    for rounds in (1, 3, 6):
        with start_writer(folder) as process:
            told = [int(process.stdout.readline()) for _ in range(rounds)]
            with pytest.raises(RunError, match=f"process {process.pid} is writing"):
                Run.open(folder)
            with Run.open(folder, write=False) as reader:
                assert reader.rounds >= told[-1]
            os.kill(process.pid, signal.SIGKILL)
            told += [int(line) for line in process.stdout.read().split()]
        assert told[0] == total + 1
        with Run.open(folder) as run:
            assert run.rounds in (told[-1], told[-1] + 1)
            for number in range(run.rounds):
                assert equal(run.at(number), step(number)[1])
            total = run.rounds

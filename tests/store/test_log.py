from __future__ import annotations

import errno
import os

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hansa.errors import LogError, RunError
from hansa.store import Log
from hansa.store import log as log_module
from hansa.store.log import GENESIS, entry_hash


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "log.jsonl"
    log = Log.create(path, stream="s")
    for number in range(4):
        log.append("note", {"n": number})
    return path


def damaged(path, told):
    with pytest.raises(LogError, match=told) as caught:
        Log(path, stream="s")
    assert str(path) in str(caught.value)
    return str(caught.value)


def test_entries_are_chained_and_come_back(path):
    log = Log(path, stream="s")
    entries = list(log.entries())
    assert [e.body for e in entries] == [{"n": n} for n in range(4)]
    assert [e.prev for e in entries] == [GENESIS] + [e.hash for e in entries[:-1]]
    assert (log.length, log.head, log.cut_bytes) == (4, entries[-1].hash, 0)
    assert b"".join(e.to_line() for e in entries) == path.read_bytes()


def test_known_hash():
    # A frozen vector: a change of the encoding must be a new format.
    digest = entry_hash(stream="public", seq=0, prev=GENESIS, kind="note", body={"a": 1})
    assert digest == "099b91d8268d410bc162eb989ef9de1b0df8db8337aedcd643285939933439ce"


@settings(max_examples=30)
@given(st.lists(st.tuples(st.from_regex("[a-z][a-z0-9_]{0,9}", fullmatch=True), st.text(max_size=9))))
def test_what_is_appended_is_read_back(tmp_path_factory, notes):
    path = tmp_path_factory.mktemp("log") / "log"
    notes = [(kind, {"text": text.encode("utf-8", "replace").decode()}) for kind, text in notes]
    log = Log.create(path, stream="s")
    for kind, body in notes:
        log.append(kind, body)
    again = Log(path, stream="s")
    assert [(e.kind, e.body) for e in again.entries()] == notes
    assert again.head == log.head


def test_the_head_depends_on_every_part():
    parts = {"stream": "s", "seq": 1, "prev": GENESIS, "kind": "k", "body": {"a": 1}}
    changes = {"stream": "t", "seq": 2, "prev": "1" * 64, "kind": "l", "body": {"a": 2}}
    hashes = {entry_hash(**parts)} | {entry_hash(**{**parts, key: v}) for key, v in changes.items()}
    assert len(hashes) == 6
    assert entry_hash(**{**parts, "stream": "sk", "kind": ""}) != entry_hash(**{**parts, "stream": "s"})


def test_every_single_bit_flip_is_noticed(path):
    data = path.read_bytes()
    for position in range(len(data)):
        for bit in range(8):
            flipped = bytearray(data)
            flipped[position] ^= 1 << bit
            path.write_bytes(flipped)
            if position == len(data) - 1:  # without its last newline the last entry is unfinished
                assert Log(path, stream="s", write=False).cut_bytes > 0
            else:
                damaged(path, ", line ")


@pytest.mark.parametrize(
    ("order", "line", "told"),
    [
        ([0, 2, 3], 2, "entry 1 is missing"),
        ([1, 2, 3], 1, "entry 0 is missing"),
        ([0, 2, 1, 3], 2, "entry 1 is missing or out of order"),
        ([0, 1, 1, 2, 3], 3, "entry 1 stands here twice"),
        ([0, 1, 2, 3, 0], 5, "entry 0 stands here twice"),
    ],
)
def test_entries_moved_removed_or_repeated_are_noticed(path, order, line, told):
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join(lines[i] for i in order))
    assert f"line {line}:" in damaged(path, told)


def test_an_entry_of_another_log_or_stream_is_noticed(path, tmp_path):
    lines = path.read_bytes().splitlines(keepends=True)
    other = Log.create(tmp_path / "other", stream="s")
    for number in range(4):
        other.append("note", {"other": number})
    foreign = (tmp_path / "other").read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join([*lines[:2], foreign[2], lines[3]]))
    damaged(path, "does not follow the one before")
    path.write_bytes(b"".join(lines))
    with pytest.raises(LogError, match="another stream than 't'"):
        Log(path, stream="t")


def test_a_tail_cut_anywhere_leaves_the_entries_before(path):
    data = path.read_bytes()
    whole = data[: data[:-1].rindex(b"\n") + 1]
    for end in range(len(whole), len(data)):
        path.write_bytes(data[:end])
        reading = Log(path, stream="s", write=False)
        assert path.read_bytes() == data[:end]
        log = Log(path, stream="s")
        assert reading.cut_bytes == log.cut_bytes == end - len(whole)
        assert len(list(reading.entries())) == log.length == 3
        assert path.read_bytes() == whole
        log.append("note", {"n": 3})
        assert path.read_bytes() == data


def test_a_tail_of_unwritten_blocks_is_cut(path):
    data = path.read_bytes()
    for tail in (b"\0" * 40, b'{"body"' + b"\0" * 40, b"\0" * 40 + b'1"}\n'):
        path.write_bytes(data + tail)
        assert Log(path, stream="s").cut_bytes == len(tail)
        assert path.read_bytes() == data


def test_a_log_of_only_a_torn_line_is_empty(tmp_path):
    (tmp_path / "log").write_bytes(b'{"bo')
    log = Log(tmp_path / "log", stream="s")
    assert (log.length, log.head, log.cut_bytes) == (0, GENESIS, 4)


def test_a_missing_log_is_named(tmp_path):
    with pytest.raises(LogError, match="log is missing"):
        Log(tmp_path / "log", stream="s")


@pytest.mark.parametrize(
    "line",
    [b"[]", b"{}", b'{"body":{},"hash":"","kind":"a","prev":"","seq":0}', b"\xff", b" ", b""],
)
def test_lines_that_are_no_entries_are_refused(path, line):
    path.write_bytes(path.read_bytes() + line + b"\n")
    assert "line 5:" in damaged(path, "Restore it from a copy")


@pytest.mark.parametrize("kind", ["", "Two Words", "a" * 65, "ü", "a\n", 3])
def test_a_kind_must_be_a_short_word(path, kind):
    with pytest.raises(RunError, match="kind of entry"):
        Log(path, stream="s").append(kind, {})


def test_a_body_cannot_be_changed_afterwards(path):
    log, body = Log(path, stream="s"), {"list": [1]}
    entry = log.append("note", body)
    body["list"].append(2)
    assert entry.body == {"list": [1]}


def test_an_entry_too_long_is_refused_and_so_is_a_line(path, monkeypatch):
    monkeypatch.setattr(log_module, "LINE_LIMIT_BYTES", 300)
    log = Log(path, stream="s")
    with pytest.raises(RunError, match="limit of 300"):
        log.append("note", {"text": "x" * 300})
    monkeypatch.setattr(log_module, "LINE_LIMIT_BYTES", 100)
    damaged(path, "longer than the limit of 100")


@pytest.mark.parametrize("call", ["write", "fsync"])
@pytest.mark.parametrize("part", [0, 7])
def test_a_full_disk_leaves_the_log_as_before(path, monkeypatch, call, part):
    before = path.read_bytes()
    log = Log(path, stream="s")
    write, fsync = os.write, os.fsync
    state = {"calls": 0}

    def fail(descriptor, *data):
        state["calls"] += 1
        if state["calls"] == 1 and data and part:
            return write(descriptor, bytes(data[0][:part]))
        if state["calls"] <= 2 and not (call == "fsync" and state["calls"] == 2):
            raise OSError(errno.ENOSPC, "No space left on device")
        return (write if data else fsync)(descriptor, *data)

    with monkeypatch.context() as patch:
        patch.setattr(os, call, fail)
        with pytest.raises(RunError, match="disk is full"):
            log.append("note", {"n": 4})
    assert path.read_bytes() == before
    assert log.sound
    assert log.append("note", {"n": 4}).seq == 4
    assert Log(path, stream="s").length == 5


def test_after_a_write_that_cannot_be_undone_nothing_more_is_written(path, monkeypatch):
    log = Log(path, stream="s")
    write = os.write

    def half(descriptor, data):
        if len(data) < 50:
            raise OSError(errno.EIO, "Input/output error")
        return write(descriptor, bytes(data[:-20]))

    def fail(*args):
        raise OSError(errno.EIO, "Input/output error")

    with monkeypatch.context() as patch:
        patch.setattr(os, "write", half)
        patch.setattr(os, "ftruncate", fail)
        with pytest.raises(RunError, match="disk reports an error"):
            log.append("note", {"n": 4})
    assert not log.sound
    with pytest.raises(RunError, match="open it again"):
        log.append("note", {"n": 4})
    assert Log(path, stream="s").length == 4


def test_a_log_that_something_else_wrote_to_is_refused(path):
    log = Log(path, stream="s")
    Log(path, stream="s").append("note", {"n": 9})
    with pytest.raises(LogError, match="something else wrote"):
        log.append("note", {"n": 4})
    lines = path.read_bytes().splitlines(keepends=True)
    for content in (lines[0], lines[0] + lines[1][:20]):
        path.write_bytes(content)
        with pytest.raises(LogError, match=r"became shorter|line has no end"):
            list(log.entries())


def test_a_log_that_was_removed_is_refused(path):
    log = Log(path, stream="s")
    path.unlink()
    with pytest.raises(RunError, match="does not exist"):
        log.append("note", {})


def test_a_log_opened_to_read_is_not_written(path):
    with pytest.raises(RunError, match="read only"):
        Log(path, stream="s", write=False).append("note", {})


def test_entries_can_be_dropped_from_the_end(path):
    log = Log(path, stream="s")
    head = list(log.entries())[1].hash
    log.drop_from(2)
    assert (log.length, log.head) == (2, head)
    assert Log(path, stream="s").head == head
    assert log.append("note", {"n": 2}).seq == 2

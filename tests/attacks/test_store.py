"""Attacks on a run's folder: changed bytes, names that point elsewhere, hostile contents, curious readers."""

from __future__ import annotations

import hashlib
import json
import os
import pickle
import struct

import numpy as np
import pytest

from hansa.errors import LogError, RunError
from hansa.record import ClientRecord, RoundRecord
from hansa.store import Blobs, Checkpoint, Log, Run, canonical_json
from hansa.store.blobs import decode_arrays
from hansa.types import ServerState

CLIENT = "st-marys-hospital"


def commit(run, number=0, client=CLIENT, examples=1234):
    record = RoundRecord(
        round=number,
        cohort=(client, "b"),
        dropped={"b": "secret reason"},
        logs={"loss": 0.5},
        clients={client: ClientRecord(examples=examples)},
    )
    state = ServerState(round=number + 1, weights=np.ones(2, np.float32))
    checkpoint = Checkpoint(state=state, memories={client: {"c": np.arange(2)}})
    run.commit(record, checkpoint, private={"seed": 987654321})


@pytest.fixture
def folder(tmp_path):
    with Run.create(tmp_path / "run", {"a": 1}) as run:
        commit(run)
    return tmp_path / "run"


def read_everything(folder):
    """What a reader of the run relies on; returns True if it was told of a repair."""
    with Run.open(folder, write=False) as run:
        run.latest()
        run.history()
        return bool(run.repairs)


def test_every_changed_byte_of_the_run_is_noticed(folder):
    checked = 0
    for path in sorted(p for p in folder.rglob("*") if p.is_file()):
        if path.name in ("lock", "history.jsonl"):  # neither is relied on
            continue
        data = path.read_bytes()
        for position in range(len(data)):
            changed = bytearray(data)
            changed[position] ^= 1 << (position % 8)
            path.write_bytes(changed)
            try:
                assert read_everything(folder), f"byte {position} of {path.name}"
                # Only a last line without its end looks like a crash, and then it is told.
                assert path.name == "public.jsonl"
                assert position == len(data) - 1
            except RunError:
                checked += 1
        path.write_bytes(data)
    assert checked > 1500
    assert not read_everything(folder)


def test_an_entry_with_a_hash_made_anew_breaks_the_chain(folder):
    with Run.open(folder) as run:
        commit(run, 1)
    path = folder / "log" / "public.jsonl"
    lines = path.read_bytes().splitlines(keepends=True)
    forged = Log.create(folder / "forged", stream="public")
    created = json.loads(lines[0])["body"]
    forged.append("created", created)
    forged.append("round", {**json.loads(lines[1])["body"], "logs": {"loss": 0.1}})
    lines[1] = (folder / "forged").read_bytes().splitlines(keepends=True)[1]
    path.write_bytes(b"".join(lines))
    with pytest.raises(LogError, match="line 3: the entry does not follow the one before"):
        Run.open(folder)


def test_a_private_entry_made_anew_does_not_open_the_commitment(folder):
    path = folder / "log" / "private.jsonl"
    lines = [json.loads(line) for line in path.read_bytes().splitlines()]
    forged = Log.create(path, stream="private")
    forged.append("created", lines[0]["body"])
    lines[1]["body"]["record"]["clients"][CLIENT]["examples"] = 1
    forged.append("round", lines[1]["body"])
    with pytest.raises(LogError, match="does not commit to private entry 1"):
        Run.open(folder)


def test_the_public_part_tells_nothing_private(folder):
    public = (folder / "log" / "public.jsonl").read_bytes() + (folder / "config.json").read_bytes()
    private = (folder / "log" / "private.jsonl").read_bytes()
    entry = json.loads(private.splitlines()[1])
    hidden = [CLIENT, "secret reason", "1234", "987654321", entry["hash"], entry["body"]["salt"]]
    hidden += [entry["body"]["memories"][CLIENT], entry["body"]["slots"], entry["prev"]]
    for text in hidden:
        assert text.encode() in private
        assert text.encode() not in public


def test_the_commitment_cannot_be_guessed_without_the_salt(tmp_path):
    """Two runs with the same private content differ in the commitment, and in nothing else public."""
    bodies = []
    for name in ("a", "b"):
        with Run.create(tmp_path / name, {}) as run:
            commit(run)
            bodies.append(dict(list(run.entries())[-1].body))
    commitments = [body.pop("private") for body in bodies]
    assert bodies[0] == bodies[1]
    assert commitments[0] != commitments[1]


def test_the_commitment_is_the_salted_hash_of_the_private_entry(folder):
    with Run.open(folder, write=False) as run:
        public, private = (list(run.entries(private=p))[-1] for p in (False, True))
    opened = b"hansa.store.commitment.v1" + bytes.fromhex(private.body["salt"]) + bytes.fromhex(private.hash)
    assert len(bytes.fromhex(private.body["salt"])) == 32
    assert public.body["private"] == hashlib.sha256(opened).hexdigest()


def test_the_private_content_changes_nothing_else_that_is_public(tmp_path):
    bodies = []
    for client, examples in (("a", 1), ("c" * 99, 10**9)):
        with Run.create(tmp_path / client, {}) as run:
            commit(run, client=client, examples=examples)
            bodies.append({k: v for k, v in list(run.entries())[-1].body.items() if k != "private"})
    assert bodies[0] == bodies[1]


def test_others_on_the_machine_cannot_read_the_files(folder):
    for path in folder.rglob("*"):
        if path.is_file():
            assert path.stat().st_mode & 0o077 == 0, path


@pytest.mark.parametrize(
    "name",
    [
        *("", "..", "../../etc/passwd", "/etc/passwd", "../" + "a" * 61, "g" * 64, "A" * 64, "\u0661" * 64),
        *("a" * 63, "a" * 65, "a" * 63 + "\n", "a" * 64 + "\n", "a" * 63 + "\0", None, 3, b"a" * 64),
    ],
)
def test_a_name_that_is_no_hash_reaches_no_file(tmp_path, name):
    blobs = Blobs(tmp_path / "blobs")
    for call in (blobs.get, blobs.get_arrays, blobs.remove):
        with pytest.raises(LogError, match="64 hexadecimal digits"):
            call(name)
    assert not (tmp_path / "blobs").exists()


def test_a_linked_blob_or_folder_is_not_followed(tmp_path):
    (tmp_path / "outside").mkdir()
    data = b"secret"
    name = hashlib.sha256(data).hexdigest()
    (tmp_path / "outside" / name).write_bytes(data)
    blobs = Blobs(tmp_path / "blobs")
    (tmp_path / "blobs" / name[:2]).mkdir(parents=True)
    (tmp_path / "blobs" / name[:2] / name).symlink_to(tmp_path / "outside" / name)
    with pytest.raises(LogError, match="symbolic link"):
        blobs.get(name)
    assert blobs.put(data) == name
    assert not (tmp_path / "blobs" / name[:2] / name).is_symlink()
    (tmp_path / "outside" / name).unlink()
    (tmp_path / "blobs" / name[:2] / name).unlink()
    (tmp_path / "blobs" / name[:2]).rmdir()
    (tmp_path / "blobs" / name[:2]).symlink_to(tmp_path / "outside")
    for call in (lambda: blobs.get(name), lambda: blobs.put(data), lambda: blobs.remove(name)):
        with pytest.raises(LogError, match="symbolic link"):
            call()
    (tmp_path / "outside" / ("0" * 64)).write_bytes(b"keep me")
    blobs.collect(set())
    assert [p.name for p in (tmp_path / "outside").iterdir()] == ["0" * 64]


def test_a_pipe_in_place_of_a_blob_does_not_hang(tmp_path):
    (tmp_path / "00").mkdir()
    os.mkfifo(tmp_path / "00" / ("0" * 64))
    with pytest.raises(LogError, match="regular file"):
        Blobs(tmp_path).get("0" * 64)


def test_a_huge_blob_is_refused_before_it_is_read(tmp_path):
    (tmp_path / "00").mkdir()
    with (tmp_path / "00" / ("0" * 64)).open("wb") as file:
        file.truncate(2**40)  # sparse
    with pytest.raises(LogError, match="more than the limit"):
        Blobs(tmp_path).get("0" * 64)


def safetensors(header, data=b""):
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + data


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\xff" * 8,
        struct.pack("<Q", 2**62) + b"{}",
        safetensors(b"not json"),
        safetensors({"a": {"dtype": "F32", "shape": [2**40], "data_offsets": [0, 2**42]}}),
        safetensors({"a": {"dtype": "F32", "shape": [2], "data_offsets": [0, 4]}}, b"\0" * 4),
        safetensors({"a": {"dtype": "F32", "shape": [-1], "data_offsets": [0, 4]}}, b"\0" * 4),
        safetensors({"a": {"dtype": "F32", "shape": [0, 2**63, 2**63], "data_offsets": [0, 0]}}),
        safetensors({"a": {"dtype": "O", "shape": [1], "data_offsets": [0, 8]}}, b"\0" * 8),
        safetensors({"a": {"dtype": "C64", "shape": [1], "data_offsets": [0, 8]}}, b"\0" * 8),
        pickle.dumps({"a": np.zeros(2)}),
    ],
)
def test_hostile_arrays_are_refused(data):
    with pytest.raises(LogError, match="not arrays in the safetensors format"):
        decode_arrays(data)


def test_nothing_is_unpickled(tmp_path):
    class Bomb:
        def __reduce__(self):
            return (os.mkdir, (str(tmp_path / "boom"),))

    blobs = Blobs(tmp_path / "blobs")
    name = blobs.put(pickle.dumps(Bomb()))
    with pytest.raises(LogError, match="safetensors"):
        blobs.get_arrays(name)
    with pytest.raises(RunError, match="dtype object"):
        blobs.put_arrays({"a": np.array([Bomb()], dtype=object)})
    assert not (tmp_path / "boom").exists()


@pytest.mark.parametrize(
    "line",
    [
        b"[" * 10**6,
        b'{"body":' * 10**5,
        b"9" * 10**5,
        b'{"seq":NaN}',
        b'{"seq":1e999}',
        b'"\\ud800"',
        b"\xff\xfe",
    ],
)
def test_hostile_lines_are_refused(folder, line):
    path = folder / "log" / "public.jsonl"
    path.write_bytes(path.read_bytes() + line + b"\n")
    with pytest.raises(LogError, match=r"public.jsonl, line 3: not canonical JSON"):
        Run.open(folder)


@pytest.mark.parametrize("body", [{}, {"round": 1}, {"round": 1, "private": "0" * 64}, {"round": True}])
def test_well_chained_entries_with_other_content_are_refused(folder, body):
    for name in ("public", "private"):
        Log(folder / "log" / f"{name}.jsonl", stream=name).append("round", body)
    with pytest.raises(LogError):
        Run.open(folder)


def test_blob_names_in_a_forged_log_stay_inside(tmp_path):
    """Whoever writes a whole new log, commitments included, still cannot make a reader open another file."""
    with Run.create(tmp_path / "run", {}) as run:
        commit(run)
        entries = {p: [dict(e.body) for e in run.entries(private=p)] for p in (False, True)}
    entries[True][1]["memories"] = {CLIENT: "../../../../etc/passwd"}
    private = Log.create(run.folder / "log" / "private.jsonl", stream="private")
    private.append("created", entries[True][0])
    forged = private.append("round", entries[True][1])
    from hansa.store.rounds import commitment

    public = Log.create(run.folder / "log" / "public.jsonl", stream="public")
    public.append("created", entries[False][0])
    public.append("round", {**entries[False][1], "private": commitment(forged)})
    with Run.open(run.folder) as again, pytest.raises(LogError, match="is not a blob's name"):
        again.latest()


def test_client_names_are_never_paths(tmp_path):
    with Run.create(tmp_path / "run", {}) as run:
        commit(run, client="../../../escape")
        assert "../../../escape" in run.latest().memories
    assert sorted(p.name for p in tmp_path.iterdir()) == ["run"]


def test_a_configuration_too_large_is_refused(folder):
    with (folder / "config.json").open("r+b") as file:
        file.truncate(2**40)
    with pytest.raises(LogError, match="more than the limit"):
        Run.open(folder)


def test_hashes_are_over_canonical_bytes(folder):
    assert Run.open(folder, write=False).config_hash == hashlib.sha256(canonical_json({"a": 1})).hexdigest()

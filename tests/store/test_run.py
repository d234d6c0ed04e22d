from __future__ import annotations

import errno
import json
import os
import shutil
from dataclasses import replace

import numpy as np
import pytest

from hansa.errors import ConfigurationError, LogError, RunError
from hansa.store import Log, Run, canonical_json
from hansa.store import files as files_module
from hansa.store.blobs import name_of
from hansa.store.history import history_line


def lines_of(run, name):
    return (run.folder / name).read_bytes().splitlines()


def files_of(folder):
    return {p.relative_to(folder): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def blob_files(run):
    return {p.name for p in (run.folder / "blobs").rglob("*") if p.is_file()}


def test_an_opened_run_is_where_the_committed_one_was(run, step, equal):
    head, history = run.head, run.history()
    run.close()
    with Run.open(run.folder) as again:
        assert (again.rounds, again.head, again.repairs) == (2, head, ())
        assert again.config == {"seed": 1}
        assert again.config_hash == name_of((run.folder / "config.json").read_bytes())
        assert equal(again.latest(), step(1)[1])
        for number in range(2):
            assert equal(again.at(number), step(number)[1])
            assert again.private(number) == {"draw": [1, 2]}
        assert canonical_json([r.to_json() for r in history]) == canonical_json(
            [step(n)[0].to_json() for n in range(2)]
        )


def test_the_history_file_holds_the_records(run, step):
    expected = b"".join(history_line(step(n)[0]) for n in range(2))
    assert (run.folder / "history.jsonl").read_bytes() == expected


@pytest.mark.parametrize("damage", [b"", b"half a li", b"foreign\n", None])
def test_the_history_file_is_rebuilt_from_the_log(run, damage):
    path = run.folder / "history.jsonl"
    whole = path.read_bytes()
    run.close()
    path.unlink() if damage is None else path.write_bytes(damage)
    with Run.open(run.folder, write=False):
        assert (not path.exists()) if damage is None else path.read_bytes() == damage
    Run.open(run.folder).close()
    assert path.read_bytes() == whole


def test_a_new_run_has_no_checkpoint(tmp_path):
    with Run.create(tmp_path / "a" / "b" / "run", {}) as run:
        assert run.latest() is None
        assert run.history() == []
        assert run.rounds == 0


def test_only_the_next_round_can_be_committed(run, step):
    for number in (0, 1, 3):
        with pytest.raises(RunError, match=f"cannot commit round {number}: the next round of .* is 2"):
            run.commit(*step(number))
    record, checkpoint = step(2)
    with pytest.raises(RunError, match="says that 2 rounds are finished; expected 3"):
        run.commit(record, replace(checkpoint, state=replace(checkpoint.state, round=2)))
    run.commit(record, checkpoint)
    assert run.rounds == 3


@pytest.mark.parametrize("number", [-1, 2, 99])
def test_a_round_that_is_not_there_is_refused(run, number):
    for read in (run.at, run.private):
        with pytest.raises(RunError, match="has 2 rounds"):
            read(number)


def test_what_cannot_be_kept_is_refused_and_nothing_changes(run, step):
    before, head = files_of(run.folder), run.head
    record, checkpoint = step(2)
    with pytest.raises(RunError, match="type set"):
        run.commit(record, checkpoint, private={"draw": {1}})
    with pytest.raises(RunError, match="type object"):
        run.commit(replace(record, logs={"loss": object()}), checkpoint)
    with pytest.raises(RunError, match="array 'a' has dtype"):
        run.commit(record, replace(checkpoint, memories={"x": {"a": np.array(["text"])}}))
    after = files_of(run.folder)
    assert all(after[path] == data for path, data in before.items())
    assert run.head == head
    run.commit(record, checkpoint)


def test_an_unchanged_memory_is_neither_written_nor_logged_again(run, step):
    entry = list(run.entries(private=True))[-1]
    assert set(entry.body["memories"]) == {"north"}
    before = blob_files(run)
    record, checkpoint = step(2)
    run.commit(record, replace(checkpoint, memories=step(1)[1].memories))
    assert len(blob_files(run) - before) == 2  # weights and slots
    assert list(run.entries(private=True))[-1].body["memories"] == {}


def test_the_caller_may_say_whose_memory_changed(run, step, equal):
    record, checkpoint = step(2)
    new = {**checkpoint.memories, "east": {"c": np.ones(1)}, "south": {"c": np.zeros(9)}}
    run.commit(record, replace(checkpoint, memories=new), changed=("north",))
    kept = {**new, "south": step(1)[1].memories["south"]}
    assert equal(run.latest(), replace(checkpoint, memories=kept))


def test_a_memory_can_go(run, step, equal):
    record, checkpoint = step(2)
    without = replace(checkpoint, memories={"north": checkpoint.memories["north"]})
    run.commit(record, without)
    run.close()
    with Run.open(run.folder) as again:
        assert equal(again.latest(), without)
        assert "south" in again.at(1).memories


def test_only_the_last_checkpoints_are_kept_where_asked(tmp_path, step, equal):
    with Run.create(tmp_path / "run", {}, keep_checkpoints=2) as run:
        for number in range(5):
            run.commit(*step(number))
        assert equal(run.at(3), step(3)[1])
        with pytest.raises(RunError, match="round 2 was not kept: those of rounds 3 to 4 are"):
            run.at(2)
        assert len(blob_files(run)) == 2 * 3 + 1  # weights, slots and north's memory of two rounds; south's
        assert len(run.history()) == 5
    with Run.open(run.folder, keep_checkpoints=1) as run:
        run.commit(*step(5))
        assert len(blob_files(run)) == 4
        assert equal(run.latest(), step(5)[1])
        assert run.collect() == 0
    with Run.open(run.folder) as run, pytest.raises(RunError, match="not kept"):
        run.at(4)


@pytest.mark.parametrize("keep", [0, -1, True, 1.5, "some"])
def test_the_keep_policy_is_checked(tmp_path, keep):
    with pytest.raises(ConfigurationError, match="keep_checkpoints"):
        Run.create(tmp_path / "run", {}, keep_checkpoints=keep)
    assert not (tmp_path / "run").exists()


def test_a_blob_that_a_note_names_is_not_forgotten(tmp_path, step):
    with Run.create(tmp_path / "run", {}, keep_checkpoints=1) as run:
        run.commit(*step(0))
        named = next(e for e in run.entries() if e.kind == "round").body["weights"]
        loose = run.blobs.put(b"named by none")
        run.note("released", {"blobs": [{"weights": named}]})
        run.commit(*step(1))
        assert run.blobs.get(named)
    with Run.open(run.folder, keep_checkpoints=1) as run:
        run.commit(*step(2))
        assert run.collect() == 1
        assert run.blobs.get(named)
        assert loose not in blob_files(run)


def test_collect_leaves_every_checkpoint_of_the_run(run, step, equal):
    run.blobs.put(b"of a crashed round")
    assert run.collect() == 1
    for number in range(2):
        assert equal(run.at(number), step(number)[1])


def test_notes_stand_in_the_log_they_were_made_for(run):
    run.note("finished", {"rounds": 2})
    run.note("draw", {"next": [3]}, private=True)
    run.close()
    with Run.open(run.folder) as again:
        assert [e.kind for e in again.entries()] == ["created", "round", "round", "finished"]
        assert [e.kind for e in again.entries(private=True)] == ["created", "round", "round", "draw"]
        for kind in ("round", "created"):
            with pytest.raises(RunError, match="the run's own"):
                again.note(kind, {})


def test_check_config_lists_the_keys_that_differ(run):
    run.check_config({"seed": 1})
    with pytest.raises(RunError, match="another folder") as caught:
        run.check_config({"seed": 2, "model": {"name": "cnn"}})
    assert "seed: 1 -> 2" in str(caught.value)
    assert 'model: (absent) -> {"name":"cnn"}' in str(caught.value)
    with pytest.raises(RunError, match="and 10 more"):
        run.check_config({"seed": 1, **{f"k{n:02}": n for n in range(30)}})


def test_config_cannot_be_changed_through_the_property(run):
    run.config["seed"] = 5
    run.check_config({"seed": 1})


def test_a_run_or_a_filled_folder_is_not_created_over(run, tmp_path):
    with pytest.raises(RunError, match="is a run already: go on with it by --resume"):
        Run.create(run.folder, {})
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.tex").write_text("text")
    with pytest.raises(RunError, match=r"not empty and not a run \(it holds thesis.tex\)"):
        Run.create(tmp_path / "mine", {})
    assert [p.name for p in (tmp_path / "mine").iterdir()] == ["thesis.tex"]
    for path in (tmp_path / "mine" / "thesis.tex", tmp_path / "mine" / "thesis.tex" / "run"):
        with pytest.raises(RunError, match="is a file"):
            Run.create(path, {})


def test_a_run_whose_log_is_gone_is_not_created_over(run):
    run.close()
    (run.folder / "log" / "public.jsonl").unlink()
    (run.folder / "history.jsonl").unlink()
    with pytest.raises(RunError, match="not empty and not a run"):
        Run.create(run.folder, {})
    with pytest.raises(RunError, match=r"log/public.jsonl is missing"):
        Run.open(run.folder)


def test_an_empty_folder_becomes_a_run(tmp_path):
    with Run.create(tmp_path, {"a": 1}) as run:
        assert run.config == {"a": 1}


def test_a_folder_that_cannot_be_written_is_told(tmp_path, monkeypatch):
    def refuse(*args, **kwargs):
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(os, "open", refuse)
    with pytest.raises(RunError, match=r"Permission denied: .*choose another folder"):
        Run.create(tmp_path / "run", {})


def test_what_is_no_run_is_not_opened(tmp_path):
    with pytest.raises(RunError, match=r"no run at .*check the path"):
        Run.open(tmp_path / "none")
    (tmp_path / "file").write_text("text")
    with pytest.raises(RunError, match="is a file; expected the folder"):
        Run.open(tmp_path / "file")
    (tmp_path / "empty").mkdir()
    with pytest.raises(RunError, match="start one there without --resume"):
        Run.open(tmp_path / "empty")
    assert list((tmp_path / "empty").iterdir()) == []


def test_one_writes_and_others_may_look(run, step):
    with pytest.raises(RunError, match=f"process {os.getpid()} is writing"):
        Run.open(run.folder)
    before = files_of(run.folder)
    with Run.open(run.folder, write=False) as reader:
        assert reader.rounds == 2
        for write in (lambda: reader.commit(*step(2)), lambda: reader.note("a", {}), reader.collect):
            with pytest.raises(RunError, match="read only"):
                write()
        run.commit(*step(2))
        assert len(reader.history()) == 2
    assert before.keys() <= files_of(run.folder).keys()


def test_a_failed_open_releases_the_lock(run):
    run.close()
    path = run.folder / "config.json"
    content = path.read_bytes()
    path.write_bytes(b"{}")
    with pytest.raises(LogError):
        Run.open(run.folder)
    path.write_bytes(content)
    Run.open(run.folder).close()


def test_a_closed_run_is_not_written(run, step):
    run.close()
    run.close()
    with pytest.raises(RunError, match="open it again"):
        run.commit(*step(2))


@pytest.mark.parametrize("damage", [None, b"", b"{}", b'{"seed":2}', b'{"seed": 1}', b'{"seed":1}\n'])
def test_a_changed_configuration_is_noticed(run, damage):
    run.close()
    path = run.folder / "config.json"
    path.unlink() if damage is None else path.write_bytes(damage)
    with pytest.raises(LogError, match=r"config.json (was changed|is missing)"):
        Run.open(run.folder)


def test_a_newer_format_is_told(run):
    run.close()
    path = run.folder / "log" / "public.jsonl"
    path.write_bytes(b'{"body":{"format":2},"chain":"of another kind"}\n')
    with pytest.raises(RunError, match=r"format 2; .* reads up to 1.*newer Hansa"):
        Run.open(run.folder)


def test_the_logs_of_two_runs_do_not_mix(run, tmp_path, step):
    with Run.create(tmp_path / "other", {"seed": 1}) as other:
        for number in range(2):
            other.commit(*step(number))
    run.close()
    for name in ("public.jsonl", "private.jsonl"):
        shutil.copytree(run.folder, tmp_path / name)
        shutil.copy(other.folder / "log" / name, tmp_path / name / "log" / name)
        with pytest.raises(LogError, match="from another run"):
            Run.open(tmp_path / name)


def test_rounds_missing_at_the_end_of_one_log_are_noticed(run, step):
    run.commit(*step(2))
    run.close()
    for name, told in (("private", "no entry of round 1"), ("public", "after round 0.*after round 2")):
        path = run.folder / "log" / f"{name}.jsonl"
        content = path.read_bytes()
        path.write_bytes(b"".join(content.splitlines(keepends=True)[:2]))
        with pytest.raises(LogError, match=told):
            Run.open(run.folder)
        path.write_bytes(content)


def test_a_missing_private_log_or_blob_is_named(run):
    weights = list(run.entries())[-1].body["weights"]
    run.close()
    (run.folder / "blobs" / weights[:2] / weights).unlink()
    with Run.open(run.folder) as again, pytest.raises(LogError, match=f"blob {weights} is missing"):
        again.latest()
    (run.folder / "log" / "private.jsonl").unlink()
    with pytest.raises(LogError, match=r"private.jsonl is missing"):
        Run.open(run.folder)


def test_a_history_that_cannot_be_written_does_not_undo_the_round(run, step, monkeypatch):
    real = os.open

    def refuse(path, *args):
        if str(path).endswith("history.jsonl"):
            raise OSError(errno.ENOSPC, "No space left on device")
        return real(path, *args)

    with monkeypatch.context() as patch:
        patch.setattr(files_module.os, "open", refuse)
        run.commit(*step(2))
    assert len(lines_of(run, "history.jsonl")) == 2
    run.commit(*step(3))
    assert [json.loads(line)["round"] for line in lines_of(run, "history.jsonl")] == [0, 1, 2, 3]


def test_the_public_log_can_be_checked_alone(run, tmp_path):
    shutil.copy(run.folder / "log" / "public.jsonl", tmp_path / "exported.jsonl")
    log = Log(tmp_path / "exported.jsonl", stream="public", write=False)
    assert log.head == run.head
    assert set(list(log.entries())[-1].body) == {
        "round",
        "model_hash",
        "logs",
        "cohort_size",
        "dropped_count",
        "weights",
        "private",
    }


def test_nothing_that_noise_does_not_cover_is_public_under_a_plan_of_privacy(run, step):
    record, checkpoint = step(2)
    spent = {"epsilon": 1.0, "delta": 1e-5}
    record = replace(record, logs={"loss": 0.5}, privacy={**spent, "silos": {"north": {"kind": "several"}}})
    run.commit(record, checkpoint)
    body = list(run.entries())[-1].body
    assert set(body) == {"round", "model_hash", "weights", "private", "privacy"}
    assert body["privacy"] == spent  # the rates of silos tell how many records they have
    assert run.history()[-1] == record

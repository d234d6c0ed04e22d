"""The bundle that an auditor gets: what is in it, and that it is the same for the same run."""

import zipfile

import pytest

from hansa.errors import LogError, RunError
from hansa.verification import export, verify
from hansa.verification.bundle import is_bundle, unpack
from verified_runs import copied, entries, forged, rounds_of


def names_in(path):
    with zipfile.ZipFile(path) as archive:
        return archive.namelist()


def messages(run):
    told = [body["sums"] for body in rounds_of(entries(run, "public")) if "sums" in body]
    phases = [phase for sums in told for purpose in sums.values() for phase in purpose.values()]
    return {name for phase in phases for name in phase["blobs"].values()}


def test_has_all_that_is_public_and_nothing_else(run_of, tmp_path):
    path = export(run_of("sealed"), tmp_path / "x.zip")
    public = entries(run_of("sealed"), "public")
    wanted = messages(run_of("sealed")) | {rounds_of(public)[-1]["weights"]}
    wanted |= {entry["body"]["initial"] for entry in public if entry["kind"] == "started"}
    blobs = [f"blobs/{name[:2]}/{name}" for name in sorted(wanted)]
    assert names_in(path) == ["README.txt", "config.json", "log/public.jsonl", *blobs]
    with zipfile.ZipFile(path) as archive:
        assert archive.read("config.json") == (run_of("sealed") / "config.json").read_bytes()
        text = archive.read("README.txt").decode()
    found = verify(path)
    assert found.head in text
    assert found.roster in text
    assert "hansa verify x.zip" in text


def test_nothing_private_is_in_it(run_of, tmp_path):
    """Keys, the private log, what clients and server keep, and what records were charged for."""
    run = run_of("records")
    path = export(run, tmp_path / "x.zip")
    private = rounds_of(entries(run, "private"))
    hidden = [body["salt"] for body in private] + [body["slots"] for body in private]
    hidden += [name for body in private for name in body["memories"].values()]
    hidden += [name for body in private for name in body["sums"]["tell"]["tell"]["blobs"].values()]
    assert len(hidden) > 8
    content = path.read_bytes()
    weights = {body["weights"] for body in rounds_of(entries(run, "public"))}
    for text in hidden:
        assert text in weights or text.encode() not in content
    assert not any(name.startswith(("keys", "log/private", "history")) for name in names_in(path))


@pytest.mark.parametrize("kind", ["plain", "central sealed"])
def test_sums_that_are_not_public_are_not_in_it(kind, run_of, tmp_path):
    path = export(run_of(kind), tmp_path / "x.zip")
    assert len(names_in(path)) == 5  # three files, the first and the last model
    with zipfile.ZipFile(path) as archive:
        assert "The sums of this run are not in it" in archive.read("README.txt").decode()


def test_a_step_of_keras_needs_every_model(run_of, tmp_path):
    told = {body["weights"] for body in rounds_of(entries(run_of("keras"), "public"))}
    assert len(told) == 2
    assert told <= {name.rpartition("/")[2] for name in names_in(export(run_of("keras"), tmp_path / "x.zip"))}


def test_is_the_same_for_the_same_run(run_of, tmp_path):
    (tmp_path / "other").mkdir()
    one, two = (export(run_of("sealed"), folder / "x.zip") for folder in (tmp_path, tmp_path / "other"))
    assert one.read_bytes() == two.read_bytes()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["other", "x.zip"]


def test_stands_beside_the_run_if_nothing_else_is_said(run_of, tmp_path, monkeypatch):
    folder = copied(run_of("plain"), tmp_path / "a run")
    monkeypatch.chdir(folder)
    assert export(".") == tmp_path / "a run.hansa.zip"
    with pytest.raises(RunError, match="exists already"):
        export(".")


def test_a_reason_that_looks_like_a_blob_is_none(run_of, tmp_path):
    """Clients choose their reasons: none may name a file of the coordinator's, or one that is not there."""
    secret = rounds_of(entries(run_of("void"), "private"))[0]["slots"]

    def change(public, private, config):
        silent = rounds_of(public)[1]["sums"]["train"]["train"]["silent"]
        silent["c1"], silent["c2"] = secret, "ab" * 32

    folder = forged(run_of("void"), tmp_path / "run", change)
    path = export(folder)
    assert not any(name.endswith(secret) for name in names_in(path))
    assert verify(path).verdict == "verified"


def test_a_run_that_was_changed_is_not_exported(run_of, tmp_path):
    folder = copied(run_of("sealed"), tmp_path / "run")
    name = sorted(messages(folder))[0]
    (folder / "blobs" / name[:2] / name).write_bytes(b"changed")
    with pytest.raises(LogError, match=name):
        export(folder)
    assert list(tmp_path.iterdir()) == [folder]


def test_a_disk_that_cannot_be_written_is_told(run_of, tmp_path):
    with pytest.raises(RunError, match="cannot write"):
        export(run_of("plain"), tmp_path / "no folder" / "x.zip")
    path = export(run_of("plain"), tmp_path / "x.zip")
    (tmp_path / "log").write_text("in the way")
    with pytest.raises(RunError, match="cannot unpack"):
        unpack(path, tmp_path)


def test_tells_a_bundle_from_a_folder(run_of, tmp_path):
    assert is_bundle(export(run_of("plain"), tmp_path / "x.zip"))
    assert not is_bundle(run_of("plain"))
    assert not is_bundle(tmp_path / "nothing")
    (tmp_path / "text").write_text("PK")
    with pytest.raises(RunError, match="nor a bundle"):
        is_bundle(tmp_path / "text")

"""What is verified is opened: hash chains, pairs of entries, and what has to be there."""

import json

import pytest

from hansa.errors import LogError, RunError
from hansa.verification import export
from hansa.verification.source import opened
from verified_runs import copied, entries, forged, rounds_of


def source_of(path):
    with opened(path) as source:
        return source, list(source.rounds())


def test_a_folder_and_its_bundle_have_the_same_public_log(run_of, tmp_path):
    folder, pairs = source_of(run_of("sealed"))
    bundle, bare = source_of(export(run_of("sealed"), tmp_path / "x.zip"))
    assert (folder.bundled, bundle.bundled) == (False, True)
    assert folder.public == bundle.public
    assert folder.head == bundle.head == entries(run_of("sealed"), "public")[-1]["hash"]
    assert folder.config == bundle.config == json.loads((run_of("sealed") / "config.json").read_bytes())
    assert [public for public, _ in pairs] == [public for public, _ in bare]
    assert all(private is None for _, private in bare)
    assert [private.body["round"] for _, private in pairs] == [0, 1]
    assert bundle.private is None


def test_what_a_bundle_was_unpacked_to_is_gone_afterwards(run_of, tmp_path):
    bundle, _ = source_of(export(run_of("plain"), tmp_path / "x.zip"))
    assert not bundle.folder.exists()


def test_which_models_have_to_be_there(run_of, tmp_path):
    source, _ = source_of(run_of("sealed"))
    assert source.kept_from == 0
    assert source.keeps(0)
    bundle, _ = source_of(export(run_of("sealed"), tmp_path / "x.zip"))
    assert not bundle.keeps(1)

    def forget(public, private, config):
        rounds_of(private)[-1]["kept_from"] = 1

    source, _ = source_of(forged(run_of("sealed"), tmp_path / "run", forget))
    assert [source.keeps(number) for number in range(2)] == [False, True]


@pytest.mark.parametrize("stream", ["public", "private"])
def test_an_entry_that_is_cut_short_is_told(stream, run_of, tmp_path):
    folder = copied(run_of("sealed"), tmp_path / "run")
    with (folder / "log" / f"{stream}.jsonl").open("ab") as file:
        file.write(b'{"body":')
    with pytest.raises(LogError, match=rf"{stream}.jsonl ends in 8 bytes that are no entry, after entry \d"):
        source_of(folder)


def test_logs_of_two_runs_do_not_pass_for_one(run_of, tmp_path):
    folder = copied(run_of("sealed"), tmp_path / "run")
    (folder / "log" / "private.jsonl").write_bytes((run_of("plain") / "log" / "private.jsonl").read_bytes())
    with pytest.raises(LogError, match="does not commit to private entry 0"):
        source_of(folder)


@pytest.mark.parametrize("count", [0, 1])
def test_private_rounds_that_are_missing_are_missed(count, run_of, tmp_path):
    folder = copied(run_of("sealed"), tmp_path / "run")
    path = folder / "log" / "private.jsonl"
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join(lines[: 1 + count]))
    with pytest.raises(LogError, match=f"has 2 rounds and log/private.jsonl has {count}"):
        source_of(folder)


def test_an_empty_private_log_is_none(run_of, tmp_path):
    folder = copied(run_of("sealed"), tmp_path / "run")
    (folder / "log" / "private.jsonl").write_bytes(b"")
    with pytest.raises(LogError, match="does not begin with the run's creation"):
        source_of(folder)


@pytest.mark.parametrize("content", [b"[]", b"3", b"null", b'"x"'])
def test_a_configuration_is_an_object(content, run_of, tmp_path):
    folder = forged(run_of("plain"), tmp_path / "run")
    from hansa.store.blobs import name_of
    from verified_runs import chain

    (folder / "config.json").write_bytes(content)
    public = entries(folder, "public")
    public[0]["body"]["config"] = name_of(content)
    chain(folder, public, entries(folder, "private"))
    with pytest.raises(LogError, match="is no configuration"):
        source_of(folder)


@pytest.mark.parametrize("what", ["slots", "memories"])
def test_what_would_be_resumed_from_is_checked(what, run_of, tmp_path):
    folder = copied(run_of("scaffold"), tmp_path / "run")
    body = rounds_of(entries(folder, "private"))[0]
    name = body["slots"] if what == "slots" else body["memories"]["c1"]
    path = folder / "blobs" / name[:2] / name
    path.write_bytes(path.read_bytes() + b"x")
    source, _ = source_of(folder)
    with pytest.raises(LogError, match=f"blob {name} was changed"):
        source.check_checkpoints()


def test_errors_in_a_bundle_name_the_bundle(run_of, tmp_path):
    path = export(run_of("plain"), tmp_path / "x.zip")
    with pytest.raises(RunError, match=r"x\.zip: blobs/is gone") as error, opened(path) as source:
        raise LogError(f"{source.folder}/blobs/is gone")
    assert "hansa-verify-" not in str(error.value)
    assert type(error.value) is LogError


def test_a_newer_format_is_no_verdict(run_of, tmp_path):
    def change(public, private, config):
        public[0]["body"]["format"] = 99

    with pytest.raises(RunError, match="was written in format 99") as error:
        source_of(forged(run_of("plain"), tmp_path / "run", change))
    assert not isinstance(error.value, LogError)

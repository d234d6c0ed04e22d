import json
import subprocess
import sys

import pytest

from hansa.cli.project import depot_rows, make_project
from hansa.errors import ConfigurationError


def test_a_project_has_at_most_eight_files_and_says_how_to_go_on(folder, hansa):
    result = hansa("new", "my-federation")
    assert result.exit_code == 0
    assert "cd my-federation" in result.stdout
    assert "hansa run run.toml" in result.stdout
    files = sorted(
        str(p.relative_to(folder / "my-federation"))
        for p in (folder / "my-federation").rglob("*")
        if p.is_file()
    )
    assert files == [
        ".gitignore",
        "README.md",
        "data/north.csv",
        "data/south.csv",
        "data/west.csv",
        "model.py",
        "run.toml",
        "train.py",
    ]
    assert "synthetic" in (folder / "my-federation" / "README.md").read_text()
    for path in files:
        assert "$NAME" not in (folder / "my-federation" / path).read_text()


def test_the_script_gives_the_model_of_the_toml_file(project, hansa):
    script = subprocess.run(
        [sys.executable, "train.py"], cwd=project, capture_output=True, text=True, check=True
    )
    end = json.loads(hansa("run", "run.toml", "--no-compare", "--json").stdout.splitlines()[-1])
    assert script.stdout.splitlines()[-1] == f"model: {end['model_hash']}"


def test_federation_is_worth_something_in_it(project, hansa):
    end = json.loads(hansa("run", "run.toml", "--json").stdout.splitlines()[-1])
    average = end["comparison"]["average"]
    assert average["local"] < average["federated"]


def test_the_data_are_the_same_every_time():
    assert depot_rows("west") == depot_rows("west")
    assert len(depot_rows("north")) == 160
    assert {row[-1] for row in depot_rows("south")} == {0, 1}


@pytest.mark.parametrize("name", ["", ".", "..", "../x", "a/b", "/x", ".hidden", "-x", "ä", "a b", "x" * 65])
def test_bad_names(folder, wrong, name):
    assert "is not a project name" in wrong("new", "--", name)
    assert list(folder.iterdir()) == []


def test_what_exists_is_left_alone(folder, hansa, wrong):
    (folder / "full").mkdir()
    (folder / "full" / "thesis.txt").write_text("mine")
    (folder / "file").write_text("mine")
    for name in ("full", "file"):
        assert f"{name} exists already" in wrong("new", name)
    assert [p.name for p in (folder / "full").iterdir()] == ["thesis.txt"]
    (folder / "empty").mkdir()
    assert hansa("new", "empty").exit_code == 0


def test_a_folder_that_cannot_be_written(folder, wrong, monkeypatch):
    def refuse(*_, **__):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("pathlib.Path.mkdir", refuse)
    assert "cannot be written" in wrong("new", "x").replace("\n", " ")


def test_a_full_disk_leaves_no_half_project(folder, monkeypatch):
    def full(depot):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("hansa.cli.project.depot_rows", full)
    with pytest.raises(ConfigurationError, match=r"cannot be written: .*No space left"):
        make_project("parcels")
    assert not (folder / "parcels").exists()

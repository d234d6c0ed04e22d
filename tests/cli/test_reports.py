import json
import re
import shutil

import pytest


def words(page: str) -> list[str]:
    return sorted(re.sub(r"<[^>]*>", " ", page).split())


@pytest.fixture
def run(project, hansa):
    hansa("run", "run.toml", "--rounds", 2, "--quiet")
    return project / "runs" / "parcels-1"


def test_the_same_report_from_the_folder_alone(run, project, hansa):
    first = (run / "report.html").read_text()
    (run / "report.html").unlink()
    shutil.rmtree(project / "data")
    result = hansa("report", run)
    assert result.exit_code == 0, result.output
    assert result.stdout.strip() == str(run / "report.html")
    again = (run / "report.html").read_text()
    for text in ("pooled", "north", "south", "west", "parcels: will a parcel be late?"):
        assert text in again
    # The log sorts the keys of the configuration; otherwise not a word may differ.
    assert words(again.replace(str(run), "runs/parcels-1")) == words(first)


def test_a_moved_run_can_still_be_told(run, tmp_path, hansa):
    moved = tmp_path / "moved"
    shutil.move(run, moved)
    assert hansa("report", moved).exit_code == 0


def test_a_killed_run_is_told_as_interrupted(run, hansa):
    log = run / "log" / "public.jsonl"
    kept = [line for line in log.read_bytes().splitlines(keepends=True) if b'"kind":"finished"' not in line]
    log.write_bytes(b"".join(kept))
    assert hansa("report", run).exit_code == 0
    assert "interrupted" in (run / "report.html").read_text()


def test_open_shows_it_in_a_browser(run, hansa, monkeypatch):
    opened = []
    monkeypatch.setattr("webbrowser.open", opened.append)
    assert hansa("report", run, "--open").exit_code == 0
    assert opened == [(run / "report.html").as_uri()]


def test_what_is_not_a_run_or_is_damaged(run, project, wrong):
    assert "there is no run at nowhere" in wrong("report", "nowhere", code=1)
    assert "is not a run" in wrong("report", project / "data", code=1).replace("\n", " ")
    (run / "comparison.json").write_text("{")
    assert "comparison.json is damaged" in wrong("report", run, code=1).replace("\n", " ")
    (run / "facts.json").unlink()
    assert "facts.json is missing" in wrong("report", run, code=1).replace("\n", " ")


def test_the_facts_name_parties_in_the_order_declared(run):
    assert list(json.loads((run / "facts.json").read_text())["cards"]) == ["north", "south", "west"]
    assert list(json.loads((run / "comparison.json").read_text())["rows"]) == ["north", "south", "west"]

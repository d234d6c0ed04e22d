"""``hansa verify`` and ``hansa export``: what people and programs are told, and exit codes."""

import io
import json
import re
from pathlib import Path

import pytest
from rich.console import Console

from hansa.cli.verifying import MOST_ROWS, left_out, tell
from hansa.verification import RoundCheck, Verification, verify


@pytest.fixture
def wide(monkeypatch):
    monkeypatch.setenv("COLUMNS", "160")


def test_a_verified_run_is_told_round_by_round(run_of, hansa, wide):
    result = hansa("verify", run_of("accused"))
    assert result.exit_code == 0, result.output
    assert "VERIFIED  every signature, proof, sum and server step holds" in result.stdout
    first, second = (line.split() for line in result.stdout.splitlines() if line.strip()[:2] in ("0 ", "1 "))
    assert first[:7] == ["0", "5", "of", "5", "5", "added", "up"]
    assert second[:7] == ["1", "3", "of", "5", "3", "added", "up"]
    found = verify(run_of("accused"))
    assert found.rounds[1].model_hash[:12] == second[-1]
    assert f"head {found.head}" in result.stdout
    assert found.roster in result.stdout
    assert "the norm of every update is at most" in result.stdout
    assert "round 1: c2 is left out: the coordinator tells: 'it did not answer'" in result.stdout
    assert "round 1: c4 is left out: its proof was rejected" in result.stdout
    assert "2 rounds, finished 20" in result.stdout


def test_what_is_intact_says_what_was_not_checked(run_of, hansa, wide):
    result = hansa("verify", run_of("central"))
    assert result.exit_code == 0
    assert "INTACT  nothing is at odds, but not all could be checked" in result.stdout
    assert "Not checked: sums were added in the clear" in result.stdout
    assert "ε so far" in result.stdout
    assert hansa("verify", run_of("central"), "--strict").exit_code == 1
    assert hansa("verify", run_of("accused"), "--strict").exit_code == 0


def test_a_void_round_is_told(run_of, hansa, wide):
    result = hansa("verify", run_of("void"))
    assert result.exit_code == 0
    assert "round 1 is void: 2 usable seals of 4" in result.stdout
    assert "unchanged" in result.stdout


def test_what_is_at_odds_exits_with_1_and_says_where(run_of, hansa, wide):
    result = hansa("verify", run_of("changed"))
    assert result.exit_code == 1
    assert "FAILED  the log is at odds with itself" in result.stdout
    assert "round 0: the model is not what the server's step makes" in result.stdout
    assert "0 rounds hold; then the check stopped" in result.stdout
    assert "Traceback" not in result.output


def test_another_head_or_roster_exits_with_1(run_of, hansa):
    found = verify(run_of("accused"))
    assert hansa("verify", run_of("accused"), "--head", found.head, "--roster", found.roster).exit_code == 0
    for option in ("--head", "--roster"):
        result = hansa("verify", run_of("accused"), option, "12ab")
        assert result.exit_code == 1
        assert "this is another log" in result.stdout


def test_programs_are_told_in_json(run_of, hansa):
    result = hansa("verify", run_of("accused"), "--json")
    assert result.exit_code == 0
    told = json.loads(result.stdout)
    assert (told["verdict"], told["failure"], len(told["rounds"])) == ("verified", "", 2)
    assert told["rounds"][1]["left_out"].keys() == {"c2", "c4"}
    result = hansa("verify", run_of("changed"), "--json")
    assert result.exit_code == 1
    assert json.loads(result.stdout)["verdict"] == "failed"


def test_what_is_no_run_exits_with_2(wrong, folder):
    (folder / "text").write_text("no run")
    (folder / "empty").mkdir()
    for name, words in (
        ("text", "nor a bundle"),
        ("empty", "no run was begun"),
        ("nothing", "there is no run at"),
    ):
        assert words in wrong("verify", folder / name)


def test_a_bundle_is_written_and_verified(run_of, hansa, wrong, folder):
    path = folder / "given.zip"
    result = hansa("export", run_of("accused"), "--to", path)
    assert result.exit_code == 0, result.output
    assert result.stdout.startswith(f"{path} (")
    assert "VERIFIED" in hansa("verify", path).stdout
    assert "exists already" in wrong("export", run_of("accused"), "--to", path, code=1)
    assert "there is no run" in wrong("export", folder / "nothing", code=1)


@pytest.mark.slow  # it trains: a minute
def test_what_make_demo_runs_is_verified(folder, hansa):
    """With one round; its own command says --strict, so that it fails if not all could be checked."""
    text = (Path(__file__).parents[2] / "Makefile").read_text()
    run, verified = re.findall(r"^\t@\$\(BIN\)/hansa (.*)$", text, re.MULTILINE)
    assert run.split() == ["run", "heart-disease", "--proof", "--epsilon", "3"]
    assert verified.split()[:2] == ["verify", "--strict"]
    assert hansa(*run.split(), "--rounds", 1, "--no-compare", "--quiet").exit_code == 0
    result = hansa("verify", "--strict", "runs/heart-disease-1")
    assert result.exit_code == 0
    assert "VERIFIED" in result.stdout


# ---------------------------------------------------------------- the table


def text_of(found):
    out = io.StringIO()
    tell(found, Console(width=160, file=out))
    return out.getvalue()


def found_of(*rounds, **settings):
    return Verification(**{"verdict": "verified", "rounds": rounds, "head": "a" * 64, **settings})


def test_many_rounds_and_reasons_are_cut_short():
    rounds = tuple(RoundCheck(round=n, clients=2, summed=1, left_out={"c": "late"}) for n in range(100))
    text = text_of(found_of(*rounds))
    assert text.count("is left out") == MOST_ROWS
    assert "… and 60 more" in text
    table = [line.split()[0] for line in text.splitlines() if " 1 of 2 " in line]
    assert table == [str(n) for n in (*range(20), *range(80, 100))]


def test_a_log_does_not_steer_the_terminal():
    evil = "\x1b[2Jx\x07y\r[bold]z[/bold]"
    check = RoundCheck(round=0, clients=1, summed=0, left_out={evil: evil}, void="", model_hash=evil)
    failed = found_of(check, verdict="failed", failure=evil, title=evil, notes=(evil,), unchecked=(evil,))
    void = found_of(RoundCheck(round=0, void=evil), roster=evil, finished=evil, proves=evil)
    for found in (failed, void):
        text = text_of(found)
        assert not set(text) & {"\x1b", "\x07", "\r"}
        assert "[bold]z[/bold]" in text


def test_the_loss_of_privacy_is_a_column_where_there_is_one():
    assert "ε" not in text_of(found_of(RoundCheck(round=0)))
    text = text_of(found_of(RoundCheck(round=0, epsilon=1.23456), RoundCheck(round=1, epsilon=float("inf"))))
    assert "1.235" in text
    assert "inf" in text
    told = found_of(RoundCheck(round=0, epsilon=float("inf"))).to_json()
    assert json.dumps(told, allow_nan=False)
    assert told["rounds"][0]["epsilon"] == "inf"


def test_void_rounds_have_no_line_for_each_client():
    void = RoundCheck(round=3, left_out={"a": "x", "b": "y"}, void="too few")
    assert left_out((void,)) == ["round 3 is void: too few"]


def test_a_log_without_an_end_says_so():
    assert "1 round; the log has no end: more may follow" in text_of(found_of(RoundCheck(round=0)))

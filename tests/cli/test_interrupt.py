"""Ctrl-C and kill -9, on real processes: finished rounds are kept and the end is the same."""

import json
import signal
import time
from pathlib import Path

import pytest

ROUNDS = 100


def lines_of(path: Path) -> int:
    return path.read_bytes().count(b"\n") if path.is_file() else 0


@pytest.fixture
def slowed(project, edit):
    """The project, with rounds that take long enough to be interrupted."""
    edit(("rounds = 20", f"rounds = {ROUNDS}"), ("compare = true ", "compare = false "))
    return project


def interrupted(start, project, number: int) -> tuple[int, str, str]:
    """Start a run, send a signal after its third round, and return how it ended."""
    process = start("run", "run.toml", "--out", "broken", "--json", cwd=project)
    until = time.monotonic() + 120
    while lines_of(project / "broken" / "history.jsonl") < 3:
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < until, "no round was finished"
        time.sleep(0.002)
    process.send_signal(number)
    out, err = process.communicate(timeout=120)
    return process.returncode, out, err


@pytest.fixture(scope="module")
def whole_runs() -> dict[str, str]:
    """The model's hash by the run's file: the same for every test."""
    return {}


@pytest.fixture
def whole_run(slowed, hansa, whole_runs):
    """Returns the hash of the model of a run that nothing interrupts."""

    def call() -> str:
        text = (slowed / "run.toml").read_text()
        if text not in whole_runs:
            result = hansa("run", "run.toml", "--out", "whole", "--json")
            whole_runs[text] = json.loads(result.stdout.splitlines()[-1])["model_hash"]
        return whole_runs[text]

    return call


@pytest.mark.xdist_group("interrupted")
def test_a_killed_run_resumes_to_the_same_model(slowed, start, hansa, whole_run):
    code, _, _ = interrupted(start, slowed, signal.SIGKILL)
    assert code == -signal.SIGKILL
    assert 3 <= lines_of(slowed / "broken" / "history.jsonl") < ROUNDS
    result = hansa("run", "--resume", "broken", "--json")
    assert result.exit_code == 0, result.output
    end = json.loads(result.stdout.splitlines()[-1])
    assert (end["status"], end["rounds"]) == ("finished", ROUNDS)
    assert end["model_hash"] == whole_run()


@pytest.mark.xdist_group("interrupted")
def test_ctrl_c_keeps_the_rounds_writes_a_report_and_says_how_to_go_on(slowed, start, hansa, whole_run):
    code, out, err = interrupted(start, slowed, signal.SIGINT)
    assert code == 130, err
    assert "Traceback" not in err
    assert "Go on with: hansa run --resume broken" in err
    end = json.loads(out.splitlines()[-1])
    done = end["rounds"]
    assert end["status"] == "interrupted"
    assert 3 <= done < ROUNDS
    assert f"{done} finished rounds are kept" in err
    assert "interrupted" in (slowed / "broken" / "report.html").read_text()
    assert lines_of(slowed / "broken" / "history.jsonl") == done
    result = hansa("run", "--resume", "broken", "--json")
    assert json.loads(result.stdout.splitlines()[0])["round"] == done
    assert json.loads(result.stdout.splitlines()[-1])["model_hash"] == whole_run()


def test_ctrl_c_before_the_training_leaves_nothing(slowed, start):
    (slowed / "model.py").write_text("import signal, os\nos.kill(os.getpid(), signal.SIGINT)\n")
    process = start("run", "run.toml", "--out", "broken", cwd=slowed)
    _, err = process.communicate(timeout=120)
    assert process.returncode == 130
    assert "Traceback" not in err
    assert not (slowed / "broken").exists()


def test_ctrl_c_while_comparing_keeps_the_training(project, hansa, monkeypatch):
    from hansa.cli import running

    def press(*_, **__):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(running, "compare", press)
        result = hansa("run", "run.toml", "--rounds", 2, "--out", "r")
    assert result.exit_code == 130
    assert "the training itself is done and kept" in result.stderr
    assert (project / "r" / "model.keras").is_file()
    again = hansa("run", "--resume", "r")
    assert again.exit_code == 0
    assert "pooled" in again.stdout
    assert (project / "r" / "comparison.json").is_file()

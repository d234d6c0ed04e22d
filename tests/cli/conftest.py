import os
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from hansa.cli.app import app
from hansa.cli.project import make_project

COMMAND = (sys.executable, "-c", "from hansa.cli import main; main()")


@pytest.fixture
def folder(tmp_path, monkeypatch) -> Path:
    """The current folder, empty."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def project(folder, monkeypatch, capsys) -> Path:
    """A project of ``hansa new``, which is the current folder."""
    make_project("parcels")
    capsys.readouterr()
    monkeypatch.chdir(folder / "parcels")
    return folder / "parcels"


@pytest.fixture
def hansa():
    """Calls the command line in this process: ``hansa("run", "x.toml")``."""

    def call(*arguments: object):
        return CliRunner().invoke(app, [str(a) for a in arguments], prog_name="hansa")

    return call


@pytest.fixture
def wrong(hansa):
    """Calls the command line and returns the one error message that it must end with."""

    def call(*arguments: object, code: int = 2) -> str:
        result = hansa(*arguments)
        assert result.exit_code == code, result.output
        assert "Traceback" not in result.output
        assert result.stderr.startswith("error: ")
        return result.stderr

    return call


@pytest.fixture
def edit(project):
    """Replaces texts of the project's run.toml: ``edit(("rounds = 20", "rounds = 2"))``."""

    def change(*pairs: tuple[str, str]) -> None:
        path = project / "run.toml"
        text = path.read_text()
        for old, new in pairs:
            assert text.count(old) == 1, old
            text = text.replace(old, new)
        path.write_text(text)

    return change


def process(*arguments: object, cwd: Path, **environment: str) -> subprocess.Popen:
    """Start ``hansa`` as a process of its own."""
    return subprocess.Popen(
        [*COMMAND, *map(str, arguments)],
        cwd=cwd,
        env={**os.environ, "KERAS_BACKEND": "jax", **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.fixture
def start():
    """Starts ``hansa`` as processes of their own, and ends those that a failing test leaves behind."""
    running = []

    def call(*arguments: object, cwd: Path, **environment: str) -> subprocess.Popen:
        running.append(process(*arguments, cwd=cwd, **environment))
        return running[-1]

    yield call
    for one in running:
        if one.poll() is None:
            one.kill()
        one.communicate()

import os
import shlex
import subprocess
import sys

import pytest

import hansa as package
from hansa.cli.app import app
from hansa.cli.errors import exit_code
from hansa.errors import ConfigurationError, DataError, LogError, MissingExtraError, RoundError, UpdateError

COMMAND = (sys.executable, "-c", "from hansa.cli import main; main()")
COMMANDS = ("run", "new", "report", "verify", "export", "datasets", "recipes", "audit", "doctor")


def test_alone_it_teaches(hansa):
    result = hansa()
    assert result.exit_code == 0
    assert "hansa run heart-disease" in result.stdout
    for command in COMMANDS:
        assert command in result.stdout
    assert result.stdout == hansa("--help").stdout


@pytest.mark.parametrize("command", COMMANDS)
def test_every_help_has_an_example(hansa, command):
    for flag in ("--help", "-h"):
        result = hansa(command, flag)
        assert result.exit_code == 0
        assert f"hansa {command}" in result.stdout.split("Options")[0] + result.stdout.split("Options")[1]
        assert "xample" in result.stdout


def test_the_help_warns_that_model_files_are_executed(hansa):
    assert "executed" in hansa("run", "--help").stdout


def test_version(hansa):
    assert hansa("--version").stdout == f"hansa {package.__version__}\n"


def test_unknown_commands_and_options(hansa, wrong):
    assert "unknown command: 'rum'. Did you mean 'run'?" in wrong("rum")
    assert hansa("run", "--ronds", "3").exit_code == 2
    assert hansa("run", "x.toml", "--rounds", "three").exit_code == 2


def test_debug_shows_the_traceback_wherever_it_stands(folder, start):
    for arguments in (("--debug", "run", "x.toml"), ("run", "x.toml", "--debug")):
        process = start(*arguments, cwd=folder)
        _, err = process.communicate(timeout=60)
        assert process.returncode == 1
        assert "Traceback" in err
        assert "ConfigurationError: x.toml does not exist" in err


def test_exit_codes():
    for error in (ConfigurationError("x"), DataError("x"), MissingExtraError("a", "b", "c")):
        assert exit_code(error) == 2
    for error in (RoundError("x"), UpdateError("x"), LogError("x")):
        assert exit_code(error) == 1


@pytest.mark.parametrize(
    "arguments", [["--help"], ["datasets"], ["recipes"], ["--version"], ["run", "--help"]]
)
def test_lists_and_help_import_no_keras(arguments, folder):
    code = (
        "import sys\nfrom hansa.cli import main\nsys.argv[1:] = " + repr(arguments) + "\n"
        "try:\n    main()\nexcept SystemExit as end:\n    assert not end.code\n"
        "heavy = {'keras', 'jax', 'tensorflow', 'torch', 'sklearn', 'pandas'} & set(sys.modules)\n"
        "assert not heavy, heavy"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=folder, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


def test_the_entry_point_quiets_tensorflow(folder):
    code = (
        "import os\nfrom hansa.cli import main\n"
        "try:\n    main()\nfinally:\n    print(os.environ['TF_CPP_MIN_LOG_LEVEL'])"
    )
    environment = {"PATH": "", "KERAS_BACKEND": "jax"}
    done = subprocess.run(
        [sys.executable, "-c", code, "--version"],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout.splitlines()[-1] == "2"


def test_a_message_is_plain_where_nobody_looks(wrong):
    assert "\x1b" not in wrong("report", "nowhere", code=1)


def test_commands_are_those_that_are_documented():
    assert sorted(command.callback.__name__ for command in app.registered_commands) == sorted(COMMANDS)


def test_what_the_system_reports_is_one_message(project, wrong, monkeypatch):
    def full(*arguments):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("hansa.cli.running.run", full)
    assert "No space left on device. --debug shows where." in wrong("run", "run.toml", code=1)


@pytest.mark.parametrize("close", [">&-", "2>&-"])
def test_closed_streams(close):
    command = f"{shlex.join(COMMAND)} recipes --json {close}"
    done = subprocess.run(["sh", "-c", command], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_names_that_the_terminal_cannot_show():
    environment = {**os.environ, "PYTHONIOENCODING": "ascii"}
    done = subprocess.run([*COMMAND, "datasets"], capture_output=True, env=environment, check=False)
    assert (done.returncode, done.stderr) == (0, b"")
    done = subprocess.run([*COMMAND, "run", b"\xff.toml"], capture_output=True, check=False)
    assert done.returncode == 2
    assert done.stderr.startswith(b"error: ?.toml does not exist")


def test_a_backend_that_does_not_exist_is_not_blamed_on_the_model_file(project):
    environment = {**os.environ, "KERAS_BACKEND": "garbage"}
    command = [*COMMAND, "run", "run.toml"]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    assert done.returncode == 2
    assert done.stderr.startswith("error: KERAS_BACKEND is 'garbage'; Hansa trains on")

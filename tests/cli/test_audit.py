"""``hansa audit``: plans of files and of Hansa, for people and for programs."""

import dataclasses
import json

import pytest
from typer.testing import CliRunner

from hansa.audit import BUILT_IN
from hansa.cli.app import app

PLAN = """
[run]
rounds = 6
[privacy]
kind = "central"
noise_multiplier = 1.0
clip = 0.5
participation = { kind = "poisson", rate = 0.3 }
"""


def audited(*arguments):
    quick = ("--canaries", "24", "--rounds", "4", "--seed", "1")
    return CliRunner().invoke(app, ["audit", *arguments, *quick])


def test_a_plan_of_a_file_is_audited(tmp_path):
    file = tmp_path / "run.toml"
    file.write_text(PLAN)
    told = audited(str(file))
    assert told.exit_code == 0, told.output
    for said in (
        "✓ run.toml",
        "claimed ε",
        "proven ε",
        "clip",
        "noise reused",
        "nothing contradicts the plans",
    ):
        assert said in told.output


def test_programs_read_json(tmp_path):
    file = tmp_path / "run.toml"
    file.write_text(PLAN)
    told = json.loads(audited(str(file), "--json").output)
    assert told["passed"]
    assert told["proven_epsilon"] <= told["claimed_epsilon"]
    assert {"clip", "noise", "denominator"} <= {finding["name"] for finding in told["findings"]}


def test_a_fault_is_told_and_is_an_exit_code(tmp_path, monkeypatch):
    file = tmp_path / "run.toml"
    file.write_text(PLAN)
    import hansa.protect

    real = hansa.protect.clip
    monkeypatch.setattr(hansa.protect, "clip", lambda vector, norm: real(vector, 100 * norm))
    told = audited(str(file))
    assert told.exit_code == 1
    assert "✗ run.toml" in told.output
    assert "1 of 1 do not do what they say" in told.output


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[run]\nrounds = 3\n", "has no section [privacy]"),
        ('[privacy]\nkind = "record"\nrounds = 2\nepsilon = 1.0\ndelta = 1e-3\n', "depends on the silos"),
    ],
)
def test_what_cannot_be_audited_is_told(tmp_path, text, said):
    file = tmp_path / "run.toml"
    file.write_text(text)
    told = audited(str(file))
    assert told.exit_code == 2
    assert said in " ".join(told.output.split())


@pytest.fixture
def private(project):
    """A project whose file has a plan of privacy, for a budget."""
    path = project / "run.toml"
    path.write_text(path.read_text() + "\n[privacy]\nkind = 'central'\nepsilon = 20.0\ndelta = 1e-2\n")
    return path


def test_a_plan_with_a_budget_is_audited_with_the_noise_of_its_run(private):
    told = json.loads(audited(str(private), "--json").output)
    assert told["passed"]
    assert 0.5 < told["settings"]["plan"]["noise_multiplier"] < 10
    assert told["settings"]["plan"]["budget"] is None
    assert not (private.parent / "runs").exists()


def test_all_plans_are_a_line_each():
    told = audited()
    assert told.exit_code == 0
    for name in BUILT_IN:
        assert f"✓ {name}" in told.output
    assert "allowed" not in told.output


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--canaries", "3"), "canaries of an audit is 8 or more"),
        (("--rounds", "2"), "rounds of an audit is 3 or more"),
        (("--seed", "-1"), "--seed must be 0 or more"),
        (("--secure-sum", "open"), "unknown secure sum"),
    ],
)
def test_options_that_cannot_be(wrong, options, said):
    assert said in wrong("audit", *options, code=2)


def test_the_plans_that_come_along_are_of_every_kind():
    kinds = {type(plan).__name__ for plan in BUILT_IN.values()}
    assert kinds == {"CentralDP", "LocalDP", "MatrixDP", "DistributedDP", "RecordDP"}
    assert all(dataclasses.is_dataclass(plan) for plan in BUILT_IN.values())

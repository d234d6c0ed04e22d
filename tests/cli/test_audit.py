import json

import pytest

import privacy_faults as faults
from hansa.audit import BUILT_IN

QUICK = ("--canaries", 24, "--rounds", 3, "--seed", 3)
PLAN = "\n[privacy]\nkind = 'central'\nnoise_multiplier = 1.5\ndelta = 1e-5\n"


@pytest.fixture
def private(project):
    """A project whose file has a plan of privacy."""
    path = project / "run.toml"
    path.write_text(path.read_text() + PLAN)
    return path


def test_all_plans_in_a_line_each(hansa):
    result = hansa("audit", *QUICK)
    assert result.exit_code == 0
    for name in BUILT_IN:
        assert f"✓ {name}" in result.stdout
    assert "as far as canaries can see" in result.stdout
    assert "allowed" not in result.stdout


def test_the_plan_of_a_file_with_its_table(hansa, private):
    result = hansa("audit", "run.toml", *QUICK)
    assert result.exit_code == 0
    for text in ("✓ run.toml", "noise reused", "allowed", "proven"):
        assert text in result.stdout
    told = json.loads(hansa("audit", "run.toml", "--json", *QUICK).stdout)
    assert told["passed"]
    assert told["audits"][0]["settings"]["plan"]["noise_multiplier"] == 1.5
    assert not (private.parent / "runs").exists()


def test_a_budget_is_audited_with_the_noise_of_the_run(hansa, project):
    path = project / "run.toml"
    path.write_text(path.read_text() + "\n[privacy]\nkind = 'central'\nepsilon = 20.0\ndelta = 1e-2\n")
    told = json.loads(hansa("audit", "run.toml", "--json", *QUICK).stdout)
    noise = told["audits"][0]["settings"]["plan"]["noise_multiplier"]
    assert 0.5 < noise < 10


def test_a_fault_is_red(hansa, private, monkeypatch):
    faults.half_the_noise(monkeypatch)
    result = hansa("audit", "run.toml", *QUICK)
    assert result.exit_code == 1
    assert "✗ run.toml" in result.stdout
    assert "NOT do what the plan says" in result.stdout
    assert not json.loads(hansa("audit", "run.toml", "--json", *QUICK).stdout)["passed"]


def test_without_a_plan_there_is_nothing_to_audit(project, wrong):
    assert "no plan of privacy" in wrong("audit", "run.toml", *QUICK, code=2)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--canaries", 3), "canaries of an audit is 8 or more"),
        (("--rounds", 2), "rounds of an audit is 3 or more"),
        (("--seed", -1), "--seed must be 0 or more"),
        (("--secure-sum", "open"), "unknown secure sum"),
    ],
)
def test_options_that_cannot_be(wrong, options, said):
    assert said in wrong("audit", *options, code=2)

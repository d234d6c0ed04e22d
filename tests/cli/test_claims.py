"""``[claims]`` in a TOML file."""

import json

import pytest

from hansa.cli.job import assemble, from_target
from hansa.cli.resolve import Options

SECTION = """
[claims]
ranges = { distance_km = [0, 1000], "*" = [-1000, 1000] }
classes = { 0 = 5, 1 = 5 }
records = 20
"""


@pytest.fixture
def claiming(project):
    (project / "claims.toml").write_text((project / "run.toml").read_text() + SECTION)
    return project


def test_a_run_whose_clients_claim(claiming, hansa):
    result = hansa("run", "claims.toml", "--rounds", 1, "--no-compare", "--json", "--out", "runs/one")
    assert result.exit_code == 0, result.output
    told = json.loads((claiming / "runs/one/config.json").read_text())["claims"]
    assert (told["records"], told["classes"]) == (20, [[0, 5], [1, 5]])
    dry = hansa("run", "claims.toml", "--dry-run").stdout
    assert "20 records or more" in " ".join(dry.split())
    with (claiming / "claims.toml").open("a") as file:
        file.write('same_as = "runs/one"\n')  # from the file's folder, wherever the command is run
    job = from_target("claims.toml", Options())
    assert assemble(job).federation.claims.same_as == claiming / "runs/one"


def test_what_does_not_hold_is_told_with_client_and_claim(claiming, wrong):
    path = claiming / "claims.toml"
    path.write_text(path.read_text().replace("records = 20", "records = 1000"))
    told = wrong("run", "claims.toml", "--no-compare")
    assert "client" in told
    assert "'records' does not hold" in told


def test_a_recipe_with_claims(folder):
    (folder / "heart.toml").write_text(
        '[run]\nrounds = 1\n[recipe]\nname = "heart-disease"\n'
        "[claims]\nranges = [-5, 700]\nclasses = [0, 1]\n"
    )
    federation = assemble(from_target("heart.toml", Options())).federation
    assert federation.prepare().claimed.terms.records == 1

import json

import pytest

from hansa.cli.dry_run import estimate
from hansa.cli.job import from_target
from hansa.cli.resolve import Options


@pytest.mark.parametrize("algorithm", ["fedavg", "scaffold", "fedadam", "fedbn"])
def test_the_estimate_is_what_a_run_then_sends_and_keeps(project, hansa, algorithm):
    told = estimate(from_target("run.toml", Options(algorithm=algorithm, rounds=3)))
    assert not (project / "runs").exists()
    result = hansa(
        "run", "run.toml", "--rounds", 3, "--no-compare", "--algorithm", algorithm, "--json", "--out", "r"
    )
    *rounds, _ = (json.loads(line) for line in result.stdout.splitlines())
    assert [r["bytes_down"] + r["bytes_up"] for r in rounds] == [told["bytes_per_round"]] * 3
    assert told["parameters"] == 4 * 16 + 16 + 16 + 1
    assert (told["clients"], told["training_rows"], told["cohort"]) == (3, 175, 3)
    on_disk = sum(path.stat().st_size for path in (project / "r" / "blobs").rglob("*") if path.is_file())
    assert told["disk_bytes"] <= on_disk <= told["disk_bytes"] + 3 * 8 * 200  # each blob has a small header


@pytest.mark.parametrize("kind", ["sealed", "masking"])
def test_the_estimate_of_a_secure_sum_is_near(project, hansa, kind):
    (project / "few.toml").write_text(
        (project / "run.toml").read_text() + f'\n[secure_sum]\nkind = "{kind}"\n[quantise]\nclip = 4.0\n'
    )
    told = estimate(from_target("few.toml", Options(rounds=2)))
    assert (told["secure_sum"], told["clients"]) == (kind, 3)
    result = hansa("run", "few.toml", "--rounds", 2, "--no-compare", "--json", "--out", "r")
    *rounds, _ = (json.loads(line) for line in result.stdout.splitlines())
    sent = rounds[-1]["bytes_down"] + rounds[-1]["bytes_up"]
    assert told["bytes_per_round"] == pytest.approx(sent, rel=0.1 if kind == "sealed" else 0.6)
    text = hansa("run", "few.toml", "--dry-run").stdout
    assert kind in text
    assert "drop out" in " ".join(text.split())


def test_it_is_shown_for_people_and_for_programs(project, hansa):
    text = hansa("run", "run.toml", "--dry-run")
    assert text.exit_code == 0
    for part in ("3 clients with 175 training rows", "97 parameters", "nothing is trained", "of checkpoints"):
        assert part in text.stdout
    told = json.loads(hansa("run", "run.toml", "--dry-run", "--json").stdout)
    assert told["event"] == "dry-run"
    assert told["rounds"] == 20
    assert not (project / "runs").exists()


def test_cohorts_count_as_they_are_drawn(project):
    for cohort, size in (('kind = "fixed"\nsize = 2', 2), ('kind = "poisson"\nrate = 0.5', 1.5)):
        path = project / "other.toml"
        path.write_text((project / "run.toml").read_text() + f"\n[cohort]\n{cohort}\n")
        assert estimate(from_target("other.toml", Options()))["cohort"] == size


def test_what_cannot_work_is_told_by_a_dry_run_too(project, wrong, edit):
    edit(("data/west.csv", "data/east.csv"))
    assert "east.csv does not exist" in wrong("run", "run.toml", "--dry-run").replace("\n", " ")

import json
import tomllib

import pytest

from hansa.api.facts import read_comparison
from hansa.recipes import RECIPES
from hansa.store.run import Run

SHORT = ("--rounds", 2, "--no-compare")


def test_a_project_runs_and_leaves_a_whole_folder(project, hansa):
    result = hansa("run", "run.toml", "--rounds", 2)
    assert result.exit_code == 0, result.output
    lines = result.stdout.splitlines()
    assert lines[0].startswith("parcels: will a parcel be late? | 3 clients | 2 rounds | ")
    assert [line.split()[0:2] for line in lines[1:3]] == [["round", "1/2"], ["round", "2/2"]]
    for text in (
        "local only",
        "federated",
        "pooled",
        "average",
        "runs/parcels-1/report.html",
        "runs/parcels-1/model.keras",
    ):
        assert text in result.stdout
    names = {path.name for path in (project / "runs" / "parcels-1").iterdir()}
    assert names >= {
        "run.toml",
        "config.json",
        "facts.json",
        "comparison.json",
        "history.jsonl",
        "model.keras",
        "report.html",
    }
    assert "<html" in (project / "runs" / "parcels-1" / "report.html").read_text()


def test_a_recipe_runs_by_name_and_compares(folder, hansa):
    result = hansa("run", "heart-disease", "--rounds", 1)
    assert result.exit_code == 0, result.output
    for name in ("cleveland", "hungary", "switzerland", "va", "average"):
        assert name in result.stdout
    run = folder / "runs" / "heart-disease-1"
    comparison = read_comparison(run)
    assert comparison is not None
    assert comparison.metric == RECIPES["heart-disease"].metric
    assert RECIPES["heart-disease"].summary in (run / "report.html").read_text()


def test_numbers_of_runs_go_up_and_out_chooses_the_folder(project, hansa):
    for _ in range(2):
        assert hansa("run", "run.toml", *SHORT, "--quiet").exit_code == 0
    assert hansa("run", "run.toml", *SHORT, "--quiet", "--out", "mine").exit_code == 0
    assert sorted(path.name for path in (project / "runs").iterdir()) == ["parcels-1", "parcels-2"]
    assert (project / "mine" / "model.keras").is_file()


def test_a_seed_gives_the_same_model_twice_and_another_seed_another(project, hansa):
    hashes = [
        json.loads(hansa("run", "run.toml", *SHORT, "--json", "--seed", seed).stdout.splitlines()[-1])[
            "model_hash"
        ]
        for seed in (1, 1, 2)
    ]
    assert hashes[0] == hashes[1] != hashes[2]


def test_json_writes_one_object_per_round_and_one_at_the_end(project, hansa):
    (project / "model.py").write_text('print("noise")\n' + (project / "model.py").read_text())
    result = hansa("run", "run.toml", "--rounds", 2, "--json")
    one, two, end = (json.loads(line) for line in result.stdout.splitlines())
    assert (one["event"], one["round"], two["round"]) == ("round", 0, 1)
    assert "clients" not in one
    assert end["event"] == "end"
    assert end["status"] == "finished"
    assert end["model_hash"] == two["model_hash"]
    assert end["metrics"] == two["logs"]
    assert set(end["comparison"]["average"]) == {"local", "federated", "pooled"}
    assert (project / end["report"]).is_file()


def test_quiet_writes_the_final_lines_only(project, hansa):
    result = hansa("run", "run.toml", *SHORT, "--quiet")
    assert [line.split()[0] for line in result.stdout.splitlines()] == ["Result", "Model", "Report"]


def test_options_change_what_the_file_says_and_are_kept(project, hansa):
    assert hansa("run", "run.toml", *SHORT, "--quiet", "--algorithm", "fedprox", "--seed", 5).exit_code == 0
    kept = tomllib.loads((project / "runs" / "parcels-1" / "run.toml").read_text())
    assert kept["run"]["rounds"] == 2
    assert kept["run"]["seed"] == 5
    assert kept["algorithm"] == {"kind": "fedprox", "epochs": 2, "batch_size": 16}
    with Run.open(project / "runs" / "parcels-1", write=False) as run:
        assert run.config["algorithm"]["kind"] == "fedprox"
        assert run.config["algorithm"]["epochs"] == 2


def test_an_algorithm_takes_over_the_local_work_of_a_recipe(folder, hansa):
    assert hansa("run", "heart-disease", *SHORT, "--quiet", "--algorithm", "fedprox").exit_code == 0
    own = (
        RECIPES["heart-disease"]
        .build(model=None or RECIPES["heart-disease"].models[0], seed=0, algorithm=None)
        .algorithm
    )
    with Run.open(folder / "runs" / "heart-disease-1", write=False) as run:
        told = run.config["algorithm"]
    assert told["kind"] == "fedprox"
    assert (told["epochs"], told["steps"], told["batch_size"]) == (own.epochs, own.steps, own.batch_size)


def test_a_builtin_model_a_cohort_a_server_optimizer_and_a_target(project, hansa, edit):
    edit(
        (
            'file = "model.py:build"     # executed on your machine; or a built-in model: name = "logistic"',
            'name = "mlp"\nhidden = [4]',
        ),
        ("compare = true ", "target = { accuracy = 0.0 }\n#"),
    )
    with (project / "run.toml").open("a") as file:
        file.write(
            '[cohort]\nkind = "fixed"\nsize = 2\n[server_optimizer]\nkind = "sgd"\nlearning_rate = 1.0\n'
        )
    result = hansa("run", "run.toml", "--json")
    end = json.loads(result.stdout.splitlines()[-1])
    assert (end["status"], end["rounds"]) == ("target reached", 1)
    with Run.open(project / end["run"], write=False) as run:
        assert run.config["cohort"] == {"kind": "fixed", "size": 2}
        assert run.config["server_optimizer"]["kind"] == "SGD"
    assert hansa("run", "run.toml", "--model", "logistic", *SHORT, "--quiet").exit_code == 0


def test_a_toml_file_may_run_a_recipe(folder, hansa):
    (folder / "my.toml").write_text('[recipe]\nname = "heart-disease"\n[run]\nrounds = 1\ncompare = false\n')
    result = hansa("run", "my.toml", "--json")
    assert json.loads(result.stdout.splitlines()[-1])["rounds"] == 1


def test_resuming_a_finished_run_trains_no_more_unless_more_rounds_are_asked_for(project, hansa):
    first = json.loads(hansa("run", "run.toml", *SHORT, "--json").stdout.splitlines()[-1])
    again = hansa("run", "--resume", first["run"], "--json").stdout.splitlines()
    assert len(again) == 1
    assert json.loads(again[0])["model_hash"] == first["model_hash"]
    more = hansa("run", "run.toml", "--resume", first["run"], "--rounds", 4, "--json").stdout.splitlines()
    assert [json.loads(line)["round"] for line in more[:-1]] == [2, 3]
    whole = hansa("run", "run.toml", "--rounds", 4, "--no-compare", "--json").stdout.splitlines()
    assert json.loads(more[-1])["model_hash"] == json.loads(whole[-1])["model_hash"]
    assert tomllib.loads((project / first["run"] / "run.toml").read_text())["run"]["rounds"] == 4


def test_resuming_works_from_another_folder(project, hansa, monkeypatch, tmp_path):
    first = json.loads(hansa("run", "run.toml", *SHORT, "--json").stdout.splitlines()[-1])
    monkeypatch.chdir(tmp_path)
    result = hansa("run", "--resume", project / first["run"], "--rounds", 3, "--no-compare", "--quiet")
    assert result.exit_code == 0, result.output


def test_a_comparison_is_made_once_and_forgotten_when_rounds_are_added(project, hansa):
    run = json.loads(hansa("run", "run.toml", "--rounds", 1, "--json").stdout.splitlines()[-1])["run"]
    made = (project / run / "comparison.json").stat().st_mtime_ns
    hansa("run", "--resume", run)
    assert (project / run / "comparison.json").stat().st_mtime_ns >= made
    assert "for comparison" not in hansa("run", "--resume", run).stdout
    hansa("run", "--resume", run, "--rounds", 2, "--no-compare")
    assert not (project / run / "comparison.json").exists()


# --- what cannot work


def test_names_that_do_not_exist(project, wrong):
    assert "Did you mean 'heart-disease'?" in wrong("run", "heart-desease")
    assert "Did you mean 'fedprox'?" in wrong("run", "run.toml", "--algorithm", "fedporx")
    assert "Did you mean 'mlp'?" in wrong("run", "heart-disease", "--model", "mpl")
    assert "Did you mean 'local'?" in wrong("run", "run.toml", "--engine", "locl")
    assert "There is run.toml." in wrong("run", "rn.toml")
    assert "name a recipe or a TOML file" in wrong("run")


def test_a_misspelt_key_in_the_file(wrong, edit):
    edit(("rounds = 20", "rouns = 20"))
    assert "unknown key in [run]: 'rouns'. Did you mean 'rounds'?" in wrong("run", "run.toml")


@pytest.mark.parametrize("rounds", [0, -3])
def test_rounds_must_be_positive(project, wrong, rounds):
    assert f"--rounds must be a whole number of 1 or more, got {rounds}" in wrong(
        "run", "run.toml", "--rounds", rounds
    )


def test_zero_rounds_in_the_file(wrong, edit, project):
    edit(("rounds = 20", "rounds = 0"))
    assert "rounds must be a whole number of 1 or more, got 0" in wrong("run", "run.toml")
    assert not (project / "runs").exists()


def test_a_cohort_larger_than_the_population(project, wrong):
    with (project / "run.toml").open("a") as file:
        file.write('[cohort]\nkind = "fixed"\nsize = 4\n')
    assert "the cohort is 4 clients but there are only 3" in wrong("run", "run.toml")
    assert not (project / "runs").exists()


def test_folders_that_cannot_be_used(project, hansa, wrong):
    (project / "file").write_text("")
    assert "choose another folder" in wrong("run", "run.toml", *SHORT, "--out", "file/run", code=1)
    (project / "full").mkdir()
    (project / "full" / "thesis.txt").write_text("mine")
    assert "full is not empty and not a run (it holds thesis.txt)" in wrong(
        "run", "run.toml", *SHORT, "--out", "full", code=1
    )
    assert hansa("run", "run.toml", *SHORT, "--out", "done").exit_code == 0
    assert "done is a run already: go on with it by --resume" in wrong(
        "run", "run.toml", *SHORT, "--out", "done", code=1
    )
    assert (project / "full" / "thesis.txt").read_text() == "mine"


def test_resume_that_contradicts(project, hansa, wrong):
    assert hansa("run", "run.toml", *SHORT, "--quiet", "--out", "r").exit_code == 0
    assert "r is a run of 'run.toml', not of 'heart-disease'" in wrong(
        "run", "heart-disease", "--resume", "r"
    )
    assert "--seed 9 contradicts the run r, which was begun with seed 0" in wrong(
        "run", "--resume", "r", "--seed", 9
    )
    assert "--algorithm fedbn contradicts" in wrong("run", "--resume", "r", "--algorithm", "fedbn")
    assert "--model mlp contradicts" in wrong("run", "--resume", "r", "--model", "mlp")
    assert "goes on in its own folder" in wrong("run", "--resume", "r", "--out", "s")
    assert "has 2 rounds done already; --rounds 1 is less" in wrong("run", "--resume", "r", "--rounds", 1)
    assert hansa("run", "--resume", "r", "--seed", 0, "--algorithm", "fedavg", "--quiet").exit_code == 0


def test_resume_of_what_is_not_a_run(project, wrong):
    assert "there is no run at nowhere" in wrong("run", "--resume", "nowhere", code=1)
    assert "data is not a run" in wrong("run", "--resume", "data", code=1)


def test_resume_after_the_model_or_the_data_changed(project, hansa, wrong):
    assert hansa("run", "run.toml", *SHORT, "--quiet", "--out", "r").exit_code == 0
    model = (project / "model.py").read_text()
    (project / "model.py").write_text(model.replace("16", "17"))
    assert "model.py was changed since the run began" in wrong("run", "--resume", "r", code=1)
    (project / "model.py").write_text(model)
    with (project / "data" / "west.csv").open("a") as file:
        file.write("1.0,1.0,1,1.0,1\n")
    assert "clients.west.source.file.sha256" in wrong("run", "--resume", "r", code=1)


def test_a_comparison_that_cannot_be_made_is_told_before_the_training(project, wrong, edit):
    edit(("train = 0.5\nvalidation = 0.2\ntest = 0.3\n", "train = 1.0\n"))
    assert "the comparison needs rows that are not trained on" in wrong("run", "run.toml")
    assert not (project / "runs").exists()
    edit(("seed = 0", 'seed = 0\nmetric = "acuracy"'))
    assert "unknown metric in [run]: 'acuracy'. Did you mean 'accuracy'?" in wrong(
        "run", "run.toml", "--no-compare"
    )


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("model.py:build", "../model.py:build", "must lie beside the TOML file"),
        ("model.py:build", "model.py:built", "unknown function of model.py: 'built'. Did you mean 'build'?"),
        (
            'file = "model.py:build"',
            'optimizer = "sgd"\nfile = "model.py:build"',
            "optimizer is for built-in models",
        ),
        ('file = "model.py:build"', 'name = "mlp"\nfile = "model.py:build"', "needs either a name"),
        (
            'file = "model.py:build"',
            'function = "f"\nfile = "model.py:build"',
            "names two functions, 'build' and 'f'",
        ),
        ("data/west.csv", "data/east.csv", "east.csv does not exist"),
        ('target = "late"', 'target = "lat"', "Did you mean 'late'?"),
        ('"rain_mm"]', '"rain"]', "Did you mean 'rain_mm'?"),
    ],
)
def test_mistakes_in_the_file(project, wrong, edit, old, new, message):
    edit((old, new))
    assert message in wrong("run", "run.toml").replace("\n", " ")
    assert not (project / "runs").exists()


def test_the_end_says_what_privacy_is_promised_and_to_whom(folder, hansa):
    plan = '[privacy]\nkind = "central"\nnoise_multiplier = 8.0\nclip = 0.5\n'
    (folder / "private.toml").write_text(f'[run]\nrounds = 1\n[recipe]\nname = "heart-disease"\n{plan}')
    result = hansa("run", "private.toml", "--no-compare", "--quiet")
    (line,) = [line for line in result.stdout.splitlines() if line.startswith("Privacy")]
    for said in ("ε = 0.", "δ = 1e-05", "for each client", "zero-out", "The server sees"):
        assert said in line
    told = hansa("run", "private.toml", "--no-compare", "--json").stdout.splitlines()
    end = json.loads(told[-1])["guarantee"]
    assert (end["protects"], end["neighbours"], end["rounds_spent"]) == ("each client", "zero-out", 1)

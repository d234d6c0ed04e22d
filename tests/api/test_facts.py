import dataclasses
import itertools
import json

import numpy as np
import pytest

import hansa
from hansa.api.facts import read_comparison, read_report, write_comparison
from hansa.errors import RunError
from hansa.report.data import Comparison, ReportData
from hansa.report.page import render


def build():
    import keras

    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1, activation="sigmoid")])
    model.compile(keras.optimizers.SGD(0.5), "binary_crossentropy", metrics=["accuracy"])
    return model


def plain(data: ReportData):
    return json.loads(json.dumps(dataclasses.asdict(data)))


@pytest.fixture
def fitted(tmp_path, monkeypatch):
    ticks = itertools.count()  # each look at the clock gives another time
    for place in ("federation", "keeping"):
        monkeypatch.setattr(f"hansa.api.{place}.now", lambda: f"2026-01-01T00:00:{next(ticks):02}+00:00")
    x = np.random.default_rng(0).normal(size=(40, 2)).astype("float32")
    split = hansa.data.Split(train=0.5, test=0.5)
    clients = hansa.data.iid(x, (x[:, 0] > 0).astype("int64"), clients=2, split=split, names=["z", "a"])
    federation = hansa.Federation(build, clients, title="two")
    federation.fit(rounds=2, run=tmp_path / "run", keep={"note.txt": "mine\n"})
    return federation


def test_the_folder_alone_gives_the_same_report(fitted, tmp_path):
    told = read_report(tmp_path / "run", summary="s")
    own = fitted.report_data(summary="s")
    assert told.records == own.records
    assert told.cards.keys() == own.cards.keys()
    assert list(told.cards) == ["z", "a"]
    assert (told.title, told.status, told.seed) == ("two", "finished", 0)
    assert (told.environment, told.model_summary) == (own.environment, own.model_summary)
    assert plain(told) == plain(own)
    assert "two" in render(told)


def test_texts_are_kept_from_the_beginning(fitted, tmp_path):
    assert (tmp_path / "run" / "note.txt").read_text() == "mine\n"


def test_a_comparison_comes_back_in_its_order(tmp_path):
    comparison = Comparison(
        metric="auc",
        higher_is_better=True,
        rows={"z": {"local": 0.5, "federated": None}, "a": {"local": np.float64(0.25)}},
        test_examples={"z": 3, "a": 4},
        average={"local": 0.375},
        note="how",
    )
    assert read_comparison(tmp_path) is None
    write_comparison(tmp_path, comparison)
    assert read_comparison(tmp_path) == comparison
    assert list(read_comparison(tmp_path).rows) == ["z", "a"]


@pytest.mark.parametrize("text", ["", "{", "[]", '{"metric": 1, "surprise": 2}', '"x"'])
def test_a_damaged_file_is_named(tmp_path, text):
    (tmp_path / "comparison.json").write_text(text)
    with pytest.raises(RunError, match=r"comparison\.json is damaged"):
        read_comparison(tmp_path)


def test_missing_facts_are_told(fitted, tmp_path):
    (tmp_path / "run" / "facts.json").unlink()
    with pytest.raises(RunError, match=r"facts\.json is missing"):
        read_report(tmp_path / "run")


def test_facts_without_what_they_must_have(fitted, tmp_path):
    (tmp_path / "run" / "facts.json").write_text('{"cards": {"z": {}}, "environment": {}, "model": {}}')
    with pytest.raises(RunError, match=r"facts\.json is damaged"):
        read_report(tmp_path / "run")


def test_the_folder_says_how_features_were_prepared(tmp_path):
    x = np.random.default_rng(0).normal(3, 2, size=(40, 2)).astype("float32")
    source = hansa.data.Arrays(x, (x[:, 0] > 3).astype("int64"), columns=["a", "b"])
    scale = hansa.data.Standardize(scope="federated")
    federation = hansa.Federation(build, [hansa.data.Client(name="one", source=source, preprocess=[scale])])
    federation.fit(rounds=1, run=tmp_path / "run")
    told = json.loads((tmp_path / "run" / "preprocessing.json").read_text())
    assert told["columns"] == ["a", "b"]
    np.testing.assert_allclose(told["steps"][0]["center"], x.mean(0), rtol=1e-5)
    assert repr(federation).startswith("<Federation 'Federated training': 1 clients, FedAvg, 1 rounds")


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("environment", [1]),
        ("model", {"name": "m"}),
        ("cards", {"z": {"examples": {"train": "x"}, "columns": None, "label_range": None, "labels": None}}),
    ],
)
def test_facts_of_another_form_are_damage(fitted, key, value):
    path = fitted.run_folder / "facts.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), key: value}))
    with pytest.raises(RunError, match=r"facts.json is damaged"):
        read_report(fitted.run_folder)

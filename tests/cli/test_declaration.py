from pathlib import Path

import pytest

from hansa.algorithms import FedAvg, FedProx
from hansa.cli.declaration import declare, read_toml
from hansa.cohort import FixedSize, Poisson
from hansa.data import Split
from hansa.encode import Quantise, TopK
from hansa.errors import ConfigurationError, UnknownNameError
from hansa.secure_sum import Sealed

WHOLE = {"run": {"rounds": 3}, "model": {"name": "logistic"}, "clients": [{"name": "a", "csv": "a.csv"}]}


def test_every_section_becomes_its_value():
    told = declare(
        {
            **WHOLE,
            "run": {"rounds": 3, "seed": 7, "target": {"val_accuracy": 0.9}},
            "algorithm": {"kind": "fedprox", "mu": 0.1, "epochs": 2},
            "cohort": {"kind": "fixed", "size": 1},
            "split": {"train": 0.5, "test": 0.5},
            "server_optimizer": {"kind": "adam", "learning_rate": 0.01},
            "quantise": {"clip": 4.0, "bits": 12, "rotate": True},
            "secure_sum": {"kind": "sealed", "threshold": 3},
            "output": {"folder": "elsewhere"},
        }
    )
    assert told.quantise == Quantise(clip=4.0, bits=12, rotate=True)
    assert told.secure_sum == Sealed(threshold=3)
    assert declare({**WHOLE, "compress": {"kind": "top-k", "keep": 0.5}}).compress == TopK(keep=0.5)
    assert told.algorithm == FedProx(mu=0.1, epochs=2)
    assert told.cohort == FixedSize(1)
    assert told.split == Split(train=0.5, test=0.5)
    assert told.run.target == {"val_accuracy": 0.9}
    assert told.server_optimizer is not None
    assert (told.server_optimizer.name, told.server_optimizer.settings) == ("Adam", {"learning_rate": 0.01})
    assert told.output.folder == "elsewhere"
    assert told.clients[0].name == "a"


def test_what_is_left_out_is_none():
    told = declare(WHOLE)
    assert (told.algorithm, told.cohort, told.split, told.server_optimizer, told.recipe) == (None,) * 5


@pytest.mark.parametrize(
    ("section", "value", "message"),
    [
        ("modle", {}, r"unknown section: 'modle'. Did you mean 'model'\?"),
        ("run", {"rounds": 1, "sede": 3}, r"key in \[run\]: 'sede'. Did you mean 'seed'\?"),
        ("model", {"name": "mlp", "hiden": [3]}, r"key in \[model\]: 'hiden'. Did you mean 'hidden'\?"),
        ("data", {"dateset": "mnist"}, r"key in \[data\]: 'dateset'. Did you mean 'dataset'\?"),
        (
            "clients",
            [{"name": "a"}, {"nme": "b"}],
            r"key in \[\[clients\]\] number 2: 'nme'. Did you mean 'name'\?",
        ),
        ("algorithm", {"kind": "fedavgg"}, r"kind in \[algorithm\]: 'fedavgg'. Did you mean 'fedavg'\?"),
        ("algorithm", {"kind": "fedavg", "epoch": 1}, r"'epoch'. Did you mean 'epochs'\?"),
        ("cohort", {"kind": "poison", "rate": 0.5}, r"'poison'. Did you mean 'poisson'\?"),
        ("split", {"train": 0.5, "tst": 0.5}, r"key in \[split\]: 'tst'. Did you mean 'test'\?"),
        ("server_optimizer", {"kind": "adm"}, r"kind in \[server_optimizer\]: 'adm'. Did you mean 'adam'\?"),
        ("server_optimizer", {"kind": "sgd", "momentun": 0.9}, r"'momentun'. Did you mean 'momentum'\?"),
        ("secure_sum", {"kind": "seald"}, r"kind in \[secure_sum\]: 'seald'. Did you mean 'sealed'\?"),
        ("secure_sum", {"kind": "sealed", "treshold": 3}, r"'treshold'. Did you mean 'threshold'\?"),
        ("quantise", {"clp": 3.0}, r"key in \[quantise\]: 'clp'. Did you mean 'clip'\?"),
        ("compress", {"kind": "topk"}, r"kind in \[compress\]: 'topk'. Did you mean 'top-k'\?"),
        ("claims", {"range": [0, 1]}, r"key in \[claims\]: 'range'. Did you mean 'ranges'\?"),
        ("output", {"foldr": "x"}, r"key in \[output\]: 'foldr'. Did you mean 'folder'\?"),
    ],
)
def test_a_misspelt_name_anywhere_is_told_with_the_nearest(section, value, message):
    with pytest.raises(UnknownNameError, match=message):
        declare({**WHOLE, section: value})


@pytest.mark.parametrize(
    ("section", "value", "message"),
    [
        ("run", {"rounds": "ten"}, r'\[run\] rounds is "ten"; rounds must be a whole number'),
        ("run", {"rounds": 1, "target": {"loss": "low"}}, r"target must be a table, each value a number"),
        ("run", {"seed": 1}, r"\[run\] lacks the key 'rounds'"),
        ("clients", {"name": "a"}, r"write \[\[clients\]\] before each client"),
        (
            "algorithm",
            {"kind": "fedavg", "epochs": 1, "steps": 2},
            r"of kind 'fedavg': give epochs or steps, not both",
        ),
        ("cohort", {"kind": "poisson", "rate": 2}, r"rate is above 0 and at most 1"),
        ("claims", {"classes": [0]}, r"\[claims\] lacks the key 'ranges'"),
        ("claims", {"ranges": [0, 1]}, r"\[claims\]: claims say what labels are"),
        (
            "claims",
            {"ranges": [0, 1], "classes": [0], "records": "3"},
            r'records is "3"; records must be a whole',
        ),
        ("split", {"train": 0.5}, r"\[split\]: the fractions of Split must sum to 1"),
        ("split", 3, r"\[split\] is 3; expected a table"),
        ("algorithm", {"kind": "fedprox", "mu": "big"}, r'mu is "big"; mu must be a number'),
    ],
)
def test_what_cannot_work_is_told(section, value, message):
    with pytest.raises(ConfigurationError, match=message):
        declare({**WHOLE, section: value})


@pytest.mark.parametrize("missing", ["run", "model", "clients"])
def test_a_missing_section_is_named(missing):
    raw = {name: value for name, value in WHOLE.items() if name != missing}
    with pytest.raises(ConfigurationError, match=rf"\[{missing}\]"):
        declare(raw)


def test_a_recipe_does_not_go_with_a_model_of_ones_own():
    with pytest.raises(ConfigurationError, match=r"\[model\] and \[recipe\] are both given"):
        declare({"run": {"rounds": 1}, "recipe": {"name": "heart-disease"}, "model": {"name": "mlp"}})


def test_a_poisson_cohort_and_the_default_local_work():
    told = declare({**WHOLE, "cohort": {"kind": "poisson", "rate": 0.5}, "algorithm": {"kind": "fedavg"}})
    assert told.cohort == Poisson(0.5)
    assert told.algorithm == FedAvg()


def test_reading_a_file(tmp_path):
    path = tmp_path / "my.toml"
    path.write_text("[run]\nrounds = 3\n")
    assert read_toml(path) == {"run": {"rounds": 3}}


def test_a_file_that_is_missing_broken_or_not_text(tmp_path):
    (tmp_path / "mine.toml").write_text("[run\n")
    with pytest.raises(ConfigurationError, match=r"my.toml does not exist .* There is mine.toml\."):
        read_toml(tmp_path / "my.toml")
    with pytest.raises(ConfigurationError, match=r"not valid TOML: .*line 1"):
        read_toml(tmp_path / "mine.toml")
    with pytest.raises(ConfigurationError, match="cannot be read"):
        read_toml(tmp_path)
    (tmp_path / "bytes.toml").write_bytes(b"\xff\xfe")
    with pytest.raises(ConfigurationError, match="cannot be read"):
        read_toml(tmp_path / "bytes.toml")
    with pytest.raises(ConfigurationError, match="does not exist"):
        read_toml(Path("nowhere") / "my.toml")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a = " + "[" * 5000 + "]" * 5000, "cannot be read as TOML"),
        ("a = " + "1" * 5000, "cannot be read as TOML"),
        ("[run]\ntitle." + ".".join("a" * 5000) + " = 1", "more than 16 deep"),
    ],
)
def test_toml_beyond_all_measure(tmp_path, text, message):
    path = tmp_path / "a.toml"
    path.write_text(text)
    with pytest.raises(ConfigurationError, match=message):
        read_toml(path)


def test_a_byte_order_mark_is_skipped(tmp_path):
    path = tmp_path / "a.toml"
    path.write_bytes(b"\xef\xbb\xbf[run]\nrounds = 1\n")
    assert read_toml(path) == {"run": {"rounds": 1}}

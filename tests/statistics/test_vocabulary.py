import json
from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import hansa
from hansa import statistics
from hansa.data import CSV, Arrays, Client
from hansa.data.vocabulary import Vocabulary
from hansa.errors import ConfigurationError, DataError, UnknownNameError, UpdateError
from hansa.secure_sum import SECURE_SUMS, Plain
from hansa.statistics import hashes
from hansa.statistics.hashes import OwnTexts, decode_text, encode_texts, hash_of
from hansa.statistics.sums import add

TOWNS = {
    "a": ["Bern", "Genève", "Bern", None, "Zürich", "Zug", "", "Bern"],
    "b": ["Genève", "Bern", "Berne", "Genève", "[UNK]"],
    "c": ["Zürich", "Chur", "Chur", "Chur", ""],
    "d": [None],
}


def expected(clients, minimum, holders=1):
    rows = Counter(t for own in clients.values() for t in own if t is not None and t != "[UNK]")
    having = Counter(t for own in clients.values() for t in set(own))
    kept = [t for t in rows if rows[t] >= minimum and having[t] >= holders]
    return {t: (rows[t], having[t]) for t in sorted(kept, key=lambda t: (-rows[t], t))}


def told(found):
    pairs = zip(found.rows.tolist(), found.holders.tolist(), strict=True)
    return dict(zip(found.texts, pairs, strict=True))


@pytest.mark.parametrize("kind", list(SECURE_SUMS))
def test_frequent_texts_are_those_of_all_rows(kind):
    for minimum, holders in ((2, 1), (2, 2)):
        found = statistics.vocabulary(TOWNS, minimum=minimum, holders=holders, secure_sum=kind)
        assert told(found) == expected(TOWNS, minimum, holders)
        assert list(told(found)) == list(expected(TOWNS, minimum, holders))
        assert found.other + found.rows.sum() == 16
    assert found["Bern"] == 4
    with pytest.raises(UnknownNameError, match="Did you mean 'Bern'"):
        found["Berne"]
    json.dumps(found.to_json())


texts = st.one_of(st.none(), st.sampled_from(["a", "b", "ab", "[UNK]"]), st.text(max_size=8))


@settings(max_examples=60)
@given(st.lists(st.lists(texts, max_size=12), min_size=1, max_size=4), st.integers(1, 4), st.integers(1, 3))
def test_any_texts_however_they_lie(parts, minimum, holders):
    clients = {str(i): part for i, part in enumerate(parts)}
    found = statistics.vocabulary(clients, minimum=minimum, holders=holders)
    assert told(found) == expected(clients, minimum, holders)
    most = statistics.vocabulary(clients, minimum=minimum, holders=holders, most=2)
    assert most.rows.tolist() == found.rows[:2].tolist()
    assert set(most.texts) <= set(found.texts)


def test_the_server_sees_no_rare_text_and_asks_for_none(monkeypatch):
    clients = {"a": ["common"] * 5 + ["commoner"], "b": ["common"] * 5 + ["rare"]}
    totals = []

    def seen(vectors, secure_sum, label):
        totals.append(add(vectors, secure_sum, label))
        return totals[-1]

    monkeypatch.setattr(hashes, "add", seen)
    assert statistics.vocabulary(clients, minimum=10).texts == ("common",)
    assert len(totals) == hashes.ROUNDS + 1
    rare = {hash_of(t) >> 48 for t in (b"commoner", b"rare")}
    first = totals[0].reshape(256, 2)[:, 0]
    assert set(np.flatnonzero(first).tolist()) == rare | {hash_of(b"common") >> 48}
    for total in totals[1 : hashes.ROUNDS]:  # what is looked into holds the common text alone
        assert total.reshape(256, 2)[:, 0].max() == 10
        assert np.count_nonzero(total) == 1
    assert totals[-1][:2].tolist() == [2, 12]


def test_nothing_frequent_ends_early():
    found = statistics.vocabulary({"a": ["x", "y"], "b": [None, "z"]}, minimum=2)
    assert (found.texts, found.rows.tolist(), found.other) == ((), [], 3)


def test_long_texts_of_any_letters_are_read():
    own = ["\0", "ü" * 512, "x" * 1023, "\0\0", "日本"]
    clients = dict.fromkeys("abc", own)
    assert sorted(
        statistics.vocabulary(clients, minimum=3, longest=1024, secure_sum="sealed").texts
    ) == sorted(own)


@pytest.mark.parametrize(
    ("clients", "options", "error", "message"),
    [
        (TOWNS, {"minimum": 0}, ConfigurationError, "minimum must be an integer of 1 or more, got 0"),
        (TOWNS, {"minimum": 2.0}, ConfigurationError, r"got 2\.0"),
        (TOWNS, {"minimum": True}, ConfigurationError, "got True"),
        (TOWNS, {"minimum": 1, "holders": 0}, ConfigurationError, r"holders .* 1 or more"),
        (TOWNS, {"minimum": 1, "most": 0}, ConfigurationError, "most must be an integer from 1 to 4,096"),
        (TOWNS, {"minimum": 1, "longest": 2000}, ConfigurationError, r"longest .* from 1 to 1,024"),
        (TOWNS, {"minimum": 1, "longest": 5}, DataError, r"column 'x' holds 'Gen.*of 7 bytes; at most 5"),
        ({"a": ["\ud800"]}, {"minimum": 1}, DataError, "not Unicode"),
        ({}, {"minimum": 1}, ConfigurationError, "name the column"),
        (None, {"minimum": 1}, ConfigurationError, "name the column"),
        ({"a": [1, 2]}, {"minimum": 1}, ConfigurationError, "'a' gives list, not a list of texts"),
        ({"a": "text"}, {"minimum": 1}, ConfigurationError, "'a' gives str, not a list of texts"),
        ({"a": ["x"], "b": []}, {"minimum": 1, "secure_sum": "sealed"}, ConfigurationError, "hides nothing"),
        ({"a": ([[1.0]], [0])}, {"minimum": 1, "column": "c"}, ConfigurationError, "its source is Arrays"),
        ({}, {"minimum": 1, "column": "c"}, ConfigurationError, "there are no clients"),
    ],
)  # fmt: skip
def test_what_cannot_be(clients, options, error, message):
    with pytest.raises(error, match=message):
        statistics.vocabulary(clients, **options)


def test_too_many_texts_for_the_minimum_are_told_early(monkeypatch):
    monkeypatch.setattr(hashes, "MOST_CATEGORIES", 50)
    clients = {"a": [f"name {i}" for i in range(400)]}
    with pytest.raises(DataError, match=r"'x' has too many different texts .*Raise minimum towards 9"):
        statistics.vocabulary(clients, minimum=1)
    assert statistics.vocabulary(clients, minimum=9).texts == ()


def test_what_wrong_clients_say_is_not_taken_for_a_text():
    own = OwnTexts.of(["red", "blue"], 8, "here")
    asked = np.array([[0, hash_of(b"red")]])
    row = encode_texts([own], asked, 8)
    assert decode_text(3 * row, hash_of(b"red")) == "red"
    absent = np.zeros_like(row)
    for at, by in ((0, 1), (1, 1), (2, 1), (3, -(1 << 20)), (5, 3)):
        wrong = 3 * row
        wrong[at] += by
        with pytest.raises(UpdateError, match="not one text of it"):
            decode_text(wrong, hash_of(b"red"))
    for total, wanted in ((absent, b"red"), (row, b"blue"), (-row, b"red")):
        with pytest.raises(UpdateError, match="not one text of it"):
            decode_text(total, hash_of(wanted))


def test_counts_that_change_between_rounds_are_refused(monkeypatch):
    def lying(vectors, secure_sum, label):
        total = add(vectors, secure_sum, label)
        return total + ("round 3" in label) * np.eye(1, len(total), dtype=np.int64)[0]

    monkeypatch.setattr(hashes, "add", lying)
    with pytest.raises(UpdateError, match="do not fit those of the round before"):
        statistics.vocabulary(TOWNS, minimum=2)


def test_two_texts_of_one_hash_are_told(monkeypatch):
    monkeypatch.setattr(hashes, "hash_of", len)
    with pytest.raises(DataError, match="'two' and 'one', of one hash"):
        statistics.vocabulary({"a": ["one", "two"]}, minimum=1)
    with pytest.raises(UpdateError, match="two texts have one hash"):
        statistics.vocabulary({"a": ["one"], "b": ["two"]}, minimum=1)


def test_a_column_of_tables_and_statistics_of_clients_with_vocabularies(tmp_path):
    clients = []
    for name, towns in TOWNS.items():
        path = tmp_path / f"{name}.csv"
        path.write_text("town,v,y\n" + "".join(f"{t or 'NA'},{i},{i % 2}\n" for i, t in enumerate(towns)))
        source = CSV(path, "y", categorical={"town": Vocabulary(minimum=2)}, missing="keep")
        clients.append(Client(name=name, source=source))
    for secure_sum in (Plain(), hansa.Sealed()):
        found = statistics.vocabulary(clients, "town", minimum=2, secure_sum=secure_sum)
        assert found.texts == ("Bern", "Chur", "Genève", "Zürich")
        counts = statistics.total(clients, secure_sum=secure_sum)
        assert counts.columns == ("v", *(f"town={t}" for t in (*found.texts, "[UNK]")))
        assert counts.values[1:].tolist() == [*found.rows.tolist(), 3]
        assert statistics.class_counts(clients, secure_sum=secure_sum).counts.tolist() == [11, 8]
    with pytest.raises(ConfigurationError, match=r"must be the same for all of them: .*'e' has none"):
        statistics.mean([*clients, Client(name="e", source=Arrays([[1.0]], [0]))])

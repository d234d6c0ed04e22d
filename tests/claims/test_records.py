"""Rows as whole numbers, if the claims hold of them."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hansa.claims import Claims, Column
from hansa.claims.records import Records, bits_of, fingerprint, records_of, slots_for
from hansa.crypto.secret import Secret
from hansa.errors import DataError
from hansa.types import Examples, View

CLAIMS = Claims(ranges={"age": (0, 120, 0), "dose": (-1.0, 1.0)}, records=4, classes={0: 1, 1: 2, 5: 0})
TERMS = CLAIMS.terms(("age", "dose"))
X = np.array([[0, -1.0], [120, 1.0], [63, 0.1], [40, -0.5]], np.float32)
Y = np.array([1, 0, 1, 5])


def rows(x=X, y=Y):
    return Examples(x=x, y=y)


def changed(row, column, value):
    x = X.copy()
    x[row, column] = value
    return rows(x)


def test_values_are_units_above_the_lowest():
    records = records_of(rows(), TERMS)
    assert records.units[:, 0].tolist() == [0, 120, 63, 40]
    dose = TERMS.columns[1]
    assert dose.scale == 14
    assert records.units[:, 1].tolist() == [0, 2**15, round(1.1 * 2**14), 2**13]
    assert records.labels.tolist() == [1, 0, 1, 2]
    assert repr(records) == "Records(4, not shown)"


@given(st.integers(0, 2**53), st.data())
def test_bits_are_those_of_the_number(most, data):
    column = Column(name="x", low=0, high=most, scale=0)
    values = np.array(data.draw(st.lists(st.integers(0, most), min_size=1, max_size=5)), np.int64)
    bits = bits_of(values, column).astype(object)
    assert set(bits.reshape(-1).tolist()) <= {0, 1}
    assert (bits @ np.array(column.weights, object)).tolist() == values.tolist() or not most


@pytest.mark.parametrize(
    ("row", "column", "value", "told"),
    [
        (2, 0, -1, "'ranges'.*1 of 4 values of column age from 0 to 120 are out of range.*row 3"),
        (1, 0, 121, "'ranges'.*age"),
        (1, 0, np.inf, "'ranges'.*age"),
        (1, 0, -np.inf, "'ranges'.*age"),
        (0, 0, 3e38, "'ranges'.*age"),
        (1, 1, 1.001, "'ranges'.*dose"),
        (0, 1, -1.001, "'ranges'.*dose"),
        (3, 1, np.nan, r"missing \(NaN\).*missing='drop'.*row 4"),
    ],
)
def test_a_value_out_of_range_is_refused_and_not_shown(row, column, value, told):
    with pytest.raises(DataError, match=told) as error:
        records_of(changed(row, column, value), TERMS)
    assert str(value) not in str(error.value).replace("row 1", "")


@pytest.mark.parametrize("high", [0.1, 0.7, 6.2, 1 / 3, 4096.3])
def test_the_end_of_a_range_is_in_it_also_in_float32(high):
    terms = Claims(ranges=(-high, high), classes=(0,)).terms(("x",))
    values = np.array([[high], [-high]], np.float32)
    column = terms.columns[0]
    units = records_of(Examples(x=values, y=np.zeros(2, int)), terms).units[:, 0]
    assert units.tolist() == [column.high - column.low, 0]


@pytest.mark.parametrize("dtype", [np.uint8, np.int8, np.int64, np.float64])
def test_other_types_of_features(dtype):
    x = np.array([[0, 1], [120, -1 if dtype != np.uint8 else 1]]).astype(dtype)
    terms = Claims(ranges={"age": (0, 120, 0), "dose": (-1, 1, 0)}, classes=(0,)).terms(("age", "dose"))
    records = records_of(Examples(x=x, y=np.zeros(2, int)), terms)
    assert records.units[:, 0].tolist() == [0, 120]


def test_pictures_are_flattened_and_views_are_read():
    x = np.arange(24, dtype=np.uint8).reshape(2, 3, 4)
    terms = Claims(ranges=(0, 255, 0), classes=(0, 1)).terms(tuple("abcdefghijkl"))
    shared = Examples(x=x, y=np.array([0, 1]))
    records = records_of(View(base=shared, index=np.array([1, 0])).whole(), terms)
    assert records.units.tolist() == [list(range(12, 24)), list(range(12))]


@pytest.mark.parametrize(
    ("y", "told"),
    [
        ([1, 0, 1, 2], r"1 of 4 labels are none of \[0, 1, 5\].*row 4"),
        ([1, 0, 5, 5], "class 1 has 1 rows, of 2 or more"),
        ([1, 1, 1, 1], "class 0 has 0 rows, of 1 or more"),
        ([0.5, 0, 1, 1], "not classes"),
    ],
)
def test_labels_that_are_not_as_claimed(y, told):
    with pytest.raises(DataError, match=f"'classes'.*{told}"):
        records_of(rows(y=np.array(y)), TERMS)


def test_labels_of_other_forms():
    for y in (np.array([1.0, 0, 1, 1]), np.array([[1.0], [0], [1], [1]]), np.eye(2)[[1, 0, 1, 1]]):
        assert records_of(rows(y=y), TERMS).labels.tolist() == [1, 0, 1, 1]


def test_labels_that_are_numbers():
    terms = Claims(ranges=(-1, 120, 0), target=(0, 9, 0), records=4).terms(("age", "dose"))
    records = records_of(rows(y=np.array([[0.0], [9.0], [3.2], [1.0]])), terms)
    assert records.units[:, 2].tolist() == [0, 9, 3, 1]
    with pytest.raises(DataError, match=r"'target'.*out of range"):
        records_of(rows(y=np.array([0.0, 10.0, 3.0, 1.0])), terms)
    with pytest.raises(DataError, match="not one number"):
        records_of(rows(y=np.zeros((4, 2))), terms)


def test_too_few_rows_or_other_columns():
    with pytest.raises(DataError, match=r"'records'.*3 rows, of 4 or more"):
        records_of(rows(X[:3], Y[:3]), TERMS)
    with pytest.raises(DataError, match="2 features; there are 1"):
        records_of(rows(X[:, :1]), TERMS)
    with pytest.raises(DataError, match="one array each"):
        records_of(rows({"a": X}), TERMS)


@pytest.mark.parametrize(("count", "slots"), [(1, 16), (16, 16), (17, 32), (512, 512), (513, 1024)])
def test_slots_tell_the_power_of_two(count, slots):
    assert slots_for(count, exact=False) == slots
    assert slots_for(count, exact=True) == count


def test_a_fingerprint_is_of_records_terms_and_key():
    records = records_of(rows(), TERMS)
    other = Claims(ranges=(-1, 120), records=4, classes=(0, 1, 5)).terms(("age", "dose"))
    moved = Records(records.units[::-1], records.labels[::-1])
    relabelled = Records(records.units, records.labels[::-1])
    key = Secret(bytes(32))
    found = [
        fingerprint(records, TERMS, key),
        fingerprint(records, TERMS, Secret(b"k" * 32)),
        fingerprint(records, other, key),
        fingerprint(moved, TERMS, key),
        fingerprint(relabelled, TERMS, key),
    ]
    assert len(set(found)) == 5
    assert fingerprint(records_of(rows(), TERMS), TERMS, key) == found[0]

"""What a user declares."""

import dataclasses

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import hansa
from hansa.claims import Claims, Range
from hansa.claims.claims import columns_of, indicators_of
from hansa.errors import ConfigurationError, UnknownNameError
from hansa.types import DataCard


def claims(**settings):
    return Claims(**{"ranges": (0, 10), "classes": (0, 1), **settings})


@given(st.floats(-1e9, 1e9), st.floats(1e-6, 1e9), st.integers(1, 32))
def test_a_range_without_a_scale_is_as_fine_as_its_bits_allow(low, width, resolution):
    column = Range(low, low + width).column("x", resolution)
    assert len(column.weights) <= resolution
    assert abs(column.low - low * 2.0**column.scale) <= 0.5
    ends = [round(end * 2.0 ** (column.scale + 1)) for end in (low, low + width)]
    finer = ends[1] - ends[0] < 2**resolution and max(map(abs, ends)) <= 2**53
    assert not finer or column.scale == 60


def test_ranges_in_all_forms_are_the_same():
    forms = [(0, 120), [0, 120], Range(0, 120), Range(0.0, 120.0)]
    made = [claims(ranges={"age": one}).terms(("age",)) for one in forms]
    assert len({terms.hash for terms in made}) == 1
    assert made[0].columns[0].scale == 9  # 120 · 2^9 is below 2^16
    assert claims(ranges={"age": (0, 120, 0)}).terms(("age",)).columns[0].high == 120


def test_one_range_for_all_or_for_all_others():
    names = ("a", "b", "c")
    assert [c.high for c in claims(ranges=(0, 3, 0)).terms(names).columns] == [3, 3, 3]
    mixed = claims(ranges={"b": (-1, 1, 0), "*": (0, 3, 0)}).terms(names)
    assert [(c.name, c.low) for c in mixed.columns] == [("a", 0), ("b", -1), ("c", 0)]


def test_indicators_of_a_table_are_0_or_1_unless_told_otherwise():
    source = hansa.data.CSV("x.csv", "y", categorical={"cp": ("1", "2")})
    columns = ("age", "cp=1", "cp=2", "cpu=3")
    indicators = indicators_of(source, columns)
    assert indicators == {"cp=1", "cp=2"}
    made = claims(ranges={"age": (0, 9, 0), "cpu=3": (0, 5, 0), "cp=2": (0, 4, 0)}).terms(columns, indicators)
    assert [c.high for c in made.columns] == [9, 1, 4, 5]
    assert indicators_of(object(), columns) == frozenset()


def test_every_feature_needs_a_range():
    with pytest.raises(ConfigurationError, match="no range for 'b', 'c'"):
        claims(ranges={"a": (0, 1)}).terms(("a", "b", "c"))
    with pytest.raises(UnknownNameError, match="Did you mean 'age'"):
        claims(ranges={"agee": (0, 1), "*": (0, 1)}).terms(("age", "dose"))


def test_classes_in_all_forms():
    assert claims(classes=[1, 0]).terms(()).classes == ((0, 0), (1, 0))
    assert claims(classes={"0": 20, "1": 5}).terms(()).classes == ((0, 20), (1, 5))
    assert claims(classes=tuple(np.unique([3, 1, 3]))).terms(()).classes == ((1, 0), (3, 0))
    made = claims(classes={0: 20, 1: 5}, target=None)
    assert dataclasses.replace(made, same_as="there").terms(()) == made.terms(())


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"classes": None}, "either classes"),
        ({"target": (0, 1)}, "either classes"),
        ({"classes": []}, "either classes"),
        ({"classes": "01"}, "list of labels"),
        ({"classes": 3}, "list of labels"),
        ({"classes": [0.5]}, "whole numbers"),
        ({"classes": [True]}, "whole numbers"),
        ({"classes": [[0]]}, "whole numbers"),
        ({"classes": {"one": 3}}, "whole numbers"),
        ({"classes": [0, 0]}, "twice"),
        ({"classes": {0: -1}}, "fewest records"),
        ({"classes": {0: "3"}}, "fewest records"),
        ({"records": 0}, "records"),
        ({"records": "10"}, "records"),
        ({"exact_count": 1}, "exact"),
        ({"resolution": 0}, "resolution"),
        ({"resolution": 33}, "resolution"),
        ({"same_as": 3}, "earlier run"),
        ({"ranges": None}, "range of"),
        ({"ranges": (0,)}, "range of"),
        ({"ranges": "01"}, "range of"),
        ({"ranges": (1, 0)}, "smaller first"),
        ({"ranges": (0, float("nan"))}, "from a number"),
        ({"ranges": (0, 10**400)}, "from a number"),
        ({"ranges": (False, 1)}, "from a number"),
        ({"ranges": (0, 1, 0.5)}, "scale"),
        ({"ranges": {3: (0, 1)}}, "names of columns"),
    ],
    ids=str,
)
def test_what_claims_cannot_be(settings, told):
    with pytest.raises(ConfigurationError, match=told):
        claims(**settings)


def test_a_scale_that_is_too_fine_for_its_range():
    with pytest.raises(ConfigurationError, match="smaller scale"):
        claims(ranges=(0, 10**6, 60)).terms(("a",))


def test_columns_have_their_names_or_numbers():
    assert columns_of(DataCard(examples={}, features=(2,), columns=("a", "b"))) == ("a", "b")
    assert columns_of(DataCard(examples={}, features=(2, 3))) == tuple(f"feature {i}" for i in range(6))
    assert columns_of(DataCard(examples={}, features=(2, 3), columns=("r", "g", "b")))[5] == "feature 5"
    with pytest.raises(ConfigurationError, match="one array"):
        columns_of(DataCard(examples={}, features={"a": (2,)}))
    with pytest.raises(ConfigurationError, match="one array"):
        columns_of(DataCard(examples={}, features=((2,), (3,))))


def test_declaring_needs_no_extra(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "hansa.claims.certificate", None)
    assert claims().records == 1
    with pytest.raises(hansa.errors.MissingExtraError, match="secure"):
        _ = hansa.claims.certify

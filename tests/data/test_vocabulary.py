import json

import numpy as np
import pytest

from hansa.data import CSV, Client, Parquet, Vocabulary
from hansa.data.client import as_clients
from hansa.data.partition import label_counts
from hansa.errors import ConfigurationError, DataError

TOWNS = "town,v,y\nBern,1,0\n?,2,1\nChur,3,0\nUnheard of,4,1\n1.0,5,0\n"


@pytest.fixture
def towns(tmp_path):
    path = tmp_path / "towns.csv"
    path.write_text(TOWNS)
    return path


def source(path, *, of=CSV, drop_first=False, **options):
    return of(path, "y", categorical={"town": Vocabulary(**options)}, drop_first=drop_first, missing="keep")


def test_known_categories_and_a_place_for_all_others(towns):
    known = source(towns, categories=["Chur", "Bern", "1"])
    rows = known.load()
    assert rows.columns == ("v", "town=Chur", "town=Bern", "town=1", "town=[UNK]")
    gap = [np.nan] * 4
    expected = [[0, 1, 0, 0], gap, [1, 0, 0, 0], [0, 0, 0, 1], [0, 0, 0, 1]]  # "1.0" is not "1"
    np.testing.assert_array_equal(rows.x[:, 1:], expected)
    first = source(towns, categories=["Chur", "Bern"], drop_first=True).load()
    assert first.columns == ("v", "town=Bern", "town=[UNK]")
    assert first.x[[0, 2, 3], 1:].tolist() == [[1, 0], [0, 0], [0, 1]]


def test_categories_are_found_or_given(towns):
    open_source = source(towns, minimum=3, most=9)
    assert list(open_source.vocabularies) == ["town"]
    with pytest.raises(ConfigurationError, match=r"'town' are found over all clients.*categories=\["):
        open_source.load()
    found = open_source.with_categories({"town": ("Bern",)})
    assert found.vocabularies == {}
    assert found.load().columns == ("v", "town=Bern", "town=[UNK]")
    assert found.describe() != open_source.describe()
    json.dumps(found.describe())
    assert open_source.describe()["categorical"] == [
        ["town", {"minimum": 3, "holders": 1, "most": 9, "longest": 64}]
    ]


def test_texts_of_typed_columns_are_those_of_a_csv_file(tmp_path):
    pa = pytest.importorskip("pyarrow")
    pq = pytest.importorskip("pyarrow.parquet")
    columns = {
        "whole": [1.0, 2.0, None],
        "int": [1, 2, None],
        "half": [0.5, 1e20, float("nan")],
        "flag": [True, False, None],
        "text": ["1.0", "", "x"],
        "list": [[1], [], None],
        "y": [0, 1, 1],
    }
    pq.write_table(pa.table(columns), tmp_path / "t.parquet")
    table = source(tmp_path / "t.parquet", of=Parquet, minimum=1)
    assert table.texts(["whole", "int", "half", "flag", "text"]) == {
        "whole": ["1", "2", None],
        "int": ["1", "2", None],
        "half": ["0.5", "100000000000000000000", None],
        "flag": ["True", "False", None],
        "text": ["1.0", "", "x"],
    }
    with pytest.raises(DataError, match=r"column 'list', row 1 holds a list, not a text.*\(drop\)"):
        table.texts(["list"])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "needs minimum"),
        ({"minimum": 0}, "minimum must be an integer of 1 or more, got 0"),
        ({"minimum": "2"}, "minimum must be an integer of 1 or more, got '2'"),
        ({"minimum": 2, "holders": False}, "holders must be"),
        ({"minimum": 2, "most": 4097}, "most must be an integer from 1 to 4,096"),
        ({"minimum": 2, "longest": 0}, "longest must be an integer from 1 to 1,024"),
        ({"categories": []}, "different categories, 1 or more"),
        ({"categories": ["a", "a"]}, "different categories"),
        ({"categories": "ab"}, "list of texts, got 'ab'"),
        ({"categories": ["a", "[UNK]"]}, "the name of all others|stands for all others"),
    ],
)
def test_vocabularies_that_cannot_be(options, message):
    with pytest.raises(ConfigurationError, match=message):
        Vocabulary(**options)


def test_a_mapping_is_no_list_of_categories(towns):
    with pytest.raises(ConfigurationError, match=r"categorical\['town'\] must be a list of texts, got {"):
        CSV(towns, "y", categorical={"town": {"minimum": 2}})


def test_clients_of_a_federation_share_their_vocabularies(towns):
    one, two = (Client(name=f"c{i}", source=source(towns, minimum=i)) for i in (1, 2))
    with pytest.raises(ConfigurationError, match=r"the same for all of them: 'c1' has .*'minimum': 2"):
        as_clients([one, two])
    known = Client(name="k", source=source(towns, categories=["Bern"]))
    with pytest.raises(ConfigurationError, match="'k' has none"):
        as_clients([one, known])
    assert len(as_clients([known])) == 1


def test_labels_are_counted_without_categories(towns):
    assert label_counts([Client(name="a", source=source(towns, minimum=2))]) == {"a": {"0": 3, "1": 2}}

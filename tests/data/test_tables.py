import json
import subprocess
import sys

import numpy as np
import pytest

from hansa.data import CSV, Parquet
from hansa.errors import ConfigurationError, DataError, MissingExtraError, UnknownNameError

HEART = "age,cp,chol,num,site\n63,1,233,0,a\n67,4,286.5,2,b\n41,2.0,?,1,a\n"
CP = {"cp": ("1", "2", "4")}


@pytest.fixture
def heart(tmp_path):
    path = tmp_path / "heart.csv"
    path.write_text(HEART)
    return path


def write(tmp_path, text, encoding="utf-8"):
    path = tmp_path / "table.csv"
    path.write_bytes(text.encode(encoding))
    return path


def test_numeric_columns_then_one_hot_columns(heart):
    examples = CSV(heart, "num", categorical=CP, drop=("site",), missing="keep", positive=">0").load()
    assert examples.columns == ("age", "chol", "cp=1", "cp=2", "cp=4")
    np.testing.assert_array_equal(
        examples.x,
        np.array([[63, 233, 1, 0, 0], [67, 286.5, 0, 0, 1], [41, np.nan, 0, 1, 0]], dtype=np.float32),
    )
    assert examples.x.dtype == np.float32
    assert examples.y.tolist() == [0, 1, 1]
    assert examples.y.dtype == np.int64


def test_drop_first_and_order_of_features(heart):
    examples = CSV(
        heart, "num", features=("chol", "age"), categorical=CP, drop_first=True, missing="drop"
    ).load()
    assert examples.columns == ("chol", "age", "cp=2", "cp=4")
    assert examples.x.tolist() == [[233, 63, 0, 0], [286.5, 67, 0, 1]]
    assert examples.y.tolist() == [0, 2]


def test_missing_values_are_refused_by_default_with_their_place(heart):
    with pytest.raises(
        DataError, match=r"column 'chol' has 1 missing values.*row 3 \(line 4\).*missing='drop'.*Impute"
    ):
        CSV(heart, "num", features=("age", "chol")).load()


def test_a_missing_label_cannot_be_kept(tmp_path):
    path = write(tmp_path, "a,y\n1,0\n2,\n")
    with pytest.raises(DataError, match="column 'y' has 1 missing"):
        CSV(path, "y", missing="keep").load()
    with pytest.raises(DataError, match="column 'y' has 1 missing"):
        CSV(path, "y", missing="keep", positive="0").load()
    assert CSV(path, "y", missing="drop").load().y.tolist() == [0]


def test_a_missing_category_is_missing_in_every_column(tmp_path):
    path = write(tmp_path, "c,y\nr,0\nNA,1\n")
    examples = CSV(path, "y", categorical={"c": ("r", "g")}, missing="keep").load()
    assert np.isnan(examples.x).tolist() == [[False, False], [True, True]]


def test_a_value_outside_the_categories(heart):
    with pytest.raises(
        DataError, match=r"column 'cp', row 2 \(line 3\) holds '4', none of its categories '1', '2'"
    ):
        CSV(heart, "num", features=("age",), categorical={"cp": ("1", "2")}).load()


def test_text_in_a_numeric_column(heart):
    with pytest.raises(DataError, match=r"column 'site', row 1 \(line 2\) holds 'a', not a number"):
        CSV(heart, "num", missing="keep").load()


def test_python_only_number_forms_are_not_numbers(tmp_path):
    with pytest.raises(DataError, match="'1_000', not a number"):
        CSV(write(tmp_path, "a,y\n1_000,0\n"), "y").load()


@pytest.mark.parametrize(
    ("positive", "expected"),
    [(None, [0, 1, 2, 3]), (2, [0, 0, 1, 0]), (">= 2", [0, 0, 1, 1]), ("<1", [1, 0, 0, 0]),
     ("<=1", [1, 1, 0, 0]), (">1.5", [0, 0, 1, 1]), ("==3", [0, 0, 0, 1]), ("2", [0, 0, 1, 0])],
)  # fmt: skip
def test_label_rules(tmp_path, positive, expected):
    examples = CSV(write(tmp_path, "a,y\n1,0\n1,1\n1,2\n1,3\n"), "y", positive=positive).load()
    assert examples.y.tolist() == expected
    assert examples.y.dtype == np.int64


def test_text_labels_and_float_labels(tmp_path):
    path = write(tmp_path, "a,y,z\n1,good,1.5\n2,bad,2\n")
    assert CSV(path, "y", positive="bad", drop=["z"]).load().y.tolist() == [0, 1]
    assert CSV(path, "z", drop=["y"]).load().y.dtype == np.float32
    with pytest.raises(DataError, match="'good', not a number"):
        CSV(path, "y", positive=1).load()


def test_weights_spaces_delimiter_and_byte_order_mark(tmp_path):
    path = write(tmp_path, "\ufeffa ; y ; w\n 1 ; 0 ; 0.5 \n\n2;1;2\n")
    examples = CSV(path, "y", weight="w", delimiter=";").load()
    assert examples.columns == ("a",)
    assert examples.sample_weight.tolist() == [0.5, 2.0]


def test_an_unknown_column_is_told_with_the_nearest(heart):
    with pytest.raises(UnknownNameError, match=r"'nun'.*Did you mean 'num'"):
        CSV(heart, "nun").load()


@pytest.mark.parametrize(
    "options",
    [{"drop": ("sitte",)}, {"weight": "sitte"}, {"features": ("sitte",)}, {"categorical": {"sitte": ("a",)}}],
)
def test_misspelt_columns_are_told_before_bad_cells(heart, options):
    with pytest.raises(UnknownNameError, match="Did you mean 'site'"):
        CSV(heart, "num", **options).load()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "is empty"),
        ("a,y\n", "has a header and no rows"),
        ("a,y\n1,2,3\n", "line 2 has 3 cells, the header has 2"),
        ("a,y\n\n1\n", "line 3 has 1 cells"),
        ("a,a,y\n1,2,3\n", "names 'a' more than once"),
        (",a,y\n0,1,2\n", "column 1 has no name"),
        ('a,y\n"1,2\n', "cannot be read"),
        ("y\n1\n", "no feature column"),
    ],
)
def test_malformed_files(tmp_path, text, message):
    with pytest.raises(DataError, match=message):
        CSV(write(tmp_path, text), "y").load()


def test_every_row_has_a_gap(tmp_path):
    with pytest.raises(DataError, match="each of the 1 rows"):
        CSV(write(tmp_path, "a,y\n,1\n"), "y", missing="drop").load()


def test_wrong_encoding_and_no_file(tmp_path):
    path = write(tmp_path, "ä,y\n1,2\n", encoding="latin-1")
    with pytest.raises(DataError, match="not text in utf-8"):
        CSV(path, "y").load()
    assert CSV(path, "y", encoding="latin-1").load().columns == ("ä",)
    with pytest.raises(DataError, match="does not exist"):
        CSV(tmp_path / "none.csv", "y").load()
    with pytest.raises(DataError, match="is not a file"):
        CSV(tmp_path, "y").load()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"missing": "ignore"}, "unknown value of missing"),
        ({"delimiter": ",,"}, "one character"),
        ({"encoding": "utf-99"}, "not an encoding of text"),
        ({"encoding": "a\0b"}, "not an encoding of text"),
        ({"encoding": "base64"}, "not an encoding of text"),
        ({"encoding": 8}, "not an encoding of text"),
        ({"na_values": "?"}, "list of texts"),
        ({"features": "age"}, "list of column names"),
        ({"features": ("a", "a")}, "more than once"),
        ({"features": ("y",)}, "also the target"),
        ({"categorical": {"a": ("x",)}, "drop": ("a",)}, "also in drop"),
        ({"categorical": {"a": "xy"}}, "list of texts, got 'xy'"),
        ({"categorical": {"a": ("x", "x")}}, "different categories"),
        ({"categorical": {"a": ("x",)}, "drop_first": True}, "2 or more"),
        ({"categorical": ["a"]}, "must map"),
        ({"drop": ("y",)}, "both are needed"),
        ({"weight": "y"}, "both target and weight"),
        ({"positive": "> two"}, "comparison without a number"),
        ({"positive": [1]}, "positive must be"),
    ],
)
def test_declarations_that_cannot_work(options, message):
    with pytest.raises(ConfigurationError, match=message):
        CSV("x.csv", "y", **options)


def test_describe_follows_the_file_and_the_options(heart):
    before = CSV(heart, "num", categorical=CP).describe()
    json.dumps(before)
    assert before["file"]["sha256"] is not None
    assert before != CSV(heart, "num", categorical={"cp": ("2", "1", "4")}).describe()
    heart.write_text(HEART + "1,1,1,0,a\n")
    assert before != CSV(heart, "num", categorical=CP).describe()


def test_parquet_gives_the_same_rows_as_csv(tmp_path, heart):
    pa = pytest.importorskip("pyarrow")
    pq = pytest.importorskip("pyarrow.parquet")
    path = tmp_path / "heart.parquet"
    columns = {"age": [63, 67, 41], "cp": [1, 4, 2], "chol": [233.0, 286.5, None], "num": [0, 2, 1],
               "site": ["a", "b", "a"]}  # fmt: skip
    pq.write_table(pa.table(columns), path)
    options = {"categorical": {**CP, "site": ("a", "b")}, "missing": "keep"}
    one, two = CSV(heart, "num", **options).load(), Parquet(path, "num", **options).load()
    np.testing.assert_array_equal(one.x, two.x)
    np.testing.assert_array_equal(one.y, two.y)
    assert one.columns == two.columns
    assert one.y.dtype == two.y.dtype
    with pytest.raises(DataError, match=r"column 'chol' has 1 missing values, the first in row 3\."):
        Parquet(path, "num", drop=("site",)).load()
    with pytest.raises(DataError, match="as Parquet"):
        Parquet(heart, "num").load()


def test_parquet_without_pyarrow_names_the_extra(monkeypatch, heart):
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(MissingExtraError, match=r"\.\[parquet\]"):
        Parquet(heart, "num").load()


def test_importing_the_stage_is_light():
    code = (
        "import sys, hansa.data, hansa.data.prepare, hansa.data.cards;"
        "heavy = {'keras', 'jax', 'tensorflow', 'torch', 'pandas', 'pyarrow', 'sklearn'} & set(sys.modules);"
        "sys.exit(str(heavy) if heavy else 0)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize(("positive", "other"), [("yes", "Yes"), ("yes", "YES"), ("1", "1.0")])
def test_a_label_spelt_otherwise_is_not_silently_negative(tmp_path, positive, other):
    path = write(tmp_path, f"a,y\n1,{positive}\n2,no\n3,{other}\n")
    with pytest.raises(DataError, match=rf"row 3 .*'{other}', but positive is '{positive}'.*spelt alike"):
        CSV(path, "y", positive=positive).load()


def test_text_labels_without_a_rule_say_how_to_give_one(tmp_path):
    path = write(tmp_path, "a,y\n1,yes\n2,no\n")
    with pytest.raises(DataError, match=r"'yes', not a number. It is the target: .*positive = \"yes\""):
        CSV(path, "y").load()


def test_a_file_divided_by_another_delimiter_says_which(tmp_path):
    path = write(tmp_path, "a;y\n1;0\n")
    with pytest.raises(DataError, match=r"one column, 'a;y': .*Set delimiter = ';'"):
        CSV(path, "y").load()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"features": 3}, "features must be a list of column names, got 3"),
        ({"drop": 3}, "drop must be a list of column names, got 3"),
        ({"na_values": 3}, "na_values must be a list of texts, got 3"),
        ({"categorical": {"s": 3}}, r"categorical\['s'\] must be a list of texts, got 3"),
        ({"path": None}, "path must be the path of a file, got None"),
        ({"path": b"rows.csv"}, "path must be the path of a file"),
    ],
)
def test_options_of_another_type(options, message):
    with pytest.raises(ConfigurationError, match=message):
        CSV(**{"path": "rows.csv", "target": "y", **options})


@pytest.mark.parametrize("label", ["99999999999999999999999", "-9007199254740994"])
def test_labels_too_large_to_be_told_apart(tmp_path, label):
    with pytest.raises(DataError, match=r"column 'y' holds whole numbers above 2\*\*53"):
        CSV(write(tmp_path, f"a,y\n1,{label}\n"), "y").load()
    assert CSV(write(tmp_path, "a,y\n1,9007199254740992\n"), "y").load().y.tolist() == [2**53]


def test_a_hundred_thousand_columns(tmp_path):
    names = [f"c{i}" for i in range(100_000)]
    text = ",".join(["y", *names]) + "\n" + ",".join(["1"] * 100_001) + "\n"
    assert CSV(write(tmp_path, text), "y").load().columns == tuple(names)

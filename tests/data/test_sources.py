import json

import numpy as np
import pytest

from hansa.data.describe import describe_array, describe_callable, describe_file
from hansa.data.sources import Arrays, Rows, Source
from hansa.errors import ConfigurationError, DataError


def test_types_of_features_labels_and_weights():
    examples = Arrays([[1.5], [2.0]], [0.5, 1], sample_weight=[1, 2]).load()
    assert (examples.x.dtype, examples.y.dtype, examples.sample_weight.dtype) == (np.float32,) * 3
    tokens = Arrays(np.array([[1], [2]], dtype=np.int32), np.array([0, 1], dtype=np.uint8)).load()
    assert (tokens.x.dtype, tokens.y.dtype) == (np.int32, np.uint8)
    flags = Arrays(np.array([[True], [False]]), np.array([True, False])).load()
    assert (flags.x.dtype, flags.y.dtype) == (np.float32, np.int64)
    assert Arrays(np.array([[1]], dtype=">i4"), [0]).load().x.dtype == np.dtype("=i4")


def test_structures_are_kept_and_lists_become_one_array():
    examples = Arrays({"image": np.zeros((2, 3)), "age": [1, 2]}, ([0, 1], [1.0, 2.0])).load()
    assert examples.x["age"].dtype.kind == "i"
    assert isinstance(examples.y, tuple)
    assert Arrays([[1, 2], [3, 4]], [0, 1]).load().x.shape == (2, 2)


@pytest.mark.parametrize(
    ("x", "y", "options", "message"),
    [
        ([[1.0], [2.0]], [0], {}, "x has 2, y has 1"),
        ({"a": [1.0], "b": [1.0, 2.0]}, [0], {}, r"x\['b'\] has 2"),
        ([[1.0]], [0], {"sample_weight": [1.0, 2.0]}, "sample_weight has 2"),
        ([[1.0]], [0], {"sample_weight": [[1.0]]}, r"\(1, 1\)"),
        (np.array([[1, "a"]], dtype=object), [0], {}, "x holds values of type object"),
        ([["a"]], [0], {}, "expected numbers"),
        ([[1.0]], ["yes"], {}, "y holds values of type"),
        ([[1.0], [1.0, 2.0]], [0, 1], {}, "cannot be read as one array"),
        (np.array([1j]), [0], {}, "complex128"),
        (3.0, [0], {}, "single number"),
        ((), [0], {}, "empty tuple"),
        ({1: [1.0]}, [0], {}, "must be strings"),
        ([[1.0]], None, {}, "y is None"),
        ([[1.0]], [0], {"columns": ["a", "b"]}, "2 names, but x has 1"),
        ([[1.0, 2.0]], [0], {"columns": ["a", "a"]}, "more than once"),
        ({"a": [[1.0]]}, [0], {"columns": ["a"]}, "no such axis"),
    ],
)
def test_malformed_arrays_are_refused(x, y, options, message):
    with pytest.raises(DataError, match=message):
        Arrays(x, y, **options)


def test_columns_as_text_are_refused():
    with pytest.raises(ConfigurationError, match="sequence of names"):
        Arrays([[1.0]], [0], columns="a")


def test_a_data_frame_gives_its_column_names():
    pd = pytest.importorskip("pandas")
    examples = Arrays(pd.DataFrame({"age": [1.0], "chol": [2.0]}), pd.Series([1])).load()
    assert examples.columns == ("age", "chol")
    with pytest.raises(DataError, match="object"):
        Arrays(pd.DataFrame({"age": [1.0], "sex": ["f"]}), pd.Series([1]))


def test_rows_share_memory_until_loaded_and_describe_only_their_own():
    examples = Arrays(np.arange(8.0).reshape(4, 2), [0, 1, 0, 1], columns=("a", "b")).load()
    rows = Rows(examples, np.array([1, 3]))
    assert rows.examples is examples
    assert rows.load().x.tolist() == [[2.0, 3.0], [6.0, 7.0]]
    alone = Arrays(rows.load().x, rows.load().y, columns=("a", "b")).describe()
    assert {**rows.describe(), "kind": ""} == {**alone, "kind": ""}
    assert isinstance(rows, Source)


def test_descriptions_are_json_and_follow_the_data(tmp_path):
    one = Arrays([[1.0]], [0]).describe()
    json.dumps(one)
    assert one != Arrays([[1.5]], [0]).describe()
    assert one == Arrays(np.array([[1.0]], dtype=">f8"), [0]).describe()
    assert describe_array(np.arange(6).reshape(2, 3).T) == describe_array(np.arange(6).reshape(2, 3).T.copy())
    assert describe_array(np.zeros((0, 3)))["shape"] == [0, 3]
    file = tmp_path / "a"
    file.write_bytes(b"abc")
    assert describe_file(file)["sha256"].startswith("ba7816bf")
    assert describe_file(tmp_path / "none")["sha256"] is None
    assert describe_callable(describe_file) == "hansa.data.describe:describe_file"


def test_masked_values_are_not_taken_as_values():
    x = np.ma.masked_array(np.ones((2, 2)), mask=[[True, False], [False, False]])
    with pytest.raises(DataError, match=r"x is a masked array with 1 masked values.*filled\(numpy.nan\)"):
        Arrays(x, [0, 1])
    assert Arrays(np.ma.masked_array([[1.0], [2.0]]), [0, 1]).load().x.tolist() == [[1.0], [2.0]]

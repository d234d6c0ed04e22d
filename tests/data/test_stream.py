import json
import os

import numpy as np
import pytest

from hansa.data import Stream
from hansa.errors import ConfigurationError, DataError


def batches():
    for start in (0, 2, 4):
        rows = np.arange(start, min(start + 2, 5), dtype=np.float64)
        yield rows[:, None], (rows % 2).astype(np.int64), rows + 1


def test_a_function_is_read_anew_at_every_load():
    stream = Stream(batches)
    for _ in range(2):
        examples = stream.load()
        assert examples.x.tolist() == [[0.0], [1.0], [2.0], [3.0], [4.0]]
        assert examples.y.tolist() == [0, 1, 0, 1, 0]
        assert examples.sample_weight.tolist() == [1.0, 2.0, 3.0, 4.0, 5.0]


def test_dict_and_tuple_batches():
    examples = Stream([({"a": [1.0], "b": [[2]]}, ([0], [1.5]))] * 3).load()
    assert examples.x["b"].shape == (3, 1)
    assert examples.y[1].tolist() == [1.5] * 3


def test_a_generator_object_is_refused():
    with pytest.raises(ConfigurationError, match="Pass the function"):
        Stream(batches())


@pytest.mark.parametrize("data", [3, "data.csv", {"x": [1]}])
def test_what_is_not_a_stream(data):
    with pytest.raises(ConfigurationError, match="cannot read batches"):
        Stream(data)


def test_max_examples_must_be_positive():
    with pytest.raises(ConfigurationError, match="max_examples"):
        Stream(batches, max_examples=0)


def endless(rows):
    def forever():
        while True:
            yield np.zeros((rows, 1)), np.zeros(rows)

    return forever


@pytest.mark.parametrize("rows", [0, 1, 7])
def test_an_endless_function_is_refused(rows):
    with pytest.raises(DataError, match="more than max_examples=100"):
        Stream(endless(rows), max_examples=100).load()


def test_max_examples_itself_is_allowed():
    assert len(Stream(batches, max_examples=5).load()) == 5


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ([], "no batches"),
        ([np.zeros((2, 2))], "batch 0 is a ndarray"),
        ([([1.0],)], "batch 0 is a tuple of 1 parts"),
        ([([[1.0]], [0]), ([[1.0, 2.0]], [0])], "batch 1 has rows of the form"),
        ([([[1.0]], [0]), ([[1.0]], [0], [1.0])], "batch 1 has rows of the form"),
        ([([[1.0]], [0, 1])], "batch 0: all arrays"),
        ([([["a"]], [0])], "batch 0: x holds"),
        (lambda: 3, "returned a int"),
    ],
)
def test_malformed_batches(given, message):
    with pytest.raises(DataError, match=message):
        Stream(given).load()


class Batches:
    def __init__(self, num_batches):
        self.num = num_batches

    @property
    def num_batches(self):
        if self.num == "missing":
            raise NotImplementedError
        return self.num

    def __getitem__(self, i):
        return np.full((2, 1), i), np.array([0, 1])


def test_an_indexed_dataset_is_read_to_its_end():
    assert Stream(Batches(3)).load().x.ravel().tolist() == [0, 0, 1, 1, 2, 2]


@pytest.mark.parametrize("count", [None, "missing"])
def test_an_indexed_dataset_without_an_end(count):
    with pytest.raises(DataError, match="no end"):
        Stream(Batches(count)).load()


def test_describe_names_the_function():
    described = Stream(batches).describe()
    json.dumps(described)
    assert described["data"].endswith(":batches")
    assert Stream(Batches(1)).describe()["data"].endswith(":Batches")


def test_tf_data_and_py_dataset(monkeypatch):
    monkeypatch.setenv("KERAS_BACKEND", os.environ.get("KERAS_BACKEND", "jax"))
    keras = pytest.importorskip("keras")
    tf = pytest.importorskip("tensorflow")

    class Sequence(keras.utils.PyDataset):
        def __len__(self):
            return 2

        def __getitem__(self, index):
            return np.full((2, 3), index), np.array([index, 0])

    assert Stream(Sequence()).load().y.tolist() == [0, 0, 1, 0]
    dataset = tf.data.Dataset.from_tensor_slices(({"a": np.ones((5, 2))}, np.arange(5))).batch(2)
    examples = Stream(dataset).load()
    assert examples.x["a"].shape == (5, 2)
    assert examples.y.tolist() == [0, 1, 2, 3, 4]
    with pytest.raises(DataError, match="endless"):
        Stream(dataset.repeat()).load()

import numpy as np
import pytest

from hansa.data import CSV, Arrays, Client, Impute, MinMax, Split, Standardize
from hansa.data.prepare import federated_positions, load, local_summary, prepare, rows_before
from hansa.data.preprocess import add_summaries
from hansa.errors import ConfigurationError, DataError

RNG = np.random.default_rng(0)


def client(x, y=None, name="a", preprocess=(), split=None, weight=None, columns=None):
    x = np.asarray(x, dtype=np.float32)
    y = np.arange(len(x)) % 2 if y is None else y
    source = Arrays(x, y, sample_weight=weight, columns=columns)
    return Client(name=name, source=source, preprocess=preprocess, split=split or Split())


def test_transforms_are_fitted_on_training_rows_only():
    x = [[0.0], [2.0], [100.0], [1000.0]]
    split = Split(indices={"train": [0, 1], "validation": [2], "test": [3]})
    data = prepare(client(x, preprocess=(Standardize(ddof=0),), split=split))
    assert data.train.x.ravel().tolist() == [-1.0, 1.0]
    assert data.validation.x.ravel().tolist() == [99.0]
    assert data.test.x.ravel().tolist() == [999.0]


def test_without_splits_there_is_only_training():
    data = prepare(client([[0.0], [1.0]]))
    assert (len(data.train), data.validation, data.test) == (2, None, None)


def test_federated_fitting_equals_fitting_on_all_rows():
    tables = [RNG.normal(size=(n, 3)).astype(np.float32) * 5 + 2 for n in (4, 9, 30)]
    for table in tables:
        table[1, 1] = np.nan
    steps = (Impute(scope="federated"), Standardize(scope="federated"))
    clients = [client(t, name=f"c{i}", preprocess=steps) for i, t in enumerate(tables)]
    known = {}
    assert federated_positions(clients) == (0, 1)
    for k in federated_positions(clients):
        known[k] = add_summaries([local_summary(c, k, known) for c in clients])
    got = np.concatenate([prepare(c, known).train.x for c in clients])
    pooled = prepare(client(np.concatenate(tables), preprocess=(Impute(), Standardize()))).train.x
    np.testing.assert_allclose(got, pooled, rtol=1e-6, atol=1e-6)


def test_a_later_summary_is_taken_after_earlier_transforms():
    c = client([[0.0], [4.0]], preprocess=(MinMax(), Standardize(scope="federated")))
    assert federated_positions([c]) == (1,)
    assert local_summary(c, 1)["sum"].tolist() == [1.0]
    assert local_summary(c, 1, loaded=load(c))["sum"].tolist() == [1.0]


def test_loaded_rows_are_not_read_again():
    c = client([[0.0], [4.0]], preprocess=(MinMax(),))
    other = load(client([[1.0], [3.0], [5.0]]))
    assert prepare(c, loaded=other).train.x.ravel().tolist() == [0.0, 0.5, 1.0]


def test_sums_that_are_not_known():
    c = client(
        [[0.0], [4.0]], preprocess=(MinMax(), Standardize(scope="federated"), Impute(scope="federated"))
    )
    with pytest.raises(ConfigurationError, match=r"client 'a': preprocess\[1\] is federated"):
        prepare(c)
    with pytest.raises(ConfigurationError, match=r"preprocess\[1\]"):
        local_summary(c, 2)
    with pytest.raises(ConfigurationError, match="none is at position 3"):
        local_summary(c, 3)
    with pytest.raises(ConfigurationError, match="client 'a': a summary with"):
        prepare(c, {1: Impute().summary(load(c).train)})


def test_several_inputs_cannot_be_preprocessed():
    c = Client(name="a", source=Arrays({"u": [[1.0]]}, [0]), preprocess=(Standardize(),))
    with pytest.raises(ConfigurationError, match="client 'a': Standardize works on"):
        prepare(c)


def test_federated_bounds_are_not_sums():
    c = client([[0.0], [4.0]], preprocess=(Standardize(ddof=0), MinMax(scope="federated")))
    with pytest.raises(ConfigurationError, match=r"client 'a': what MinMax.*are not sums"):
        local_summary(c, 1)
    assert rows_before(c, 1).x.ravel().tolist() == [-1.0, 1.0]
    assert prepare(c, {1: {"minimum": np.array([-1.0]), "maximum": np.array([3.0])}}).train.x.max() == 0.5


def test_missing_features_may_be_kept():
    c = client([[1, np.nan]])
    assert np.isnan(load(c, keep_missing=True).train.x).tolist() == [[False, True]]
    with pytest.raises(DataError, match="missing"):
        load(c)


NAN, INF = float("nan"), float("inf")


@pytest.mark.parametrize(
    ("made", "message"),
    [
        (lambda: client(np.zeros((0, 2))), "client 'a': it has no rows"),
        (lambda: client([[1, NAN], [1, NAN]], columns=("u", "v")), r"2 values of x .*'v'.*NaN.*2 of 2"),
        (lambda: client([[INF, 1]], preprocess=(Impute(),)), "1 values of x .*feature 0.*infinite"),
        (lambda: client([NAN, 1.0]), "1 values of x are missing"),
        (lambda: client([[1], [2]], y=[0.5, NAN]), "1 of 2 labels in y.*row 2.*cannot be imputed"),
        (lambda: client([[1], [2]], weight=[1, -1]), r"1 of 2 sample weights are negative.*row 2 \(-1\.0\)"),
        (lambda: client([[1], [2]], weight=[NAN, 1]), "not finite"),
        (lambda: client([[1], [2]], weight=[0, 0]), "client 'a': the sample weights of all 2"),
        (lambda: client([[1], [2]], weight=[0, 1], split=Split(indices={"train": [0]})), "all 1 train"),
    ],
)  # fmt: skip
def test_rows_that_cannot_be_trained_on(made, message):
    with pytest.raises(DataError, match=message):
        prepare(made())


def test_a_feature_without_any_value_cannot_be_imputed():
    split = Split(indices={"train": [0, 1], "test": [2]})
    c = client([[1, NAN], [2, NAN], [3, 4]], preprocess=(Impute(),), columns=("u", "v"), split=split)
    with pytest.raises(DataError, match=r"client 'a'.*'v'.*in the train rows after preprocessing.*federated"):
        prepare(c)


def test_a_missing_value_may_come_after_a_transform_that_skips_it():
    data = prepare(client([[1, 2], [3, NAN]], preprocess=(Standardize(), Impute())))
    assert np.isfinite(data.train.x).all()


def test_integer_features_and_infinite_overflow():
    tokens = Client(name="a", source=Arrays(np.array([[3, 4]]), [1]))
    assert prepare(tokens).train.x.dtype.kind == "i"
    big = Client(name="a", source=Arrays(np.array([[1e300]]), [1]))
    with pytest.raises(DataError, match="infinite"):
        prepare(big)


def test_a_missing_column_is_a_fault_of_the_clients_data(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text("age,y\n1,0\n")
    with pytest.raises(DataError, match=r"client 'b': unknown column in t\.csv: 'agee'\. Did you mean 'age'"):
        prepare(Client(name="b", source=CSV(path, "y", features=("agee",))))


def test_a_source_of_ones_own_is_checked_too():
    class Own:
        def __init__(self, rows):
            self.rows = rows

        def load(self):
            return self.rows

        def describe(self):
            return {}

    assert prepare(Client(name="a", source=Own(Arrays([[1.0]], [0]).load()))).train.y.tolist() == [0]
    with pytest.raises(DataError, match="'a': its source returned a tuple"):
        prepare(Client(name="a", source=Own(([1.0], [0]))))


def test_one_class_and_one_row_are_allowed():
    data = prepare(client([[5.0]], y=[1], preprocess=(Standardize(),)))
    assert data.train.x.tolist() == [[0.0]]

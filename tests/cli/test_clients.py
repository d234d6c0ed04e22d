import numpy as np
import pytest

from hansa.cli.clients import parties
from hansa.cli.declaration import declare
from hansa.data import Bucketize, MinMax, Split, Standardize, Vocabulary
from hansa.errors import ConfigurationError, UnknownNameError


@pytest.fixture
def files(tmp_path):
    for name in ("a", "b"):
        rows = "\n".join(f"{i},{i * 2},{'yes' if i % 2 else 'no'},{i % 2}" for i in range(10))
        (tmp_path / f"{name}.csv").write_text(f"p,q,r,y\n{rows}\n")
    return tmp_path


def people(folder, **sections):
    return parties(declare({"run": {"rounds": 1}, "model": {"name": "logistic"}, **sections}), folder)


def test_one_file_per_client_with_what_they_share_and_what_one_has_of_its_own(files):
    found = people(
        files,
        data={"target": "y", "categorical": {"r": ["no", "yes"]}, "preprocess": [{"kind": "standardize"}]},
        clients=[
            {"name": "a", "csv": "a.csv"},
            {"name": "b", "csv": "b.csv", "drop": ["q"], "preprocess": [{"kind": "min_max"}]},
        ],
        split={"train": 0.5, "test": 0.5},
    )
    a, b = found.clients
    assert a.source.load().columns == ("p", "q", "r=no", "r=yes")
    assert b.source.load().columns == ("p", "r=no", "r=yes")
    assert a.preprocess == (Standardize(),)
    assert b.preprocess == (MinMax(),)
    assert a.split == b.split == Split(train=0.5, test=0.5)
    assert found.validation is None


def test_one_file_divided_among_clients(files):
    partition = {"kind": "iid", "clients": 5, "seed": 3}
    found = people(files, data={"csv": "a.csv", "target": "y", "drop": ["r"], "partition": partition})
    assert [len(c.source.load()) for c in found.clients] == [2] * 5


@pytest.mark.parametrize(
    "partition",
    [
        {"kind": "iid", "clients": 3},
        {"kind": "dirichlet", "clients": 3, "alpha": 0.5},
        {"kind": "shards", "clients": 3, "shards_per_client": 2},
        {"kind": "quantity_skew", "clients": 3, "alpha": 1},
    ],
)
def test_a_dataset_and_every_partition(tmp_path, partition):
    pytest.importorskip("sklearn")
    found = people(tmp_path, data={"dataset": "iris", "partition": partition})
    assert sum(len(c.source.load()) for c in found.clients) == 150
    assert len(found.clients) == 3


def test_a_recipes_dataset_comes_with_its_clients_and_takes_another_split(tmp_path):
    split = {"train": 0.5, "test": 0.5}
    found = people(
        tmp_path, data={"dataset": "heart_disease", "preprocess": [{"kind": "impute"}]}, split=split
    )
    assert [c.name for c in found.clients] == ["cleveland", "hungary", "switzerland", "va"]
    assert all(c.split == Split(train=0.5, test=0.5) for c in found.clients)
    assert all(c.preprocess[0].describe()["kind"] == "impute" for c in found.clients)


@pytest.mark.parametrize(
    ("sections", "error", "message"),
    [
        ({"clients": [{"name": "a"}]}, ConfigurationError, r"\[\[clients\]\] 'a' needs one file"),
        ({"clients": [{"name": "a", "csv": "a.csv"}]}, ConfigurationError, r"'a' lacks the key 'target'"),
        (
            {"clients": [{"name": "a", "csv": "a.csv", "parquet": "a.pq", "target": "y"}]},
            ConfigurationError,
            "needs one file",
        ),
        (
            {"clients": [{"name": "a", "parquet": "a.pq", "target": "y", "delimiter": ";"}]},
            ConfigurationError,
            "delimiter is for CSV files",
        ),
        (
            {"data": {"dataset": "iriss"}},
            UnknownNameError,
            r"dataset in \[data\]: 'iriss'. Did you mean 'iris'\?",
        ),
        ({"data": {"dataset": "iris", "csv": "a.csv"}}, ConfigurationError, "a dataset and a file; keep one"),
        ({"data": {"dataset": "iris", "target": "y"}}, ConfigurationError, "target is for files"),
        ({"data": {"target": "y"}}, ConfigurationError, "neither a dataset nor a csv"),
        (
            {"data": {"csv": "a.csv", "target": "y", "drop": ["r"]}},
            ConfigurationError,
            "must be divided among clients",
        ),
        (
            {"data": {"dataset": "heart-disease", "partition": {"kind": "iid", "clients": 2}}},
            ConfigurationError,
            "comes with its own clients; leave partition out",
        ),
        (
            {"data": {"dataset": "x"}, "clients": [{"name": "a", "csv": "a.csv", "target": "y"}]},
            ConfigurationError,
            "are both given",
        ),
        (
            {
                "clients": [
                    {"name": "a", "csv": "a.csv", "target": "y", "preprocess": [{"kind": "standardise"}]}
                ]
            },
            UnknownNameError,
            r"'a' preprocess\[0\]: 'standardise'. Did you mean 'standardize'\?",
        ),
        (
            {"clients": [{"name": ".a", "csv": "a.csv", "target": "y"}]},
            ConfigurationError,
            "is not a client name",
        ),
    ],
)
def test_what_cannot_be(files, sections, error, message):
    with pytest.raises(error, match=message):
        people(files, **sections)


def test_partition_settings_are_checked(tmp_path):
    pytest.importorskip("sklearn")
    for partition, message in [
        ({"kind": "dirichle", "clients": 3}, "Did you mean 'dirichlet'"),
        (
            {"kind": "dirichlet", "clients": 3, "alfa": 1},
            r"\[data\] partition of kind 'dirichlet': 'alfa'. Did you mean 'alpha'",
        ),
        ({"kind": "dirichlet", "clients": 3}, "lacks the key 'alpha'"),
        ({"kind": "iid", "clients": "many"}, 'clients is "many"; clients must be a whole number'),
        ({"kind": "iid", "clients": 1000}, "1000"),
    ]:
        with pytest.raises(ConfigurationError, match=message):
            people(tmp_path, data={"dataset": "iris", "partition": partition})


def test_paths_are_relative_to_the_files_folder(files, monkeypatch, tmp_path_factory):
    monkeypatch.chdir(tmp_path_factory.mktemp("elsewhere"))
    found = people(files, clients=[{"name": "a", "csv": "a.csv", "target": "y", "drop": ["r"]}])
    assert np.array_equal(found.clients[0].source.load().y, np.arange(10) % 2)


def test_bins_are_declared_as_their_class_is(files):
    steps = [{"kind": "bucketize", "bins": 5, "scope": "federated", "columns": ["q", 0], "one_hot": True}]
    data = {"target": "y", "drop": ["r"], "preprocess": steps}
    found = people(files, data=data, clients=[{"name": n, "csv": f"{n}.csv"} for n in "ab"])
    assert found.clients[0].preprocess == (
        Bucketize(bins=5, scope="federated", columns=["q", 0], one_hot=True),
    )
    for wrong, message in [
        ({"bins": 2.5}, "bins is 2.5; bins must be a whole number"),
        ({"bins": 1}, "from 2 to 1,000, got 1"),
        ({}, "lacks the key 'bins'"),
        ({"bins": 2, "columns": "q"}, "columns must be a list, each a text in quotes or a whole number"),
    ]:
        with pytest.raises(ConfigurationError, match=message):
            people(
                files,
                data={**data, "preprocess": [{"kind": "bucketize", **wrong}]},
                clients=[{"name": "a", "csv": "a.csv"}],
            )


def test_a_vocabulary_is_declared_as_its_class_is(files):
    clients = [{"name": n, "csv": f"{n}.csv"} for n in "ab"]
    found = people(
        files, data={"target": "y", "categorical": {"r": {"minimum": 3, "most": 4}}}, clients=clients
    )
    assert found.clients[1].source.categorical == {"r": Vocabulary(minimum=3, most=4)}
    given = {"r": {"categories": ["no"]}}
    found = people(files, data={"target": "y", "categorical": given}, clients=clients)
    assert found.clients[0].source.load().columns == ("p", "q", "r=no", "r=[UNK]")
    for wrong, error, message in [
        ({"minimun": 3}, UnknownNameError, r"'a' categorical, column 'r': 'minimun'. Did you mean 'minimum'"),
        ({"minimum": "3"}, ConfigurationError, "minimum must be a whole number"),
        ({"minimum": 0}, ConfigurationError, r"'a' categorical, column 'r': .*1 or more, got 0"),
        (3, ConfigurationError, r"categorical.*must be a table, each value a list"),
    ]:
        with pytest.raises(error, match=message):
            people(files, data={"target": "y", "categorical": {"r": wrong}}, clients=clients)
    with pytest.raises(ConfigurationError, match="'r' are found over all clients"):
        partition = {"kind": "iid", "clients": 5}
        one = {"csv": "a.csv", "target": "y", "categorical": {"r": {"minimum": 3}}, "partition": partition}
        people(files, data=one)

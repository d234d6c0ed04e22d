import hashlib
import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hansa.data import Arrays, Client, Split, Standardize, by_key, dirichlet, iid, quantity_skew, shards
from hansa.data.partition import label_counts
from hansa.errors import ConfigurationError, DataError


def table(n, classes=3):
    return np.arange(n, dtype=np.float32)[:, None], np.arange(n) % classes


PARTITIONS = {
    "iid": iid,
    "dirichlet": lambda x, y, **o: dirichlet(x, y, alpha=5.0, **o),
    "shards": lambda x, y, **o: shards(x, y, shards_per_client=2, **o),
    "quantity_skew": lambda x, y, **o: quantity_skew(x, y, alpha=0.5, **o),
}


def ids(clients):
    return [client.source.load().x.ravel().astype(int).tolist() for client in clients]


@given(st.sampled_from(sorted(PARTITIONS)), st.integers(24, 120), st.integers(1, 6), st.integers(0, 9))
def test_each_row_goes_to_exactly_one_client(name, n, clients, seed):
    x, y = table(n)
    made = PARTITIONS[name](x, y, clients=clients, seed=seed)
    parts = ids(made)
    assert len(made) == clients
    assert sorted(row for part in parts for row in part) == list(range(n))
    assert min(map(len, parts)) >= 1
    for client, part in zip(made, parts, strict=True):
        assert client.source.load().y.tolist() == [row % 3 for row in part]
    assert parts == ids(PARTITIONS[name](x, y, clients=clients, seed=seed))


@pytest.mark.parametrize("name", sorted(PARTITIONS))
def test_another_seed_gives_another_partition(name):
    x, y = table(100)
    assert ids(PARTITIONS[name](x, y, clients=5, seed=0)) != ids(PARTITIONS[name](x, y, clients=5, seed=1))


@pytest.mark.parametrize("name", sorted(PARTITIONS))
def test_options_reach_the_clients(name):
    x, y = table(30)
    split = Split(train=0.5, test=0.5)
    made = PARTITIONS[name](
        x,
        y,
        clients=2,
        names=["u", "v"],
        split=split,
        preprocess=(Standardize(),),
        sample_weight=np.arange(30),
    )
    assert [client.name for client in made] == ["u", "v"]
    assert made[0].split is split
    assert made[0].preprocess == (Standardize(),)
    rows = made[1].source.load()
    assert rows.sample_weight.tolist() == rows.x.ravel().tolist()


@pytest.mark.parametrize("name", sorted(PARTITIONS))
def test_what_cannot_be_partitioned(name):
    partition = PARTITIONS[name]
    x, y = table(10)
    with pytest.raises(
        ConfigurationError, match="11 clients with 1 rows or more each need 11 rows; there are 10"
    ):
        partition(x, y, clients=11)
    for clients in (0, -1, 2.0, True):
        with pytest.raises(ConfigurationError, match="clients must be an integer of 1 or more"):
            partition(x, y, clients=clients)
    with pytest.raises(DataError, match="x has 10, y has 9"):
        partition(x, y[:9], clients=2)
    with pytest.raises(ConfigurationError, match="names must be 2 names"):
        partition(x, y, clients=2, names=["a"])
    with pytest.raises(ConfigurationError, match="two clients are named"):
        partition(x, y, clients=2, names=["a", "a"])
    with pytest.raises(ConfigurationError, match="seed must be"):
        partition(x, y, clients=2, seed=-1)


@pytest.mark.parametrize("partition", [dirichlet, quantity_skew])
@pytest.mark.parametrize("alpha", [0, -1.0, float("nan"), float("inf"), "1"])
def test_alpha_must_be_positive(partition, alpha):
    with pytest.raises(ConfigurationError, match="alpha must be a number greater than 0"):
        partition(*table(10), clients=2, alpha=alpha)


@pytest.mark.parametrize("partition", [dirichlet, quantity_skew])
def test_min_examples(partition):
    made = partition(*table(200), clients=5, alpha=1.0, min_examples=10)
    assert min(len(part) for part in ids(made)) >= 10
    with pytest.raises(ConfigurationError, match="5 clients with 41 rows"):
        partition(*table(200), clients=5, alpha=1.0, min_examples=41)


def test_dirichlet_gives_up_with_a_clear_message():
    with pytest.raises(
        ConfigurationError, match=r"in 1000 draws .* fewer than min_examples=5 .*larger alpha"
    ):
        dirichlet(*table(50), clients=10, alpha=0.01, min_examples=5)


def test_dirichlet_skews_labels_as_alpha_says():
    x, y = table(3000)

    def largest_share(alpha):
        counts = label_counts(dirichlet(x, y, clients=6, alpha=alpha)).values()
        return np.mean([max(c.values()) / sum(c.values()) for c in counts])

    assert largest_share(0.1) > 0.7
    assert largest_share(1000.0) < 0.4


def test_dirichlet_takes_one_hot_labels_and_refuses_numbers():
    x, y = table(60)
    assert ids(dirichlet(x, np.eye(3)[y], clients=3, alpha=1.0)) == ids(dirichlet(x, y, clients=3, alpha=1.0))
    for partition in (PARTITIONS["dirichlet"], PARTITIONS["shards"]):
        with pytest.raises(DataError, match="labels that are classes"):
            partition(x, y + 0.5, clients=3)


def test_shards_have_few_classes_and_equal_sizes():
    x, y = table(600, classes=10)
    made = shards(x, y, clients=10, shards_per_client=2, seed=1)
    assert {len(part) for part in ids(made)} == {60}
    assert max(len(c) for c in label_counts(made).values()) <= 2
    with pytest.raises(ConfigurationError, match="need 20 rows or more; there are 19"):
        shards(*table(19), clients=10)
    with pytest.raises(ConfigurationError, match="shards_per_client"):
        shards(x, y, clients=2, shards_per_client=0)


def test_iid_sizes_and_default_names():
    made = iid(*table(23), clients=11)
    assert sorted({len(part) for part in ids(made)}) == [2, 3]
    assert [c.name for c in made][:2] == ["client-00", "client-01"]


def test_quantity_skew_sizes_differ_and_labels_may_be_numbers():
    x, _ = table(1000)
    sizes = [len(part) for part in ids(quantity_skew(x, x[:, 0] + 0.5, clients=10, alpha=0.3))]
    assert max(sizes) > 3 * min(sizes)


def test_by_key():
    x, y = table(6)
    made = by_key(x, y, keys=["b", "a", "b", "c", "b", "a"])
    assert [c.name for c in made] == ["a", "b", "c"]
    assert ids(made) == [[1, 5], [0, 2, 4], [3]]
    assert [c.name for c in by_key(x, y, keys=np.array([10, 9, 10, 9, 9, 9]))] == ["10", "9"]


def test_by_key_small_clients():
    x, y = table(6)
    keys = ["big", "s1", "big", "s2", "big", "big"]
    with pytest.raises(
        DataError, match=r"2 clients have fewer than min_examples=2 rows \('s1' has 1, 's2' has 1\)"
    ):
        by_key(x, y, keys=keys, min_examples=2)
    made = by_key(x, y, keys=keys, min_examples=2, merge_small_into="all others")
    assert dict(zip([c.name for c in made], ids(made), strict=True)) == {
        "all others": [1, 3],
        "big": [0, 2, 4, 5],
    }
    with pytest.raises(DataError, match="'all others' has 2"):
        by_key(x, y, keys=keys, min_examples=3, merge_small_into="all others")
    assert len(by_key(x, y, keys=keys, min_examples=2, merge_small_into="big")) == 1


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        (["a"], "1 keys for 2 rows"),
        ("a", "no keys"),
        (["a", None], "key of row 2 is None"),
        ([0.5, 1.0], "row 1 is 0.5"),
    ],
)
def test_by_key_needs_one_key_for_each_row(keys, message):
    with pytest.raises(DataError, match=message):
        by_key([[0.0], [1.0]], [0, 1], keys=keys)


def test_by_key_keys_must_be_names():
    with pytest.raises(ConfigurationError, match="'a/b' is not a client name"):
        by_key([[0.0]], [0], keys=["a/b"])


def test_label_counts():
    made = by_key([[0.0]] * 4, [0, 1, 1, 1], keys=["a", "a", "b", "b"])
    assert label_counts(made) == {"a": {"0": 1, "1": 1}, "b": {"1": 2}}
    other = Client(name="c", source=Arrays([[0.0]], [7]))
    assert label_counts([other]) == {"c": {"7": 1}}
    with pytest.raises(DataError, match="client 'd'"):
        label_counts([Client(name="d", source=Arrays([[0.0]], [0.5]))])


def test_a_thousand_clients_share_the_rows():
    x = np.zeros((5000, 100), dtype=np.float32)
    made = iid(x, np.zeros(5000, dtype=int), clients=1000)
    assert all(c.source.examples is made[0].source.examples for c in made)
    assert np.shares_memory(made[0].source.examples.x, x)


def test_names_that_are_no_list():
    with pytest.raises(ConfigurationError, match="names must be 2 names, one for each client, got 5"):
        iid([[0.0]] * 4, [0] * 4, clients=2, names=5)


PINNED = {
    "iid": ("edbc9bd004013563", lambda x, y, **o: iid(x, y, clients=10, seed=3, **o)),
    "dirichlet": ("c79e2cf66d16be5b", lambda x, y, **o: dirichlet(x, y, clients=10, alpha=2.0, seed=3, **o)),
    "shards": (
        "5179c08b0d564910",
        lambda x, y, **o: shards(x, y, clients=10, shards_per_client=3, seed=3, **o),
    ),
    "quantity_skew": (
        "fc5ebd5d37c17fe1",
        lambda x, y, **o: quantity_skew(x, y, clients=10, alpha=0.5, min_examples=2, seed=3, **o),
    ),
    "by_key": ("08e2303522a233ab", lambda x, y, **o: by_key(x, y, keys=np.arange(211) % 7 * 5, **o)),
}


@pytest.mark.parametrize("name", sorted(PINNED))
def test_partitions_and_their_descriptions_never_change_so_that_runs_can_be_resumed(name):
    digest, partition = PINNED[name]
    made = partition(*table(211), sample_weight=np.ones(211))
    told = json.dumps([client.describe() for client in made], sort_keys=True)
    assert hashlib.sha256(told.encode()).hexdigest()[:16] == digest
    assert {client.source.index.dtype for client in made} == {np.dtype(np.int64)}


def test_keys_of_every_kind_are_the_same_as_their_texts():
    x, y = table(6)
    wanted = ["10", "9", "10", "-1", "9", "9"]
    for keys in (
        np.array(wanted),
        list(map(int, wanted)),
        np.array(list(map(int, wanted))),
        [10, "9", "10", -1, 9, "9"],
    ):
        made = by_key(x, y, keys=keys)
        assert [c.name for c in made] == ["-1", "10", "9"]
        assert ids(made) == [[3], [0, 2], [1, 4, 5]]
    assert [c.name for c in by_key(x, y, keys=np.array([True, False] * 3))] == ["False", "True"]
    with pytest.raises(DataError, match="key of row 1 is "):
        by_key(x[:2], y[:2], keys=np.array([[1, 2], [3, 4]]))
    with pytest.raises(DataError, match="5 keys for 6 rows"):
        by_key(x, y, keys=np.arange(5))
    with pytest.raises(ConfigurationError, match="no clients"):
        by_key(x[:0], y[:0], keys=[])


def test_a_partition_makes_few_objects_for_each_client():
    import tracemalloc

    n = 4000
    x, y = np.zeros((2 * n, 64), np.float32), np.arange(2 * n) % 2
    tracemalloc.start()
    before = tracemalloc.get_traced_memory()[0]
    made = iid(x, y, clients=n)
    kept = tracemalloc.get_traced_memory()[0] - before
    tracemalloc.stop()
    assert len(made) == n
    assert kept / n < 700  # a client's 2 rows alone are 512 bytes of features, were they copied
    assert not hasattr(made[0], "__dict__")
    assert made[0].preprocess is made[1].preprocess


def test_label_counts_of_shared_rows_are_those_of_each_client():
    y = np.random.default_rng(0).integers(0, 4, 500)
    made = iid(np.zeros((500, 2)), y, clients=60)
    assert label_counts(made) == {
        c.name: {
            str(k): int(v) for k, v in zip(*np.unique(c.source.load().y, return_counts=True), strict=True)
        }
        for c in made
    }
    mixed = iid(np.zeros((4, 1)), np.array([0.0, 1.0, 0.5, 1.0]), clients=4)
    bad = next(c.name for c in mixed if c.source.load().y[0] == 0.5)
    with pytest.raises(DataError, match=f"client '{bad}': its labels are not classes"):
        label_counts(mixed)

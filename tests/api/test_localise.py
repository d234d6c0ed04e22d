import numpy as np
import pytest

import hansa
from hansa.api.localise import check_learner, localise
from hansa.errors import DataError
from hansa.types import Unread, View
from least_squares import LeastSquares, population, rows


def test_every_client_prepares_its_own_rows():
    split = hansa.data.Split(train=0.5, validation=0.25, test=0.25)
    clients = tuple(
        hansa.data.Client(
            name=c.name, source=c.source, split=c.split, preprocess=[hansa.data.Standardize(scope="local")]
        )
        for c in population((8, 16), split=split)
    )
    localised = localise(clients)
    assert list(localised.sites) == ["c0", "c1"]
    for name, site in localised.sites.items():
        np.testing.assert_allclose(site.data.train.x.mean(0), 0, atol=1e-6)
        assert localised.cards[name].examples["train"] == len(site.data.train)
    assert localised.cards["c1"].examples == {"train": 8, "validation": 4, "test": 4}


def test_federated_statistics_are_those_of_all_training_rows():
    clients = tuple(
        hansa.data.Client(
            name=c.name,
            source=c.source,
            split=c.split,
            preprocess=[hansa.data.Standardize(scope="federated")],
        )
        for c in population((8, 16))
    )
    sites = localise(clients).sites
    pooled = np.concatenate([rows(8, seed=0)[0], rows(16, seed=1)[0]])
    x = np.concatenate([site.data.train.x for site in sites.values()])
    np.testing.assert_allclose(x, (pooled - pooled.mean(0)) / pooled.std(0, ddof=1), rtol=1e-4, atol=1e-5)


def test_clients_that_a_model_cannot_be_trained_on_are_named_up_to_three():
    class Picky(LeastSquares):
        def check_data(self, card):
            return None if card.examples["train"] > 8 else f"only {card.examples['train']} rows"

    cards = localise(population((5, 6, 7, 8, 9))).cards
    with pytest.raises(DataError, match=r"'c0' has only 5 rows; client 'c1' .*'c2' .*; and 1 more clients"):
        check_learner(Picky(), cards)
    check_learner(Picky(), {"c4": cards["c4"]})


def test_labels_of_one_class_everywhere_are_refused_and_at_one_client_allowed():
    x, zeros = np.ones((4, 2), "float32"), np.zeros(4, "int64")
    with pytest.raises(DataError, match=r"every training row of every client has the label '0'.*positive="):
        localise(hansa.data.client.as_clients({"a": (x, zeros), "b": (x, zeros)}))
    mixed = np.array([0, 1, 0, 1])
    cards = localise(hansa.data.client.as_clients({"a": (x, zeros), "b": (x, mixed)})).cards
    assert dict(cards["a"].labels) == {"0": 4}


def test_what_federated_preprocessing_did_is_told_and_what_a_client_did_is_not():
    steps = [hansa.data.Standardize(scope="federated"), hansa.data.Standardize(scope="local")]
    clients = tuple(
        hansa.data.Client(name=c.name, source=c.source, preprocess=steps) for c in population((8, 16))
    )
    shared, own = localise(clients).preprocessing
    x = np.concatenate([rows(8, seed=0)[0], rows(16, seed=1)[0]])
    np.testing.assert_allclose(shared["center"], x.mean(0), rtol=1e-5)
    np.testing.assert_allclose(shared["scale"], x.std(0, ddof=1), rtol=1e-5)
    assert "center" not in own


def test_a_simulated_population_shares_its_arrays_and_is_told_of_as_clients_with_their_own():
    x, y = np.random.default_rng(0).normal(size=(60, 3)).astype("float32"), np.arange(60) % 3
    weight = np.linspace(0.5, 2, 60, dtype="float32")
    clients = hansa.data.quantity_skew(x, y, clients=9, alpha=1.0, sample_weight=weight)
    own = hansa.data.client.as_clients({c.name: c.source.load() for c in clients})
    shared, alone = localise(clients), localise(own)
    assert shared.cards == alone.cards
    assert list(shared.sites) == list(alone.sites) == list(shared.cards)
    for name, site in shared.sites.items():
        assert isinstance(site.data.train, View)
        assert np.shares_memory(site.data.train.base.x, x)
        rows, expected = site.data.train.whole(), alone.sites[name].data.train
        for part in ("x", "y", "sample_weight"):
            np.testing.assert_array_equal(getattr(rows, part), getattr(expected, part))


def test_of_clients_that_share_arrays_some_may_preprocess():
    x, y = np.random.default_rng(0).normal(size=(40, 3)).astype("float32"), np.arange(40) % 2
    plain = hansa.data.iid(x, y, clients=2, names=["a", "b"])
    scaled = hansa.data.iid(x, y, clients=2, names=["c", "d"], preprocess=[hansa.data.Standardize()])
    localised = localise((plain[0], scaled[0], plain[1], scaled[1]))
    assert list(localised.sites) == list(localised.cards) == ["a", "c", "b", "d"]
    kinds = [isinstance(site.data.train, View) for site in localised.sites.values()]
    assert kinds == [True, False, True, False]
    np.testing.assert_allclose(localised.sites["c"].data.train.x.mean(0), 0, atol=1e-6)


def test_one_class_in_all_of_a_simulated_population_is_refused():
    with pytest.raises(DataError, match="every training row of every client has the label '2'"):
        localise(hansa.data.iid(np.ones((6, 2)), np.full(6, 2), clients=3))


def test_many_clients_are_localised_in_little_memory():
    import tracemalloc

    n = 3000
    x, y = np.zeros((4 * n, 256), np.float32), np.arange(4 * n) % 5
    clients = hansa.data.iid(x, y, clients=n)
    localise(clients[:10])
    tracemalloc.start()
    localised = localise(clients)
    kept, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert len(localised.sites) == n
    assert kept / n < 1100  # a client's 4 rows alone are 4,096 bytes of features, were they copied
    assert peak / n < 2500


@pytest.mark.parametrize("preprocess", [(), (hansa.data.Standardize(scope="federated"), hansa.data.Impute())])
def test_rows_that_are_not_kept_are_read_again_and_are_the_same(preprocess):
    split = hansa.data.Split(train=0.5, validation=0.25, test=0.25)
    clients = tuple(
        hansa.data.Client(name=c.name, source=c.source, split=split, preprocess=preprocess)
        for c in population((8, 16, 12))
    )
    kept, unread = localise(clients), localise(clients, keep=False)
    assert kept.cards == unread.cards
    assert kept.preprocessing == unread.preprocessing
    for name, site in unread.sites.items():
        assert isinstance(site.data, Unread)
        assert site.data.train is not site.data.train
        for part in ("train", "validation", "test"):
            there, here = getattr(kept.sites[name].data, part), getattr(site.data, part)
            assert (there.x.tobytes(), there.y.tobytes()) == (here.x.tobytes(), here.y.tobytes())
        assert kept.sites[name].data.read() is kept.sites[name].data


def test_parts_of_shared_arrays_stay_where_they_are_even_if_rows_are_not_kept():
    x, y = np.random.default_rng(0).normal(size=(60, 3)).astype("float32"), np.arange(60) % 3
    sites = localise(hansa.data.iid(x, y, clients=6), keep=False).sites
    assert all(isinstance(site.data.train, View) for site in sites.values())

import numpy as np
import pytest

import hansa
from hansa.api.localise import check_learner, localise
from hansa.errors import DataError
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

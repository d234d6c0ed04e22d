import numpy as np
import pytest

import hansa
from hansa.api.compare import _pool
from hansa.api.localise import localise
from hansa.errors import ConfigurationError, DataError
from least_squares import LeastSquares, federation, gradient, loss, population

SPLIT = hansa.data.Split(train=0.5, validation=0.25, test=0.25)


def fitted(clients=None, rounds=3, **settings):
    fed = federation(population((8, 12, 20), split=SPLIT) if clients is None else clients, **settings)
    fed.fit(rounds)
    return fed


def test_each_way_is_the_training_it_says():
    fed = fitted(algorithm=hansa.FedAvg(epochs=2, batch_size=4))
    found = hansa.compare(fed, 3, metric="loss", higher_is_better=False)
    sites = fed.prepare().sites
    pool = [np.concatenate([getattr(s.data.train, part) for s in sites.values()]) for part in ("x", "y")]
    everyone = federation({"pooled": tuple(pool)}, algorithm=fed.algorithm, seed=fed.seeds.root)
    everyone.fit(3)
    for name, site in sites.items():
        alone = federation(
            {name: (site.data.train.x, site.data.train.y)}, algorithm=fed.algorithm, seed=fed.seeds.root
        )
        alone.fit(3)
        test = site.data.test
        assert found.rows[name] == {
            "local": loss(alone.weights.astype(float), test.x, test.y),
            "federated": loss(fed.weights.astype(float), test.x, test.y),
            "pooled": loss(everyone.weights.astype(float), test.x, test.y),
        }
        assert found.test_examples[name] == len(test)
    for way, mean in found.average.items():
        assert mean == pytest.approx(np.mean([row[way] for row in found.rows.values()]))


def test_the_federation_is_left_as_it_was():
    fed = fitted()
    before, records = fed.model_hash, list(fed.records)
    hansa.compare(fed, 5, metric="loss")
    assert fed.model_hash == before
    assert fed.records == records


def test_validation_rows_stand_in_for_test_rows():
    fed = fitted(population((8, 12), split=hansa.data.Split(train=0.5, validation=0.5)))
    found = hansa.compare(fed, 2, metric="loss", pooled=False)
    assert found.test_examples == {"c0": 4, "c1": 6}
    assert set(found.rows["c0"]) == set(found.average) == {"local", "federated"}


def test_a_client_without_held_out_rows_trains_and_is_not_measured():
    first, second = population((8, 12), split=SPLIT)
    whole = hansa.data.Client(name=second.name, source=second.source)
    found = hansa.compare(fitted([first, whole]), 2, metric="loss")
    assert found.rows["c1"] == {"local": None, "federated": None, "pooled": None}
    assert found.average == found.rows["c0"]
    assert "No rows to measure on: c1." in found.note


def test_alone_with_fedsgd_is_gradient_descent():
    fed = fitted(algorithm=hansa.FedSGD(learning_rate=0.1))
    found = hansa.compare(fed, 4, metric="loss")
    for name, site in fed.prepare().sites.items():
        weights = LeastSquares().initial_weights()
        for _ in range(4):
            weights = weights - 0.1 * gradient(weights, site.data.train.x, site.data.train.y)
        expected = loss(weights, site.data.test.x, site.data.test.y)
        assert found.rows[name]["local"] == pytest.approx(expected, rel=1e-5)


def test_a_client_is_measured_with_the_layers_that_are_its_own():
    fed = fitted(learner=LeastSquares(personal=True), algorithm=hansa.FedBN(epochs=1))
    found = hansa.compare(fed, 1, metric="gamma", pooled=False)
    assert len({row["federated"] for row in found.rows.values()}) == 3


def test_a_wrong_metric_is_told_before_anything_is_trained():
    steps = []
    with pytest.raises(ConfigurationError, match="no metric 'accuracy'; the model reports loss"):
        hansa.compare(fitted(), 2, on_step=steps.append)
    assert steps == []


def test_steps_are_told_in_order():
    steps = []
    hansa.compare(fitted(), 1, metric="loss", on_step=steps.append)
    assert steps == ["alone: c0", "alone: c1", "alone: c2", "pooled"]


@pytest.mark.parametrize("rounds", [0, -1, 2.5, True])
def test_rounds_are_counted(rounds):
    with pytest.raises(ConfigurationError, match="rounds must be a whole number"):
        hansa.compare(fitted(), rounds, metric="loss")


def test_before_fit_there_is_nothing_to_compare():
    with pytest.raises(ConfigurationError, match="call fit first"):
        hansa.compare(federation(population(split=SPLIT)), 2, metric="loss")


def test_no_held_out_rows_at_all_is_an_error():
    with pytest.raises(DataError, match="give clients a Split with test rows"):
        hansa.compare(fitted(population()), 2, metric="loss")


def test_the_pool_of_a_simulated_population_is_the_pool_of_clients_with_their_own_rows():
    x, y = np.random.default_rng(0).normal(size=(30, 3)).astype("float32"), np.arange(30) % 3
    weight = np.linspace(1, 2, 30, dtype="float32")
    clients = hansa.data.dirichlet(x, y, clients=4, alpha=1.0, sample_weight=weight)
    first, second = hansa.data.iid(x[:8], y[:8], clients=2, names=["u", "v"])
    for declared in (clients, (*clients, first, second)):
        shared = localise(declared).sites
        own = localise(hansa.data.client.as_clients({c.name: c.source.load() for c in declared})).sites
        got, expected = _pool(shared), _pool(own)
        for part in ("x", "y", "sample_weight"):
            np.testing.assert_array_equal(getattr(got, part), getattr(expected, part))


def test_a_simulated_population_trains_and_compares_as_clients_with_their_own_rows():
    x = np.random.default_rng(0).normal(size=(40, 3)).astype("float32")
    y = (x @ np.array([1.0, -2.0, 0.5])).astype("float32")
    shared = hansa.data.iid(x, y, clients=3)
    held_out = hansa.data.Client(
        name="z", source=hansa.data.Arrays(x, y), split=hansa.data.Split(train=0.5, test=0.5)
    )
    own = [
        hansa.data.Client(name=c.name, source=hansa.data.Arrays(c.source.load().x, c.source.load().y))
        for c in shared
    ]
    one, other = fitted([*shared, held_out]), fitted([*own, held_out])
    assert one.model_hash == other.model_hash
    assert hansa.compare(one, 2, metric="loss").rows == hansa.compare(other, 2, metric="loss").rows

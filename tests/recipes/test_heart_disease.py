import numpy as np
import pytest

import hansa
from hansa.recipes import RECIPES
from hansa.recipes.heart_disease import FEATURES

RECIPE = RECIPES["heart-disease"]


@pytest.fixture(scope="module")
def sites():
    return RECIPE.build().prepare().sites


def test_the_hospitals_have_their_740_complete_patients(sites):
    counts = {
        name: [len(part) for part in (s.data.train, s.data.validation, s.data.test) if part is not None]
        for name, s in sites.items()
    }
    assert counts == {
        "cleveland": [151, 61, 91],
        "hungary": [131, 52, 78],
        "switzerland": [46],
        "va": [65, 26, 39],
    }
    assert sum(map(sum, counts.values())) == 740


def test_the_features_are_flambys(sites):
    train = sites["cleveland"].data.train
    assert train.x.shape[1] == FEATURES == 13
    assert train.columns == (
        *("age", "sex", "trestbps", "chol", "fbs", "thalach", "exang", "oldpeak"),
        *("cp=2", "cp=3", "cp=4", "restecg=1", "restecg=2"),
    )


def test_held_out_patients_are_as_often_ill_as_the_others(sites):
    for name in ("cleveland", "hungary", "va"):
        data = sites[name].data
        assert abs(data.train.y.mean() - data.test.y.mean()) < 0.05
    assert sites["switzerland"].data.train.y.sum() == 45


def test_scaling_is_that_of_all_training_patients_together(sites):
    pooled = np.concatenate([site.data.train.x for site in sites.values()])
    np.testing.assert_allclose(pooled.mean(axis=0), 0, atol=1e-6)
    np.testing.assert_allclose(pooled.std(axis=0, ddof=1), 1, rtol=1e-5)


@pytest.mark.backends
@pytest.mark.parametrize("model", RECIPE.models)
def test_training_improves_the_model_and_the_seed_decides_the_result(model):
    once, again, other = (RECIPE.build(model=model, seed=seed) for seed in (5, 5, 6))
    history = once.fit(3).history
    again.fit(3)
    other.fit(3)
    assert history["loss"][-1] < history["loss"][0]
    assert {"accuracy", "auc", "val_auc"} <= set(history)
    assert once.model_hash == again.model_hash != other.model_hash


@pytest.mark.parametrize("model", RECIPE.models)
def test_together_beats_alone_on_average_and_is_as_good_as_pooled(model):
    averages = []
    for seed in range(5):
        federation = RECIPE.build(model=model, seed=seed)
        federation.fit(RECIPE.rounds, clients_validate="none")
        comparison = hansa.compare(federation, RECIPE.rounds, metric=RECIPE.metric)
        assert set(comparison.rows["switzerland"].values()) == {None}
        averages.append([comparison.average[way] for way in ("local", "federated", "pooled")])
    local, federated, pooled = np.mean(averages, axis=0)
    assert federated > local + 0.01
    assert federated > pooled - 0.01

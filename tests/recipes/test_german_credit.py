import numpy as np
import pytest

import hansa
from hansa.recipes import RECIPES
from hansa.recipes.german_credit import FEATURES

RECIPE = RECIPES["german-credit"]


@pytest.fixture(scope="module")
def sites():
    return RECIPE.build().prepare().sites


def test_the_lenders_have_all_loans(sites):
    totals = {
        name: sum(len(part) for part in (s.data.train, s.data.validation, s.data.test))
        for name, s in sites.items()
    }
    assert totals == {
        "business": 97,
        "car_new": 234,
        "car_used": 103,
        "education": 50,
        "furniture": 181,
        "other": 55,
        "radio_tv": 280,
    }


def test_features_leave_out_the_purpose_and_who_the_applicant_is(sites):
    train = sites["business"].data.train
    assert train.x.shape[1] == len(train.columns) == FEATURES
    assert not {c.split("=")[0] for c in train.columns} & {"purpose", "status_sex", "foreign_worker"}


def test_every_lender_can_be_measured(sites):
    for site in sites.values():
        for part in (site.data.validation, site.data.test):
            assert set(part.y) == {0, 1}


def test_scaling_is_that_of_all_training_loans_together(sites):
    pooled = np.concatenate([site.data.train.x for site in sites.values()])
    np.testing.assert_allclose(pooled.mean(axis=0), 0, atol=1e-6)
    np.testing.assert_allclose(pooled.std(axis=0, ddof=1), 1, rtol=1e-5)


@pytest.mark.parametrize("model", RECIPE.models)
def test_the_seed_decides_the_result(model):
    once, again, other = (RECIPE.build(model=model, seed=seed) for seed in (5, 5, 6))
    history = once.fit(3).history
    again.fit(3)
    other.fit(3)
    assert history["loss"][-1] < history["loss"][0]
    assert once.model_hash == again.model_hash != other.model_hash


def test_together_beats_alone_on_average_and_is_near_pooled():
    averages = []
    for seed in range(5):
        federation = RECIPE.build(seed=seed)
        federation.fit(RECIPE.rounds, clients_validate="none")
        comparison = hansa.compare(federation, RECIPE.rounds, metric=RECIPE.metric)
        averages.append([comparison.average[way] for way in ("local", "federated", "pooled")])
    local, federated, pooled = np.mean(averages, axis=0)
    assert federated > local + 0.04
    assert federated > pooled - 0.02

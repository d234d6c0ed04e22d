import numpy as np
import pytest

import hansa
from hansa.recipes import RECIPES
from hansa.recipes.process_faults import CLASSES, FAULTS, FEATURES, WINDOW, build, last_hour

RECIPE = RECIPES["process-faults"]
NAMES = [f"plant-{i}" for i in range(1, 7)]
TEST_ROWS = 960 + 18 * 800


@pytest.fixture(scope="module")
def runs():
    """Runs of the shapes of the real ones, in which each fault moves one variable."""
    stream = np.random.default_rng(0)

    def run(fault, rows, start):
        states = stream.normal(size=(rows, 52)).astype(np.float32)
        states[start:, fault] += 4.0 * bool(fault)
        return states

    return {f: (run(f, 480 if f else 500, 0), run(f, 960, 160)) for f in range(22)}


@pytest.fixture(scope="module")
def sites(runs):
    return build(runs=runs).prepare().sites


def test_each_plant_saw_normal_operation_and_three_faults_of_its_own(sites):
    assert list(sites) == NAMES
    seen = {name: set(np.unique(site.data.train.y)) for name, site in sites.items()}
    assert all(0 in classes and len(classes) == 4 for classes in seen.values())
    faults = [c for classes in seen.values() for c in classes - {0}]
    assert sorted(faults) == list(range(1, CLASSES))
    assert len(FAULTS) == 18
    assert not {3, 9, 15} & set(FAULTS)


def test_all_plants_are_tested_on_the_same_rows_before_scaling_and_after(sites):
    first = sites["plant-1"].data.test
    assert len(first) == TEST_ROWS
    assert np.bincount(first.y).tolist() == [960, *[800] * 18]
    for site in sites.values():
        np.testing.assert_array_equal(site.data.test.x, first.x)
        np.testing.assert_array_equal(site.data.test.y, first.y)


def test_a_plant_validates_on_the_end_of_each_of_its_runs(sites):
    for site in sites.values():
        train, validation = site.data.train, site.data.validation
        assert train.x.shape[1] == FEATURES
        assert set(train.y) == set(validation.y)
        rows = len(train) + len(validation)
        assert rows in (3 * 480 + 83, 3 * 480 + 84)
        assert abs(len(validation) / rows - 0.2) < 0.01


def test_a_row_is_mean_and_deviation_of_the_hour_before_it():
    rows = np.random.default_rng(1).normal(size=(50, 3)).astype(np.float32)
    found = last_hour(rows)
    assert found.shape == (50, 6)
    hour = rows[31 - WINDOW : 31]
    np.testing.assert_allclose(found[30], np.concatenate([hour.mean(0), hour.std(0)]), rtol=1e-5)
    np.testing.assert_allclose(found[0], np.concatenate([rows[0], np.zeros(3)]), atol=1e-6)


@pytest.mark.parametrize("model", RECIPE.models)
def test_the_seed_decides_the_result(model, runs):
    once, again, other = (build(model=model, seed=seed, runs=runs) for seed in (5, 5, 6))
    history = once.fit(2).history
    again.fit(2)
    other.fit(2)
    assert history["loss"][-1] < history["loss"][0]
    assert once.model_hash == again.model_hash != other.model_hash


@pytest.mark.network
@pytest.mark.parametrize("model", RECIPE.models)
def test_together_the_plants_know_faults_that_none_saw_alone(model):
    rounds = 40
    federation = RECIPE.build(model=model)
    federation.fit(rounds, clients_validate="none")
    comparison = hansa.compare(federation, rounds, metric=RECIPE.metric)
    assert all(row["local"] < 0.25 for row in comparison.rows.values())
    assert comparison.average["federated"] > 0.55
    assert comparison.average["federated"] > comparison.average["pooled"] - 0.15

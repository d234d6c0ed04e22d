import subprocess
import sys

import pytest

import hansa
from hansa.errors import UnknownNameError
from hansa.recipes import RECIPES

LIGHT = """
import sys
from hansa.recipes import RECIPES
RECIPES["heart-disease"].build(model="mlp", seed=3)
heavy = {"keras", "jax", "tensorflow", "torch"} & set(sys.modules)
assert not heavy, heavy
"""


def test_three_recipes_of_three_fields():
    assert list(RECIPES) == ["heart-disease", "german-credit", "process-faults"]
    assert len({recipe.field for recipe in RECIPES.values()}) == 3


@pytest.mark.parametrize("name", RECIPES)
def test_a_recipe_says_what_it_is(name):
    recipe = RECIPES[name]
    assert recipe.name == name
    assert set(recipe.models) == {"logistic", "mlp"}
    assert recipe.summary.endswith(".")
    assert recipe.summary.count(". ") == 0
    assert recipe.rounds >= 1


def test_neither_importing_nor_building_loads_keras():
    subprocess.run([sys.executable, "-c", LIGHT], check=True, timeout=120)


@pytest.mark.parametrize("name", RECIPES)
def test_an_unknown_model_is_told_with_the_nearest(name):
    with pytest.raises(UnknownNameError, match="Did you mean 'logistic'"):
        RECIPES[name].build(model="logistics")


@pytest.mark.parametrize("name", ["heart-disease", "german-credit"])
def test_another_algorithm_takes_the_place_of_averaging(name):
    algorithm = hansa.Scaffold(steps=2, batch_size=8)
    federation = RECIPES[name].build(algorithm=algorithm)
    assert federation.algorithm is algorithm
    federation.fit(1)
    assert federation.status == "finished"

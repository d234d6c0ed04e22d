import json

from hansa.cli.lists import where
from hansa.datasets import CATALOGUE
from hansa.recipes import RECIPES


def test_every_dataset_is_listed_with_its_licence(hansa):
    text = hansa("datasets").stdout
    for entry in CATALOGUE:
        assert entry.name in text
        assert f"{entry.rows:,}" in text
    assert "CC BY 4.0" in text
    assert "shipped" in text


def test_datasets_for_programs(hansa):
    values = json.loads(hansa("datasets", "--json").stdout)
    assert [value["name"] for value in values] == [entry.name for entry in CATALOGUE]
    assert values[0]["where"] == "shipped"
    assert values[0]["licence"] == "CC BY 4.0"


def test_where_data_are(monkeypatch):
    entries = {entry.name: entry for entry in CATALOGUE}
    for cached, mnist, wine in ((True, "cached", "installed"), (False, "on demand", "needs sklearn")):
        monkeypatch.setattr("hansa.cli.lists.is_cached", lambda _, cached=cached: cached)
        assert where(entries["mnist"]) == mnist
        assert where(entries["wine"]) == wine
        assert where(entries["heart_disease"]) == "shipped"


def test_recipes_for_people_and_programs(hansa):
    text = hansa("recipes").stdout
    values = json.loads(hansa("recipes", "--json").stdout)
    assert [value["name"] for value in values] == list(RECIPES)
    for recipe in RECIPES.values():
        assert recipe.name in text
    assert values[0]["models"] == list(next(iter(RECIPES.values())).models)

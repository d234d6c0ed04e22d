"""Text columns whose categories nobody declared: from the files to a trained model and new rows."""

import json

import numpy as np
import pytest

import hansa
from hansa.api.localise import localise
from hansa.data import CSV, Client, Split, Standardize, Vocabulary
from hansa.errors import ConfigurationError, DataError

keras = pytest.importorskip("keras")

TOWNS = ("Bern", "Genève", "Chur")
STEPS = [Standardize(scope="federated")]


def clients(folder, sizes=(40, 30, 20), rare=True, **options):
    """Three parties; the label follows the town, and each party has a town of its own in two rows."""
    made = []
    for i, size in enumerate(sizes):
        rng = np.random.default_rng(i)
        which = rng.integers(0, 3, size)
        rows = [f"{TOWNS[t]},{rng.normal():.3f},{int(t == 1)}" for t in which]
        rows[:2] = [f"Nowhere {i},0,0"] * 2 if rare else rows[:2]
        path = folder / f"{i}.csv"
        path.write_text("town,v,y\n" + "\n".join(rows) + "\n")
        column = {"town": Vocabulary(**{"minimum": 5, **options})}
        source = CSV(path, "y", categorical=column)
        made.append(Client(name=f"c{i}", source=source, preprocess=STEPS, split=Split(train=0.8, test=0.2)))
    return tuple(made)


def build():
    model = keras.Sequential([keras.Input((5,)), keras.layers.Dense(1, activation="sigmoid")])
    model.compile(keras.optimizers.SGD(0.5), "binary_crossentropy", metrics=["accuracy"])
    return model


def federation(parties, **options):
    return hansa.Federation(build, parties, algorithm=hansa.FedAvg(epochs=2, batch_size=8), seed=1, **options)


@pytest.mark.parametrize("kind", ["sealed", "masking"])
def test_every_sum_finds_the_same_categories(tmp_path, kind):
    parties = clients(tmp_path)
    plain, secure = localise(parties), localise(parties, hansa.secure_sum.SECURE_SUMS[kind]())
    assert plain.preprocessing == secure.preprocessing
    assert plain.cards == secure.cards
    columns = plain.cards["c0"].columns
    assert set(columns) == {"v", *(f"town={t}" for t in TOWNS), "town=[UNK]"}
    for name, site in plain.sites.items():
        np.testing.assert_array_equal(site.data.train.x, secure.sites[name].data.train.x)


def test_a_model_is_trained_resumed_and_used_on_new_rows(tmp_path):
    parties, folder = clients(tmp_path), tmp_path / "run"
    whole = federation(parties)
    whole.fit(rounds=6)
    federation(parties).fit(rounds=3, run=folder)
    again = federation(parties)
    again.fit(rounds=6, run=folder, resume=True)
    assert again.model_hash == whole.model_hash
    words, scaling = whole.preprocessing
    assert (words["kind"], words["column"], words["minimum"]) == ("vocabulary", "town", 5)
    assert sorted(words["categories"]) == sorted(TOWNS)
    kept = json.loads((folder / "preprocessing.json").read_text())
    assert kept["steps"] == json.loads(json.dumps(list(whole.preprocessing)))
    assert "Nowhere" not in json.dumps(kept) + (folder / "config.json").read_text()

    new = tmp_path / "new.csv"
    new.write_text("town,v,y\nGenève,0,1\nBern,0,0\nAtlantis,0,0\n")
    source = CSV(new, "y", categorical={"town": Vocabulary(categories=words["categories"])})
    x = (source.load().x - scaling["center"]) / scaling["scale"]
    assert (again.model.predict(x, verbose=0)[:, 0] > 0.5).tolist() == [True, False, False]


def test_what_cannot_be_is_told_before_training(tmp_path):
    parties = clients(tmp_path, minimum=1000)
    with pytest.raises(DataError, match=r"'town': no text is in 1000 rows or more; 90 rows .*Lower min"):
        localise(parties)
    with pytest.raises(DataError, match="1 rows or more of 4 clients or more"):
        localise(clients(tmp_path, minimum=1, holders=4))
    with pytest.raises(DataError, match=r"client 'c0': column 'town' holds 'Gen.*at most 4 are counted"):
        localise(clients(tmp_path, longest=4, rare=False))
    with pytest.raises(ConfigurationError, match=r"vocabulary of 'town', round 1: .*2 clients hides nothing"):
        localise(clients(tmp_path)[:2], hansa.Sealed())
    (tmp_path / "1.csv").write_text("city,v,y\nBern,0,1\n")
    with pytest.raises(DataError, match=r"client 'c1': .*column in 1\.csv"):
        localise(parties)


def test_declared_categories_stand_beside_found_ones(tmp_path):
    column = {"a": Vocabulary(minimum=2, holders=3), "b": ("u", "v"), "c": Vocabulary(minimum=2, holders=2)}
    made = []
    for i in range(3):
        rows = [f"{'xy'[r % 2]},{'uv'[r % 2]},{'kl'[i % 2]},{r % 2}\n" for r in range(6)]
        path = tmp_path / f"{i}.csv"
        path.write_text("a,b,c,y\n" + "".join(rows))
        made.append(Client(name=f"c{i}", source=CSV(path, "y", categorical=column)))
    found = localise(tuple(made))
    assert found.cards["c0"].columns == ("a=x", "a=y", "a=[UNK]", "b=u", "b=v", "c=k", "c=[UNK]")
    assert [step["categories"] for step in found.preprocessing] == [["x", "y"], ["k"]]

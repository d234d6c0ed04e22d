"""What the files of a private run tell beside what its plan of privacy accounts for."""

from __future__ import annotations

import hashlib
import io
import zipfile

import h5py
import keras
import numpy as np
import pytest
from keras import layers

import hansa
from hansa.privacy import CentralDP
from least_squares import federation, population, rows

PLAN = CentralDP(rounds=2, noise_multiplier=5.0)


def build():
    model = keras.Sequential([keras.Input((3,)), layers.Dense(1)])
    model.compile(keras.optimizers.Adam(0.01), "mse")
    return model


def numbers_of(path):
    """All arrays of a .keras file, by their place in it."""
    found = {}
    with zipfile.ZipFile(path) as file, h5py.File(io.BytesIO(file.read("model.weights.h5"))) as inside:
        inside.visititems(lambda name, it: found.update({name: it[()]}) if hasattr(it, "shape") else None)
    return found


class Sees(keras.callbacks.Callback):
    def __init__(self):
        super().__init__()
        self.slots = []

    def on_epoch_end(self, epoch, logs=None):
        self.slots += [
            np.abs(np.asarray(keras.ops.convert_to_numpy(v))) for v in self.model.optimizer.variables
        ]


@pytest.mark.backends
def test_the_model_is_kept_without_what_the_last_client_left_in_its_optimizer(tmp_path):
    """Moments of Adam are bare gradients of one client: no clip, no noise."""
    made, sees = hansa.Federation(build, population((5, 8)), privacy=PLAN), Sees()
    made.fit(2, run=tmp_path / "run", callbacks=[sees])
    kept = numbers_of(tmp_path / "run" / "model.keras")
    slots = [array for name, array in kept.items() if name.startswith("optimizer")]
    assert slots and all(np.isin(array, [0, np.float32(0.01)]).all() for array in slots)
    assert all(np.isin(array, [0, np.float32(0.01)]).all() for array in sees.slots)


def test_neither_log_nor_report_nor_configuration_has_a_hash_with_which_rows_can_be_guessed(tmp_path):
    """Who knows all rows but one can try that one: a hash that anyone can calculate is as good as the row."""
    made = federation(population((5, 8)), privacy=PLAN)
    made.fit(1, run=tmp_path / "run")
    guesses = [hashlib.sha256(array.tobytes()).hexdigest() for array in rows(5, seed=0)]
    for name in ("config.json", "report.html", "log/public.jsonl", "facts.json"):
        text = (tmp_path / "run" / name).read_text()
        assert not any(guess in text for guess in guesses), name


def test_files_with_what_clients_told_are_readable_by_their_owner_alone(tmp_path):
    made = hansa.Federation(build, population((5, 8)), privacy=PLAN)
    made.fit(1, run=tmp_path / "run")
    files = [path for path in (tmp_path / "run").rglob("*") if path.is_file()]
    assert [path.name for path in files if path.stat().st_mode & 0o077] == []

"""Certificates about data are checked again from the log."""

import json
import shutil

import numpy as np
import pytest

import hansa
from hansa.store.log import Log


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    import keras

    def build():
        model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(1, activation="sigmoid")])
        model.compile(keras.optimizers.SGD(0.5), "binary_crossentropy")
        return model

    x = np.random.default_rng(0).normal(size=(48, 3)).astype("float32").clip(-4, 4)
    clients = hansa.data.iid(x, (x[:, 0] > 0).astype("int64"), clients=3)
    federation = hansa.Federation(
        build,
        clients,
        seed=1,
        secure_sum=hansa.Sealed(proof=hansa.NormBound(bits=20)),
        claims=hansa.claims.Claims(
            records=10, ranges={f"feature {i}": (-4, 4) for i in range(3)}, exact_count=True, classes=(0, 1)
        ),
    )
    folder = tmp_path_factory.mktemp("certificates") / "run"
    federation.fit(1, run=folder)
    return folder


def rewritten(folder, change):
    """Write the public log anew with another note of certificates, and no private one, as in a bundle."""
    (folder / "log" / "private.jsonl").unlink()
    lines = (folder / "log" / "public.jsonl").read_text().splitlines()
    log = Log.create(folder / "log" / "public.jsonl", stream="public")
    for entry in map(json.loads, lines):
        if entry["kind"] == "certificates":
            entry["body"]["blobs"] = change(entry["body"]["blobs"])
        log.append(entry["kind"], entry["body"])


def test_they_are_checked_in_the_folder_and_in_the_bundle(run, tmp_path):
    for path in (run, hansa.export(run, tmp_path / "run.zip")):
        found = hansa.verify(path)
        assert (found.verdict, found.failure) == ("verified", "")
        assert found.claims.startswith("3 clients have shown of their data: ")
        assert any("fewer than 2^80 tries" in note for note in found.notes)  # 20 bits, to be quick


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda names: names[:-1], "does not have the certificates of 3 clients"),
        (lambda names: [names[0], names[0], names[2]], "no certificate came"),
        (lambda names: [*names[:-1], "0" * 64], "missing"),
        (lambda names: {"a": names}, "does not have the certificates"),
    ],
)
def test_one_that_is_missing_is_missed(run, tmp_path, change, told):
    folder = shutil.copytree(run, tmp_path / "run")
    rewritten(folder, change)
    found = hansa.verify(folder)
    assert found.verdict == "failed"
    assert told in found.failure


def test_a_changed_byte_of_one_is_found(run, tmp_path):
    folder = shutil.copytree(run, tmp_path / "run")
    names = next(
        e.body["blobs"]
        for e in Log(folder / "log/public.jsonl", stream="public", write=False).entries()
        if e.kind == "certificates"
    )
    path = folder / "blobs" / names[1][:2] / names[1]
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    found = hansa.verify(folder)
    assert found.verdict == "failed"
    assert names[1] in found.failure

"""Four hospitals, sealed and proven: one is silent in a round, one cheats in another. Anyone verifies it."""

import json
import re
import shutil

import pytest

import hansa
from hansa.recipes import RECIPES
from hansa.testing.faults import SILENT, Unreliable
from verified_runs import lying

pytestmark = pytest.mark.xdist_group("end to end")
ABSENT, LIAR, ROUNDS = "hungary", "va", 4


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """Train: Hungary is silent in round 1, VA's update is a thousand times too large in round 2."""
    folder = tmp_path_factory.mktemp("end_to_end") / "run"
    federation = RECIPES["heart-disease"].build(model="logistic", seed=0, algorithm=None)
    federation.secure_sum = hansa.Sealed(proof=hansa.NormBound())
    federation.engine = Unreliable(hansa.Local(), {(1, "train"): (ABSENT,)})
    with lying(LIAR, 2):
        federation.fit(ROUNDS, run=folder)
    return folder, federation


def test_the_run_finishes_and_names_both(run):
    folder, federation = run
    first, silent, lied, last = federation.records
    assert not first.dropped and not last.dropped
    assert silent.dropped == {ABSENT: SILENT}
    assert list(lied.dropped) == [LIAR] and lied.dropped[LIAR].startswith("its proof was rejected")
    assert not any(record.void for record in federation.records)
    page = " ".join(re.sub(r"<[^>]+>", " ", (folder / "report.html").read_text()).split())
    assert f"2 {ABSENT} {SILENT}" in page  # the round (from 1), the hospital, and why
    assert f"3 {LIAR} its proof was rejected" in page


def test_anyone_verifies_it_from_its_folder_and_from_its_bundle(run, tmp_path):
    folder, federation = run
    bundle = hansa.export(folder, tmp_path / "run.zip")
    for path in (folder, bundle):
        found = hansa.verify(path)
        assert (found.verdict, found.failure, found.unchecked) == ("verified", "", ())
        assert [check.summed for check in found.rounds] == [4, 3, 3, 4]
        assert [check.proofs for check in found.rounds] == [4, 3, 3, 4]
        assert [check.step for check in found.rounds] == ["exact"] * ROUNDS
        assert [list(check.left_out) for check in found.rounds] == [[], [ABSENT], [LIAR], []]
        assert SILENT in found.rounds[1].left_out[ABSENT]
        assert found.rounds[2].left_out[LIAR].startswith("its proof was rejected")
        assert found.rounds[-1].model_hash == federation.model_hash


@pytest.mark.parametrize(
    "where", ["config.json", "log/public.jsonl", "log/private.jsonl", "blobs", "history.jsonl"]
)
def test_a_changed_byte_is_found(run, tmp_path, where):
    folder = shutil.copytree(run[0], tmp_path / "run")
    path = folder / where
    if path.is_dir():
        path = max((blob for blob in path.rglob("*") if blob.is_file()), key=lambda blob: blob.stat().st_size)
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    found = hansa.verify(folder)
    assert found.verdict == "failed"
    assert path.name in found.failure


def test_a_seal_that_is_taken_out_of_the_log_is_missed(run, tmp_path):
    """The chain is made anew, as whoever has the folder could."""
    from hansa.store.log import Log

    folder = shutil.copytree(run[0], tmp_path / "run")
    (folder / "log" / "private.jsonl").unlink()  # a bundle has none either
    lines = (folder / "log" / "public.jsonl").read_text().splitlines()
    log = Log.create(folder / "log" / "public.jsonl", stream="public")
    for line in lines:
        entry = json.loads(line)
        if entry["body"].get("round") == 0 and entry["kind"] == "round":
            sums = entry["body"]["sums"]["train"]["train"]
            del sums["blobs"]["va"]
            sums["silent"]["va"] = SILENT
        log.append(entry["kind"], entry["body"])
    found = hansa.verify(folder)
    assert found.verdict == "failed"
    assert found.failure.startswith("round 0: ")

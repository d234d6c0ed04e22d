"""Whole verifications: what is verified, what is only intact, and every changed byte."""

import json
import zipfile

import numpy as np
import pytest

import hansa
import hansa.round
from hansa.errors import LogError, MissingExtraError, RunError
from hansa.secure_sum.sealed.dealing import REJECTED
from hansa.verification import checks, export, verify
from verified_runs import (
    LIAR,
    Adds,
    arrays_in,
    copied,
    declared,
    entries,
    forged,
    put_arrays,
    rounds_of,
)

VERIFIED = [
    *("sealed", "proven", "fedadam", "keras", "cohort", "tell cohort", "rotated", "scaffold", "fedbn"),
    *("validated", "void", "void late", "one silent", "accused", "resumed", "scheduled"),
    *("distributed", "distributed cohort"),
]
INTACT = {
    "plain": "added in the clear",
    "masking": "masked sums cannot be added up again",
    "not kept": "was not kept from round 0 on",
    "central": "added in the clear",
    "central sealed": "with CentralDP sums are not public",
}


@pytest.mark.parametrize("kind", VERIFIED)
def test_a_run_whose_sums_are_sealed_is_verified_from_its_folder_and_from_its_bundle(kind, run_of, tmp_path):
    for path in (run_of(kind), export(run_of(kind), tmp_path / "x.hansa.zip")):
        found = verify(path)
        assert (found.verdict, found.failure, found.unchecked) == ("verified", "", ())
        told = rounds_of(entries(run_of(kind), "public"))
        assert [check.model_hash for check in found.rounds] == [body["model_hash"] for body in told]
        assert [check.round for check in found.rounds] == list(range(len(told)))
        assert all(check.sums and check.step == "exact" for check in found.rounds)
        assert found.finished.startswith("finished 20")


@pytest.mark.parametrize("kind", INTACT)
def test_what_cannot_be_done_again_is_intact_and_says_why(kind, run_of, tmp_path):
    for path in (run_of(kind), export(run_of(kind), tmp_path / "x.hansa.zip")):
        found = verify(path)
        assert (found.verdict, found.failure) == ("intact", "")
        assert INTACT[kind] in found.unchecked[0]
        assert all(not check.sums and not check.step for check in found.rounds)


def test_records_are_verified_but_their_loss_is_added_up_only_with_the_private_log(run_of, tmp_path):
    whole = verify(run_of("records"))
    assert (whole.verdict, [check.proofs for check in whole.rounds]) == ("verified", [3, 3])
    assert 0 < whole.rounds[0].epsilon < whole.rounds[1].epsilon
    bundle = verify(export(run_of("records"), tmp_path / "x.hansa.zip"))
    assert bundle.verdict == "intact"
    assert "private log" in bundle.unchecked[0]
    assert any("Metrics were not added up again" in note for note in bundle.notes)
    assert [check.epsilon for check in bundle.rounds] == [check.epsilon for check in whole.rounds]


def test_counts_who_is_in_each_sum(run_of):
    rounds = verify(run_of("cohort")).rounds
    assert [(check.clients, check.summed, check.proofs) for check in rounds] == [(4, 4, 0)] * 2
    rounds = verify(run_of("proven")).rounds
    assert [(check.clients, check.summed, check.proofs) for check in rounds] == [(3, 3, 3)] * 2


def test_who_was_silent_and_whose_proof_is_false_are_both_named(run_of, tmp_path):
    for path in (run_of("accused"), export(run_of("accused"), tmp_path / "x.hansa.zip")):
        first, second = verify(path).rounds
        assert first.left_out == {}
        assert list(second.left_out) == ["c2", LIAR]
        assert second.left_out["c2"] == "the coordinator tells: 'it did not answer'"
        assert second.left_out[LIAR].startswith(REJECTED)
        assert (second.clients, second.summed, second.proofs, second.void) == (5, 3, 3, "")


@pytest.mark.parametrize("kind", ["void", "void late"])
def test_a_void_round_leaves_the_model_as_it_was(kind, run_of):
    first, void, last = verify(run_of(kind)).rounds
    assert void.model_hash == first.model_hash != last.model_hash
    assert (first.void, last.void) == ("", "")
    assert ("c1: the coordinator tells: 'it did not answer'" in void.void) == (kind == "void")
    assert void.summed == 0


def test_a_callback_that_changes_weights_is_at_odds_with_the_sum(run_of):
    found = verify(run_of("changed"))
    assert found.verdict == "failed"
    assert found.failure.startswith("round 0: the model is not what the server's step makes of the sum")
    assert "A callback that changes weights" in found.failure
    assert found.rounds == ()


def test_the_learning_rate_of_a_callback_and_an_earlier_model_put_back(run_of):
    found = verify(run_of("scheduled"))
    assert found.finished.endswith("with the model of round 0")
    told = rounds_of(entries(run_of("scheduled"), "public"))
    assert "learning_rate" not in told[0]  # the compiled one
    assert told[1]["learning_rate"] == pytest.approx(0.025)


def test_a_server_step_of_keras_may_differ_in_its_last_digits(run_of, tmp_path, monkeypatch):
    real = hansa.round.optimizer_step

    def elsewhere(by):
        def step(*known, weights, **more):
            new, slots = real(*known, weights=weights, **more)
            return weights + (new - weights) * np.float32(1 + by), slots

        return step

    bundle = export(run_of("keras"), tmp_path / "x.hansa.zip")
    monkeypatch.setattr(hansa.round, "optimizer_step", elsewhere(5e-5))
    for path in (run_of("keras"), bundle):
        found = verify(path)  # the metrics, which are bound to the model of the log, are added up, too
        assert (found.verdict, [check.step for check in found.rounds]) == ("verified", ["close", "close"])
    monkeypatch.setattr(hansa.round, "optimizer_step", elsewhere(1e-3))
    assert "round 0: the model is not what the server's step makes" in verify(bundle).failure


def test_progress_is_told_and_head_and_roster_are_compared(run_of):
    told = []
    found = verify(run_of("sealed"), progress=lambda done, of: told.append((done, of)))
    assert told == [(1, 2), (2, 2)]
    good = verify(run_of("sealed"), head=found.head.upper(), roster=found.roster)
    assert good.verdict == "verified"
    for what in ("head", "roster"):
        other = verify(run_of("sealed"), **{what: "0" * 64})
        assert other.verdict == "failed"
        assert f"this is another log: the hash of its {what}" in other.failure
    assert verify(run_of("plain"), roster="0" * 64).verdict == "failed"


def test_what_is_no_run_raises(tmp_path):
    (tmp_path / "text").write_text("no run")
    (tmp_path / "folder").mkdir()
    for name in ("text", "folder", "nothing"):
        with pytest.raises(RunError):
            verify(tmp_path / name)


def test_a_missing_package_is_no_verdict(run_of, monkeypatch):
    def missing(*_):
        raise MissingExtraError("a sealed sum", "numba", "secure")

    monkeypatch.setattr(checks, "rebuilt", missing)
    with pytest.raises(MissingExtraError):
        verify(run_of("sealed"))


def test_a_run_that_goes_on_is_verified_up_to_here(run_of, tmp_path):
    def break_off(public, private, config):
        del public[-2:]  # its end, and a round whose private entry is there already

    found = verify(forged_up_to(run_of("sealed"), tmp_path / "run", break_off))
    assert (found.verdict, len(found.rounds), found.finished) == ("verified", 1, "")


def forged_up_to(run, to, change):
    """Like `forged`, but leaves the private log as it is."""
    folder = copied(run, to)
    lines = (folder / "log" / "public.jsonl").read_bytes().splitlines(keepends=True)
    change(lines, [], {})
    (folder / "log" / "public.jsonl").write_bytes(b"".join(lines))
    history = (folder / "history.jsonl").read_bytes().splitlines(keepends=True)
    (folder / "history.jsonl").write_bytes(b"".join(history[:1]))
    return folder


def test_a_copy_made_anew_with_its_own_chain_is_verified_too(run_of, tmp_path):
    """What the attacks are built with changes nothing by itself."""
    assert verify(forged(run_of("sealed"), tmp_path / "run")).verdict == "verified"


# ---------------------------------------------------------------- changed bytes


def part_of_the_log(folder):
    named = {path for path in (folder / "blobs").rglob("*") if path.is_file()}
    logs = {folder / "log" / "public.jsonl", folder / "log" / "private.jsonl"}
    return sorted(named | logs | {folder / "config.json", folder / "history.jsonl"})


@pytest.mark.parametrize("kind", ["sealed", "plain"])
def test_every_file_of_a_run_is_covered_byte_by_byte(kind, run_of, tmp_path):
    folder, stream = copied(run_of(kind), tmp_path / "run"), np.random.default_rng(0)
    files = part_of_the_log(folder)
    assert len(files) >= 8
    for path in files:
        data = path.read_bytes()
        for position in {len(data) - 1, *stream.integers(len(data), size=2).tolist()}:
            changed = bytearray(data)
            changed[position] ^= 1 << int(stream.integers(8))
            path.write_bytes(changed)
            where = f"byte {position} of {path.relative_to(folder)}"
            try:
                found = verify(folder)
            except RunError as error:
                assert path.name == "public.jsonl", where  # of another format, or no run any more
                assert not isinstance(error, LogError), where
                continue
            assert found.verdict == "failed", where
            assert path.name[:8] in found.failure, (where, found.failure)
        path.write_bytes(data)
    assert verify(folder).ok


@pytest.mark.parametrize("what", ["config.json", "log/private.jsonl", "history.jsonl", "a blob"])
def test_a_file_that_is_gone_is_missed(what, run_of, tmp_path):
    folder = copied(run_of("sealed"), tmp_path / "run")
    own = rounds_of(entries(folder, "private"))[-1]
    path = folder / "blobs" / own["slots"][:2] / own["slots"] if what == "a blob" else folder / what
    path.unlink()
    found = verify(folder)
    if what in ("history.jsonl", "log/private.jsonl"):  # derived from the log; not in a bundle either
        assert found.verdict == "verified"
    else:
        assert found.verdict == "failed"
        assert path.name in found.failure


def test_what_is_in_a_bundle_is_covered_byte_by_byte(run_of, tmp_path):
    bundle = export(run_of("sealed"), tmp_path / "x.hansa.zip")
    whole, data, stream = verify(bundle), bundle.read_bytes(), np.random.default_rng(1)
    with zipfile.ZipFile(bundle) as archive:
        infos = archive.infolist()
    path = tmp_path / "changed.zip"
    for info in infos:
        start = info.header_offset + 30 + len(info.filename)
        for position in (start + stream.integers(info.file_size, size=2)).tolist():
            path.write_bytes(flipped(data, position, stream))
            assert verify(path).verdict == "failed", (info.filename, position)
    # What is around the files (dates, attributes) says nothing: there a change may pass, if nothing changes.
    for position in stream.integers(infos[-1].header_offset, len(data), size=40).tolist():
        path.write_bytes(flipped(data, position, stream))
        try:
            found = verify(path)
        except RunError:
            continue
        assert not found.ok or same(found, whole), position


def flipped(data, position, stream):
    changed = bytearray(data)
    changed[position] ^= 1 << int(stream.integers(8))
    return bytes(changed)


def same(one, other):
    a, b = ({**each.to_json(), "seconds": 0} for each in (one, other))
    for told in (a, b):
        told["rounds"] = [{**check, "seconds": 0} for check in told["rounds"]]
    return json.dumps(a) == json.dumps(b)


# ---------------------------------------------------------------- checkpoints that were not kept


def test_models_that_were_not_to_be_kept_are_not_missed(run_of, tmp_path):
    def forget(public, private, config):
        for body in rounds_of(private):
            body["kept_from"] = body["round"]

    folder = forged(run_of("sealed"), tmp_path / "run", forget)
    first, last = (body["weights"] for body in rounds_of(entries(folder, "public")))
    (folder / "blobs" / first[:2] / first).unlink()
    assert verify(folder).verdict == "verified"
    assert verify(export(folder)).verdict == "verified"
    (folder / "blobs" / last[:2] / last).unlink()
    assert f"round 1: blob {last} is missing" in verify(folder).failure


def test_the_model_of_another_size_is_no_crash(run_of, tmp_path):
    def grow(public, private, config):
        body = rounds_of(public)[0]
        wide = np.append(arrays_in(run_of("keras"), body["weights"])["weights"], np.float32(0))
        body["weights"] = put_arrays(tmp_path / "run", {"weights": wide})
        body["model_hash"] = hansa.tree.vector_hash(wide)

    found = verify(forged(run_of("keras"), tmp_path / "run", grow))
    assert "round 0: the model is not what the server's step makes" in found.failure


def test_adding_one_in_a_callback_is_what_the_test_above_is_about():
    made = declared()
    made.fit(1, callbacks=[Adds()])
    plain = declared()
    plain.fit(1)
    assert np.allclose(made.weights, plain.weights + 1)

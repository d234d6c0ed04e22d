"""A coordinator that lies in the log of a run, with hash chains as they must be; hostile logs and bundles."""

from __future__ import annotations

import copy
import dataclasses
import json
import shutil
import struct
import sys
import zipfile

import numpy as np
import pytest

from hansa.errors import LogError, RunError
from hansa.secure_sum.roster import Member, Roster
from hansa.secure_sum.sealed.dealing import REJECTED
from hansa.secure_sum.sealed.messages import Complaints, Lock, Opening
from hansa.secure_sum.sealed.party import Party
from hansa.store.canonical import canonical_json, parse_json
from hansa.tree import vector_hash
from hansa.verification import export, verify
from hansa.verification.bundle import CONFIG, LOG
from junk import changed, places
from verified_runs import (
    LIAR,
    SPLIT,
    arrays_in,
    chain,
    copied,
    declared,
    entries,
    forged,
    put,
    put_arrays,
    rounds_of,
)

TOLD = "the coordinator tells: "


@pytest.fixture
def lie(run_of, tmp_path):
    """Verifies a run with a lie, ``lie(kind, change)``: in its folder, and in its bundle if asked to.

    The change takes both logs and the configuration; the folder is ``tmp_path / "run"``.
    """

    def tell(kind, change, *, bundle=False, **known):
        for path in (tmp_path / "run", tmp_path / "run.hansa.zip"):
            shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
        folder = forged(run_of(kind), tmp_path / "run", change)
        found = verify(folder, **known)
        if bundle:
            other = verify(export(folder), **known)
            assert other.verdict == found.verdict, (found.failure, other.failure)
        return found

    return tell


def sums(public, number=1, purpose="train"):
    return rounds_of(public)[number]["sums"][purpose]


def fails(found, place, *words):
    assert found.verdict == "failed"
    assert found.failure.startswith(place), found.failure
    assert all(word in found.failure for word in words), found.failure


def end_with(public, model_hash):
    """Let the log's end tell the same as its last round."""
    if public[-1]["kind"] != "round":
        public[-1]["body"]["model_hash"] = model_hash


# ---------------------------------------------------------------- models and sums


@pytest.mark.parametrize("kind", ["sealed", "proven", "keras"])
def test_another_model(kind, lie, run_of, tmp_path):
    def change(public, private, config):
        body = rounds_of(public)[-1]
        weights = arrays_in(run_of(kind), body["weights"])["weights"] + np.float32(0.01)
        body["weights"] = put_arrays(tmp_path / "run", {"weights": weights})
        body["model_hash"] = vector_hash(weights)
        end_with(public, body["model_hash"])

    fails(lie(kind, change, bundle=True), "round 1: the model is not what the server's step makes of the sum")


def test_another_first_model(lie, run_of, tmp_path):
    def change(public, private, config):
        started = next(entry["body"] for entry in public if entry["kind"] == "started")
        weights = arrays_in(run_of("sealed"), started["initial"])["weights"] + np.float32(1)
        started["initial"] = put_arrays(tmp_path / "run", {"weights": weights})

    fails(lie("sealed", change), "config.json: the first model is not the one of the configuration")


def leave_out(public, name, why="it did not answer", number=1):
    told = sums(public, number)["train"]
    told["blobs"].pop(name)
    told["silent"][name] = why


@pytest.mark.parametrize("admits", [True, False])
def test_an_update_left_out_although_its_sum_was_locked_with_it(admits, lie):
    def change(public, private, config):
        leave_out(public, "c1")
        if admits:
            rounds_of(private)[1]["record"]["dropped"] = {"c1": "it did not answer"}
            rounds_of(public)[1]["dropped_count"] = 1

    fails(
        lie("sealed", change, bundle=True),
        "round 1: the model is not what the server's step makes of the sum",
    )


def test_an_update_counted_twice(lie):
    def change(public, private, config):
        told = sums(public)["train"]
        told["blobs"]["c2"] = told["blobs"]["c1"]

    fails(lie("sealed", change), "round 1: the model is not what")


def test_an_update_counted_twice_under_two_names(lie, tmp_path, run_of):
    def change(public, private, config):
        told = sums(public)["train"]
        arrays = arrays_in(run_of("sealed"), told["blobs"]["c1"])
        said = parse_json(arrays["messages"].tobytes())
        text = canonical_json({**said, "c2": said["c1"]})
        arrays["messages"] = np.frombuffer(text, np.uint8)
        told["blobs"] = {**told["blobs"], "c1": put_arrays(tmp_path / "run", arrays)}
        told["blobs"].pop("c2")

    fails(lie("sealed", change), "round 1: the model is not what")


def test_messages_of_one_round_in_another(lie):
    def change(public, private, config):
        first, second = rounds_of(public)
        second["sums"] = copy.deepcopy(first["sums"])

    fails(lie("sealed", change), "round 1: the model is not what")


def test_messages_of_another_run(lie, run_of, tmp_path):
    def change(public, private, config):
        other = rounds_of(entries(run_of("resumed"), "public"))
        for body, from_there in zip(rounds_of(public), other, strict=True):
            body["sums"] = from_there["sums"]
            body["weights"], body["model_hash"] = from_there["weights"], from_there["model_hash"]
        for path in (run_of("resumed") / "blobs").rglob("*"):
            if path.is_file():
                put(tmp_path / "run", path.read_bytes())
        end_with(public, other[-1]["model_hash"])

    fails(lie("sealed", change), "round 0: the model is not what")


def spoil(folder, told, names, field="share"):
    """Change what these holders said in one phase."""
    arrays = arrays_in(folder, told["blobs"]["all"])
    said = parse_json(arrays["messages"].tobytes())
    for name in names:
        at = f"{said[name]['number']}.{field}"
        changed = arrays[at].copy()
        changed[0] ^= 1
        arrays[at] = changed
    told["blobs"] = {"all": put_arrays(folder, arrays)}


def test_openings_that_are_changed_do_not_count(lie, tmp_path):
    def one(public, private, config):
        spoil(tmp_path / "run", sums(public)["open"], ["c0"])

    def two(public, private, config):
        spoil(tmp_path / "run", sums(public)["open"], ["c0", "c1"])

    found = lie("sealed", one)  # three of four are enough, and give the same sum: there is no lie in it
    assert found.verdict == "verified"
    fails(lie("sealed", two), "round 1: the model is not what")


def test_a_seal_or_a_proof_that_is_changed(lie, tmp_path):
    def change(public, private, config):
        told = sums(public)["train"]
        arrays = arrays_in(tmp_path / "run", told["blobs"]["c1"])
        at = next(name for name in arrays if name.endswith(".proof"))
        arrays[at] = arrays[at] ^ np.uint8(1)
        told["blobs"]["c1"] = put_arrays(tmp_path / "run", arrays)

    fails(lie("proven", change), "round 1: the model is not what")


# ---------------------------------------------------------------- what clients signed for


@pytest.mark.parametrize(
    ("words", "change"),
    [
        ("numbers in the configuration do not follow", lambda c: c["secure_sum"].update(survivors=2)),
        ("numbers in the configuration do not follow", lambda c: c["secure_sum"].update(bound=2**20)),
        ("numbers in the configuration do not follow", lambda c: c["quantise"].update(bound_l2=2**20)),
        ("two groups could each open another sum", lambda c: c["secure_sum"].update(threshold=2)),
        ("the first model is not the one", lambda c: c.update(initial_weights="0" * 64)),
        ("the members of the roster have the hash", lambda c: c["roster"]["members"].pop()),
    ],
)
def test_a_configuration_that_does_not_hold_together(words, change, lie):
    fails(lie("sealed", lambda public, private, config: change(config)), "config.json: ", words)


@pytest.mark.parametrize(
    "change",
    [
        lambda c: c.update(seed=4),
        lambda c: c.update(title="another"),
        lambda c: c.update(more=1),
        lambda c: c["algorithm"].update(batch_size=3),
        lambda c: c["secure_sum"].update(threshold=4, corrupt=0, corrupt_members=0, survivors=4),
        lambda c: c["roster"].update(another_key(c["roster"]["members"])),
    ],
    ids=["seed", "title", "more", "algorithm", "threshold", "a key"],
)
def test_a_configuration_that_clients_did_not_sign_for(change, lie):
    found = lie("sealed", lambda public, private, config: change(config))
    fails(found, "round 0: the model is not what")


def another_key(members):
    """Return a roster with a key of the coordinator's own in the place of a client's."""
    made = [
        Member(name=m["name"], exchange=bytes.fromhex(m["exchange"]), signing=bytes.fromhex(m["signing"]))
        for m in members
    ]
    made[1] = dataclasses.replace(made[1], signing=b"\xab" * 32)
    return Roster(tuple(made)).describe()


def test_the_roster_of_a_run_that_cannot_be_done_again_has_the_hash_that_it_tells(lie):
    def change(public, private, config):
        config["roster"]["members"][1]["signing"] = "ab" * 32

    fails(lie("masking", change), "config.json: the members of the roster have the hash")


def test_the_engine_is_the_coordinators_own_and_decides_nothing(lie):
    assert lie("sealed", lambda p, q, config: config.update(engine={"kind": "other"})).verdict == "verified"


def test_another_learning_rate(lie):
    def change(public, private, config):
        rounds_of(public)[1]["learning_rate"] = 1.0

    fails(lie("scheduled", change), "round 1: the model is not what")


# ---------------------------------------------------------------- what is said of clients


def test_nobody_is_blamed_for_a_proof_that_it_has_not_signed(lie):
    """The coordinator says that a proof was rejected which it does not show."""

    def change(public, private, config):
        sums(public)["train"]["silent"]["c2"] = f"{REJECTED}: too large"

    found = lie("accused", change, bundle=True)
    assert found.verdict == "verified"
    assert found.rounds[1].left_out["c2"] == f"{TOLD}'{REJECTED}: too large'"


def test_an_honest_client_whose_message_is_held_back_is_not_blamed(lie):
    def change(public, private, config):
        leave_out(public, "c1", f"{REJECTED}: too large", number=1)

    fails(lie("sealed", change), "round 1: the model is not what")  # it was locked with it


def test_the_private_log_blames_whom_the_messages_do_not(lie):
    def change(public, private, config):
        rounds_of(private)[1]["record"]["dropped"]["c2"] = f"{REJECTED}: too large"

    fails(lie("accused", change), "round 1: the log says whose proof was rejected = ['c2', 'c4']")


def test_a_proof_spoiled_by_the_coordinator_is_not_the_clients(lie, tmp_path):
    """Its signature does not fit any more, which is what is said of it."""

    def change(public, private, config):
        told = sums(public)["train"]
        arrays = arrays_in(tmp_path / "run", told["blobs"][LIAR])
        at = next(name for name in arrays if name.endswith(".proof"))
        arrays[at] = arrays[at] ^ np.uint8(1)
        told["blobs"][LIAR] = put_arrays(tmp_path / "run", arrays)
        rounds_of(private)[1]["record"]["dropped"][LIAR] = "not signed"

    found = lie("accused", change)
    assert found.verdict == "verified"
    assert "not signed by its sender" in found.rounds[1].left_out[LIAR]


def test_a_reason_cannot_pass_for_another_clients_fault(lie):
    def change(public, private, config):
        told = sums(public)["train"]
        told["silent"]["c1"] = f"late; c0: {REJECTED}: too large\n\x1b[2J"

    found = lie("void", change, bundle=True)
    assert found.verdict == "verified"
    assert f"c1: {TOLD}'late; c0: {REJECTED}: too large\\n\\x1b[2J'" in found.rounds[1].void


def test_complaints_of_the_coordinators_own_do_not_blame_a_dealer_alone(lie, tmp_path):
    """They are not signed: the model then does not follow, since a locked sum has the dealer in it."""

    def change(public, private, config):
        told = sums(public)["deliver"]
        arrays = arrays_in(tmp_path / "run", told["blobs"]["all"])
        said = parse_json(arrays["messages"].tobytes())
        for name in ("c0", "c2", "c3"):
            said[name]["message"]["reasons"] = [["c1", "its share is wrong"]]
        arrays["messages"] = np.frombuffer(canonical_json(said), np.uint8)
        told["blobs"] = {"all": put_arrays(tmp_path / "run", arrays)}

    fails(lie("sealed", change), "round 1: the model is not what")


@pytest.mark.parametrize(
    ("field", "value", "words"),
    [
        ("cohort", ["c0", "c1", "c2", "c5"], "cohort"),
        ("dropped", {"c0": "x"}, "who is left out"),
        ("void", "it was", "whether it is void"),
        ("corrected", {"c1": "wrong"}, "whose answers were corrected"),
        ("update_norm", 0.5, "update_norm"),
    ],
)
def test_the_private_record_is_what_happened(field, value, words, lie):
    def change(public, private, config):
        record = rounds_of(private)[1]["record"]
        assert record[field] != value
        record[field] = value

    fails(lie("cohort", change), f"round 1: the log says {words} =")


@pytest.mark.parametrize("name", ["cohort_size", "dropped_count"])
def test_the_public_counts_are_what_happened(name, lie):
    def change(public, private, config):
        rounds_of(public)[1][name] = 3

    fails(lie("cohort", change), f"round 1: the log says {name} = 3")


# ---------------------------------------------------------------- metrics


def test_metrics_that_were_not_told(lie):
    def change(public, private, config):
        logs = rounds_of(public)[1]["logs"]
        name = next(name for name in logs if name.startswith("clients_val_"))
        logs[name] *= 0.5

    fails(lie("sealed", change, bundle=True), "round 1: the log says logs =")


def test_metrics_whose_sum_is_gone(lie):
    def change(public, private, config):
        del rounds_of(public)[1]["sums"]["tell"]
        rounds_of(public)[1]["logs"]["loss"] = 0.0

    fails(lie("sealed", change), "round 1: the log does not have what clients told of their metrics")


def test_the_private_messages_do_not_take_the_place_of_the_public_ones(lie):
    def change(public, private, config):
        rounds_of(private)[1]["sums"] = copy.deepcopy(rounds_of(public)[0]["sums"])

    fails(lie("sealed", change), "round 1: the messages of one sum are in the public and in")


# ---------------------------------------------------------------- void rounds, and rounds that are gone


def hold_back(public, number):
    """Tell a good round as void: without openings, and with the model before it."""
    told = sums(public, number)
    told["open"] = {"blobs": {}, "silent": {}}
    first = next(entry["body"] for entry in public if entry["kind"] == "started")["initial"]
    before = rounds_of(public)[number - 1]["weights"] if number else first
    rounds_of(public)[number]["weights"] = before


def void(public, private, number, run):
    hold_back(public, number)
    body = rounds_of(public)[number]
    body["model_hash"] = vector_hash(arrays_in(run, body["weights"])["weights"])
    rounds_of(public)[number]["logs"] = {}
    rounds_of(public)[number]["dropped_count"] = 4
    record = rounds_of(private)[number]["record"]
    record |= {"void": "x", "dropped": dict.fromkeys(record["cohort"], "x"), "update_norm": 0.0}
    del body["sums"]["tell"]["deliver"]


def test_a_good_round_told_as_void(lie, run_of):
    """Others follow, whose clients have signed that they were given its model."""

    def change(public, private, config):
        void(public, private, 0, run_of("sealed"))
        body = rounds_of(public)[0]
        body["sums"]["tell"] = {"tell": {"blobs": {}, "silent": {}}}

    fails(lie("sealed", change, bundle=True), "round 1: the model is not what")


def test_the_last_round_told_as_void_is_no_lie_that_a_log_can_show(lie, run_of):
    """To hold openings back is to throw the round away: the model is then the one before, and is told so."""

    def change(public, private, config):
        void(public, private, 1, run_of("sealed"))
        body = rounds_of(public)[1]
        body["sums"]["tell"] = {"tell": {"blobs": {}, "silent": {}}}
        end_with(public, body["model_hash"])

    found = lie("sealed", change, bundle=True)
    assert (found.verdict, found.rounds[1].summed) == ("verified", 0)
    assert "0 holders opened" in found.rounds[1].void
    assert found.rounds[1].model_hash == found.rounds[0].model_hash


def test_a_void_round_told_as_good(lie):
    def change(public, private, config):
        _, voided, last = rounds_of(public)
        voided["weights"], voided["model_hash"] = last["weights"], last["model_hash"]
        record = rounds_of(private)[1]["record"]
        record |= {"void": "", "dropped": {}}

    fails(lie("void late", change), "round 1: the model is not what")


@pytest.mark.parametrize("end", [True, False])
def test_rounds_that_are_removed_at_the_end(end, lie, run_of):
    """The end of the log tells; without it only its head does, or who knows how many rounds there were."""

    def change(public, private, config):
        public.pop(max(i for i, entry in enumerate(public) if entry["kind"] == "round"))
        private.pop(max(i for i, entry in enumerate(private) if entry["kind"] == "round"))
        if end:
            public[-1]["body"]["model_hash"] = rounds_of(public)[-1]["model_hash"]
        else:
            public.pop()

    found = lie("sealed", change, bundle=True)
    if end:
        fails(found, "the log ends with a model of 2 rounds, and has 1")
    else:
        assert (found.verdict, len(found.rounds), found.finished) == ("verified", 1, "")


def test_a_log_without_rounds_is_not_called_verified(lie):
    """All rounds are cut off: nothing was added up, and a green verdict would say that it was."""

    def change(public, private, config):
        while rounds_of(public):
            del public[-1]
        private[:] = [entry for entry in private if entry["kind"] != "round"]

    found = lie("proven", change, bundle=True)
    assert (found.verdict, found.rounds, found.finished) == ("intact", (), "")
    assert found.unchecked == ("the log has no round",)


def test_the_head_of_the_log_shows_that_rounds_are_gone(lie, run_of):
    head = verify(run_of("sealed")).head

    def change(public, private, config):
        del public[-2:], private[-1:]

    fails(lie("sealed", change, head=head), "this is another log: the hash of its head")


def test_a_round_removed_at_the_beginning(lie):
    def change(public, private, config):
        for log in (public, private):
            log.pop(next(i for i, entry in enumerate(log) if entry["kind"] == "round"))
            next(iter(rounds_of(log)))["round"] = 0
        rounds_of(private)[0]["record"].pop("round", None)

    fails(lie("sealed", change), "round 0: the model is not what")


def test_rounds_that_are_out_of_order(lie):
    def change(public, private, config):
        for log in (public, private):
            at = [i for i, entry in enumerate(log) if entry["kind"] == "round"]
            log[at[0]], log[at[1]] = log[at[1]], log[at[0]]

    fails(lie("sealed", change), "entry", "is of round 1, not 0")


def test_messages_that_are_gone_are_not_verified(lie):
    """Without messages a round is the coordinator's word; so is all that follows."""

    def change(public, private, config):
        del rounds_of(public)[1]["sums"]

    found = lie("sealed", change, bundle=True)
    assert (found.verdict, [check.step for check in found.rounds]) == ("intact", ["exact", ""])
    assert found.unchecked == ("what clients sent was not kept from round 1 on",)


# ---------------------------------------------------------------- privacy


def less(body):
    body["privacy"]["epsilon"] *= 0.9


@pytest.mark.parametrize("kind", ["distributed", "records", "central", "central sealed"])
def test_an_epsilon_lower_than_what_was_spent(kind, lie):
    def change(public, private, config):
        for body in rounds_of(public):
            less(body)

    found = lie(kind, change, bundle=kind == "distributed")
    fails(found, "the ledger of privacy: an epsilon of", "was spent, and the log tells")


def twice_the_noise(event):
    while "event" in event:
        event = event["event"]
    for name in ("noise_multiplier", "variance"):
        if name in event:
            event[name] *= 4


@pytest.mark.parametrize("kind", ["distributed", "distributed cohort", "records", "central"])
def test_an_epsilon_of_other_noise_than_planned(kind, lie):
    def change(public, private, config):
        for body in rounds_of(public) + [entry["record"] for entry in rounds_of(private)]:
            told = body.get("privacy", {})
            for event in [told["event"]] if "event" in told else told.get("silos", {}).values():
                twice_the_noise(event)
        for body in rounds_of(public):
            less(body)

    found = lie(kind, change)
    assert found.verdict == "failed"
    assert "privacy" in found.failure


@pytest.mark.parametrize("kind", ["distributed", "records"])
def test_other_noise_in_the_configuration(kind, lie):
    def change(public, private, config):
        noise = config["privacy"]["noise_multiplier"]
        more = {silo: 4 * z for silo, z in noise.items()} if isinstance(noise, dict) else 4 * noise
        config["privacy"]["noise_multiplier"] = more

    assert lie(kind, change).verdict == "failed"


@pytest.mark.parametrize(
    "change",
    [
        lambda silos: silos.pop("c1"),
        lambda silos: silos.update(c1={"kind": "pure", "epsilon": 1e-9}),
        lambda silos: silos.update(c9=silos.pop("c1")),
        lambda silos: silos.update(c1={"kind": "repeated", "count": 1, "event": {"kind": "not-private"}}),
    ],
    ids=["one is missing", "another mechanism", "of a stranger", "no noise"],
)
def test_what_silos_are_charged_for(change, lie):
    def apply(public, private, config):
        for body in rounds_of(private):
            change(body["record"]["privacy"]["silos"])

    assert lie("records", apply).verdict == "failed"


def test_more_than_the_budget(lie):
    def change(public, private, config):
        config["privacy"]["budget"] = {"epsilon": 0.1, "delta": 1e-2}

    fails(lie("central", change), "the ledger of privacy: round 0", "the budget is 0.1")


def test_more_rounds_than_planned_or_a_smaller_delta(lie):
    def change(public, private, config):
        config["privacy"]["rounds"] = 1

    fails(lie("central", change), "the ledger of privacy: round 1", "not the plan's")


# ---------------------------------------------------------------- clients that want an honest run to fail


def resigned(party, place, sealed):
    """Return a message with the signature that fits it."""
    return dataclasses.replace(sealed, signature=party._sign(place, "seal", *sealed.entry.signed))


SPOILERS = {
    "an envelope too long": lambda m: dataclasses.replace(
        m, envelopes=(m.envelopes[0] + b"x", *m.envelopes[1:])
    ),
    "all too long": lambda m: dataclasses.replace(m, envelopes=tuple(e + b"x" for e in m.envelopes)),
    "one too many": lambda m: dataclasses.replace(m, envelopes=(*m.envelopes, m.envelopes[0])),
    "hashes beside envelopes": lambda m: dataclasses.replace(m, hashes=m.entry.envelopes),
    "hashes in their place": lambda m: dataclasses.replace(m, hashes=m.entry.envelopes, envelopes=()),
    "a length of its own": lambda m: dataclasses.replace(m, length=len(m.envelopes[0])),
    "no envelopes": lambda m: dataclasses.replace(m, envelopes=()),
    "a huge proof": lambda m: dataclasses.replace(m, proof=bytes(10**6)),
    "another sender": lambda m: dataclasses.replace(m, sender="c1"),
    "no message": lambda m: None,
    "another shape": lambda m: dataclasses.replace(m, seal=m.seal[:, :10]),
}


@pytest.mark.parametrize("name", SPOILERS)
def test_a_client_cannot_make_an_honest_run_fail_by_what_it_seals(name, tmp_path, monkeypatch):
    """The same is left out when the round is done again, though a log has envelopes by their hashes alone."""
    real = Party.seal

    def seal(self, vector, place):
        sealed = real(self, vector, place)
        spoiled = SPOILERS[name](sealed) if self.member.name == "c3" else sealed
        return spoiled if spoiled is sealed or spoiled is None else resigned(self, place, spoiled)

    monkeypatch.setattr(Party, "seal", seal)
    made = declared(split=SPLIT)  # it does so with its metrics, too
    made.fit(1, run=tmp_path / "run")
    assert list(made.records[0].dropped) == ["c3"]
    found = verify(tmp_path / "run")
    assert (found.verdict, found.failure) == ("verified", "")
    assert (list(found.rounds[0].left_out), found.rounds[0].summed) == (["c3"], 3)


ANSWERS = {
    "a reserved key": lambda answer: Complaints({"$float": "nan", "c1": "x"}),
    "a complaint of everyone": lambda answer: Complaints({f"c{i}": "x" for i in range(4)}),
    "no complaint": lambda answer: "none",
    "text": lambda answer: Complaints({"c1": 3}),
    "a lock of another kind": lambda answer: Lock(b"x" * 10**6) if isinstance(answer, Lock) else answer,
    "an opening of another size": lambda answer: (
        dataclasses.replace(answer, share=np.zeros(10**6, np.uint64))
        if isinstance(answer, Opening)
        else answer
    ),
    "a wrong opening": lambda answer: (
        dataclasses.replace(answer, share=answer.share + np.uint64(1))
        if isinstance(answer, Opening)
        else answer
    ),
}


@pytest.mark.parametrize("name", ANSWERS)
def test_a_client_cannot_make_an_honest_run_fail_by_what_it_answers(name, tmp_path, monkeypatch):
    real = Party.answer

    def answer(self, phase, message, place):
        said = real(self, phase, message, place)
        return ANSWERS[name](said) if self.member.name == "c3" else said

    monkeypatch.setattr(Party, "answer", answer)
    made = declared(split=SPLIT)
    made.fit(1, run=tmp_path / "run")
    assert not made.records[0].void
    found = verify(tmp_path / "run")
    assert (found.verdict, found.failure) == ("verified", "")
    assert sum(path.stat().st_size for path in (tmp_path / "run" / "blobs").rglob("*")) < 10**6


# ---------------------------------------------------------------- hostile bundles


def build(path, files, **attributes):
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in files:
            info = zipfile.ZipInfo(name)
            for key, value in attributes.items():
                setattr(info, key, value)
            archive.writestr(info, content)
    return path


@pytest.fixture
def files(run_of, tmp_path):
    with zipfile.ZipFile(export(run_of("sealed"), tmp_path / "good.zip")) as archive:
        return [(info.filename, archive.read(info)) for info in archive.infolist()]


@pytest.mark.parametrize(
    "name",
    [
        *("../evil", "/evil", "blobs/../../evil", "blobs/00/" + "0" * 63 + "/x", "log/private.jsonl"),
        *(
            "keys.json",
            "blobs/",
            "log/public.jsonl/x",
            "CONFIG.JSON",
            "config.json ",
            "./config.json",
            "C:\\x",
            "",
        ),
        "blobs/ab/" + "0" * 64,
    ],
)
def test_a_bundle_has_nothing_that_is_not_a_bundles(name, files, tmp_path):
    outside = sorted(tmp_path.rglob("*"))
    path = build(tmp_path / "x.zip", [*files, (name, b"evil")])
    found = verify(path)
    assert found.verdict == "failed"
    assert "does not belong into one" in found.failure
    assert sorted(set(tmp_path.rglob("*")) - set(outside)) == [path]


def test_a_symbolic_link_in_a_bundle_is_a_file(files, tmp_path):
    secret = tmp_path / "secret"
    secret.write_text("{}")
    others = [(name, content) for name, content in files if name != CONFIG]
    path = build(tmp_path / "x.zip", [*others, (CONFIG, str(secret))], external_attr=0o120777 << 16)
    assert "config.json was changed" in verify(path).failure


def test_nothing_in_a_bundle_is_compressed_or_encrypted(files, tmp_path):
    name = "blobs/00/" + "0" * 64
    small = build(tmp_path / "x.zip", [*files, (name, bytes(100))], compress_type=zipfile.ZIP_DEFLATED)
    assert "is compressed or encrypted" in verify(small).failure
    bomb = build(tmp_path / "y.zip", [(name, bytes(10**7))], compress_type=zipfile.ZIP_DEFLATED)
    assert bomb.stat().st_size < 10**5
    assert "is compressed or encrypted" in verify(bomb).failure  # before anything is unpacked


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_no_file_is_twice_in_a_bundle(files, tmp_path):
    path = build(tmp_path / "x.zip", [*files, (LOG, b"another")])
    assert "it has a file twice" in verify(path).failure


def test_files_that_share_their_bytes_do_not_fill_the_disk(files, tmp_path):
    """Entries of the list at the end name the same bytes; a thousand would be a thousand times as large."""
    name = "blobs/00/" + "0" * 64
    path = build(tmp_path / "x.zip", [*files, (name, bytes(10**6))])
    data = path.read_bytes()
    at = data.rindex(b"PK\1\2")
    end = data.index(b"PK\5\6", at)
    entry, total = data[at:end], data[end:]
    more = [entry.replace(name.encode(), f"blobs/0{i}/0{i}{'0' * 62}".encode()) for i in range(1, 8)]
    count, size = (
        struct.unpack_from("<H", total, 10)[0] + 7,
        struct.unpack_from("<I", total, 12)[0] + 7 * len(entry),
    )
    total = bytearray(total)
    struct.pack_into("<HHI", total, 8, count, count, size)
    path.write_bytes(data[:end] + b"".join(more) + total)
    assert "its files are larger than itself" in verify(path).failure


def test_a_bundle_of_a_million_names(files, tmp_path, monkeypatch):
    monkeypatch.setattr("hansa.verification.bundle._MOST_FILES", len(files) - 1)
    path = build(tmp_path / "x.zip", files)
    assert "or too many" in verify(path).failure


@pytest.mark.parametrize("missing", [CONFIG, LOG, "README.txt", "a blob"])
def test_a_bundle_that_lacks_a_file(missing, files, tmp_path):
    is_gone = (
        (lambda name: name.startswith("blobs/")) if missing == "a blob" else (lambda name: name == missing)
    )
    gone = next(name for name, _ in files if is_gone(name))
    path = build(tmp_path / "x.zip", [(name, content) for name, content in files if name != gone])
    if missing == LOG:
        with pytest.raises(RunError, match=r"x\.zip is not a run") as error:
            verify(path)
        assert "hansa-verify-" not in str(error.value)
        return
    found = verify(path)
    assert found.verdict == ("verified" if missing == "README.txt" else "failed")
    assert "hansa-verify-" not in found.failure
    assert "x.zip" in found.failure or not found.failure


def test_a_bundle_cut_short_or_of_other_bytes(files, tmp_path):
    data = build(tmp_path / "x.zip", files).read_bytes()
    stream = np.random.default_rng(3)
    path = tmp_path / "cut.zip"
    end = data.index(b"PK\1\2")
    for length in stream.integers(len(data), size=15).tolist():
        path.write_bytes(data[:length])
        with pytest.raises(RunError):
            assert not verify(path).ok
            raise RunError("it is found")
    for _ in range(60):  # of the list of files, which says where they are and how long
        changed = bytearray(data)
        for position in stream.integers(end, len(data), size=3).tolist():
            changed[position] = int(stream.integers(256))
        path.write_bytes(changed)
        try:
            verify(path)
        except RunError:
            continue


# ---------------------------------------------------------------- hostile logs and configurations


@pytest.mark.parametrize(
    "header",
    [
        {"weights": {"dtype": "F32", "shape": [2**60], "data_offsets": [0, 4]}},
        {"weights": {"dtype": "F32", "shape": [2**32, 2**32], "data_offsets": [0, 0]}},
        {"weights": {"dtype": "F32", "shape": [1], "data_offsets": [0, 2**62]}},
        {"weights": {"dtype": "F32", "shape": [-1], "data_offsets": [0, 4]}},
        {"weights": {"dtype": "OBJ", "shape": [1], "data_offsets": [0, 4]}},
        {"weights": {"dtype": "F64", "shape": [1], "data_offsets": [0, 8]}},
        {"weights": {"dtype": "F32", "shape": [1, 1], "data_offsets": [0, 4]}},
    ],
)
def test_an_array_that_claims_to_be_huge(header, lie, tmp_path):
    text = json.dumps(header).encode()

    def change(public, private, config):
        blob = put(tmp_path / "run", struct.pack("<Q", len(text)) + text + bytes(8))
        rounds_of(public)[0]["weights"] = blob

    fails(lie("sealed", change), "round 0: ")


def test_a_header_that_claims_to_be_huge(lie, tmp_path):
    def change(public, private, config):
        rounds_of(public)[0]["weights"] = put(tmp_path / "run", struct.pack("<Q", 2**62) + b"{}")

    fails(lie("sealed", change), "round 0: ")


HUGE = 10**30
CONFIGURATIONS = {
    "an optimizer with a schedule": lambda c: c.update(
        server_optimizer={
            "kind": "SGD",
            "learning_rate": {"module": "os", "class_name": "system", "config": {}},
        }
    ),
    "a module as an optimizer": lambda c: c.update(server_optimizer={"kind": "schedules"}),
    "an attribute as an optimizer": lambda c: c.update(server_optimizer={"kind": "__loader__"}),
    "a wrapping optimizer": lambda c: c.update(
        server_optimizer={"kind": "LossScaleOptimizer", "inner_optimizer": {"class_name": "SGD"}}
    ),
    "an optimizer without a kind": lambda c: c.update(server_optimizer={}),
    "an optimizer with no setting": lambda c: c.update(
        server_optimizer={"kind": "SGD", "registered_name": "x"}
    ),
    "dunders as an algorithm": lambda c: c["algorithm"].update(kind="__class__"),
    "a list as an algorithm": lambda c: c["algorithm"].update(kind=["FedAvg"]),
    "a setting that is none": lambda c: c["algorithm"].update(__class__=1),
    "members": lambda c: c["secure_sum"].update(members=HUGE),
    "dimension": lambda c: c["secure_sum"].update(dimension=HUGE),
    "threshold": lambda c: c["secure_sum"].update(threshold=HUGE),
    "cohort": lambda c: c.update(cohort={"kind": "fixed", "size": HUGE}),
    "turns": lambda c: c.update(cohort={"kind": "at_most", "times": HUGE, "min_gap": HUGE}),
    "size": lambda c: c["quantise"].update(size=HUGE),
    "steps": lambda c: c["quantise"].update(bound_l2=HUGE),
    "shape": lambda c: c["model"]["variables"][0].update(shape=[2**32, 2**32]),
    "shape of nothing": lambda c: c["model"]["variables"][0].update(shape=[-1, -4]),
    "layer": lambda c: c["model"]["variables"][0].update(layer="os.system"),
    "proof": lambda c: c["secure_sum"].update(proof={"bits": HUGE}),
    "metrics": lambda c: c.update(metrics=["loss"] * 10**5),
    "names": lambda c: c["roster"]["members"][0].update(name="x" * 10**6),
    "every": lambda c: c["evaluation"].update(every=HUGE),
}


@pytest.mark.parametrize("name", CONFIGURATIONS)
def test_a_configuration_imports_nothing_and_ends(name, lie):
    before = set(sys.modules)
    found = lie("sealed", lambda public, private, config: CONFIGURATIONS[name](config))
    assert found.verdict in ("failed", "intact")
    assert not found.rounds or found.verdict == "intact"
    new = {module.split(".")[0] for module in set(sys.modules) - before}
    assert new <= {"hansa", "keras"} | set(sys.stdlib_module_names) | {name.split(".")[0] for name in before}


def test_a_plan_of_privacy_for_a_trillion_rounds(lie):
    def change(public, private, config):
        config["privacy"]["rounds"] = 10**12

    found = lie("distributed", change)
    assert found.verdict == "intact"
    assert "more rounds than are looked ahead over" in found.unchecked[0]


JUNK = [
    None,
    True,
    -1,
    HUGE,
    1e308,
    float("nan"),
    "",
    "\x1b[2J",
    [],
    {},
    [[]],
    {"kind": "x"},
    "../../etc/passwd",
]


@pytest.mark.parametrize(
    ("kind", "what", "times"),
    [
        ("sealed", "config", 40),
        ("sealed", "public", 40),
        ("distributed", "private", 30),
        ("records", "private", 15),
    ],
)
def test_whatever_is_in_a_log_ends_with_a_verdict(kind, what, times, run_of, tmp_path):
    """Never with another exception than Hansa's: in each place of configuration and logs may be anything."""
    folder = copied(run_of(kind), tmp_path / "run")
    (folder / "history.jsonl").unlink()
    public, private = entries(folder, "public"), entries(folder, "private")
    config = parse_json((folder / "config.json").read_bytes())
    stream = np.random.default_rng(len(what) + len(kind))
    told = {"config": config, "public": public, "private": private}
    all_places = [path for path, _ in places(told[what]) if len(path) > (what != "config")]
    verdicts = []
    for _ in range(times):
        path = all_places[int(stream.integers(len(all_places)))]
        new = JUNK[int(stream.integers(len(JUNK)))]
        now = {**told, what: changed(told[what], path, new)}
        try:
            (folder / "config.json").write_bytes(canonical_json(now["config"]))
            if what == "config":
                now["public"] = changed(public, (0, "body", "config"), hash_of(folder / "config.json"))
            chain(folder, now["public"], now["private"])
        except (KeyError, TypeError, AttributeError, RunError, ValueError):
            continue  # no log that could be written
        try:
            found = verify(folder)
        except RunError as error:
            assert not isinstance(error, LogError), (path, new)
            continue
        verdicts.append(found.verdict)
        assert json.dumps(found.to_json())
    assert verdicts.count("failed") > 5


def hash_of(path):
    from hansa.store.blobs import name_of

    return name_of(path.read_bytes())


def test_a_log_nested_deeply_or_of_long_numbers(run_of, tmp_path):
    folder = copied(run_of("sealed"), tmp_path / "run")
    for text in (b'{"body":' * 10**5, b'{"seq":' + b"9" * 10**6 + b"}\n", b"[" * 10**6 + b"\n"):
        (folder / "log" / "private.jsonl").write_bytes(text + b"\n")
        assert "private.jsonl, line 1" in verify(folder).failure

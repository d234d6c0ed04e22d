"""What clients said in a round's sums, kept and read again."""

import dataclasses

import numpy as np
import pytest

from hansa.errors import LogError
from hansa.record import RoundRecord
from hansa.secure_sum.sealed.messages import Complaints, Lock, Opening, SealedVector, envelope_hash
from hansa.store import Blobs
from hansa.store.canonical import canonical_json, parse_json
from hansa.store.sums import Sums, get_sums, message_blobs, put_sums
from hansa.types import Heard


def seal(name, **settings):
    own = {
        "sender": name,
        "seal": np.arange(64, dtype=np.uint64).reshape(1, 64),
        "envelopes": (b"a" * 100, b"b" * 100),
        "signature": bytes(64),
        "proof": b"p" * 200,
        "head": 3,
    }
    return SealedVector(**{**own, **settings})


def heard(phase, messages, silent=None, purpose="train"):
    return Heard(purpose=purpose, phase=phase, messages=messages, silent=silent or {})


def put(blobs, *said, dropped=None, **settings):
    record = RoundRecord(round=0, cohort=("a", "b", "c"), dropped=dropped or {})
    return put_sums(blobs, Sums(said, **settings), record)


def again(blobs, *said, **settings):
    """What is kept and read, by way of the log's JSON."""
    public, private = put(blobs, *said, **settings)
    assert private == {}
    return get_sums(blobs, parse_json(canonical_json(public)))


@pytest.fixture
def blobs(tmp_path):
    return Blobs(tmp_path / "blobs")


def fields(message):
    return {
        name: value.tolist() if isinstance(value, np.ndarray) else value
        for name, value in vars(message).items()
    }


def test_messages_of_every_phase_are_read_again(blobs):
    said = [
        heard("train", {"a": seal("a"), "c": seal("c")}, {"b": "too late"}),
        heard("deliver", {"a": Complaints(), "c": Complaints({"b": "why"})}),
        heard("lock", {"a": Lock(b"x" * 64)}),
        heard("open", {"a": Opening(share=np.arange(8, dtype=np.uint64), signature=b"y" * 64)}),
        heard("tell", {"a": seal("a")}, purpose="tell"),
    ]
    found = again(blobs, *said)
    assert set(found) == {(one.purpose, one.phase) for one in said}
    for one in said[1:4]:
        kept = found["train", one.phase]
        assert {n: fields(m) for n, m in kept.messages.items()} == {
            n: fields(m) for n, m in one.messages.items()
        }
    kept = found["train", "train"]
    assert kept.silent == {"b": "too late"}
    assert set(kept.messages) == {"a", "c"}


def test_envelopes_are_known_by_their_hashes_alone(blobs):
    kept = again(blobs, heard("train", {"a": seal("a")}))["train", "train"].messages["a"]
    assert kept.envelopes == ()
    assert kept.hashes == (envelope_hash(b"a" * 100), envelope_hash(b"b" * 100))
    assert kept.length == 100
    assert kept.entry == dataclasses.replace(seal("a")).entry
    for path in blobs.folder.rglob("*"):
        assert not path.is_file() or b"a" * 100 not in path.read_bytes()


@pytest.mark.parametrize(
    "envelopes, hashes, length",
    [((b"a", b"bb"), (), 0), ((), (), 0), ((b"a", b"b"), (b"own",), 0)],
    ids=["several lengths", "none", "hashes of its own"],
)
def test_a_fault_of_envelopes_stays_one(envelopes, hashes, length, blobs):
    kept = again(blobs, heard("train", {"a": seal("a", envelopes=envelopes, hashes=hashes)}))
    found = kept["train", "train"].messages["a"]
    assert (found.length, len(found.hashes)) == (length, 0 if hashes else len(envelopes))


def test_who_sends_no_message_is_kept_by_the_reason(blobs):
    spoiled = seal("b", proof="text")
    kept = again(blobs, heard("train", {"a": seal("a"), "b": spoiled, "c": None}))["train", "train"]
    assert set(kept.messages) == {"a"}
    assert set(kept.silent) == {"b", "c"}
    assert "malformed" in kept.silent["b"]


@pytest.mark.parametrize("phase", ["train", "open"])
def test_what_is_far_larger_than_usual_does_not_fill_the_disk(phase, blobs):
    make = {
        "train": lambda size: seal("x", proof=b"p" * size),
        "open": lambda size: Opening(share=np.zeros(size, np.uint64), signature=b""),
    }[phase]
    said = heard(phase, {"a": make(1000), "b": make(10**6), "c": make(1100)})
    kept = again(blobs, said, dropped={"b": "it is too long"})["train", phase]
    assert set(kept.messages) == {"a", "c"}
    assert kept.silent == {"b": "it is too long"}
    assert sum(path.stat().st_size for path in blobs.folder.rglob("*") if path.is_file()) < 10**5


def test_complaints_may_be_many(blobs):
    """Most holders have none; who has some is not far larger than usual."""
    many = Complaints({f"c{i}": "its share is wrong" for i in range(50)})
    said = heard("deliver", {"a": Complaints(), "b": many, "c": Complaints()})
    assert again(blobs, said)["train", "deliver"].messages["b"] == many


@pytest.mark.parametrize("key", ["$float", "", "a" * 64, "\N{SNOWMAN}", "__metadata__", "\x1b[2J"])
def test_a_holder_complains_of_whom_it_likes(key, blobs):
    """Keys of a message are a client's own: none may stop the run, and none is lost."""
    said = heard("deliver", {"a": Complaints({key: key, "b": ""})})
    assert again(blobs, said)["train", "deliver"].messages["a"].reasons == {key: key, "b": ""}


def test_who_answered_and_is_left_out_all_the_same_is_kept_once(blobs):
    kept = again(blobs, heard("train", {"a": seal("a"), "b": seal("b")}, {"b": "left out"}))["train", "train"]
    assert (set(kept.messages), set(kept.silent)) == ({"a"}, {"b"})


def test_what_is_not_public_is_in_the_private_entry(blobs):
    said = [heard("train", {"a": seal("a")}), heard("tell", {"a": seal("a")}, purpose="tell")]
    public, private = put(blobs, *said, is_public=lambda purpose: purpose == "train", learning_rate=0.5)
    assert set(public) == {"sums", "learning_rate"}
    assert (set(public["sums"]), set(private["sums"])) == ({"train"}, {"tell"})
    assert put(blobs, *said, is_public=lambda _: False, learning_rate=0.5)[0] == {}
    assert put(blobs) == ({}, {})


def test_names_its_blobs_and_nothing_that_only_looks_like_one(blobs):
    public, _ = put(blobs, heard("train", {"a": seal("a")}, {"b": "e" * 64}))
    (name,) = public["sums"]["train"]["train"]["blobs"].values()
    assert message_blobs(public) == {name}
    assert message_blobs({}) == set()


# ---------------------------------------------------------------- hostile logs


def told(kept, **changes):
    public, _ = put(kept, heard("train", {"a": seal("a")}, {"b": "late"}))
    one = public["sums"]["train"]["train"]
    return {"sums": {"train": {"train": {**one, **changes}}}}


@pytest.mark.parametrize(
    "body",
    [
        {"sums": []},
        {"sums": {"train": 3}},
        {"sums": {"train": {"train": None}}},
        {"sums": {"train": {"train": {"blobs": ["a"]}}}},
        {"sums": {"train": {"train": {"blobs": {"a": 3}}}}},
        {"sums": {"train": {"train": {"blobs": {"a": "../../etc"}}}}},
        {"sums": {"train": {"train": {"silent": "b"}}}},
        {"sums": {"train": {"unmask": {}}}},
        {"sums": {"train": {"__class__": {}}}},
    ],
)
def test_what_is_no_list_of_messages_is_refused(body, blobs):
    with pytest.raises(LogError):
        get_sums(blobs, body)


def test_who_spoke_was_not_silent(blobs):
    with pytest.raises(LogError, match="'a' both spoke and was silent"):
        get_sums(blobs, told(blobs, silent={"a": "its proof was rejected"}))


@pytest.mark.parametrize(
    "content",
    [
        b"text",
        canonical_json({"a": {}}),
        canonical_json({"a": 3}),
        canonical_json([1]),
        canonical_json({"a": {"number": 0, "message": {"sender": "a"}}}),
        canonical_json({"a": {"number": 0, "message": None}}),
        b"[" * 10**5,
        b'{"a":1e999}',
    ],
)
def test_a_blob_without_messages_is_refused_and_told(content, blobs):
    name = blobs.put_arrays({"messages": np.frombuffer(content, np.uint8)})
    with pytest.raises(LogError, match=r"the train messages \(a\) of the sum to train"):
        get_sums(blobs, told(blobs, blobs={"a": name}))
    empty = blobs.put_arrays({"other": np.zeros(1, np.uint8)})
    with pytest.raises(LogError, match="holds no messages"):
        get_sums(blobs, told(blobs, blobs={"a": empty}))

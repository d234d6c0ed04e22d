"""Negative vectors: what must be refused, for seals, shares, envelopes, openings and masks.

``tests/vectors/refused.json`` has one good case of each kind, which passes, and changes to it, none of which
may. Bytes are hexadecimal, so that another implementation can be held against them; where a case is too large
to be written down (a ring element), it is made from the randomness of `stream`.

``python tests/secure_sum/test_refused.py`` writes the good cases anew, where a format changes on purpose.
"""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import json
from pathlib import Path

import numpy as np
import pytest

from hansa.crypto import envelope, field, shamir
from hansa.crypto.arithmetic import P
from hansa.crypto.envelope import EnvelopeError, ExchangeKey
from hansa.crypto.sampling import secret_elements
from hansa.crypto.secret import Secret
from hansa.crypto.shamir import ShareError
from hansa.crypto.signature import SigningKey
from hansa.encode.randomness import Expanded
from hansa.errors import UpdateError
from hansa.secure_sum.masking import shares as masking
from hansa.secure_sum.masking.masks import Mask, add_masks, pair_mask
from hansa.secure_sum.roster import Member, Place, Roster
from hansa.secure_sum.sealed.coordinator import Coordinator
from hansa.secure_sum.sealed.messages import SealedVector, envelope_hash, envelopes_root, seal_hash
from hansa.secure_sum.sealed.parameters import choose
from hansa.secure_sum.sealed.seal import NotAccepted, open_sum, seal

FILE = Path(__file__).parents[1] / "vectors" / "refused.json"
VECTORS = json.loads(FILE.read_text())
NAMES = ("a", "b", "c", "d")


def stream(label):
    return Expanded(hashlib.sha256(label.encode()).digest())


def refused(kind):
    cases = VECTORS[kind]["refused"]
    return pytest.mark.parametrize("case", cases, ids=[case["why"] for case in cases])


# ---------------------------------------------------------------------- envelopes


def taken(case):
    receiver = ExchangeKey(Secret(bytes.fromhex(case["receiver"])))
    data, sender = bytes.fromhex(case["envelope"]), bytes.fromhex(case["sender"])
    return envelope.take(data, *case["context"], sender=sender, receiver=receiver, size=case["size"])


def good_envelope():
    sender, receiver = (ExchangeKey(Secret(stream(f"refused {n}")(32))) for n in ("sender", "receiver"))
    content, context = bytes(range(16)), ["run", 7, 0, "a", "b"]
    salt = stream("refused salt")
    data = envelope.put(content, *context, sender=sender, receiver=receiver.public, random=salt)
    return {
        "content": content.hex(),
        "context": context,
        "sender": sender.public.hex(),
        "receiver": receiver.private.reveal().hex(),
        "size": len(content),
        "envelope": data.hex(),
    }


def test_the_good_envelope():
    assert good_envelope() == VECTORS["envelopes"]["good"]
    assert taken(VECTORS["envelopes"]["good"]).hex() == VECTORS["envelopes"]["good"]["content"]


@refused("envelopes")
def test_envelopes(case):
    changed = {**VECTORS["envelopes"]["good"], **case["change"]}
    assert changed != VECTORS["envelopes"]["good"]
    with pytest.raises(EnvelopeError, match=case["message"]):
        taken(changed)


# ---------------------------------------------------------------------- shares


def restored(case):
    rows = np.array([[int(v) for v in row] for row in case["rows"]], np.uint64)
    return shamir.restore(case["points"], rows, case["threshold"])


def good_shares():
    draw = functools.partial(secret_elements, random=stream("refused shares"))
    points = [1, 2, 3, 5, 8]
    rows = shamir.share(np.array([5, P - 1], np.uint64), points, 3, draw)
    return {"points": points, "threshold": 3, "rows": rows.tolist(), "secret": [5, P - 1]}


def test_the_good_shares():
    good = VECTORS["shares"]["good"]
    assert good_shares() == good
    assert restored(good).secret.tolist() == good["secret"]
    assert restored(good).wrong == ()


@refused("shares")
def test_shares(case):
    changed = json.loads(json.dumps({**VECTORS["shares"]["good"], **case["change"]}))
    for row, column, value in case.get("set", []):
        changed["rows"][row][column] = value
    with pytest.raises(ShareError, match=case["message"]):
        restored(changed)


# ---------------------------------------------------------------------- seals and openings


class Four:
    """A sealed sum of four, the randomness of which is fixed."""

    def __init__(self):
        self.exchange = {n: ExchangeKey(Secret(stream(f"exchange {n}")(32))) for n in NAMES}
        self.signing = {n: SigningKey(Secret(stream(f"signing {n}")(32))) for n in NAMES}
        members = (
            Member(name=n, exchange=self.exchange[n].public, signing=self.signing[n].public) for n in NAMES
        )
        self.roster = Roster(tuple(members))
        self.parameters = choose(dimension=9, members=4, bound=1000)
        self.place = Place(
            configuration=b"c" * 32,
            roster=self.roster.hash,
            payload=b"m" * 32,
            round=7,
            attempt=0,
            cohort=NAMES,
        )
        self.total, self.keys = np.zeros((1, 4096), np.uint64), np.zeros(4096, np.uint64)
        self.seals = {name: self.sealed(number, name) for number, name in enumerate(NAMES)}

    def sealed(self, number, name):
        vector = np.arange(9, dtype=np.int64) * (number + 1) - 20
        place = ("sealed sum", *self.place.parts)
        one, key = seal(vector, self.parameters, *place, random=stream(f"refused seal {name}"))
        field.add_into(self.total, one)
        field.add_into(self.keys, key.elements())
        envelopes = tuple(stream(f"refused {name} {holder}")(8 * 4096 + 48) for holder in NAMES)
        root = envelopes_root(map(envelope_hash, envelopes))
        signature = self.signing[name].sign("seal", *self.place.parts, name, seal_hash(one), root)
        return SealedVector(sender=name, seal=one, envelopes=envelopes, signature=signature)


@pytest.fixture(scope="module")
def four():
    return Four()


def good_seal(four):
    one = four.seals["b"]
    return {
        "parameters": four.parameters.describe(),
        "place": hashlib.sha256(repr(four.place.parts).encode()).hexdigest(),
        "seal": one.entry.seal.hex(),
        "root": one.entry.root.hex(),
        "signature": one.signature.hex(),
    }


def good_opening(four):
    opened = open_sum(four.total, four.keys, 4, four.parameters, "sealed sum", *four.place.parts)
    return {
        "seals": seal_hash(four.total).hex(),
        "keys": field.to_signed(four.keys)[:8].tolist(),
        "count": 4,
        "opened": opened.tolist(),
    }


def test_the_good_seals(four):
    assert good_seal(four) == VECTORS["seals"]["good"]
    server = Coordinator(four.roster, four.parameters, four.place)
    assert set(server.deliver(four.seals)) == set(NAMES)
    assert server.dropped == {}


@refused("seals")
def test_seals(case, four):
    one = four.seals["b"]
    if "word" in case:
        words = one.seal.copy()
        words[0, case["word"]["at"]] = np.uint64(int(case["word"]["value"]))
        one = dataclasses.replace(one, seal=words)
    if "byte" in case:
        number, at = case["byte"]["envelope"], case["byte"]["at"]
        data = bytearray(one.envelopes[number])
        data[at] ^= 1
        others = one.envelopes[:number], one.envelopes[number + 1 :]
        one = dataclasses.replace(one, envelopes=(*others[0], bytes(data), *others[1]))
    if "order" in case:
        one = dataclasses.replace(one, envelopes=tuple(one.envelopes[i] for i in case["order"]))
    if "signature" in case:
        one = dataclasses.replace(one, signature=bytes.fromhex(case["signature"]))
    if "sender" in case:
        one = dataclasses.replace(one, sender=case["sender"])
    text = {"configuration": "utf-8", "payload": "utf-8"}
    change = {k: v.encode() if k in text else v for k, v in case.get("place", {}).items()}
    place = dataclasses.replace(four.place, **change)
    server = Coordinator(four.roster, four.parameters, place)
    assert case["message"] in (server._usable("b", one) if change else dropped(server, four, one))


def dropped(server, four, one):
    server.deliver({**four.seals, "b": one})
    return server.dropped["b"]


@pytest.mark.parametrize("value", VECTORS["seals"]["values"], ids=str)
def test_values_that_are_not_sealed(value, four):
    vector = np.zeros(9, np.int64)
    vector[4] = value
    with pytest.raises(UpdateError, match="above the bound"):
        seal(vector, four.parameters, *four.place.parts)


def test_the_good_opening(four):
    assert good_opening(four) == VECTORS["openings"]["good"]


@refused("openings")
def test_openings(case, four):
    total, keys = four.total.copy(), four.keys.copy()
    for at, value in case.get("add_to_keys", []):
        keys[at] = (int(keys[at]) + value) % P
    for at, value in case.get("add_to_seals", []):
        total[0, at] = (int(total[0, at]) + value) % P
    place = dataclasses.replace(four.place, **case.get("place", {}))
    count = case.get("count", 4)
    with pytest.raises(NotAccepted, match=case["message"]):
        open_sum(total, keys, count, four.parameters, "sealed sum", *place.parts)


# ---------------------------------------------------------------------- masks


def mask_words(case):
    key = ExchangeKey(Secret(bytes.fromhex(case["key"])))
    place = Place(
        configuration=bytes.fromhex(case["configuration"]),
        roster=bytes(32),
        payload=bytes(32),
        round=case["round"],
        attempt=case["attempt"],
        cohort=tuple(case["cohort"]),
        purpose=case["purpose"],
    )
    words = np.zeros(4, "<u4")
    add_masks(words, [pair_mask(key, bytes.fromhex(case["public"]), case["own"], case["other"], place)])
    return words


def good_mask():
    own, other = (ExchangeKey(Secret(stream(f"refused mask {n}")(32))) for n in ("own", "other"))
    case = {
        "key": own.private.reveal().hex(),
        "public": other.public.hex(),
        "own": "a",
        "other": "b",
        "configuration": bytes(32).hex(),
        "round": 7,
        "attempt": 0,
        "cohort": ["a", "b", "c"],
        "purpose": "train",
    }
    return {**case, "words": mask_words(case).tolist()}


def test_the_good_mask():
    assert good_mask() == VECTORS["masks"]["good"]


@refused("masks")
def test_masks(case):
    """Keys that are none, and masks of another place or pair, which do not cancel."""
    good = VECTORS["masks"]["good"]
    changed = {**good, **case["change"]}
    if "message" in case:
        with pytest.raises(EnvelopeError, match=case["message"]):
            mask_words(changed)
        return
    words = mask_words(changed)
    assert not (words == np.array(good["words"], "<u4")).any()
    assert (words + np.array(good["words"], "<u4")).all()


@pytest.mark.parametrize("elements", VECTORS["masks"]["no_secret"], ids=str)
def test_elements_that_are_no_secret_of_a_mask(elements):
    with pytest.raises(ShareError, match="no secret"):
        masking.from_elements(np.array(elements, np.uint64))


@pytest.mark.parametrize("size", VECTORS["masks"]["key_sizes"])
def test_keys_of_a_mask_have_32_bytes(size):
    with pytest.raises(ValueError, match=r"(?i)key"):
        add_masks(np.zeros(4, "<u4"), [Mask(Secret(bytes(size)))])


if __name__ == "__main__":
    made = Four()
    VECTORS["envelopes"]["good"], VECTORS["shares"]["good"] = good_envelope(), good_shares()
    VECTORS["seals"]["good"], VECTORS["openings"]["good"] = good_seal(made), good_opening(made)
    VECTORS["masks"]["good"] = good_mask()
    FILE.write_text(json.dumps(VECTORS, indent=1) + "\n")

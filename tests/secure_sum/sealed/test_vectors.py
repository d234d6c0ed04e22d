"""Fixed vectors: the same randomness gives the same bytes on any machine, now and later.

``python tests/secure_sum/sealed/test_vectors.py`` writes the file anew, where a format changes on purpose.
"""

import functools
import hashlib
import json
from pathlib import Path

import numpy as np

from hansa.crypto import envelope, field, shamir
from hansa.crypto.envelope import ExchangeKey
from hansa.crypto.sampling import secret_elements
from hansa.crypto.secret import Secret
from hansa.crypto.signature import SigningKey
from hansa.encode.randomness import Expanded
from hansa.secure_sum.roster import Member, Place, Roster
from hansa.secure_sum.sealed.messages import Entry, seal_hash, share_hash, survivors_hash
from hansa.secure_sum.sealed.parameters import choose
from hansa.secure_sum.sealed.seal import open_sum, public_element, seal

FILE = Path(__file__).parents[2] / "vectors" / "sealed.json"
NAMES = ("a", "b", "c", "d")


def stream(label):
    return Expanded(hashlib.sha256(label.encode()).digest())


def short(array):
    return hashlib.sha256(np.ascontiguousarray(array, "<u8").tobytes()).hexdigest()


def computed():
    """Everything that a sealed sum of four computes, from fixed randomness."""
    exchange = {n: ExchangeKey(Secret(stream(f"exchange {n}")(32))) for n in NAMES}
    signing = {n: SigningKey(Secret(stream(f"signing {n}")(32))) for n in NAMES}
    roster = Roster(
        tuple(Member(name=n, exchange=exchange[n].public, signing=signing[n].public) for n in NAMES)
    )
    place = Place(
        configuration=b"c" * 32, roster=roster.hash, payload=b"m" * 32, round=7, attempt=0, cohort=NAMES
    )
    out = {"roster": roster.hash.hex(), "public_element": short(public_element(0, *place.parts))}
    for kind, bound in (("whole", 2**40), ("packed", 1000)):
        parameters = choose(dimension=5000, members=4, bound=bound)
        assert parameters.packed == (kind == "packed")
        points = place.points(place.holders)
        total, keys, told = np.zeros((parameters.elements, 4096), np.uint64), [], []
        for i, name in enumerate(NAMES):
            vector = (np.arange(5000, dtype=np.int64) * (i + 1)) % (2 * bound + 1) - bound
            one, key = seal(vector, parameters, *place.parts, random=stream(f"{kind} seal {name}"))
            shares = shamir.share(
                key.elements(),
                points,
                parameters.threshold,
                random=functools.partial(secret_elements, random=stream(f"{kind} coefficients {name}")),
            )
            sealed = envelope.put(
                shares[0].astype("<u8").tobytes(),
                *place.parts,
                name,
                "a",
                sender=exchange[name],
                receiver=exchange["a"].public,
                random=stream(f"{kind} salt {name}"),
            )
            entry = Entry(
                sender=name, seal=seal_hash(one), envelopes=(hashlib.sha256(sealed).digest(),), signature=b""
            )
            signature = signing[name].sign("seal", *place.parts, name, *entry.signed)
            told.append(Entry(sender=name, seal=entry.seal, envelopes=entry.envelopes, signature=signature))
            keys.append(shares)
            field.add_into(total, one)
            out[f"{kind} {name}"] = {
                "seal": entry.seal.hex(),
                "shares": [short(share) for share in shares],
                "envelope": hashlib.sha256(sealed).hexdigest(),
                "signature": signature.hex(),
            }
        sums = np.stack([_added([shares[j] for shares in keys]) for j in range(4)])
        secret = shamir.restore(points[1:], sums[1:], parameters.threshold).secret
        opened = open_sum(total, secret, 4, parameters, *place.parts)
        expected = sum((np.arange(5000) * (i + 1)) % (2 * bound + 1) - bound for i in range(4))
        assert np.array_equal(opened, expected)
        out[kind] = {
            "parameters": parameters.describe(),
            "survivors": survivors_hash(tuple(told)).hex(),
            "answers": [share_hash(share).hex() for share in sums],
            "key_sum": short(secret),
            "opened": hashlib.sha256(opened.astype("<i8").tobytes()).hexdigest(),
        }
    return out


def _added(shares):
    total = np.zeros(4096, np.uint64)
    for share in shares:
        field.add_into(total, share)
    return total


def test_the_bytes_are_those_on_file():
    assert computed() == json.loads(FILE.read_bytes())


if __name__ == "__main__":
    FILE.write_text(json.dumps(computed(), indent=1) + "\n")

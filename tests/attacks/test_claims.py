"""Attacks on claims about data: each is rejected, at the check that is there for it.

Cheating clients are honest ones with cells of their own making, that sign what they made. Where an attack
would work without a rule, it is also run without it, and passes there: so it is that rule that stops it.
"""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from hansa.claims import Certificate, CertificateRejected, Claims, certify, verify_certificate
from hansa.claims import certificate as certificates
from hansa.claims.records import Records, records_of
from hansa.claims.statement import DataStatement, witness_of
from hansa.crypto.arithmetic import P
from hansa.crypto.envelope import ExchangeKey
from hansa.crypto.secret import Secret
from hansa.crypto.signature import SigningKey
from hansa.secure_sum.interface import Keys, Refused
from hansa.secure_sum.roster import Roster
from hansa.secure_sum.sealed.parameters import choose
from hansa.secure_sum.sealed.party import Party
from hansa.types import Examples
from hansa.zk import prover
from hansa.zk.proof import ProofRejected, read_head
from hansa.zk.prover import prove
from hansa.zk.statement import Cells, Layout
from hansa.zk.transcript import Transcript

KEY = SigningKey(Secret(b"k" * 32))
CLAIMS = Claims(ranges={"a": (0, 5, 0), "b": (-4, 100, 0)}, records=10, classes={0: 4, 1: 3, 2: 0})
TERMS = CLAIMS.terms(("a", "b"))
COUNT, SLOTS = 12, 16
Y = np.array([0] * 5 + [1] * 4 + [2] * 3)
ROWS = Examples(x=np.tile([[5.0, 100.0], [0.0, -4.0], [3.0, 7.0]], (4, 1)).astype(np.float32), y=Y)
HONEST = records_of(ROWS, TERMS)
EXACT = dataclasses.replace(TERMS, exact=True)


def honest_cells(terms=TERMS, records=HONEST, slots=SLOTS):
    cells = witness_of(DataStatement(terms, slots), records)(0, ()).cells
    return {name: values.copy() for name, values in cells.items()}


def forged(cells, terms=TERMS, slots=SLOTS, name="c0", key=KEY):
    """A certificate over cells as they are, signed by the client."""
    statement = DataStatement(terms, slots)
    proof = prove(
        statement,
        lambda stage, seeds: Cells(cells=cells),
        certificates._said(name, key.public),
        check=False,
    )
    bare = Certificate(
        name=name, signing=key.public, terms=terms, slots=slots, proof=proof, signature=bytes(64)
    )
    return dataclasses.replace(bare, signature=key.sign(*bare.signed))


def signed(certificate, key=KEY):
    return dataclasses.replace(certificate, signature=key.sign(*certificate.signed))


def accepted(certificate, terms=TERMS, **settings):
    verify_certificate(certificate, **{"terms": terms, "name": "c0", "signing": KEY.public, **settings})


def rejected(certificate, check, of_proof=None, **settings):
    with pytest.raises(CertificateRejected) as error:
        accepted(certificate, **settings)
    assert error.value.check == check
    if of_proof is not None:
        assert isinstance(error.value.__cause__, ProofRejected)
        assert error.value.__cause__.check == of_proof


def without_booleans(monkeypatch):
    honest = DataStatement.__init__

    def made(self, terms, slots):
        honest(self, terms, slots)
        self.segments = [dataclasses.replace(segment, boolean=False) for segment in self.segments]

    monkeypatch.setattr(DataStatement, "__init__", made)


def without(monkeypatch, block):
    """A statement without one of its blocks of sums."""
    honest = DataStatement.constraints

    def fewer(self, seeds, messages):
        constraints = honest(self, seeds, messages)
        left = [one for one in constraints.linear if type(one).__name__ != block]
        return dataclasses.replace(constraints, linear=left)

    monkeypatch.setattr(DataStatement, "constraints", fewer)


HONEST_CERTIFICATE = forged(honest_cells())


def test_the_honest_certificate_is_accepted():
    accepted(HONEST_CERTIFICATE, root=HONEST_CERTIFICATE.root)
    exact = forged(honest_cells(EXACT, slots=12), EXACT, 12)
    accepted(exact, EXACT)
    accepted(exact, EXACT, root=exact.root, rows=12)
    for rows in (11, 13, None):
        rejected(exact, "root", terms=EXACT, root=exact.root, rows=rows)
    rejected(HONEST_CERTIFICATE, "root", root=HONEST_CERTIFICATE.root, rows=12)


# ------------------------------------------------------------------ values out of range

# Bits of a slot: a takes 1, 2 and 2 (0 to 5), b takes 1 … 32 and 41 (−4 to 100).


def one_above():
    cells = honest_cells()
    cells["numbers"][0] += 1  # slot 0 has the largest values already: all bits are 1
    return cells


def one_below():
    cells = honest_cells()
    cells["numbers"][10] = P - 1  # slot 1 has the smallest values: all bits are 0
    return cells


def wrapped():
    """A value of 10^9 as a cell near the modulus: what it counts wraps around to it."""
    cells = honest_cells()
    cells["numbers"][10 + 2] = 10**9 * pow(2, -1, P) % P
    return cells


def another_largest():
    cells = honest_cells()
    cells["numbers"][9] = 2  # twice 41
    return cells


@pytest.mark.parametrize("cheat", [one_above, one_below, wrapped, another_largest])
def test_a_value_out_of_range(cheat, monkeypatch):
    rejected(forged(cheat()), "proof", "boolean")
    without_booleans(monkeypatch)
    accepted(forged(cheat()))


def test_a_value_out_of_range_in_a_slot_without_a_record():
    cells = honest_cells()
    cells["numbers"][-1] = 3
    rejected(forged(cells), "proof", "boolean")


def test_one_more_bit_behind_the_numbers(monkeypatch):
    """A cell behind the segment has no meaning, and is not free either."""
    honest = prover.rows_of

    def padded(layout, stage, given, check=True):
        rows = honest(layout, stage, given, check)
        rows[layout.rows["numbers"].stop - 1, -1] = 1
        return rows

    monkeypatch.setattr(prover, "rows_of", padded)
    rejected(forged(honest_cells()), "proof", "total")


# ------------------------------------------------------------------ labels and presence


def present_twice():
    """A record counts twice, in its class too."""
    cells = honest_cells()
    labels = cells["labels"].reshape(SLOTS, 3)
    cells["present"][10:12], labels[10:12, 2] = [0, 2], [0, 2]
    return cells


def less_than_absent():
    cells = honest_cells()
    labels = cells["labels"].reshape(SLOTS, 3)
    cells["present"][12:14], labels[12:14, 2] = [P - 1, 1], [P - 1, 1]
    return cells


@pytest.mark.parametrize("cheat", [present_twice, less_than_absent])
def test_presence_that_is_no_bit(cheat, monkeypatch):
    rejected(forged(cheat()), "proof", "boolean")
    without_booleans(monkeypatch)
    accepted(forged(cheat()))


def two_classes():
    cells = honest_cells()
    cells["labels"][2] = 1  # slot 0 is of class 0 too
    return cells


def no_class():
    cells = honest_cells()
    cells["labels"][11 * 3 + 2] = 0
    return cells


def class_without_a_record():
    cells = honest_cells()
    cells["labels"][15 * 3 + 2] = 1
    return cells


@pytest.mark.parametrize("cheat", [two_classes, no_class, class_without_a_record])
def test_a_record_has_one_label(cheat, monkeypatch):
    rejected(forged(cheat()), "proof", "total")
    without(monkeypatch, "_OneLabel")
    accepted(forged(cheat()))


# ------------------------------------------------------------------ counts


def fewer(count):
    """Cells of the first records alone; the rest is as with all."""
    cells = honest_cells()
    cells["present"][count:] = 0
    cells["labels"].reshape(SLOTS, 3)[count:] = 0
    return cells


def test_one_record_less_than_claimed(monkeypatch):
    """Nine of ten."""
    nine = fewer(9)
    for slack in ([0, 0, 0], [1, 1, 1]):
        nine["slack"][:3] = slack
        rejected(forged(nine), "proof", "total")
    without(monkeypatch, "_Counts")
    accepted(forged(nine))


def test_a_negative_slack(monkeypatch):
    nine = fewer(9)
    nine["slack"][:3] = [P - 1, 0, 0]
    rejected(forged(nine), "proof", "boolean")
    without_booleans(monkeypatch)
    accepted(forged(nine))


def test_one_record_of_a_class_less_than_claimed(monkeypatch):
    cells = honest_cells(records=Records(HONEST.units, np.array([0] * 3 + [1] * 9)))
    rejected(forged(cells), "proof", "total")
    cells["slack"][3:7] = [P - 1, 0, 0, 0]  # behind the three bits of all records
    rejected(forged(cells), "proof", "boolean")
    without_booleans(monkeypatch)
    accepted(forged(cells))


def test_an_exact_count_that_is_off_by_one(monkeypatch):
    """Twelve records, told as thirteen. Who has twelve may certify eleven of them."""
    cells = honest_cells(EXACT, slots=13)
    rejected(forged(cells, EXACT, 13), "proof", "total", terms=EXACT)
    cells["present"][12] = 1
    rejected(forged(cells, EXACT, 13), "proof", "total", terms=EXACT)  # it has no label
    without(monkeypatch, "_OneLabel")
    accepted(forged(cells, EXACT, 13), EXACT)
    without(monkeypatch, "_Counts")
    accepted(forged(honest_cells(EXACT, slots=13), EXACT, 13), EXACT)


def test_slots_that_have_no_room_for_the_claim_or_for_memory():
    for slots in (0, -1, 9, 1 << 22, 1 << 40, True, 16.0, None):
        certificate = dataclasses.replace(HONEST_CERTIFICATE, slots=slots)
        with pytest.raises(CertificateRejected) as error:
            accepted(certificate)
        assert error.value.check in ("records", "signature")
    rejected(signed(dataclasses.replace(HONEST_CERTIFICATE, slots=9)), "records")
    rejected(signed(dataclasses.replace(HONEST_CERTIFICATE, slots=1 << 22)), "records")
    rejected(signed(dataclasses.replace(HONEST_CERTIFICATE, slots=17)), "proof")


# ------------------------------------------------------------------ somebody else's certificate


def test_a_certificate_of_another_client_key_or_terms():
    rejected(HONEST_CERTIFICATE, "owner", name="c1")
    other = SigningKey(Secret(b"o" * 32))
    rejected(HONEST_CERTIFICATE, "owner", signing=other.public)
    rejected(None, "decoding")
    for change in (
        {"records": 9},
        {"exact": True},
        {"classes": ((0, 4), (1, 3), (3, 0))},
        {"columns": (TERMS.columns[0], dataclasses.replace(TERMS.columns[1], name="c"))},
        {"columns": (TERMS.columns[0], dataclasses.replace(TERMS.columns[1], low=-3, high=101))},
        {"columns": (TERMS.columns[0], dataclasses.replace(TERMS.columns[1], scale=1))},
    ):
        terms = dataclasses.replace(TERMS, **change)
        rejected(HONEST_CERTIFICATE, "terms", terms=terms)
        # Who writes the other terms into it and signs again has no proof of them.
        passed = signed(dataclasses.replace(HONEST_CERTIFICATE, terms=terms))
        rejected(passed, "proof", terms=terms)


def test_a_copied_certificate_under_ones_own_name_and_key():
    """The proof is bound to its owner: a copy that is signed anew proves nothing."""
    other = SigningKey(Secret(b"o" * 32))
    renamed = signed(dataclasses.replace(HONEST_CERTIFICATE, name="c1"))
    rejected(renamed, "proof", name="c1")
    rekeyed = signed(dataclasses.replace(HONEST_CERTIFICATE, signing=other.public), other)
    rejected(rekeyed, "proof", signing=other.public)


def test_a_copy_would_work_if_proofs_were_not_bound(monkeypatch):
    monkeypatch.setattr(certificates, "_said", lambda name, signing: Transcript("hansa.claims"))
    certificate = forged(honest_cells())
    accepted(signed(dataclasses.replace(certificate, name="c1")), name="c1")


def test_nobody_certifies_for_another():
    """Anyone can make a proof that is bound to a public key; only its owner can sign it."""
    other = SigningKey(Secret(b"o" * 32))
    statement = DataStatement(TERMS, SLOTS)
    cells = honest_cells()
    proof = prove(statement, lambda stage, seeds: Cells(cells=cells), certificates._said("c0", KEY.public))
    made = dataclasses.replace(HONEST_CERTIFICATE, proof=proof)
    rejected(made, "signature")
    rejected(dataclasses.replace(made, signature=other.sign(*made.signed)), "signature")
    accepted(signed(made))


def test_another_proof_under_a_root_that_is_listed():
    other = forged(honest_cells())
    rejected(other, "root", root=HONEST_CERTIFICATE.root)
    spliced = dataclasses.replace(other, proof=HONEST_CERTIFICATE.root + other.proof[32:])
    rejected(signed(spliced), "proof", root=HONEST_CERTIFICATE.root)
    short = dataclasses.replace(other, proof=HONEST_CERTIFICATE.root)
    rejected(signed(short), "proof", "length", root=HONEST_CERTIFICATE.root)


def test_a_party_does_not_join_a_roster_that_lists_other_data_for_it():
    """Else a coordinator could bind a client's weight, or its name, to a data set of its own."""
    parameters = choose(dimension=4, members=3, bound=100)
    keys = {
        f"c{i}": Keys(ExchangeKey.fresh(), SigningKey.fresh(), data=bytes([i + 1]) * 32, rows=5)
        for i in range(3)
    }
    members = [own.member(name) for name, own in keys.items()]
    party = Party("c0", keys["c0"], {})
    for change in ({"data": b"x" * 32}, {"rows": 6}, {"rows": None}, {"data": b"", "rows": None}):
        listed = Roster((dataclasses.replace(members[0], **change), *members[1:]))
        with pytest.raises(Refused, match="own keys and data"):
            party.join(listed, b"c" * 32, parameters)
    party.join(Roster(tuple(members)), b"c" * 32, parameters)


# ------------------------------------------------------------------ bytes


def test_any_byte_changed_is_rejected():
    """In the head all of them; of the proof one in 500, and its first and last."""
    data = HONEST_CERTIFICATE.to_bytes()
    head = len(data) - len(HONEST_CERTIFICATE.proof)
    places = [*range(0, head), head, *range(head, len(data), 499), len(data) - 1]
    for place in places:
        changed = bytearray(data)
        changed[place] ^= 1
        with pytest.raises(CertificateRejected) as error:
            accepted(Certificate.from_bytes(bytes(changed)))
        assert place < head or error.value.check == "signature"


def test_any_part_of_the_proof_changed_is_rejected_whoever_signs_it():
    proof = HONEST_CERTIFICATE.proof
    for place in [*range(0, len(proof), len(proof) // 12), len(proof) - 1]:
        changed = bytearray(proof)
        changed[place] ^= 1
        rejected(signed(dataclasses.replace(HONEST_CERTIFICATE, proof=bytes(changed))), "proof")
    for cut in (proof[:-1], proof + b"\0", b"", proof[:31]):
        rejected(signed(dataclasses.replace(HONEST_CERTIFICATE, proof=cut)), "proof", "length")


def test_elements_that_are_not_canonical():
    layout = Layout(DataStatement(TERMS, SLOTS))
    head, _ = read_head(layout, HONEST_CERTIFICATE.proof)
    small = np.argwhere(head.polynomials[0].reshape(-1) < 2**32 - 1)
    place = 32 + 8 * (int(small[0, 0]) if len(small) else 0)
    value = int.from_bytes(HONEST_CERTIFICATE.proof[place : place + 8], "little")
    again = value + P if value + P < 2**64 else P
    proof = HONEST_CERTIFICATE.proof
    changed = proof[:place] + again.to_bytes(8, "little") + proof[place + 8 :]
    rejected(signed(dataclasses.replace(HONEST_CERTIFICATE, proof=changed)), "proof", "decoding")


# ------------------------------------------------------------------ secrecy


def test_a_certificate_does_not_confirm_a_guess():
    """Who guesses the rows cannot make the root from them: leaves are salted, rows have random tails."""
    seen = {certify(HONEST, TERMS, name="c0", key=KEY).root for _ in range(3)}
    assert len(seen) == 3


def test_columns_that_are_opened_look_alike_whatever_the_rows():
    other = Records(np.zeros_like(HONEST.units), np.array([0] * 6 + [1] * 6))
    statement = DataStatement(TERMS, SLOTS)
    columns, rows = statement.parameters.columns, Layout(statement).count
    found = []
    for records in (HONEST, other):
        words = []
        for _ in range(4):
            proof = certify(records, TERMS, name="c0", key=KEY).proof
            _, place = read_head(Layout(statement), proof)
            opened = np.frombuffer(proof[place : place + 8 * columns * (rows + 6)], "<u8")
            words.append(opened.reshape(columns, rows + 6)[:, :rows])
        found.append(np.concatenate(words))
    a, b = (np.bincount((v.reshape(-1) >> np.uint64(60)).astype(int), minlength=16) for v in found)
    assert ((a - b) ** 2 / np.maximum(a + b, 1)).sum() < 60  # χ², 15 degrees of freedom: above once in 10^6

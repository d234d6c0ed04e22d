"""Proofs of norms: what an honest client shows. What none can is in `attacks/test_norm_proofs.py` too."""

from __future__ import annotations

import dataclasses
import functools
import math
import threading

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hansa.crypto import field
from hansa.crypto.arithmetic import P
from hansa.crypto.ring import N, from_ntt, multiply
from hansa.errors import ConfigurationError
from hansa.secure_sum.sealed import projections
from hansa.secure_sum.sealed import witness as witness_module
from hansa.secure_sum.sealed.bounds import LARGEST_NORM, Bounds
from hansa.secure_sum.sealed.coordinator import Coordinator
from hansa.secure_sum.sealed.dealing import Dealer, head_bytes
from hansa.secure_sum.sealed.messages import Entry, seal_hash
from hansa.secure_sum.sealed.norm import _transposed, powers_of
from hansa.secure_sum.sealed.parameters import choose
from hansa.secure_sum.sealed.projections import combine, entries, project
from hansa.secure_sum.sealed.seal import NotAccepted, open_sum, public_element, seal
from hansa.zk import prover
from norm_run import NORM, Run, parameters_of, summed


@pytest.fixture(scope="module")
def run():
    return Run()


@pytest.fixture(scope="module")
def weighted():
    return Run(norm=100, max_weight=50, bound=100)


@pytest.fixture
def careless(monkeypatch):
    """Provers that do not look whether what they prove is so."""
    monkeypatch.setattr("hansa.secure_sum.sealed.dealing.prove", functools.partial(prover.prove, check=False))
    monkeypatch.setattr("hansa.secure_sum.sealed.seal._check_vector", lambda *_: None)


# ------------------------------------------------------------------ projections


@given(
    seed=st.binary(min_size=32, max_size=32),
    values=st.lists(st.integers(-(2**40), 2**40), min_size=1, max_size=40),
)
@settings(max_examples=30, deadline=None)
def test_projections_are_products_with_the_matrix(seed, values):
    vector = np.array(values, np.int64)
    matrix = entries(seed, len(vector)).astype(np.int64)
    np.testing.assert_array_equal(project(seed, vector), matrix @ vector)
    rng = np.random.default_rng(len(values))
    coefficients = rng.integers(0, P, (2, 256, 2), dtype=np.uint64)
    found = combine(seed, coefficients, len(vector))
    for one in range(2):
        for part in range(2):
            column = [int(c) for c in coefficients[one, :, part]]
            for j in (0, len(vector) - 1):
                expected = sum(int(r) * c for r, c in zip(matrix[:, j], column, strict=True)) % P
                assert int(found[one, j, part]) == expected


def test_blocks_of_projections_meet():
    vector = np.random.default_rng(0).integers(-1000, 1000, 8 * 4096 + 13)
    matrix = entries(b"s" * 32, len(vector)).astype(np.int64)
    np.testing.assert_array_equal(project(b"s" * 32, vector), matrix @ vector)
    ones = np.zeros((2, 256, 2), np.uint64)
    ones[0, 3, 0] = 1
    row = field.to_signed(np.ascontiguousarray(combine(b"s" * 32, ones, len(vector))[0, :, 0]))
    np.testing.assert_array_equal(row, matrix[3])


@pytest.mark.parametrize("value", [P - 1, 1, 2**63, 2**58 - 1])
def test_sums_of_256_rows_of_one_sign(value):
    """The largest totals, of both signs, and the most that can be cut off."""
    tables = projections._tables(np.full((32, 8, 4), value, np.uint64))
    for sign, first in ((1, 0), (-1, 256)):
        bits, found = np.zeros((1, 512), np.uint8), np.empty((2, 8, 2), np.uint64)
        bits[0, first : first + 256] = 255
        projections._combine(bits, tables, found)
        assert set(found.reshape(-1).tolist()) == {sign * 256 * value % P}


def test_entries_are_0_half_of_the_time_and_of_either_sign():
    values = entries(b"e" * 32, 4000)
    counts = np.bincount((values + 1).reshape(-1)) / values.size
    np.testing.assert_allclose(counts, [0.25, 0.5, 0.25], atol=0.003)
    assert abs(np.corrcoef(values[0], values[1])[0, 1]) < 0.06


def test_what_multiplies_the_key_is_the_transpose_of_the_product():
    rng = np.random.default_rng(1)
    public, weights = rng.integers(0, P, (2, 2, N), dtype=np.uint64)
    key = field.from_ints(rng.integers(-40, 41, N))
    from hansa.crypto.ring import to_ntt

    products = [multiply(a, key) for a in public]
    expected = sum(int(field.inner(u, c[None])[0]) for u, c in zip(weights, products, strict=True)) % P
    transposed = _transposed(lambda k: to_ntt(public[k]), weights)
    assert int(field.inner(transposed, key[None])[0]) == expected


def test_powers():
    gamma = np.array([3, 5], np.uint64)
    powers = powers_of(gamma)
    assert powers.shape == (N, 2)
    one = np.array([1, 0], np.uint64)
    for k in (0, 1, 2, 77):
        one = gamma if k == 0 else field.mul2(powers[k - 1], gamma)
        assert powers[k].tolist() == one.tolist()


# ------------------------------------------------------------------ what is shown


@pytest.mark.parametrize(
    "vector",
    [[0] * 6, [NORM, 0, 0, 0, 0, 0], [0, 0, 0, 0, 0, -NORM], [3000, 4000, 0, 0, 0, 0], [1, -2, 3, -4, 5, -6]],
)
def test_vectors_within_the_norm(run, vector):
    sealed, _, dealt = run.shown(vector)
    assert run.why(sealed, dealt.proof) == ""


def test_a_careful_prover_does_not_prove_what_is_not_so(run):
    with pytest.raises(ValueError, match="do not satisfy"):
        run.shown([NORM, 1, 0, 0, 0, 0])


def test_weights(weighted):
    for unit, weight in (([60, 80, 0, 0, 0], 50), ([0, 0, 0, 0, 0], 0), ([-100, 0, 0, 0, 0], 1)):
        sealed, _, dealt = weighted.shown([weight * u for u in unit] + [weight])
        assert weighted.why(sealed, dealt.proof) == ""


def test_a_proof_belongs_to_its_seal_sender_and_place(run):
    sealed, _, dealt = run.shown([1, 2, 3, 4, 5, 6])
    other, _, _ = run.shown([1, 2, 3, 4, 5, 6])
    assert "rejected" in run.why(other, dealt.proof)
    assert "rejected" in run.why(sealed, dealt.proof, name="c1")
    member = run.parties["c0"].member
    for place in (
        run.at(1),
        dataclasses.replace(run.place, attempt=1),
        dataclasses.replace(run.place, purpose="tell"),
    ):
        assert "rejected" in Dealer(run.parameters, place).why_rejected(member, sealed, dealt.proof)
    shorter = dataclasses.replace(run.place, cohort=("c0", "c1", "c2"))
    assert "rejected" in Dealer(run.parameters, shorter).why_rejected(member, sealed, dealt.proof)
    assert "rejected" in run.why(sealed, b"")


@pytest.mark.parametrize("what", ["nothing", "key", "error", "step behind the vector", "step before its end"])
@pytest.mark.usefixtures("careless")
def test_keys_and_errors_that_are_not_small(what):
    """With a large error a seal holds another vector than the proven one, or more coordinates."""
    run = Run(dimension=4100)  # two elements
    vector = np.arange(4100, dtype=np.int64) % 3
    _, key = seal(vector, run.parameters, "sealed sum", *run.place.parts)
    values, errors = key.values.astype(np.int64), key.errors.astype(np.int64)
    if what == "key":
        values[17] += 1 << 16
    if what == "error":
        errors[0, 17] += 1 << 16
    if what.startswith("step"):
        errors[1, 5 if "behind" in what else 2] += run.parameters.scale
    large = dataclasses.replace(key, values=values, errors=errors)
    public = [from_ntt(public_element(k, "sealed sum", *run.place.parts)) for k in (0, 1)]
    padded = np.zeros((2, N), np.int64)
    padded.reshape(-1)[:4100] = vector * run.parameters.scale
    sealed = field.add(
        np.stack([multiply(a, large.elements()) for a in public]), field.from_ints(errors + padded)
    )
    dealt = run.dealer.deal(run.parties["c0"].member, vector, sealed, large)
    assert ("rejected" in run.why(sealed, dealt.proof)) == (what != "nothing")


@pytest.mark.usefixtures("careless")
def test_shares_of_another_key_are_not_proven(run):
    """Told the true polynomial of false shares, no holder could complain: the proof must not hold."""
    vector = np.arange(6, dtype=np.int64)
    sealed, key = seal(vector, run.parameters, "sealed sum", *run.place.parts)
    wrong = dataclasses.replace(key)
    object.__setattr__(wrong, "elements", lambda: field.from_ints(np.ones(N, np.int64)))
    member = run.parties["c0"].member
    dealt = run.dealer.deal(member, vector, sealed, wrong)
    assert "rejected" in run.why(sealed, dealt.proof)
    entry = run.parties["c0"].seal(vector, run.at(11)).entry
    entry = dataclasses.replace(entry, seal=_hash(sealed), head=dealt.proof[: head_bytes(run.parameters)])
    assert not any(run.dealer.why_unusable(member, entry, j, c) for j, c in enumerate(dealt.contents))


def test_seals_of_two_elements():
    run = Run(dimension=4100, norm=100, max_weight=50, bound=100)
    vector = np.r_[np.arange(4099) % 2, 50]
    sealed, _, dealt = run.shown(vector)
    assert sealed.shape == (2, N)
    assert run.why(sealed, dealt.proof) == ""


@pytest.mark.parametrize("what", ["wrap", "bits", "slack", "another vector"])
def test_witnesses_that_are_false(run, what, monkeypatch, careless):
    real = witness_module.NormWitness.__call__

    def false(self, stage, seeds):
        given = real(self, stage, seeds)
        cells = dict(given.cells)
        if what == "wrap" and stage == 0:
            cells["vector"] = field.add(cells["vector"], np.array([P - 1, 1, 0, 0, 0, 0], np.uint64))
        if what == "another vector" and stage == 0:
            cells["vector"] = field.from_ints([0] * 6)  # short, and not what is in the seal
        if what == "bits" and stage == 1:
            cells["bits"] = cells["bits"].copy()
            cells["bits"][:2] = [(int(cells["bits"][0]) + 2) % P, (int(cells["bits"][1]) - 1) % P]
        if what == "slack" and stage == 1:
            cells["bits"] = cells["bits"].copy()
            cells["bits"][-1] ^= np.uint64(1)
        return dataclasses.replace(given, cells=cells)

    monkeypatch.setattr(witness_module.NormWitness, "__call__", false)
    sealed, _, dealt = run.shown([1, 2, 3, 4, 5, 6])
    assert "rejected" in run.why(sealed, dealt.proof)


@given(place=st.integers(0, 10**6), change=st.integers(1, 255))
@settings(max_examples=25, deadline=None)
def test_any_byte(run, place, change):
    sealed, _, dealt = _once(run)
    changed = bytearray(dealt.proof)
    changed[place % len(changed)] ^= change
    assert "rejected" in run.why(sealed, bytes(changed))


@functools.cache
def _once(run):
    return run.shown([1, 2, 3, 4, 5, 6])


# ------------------------------------------------------------------ in a sum


def test_a_sum_with_proofs_is_the_plain_one(run):
    vectors = {name: np.arange(6, dtype=np.int64) * (i + 1) - 7 for i, name in enumerate(run.keys)}
    np.testing.assert_array_equal(summed(run, run.at(7), vectors).total, sum(vectors.values()))


@pytest.mark.usefixtures("careless")
def test_one_large_value_within_the_norm_makes_no_sum_void():
    """A proof is of a norm: a client that fits all of it into one value could have voided every round."""
    run = Run(bound=500)  # an honest client's values are smaller than its norm
    vectors = {name: np.full(6, 10, np.int64) for name in run.keys}
    vectors["c2"] = np.array([NORM, 0, 0, 0, 0, 0])
    np.testing.assert_array_equal(summed(run, run.at(3), vectors).total, sum(vectors.values()))


@pytest.mark.parametrize("kind", ["keys", "errors", "values"])
@pytest.mark.parametrize("more", [0, 1])
def test_a_sum_is_opened_up_to_what_was_proven_of_its_norms_and_no_further(kind, more):
    """Each coordinate is small enough alone; together they may be longer than was proven."""
    parameters, count = parameters_of(bound=NORM), 2
    proof = parameters.proof
    if kind == "values":
        vector = np.array([count * NORM, more, 0, 0, 0, 0])
        most = "the squares of the values"
    else:
        vector = np.zeros(6, np.int64)
        most = "the squares of the keys and errors"
    allowed = 256 * (proof.error_width * count) ** 2 // 26
    short = np.zeros((2, N), np.int64)  # key, errors
    if kind != "values":
        own = short[0 if kind == "keys" else 1]
        own[:] = math.isqrt(allowed // N)
        left = allowed - int(own @ own)
        own[0] = math.isqrt(int(own[0]) ** 2 + left) + more
        assert abs(own).max() <= parameters.error_bound * count  # no coordinate tells
        assert (int(own @ own) > allowed) == bool(more)
    sealed = np.zeros((1, N), np.int64)
    sealed[0, :6] = vector * parameters.scale
    keys = field.from_ints(short[0])
    product = multiply(from_ntt(public_element(0, "edge")), keys)
    total = field.add(product[None], field.from_ints(sealed + short[1]))
    if not more:
        np.testing.assert_array_equal(open_sum(total, keys, count, parameters, "edge"), vector)
        return
    with pytest.raises(NotAccepted, match=most):
        open_sum(total, keys, count, parameters, "edge")


def test_proofs_of_several_clients_are_checked_at_once(run, monkeypatch):
    """Two threads meet in the check: one after the other they would wait for ever."""
    place, meeting = run.at(5), threading.Barrier(2, timeout=20)
    server = Coordinator(run.roster, run.parameters, place)
    sent = {name: run.parties[name].seal(np.arange(6, dtype=np.int64), place) for name in run.keys}
    real = Dealer.why_rejected

    def met(*given):
        meeting.wait()
        return real(*given)

    monkeypatch.setattr("hansa.secure_sum.sealed.coordinator.cores", lambda: 2)
    monkeypatch.setattr(Dealer, "why_rejected", met)
    server.deliver(sent)
    assert server.dropped == {}


def test_a_proof_of_endless_length_is_not_hashed(run, monkeypatch):
    place = run.at(4)
    sent = run.parties["c0"].seal(np.arange(6, dtype=np.int64), place)
    server = Coordinator(run.roster, run.parameters, place)
    assert not isinstance(server._usable("c0", sent), str)
    seen = []
    monkeypatch.setattr("hansa.secure_sum.sealed.messages.digest", lambda *given: seen.append(given))
    told = server._usable("c0", dataclasses.replace(sent, proof=bytes(1 << 20)))
    assert "a proof of 1048576 bytes came" in told
    assert not seen


def test_one_client_alone_proves_too():
    alone = Run()
    proof = functools.partial(Bounds, norm=NORM, max_weight=None, dimension=6)
    alone.parameters = choose(
        dimension=6, members=1, bound=NORM, may_be_few=True, proof=lambda elements: proof(elements=elements)
    )
    alone.place = dataclasses.replace(alone.place, cohort=("c0",))
    sealed, _, dealt = alone.shown([1, 2, 3, 4, 5, 6])
    assert alone.why(sealed, dealt.proof) == ""


@pytest.mark.usefixtures("careless")
def test_who_seals_too_long_a_vector_is_dropped_and_named(run):
    place = run.at(8)
    server = Coordinator(run.roster, run.parameters, place)
    vectors = {name: np.full(6, 10, np.int64) for name in run.keys}
    vectors["c2"] = vectors["c2"] * 10_000
    server.deliver({name: run.parties[name].seal(vectors[name], place) for name in vectors})
    assert list(server.dropped) == ["c2"]
    assert "its proof was rejected" in server.dropped["c2"]


def test_shares_of_another_key_are_found_by_every_holder(run, monkeypatch):
    real = witness_module.NormWitness.__init__
    other = np.ones(N, np.int8)

    def false(self, bounds, *, key, **known):
        real(self, bounds, key=key, **known)
        blended = known["blended"]
        self._blended = lambda powers: _moved(blended(powers), powers, key, other)

    def _moved(polynomial, powers, key, other):
        out = polynomial.copy()
        for part in range(2):
            more = field.from_ints(key.astype(np.int64) - other)
            out[0, part] = (
                int(out[0, part]) + int(field.inner(np.ascontiguousarray(powers[:, part]), more[None])[0])
            ) % P
        return out

    vector = np.arange(6, dtype=np.int64)
    entry = run.parties["c0"].seal(vector, run.at(9)).entry
    sealed, key = seal(vector, run.parameters, "sealed sum", *run.place.parts)
    wrong = dataclasses.replace(key)
    object.__setattr__(wrong, "elements", lambda: field.from_ints(other.astype(np.int64)))
    monkeypatch.setattr(witness_module.NormWitness, "__init__", false)
    member = run.parties["c0"].member
    dealt = run.dealer.deal(member, vector, sealed, wrong)
    assert run.why(sealed, dealt.proof) == ""  # the proof is of the key in the seal, and holds
    entry = dataclasses.replace(entry, seal=_hash(sealed), head=dealt.proof[: head_bytes(run.parameters)])
    for number, content in enumerate(dealt.contents):
        assert "not one of the key in the seal" in run.dealer.why_unusable(member, entry, number, content)


def test_a_share_that_the_proof_is_not_about(run):
    sealed, _, dealt = run.shown([1, 2, 3, 4, 5, 6])
    member = run.parties["c0"].member
    entry = run.parties["c1"].seal(np.zeros(6, np.int64), run.at(10)).entry
    entry = dataclasses.replace(entry, seal=_hash(sealed), head=dealt.proof[: head_bytes(run.parameters)])
    for number, content in enumerate(dealt.contents):
        assert run.dealer.why_unusable(member, entry, number, content) == ""
        changed = bytes([content[0] ^ 1]) + content[1:]
        assert "not the one that the proof is about" in run.dealer.why_unusable(
            member, entry, number, changed
        )
    swapped = run.dealer.why_unusable(member, entry, 0, dealt.contents[1])
    assert "not the one that the proof is about" in swapped


def test_runs_without_proofs_take_none():
    plain = choose(dimension=6, members=4, bound=100)
    run = Run()
    why = Dealer(plain, run.place).why_rejected(
        run.parties["c0"].member, np.zeros((1, N), np.uint64), b"proof"
    )
    assert "this run has none" in why


def _hash(sealed):
    from hansa.secure_sum.sealed.messages import seal_hash

    return seal_hash(sealed)


# ------------------------------------------------------------------ numbers


def test_the_numbers_of_the_table():
    for dimension, width in ((4096, 2**12), (10**4, 2**13), (10**5, 2**14), (10**6, 2**16), (10**7, 2**17)):
        bounds = Bounds(norm=2**24, max_weight=None, dimension=dimension, elements=-(-dimension // N))
        assert bounds.error_width == width
        assert bounds.fault() == ""
    assert [parameters_of(4096, n).scale for n in (10, 100, 1000)] == [2**18, 2**21, 2**24]
    assert [parameters_of(10**6, n).scale for n in (10, 100, 1000)] == [2**22, 2**25, 2**28]


def test_norms_that_cannot_be_proven():
    parameters_of(10**6, 10, norm=LARGEST_NORM, bound=LARGEST_NORM)
    with pytest.raises(ConfigurationError, match="cannot be proven"):
        parameters_of(10**6, 10, norm=LARGEST_NORM + 1)
    with pytest.raises(ConfigurationError, match="uniqueness rule"):
        parameters_of(4096, 1000, norm=2**26)
    with pytest.raises(ConfigurationError, match="does not fit"):
        parameters_of(10**7, 1000, norm=2**26)


def test_a_larger_bound_than_fits_is_told_with_one_that_does():
    with pytest.raises(ConfigurationError) as told:
        parameters_of(4096, 1000, norm=2**26)
    most = int(str(told.value).split("Norms up to ")[1].split(" ")[0])
    parameters_of(4096, 1000, norm=most)


# ------------------------------------------------------------------ a weight that is known


def known(run, rows, name="c0"):
    """The member as a roster has it that pins its number of rows."""
    return dataclasses.replace(run.parties[name].member, data=b"d" * 32, rows=rows)


def weighed(run, member, weight):
    """A seal of a small vector of some weight, and what is dealt of it."""
    vector = np.array([3 * weight, -weight, 0, 0, 0, weight], np.int64)
    sealed, key = seal(vector, run.parameters, "sealed sum", *run.place.parts)
    return sealed, run.dealer.deal(member, vector, sealed, key)


@pytest.mark.parametrize(("rows", "weight"), [(7, 7), (50, 50), (51, 50), (10**9, 50)])
def test_the_weight_is_the_certified_number_of_rows_up_to_the_largest(weighted, rows, weight):
    member = known(weighted, rows)
    sealed, dealt = weighed(weighted, member, weight)
    assert weighted.dealer.why_rejected(member, sealed, dealt.proof) == ""


@pytest.mark.parametrize(("rows", "weight"), [(7, 8), (7, 6), (7, 0), (7, 50), (51, 49)])
def test_another_weight_than_the_certified_one(weighted, rows, weight, careless):
    member = known(weighted, rows)
    sealed, dealt = weighed(weighted, member, weight)
    assert "'total'" in weighted.dealer.why_rejected(member, sealed, dealt.proof)
    # A proof for the number of rows that somebody else would like it to be is none for this member.
    liked = known(weighted, max(1, weight))
    sealed, dealt = weighed(weighted, liked, max(1, weight))
    assert weighted.dealer.why_rejected(liked, sealed, dealt.proof) == ""
    assert weighted.dealer.why_rejected(member, sealed, dealt.proof)


def test_holders_check_shares_of_a_member_whose_rows_are_known(weighted):
    member = known(weighted, 7)
    sealed, dealt = weighed(weighted, member, 7)
    hashed = seal_hash(sealed)
    entry = Entry(
        sender="c0",
        seal=hashed,
        envelopes=(b"e" * 32,) * 4,
        signature=b"",
        head=dealt.proof[: head_bytes(weighted.parameters)],
    )
    for number, content in enumerate(dealt.contents):
        assert weighted.dealer.why_unusable(member, entry, number, content) == ""
    other = known(weighted, 8)
    assert weighted.dealer.why_unusable(other, entry, 0, dealt.contents[0])

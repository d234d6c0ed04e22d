"""Clients that add noise to what they seal, and try to pass a larger update off as noise.

Each lie is rejected; and with the one rule gone that forbids it, it would be accepted.
"""

from __future__ import annotations

import dataclasses
import functools

import numpy as np
import pytest

from hansa.crypto import field
from hansa.crypto.arithmetic import P
from hansa.secure_sum.sealed import witness as witness_module
from hansa.secure_sum.sealed.bounds import LARGEST_NORM, Bounds
from hansa.secure_sum.sealed.dealing import Dealer
from hansa.secure_sum.sealed.seal import seal
from hansa.zk import prover
from norm_run import NORM, Run, false_cells, rejected_by, summed, without

NOISE = 20_000
IMAGINARY = pow(7, (P - 1) // 4, P)
"""A root of −1: squares of v and of this times v cancel."""


@pytest.fixture(scope="module")
def run():
    return Run(noise=NOISE)


@pytest.fixture
def careless(monkeypatch):
    """Provers that do not look whether what they prove is so."""
    monkeypatch.setattr("hansa.secure_sum.sealed.dealing.prove", functools.partial(prover.prove, check=False))
    monkeypatch.setattr("hansa.secure_sum.sealed.seal._check_vector", lambda *_: None)


def rows(update, noise):
    return [[*update, *[0] * (6 - len(update))], [*noise, *[0] * (6 - len(noise))]]


# ------------------------------------------------------------------ longer vectors


@pytest.mark.parametrize(
    ("update", "noise", "rule"),
    [
        ([NORM], [NOISE, 1], "norm of the noise"),
        ([0], [NOISE + 1], "norm of the noise"),
        ([0], [0, 0, 0, 0, 0, -NOISE - 1], "norm of the noise"),
        ([NORM, 1], [NOISE], "norm of the update"),
        ([NORM + 1], [-1], "norm of the update"),  # of what is sealed nothing is too long
        ([NOISE], [NORM], "norm of the update"),  # the two changed places
    ],
)
@pytest.mark.usefixtures("careless")
def test_a_longer_vector_in_either_row_by_however_little(run, monkeypatch, update, noise, rule):
    sealed, _, dealt = run.shown(rows(update, noise))
    assert rejected_by(run.why(sealed, dealt.proof)) == "total"
    without(monkeypatch, rule)
    sealed, _, dealt = run.shown(rows(update, noise))
    assert run.why(sealed, dealt.proof) == ""


@pytest.mark.usefixtures("careless")
def test_one_huge_coordinate_of_noise(run):
    for value in (8 * NOISE, 2**26, 2**40, -(2**40)):
        sealed, _, dealt = run.shown(rows([1, 2, 3], [0, 0, value]))
        assert rejected_by(run.why(sealed, dealt.proof)) == "total"


@pytest.mark.usefixtures("careless")
def test_noise_for_an_update_buys_its_bound_and_no_more(run):
    """The split is the client's: all noise may point where the update does. Then it is as long as both."""
    sealed, _, dealt = run.shown(rows([NORM], [NOISE]))
    assert run.why(sealed, dealt.proof) == ""
    for update, noise in ((NORM + 1, NOISE), (NORM, NOISE + 1), (NORM + NOISE, 1), (0, NORM + NOISE + 1)):
        sealed, _, dealt = run.shown(rows([update], [noise]))
        assert rejected_by(run.why(sealed, dealt.proof)) == "total"
    longest = {name: np.array(rows([NORM], [NOISE])) for name in run.keys}
    total = summed(run, run.at(1), longest).total  # what is proven is accepted when it is opened
    np.testing.assert_array_equal(total, [4 * (NORM + NOISE), 0, 0, 0, 0, 0])


# ------------------------------------------------------------------ cells that are no coordinates


@pytest.mark.usefixtures("careless")
def test_squares_of_noise_that_cancel_behind_its_end(run, monkeypatch):
    """Cells that fill the last row are no coordinates: no projection sees what is in them."""
    long, real = 3 * NOISE, prover.rows_of

    def padded(layout, stage, given, check=True):
        out = real(layout, stage, given, check)
        if stage == 0:
            place = layout.rows["noise"].start - layout.stage_rows[0].start
            out[place, 100] = IMAGINARY * long % P
        return out

    monkeypatch.setattr(prover, "rows_of", padded)
    false_cells(monkeypatch, functools.partial(_full_slack, run))
    sealed, _, dealt = run.shown(rows([0], [long]))
    assert rejected_by(run.why(sealed, dealt.proof)) == "total"


@pytest.mark.usefixtures("careless")
def test_squares_of_noise_that_cancel_modulo_the_prime(run, monkeypatch):
    """(v, i v): the sum of squares is 0, and only the projections show that i v is not small."""
    vector, large = np.array(rows([0], [3])), 3 * IMAGINARY % P

    def change(stage, cells):
        if stage == 0:
            cells["noise"][1] = large
        _full_slack(run, stage, cells)

    def lied():
        sealed, key = seal(vector, run.parameters, "sealed sum", *run.place.parts)
        sealed[0, 1] = (int(sealed[0, 1]) + run.parameters.scale * large) % P
        return run.why(sealed, run.dealer.deal(run.parties["c0"].member, vector, sealed, key).proof)

    false_cells(monkeypatch, change)
    assert rejected_by(lied()) == "total"
    without(monkeypatch, "projections of the noise")
    assert lied() == ""


def _full_slack(run, stage, cells):
    """As much slack as a vector of norm 0 has."""
    if stage == 1:
        slack = run.parameters.proof.noise_places[1]
        cells["bits"][-slack:] = [(NOISE**2 >> i) & 1 for i in range(slack)]


@pytest.mark.usefixtures("careless")
def test_projections_of_another_vector(run, monkeypatch):
    honest, other = np.array(rows([1], [5, 6])), np.array([6, 5, 0, 0, 0, 0])
    real = witness_module.project

    def false(seed, values):
        return real(seed, other if values.tolist() == honest[1].tolist() else values)

    monkeypatch.setattr(witness_module, "project", false)
    sealed, _, dealt = run.shown(honest)
    assert rejected_by(run.why(sealed, dealt.proof)) == "total"
    without(monkeypatch, "projections of the noise")
    sealed, _, dealt = run.shown(honest)
    assert run.why(sealed, dealt.proof) == ""


@pytest.mark.usefixtures("careless")
def test_slack_of_noise_that_is_more_than_its_bits_hold(run, monkeypatch):
    """Negative slack would be near the prime, which takes 64 bits; one cell that is no bit could say it."""
    places = run.parameters.proof.noise_places[1]
    missing = (NOISE**2 - (NOISE + 1) ** 2) % P
    assert missing >= 2**places

    def change(stage, cells):
        if stage == 1:
            cells["bits"][-places:] = 0
            cells["bits"][-places] = missing

    false_cells(monkeypatch, change)
    sealed, _, dealt = run.shown(rows([0], [NOISE + 1]))
    assert rejected_by(run.why(sealed, dealt.proof)) == "boolean"
    without(monkeypatch, "booleans")
    sealed, _, dealt = run.shown(rows([0], [NOISE + 1]))
    assert run.why(sealed, dealt.proof) == ""


@pytest.mark.parametrize("what", ["noise", "vector"])
@pytest.mark.usefixtures("careless")
def test_rows_that_are_not_what_is_in_the_seal(run, monkeypatch, what):
    """What is proven short is not what was sealed, or only one of the two rows is in the seal."""

    def change(stage, cells):
        if stage == 0:
            cells[what] = field.from_ints([0] * 6)

    false_cells(monkeypatch, change)
    sealed, _, dealt = run.shown(rows([1, 2], [3, 4]))
    assert rejected_by(run.why(sealed, dealt.proof)) == "total"


# ------------------------------------------------------------------ proofs of another statement


@pytest.mark.usefixtures("careless")
def test_a_proof_of_another_kind_or_bound_is_none(run):
    """All that the two runs have in common is the same: members, place, scale, and the seal itself."""
    others = {
        "no noise": Bounds(norm=NORM, max_weight=None, dimension=6, elements=1),
        "more noise": Bounds(norm=NORM, max_weight=None, dimension=6, elements=1, noise=NOISE + 1),
    }
    member, place = run.parties["c0"].member, run.place
    for proof in others.values():
        other = dataclasses.replace(run.parameters, proof=proof)
        vector = np.array(rows([1, 2], [3, 4]))
        own, foreign = Dealer(run.parameters, place), Dealer(other, place)
        sealed, key = seal(vector, run.parameters, "sealed sum", *place.parts)
        shown = own.deal(member, vector, sealed, key).proof
        told = foreign.deal(member, vector if proof.noise else vector.sum(axis=0), sealed, key).proof
        assert own.why_rejected(member, sealed, shown) == ""
        assert foreign.why_rejected(member, sealed, told) == ""
        assert "rejected" in foreign.why_rejected(member, sealed, shown)
        assert "rejected" in own.why_rejected(member, sealed, told)
        for length in (len(shown), len(told)):
            assert "rejected" in own.why_rejected(member, sealed, told.ljust(length, b"\0")[:length])
            assert "rejected" in foreign.why_rejected(member, sealed, shown.ljust(length, b"\0")[:length])


@pytest.mark.parametrize("kind", ["with", "without"])
def test_bounds_at_which_sums_wrap_around_are_refused(kind):
    given = {"norm": 1000, "noise": LARGEST_NORM} if kind == "with" else {"norm": LARGEST_NORM}
    for dimension in (1, 10**6):
        bounds = Bounds(max_weight=None, dimension=dimension, elements=-(-dimension // 4096), **given)
        assert bounds.fault() == ""
        width, slack = bounds.noise_width or bounds.width, bounds.noise_places[1] or bounds.slack_bits
        assert (16 * width) ** 2 // 26 + 2**slack < P  # no sum of squares wraps
        assert 4 * width * dimension < P  # nor any projection
        name = "noise" if kind == "with" else "norm"
        larger = dataclasses.replace(bounds, **{name: LARGEST_NORM + 1})
        assert ("noise may be" if kind == "with" else "a vector's may be") in larger.fault()

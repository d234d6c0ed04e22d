"""Seals of an update with noise on it, and proofs of both norms."""

from __future__ import annotations

import dataclasses
import hashlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hansa.crypto.ring import N
from hansa.errors import ConfigurationError, UpdateError
from hansa.secure_sum import NormBound, Sealed
from hansa.secure_sum.interface import Shape
from hansa.secure_sum.sealed.bounds import Bounds
from hansa.secure_sum.sealed.norm import NormStatement
from hansa.zk.combination import begin, draw
from hansa.zk.statement import Layout
from hansa.zk.transcript import Transcript
from norm_run import NORM, Run, parameters_of, summed

NOISE = 20_000
SHAPE = Shape(dimension=6, members=4, bound=50_000, norm=NORM, noise=NOISE)


@pytest.fixture(scope="module")
def run():
    return Run(noise=NOISE)


@pytest.mark.parametrize(
    ("update", "noise"),
    [([0] * 6, [0] * 6), ([NORM, *[0] * 5], [*[0] * 5, NOISE]), ([1, -2, 3, -4, 5, -6], [-999, 999] * 3)],
)
def test_updates_and_noise_within_their_norms(run, update, noise):
    sealed, _, dealt = run.shown([update, noise])
    assert run.why(sealed, dealt.proof) == ""


@pytest.mark.parametrize("rows", [([NORM, 1, 0, 0, 0, 0], [0] * 6), ([0] * 6, [NOISE, 1, 0, 0, 0, 0])])
def test_a_careful_prover_does_not_prove_what_is_not_so(run, rows):
    with pytest.raises(ValueError, match="do not satisfy"):
        run.shown(rows)


def test_the_sum_is_that_of_updates_and_noise(run):
    rng = np.random.default_rng(5)
    rows = {name: np.stack([rng.integers(-900, 900, 6), rng.integers(-5000, 5000, 6)]) for name in run.keys}
    np.testing.assert_array_equal(
        summed(run, run.at(2), rows).total, sum(r.sum(axis=0) for r in rows.values())
    )


def test_seals_of_two_elements():
    run = Run(dimension=4100, noise=NOISE)
    rows = np.stack([np.arange(4100) % 3, 200 - np.arange(4100) % 400])
    sealed, _, dealt = run.shown(rows)
    assert sealed.shape == (2, 4096)
    assert run.why(sealed, dealt.proof) == ""


@pytest.mark.parametrize("shape", [(6,), (1, 6), (3, 6), (2, 5), (12,)])
def test_vectors_without_a_row_of_noise_do_not_fit(run, shape):
    with pytest.raises(UpdateError, match="with the noise beside it in a second row"):
        run.shown(np.zeros(shape, np.int64))
    with pytest.raises(UpdateError, match="does not fit a sum of 6 integers"):
        Run().shown(np.zeros((2, 6), np.int64))


def test_values_above_the_bound_are_looked_for_in_what_is_sealed(run):
    run.shown([[NORM, 0, 0, 0, 0, 0], [NOISE, 0, 0, 0, 0, 0]])
    with pytest.raises(UpdateError, match=f"a value of {NORM + NOISE + 1}"):
        run.shown([[NORM + 1, 0, 0, 0, 0, 0], [NOISE, 0, 0, 0, 0, 0]])


@given(place=st.integers(0, 10**6), change=st.integers(1, 255))
@settings(max_examples=15, deadline=None)
def test_any_byte(run, place, change):
    if not hasattr(run, "one"):
        run.one = run.shown([[1, 2, 3, 4, 5, 6], [-60, 50, -40, 30, -20, 10]])
    sealed, _, dealt = run.one
    changed = bytearray(dealt.proof)
    changed[place % len(changed)] ^= change
    assert "rejected" in run.why(sealed, bytes(changed))


# ------------------------------------------------------------------ numbers


def test_room_and_uniqueness_are_for_update_and_noise_together():
    apart, one = parameters_of(noise=NOISE), parameters_of(norm=NORM + NOISE, bound=NORM + NOISE)
    assert apart.coefficient_bound == one.coefficient_bound == NORM + NOISE
    assert apart.scale == one.scale
    assert apart.proof.vector_norm == NORM
    with pytest.raises(ConfigurationError, match="uniqueness rule"):
        parameters_of(4096, 1000, norm=2**13, noise=2**26 - 1)
    with pytest.raises(ConfigurationError, match="does not fit"):
        parameters_of(10**7, 1000, norm=2**12, noise=2**26)


def test_a_norm_that_fits_is_told_with_noise_in_proportion():
    with pytest.raises(ConfigurationError) as told:
        parameters_of(4096, 1000, norm=2**16, noise=2**20)
    most = int(str(told.value).split("Norms up to ")[1].split(" ")[0])
    assert 0 < most < 2**16
    parameters_of(4096, 1000, norm=most, noise=16 * most)


def test_noise_that_cannot_be_proven_is_told():
    with pytest.raises(ConfigurationError, match=r"client's noise may be .* Quantise to fewer steps"):
        parameters_of(noise=2**26 + 1)


def test_the_sum_says_what_is_proven_of_noise():
    planned = Sealed(proof=NormBound()).plan(SHAPE)
    assert planned.noise_norm == NOISE
    assert planned.describe()["proof"]["noise"] == NOISE
    told = f"at most {NORM} without its noise, whose norm is at most {NOISE}"
    assert told in planned.explain()
    assert f"who lies adds up to {NORM + NOISE}" in planned.explain()


def test_sums_that_prove_nothing_take_noise_in_one_row():
    for planned in (Sealed().plan(SHAPE), Sealed(proof="norm").plan(dataclasses.replace(SHAPE, noise=None))):
        assert planned.noise_norm is None
        assert "noise" not in planned.explain()
    assert Sealed().plan(SHAPE).describe() == Sealed().plan(dataclasses.replace(SHAPE, noise=None)).describe()


def test_noise_does_not_go_with_weights():
    with pytest.raises(ConfigurationError, match="not of both"):
        Sealed(proof=NormBound()).plan(dataclasses.replace(SHAPE, max_weight=10))


@pytest.mark.parametrize(
    ("max_weight", "pinned"),
    [
        (None, "13bc6bb500d861b60237e20b082ca8c049531906c3c62485e33e95302d65d5d4"),
        (50, "3d2445f53735229a33de8a8c0e6dc104b9087f36e8f24e69c9591c5d976082ac"),
    ],
)
def test_the_statement_without_noise_is_what_it_was(max_weight, pinned):
    """Proofs in the logs of earlier runs must stay valid: the same challenges, the same constraints."""
    statement = NormStatement(
        Bounds(norm=100, max_weight=max_weight, dimension=6, elements=1),
        seal=np.arange(N, dtype=np.uint64)[None],
        seal_hash=b"h" * 32,
        public=lambda k: np.arange(k, k + N, dtype=np.uint64),
        place=b"p",
        scale=1024,
        threshold=3,
        holders=4,
    )
    layout, said = Layout(statement), Transcript("test")
    begin(layout, said)
    drawn = draw(statement, layout, said, [b"s" * 32], [bytes(size) for size in statement.messages])
    hashed = hashlib.sha256(layout.digest)
    for field in dataclasses.fields(drawn):
        hashed.update(np.ascontiguousarray(getattr(drawn, field.name), "<u8").tobytes())
    assert hashed.hexdigest() == pinned

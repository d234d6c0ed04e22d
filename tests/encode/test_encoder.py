import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from hansa.encode import Quantise
from hansa.errors import ConfigurationError, UpdateError

SEED = bytes(range(32))
small = st.floats(-1, 1, width=32)
vectors = hnp.arrays(np.float32, (6, 12), elements=small)


def coins():
    return np.random.default_rng(0)


@given(vectors, st.lists(st.integers(0, 50), min_size=6, max_size=6), st.booleans())
def test_the_mean_of_a_sum_is_that_of_the_updates_to_a_step(updates, weights, rotate):
    encoder = Quantise(clip=4.0, max_weight=50, rotate=rotate).encoder(size=12, weighs=True)
    sent = [
        encoder.encode(u, w, seed=SEED, randomness=coins()) for u, w in zip(updates, weights, strict=True)
    ]
    assert not any(clipped for _, clipped in sent)
    total = sum(vector for vector, _ in sent)
    if not sum(weights):
        with pytest.raises(UpdateError, match="nothing to average"):
            encoder.mean(total, 6, seed=SEED)
        return
    mean = encoder.mean(total, 6, seed=SEED)
    expected = np.average(updates.astype(np.float64), axis=0, weights=weights)
    assert mean.shape == (12,)
    assert np.allclose(mean, expected, atol=encoder.grid.scale * 8)


@given(vectors)
def test_without_weights_all_count_alike(updates):
    encoder = Quantise(clip=4.0).encoder(size=12, weighs=False)
    assert encoder.dimension == 12
    total = sum(encoder.encode(u, 7.0, seed=b"", randomness=coins())[0] for u in updates)
    assert np.allclose(
        encoder.mean(total, 6, seed=b""), updates.mean(0, dtype=np.float64), atol=encoder.grid.scale * 2
    )


@given(hnp.arrays(np.float32, 9, elements=st.floats(-100, 100, width=32)), st.integers(0, 10**6))
def test_whatever_is_sent_is_within_the_bounds(update, weight):
    for settings in ({}, {"rotate": True, "bits": 8}, {"bound": 100}):
        encoder = Quantise(clip=1.0, max_weight=30, **settings).encoder(size=9, weighs=True)
        vector, clipped = encoder.encode(update, weight, seed=SEED, randomness=coins())
        assert (vector.dtype, vector.shape) == (np.int64, (encoder.dimension,))
        assert np.abs(vector).max() <= encoder.bound
        assert vector[-1] == min(weight, 30)
        encoder.mean(vector, 1, seed=SEED) if weight else None
        if np.linalg.norm(update.astype(np.float64)) > 1.01:
            assert clipped


def test_a_sum_beyond_the_bounds_is_refused():
    encoder = Quantise(clip=1.0, max_weight=10).encoder(size=3, weighs=True)
    total = np.array([10 * encoder.grid.bound_l2 + 11, 0, 0, 10])
    with pytest.raises(UpdateError, match="void"):
        encoder.mean(total, 1, seed=b"")
    with pytest.raises(UpdateError, match="void"):
        encoder.mean(np.array([0, 0, 0, 11]), 1, seed=b"")


@pytest.mark.parametrize("weighs", [True, False])
def test_a_sum_of_what_proofs_allow_is_not_refused(weighs):
    settings = Quantise(clip=1.0, bound=2**16, bits=8, max_weight=10)
    proven = settings.encoder(size=3, weighs=weighs, proven=True)
    most = proven.grid.bound_l2 * (10 if weighs else 1)
    total = np.array([most, 0, 0, 10] if weighs else [most, 0, 0])
    assert proven.bound == most
    proven.check(total, 1)
    with pytest.raises(UpdateError, match="void"):
        proven.check(total + np.array([1] + [0] * (len(total) - 1)), 1)
    with pytest.raises(UpdateError, match="void"):
        settings.encoder(size=3, weighs=weighs).check(total, 1)


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"clip": 0.0}, "clip"),
        ({"clip": float("nan")}, "clip"),
        ({"clip": "8"}, "clip"),
        ({"bound": 0}, "bound"),
        ({"bound": 2.0}, "bound"),
        ({"bits": 1}, "bits"),
        ({"rotate": 1}, "rotate"),
        ({"max_weight": 0}, "max_weight"),
    ],
)
def test_bad_settings_are_refused(settings, told):
    with pytest.raises(ConfigurationError, match=told):
        Quantise(**settings)


def test_weights_need_a_largest_one():
    with pytest.raises(ConfigurationError, match="max_weight"):
        Quantise().encoder(size=3, weighs=True)


def test_a_bound_that_rounding_alone_exceeds_is_refused():
    with pytest.raises(ConfigurationError, match="larger bound"):
        Quantise(bound=10).encoder(size=10_000, weighs=False)

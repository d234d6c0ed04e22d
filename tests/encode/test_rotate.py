import hashlib
import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hansa.encode.clip import clip
from hansa.encode.grid import Grid
from hansa.encode.quantise import decode, quantise
from hansa.encode.rotate import Rotation, rotate, unrotate
from hansa.errors import ConfigurationError, UpdateError

SEED = hashlib.sha256(b"round 0").digest()
sizes = st.integers(1, 300) | st.integers(1000, 5000) | st.sampled_from([65_536, 65_537, 140_001])


def norm(vector):
    return float(np.linalg.norm(vector.astype(np.float64)))


def normal(size, seed=0):
    return np.random.default_rng(seed).normal(size=size).astype(np.float32)


@given(sizes, st.integers(0, 2**32), st.binary(min_size=16, max_size=64))
def test_rotation_keeps_the_norm_and_is_undone(size, seed, public):
    rotation = Rotation(size=size, seed=public)
    vector = normal(size, seed)
    rotated = rotate(vector, rotation)
    assert rotated.dtype == np.float32
    assert rotated.shape == (rotation.padded,)
    assert abs(norm(rotated) - norm(vector)) <= 2.0**-23 * norm(vector)
    back = unrotate(rotated.astype(np.float64), rotation)
    assert back.shape == (size,)
    assert norm(back - vector) <= 2.0**-22 * norm(vector)


@given(st.integers(1, 2**32 - 1))
def test_padding_never_doubles_memory(size):
    rotation = Rotation(size=size, seed=SEED)
    assert rotation.block & (rotation.block - 1) == 0
    assert rotation.padded % rotation.block == 0
    padding = rotation.padded - size
    assert 0 <= padding < size
    if size > 1024:
        assert 8 * padding <= size
        assert 128 <= rotation.block <= 65_536


def test_it_is_the_hadamard_matrix_of_each_interleaved_block():
    rotation = Rotation(size=1100, seed=SEED)
    assert (rotation.block, rotation.padded) == (128, 1152)
    hadamard = np.ones((1, 1))
    while len(hadamard) < rotation.block:
        hadamard = np.block([[hadamard, hadamard], [hadamard, -hadamard]])
    vector = normal(1100)
    signed = np.zeros(1152)
    signed[:1100] = vector
    signed *= rotation.signs()
    expected = (hadamard @ signed.reshape(128, 9) / np.sqrt(128)).reshape(-1)
    np.testing.assert_allclose(rotate(vector, rotation), expected, rtol=1e-5, atol=1e-6)


def test_signs_are_the_bits_of_shake():
    rotation = Rotation(size=10, seed=bytes(16))
    stream = hashlib.shake_128(b"hansa.encode.rotate.v1\x10" + bytes(16) + (10).to_bytes(8, "little"))
    number = int.from_bytes(stream.digest(2), "little")
    assert rotation.signs().tolist() == [1 - 2 * (number >> i & 1) for i in range(16)]
    assert not np.array_equal(rotation.signs(), Rotation(size=10, seed=bytes(15) + b"1").signs())


@pytest.mark.parametrize("size", [1000, 100_000, 300_000])
def test_an_update_with_its_energy_in_few_coordinates_becomes_flat(size):
    vector = np.zeros(size, np.float32)
    vector[: size // 100] = 1  # one small layer that changed a lot
    rotation = Rotation(size=size, seed=SEED)
    rotated = rotate(vector, rotation)
    # Six times the size of a flat vector: more than normal coordinates reach, far less than before.
    assert np.abs(rotated).max() < 6 * norm(vector) / np.sqrt(rotation.padded)


def test_rotated_updates_need_fewer_bits():
    size = 20_000
    vector = np.zeros(size, np.float32)
    vector[0] = 1
    rotation = Rotation(size=size, seed=SEED)
    grid = Grid(clip_l2=1.0, scale=2.0**-12, size=rotation.padded, bits=9, saturate=True)
    rotated = clip(rotate(vector, rotation), 1.0)
    stream = np.random.default_rng(0)
    flat = quantise(rotated, grid, randomness=stream)
    assert flat.saturated == 0
    padded = np.zeros(rotation.padded, np.float32)
    padded[0] = 1
    assert quantise(clip(padded, 1.0), grid, randomness=stream).saturated == 1
    back = unrotate(decode(flat.vector, grid.scale), rotation)
    assert norm(back - vector) < 2.0**-12 * np.sqrt(rotation.padded)


@given(st.integers(1, 2000), st.integers(0, 1000))
def test_it_is_linear(size, seed):
    rotation = Rotation(size=size, seed=SEED)
    a, b = normal(size, seed), normal(size, seed + 1)
    together = rotate(a + b, rotation).astype(np.float64)
    apart = rotate(a, rotation).astype(np.float64) + rotate(b, rotation)
    assert norm(together - apart) <= 2.0**-21 * (norm(a) + norm(b))


@pytest.mark.parametrize(
    ("vector", "told"),
    [
        (np.ones(4, np.float32), "flat vector of 3 numbers"),
        (np.ones(3), "dtype float64"),
        (np.array([1, np.nan, 0], np.float32), "NaN"),
        (np.full(3, 3e38, np.float32), "beyond float32"),
    ],
)
def test_bad_updates_are_refused(vector, told):
    with pytest.raises(UpdateError, match=told):
        rotate(vector, Rotation(size=3, seed=bytes(64)))


@pytest.mark.parametrize(
    ("vector", "told"),
    [
        (np.ones(3), r"shape \(3,\) and float64; expected float64 of shape \(4,\)"),
        (np.ones(4, np.float32), "float32"),
        ([1.0] * 4, "list"),
        (np.array([1, 2, 3, np.inf]), "NaN or infinities"),
    ],
)
def test_bad_sums_are_refused(vector, told):
    with pytest.raises(UpdateError, match=told):
        unrotate(vector, Rotation(size=3, seed=SEED))


@pytest.mark.parametrize("seed", [b"short", bytes(65), "x" * 16, 3, None, bytearray(16)])
def test_bad_seeds_are_refused(seed):
    with pytest.raises(ConfigurationError, match="16 to 64 bytes"):
        Rotation(size=3, seed=seed)


@pytest.mark.parametrize("size", [0, -1, 2**32, 1.0, True])
def test_bad_sizes_are_refused(size):
    with pytest.raises(ConfigurationError, match="size must be an integer"):
        Rotation(size=size, seed=SEED)


def test_neither_half_changes_its_argument():
    vector, rotation = normal(3), Rotation(size=3, seed=SEED)
    kept = vector.copy()
    rotated = rotate(vector, rotation).astype(np.float64)
    again = rotated.copy()
    unrotate(rotated, rotation)
    assert np.array_equal(vector, kept)
    assert np.array_equal(rotated, again)


def test_describe_is_json():
    described = json.loads(json.dumps(Rotation(size=np.int64(5), seed=SEED).describe()))
    assert described == {"kind": "hadamard", "size": 5, "block": 8, "padded": 8}

import json
import struct

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from hansa.encode.compress import EightBits, TopK, decode_eight, decode_top
from hansa.encode.randomness import Expanded
from hansa.errors import ConfigurationError, UpdateError

finite = st.floats(-(2.0**126), 2.0**126, width=32) | st.sampled_from([0.0, -0.0, 1.0, -1.0, 2.0**-149])
vectors = hnp.arrays(np.float32, st.integers(1, 50), elements=finite)
keeps = st.floats(2.0**-32, 1)


def top(keep, vector, residual=None):
    return TopK(keep=keep).encode(vector, residual)


@given(vectors, keeps, st.data())
def test_top_k_loses_nothing(vector, keep, data):
    residual = data.draw(st.none() | hnp.arrays(np.float32, vector.size, elements=finite))
    kept = vector.copy(), None if residual is None else residual.copy()
    encoded, rest = top(keep, vector, residual)
    sent = decode_top(encoded, vector.size)
    whole = vector if residual is None else vector + residual
    assert sent.dtype == rest.dtype == np.float32
    assert np.array_equal(sent + rest, whole)
    assert not ((sent != 0) & (rest != 0)).any()
    count = min(max(1, round(keep * vector.size)), int(np.count_nonzero(whole)))
    assert np.count_nonzero(sent) == count
    if count:
        assert np.abs(sent[sent != 0]).min() >= np.abs(rest).max()
    assert np.array_equal(vector, kept[0])
    assert residual is None or np.array_equal(residual, kept[1])


def test_the_memory_reaches_the_server_later():
    stream = np.random.default_rng(0)
    updates = [stream.normal(size=200).astype(np.float32) for _ in range(30)]
    rest, arrived = None, np.zeros(200)
    for update in updates:
        data, rest = top(0.1, update, rest)
        arrived += decode_top(data, 200)
    np.testing.assert_allclose(arrived + rest, np.sum(updates, axis=0, dtype=np.float64), atol=1e-4)
    data, rest = top(1.0, np.zeros(200, np.float32), rest)
    assert not rest.any()


def test_of_equal_magnitudes_the_first_travel():
    data, rest = top(0.5, np.array([1, -1, 1, -1], np.float32))
    assert decode_top(data, 4).tolist() == [1, -1, 0, 0]
    assert rest.tolist() == [0, 0, 1, -1]


@pytest.mark.parametrize(("gap", "width"), [(0, 1), (255, 1), (256, 2), (65_535, 2), (65_536, 4)])
def test_the_bytes_are_as_few_as_the_format_says(gap, width):
    vector = np.zeros(gap + 3, np.float32)
    vector[[0, gap + 1]] = 1
    data, _ = top(1.0, vector)
    assert len(data) == 13 + 2 * (width + 4)
    assert np.array_equal(decode_top(data, vector.size), vector)


def test_sizes_are_real():
    vector = np.random.default_rng(0).normal(size=100_000).astype(np.float32)
    data, _ = top(0.01, vector)
    assert len(data) == 13 + 1000 * 6  # of 400,000 bytes
    assert len(EightBits().encode(vector, np.random.default_rng(0))) == 12 + 391 * 2 + 100_000


@given(vectors, st.integers(1, 60), st.integers(0, 2**32))
def test_eight_bits_are_within_a_step(vector, block, seed):
    data = EightBits(block=block).encode(vector, np.random.default_rng(seed))
    assert len(data) == 12 + 2 * -(-vector.size // block) + vector.size
    result = decode_eight(data, vector.size)
    assert result.dtype == np.float32
    for start in range(0, vector.size, block):
        part, got = vector[start : start + block].astype(np.float64), result[start : start + block]
        step = max(np.abs(part).max() / 127 * (1 + 2.0**-7), 2.0**-133)
        assert (np.abs(part - got) < step).all()
        assert part.any() or not got.any()
    assert (result * np.sign(vector) >= 0).all()


def test_eight_bits_decode_exactly_what_was_encoded():
    # Levels of a power of two are on the grid already, so that nothing is rounded.
    vector = (np.arange(-127, 128) * 2.0**-10).astype(np.float32)
    for block in (255, 1000):
        data = EightBits(block=block).encode(vector, np.random.default_rng(0))
        assert np.array_equal(decode_eight(data, 255), vector)


def test_a_level_never_runs_over_where_the_step_is_a_denormal():
    # A 127th of this is above 2**-133 by less than a float32 can tell.
    vector = np.array([127 * 2.0**-133 + 2.0**-149], np.float32)
    data = EightBits(block=1).encode(vector, bytes)  # every coin comes up
    assert 0 < decode_eight(data, 1)[0] <= 127 * 2.0**-132


def test_the_mean_of_eight_bits_is_the_update():
    vector = np.random.default_rng(2).normal(size=64).astype(np.float32)
    source, draws = Expanded(bytes(32)), 4000
    got = [decode_eight(EightBits(block=16).encode(vector, source), 64) for _ in range(draws)]
    mean = np.mean(got, axis=0, dtype=np.float64)
    step = np.repeat(np.abs(vector).reshape(4, 16).max(1), 16) / 127 * (1 + 2.0**-7)
    assert (np.abs(mean - vector) < 5 * step / 2 / np.sqrt(draws) + 1e-12).all()


def both_decoders(data, size):
    for decode in (decode_top, decode_eight):
        try:
            result = decode(data, size)
        except UpdateError:
            continue
        assert result.shape == (size,)
        assert result.dtype == np.float32
        assert np.isfinite(result).all()
        yield decode, result


@given(
    st.binary(max_size=80) | st.builds(lambda a, b: a + b, st.sampled_from([b"hTK1", b"hE81"]), st.binary())
)
def test_decoders_survive_any_bytes(data):
    for size in (1, 3, int.from_bytes(data[4:8], "little") % 100 + 1):
        list(both_decoders(data, size))


@given(vectors, keeps, st.integers(0, 2**32), st.data())
def test_changed_bytes_are_refused_or_finite_and_top_k_has_one_form(vector, keep, seed, data):
    size = vector.size
    for encoded in (top(keep, vector)[0], EightBits(block=7).encode(vector, np.random.default_rng(seed))):
        changed = bytearray(encoded)
        place = data.draw(st.integers(0, len(changed) - 1))
        changed[place] ^= data.draw(st.integers(1, 255))
        for decode, result in both_decoders(bytes(changed), size):
            if decode is decode_top:
                assert top(1.0, result)[0] == bytes(changed)
        for wrong in (encoded[:-1], encoded + b"\0", encoded[1:], b""):
            assert not list(both_decoders(wrong, size))


def packed_top(size, count, width, gaps, values):
    body = np.array(gaps, f"<u{width}").tobytes() + np.array(values, "<f4").tobytes()
    return struct.pack("<4sIIB", b"hTK1", size, count, width) + body


@pytest.mark.parametrize(
    ("data", "told"),
    [
        (packed_top(10, 1, 1, [10], [1]), "a value at 10 of 10"),
        (packed_top(10, 2, 1, [9, 0], [1, 1]), "a value at 10 of 10"),
        (packed_top(10, 2, 4, [2**32 - 1, 2**32 - 1], [1, 1]), "a value at 8589934591 of 10"),
        (packed_top(10, 1, 2, [3], [1]), "gaps of 2 bytes where 1 hold them"),
        (packed_top(10, 0, 4, [], []), "gaps of 4 bytes where 1 hold them"),
        (packed_top(10, 1, 1, [3], [np.nan]), "NaN, infinite or 0"),
        (packed_top(10, 1, 1, [3], [-np.inf]), "NaN, infinite or 0"),
        (packed_top(10, 1, 1, [3], [-0.0]), "NaN, infinite or 0"),
        (packed_top(10, 11, 1, [0] * 11, [1] * 11), "11 of 10 values"),
        (packed_top(10, 1, 1, [3], [1])[:12] + b"\3" + bytes(7), "gaps of 3 bytes"),
        (packed_top(10, 4_000_000, 1, [3], [1]), "4000000 of 10 values"),
        (packed_top(10, 9, 1, [3], [1]), "18 bytes where 9 values take 58"),
        (packed_top(2**32 - 1, 1, 1, [3], [1]), "4294967295 scalars; this model's updates have 10"),
        (b"hTK2" + bytes(20), "expected b'hTK1' first"),
        (b"hTK1", "has 4 bytes"),
        ("text", "is bytes, got str"),
        (bytearray(20), "is bytes, got bytearray"),
        (None, "is bytes, got NoneType"),
    ],
)
def test_crafted_top_k_bytes_are_refused(data, told):
    with pytest.raises(UpdateError, match=told):
        decode_top(data, 10)


def packed_eight(size, block, steps, levels):
    body = np.array(steps, "<u2").tobytes() + np.array(levels, np.int8).tobytes()
    return struct.pack("<4sII", b"hE81", size, block) + body


ONE = 0x3F80  # the upper half of 1.0


@pytest.mark.parametrize(
    ("data", "told"),
    [
        (packed_eight(2, 2, [ONE], [1, -128]), "a level of -128"),
        (packed_eight(2, 2, [0], [1, 0]), "step of 0"),
        (packed_eight(2, 2, [0xBF80], [1, 0]), "negative, NaN, infinite"),
        (packed_eight(2, 2, [0x7F80], [1, 0]), "negative, NaN, infinite"),
        (packed_eight(2, 2, [0x7FC0], [1, 0]), "negative, NaN, infinite"),
        (packed_eight(2, 2, [0x7F7F], [1, 0]), "negative, NaN, infinite or beyond"),
        (packed_eight(2, 0, [ONE], [1, 0]), "blocks of 0"),
        (packed_eight(2, 2**20 + 1, [ONE], [1, 0]), "blocks of 1048577"),
        (packed_eight(2, 1, [ONE], [1, 0]), "16 bytes where 2 blocks take 18"),
        (packed_eight(3, 2, [ONE, ONE], [1, 0, 0]), "is of 3 scalars; this model's updates have 2"),
        (b"hE82" + bytes(20), "expected b'hE81' first"),
        ([1], "is bytes, got list"),
    ],
)
def test_crafted_eight_bit_bytes_are_refused(data, told):
    with pytest.raises(UpdateError, match=told):
        decode_eight(data, 2)


def test_a_known_eight_bit_update_decodes():
    assert decode_eight(packed_eight(2, 2, [ONE], [1, -127]), 2).tolist() == [1, -127]


@pytest.mark.parametrize(
    ("vector", "told"),
    [
        (np.array([1, np.nan], np.float32), "NaN"),
        (np.array([np.inf], np.float32), "infinite"),
        (np.ones(2), "dtype float64"),
        (np.zeros(0, np.float32), r"shape \(0,\)"),
        ("x", "is a str"),
    ],
)
def test_bad_updates_are_refused(vector, told):
    with pytest.raises(UpdateError, match=told):
        top(0.5, vector)
    with pytest.raises(UpdateError, match=told):
        EightBits().encode(vector, np.random.default_rng(0))


def test_bad_memories_and_huge_values_are_refused():
    one, huge = np.ones(2, np.float32), np.full(2, 3e38, np.float32)
    with pytest.raises(UpdateError, match="the residual has the shape"):
        top(0.5, one, np.ones(3, np.float32))
    with pytest.raises(UpdateError, match="the update plus the residual are NaN or infinite"):
        top(0.5, huge, huge)
    with pytest.raises(UpdateError, match="8-bit levels reach"):
        EightBits().encode(huge, np.random.default_rng(0))
    edge = np.array([2.0**127, -(2.0**127)], np.float32)
    assert np.isfinite(decode_eight(EightBits().encode(edge, np.random.default_rng(0)), 2)).all()


@pytest.mark.parametrize("keep", [0, -0.1, 1.1, np.nan, True, "1"])
def test_bad_shares_are_refused(keep):
    with pytest.raises(ConfigurationError, match="keep must be a finite number"):
        TopK(keep=keep)


@pytest.mark.parametrize("block", [0, 2**20 + 1, 1.0, True])
def test_bad_blocks_are_refused(block):
    with pytest.raises(ConfigurationError, match="block must be an integer"):
        EightBits(block=block)


def test_a_size_that_is_no_size_is_refused():
    for decode in (decode_top, decode_eight):
        with pytest.raises(ConfigurationError, match="size must be an integer"):
            decode(b"", -1)


def test_describe_is_json():
    assert json.loads(json.dumps(TopK(keep=np.float64(0.5)).describe())) == {"kind": "top-k", "keep": 0.5}
    assert json.loads(json.dumps(EightBits(block=np.int64(8)).describe())) == {"kind": "8-bit", "block": 8}

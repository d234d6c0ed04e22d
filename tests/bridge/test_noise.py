"""The noise of private steps: its bits, and the normal numbers that they become."""

from __future__ import annotations

import math
import statistics

import numpy as np
import pytest
from keras import ops

from hansa.bridge.noise import Keystream, normals
from hansa.errors import ConfigurationError

pytestmark = pytest.mark.backends
NORMAL = statistics.NormalDist()


def drawn(bits: np.ndarray) -> np.ndarray:
    return ops.convert_to_numpy(normals(ops.convert_to_tensor(bits.copy())))


def test_normals_are_the_inverse_of_the_distribution_function() -> None:
    sizes = [*range(0, 2**31, 31_000_003), *(2**k for k in range(31)), 2**31 - 1]
    bits = np.array([*sizes, *(-1 - n for n in sizes)], np.int64).astype(np.int32)
    expected = [-NORMAL.inv_cdf((n + 0.5) / 2**32) for n in sizes]
    found = drawn(bits)
    np.testing.assert_allclose(found, [*expected, *(-z for z in expected)], rtol=5e-4, atol=1e-6)
    assert np.abs(found).max() > 6.3


def test_normals_of_the_stream_are_normal() -> None:
    values = drawn(Keystream(bytes(32)).bits(400_000))
    edges = np.array([NORMAL.inv_cdf(i / 50) for i in range(1, 50)])
    counts = np.bincount(np.searchsorted(edges, values), minlength=50)
    chi_square = ((counts - 8000) ** 2 / 8000).sum()
    assert chi_square < 49 + 4 * math.sqrt(2 * 49)
    for step in (1, 7, 1000):
        assert abs(np.mean(values[:-step] * values[step:])) < 4 / math.sqrt(len(values))


def test_a_key_gives_the_same_bits_and_none_twice() -> None:
    stream, again = Keystream(bytes(32)), Keystream(bytes(32))
    first, second = stream.bits(3, 5), stream.bits(1000)
    np.testing.assert_array_equal(again.bits(15).reshape(3, 5), first)
    other = Keystream(bytes(31) + b"\1").bits(1015)
    everything = np.concatenate([first.reshape(-1), second, other])
    assert len(np.unique(everything)) == len(everything)
    with pytest.raises(ConfigurationError, match="32 bytes"):
        Keystream(b"short")

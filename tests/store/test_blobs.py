from __future__ import annotations

import hashlib
import os

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from hansa.errors import LogError, RunError
from hansa.store import Blobs
from hansa.store.blobs import decode_arrays, encode_arrays

dtypes = st.one_of(
    hnp.boolean_dtypes(),
    hnp.integer_dtypes(endianness="?"),
    hnp.unsigned_integer_dtypes(endianness="?"),
    hnp.floating_dtypes(endianness="?", sizes=(16, 32, 64)),
)
arrays = hnp.arrays(dtypes, hnp.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=3))
named = st.dictionaries(st.sampled_from(["a", "b/kernel:0", "ü", ""]), arrays)


@given(named)
def test_arrays_round_trip_bit_for_bit(values):
    back = decode_arrays(encode_arrays(values))
    assert sorted(back) == sorted(values)
    for name, value in values.items():
        little = np.asarray(value, value.dtype.newbyteorder("<"), order="C")
        assert back[name].dtype == little.dtype
        assert back[name].shape == value.shape
        assert back[name].tobytes() == little.tobytes()
        assert back[name].flags.writeable


@given(named)
def test_the_same_arrays_give_the_same_bytes(values):
    assert encode_arrays(values) == encode_arrays(dict(reversed(values.items())))


def test_memory_order_does_not_matter():
    value = np.arange(24, dtype=np.float32).reshape(2, 3, 4)
    views = (value, np.asfortranarray(value), value.repeat(2, axis=1)[:, ::2], value[::-1].copy()[::-1])
    assert len({encode_arrays({"a": view}) for view in views}) == 1


def test_bfloat16_is_kept():
    value = np.array([1.5, -2.0], ml_dtypes.bfloat16)
    back = decode_arrays(encode_arrays({"a": value}))["a"]
    assert back.dtype == value.dtype
    assert back.tobytes() == value.tobytes()


@pytest.mark.parametrize(
    "value", [np.array([object()]), np.array(["text"]), np.array([1j]), np.array([b"x"])]
)
def test_other_dtypes_are_refused(value):
    with pytest.raises(RunError, match="array 'a' has dtype"):
        encode_arrays({"a": value})


@pytest.mark.parametrize("name", ["__metadata__", "a\n", "\ud800", 3])
def test_names_that_cannot_be_kept_are_refused(name):
    with pytest.raises(RunError, match="cannot name an array"):
        encode_arrays({name: np.zeros(1)})


def test_put_and_get(tmp_path):
    blobs = Blobs(tmp_path / "blobs")
    name = blobs.put(b"data")
    assert name == hashlib.sha256(b"data").hexdigest()
    assert blobs.put(b"data") == name
    assert blobs.get(name) == b"data"
    assert (tmp_path / "blobs" / name[:2] / name).read_bytes() == b"data"
    arrays = {"a": np.float32(3), "b": np.zeros((0, 2))}
    assert blobs.get_arrays(blobs.put_arrays(arrays))["b"].shape == (0, 2)


def test_putting_again_does_not_write_again(tmp_path):
    blobs = Blobs(tmp_path)
    path = tmp_path / blobs.put(b"data")[:2] / blobs.put(b"data")
    os.utime(path, ns=(1, 1))
    blobs.put(b"data")
    assert path.stat().st_mtime_ns == 1


@pytest.mark.parametrize("damage", [b"", b"dat", b"dbta", b"data and more"])
def test_a_changed_blob_is_noticed_and_putting_it_again_mends_it(tmp_path, damage):
    blobs = Blobs(tmp_path)
    name = blobs.put(b"data")
    (tmp_path / name[:2] / name).write_bytes(damage)
    with pytest.raises(LogError, match=f"blob {name} was changed"):
        blobs.get(name)
    blobs.put(b"data")
    assert blobs.get(name) == b"data"


def test_a_missing_blob_is_named(tmp_path):
    with pytest.raises(LogError, match=f"blob {'0' * 64} is missing"):
        Blobs(tmp_path).get("0" * 64)


def test_a_blob_that_holds_no_arrays_is_named(tmp_path):
    blobs = Blobs(tmp_path)
    name = blobs.put(b"data")
    with pytest.raises(LogError, match=f"blob {name}.*safetensors"):
        blobs.get_arrays(name)


def test_the_limit_holds_both_ways(tmp_path):
    name = Blobs(tmp_path).put(b"12345")
    small = Blobs(tmp_path, limit_bytes=4)
    with pytest.raises(RunError, match="limit of 4"):
        small.put(b"12345")
    with pytest.raises(LogError, match="5 bytes, more than the limit of 4"):
        small.get(name)


def test_collect_removes_what_is_not_kept_and_unfinished_files(tmp_path):
    blobs = Blobs(tmp_path)
    kept, gone = blobs.put(b"kept"), blobs.put(b"gone")
    (tmp_path / gone[:2] / f".{gone}.1.tmp").write_bytes(b"half")
    (tmp_path / kept[:2] / "README").write_bytes(b"not ours")
    assert blobs.collect({kept}) == 2
    assert blobs.get(kept) == b"kept"
    assert (tmp_path / kept[:2] / "README").exists()
    with pytest.raises(LogError, match="missing"):
        blobs.get(gone)
    blobs.remove(kept)
    blobs.remove(kept)
    with pytest.raises(LogError, match="missing"):
        blobs.get(kept)

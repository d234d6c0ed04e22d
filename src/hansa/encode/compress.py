"""Smaller updates for *plain* sums: the largest coordinates alone, or 8 bits a coordinate.

Secure sums cannot use these: their integers must line up coordinate by coordinate, and the choice of the
largest coordinates would itself tell about the data. Sizes are those of the bytes that travel.

Both formats begin with four bytes that name the format and its version, and with the number d of scalars as
an unsigned little-endian 32-bit integer. Nothing in them can be written in two ways. Decoders are told d
and refuse everything else before they allocate.

Source:
    Stich, Cordonnier, Jaggi 2018, Sparsified SGD with Memory, algorithm 1 (top-k with memory);
    Alistarh, Grubic, Li, Tomioka, Vojnovic 2017, QSGD, section 3 (unbiased stochastic levels, by block).
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hansa.encode.checks import check_floats, real_number, settle, whole_number
from hansa.encode.randomness import Randomness, coins
from hansa.errors import UpdateError
from hansa.types import FloatVector

_TOP = b"hTK1"
_EIGHT = b"hE81"
_TOP_HEAD = struct.Struct("<4sIIB")  # name, d, number of values, bytes of a gap
_EIGHT_HEAD = struct.Struct("<4sII")  # name, d, block
_LARGEST = 2**32 - 1
_LEVELS = 127


@dataclass(frozen=True, kw_only=True)
class TopK:
    """The largest coordinates of an update; the rest is remembered and added to the next one.

    Attributes:
        keep: Share of the coordinates that travel, above 0 (at least one does) and at most 1.

    Raises:
        ConfigurationError: The share is out of its range.

    Guarantees:
        What travels and what is remembered add up to the update and the old memory, exactly: nothing is
        lost, only late.

    Example:
        >>> data, residual = TopK(keep=0.25).encode(np.array([1, -5, 2, 0], np.float32), None)
        >>> len(data), decode_top(data, 4).tolist(), residual.tolist()
        (18, [0.0, -5.0, 0.0, 0.0], [1.0, 0.0, 2.0, 0.0])
    """

    keep: float

    def __post_init__(self) -> None:
        settle(self, keep=real_number("keep", self.keep, low=2.0**-32, high=1.0))

    def encode(self, vector: FloatVector, residual: FloatVector | None) -> tuple[bytes, FloatVector]:
        """Return the bytes that travel, and what the client remembers until its next update.

        Args:
            vector: The update, float32, shape ``(d,)``, finite.
            residual: What the last call returned as second, float32, shape ``(d,)``; None the first time.

        Returns:
            The bytes: ``keep · d`` coordinates, rounded and at least 1, fewer where
            the others are 0. And the new residual.

        Raises:
            UpdateError: A vector is malformed, or their sum is beyond float32.

        Guarantees:
            `decode_top` of the bytes plus the new residual is ``vector + residual`` in float32, bit for bit
            but for the sign of zeros. Of equal magnitudes, the first go. The arguments are not changed.
        """
        rest = check_floats(vector, "the update").copy()
        if residual is not None:
            with np.errstate(over="ignore"):
                rest += check_floats(residual, "the residual", size=vector.size)
            check_floats(rest, "the update plus the residual")
        index = _largest(np.abs(rest), max(1, round(self.keep * rest.size)))
        data = _top_bytes(index, rest[index], rest.size)
        rest[index] = 0
        return data, rest

    def describe(self) -> dict[str, Any]:
        """Return the settings for the run's configuration."""
        return {"kind": "top-k", "keep": self.keep}


def decode_top(data: bytes, size: int) -> FloatVector:
    """Return the update that `TopK.encode` wrote, zeros where nothing travelled.

    After the header come the gaps (how many coordinates are skipped before each value) in the fewest of 1, 2
    or 4 bytes that hold them all, then the values as float32.

    Args:
        data: The bytes, from anyone.
        size: Number of scalars d that this model's updates have.

    Returns:
        Float32, shape ``(size,)``.

    Raises:
        UpdateError: The bytes are not exactly what `TopK.encode` writes for this size.

    Guarantees:
        Bytes that are accepted are the only ones of their vector. Memory is bounded by ``size`` and the
        length of the bytes, and is not allocated before both are checked.
    """
    size = whole_number("size", size, high=_LARGEST)
    _check_bytes(data, _TOP, _TOP_HEAD.size, size, "top-k")
    _, _, count, width = _TOP_HEAD.unpack_from(data)
    if width not in (1, 2, 4) or count > size:
        raise _malformed("top-k", f"says {count} of {size} values with gaps of {width} bytes")
    expected = _TOP_HEAD.size + count * (width + 4)
    if len(data) != expected:
        raise _malformed("top-k", f"has {len(data)} bytes where {count} values take {expected}")
    gaps = np.frombuffer(data, f"<u{width}", count, _TOP_HEAD.size).astype(np.uint64)
    values = np.frombuffer(data, "<f4", count, _TOP_HEAD.size + count * width)
    if width != _gap_width(gaps):
        raise _malformed("top-k", f"has gaps of {width} bytes where {_gap_width(gaps)} hold them")
    index = np.cumsum(gaps + np.uint64(1)) - np.uint64(1)  # below 2**64: at most 2**32 gaps below 2**32
    if count and int(index[-1]) >= size:
        raise _malformed("top-k", f"has a value at {int(index[-1])} of {size}")
    if not (np.isfinite(values) & (values != 0)).all():
        raise _malformed("top-k", "has values that are NaN, infinite or 0")
    result = np.zeros(size, np.float32)
    result[index.astype(np.int64)] = values
    return result


@dataclass(frozen=True, kw_only=True)
class EightBits:
    """8 bits a coordinate, rounded at random on a grid for each block.

    A block's grid has 255 levels from -127 to 127 steps. Its step is the smallest that reaches the block's
    largest magnitude, rounded up to 8 significant bits: then step times level is exact in float32.

    Attributes:
        block: Coordinates that share a step (2 bytes), from 1 to ``2**20``.

    Raises:
        ConfigurationError: The block is out of its range.

    Guarantees:
        Each decoded coordinate is less than one step from the update's, and its mean over draws is the
        update's to ``2**-46`` steps. A block of zeros is decoded as zeros.

    Example:
        >>> data = EightBits(block=2).encode(np.array([127, -4, 0, 0], np.float32), np.random.default_rng(0))
        >>> len(data), decode_eight(data, 4).tolist()
        (20, [127.0, -4.0, 0.0, 0.0])
    """

    block: int = 256

    def __post_init__(self) -> None:
        settle(self, block=whole_number("block", self.block, high=2**20))

    def encode(self, vector: FloatVector, randomness: Randomness) -> bytes:
        """Return the bytes that travel.

        Args:
            vector: The update, float32, shape ``(d,)``, finite, magnitudes at most ``2**127``.
            randomness: As for `hansa.encode.quantise.quantise`.

        Returns:
            12 bytes, 2 for each block, 1 for each coordinate.

        Raises:
            UpdateError: The vector is malformed or too large.
        """
        check_floats(vector, "the update")
        largest = np.maximum.reduceat(np.abs(vector), np.arange(0, vector.size, self.block))
        if float(largest.max()) > 2.0**127:
            raise UpdateError(
                f"the update has values up to {float(largest.max()):g}; 8-bit levels reach 2**127. Clip it "
                "first, or leave it out of the round."
            )
        steps = _steps(largest)
        wide = np.repeat(_widened(steps), self.block)[: vector.size]
        wide[wide == 0] = 1  # blocks of zeros, which stay zeros
        levels = np.abs(vector.astype(np.float64)) / wide
        whole = np.floor(levels)
        whole += coins(randomness, levels - whole)
        signed = np.copysign(whole, vector).astype(np.int8)
        head = _EIGHT_HEAD.pack(_EIGHT, vector.size, self.block)
        return head + steps.astype("<u2").tobytes() + signed.tobytes()

    def describe(self) -> dict[str, Any]:
        """Return the settings for the run's configuration."""
        return {"kind": "8-bit", "block": self.block}


def decode_eight(data: bytes, size: int) -> FloatVector:
    """Return the update that `EightBits.encode` wrote.

    After the header come the steps of the blocks, as the upper 16 bits of float32, then the levels as int8.

    Args:
        data: The bytes, from anyone.
        size: Number of scalars d that this model's updates have.

    Returns:
        Float32, shape ``(size,)``: level times step, exactly.

    Raises:
        UpdateError: The bytes are not in the form that `EightBits.encode` writes for this size.

    Guarantees:
        The result is finite. Memory is bounded by ``size``, and not allocated before lengths are checked.
    """
    size = whole_number("size", size, high=_LARGEST)
    _check_bytes(data, _EIGHT, _EIGHT_HEAD.size, size, "8-bit")
    _, _, block = _EIGHT_HEAD.unpack_from(data)
    if not 1 <= block <= 2**20:
        raise _malformed("8-bit", f"says blocks of {block} coordinates, which are 1 to {2**20}")
    blocks = -(-size // block)
    expected = _EIGHT_HEAD.size + 2 * blocks + size
    if len(data) != expected:
        raise _malformed("8-bit", f"has {len(data)} bytes where {blocks} blocks take {expected}")
    steps = np.frombuffer(data, "<u2", blocks, _EIGHT_HEAD.size)
    levels = np.frombuffer(data, np.int8, size, _EIGHT_HEAD.size + 2 * blocks)
    if int(steps.max()) > _top_step():
        raise _malformed("8-bit", "has a step that is negative, NaN, infinite or beyond 2**127 / 127")
    if int(levels.min()) < -_LEVELS:
        raise _malformed("8-bit", f"has a level of -128; levels are -{_LEVELS} to {_LEVELS}")
    wide = np.repeat(_widened(steps), block)[:size]
    if levels[wide == 0].any():
        raise _malformed("8-bit", "has levels other than 0 in a block with a step of 0")
    return (levels * wide).astype(np.float32)


COMPRESSIONS: dict[str, type[TopK] | type[EightBits]] = {"top-k": TopK, "8-bit": EightBits}


def compress(
    how: TopK | EightBits, vector: FloatVector, residual: FloatVector | None, randomness: Randomness
) -> tuple[bytes, FloatVector | None]:
    """Return the bytes of an update, and what its client remembers until the next (`TopK` alone does).

    Raises:
        UpdateError: As the ``encode`` of either.
    """
    if isinstance(how, TopK):
        return how.encode(vector, residual)
    return how.encode(vector, randomness), None


def decompress(how: TopK | EightBits, data: bytes, size: int) -> FloatVector:
    """Return the update in bytes that `compress` wrote.

    Raises:
        UpdateError: They are not exactly what it writes for this size.
    """
    return decode_top(data, size) if isinstance(how, TopK) else decode_eight(data, size)


def _largest(magnitude: FloatVector, count: int) -> NDArray[np.int64]:
    """Return the indices of the largest magnitudes above 0, in order; of equal ones the first."""
    least = np.partition(magnitude, magnitude.size - count)[magnitude.size - count]
    chosen = magnitude > least
    if least > 0:
        equal = np.flatnonzero(magnitude == least)
        chosen[equal[: count - int(np.count_nonzero(chosen))]] = True
    return np.flatnonzero(chosen)


def _top_bytes(index: NDArray[np.int64], values: FloatVector, size: int) -> bytes:
    gaps = np.diff(index, prepend=-1) - 1
    width = _gap_width(gaps)
    head = _TOP_HEAD.pack(_TOP, size, index.size, width)
    return head + gaps.astype(f"<u{width}").tobytes() + values.astype("<f4").tobytes()


def _gap_width(gaps: NDArray[Any]) -> int:
    most = int(gaps.max()) if gaps.size else 0
    return 1 if most < 1 << 8 else 2 if most < 1 << 16 else 4


def _steps(largest: FloatVector) -> NDArray[np.uint16]:
    """Return the smallest 16-bit steps of which 127 reach these magnitudes."""
    exact = largest.astype(np.float64) / _LEVELS
    near = exact.astype(np.float32)
    # Rounding may have gone down: go up one float32 where it did. Then go up to the next 16 bits.
    near = np.where(near < exact, np.nextafter(near, np.float32(np.inf)), near)
    return ((near.view(np.uint32).astype(np.uint64) + 0xFFFF) >> 16).astype(np.uint16)


def _widened(steps: NDArray[Any]) -> NDArray[np.float64]:
    return (steps.astype(np.uint32) << 16).view(np.float32).astype(np.float64)


def _top_step() -> int:
    return int(_steps(np.array([2.0**127], np.float32))[0])


def _check_bytes(data: Any, name: bytes, head: int, size: int, kind: str) -> None:
    if not isinstance(data, bytes):
        raise UpdateError(f"a {kind} update is bytes, got {type(data).__name__}.")
    if len(data) < head or data[:4] != name:
        raise _malformed(kind, f"begins with {data[:4]!r} and has {len(data)} bytes; expected {name!r} first")
    found = int.from_bytes(data[4:8], "little")
    if found != size:
        raise _malformed(kind, f"is of {found} scalars; this model's updates have {size}")


def _malformed(kind: str, what: str) -> UpdateError:
    return UpdateError(
        f"a {kind} update is malformed: it {what}. It was changed on its way, or its sender runs another "
        "version or model; leave it out of the round."
    )

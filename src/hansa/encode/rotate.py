"""Randomised Hadamard rotation: the same length, spread evenly over all coordinates.

An update's energy sits in few coordinates; a grid must have room for the largest. After x → H·D·x / √L,
with random signs D and the Walsh-Hadamard matrix H, each coordinate is a sum of all with random signs, and
beyond t·‖x‖/√L with chance at most 2·exp(-t²/2). So few bits a coordinate do where unrotated updates need
room for the whole clip, and saturation is rare. Sums and means of rotated updates are rotated back
together, because rotation is linear. It keeps norms, so that it goes *before* the clip.

Vectors beyond 1024 scalars are cut into blocks where one power of two would pad by more than an eighth, and
beyond 65,536 in any case. Block k of m has the coordinates k, k + m, k + 2m …, so that a large layer is
spread over all blocks; ‖x‖ above is then the norm of the block.

Source:
    Ailon, Chazelle 2006, Approximate Nearest Neighbors and the Fast Johnson-Lindenstrauss Transform;
    Kairouz, Liu, Steinke 2021 (arXiv 2102.06387), algorithm 1, where it precedes rounding.
"""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hansa.encode.checks import check_floats, settle, whole_number
from hansa.errors import ConfigurationError, UpdateError
from hansa.types import FloatVector

Doubles = NDArray[np.float64]

SMALL = 1 << 10
"""Vectors of at most this size are padded to one power of two."""
LARGEST_BLOCK = 1 << 16
"""Longest block: 512 KiB of float64, and coordinates are spread well enough."""


@dataclass(frozen=True, kw_only=True)
class Rotation:
    """The rotation of one round, the same for all of its clients.

    Attributes:
        size: Number of scalars d of an update, 1 or more.
        seed: 16 to 64 bytes, public; fresh for each round, for example a hash of run and round. Privacy does
            not rest on it. That coordinates become small does: a client that knows the seed beforehand can
            make an update whose rotation is not flat, which saturates its own coordinates and no others'.

    Raises:
        ConfigurationError: A setting is out of its range.

    Guarantees:
        Equal settings give the same signs on every machine. Padding is less than one eighth for sizes above
        1024, and less than the size itself below. Rotating keeps the norm and `unrotate` undoes it, both to
        float precision.

    Example:
        >>> rotation = Rotation(size=3, seed=bytes(16))
        >>> rotated = rotate(np.array([1, 0, 0], np.float32), rotation)
        >>> np.abs(rotated).tolist()
        [0.5, 0.5, 0.5, 0.5]
        >>> (unrotate(rotated.astype(np.float64), rotation) == [1, 0, 0]).all()
        np.True_
    """

    size: int
    seed: bytes

    def __post_init__(self) -> None:
        settle(self, size=whole_number("size", self.size, high=2**32 - 1))
        if not isinstance(self.seed, bytes) or not 16 <= len(self.seed) <= 64:
            got = f"{len(self.seed)} bytes" if isinstance(self.seed, bytes) else type(self.seed).__name__
            raise ConfigurationError(
                f"the seed of a rotation is 16 to 64 bytes, got {got}. Hash what names the round, for "
                "example with hashlib.sha256(...).digest()."
            )

    @cached_property
    def block(self) -> int:
        """Length L of a block, a power of two."""
        block = 1 << (self.size - 1).bit_length()
        if self.size <= SMALL:
            return block
        block = min(block, LARGEST_BLOCK)
        # Ends at 128 or before: there, padding is below 128, an eighth of 1024.
        while 8 * (-self.size % block) > self.size:
            block //= 2
        return block

    @property
    def padded(self) -> int:
        """Number of scalars of a rotated update: the blocks together."""
        return self.size + -self.size % self.block

    def describe(self) -> dict[str, Any]:
        """Return the settings for the run's configuration; the seed is the round's, not the run's."""
        return {"kind": "hadamard", "size": self.size, "block": self.block, "padded": self.padded}

    def signs(self) -> NDArray[np.int8]:
        """Return the signs, 1 or -1, int8, shape ``(padded,)``: the bits of SHAKE-128 of seed and size."""
        label = b"hansa.encode.rotate.v1" + len(self.seed).to_bytes(1, "little") + self.seed
        stream = hashlib.shake_128(label + self.size.to_bytes(8, "little"))
        bits = np.frombuffer(stream.digest(-(-self.padded // 8)), np.uint8)
        return 1 - 2 * np.unpackbits(bits, count=self.padded, bitorder="little").view(np.int8)


def rotate(vector: FloatVector, rotation: Rotation) -> FloatVector:
    """Rotate an update. Clip the result, not the input: rounding to float32 may lengthen it a little.

    Args:
        vector: Float32, shape ``(size,)``, finite.
        rotation: The rotation.

    Returns:
        Float32, shape ``(padded,)``.

    Raises:
        UpdateError: The vector is malformed, or so large that its rotation is beyond float32.

    Guarantees:
        The norm is the same within ``2**-23`` of it. It is linear within float precision.
    """
    check_floats(vector, "the update", size=rotation.size)
    wide = np.zeros(rotation.padded)
    wide[: rotation.size] = vector
    wide *= rotation.signs()
    turned = _hadamard(wide, rotation.block)
    if float(np.abs(turned).max()) > float(np.finfo(np.float32).max):
        raise UpdateError(
            f"the update has values up to {float(np.abs(vector).max()):g}, so large that its rotation is "
            "beyond float32. Clip it first, or leave it out of the round."
        )
    return turned.astype(np.float32)


def unrotate(vector: Doubles, rotation: Rotation) -> Doubles:
    """Undo `rotate`, on the decoded sum or mean of rotated updates.

    Args:
        vector: Float64, shape ``(padded,)``, finite.
        rotation: The rotation of the updates in the sum.

    Returns:
        Float64, shape ``(size,)``.

    Raises:
        UpdateError: The vector has another shape or dtype, or is not finite.

    Guarantees:
        Of a rotated update, the update within ``2**-22`` of its norm.
    """
    if not isinstance(vector, np.ndarray) or vector.dtype != np.float64 or vector.shape != (rotation.padded,):
        got = f"shape {vector.shape} and {vector.dtype}" if isinstance(vector, np.ndarray) else type(vector)
        raise UpdateError(
            f"the rotated vector has {got}; expected float64 of shape ({rotation.padded},), which is what "
            f"an update of {rotation.size} scalars becomes."
        )
    if not np.isfinite(vector).all():
        raise UpdateError("the rotated vector holds NaN or infinities; decoded sums are finite.")
    turned = _hadamard(vector.copy(), rotation.block)
    turned *= rotation.signs()
    return turned[: rotation.size]


def _hadamard(vector: Doubles, block: int) -> Doubles:
    """Return the transform of every block of the vector, divided by √L; the vector is overwritten.

    H of order a·b is the Kronecker product of those of order a and b. So a transform is one along the first
    axis, one along the second; each with the other axes as contiguous rows, which NumPy adds fast.
    """
    blocks = vector.size // block
    first = 1 << (block.bit_length() - 1) // 2
    second = block // first
    grid = vector.reshape(first, second, blocks)
    _butterflies(grid.reshape(first, -1))
    turned = np.ascontiguousarray(grid.transpose(1, 0, 2))
    _butterflies(turned.reshape(second, -1))
    turned /= math.sqrt(block)
    return np.ascontiguousarray(turned.transpose(1, 0, 2)).reshape(-1)


def _butterflies(rows: Doubles) -> None:
    """Transform along the first axis, in place."""
    half = 1
    while half < rows.shape[0]:
        pairs = rows.reshape(-1, 2, half * rows.shape[1])
        difference = pairs[:, 0] - pairs[:, 1]
        pairs[:, 0] += pairs[:, 1]
        pairs[:, 1] = difference
        half *= 2

"""Gaussian noise of private training steps, from a keyed cryptographic generator, the same on every backend.

The bits are the AES-256 keystream in counter mode (NIST SP 800-38A), which the host makes; each 32 of them
become one normal number by the inverse of the distribution function, on the device.

Assumes:
    AES-256 is a pseudorandom permutation, and a key serves one training.
"""

from __future__ import annotations

import hashlib
import hmac
import math
from typing import Any, final

import keras
import numpy as np

from hansa.errors import ConfigurationError, MissingExtraError
from hansa.types import Array

ops: Any = keras.ops

_PURPOSE = b"hansa: noise of private steps, 1"
# Giles (2010), "Approximating the erfinv function", table 5, highest power first. The second is
# good for the largest w that 32 bits give, 22.2, too (to 1e-3 of the value).
_CENTRE = (
    *(2.81022636e-08, 3.43273939e-07, -3.5233877e-06, -4.39150654e-06, 0.00021858087),
    *(-0.00125372503, -0.00417768164, 0.246640727, 1.50140941),
)
_TAIL = (
    *(-0.000200214257, 0.000100950558, 0.00134934322, -0.00367342844, 0.00573950773),
    *(-0.0076224613, 0.00943887047, 1.00167406, 2.83297682),
)


@final
class Keystream:
    """Random bits of one training, one step's after another's.

    Guarantees:
        The same key gives the same bits; another one, others. No bit is given twice.
    """

    def __init__(self, key: bytes) -> None:
        """Begin the stream.

        Args:
            key: 32 secret bytes.

        Raises:
            ConfigurationError: If these are not 32 bytes.
            MissingExtraError: If `cryptography` is not installed.
        """
        if len(key) != 32:
            raise ConfigurationError(f"the key of private steps must be 32 bytes, got {len(key)}.")
        try:
            from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
        except ImportError as error:
            raise MissingExtraError("noise of private steps", "cryptography", "privacy") from error
        own = hmac.digest(key, _PURPOSE, hashlib.sha256)
        self._stream = Cipher(algorithms.AES(own), modes.CTR(bytes(16))).encryptor()

    def bits(self, *shape: int) -> Array:
        """Return the next bits as int32 numbers of this shape."""
        return np.frombuffer(self._stream.update(bytes(4 * math.prod(shape))), np.int32).reshape(shape)


def normals(bits: Any) -> Any:
    """Return standard normal numbers, float32, of uniform int32 ones; the largest is 6.3."""
    if keras.backend.backend() == "torch":
        return _of_torch(bits)  # a fifth of the time: nothing joins the operations below there
    negative = bits < 0
    whole = ops.cast(ops.where(negative, -1 - bits, bits), "float32")
    tail = (whole + 0.5) * 2.0**-32  # in (0, 1/2]: the probability beyond the number
    # The distance from the centre is small where the tail is not, so that no digit of either is lost.
    w = -ops.log(4.0 * tail * (1.0 - tail))
    centre = _polynomial(_CENTRE, w - 2.5)
    far = _polynomial(_TAIL, ops.sqrt(ops.maximum(w, 5.0)) - 3.0)
    size = ops.where(w < 5.0, centre, far) * (1.0 - 2.0 * tail) * math.sqrt(2.0)
    return ops.where(negative, -size, size)


def _of_torch(bits: Any) -> Any:
    import torch

    negative = bits < 0
    tail = torch.where(negative, -1 - bits, bits).float().add_(0.5).mul_(2.0**-32)
    size = torch.special.ndtri(tail).neg_()
    return torch.where(negative, -size, size)


def _polynomial(coefficients: tuple[float, ...], x: Any) -> Any:
    value: Any = coefficients[0]
    for coefficient in coefficients[1:]:
        value = value * x + coefficient
    return value

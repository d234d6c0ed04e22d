"""One element at a time: arithmetic modulo the Goldilocks prime, for compiled loops.

Everything here is inlined into the loops of `field`, `ntt` and `shamir`. Inputs and outputs are canonical.

Source:
    The prime 2^64 − 2^32 + 1 and its reduction (2^64 ≡ 2^32 − 1 and 2^96 ≡ −1) are folklore; see for example
    Plonky2's `goldilocks_field.rs` for the same identities.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from llvmlite import ir
from numba import njit, types
from numba.extending import intrinsic

P = 2**64 - 2**32 + 1
"""The Goldilocks prime."""

_P = np.uint64(P)
_LOW = np.uint64(2**32 - 1)
_32 = np.uint64(32)


@intrinsic
def _high_word(_: Any, a: Any, b: Any) -> Any:  # noqa: ARG001 - types, which Numba matches by name
    """Return the upper 64 bits of the product of two 64-bit numbers."""

    def codegen(_: Any, builder: Any, __: Any, arguments: Any) -> Any:
        wide = ir.IntType(128)
        product = builder.mul(builder.zext(arguments[0], wide), builder.zext(arguments[1], wide))
        return builder.trunc(builder.lshr(product, ir.Constant(wide, 64)), ir.IntType(64))

    return types.uint64(types.uint64, types.uint64), codegen


high_word: Any = _high_word  # called with the two numbers alone


@njit
def add(a: Any, b: Any) -> Any:
    """Return a + b modulo the prime."""
    total = a + b
    # A carry out of 64 bits is worth 2^64 ≡ 2^32 − 1; then the rest is below p, since a + b < 2p.
    if total < a:
        return total + _LOW
    return total - _P if total >= _P else total


@njit
def sub(a: Any, b: Any) -> Any:
    """Return a − b modulo the prime."""
    return a - b if a >= b else a - b + _P  # unsigned: what is borrowed comes back


@njit
def mul(a: Any, b: Any) -> Any:
    """Return a · b modulo the prime."""
    high, low = high_word(a, b), a * b
    top, middle = high >> _32, high & _LOW
    # low + middle · 2^64 + top · 2^96 ≡ low − top + middle · (2^32 − 1)
    rest = low - top
    if low < top:
        rest -= _LOW  # rest wrapped to 2^64 − something small: no second borrow
    more = middle * _LOW
    total = rest + more
    if total < more:
        total += _LOW  # more is below 2^64 − 2^33: no second carry
    return total - _P if total >= _P else total

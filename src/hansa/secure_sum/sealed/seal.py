"""The arithmetic of a sealed sum: seal integer vectors, add seals, open their sum with that of the keys.

A seal of x under a key s is b = a · s + e + Δ · x in the ring, with a public, s and e small and fresh. Seals
add up to a seal of the sum of the vectors under the sum of the keys.

Assumes:
    Ring-LWE with this ring, modulus and error; a key seals one vector, once (`Party` sees to it).

Leaks:
    A seal alone: nothing but its size. A sum of keys: the sum of the vectors and of the errors.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from hansa.crypto import field
from hansa.crypto.arithmetic import P
from hansa.crypto.arithmetic import add as _add
from hansa.crypto.arithmetic import sub as _sub
from hansa.crypto.encoding import Part, encoded
from hansa.crypto.field import Field
from hansa.crypto.ring import N, from_ntt, to_ntt
from hansa.crypto.sampling import binomial, public_elements
from hansa.errors import UpdateError
from hansa.secure_sum.sealed.parameters import Parameters

Integers = NDArray[np.int64]

_HALF = np.uint64(P // 2)
_P = np.uint64(P)


@dataclass(frozen=True)
class Key:
    """What seals one vector; values are between −40 and 40. It does not print.

    Attributes:
        values: The key, shape ``(4096,)``.
        errors: The errors, shape ``(elements, 4096)``.
    """

    values: NDArray[np.int8]
    errors: NDArray[np.int8]

    def __repr__(self) -> str:
        return "Key(not shown)"

    def elements(self) -> Field:
        """Return the key as field elements, as it is shared."""
        return field.from_ints(self.values)


class NotAccepted(ValueError):  # noqa: N818 - the name of a verdict
    """The sum of the keys, of the errors or of the vectors is larger than honest clients can make it."""


def seal(
    vector: Integers,
    parameters: Parameters,
    *place: Part,
    random: Callable[[int], bytes] = os.urandom,
) -> tuple[Field, Key]:
    """Return a seal of a vector and the fresh key that it was made with.

    Args:
        vector: Integers of absolute value up to ``parameters.bound``, int64, shape ``(dimension,)``; where
            the norm of noise is proven apart, two of them that are added up: update and noise.
        parameters: Of the run.
        place: What the public element is derived from: hash of the configuration, hash of the roster, round.
        random: Returns random bytes; another source than the operating system's is for tests.

    Returns:
        The seal, shape ``(elements, 4096)``, and its key.

    Raises:
        UpdateError: If the vector is not what the parameters were made for.
    """
    _check_vector(vector, parameters)
    summed = vector if vector.ndim == 1 else vector.sum(axis=0)
    key = _fresh(parameters, random)
    transformed = to_ntt(key.elements())
    values = _packed(summed, parameters)
    out = np.empty((parameters.elements, N), np.uint64)
    row = np.empty(N, np.int64)
    for k in range(parameters.elements):
        part = values[k * N : (k + 1) * N]
        row[: len(part)], row[len(part) :] = part, 0
        product = from_ntt(field.mul(public_element(k, *place), transformed))
        _lifted(product, key.errors[k], row, parameters.scale, out[k])
    return out, key


def _fresh(parameters: Parameters, random: Callable[[int], bytes]) -> Key:
    """Return a key and errors; where a norm is proven, such as are within it: nearly all are."""
    while True:
        values = binomial(N, random)
        errors = np.stack([binomial(N, random) for _ in range(parameters.elements)])
        small = np.concatenate([errors.reshape(-1), values]).astype(np.float64)
        if parameters.proof is None or small @ small <= parameters.proof.error_norm**2:
            return Key(values, errors)


def public_element(k: int, *place: Part) -> Field:
    """Return the k-th public ring element of a place, transformed. Everyone computes it; it is never sent."""
    return public_elements(encoded("sealed.element", *place, k), N)


def open_sum(seals: Field, key_sum: Field, count: int, parameters: Parameters, *place: Part) -> Integers:
    """Return the sum of the vectors in a sum of seals, int64, shape ``(dimension,)``.

    Args:
        seals: The sum of the seals, shape ``(elements, 4096)``.
        key_sum: The sum of their keys, field elements, shape ``(4096,)``.
        count: How many seals are in the sum.
        parameters: Of the run.
        place: As given to `seal`.

    Raises:
        NotAccepted: If the key, an error or a value is larger than ``count`` honest clients can make it. With
            the uniqueness rule, what is accepted is the only sum that these seals have.
    """
    keys = field.to_signed(key_sum)
    proof, short, long = parameters.proof, _squares(keys), 0
    _accept("the sum of the keys", keys, parameters.error_bound * count)
    transformed = to_ntt(np.ascontiguousarray(key_sum))
    most = count * parameters.coefficient_bound
    coefficients = np.empty((parameters.elements, N), np.int64)
    errors = np.empty(N, np.int64)
    for k in range(parameters.elements):
        product = from_ntt(field.mul(public_element(k, *place), transformed))
        _lowered(seals[k], product, parameters.scale, coefficients[k], errors)
        _accept("an error", errors, parameters.error_bound * count)
        _accept("a value", coefficients[k], most)
        if proof is not None:
            short, long = short + _squares(errors), long + _squares(coefficients[k])
    if proof is not None:
        _accept_norm("the keys and errors", short, 256 * (proof.error_width * count) ** 2 // 26)
        _accept_norm("the values", long, (proof.sealed_norm * count) ** 2)
    flat = coefficients.reshape(-1)
    _accept("padding", flat[parameters.coefficients :], 0)
    total = _unpacked(flat[: parameters.coefficients], parameters)
    if proof is None:  # a proof is about norms, not about single values: see above
        _accept("a value", total, count * parameters.bound)
    return total


def _accept_norm(what: str, squares: int, most: int) -> None:
    if squares > most:
        raise NotAccepted(
            f"the squares of {what} of the sum add up to {squares}, more than the {most} that was proven: "
            "an answer is false"
        )


def _squares(values: Integers) -> int:
    return sum(value * value for value in values.tolist())  # Python's integers do not overflow


def _check_vector(vector: Any, parameters: Parameters) -> None:
    if not isinstance(vector, np.ndarray) or vector.dtype != np.int64:
        raise UpdateError(
            f"only vectors of int64 are sealed, got {getattr(vector, 'dtype', type(vector).__name__)}. "
            "Quantise the update first."
        )
    apart = parameters.proof is not None and parameters.proof.noise is not None
    if vector.shape != ((2, parameters.dimension) if apart else (parameters.dimension,)):
        beside = ", with the noise beside it in a second row" if apart else ""
        raise UpdateError(
            f"a vector of shape {vector.shape} does not fit a sum of {parameters.dimension} integers{beside}."
        )
    largest = _largest(vector.sum(axis=0) if apart else vector)
    if largest > parameters.bound:
        raise UpdateError(
            f"a value of {largest} is above the bound of {parameters.bound} that the sum was planned for."
        )


def _packed(vector: Integers, parameters: Parameters) -> Integers:
    """Return two integers in a coefficient: the first plus the second times 2^place."""
    if not parameters.packed:
        return vector
    out = vector[0::2].copy()
    out[: len(vector) // 2] += vector[1::2] << parameters.place
    return out


def _unpacked(coefficients: Integers, parameters: Parameters) -> Integers:
    """Return the sums of the integers: the nearest multiple of 2^place is the second's."""
    if not parameters.packed:
        return coefficients.copy()
    upper = (coefficients + (1 << (parameters.place - 1))) >> parameters.place
    out = np.empty(2 * len(coefficients), np.int64)
    out[0::2], out[1::2] = coefficients - (upper << parameters.place), upper
    if parameters.dimension % 2:
        _accept("padding", out[parameters.dimension :], 0)
    return out[: parameters.dimension]


def _accept(what: str, values: Integers, most: int) -> None:
    largest = _largest(values)
    if largest > most:
        raise NotAccepted(
            f"{what} of the sum is {largest}, more than the {most} that honest clients can make it: "
            "a seal or an answer is false"
        )


def _largest(values: Integers) -> int:
    return max(int(values.max()), -int(values.min())) if len(values) else 0


@njit(cache=True, nogil=True)
def _lifted(product: Any, errors: Any, values: Any, scale: Any, out: Any) -> None:
    """Return a · s + e + Δ · x."""
    for j in range(len(out)):
        added = np.int64(errors[j]) + values[j] * np.int64(scale)  # below p/2 by the choice of the scale
        element = np.uint64(added) if added >= 0 else _P - np.uint64(-added)
        out[j] = _add(product[j], element)


@njit(cache=True, nogil=True)
def _lowered(seals: Any, product: Any, scale: Any, values: Any, errors: Any) -> None:
    """Return the nearest multiples of Δ to b − a · S, divided by Δ, and what is left."""
    step = np.int64(scale)
    half = step >> 1
    for j in range(len(values)):
        lifted = _sub(seals[j], product[j])
        signed = np.int64(lifted) if lifted <= _HALF else -np.int64(_P - lifted)
        low = (signed & (step - 1)) if signed >= 0 else (-((-signed) & (step - 1)))
        near = signed - low
        if low > half:
            near += step
        elif low < -half:
            near -= step
        values[j] = near // step
        errors[j] = signed - near

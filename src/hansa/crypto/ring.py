"""The ring R = Z_p[X] / (X^N + 1), N = 4096, and its number-theoretic transform.

An element is its ``N`` coefficients, ``uint64``; arrays of elements have shape ``(..., N)``. In the
transformed domain products are taken element by element (`hansa.crypto.field.mul`).
"""

from __future__ import annotations

from hansa.crypto import field, ntt
from hansa.crypto.field import Field

N = 4096
"""Degree of the ring."""


def to_ntt(coefficients: Field) -> Field:
    """Return the transform of elements, shape ``(..., N)``, in the order of the butterflies."""
    return ntt.to_values(coefficients, _psi(coefficients.shape[-1]))


def from_ntt(values: Field) -> Field:
    """Return the coefficients of transformed elements, shape ``(..., N)``."""
    return ntt.from_values(values, _psi(values.shape[-1]))


def multiply(a: Field, b: Field) -> Field:
    """Return the product in the ring of elements given by their coefficients."""
    return from_ntt(field.mul(to_ntt(a), to_ntt(b)))


def _psi(degree: int) -> int:
    """Return ψ, a root of X^degree + 1: the roots are the coset ψ·⟨ψ²⟩."""
    if degree < 2 or degree & (degree - 1) or degree > 2**31:
        raise ValueError(f"the degree of the ring must be a power of two up to 2^31, got {degree}")
    return ntt.root_of_unity(2 * degree)

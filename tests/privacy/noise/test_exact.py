from __future__ import annotations

from fractions import Fraction

import mpmath
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hansa.privacy.noise.exact import Uniform, exponential
from noise_checks import source


@given(st.fractions(0, 300, max_denominator=10**12), st.integers(1, 700))
def test_a_bracket_is_around_the_exponential_and_narrow(exponent, bits):
    low, high = exponential(exponent, bits)
    with mpmath.workprec(1500):
        true = mpmath.exp(-mpmath.mpf(exponent.numerator) / exponent.denominator) * mpmath.mpf(2) ** bits
        assert low <= true <= high <= low + 3


@pytest.mark.parametrize("exponent", [Fraction(10**6), Fraction(2**40, 3), Fraction(10**30)])
def test_what_is_far_below_a_unit_is_between_zero_and_one_of_it(exponent):
    assert exponential(exponent, 256) == (0, 1)


def test_at_zero_it_is_one():
    low, high = exponential(Fraction(0), 64)
    assert low <= 2**64 <= high


def test_a_uniform_number_keeps_its_bits():
    number, stream = Uniform(2**63 + 5, source(41)), source(41)
    number.extend()
    number.extend()
    further = [int.from_bytes(stream(8), "little") for _ in range(2)]
    assert number.bits == 192
    assert number.numerator == (2**63 + 5) << 128 | further[0] << 64 | further[1]
    assert number.above() - number.below() == Fraction(1, 2**192)

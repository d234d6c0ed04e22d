from __future__ import annotations

import math
from fractions import Fraction

import pytest

from hansa.crypto.arithmetic import P
from hansa.zk.parameters import Parameters, choose, column_bits, columns_for

ROWS = [512, 1024, 2048, 4096, 8192, 16384]
"""Those of the design page."""


def error(row, columns):
    """The inequality of the docstring, exactly: its first term and the rest."""
    n, degree = 8 * row, row + columns
    e = (n - 2 * degree) // 2
    missed = math.prod((Fraction(n - e - 1 - i, n - i) for i in range(columns)), start=Fraction(1))
    return missed, Fraction(n + e + 2, P**2)


@pytest.mark.parametrize("bits", [100, 128])
def test_columns_are_those_of_the_design_page(bits):
    expected = {100: [166, 156, 152, 150, 149, 148], 128: [222, 203, 196, 192, 191, 190]}[bits]
    assert [columns_for(row, bits) for row in ROWS] == expected


@pytest.mark.parametrize("row", [*ROWS, 32768, 65536])
def test_columns_are_the_fewest_that_suffice(row):
    columns = columns_for(row, 100)
    missed, rest = error(row, columns)
    assert missed <= Fraction(1, 2**100) < error(row, columns - 1)[0]
    assert column_bits(row, columns) == pytest.approx(-math.log2(missed), abs=1e-9)
    assert Parameters(row=row, columns=columns).bits == pytest.approx(-math.log2(missed + rest), abs=1e-6)
    assert Parameters(row=row, columns=columns).bits >= 100  # with all terms


def test_decoding_is_unique_for_both_degrees():
    for row in ROWS:
        n, degree = 8 * row, row + columns_for(row, 100)
        e = (n - 2 * degree) // 2
        assert 2 * e < n - degree + 1  # a row
        assert 2 * e < n - (2 * degree - 1) + 1  # a product of two
        assert 2 * degree - 1 <= 3 * row  # three cosets determine it
        assert Fraction(e, n) <= (1 - Fraction(degree, n)) / 2  # theorem 1.6


@pytest.mark.parametrize("cells", [1, 10**4, 10**5, 10**6, 10**7, 10**9])
def test_choice_keeps_proofs_short(cells):
    chosen = choose(cells)
    shortest = min(
        Parameters(row=row, columns=columns_for(row, 100)).proof_bytes(cells) for row in [*ROWS, 32768, 65536]
    )
    assert chosen.proof_bytes(cells) <= 1.08 * shortest
    assert chosen.bits >= 100


def test_more_bits_take_more_columns():
    assert choose(10**6, bits=110).columns > choose(10**6).columns > choose(10**6, bits=60).columns
    for bits in (0, 111, 128):
        with pytest.raises(ValueError, match="bits can be had"):
            choose(100, bits=bits)
    with pytest.raises(ValueError, match="longer rows"):
        columns_for(16, 100)


@pytest.mark.parametrize(
    ("row", "columns"), [(512, 0), (512, 257), (500, 100), (0, 1), (2**21, 100), (-512, 1), (256, 100)]
)
def test_sizes_that_are_no_code_are_refused(row, columns):
    with pytest.raises(ValueError, match=r"row|columns"):
        Parameters(row=row, columns=columns)

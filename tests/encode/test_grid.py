import json
import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hansa.encode.grid import Grid, _root_above
from hansa.errors import ConfigurationError


@given(
    clip=st.floats(1e-6, 1e6),
    exponent=st.integers(-20, 5),
    size=st.integers(1, 10**8),
    redraw_bits=st.integers(1, 256),
)
def test_the_bound_is_the_papers_formula_rounded_up(clip, exponent, size, redraw_bits):
    reach, root = clip / 2.0**exponent, math.sqrt(size)
    tail = math.sqrt(2 * redraw_bits * math.log(2))
    formula = min(reach + root, math.sqrt(reach**2 + size / 4 + tail * (reach + root / 2)))
    bound = Grid(clip_l2=clip, scale=2.0**exponent, size=size, redraw_bits=redraw_bits).bound_l2
    assert math.floor(formula * (1 - 1e-9)) <= bound <= math.ceil(formula * (1 + 1e-9) + 1e-9)
    assert bound >= reach  # rounding toward zero always fits


@given(st.fractions(0, 10**20))
def test_roots_are_rounded_up(value):
    root = _root_above(value)
    assert root**2 >= value
    assert root == 0 or (root - Fraction(1, 2**32)) ** 2 < value


def test_bounds_that_are_exact_are_not_rounded_further():
    assert Grid(clip_l2=100.0, scale=1.0, size=4).bound_l2 == 102
    assert Grid(clip_l2=1.5, scale=1.0, size=1).bound_l2 == 3
    assert Grid(clip_l2=1.5, scale=1.0, size=1).bound_each == 2


@given(
    clip=st.floats(1e-6, 1e6),
    size=st.integers(1, 10**7),
    bits=st.none() | st.integers(2, 30),
    most=st.sampled_from([2**24, 2**26, 2**40]),
)
def test_fitting_gives_the_finest_grid(clip, size, bits, most):
    grid = Grid.fitting(clip, size, bound_l2=most, bits=bits)
    assert grid.bound_l2 <= most
    assert bits is None or grid.bound_each <= 2 ** (bits - 1)
    finer = {"clip_l2": clip, "scale": grid.scale / 2, "size": size}
    if Grid(**finer).bound_l2 <= most:
        with pytest.raises(ConfigurationError, match="bits hold coordinates"):
            Grid(**finer, bits=bits)


def test_fitting_with_saturation_ignores_the_bits():
    plain, cut = Grid.fitting(1.0, 1000), Grid.fitting(1.0, 1000, bits=8, saturate=True)
    assert (cut.scale, cut.bound_l2, cut.bound_each) == (plain.scale, plain.bound_l2, 128)


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"scale": 0.3}, r"power of two.*2\*\*-2 = 0.25 and 2\*\*-1 = 0.5"),
        ({"scale": 0.0}, "scale must be a finite number"),
        ({"scale": np.nan}, "scale must be a finite number"),
        ({"scale": -0.5}, "scale must be a finite number"),
        ({"clip_l2": np.inf}, "norm to clip to"),
        ({"size": 0}, "size must be an integer from 1"),
        ({"size": 2.0}, "of type float"),
        ({"redraw_bits": 0}, "redraw_bits"),
        ({"redraw_bits": 257}, "redraw_bits"),
        ({"bits": True}, "bits must be an integer"),
        ({"bits": 0}, "bits must be an integer"),
        (
            {"bits": 3},
            r"3 bits hold coordinates up to 4, but an update clipped to 4 can have one of 16 steps",
        ),
        ({"saturate": True}, "needs bits"),
        ({"saturate": 1, "bits": 8}, "saturate must be True or False"),
        ({"clip_l2": 1e30}, "Take a larger scale"),
    ],
)
def test_bad_settings_are_refused_with_the_way_out(settings, told):
    good = {"clip_l2": 4.0, "scale": 0.25, "size": 10}
    Grid(**good)
    with pytest.raises(ConfigurationError, match=told):
        Grid(**{**good, **settings})


def test_fitting_says_when_nothing_fits():
    with pytest.raises(ConfigurationError, match="rounding alone can reach 50"):
        Grid.fitting(1.0, 10**6, bound_l2=400)
    with pytest.raises(ConfigurationError, match="no grid with a scale from"):
        Grid.fitting(1e38, 10, bound_l2=4)
    with pytest.raises(ConfigurationError, match="bound_l2 must be an integer from 1"):
        Grid.fitting(1.0, 10, bound_l2=2**54)


def test_describe_is_json_and_holds_the_settings():
    grid = Grid(clip_l2=np.float32(1), scale=np.float64(0.25), size=np.int64(3), bits=8)
    assert json.loads(json.dumps(grid.describe())) == {
        "kind": "grid",
        "clip_l2": 1.0,
        "scale": 0.25,
        "size": 3,
        "bits": 8,
        "saturate": False,
        "redraw_bits": 40,
        "bound_l2": 6,
        "bound_each": 4,
    }

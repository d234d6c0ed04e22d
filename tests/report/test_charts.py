"""Charts: well-formed, thinned, and true to the numbers."""

from __future__ import annotations

import math
import re
import xml.etree.ElementTree as ET

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hansa.report import Band, Line, line_chart, stacked_bars
from hansa.report.canvas import round_ticks, thin, tick_labels, value_ticks

ANY_FLOAT = st.floats(allow_nan=True, allow_infinity=True)


def parse(svg: str) -> ET.Element:
    return ET.fromstring(svg)  # noqa: S314 - our own drawing


def titles(svg: str) -> list[str]:
    return [t.text or "" for t in parse(svg).iter("title")]


def line(*values: float, name: str = "loss") -> Line:
    return Line(name=name, points=[(i + 1, v) for i, v in enumerate(values)])


def test_read_out_names_every_round_and_value():
    svg = line_chart([line(0.5, 0.25), line(0.7, math.nan, name="val")], title="Loss")
    assert titles(svg) == ["Round 1\nloss\t0.500\nval\t0.700", "Round 2\nloss\t0.250\nval\tNaN"]


def test_a_gap_lifts_the_pen():
    svg = line_chart([line(0.5, math.nan, 0.4, 0.3)], title="Loss")
    paths = [p.get("d", "") for p in parse(svg).iter("path")]
    assert [d.count("M") for d in paths] == [2]
    assert [d.count("L") for d in paths] == [1]


def test_higher_values_lie_higher():
    svg = line_chart([line(0.2, 0.8)], title="Accuracy")
    d = next(parse(svg).iter("path")).get("d", "")
    first, last = (float(step.split()[1]) for step in d[1:].split("L"))
    assert first > last


def test_band_draws_its_members_and_its_range():
    edge = [(1.0, 0.2), (2.0, 0.3)]
    band = Band(name="clients", low=edge, high=[(1.0, 0.8), (2.0, 0.9)], members=[("a", edge)])
    svg = line_chart([line(0.5, 0.6)], title="Accuracy", band=band)
    assert "clients\t0.200 to 0.800" in titles(svg)[0]
    assert svg.count('class="hc-thin') == 1


@given(st.lists(ANY_FLOAT, min_size=0, max_size=30), st.lists(ANY_FLOAT, min_size=0, max_size=30))
@settings(max_examples=60, deadline=None)
def test_any_values_give_well_formed_drawings(one, two):
    svg = line_chart([line(*one), line(*two, name="b")], title="<&>")
    parse(svg)
    assert not re.search(r'="[^"]*\b(nan|inf)\b', svg)
    parse(stacked_bars([(str(i), (a,)) for i, a in enumerate(one)], ["x"], title="t"))


def test_bars_grow_with_their_parts():
    svg = stacked_bars([("1", (1.0, 3.0))], ["train", "evaluate"], title="Time", write=lambda v: f"{v:g} s")
    areas = [r for r in parse(svg).iter("rect") if "hc-area" in r.get("class", "")]
    heights = [float(r.get("height", 0)) for r in areas]
    assert heights[-1] == pytest.approx(3 * heights[-2], rel=0.01)
    assert titles(svg) == ["1\t4 s\ntrain\t1 s\nevaluate\t3 s"]


def test_thinning_keeps_the_ends_and_the_spike():
    points = [(float(i), 0.0) for i in range(10_000)]
    points[4321] = (4321.0, 9.0)
    kept = thin(points, 100)
    assert len(kept) <= 100
    assert (kept[0], kept[-1]) == (points[0], points[-1])
    assert (4321.0, 9.0) in kept
    assert list(kept) == sorted(kept)


@given(st.floats(-1e300, 1e300), st.floats(-1e300, 1e300))
@settings(max_examples=150, deadline=None)
def test_ticks_enclose_the_range_and_are_few(a, b):
    low, high = min(a, b), max(a, b)
    ticks = value_ticks(low, high)
    slack = 1e-6 * max(abs(ticks[0]), abs(ticks[-1]))
    assert ticks[0] <= low + slack
    assert ticks[-1] >= high - slack
    assert 2 <= len(ticks) <= 12
    assert len(tick_labels(ticks)) == len(ticks)


@given(st.integers(1, 5000), st.integers(0, 5000))
def test_round_ticks_are_whole_few_and_inside(first, more):
    ticks = round_ticks(first, first + more)
    assert ticks[0] == first
    assert ticks[-1] <= first + more
    assert ticks == sorted(set(ticks))
    assert len(ticks) <= 8

"""Charts as SVG text, drawn by pure functions: the same data gives the same bytes."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise

from hansa.report.canvas import (
    Mark,
    even,
    frame,
    label_at,
    legend,
    round_ticks,
    thin,
    tick_labels,
    value_ticks,
)
from hansa.report.markup import Child, Html, join, short, tag
from hansa.report.partition import partition_svg
from hansa.report.wording import decimal, finite

__all__ = ["TONES", "Band", "Line", "line_chart", "partition_svg", "stacked_bars"]

Point = tuple[float, float]
_Stack = tuple[str, Sequence[float]]
_Write = Callable[[float], str]
TONES = ("blue", "orange", "teal", "violet", "gold", "rose", "sky", "grey")
_WIDTH, _HEIGHT, _LEFT, _RIGHT = 440.0, 200.0, 46.0, 14.0
_MOST_POINTS, _MOST_COLUMNS = 320, 240


@dataclass(frozen=True, kw_only=True)
class Line:
    """One curve of a line chart.

    Attributes:
        name: What it shows.
        points: x and y of each point, in order of x; a y that is not finite leaves a gap.
        tone: Name of its colour, one of `TONES`.
        dashed: Whether it is dotted, so that it differs without colour too.
    """

    name: str
    points: Sequence[Point]
    tone: str = "blue"
    dashed: bool = False


@dataclass(frozen=True, kw_only=True)
class Band:
    """The spread of many curves behind the lines.

    Attributes:
        name: What it shows.
        low: Lower edge, points in order of x.
        high: Upper edge, at the same x.
        members: Single curves within it, by name; drawn thin.
        tone: Name of its colour.
    """

    name: str
    low: Sequence[Point]
    high: Sequence[Point]
    members: Sequence[tuple[str, Sequence[Point]]] = ()
    tone: str = "teal"


@dataclass(frozen=True, kw_only=True)
class _Plane:
    """Where data values lie on the drawing."""

    x_low: float
    x_high: float
    y_low: float
    y_high: float
    top: float

    def x(self, value: float) -> float:
        return _LEFT + (_WIDTH - _LEFT - _RIGHT) * (value - self.x_low) / (self.x_high - self.x_low)

    def y(self, value: float) -> float:
        part = (value / 2 - self.y_low / 2) / (self.y_high / 2 - self.y_low / 2)
        return self.top + _HEIGHT * (1 - min(max(part, -4.0), 5.0))


def line_chart(
    lines: Sequence[Line],
    *,
    title: str,
    band: Band | None = None,
    x_label: str = "Round",
    standalone: bool = False,
) -> str:
    """Return curves over rounds, with a legend, the last values, and a read-out for each round.

    Values that are not finite leave gaps. Long curves are thinned; extremes are kept.

    Args:
        lines: The curves, the most important last (it is drawn on top).
        title: What the chart shows; said by screen readers, not drawn.
        band: A spread and thin curves behind the lines.
        x_label: Name of the x axis.
        standalone: Whether the colours travel with the drawing, for use outside a report.
    """
    lines = [line for line in lines if any(math.isfinite(y) for _, y in line.points)]
    marks = [_mark(line) for line in lines]
    marks += [Mark(label=band.name, tone=band.tone, shape="band")] if band else []
    keys, below = legend(marks, left=0, width=_WIDTH)
    if not lines:
        empty = label_at(_LEFT, 24, "No finite values to draw.", class_="hc-key")
        return frame(_WIDTH, 48, empty, label=title, standalone=standalone)
    ticks = value_ticks(*_value_range(lines, band))
    xs = [x for line in lines for x, _ in line.points]
    first, last = min(xs), max(xs)
    room = 0 if last > first else 1
    plane = _Plane(x_low=first - room, x_high=last + room, y_low=ticks[0], y_high=ticks[-1], top=below + 16)
    clipped = tag(
        "svg",
        _band(band, plane),
        *(_path(line.points, plane, f"hc-line hc-{line.tone}", line.dashed) for line in lines),
        x=_LEFT,
        y=plane.top - 3,
        width=_WIDTH - _LEFT,
        height=_HEIGHT + 6,
        viewBox=f"{short(_LEFT)} {short(plane.top - 3)} {short(_WIDTH - _LEFT)} {short(_HEIGHT + 6)}",
    )
    ends = [_end(line, plane) for line in lines]
    return frame(
        _WIDTH,
        plane.top + _HEIGHT + 40,
        keys,
        _axes(plane, ticks, round_ticks(first, last), x_label),
        clipped,
        *ends,
        _hits(lines, band, plane, x_label),
        label=f"{title}. " + "; ".join(f"{m.label} {m.value}".strip() for m in marks),
        standalone=standalone,
        hover=True,
    )


def stacked_bars(
    bars: Sequence[tuple[str, Sequence[float]]],
    names: Sequence[str],
    *,
    title: str,
    tones: Sequence[str] = TONES,
    write: _Write = decimal,
    x_label: str = "Round",
    standalone: bool = False,
) -> str:
    """Return upright bars, each a stack of the named parts.

    Args:
        bars: Label and one part for each name, for each bar; parts that are not finite count as 0.
        names: What the parts are.
        title: What the chart shows; said by screen readers, not drawn.
        tones: Colours of the names, in order, from the start again when there are too few.
        write: How a value is written, on the axis and in the read-out.
        x_label: Name of the x axis.
        standalone: Whether the colours travel with the drawing, for use outside a report.
    """
    tones = [tones[i % len(tones)] for i in range(len(names))]
    stacks = [(label, [max(finite(v) or 0.0, 0.0) for v in parts]) for label, parts in bars]
    keys, below = legend(
        [Mark(label=n, tone=t) for n, t in zip(names, tones, strict=True)], left=0, width=_WIDTH
    )
    highest = max((sum(parts) for _, parts in stacks), default=0.0)
    ticks = value_ticks(0.0, highest or 1.0, 4)
    plane = _Plane(x_low=0, x_high=max(len(stacks), 1), y_low=0, y_high=max(ticks[-1], 1e-9), top=below + 16)
    columns = [
        _column(plane, i, stack, names=names, tones=tones, write=write) for i, stack in enumerate(stacks)
    ]
    ticked = round_ticks(1, max(len(stacks), 1), 5)
    base = plane.top + _HEIGHT
    labels = [
        label_at(plane.x(i + 0.5), base + 17, label, anchor="middle")
        for i, (label, _) in enumerate(stacks)
        if i + 1 in ticked
    ]
    return frame(
        _WIDTH,
        base + 40,
        keys,
        _grid(plane, ticks, [write(t) if t else "0" for t in ticks]),
        *columns,
        *labels,
        label_at(_WIDTH - _RIGHT, base + 34, x_label, anchor="end"),
        label=title,
        standalone=standalone,
        hover=True,
    )


def _mark(line: Line) -> Mark:
    last = line.points[-1][1]
    return Mark(
        label=line.name, tone=line.tone, shape="dash" if line.dashed else "line", value=decimal(last, 3)
    )


def _value_range(lines: Sequence[Line], band: Band | None) -> tuple[float, float]:
    """The range of the lines, widened to the band as far as this leaves the lines readable."""
    inner = [y for line in lines for _, y in line.points if math.isfinite(y)]
    low, high = min(inner), max(inner)
    edges = [y for edge in (band.low, band.high) for _, y in edge if math.isfinite(y)] if band else []
    reach = 1.2 * ((high - low) or abs(high) or 1.0)
    return max(min([low, *edges]), low - reach), min(max([high, *edges]), high + reach)


def _grid(plane: _Plane, ticks: Sequence[float], labels: Sequence[str]) -> Html:
    parts: list[Child] = []
    for tick, label in zip(ticks, labels, strict=True):
        y = plane.y(tick)
        style = "hc-axis" if tick == ticks[0] else "hc-grid"
        parts.append(tag("line", class_=style, x1=_LEFT, x2=_WIDTH - _RIGHT, y1=y, y2=y))
        parts.append(label_at(_LEFT - 8, y + 4, label, anchor="end"))
    return join(parts)


def _axes(plane: _Plane, ticks: Sequence[float], rounds: Sequence[int], x_label: str) -> Html:
    base = plane.top + _HEIGHT
    return join(
        [
            _grid(plane, ticks, tick_labels(ticks)),
            *(label_at(plane.x(t), base + 17, str(t), anchor="middle") for t in rounds),
            label_at(_WIDTH - _RIGHT, base + 34, x_label, anchor="end"),
        ]
    )


def _path(points: Sequence[Point], plane: _Plane, style: str, dashed: bool = False, most: int = _MOST_POINTS):
    steps: list[str] = []
    pen = "M"
    for x, y in _thinned(points, most):
        if math.isfinite(y):
            steps.append(f"{pen}{short(plane.x(x))} {short(plane.y(y))}")
            pen = "L"
        else:
            pen = "M"
    return tag("path", class_=f"{style} hc-dash" if dashed else style, d="".join(steps) or None)


def _thinned(points: Sequence[Point], most: int) -> Sequence[Point]:
    # Comparisons with NaN would upset the extremes, so long curves drop what is not finite first.
    return points if len(points) <= most else thin([p for p in points if math.isfinite(p[1])], most)


def _band(band: Band | None, plane: _Plane) -> Html | None:
    if band is None:
        return None
    low = [p for p in even(band.low, 200) if math.isfinite(p[1])]
    high = [p for p in even(band.high, 200) if math.isfinite(p[1])]
    outline = [*high, *reversed(low)]
    d = "M" + "L".join(f"{short(plane.x(x))} {short(plane.y(y))}" for x, y in outline) + "Z"
    area = tag("path", class_=f"hc-band hc-{band.tone}", d=d) if len(high) > 1 else None
    thin_lines = [
        _path(points, plane, f"hc-thin hc-{band.tone}", most=100)
        for _, points in band.members
        if len(points) > 1
    ]
    return join([area, *thin_lines])


def _end(line: Line, plane: _Plane) -> Html | None:
    last = [(x, y) for x, y in line.points if math.isfinite(y)][-1]
    return tag("circle", class_=f"hc-dot hc-{line.tone}", cx=plane.x(last[0]), cy=plane.y(last[1]), r=4)


def _hits(lines: Sequence[Line], band: Band | None, plane: _Plane, x_label: str) -> Html:
    """One invisible column for each round: its title is the read-out, with or without the script."""
    xs = even(sorted({point[0] for line in lines for point in line.points}), _MOST_COLUMNS)
    values = [(line, dict(line.points)) for line in lines]
    lows, highs = (dict(band.low), dict(band.high)) if band else ({}, {})
    middles = [(a + b) / 2 for a, b in pairwise(xs)]
    edges = [plane.x_low, *middles, plane.x_high]
    columns = []
    for i, x in enumerate(xs):
        rows = [f"{x_label} {x:g}"]
        rows += [f"{line.name}\t{decimal(at[x])}" for line, at in values if x in at]
        if band and x in lows and math.isfinite(lows[x]):
            rows.append(f"{band.name}\t{decimal(lows[x])} to {decimal(highs[x])}")
        dots = [
            f"{line.tone} {short(plane.y(at[x]))}" for line, at in values if x in at and math.isfinite(at[x])
        ]
        left, right = plane.x(edges[i]), plane.x(edges[i + 1])
        columns.append(_hit(plane, left, right, plane.x(x), text="\n".join(rows), dots=",".join(dots)))
    return join(columns)


def _column(
    plane: _Plane, i: int, stack: _Stack, *, names: Sequence[str], tones: Sequence[str], write: _Write
) -> Html:
    """One bar: its parts from the ground up, and an invisible column whose title is the read-out."""
    label, parts = stack
    gap = 0.14 if plane.x_high < 60 else 0.05
    left, right = plane.x(i + gap), plane.x(i + 1 - gap)
    if right - left > 44:
        middle = (left + right) / 2
        left, right = middle - 22, middle + 22
    boxes: list[Child] = []
    below = 0.0
    for part, tone in zip(parts, tones, strict=True):
        y0, y1 = plane.y(below), plane.y(below + part)
        style = f"hc-area hc-{tone}"
        if y0 - y1 >= 0.05:
            boxes.append(tag("rect", class_=style, x=left, y=y1, width=right - left, height=y0 - y1))
        below += part
    rows = [f"{label}\t{write(sum(parts))}", *(f"{n}\t{write(v)}" for n, v in zip(names, parts, strict=True))]
    return join([*boxes, _hit(plane, plane.x(i), plane.x(i + 1), (left + right) / 2, text="\n".join(rows))])


def _hit(plane: _Plane, left: float, right: float, middle: float, *, text: str, dots: str = "") -> Html:
    """An invisible column over the plot, with the read-out that the script or the browser shows."""
    return tag(
        "rect",
        tag("title", text),
        class_="hc-hit",
        x=left,
        y=plane.top,
        width=max(right - left, 0.1),
        height=_HEIGHT,
        data_x=middle,
        data_dots=dots or None,
    )

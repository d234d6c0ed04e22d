"""Charts as SVG text, drawn by pure functions: the same data gives the same bytes."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise

from hansa.report.canvas import (
    HEIGHT,
    LARGEST,
    LEFT,
    RIGHT,
    WIDTH,
    Mark,
    Plane,
    even,
    frame,
    grid,
    hit,
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
    keys, below = legend(marks, left=0, width=WIDTH)
    if not lines:
        empty = label_at(LEFT, 24, "No finite values to draw.", class_="hc-key")
        return frame(WIDTH, 48, empty, label=title, standalone=standalone)
    ticks = value_ticks(*_value_range(lines, band))
    xs = [x for line in lines for x, _ in line.points]
    first, last = min(xs), max(xs)
    room = 0 if last > first else 1
    plane = Plane(x_low=first - room, x_high=last + room, y_low=ticks[0], y_high=ticks[-1], top=below + 16)
    clipped = tag(
        "svg",
        _band(band, plane),
        *(_path(line.points, plane, f"hc-line hc-{line.tone}", line.dashed) for line in lines),
        x=LEFT,
        y=plane.top - 3,
        width=WIDTH - LEFT,
        height=HEIGHT + 6,
        viewBox=f"{short(LEFT)} {short(plane.top - 3)} {short(WIDTH - LEFT)} {short(HEIGHT + 6)}",
    )
    ends = [_end(line, plane) for line in lines]
    return frame(
        WIDTH,
        plane.top + HEIGHT + 40,
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
    stacks = [(label, [min(max(finite(v) or 0.0, 0.0), LARGEST) for v in parts]) for label, parts in bars]
    keys, below = legend(
        [Mark(label=n, tone=t) for n, t in zip(names, tones, strict=True)], left=0, width=WIDTH
    )
    highest = max((sum(parts) for _, parts in stacks), default=0.0)
    ticks = value_ticks(0.0, highest or 1.0, 4)
    plane = Plane(x_low=0, x_high=max(len(stacks), 1), y_low=0, y_high=max(ticks[-1], 1e-9), top=below + 16)
    columns = [
        _column(plane, i, stack, names=names, tones=tones, write=write) for i, stack in enumerate(stacks)
    ]
    base = plane.top + HEIGHT
    return frame(
        WIDTH,
        base + 40,
        keys,
        grid(plane, ticks, [write(t) if t else "0" for t in ticks]),
        *columns,
        _bar_labels([label for label, _ in stacks], plane),
        label_at(WIDTH - RIGHT, base + 34, x_label, anchor="end"),
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


def _axes(plane: Plane, ticks: Sequence[float], rounds: Sequence[int], x_label: str) -> Html:
    base = plane.top + HEIGHT
    return join(
        [
            grid(plane, ticks, tick_labels(ticks)),
            *(label_at(plane.x(t), base + 17, str(t), anchor="middle") for t in rounds),
            label_at(WIDTH - RIGHT, base + 34, x_label, anchor="end"),
        ]
    )


def _path(points: Sequence[Point], plane: Plane, style: str, dashed: bool = False, most: int = _MOST_POINTS):
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


def _band(band: Band | None, plane: Plane) -> Html | None:
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


def _end(line: Line, plane: Plane) -> Html | None:
    last = [(x, y) for x, y in line.points if math.isfinite(y)][-1]
    return tag("circle", class_=f"hc-dot hc-{line.tone}", cx=plane.x(last[0]), cy=plane.y(last[1]), r=4)


def _hits(lines: Sequence[Line], band: Band | None, plane: Plane, x_label: str) -> Html:
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
        columns.append(hit(plane, left, right, plane.x(x), text="\n".join(rows), dots=",".join(dots)))
    return join(columns)


def _bar_labels(labels: Sequence[str], plane: Plane) -> Html:
    """Round numbers under bars that stand for rounds (or for equal runs of them), else some of the labels."""
    y = plane.top + HEIGHT + 17
    places = {label: i + 0.5 for i, label in enumerate(labels)}
    if len(labels) > 1 and all(label.isdecimal() for label in labels):
        first, step = int(labels[0]), max(int(labels[1]) - int(labels[0]), 1)
        places = {str(t): (t - first + 0.5) / step for t in round_ticks(first, int(labels[-1]), 5)}
    shown = even(list(places), 10)
    return join(label_at(plane.x(places[label]), y, label, anchor="middle") for label in shown)


def _column(
    plane: Plane, i: int, stack: _Stack, *, names: Sequence[str], tones: Sequence[str], write: _Write
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
    return join([*boxes, hit(plane, plane.x(i), plane.x(i + 1), (left + right) / 2, text="\n".join(rows))])

"""The plain parts of a chart: the SVG frame, round axis ticks, thinning, and a legend."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from itertools import pairwise

from hansa.report.markup import Child, Html, join, short, tag
from hansa.report.wording import clip_text

CHARACTER = 6.3
"""Mean width of a character at 12 px, in pixels: SVG cannot measure text."""


WIDTH, HEIGHT, LEFT, RIGHT = 440.0, 200.0, 46.0, 14.0
"""Width of a chart with axes, height of its plot, and the margins at its sides."""


LARGEST = 1e300
"""Axes end here, so that differences and sums of what is drawn stay finite."""
_SMALLEST = 1e-290


@dataclass(frozen=True, kw_only=True)
class Mark:
    """One entry of a legend.

    Attributes:
        label: What it stands for.
        tone: Name of its colour class.
        shape: ``"line"``, ``"dash"``, ``"box"``, or ``"band"``.
        value: A number to show after the label, already formatted, or empty.
    """

    label: str
    tone: str
    shape: str = "box"
    value: str = ""


@cache
def asset(name: str) -> str:
    """Return a text file that is shipped beside this module."""
    return files("hansa.report").joinpath(name).read_text(encoding="utf-8")


def frame(
    width: float, height: float, *children: Child, label: str, standalone: bool, hover: bool = False
) -> str:
    """Return a whole SVG element that scales with its container.

    Args:
        width: Width of the drawing, in its own units (12 px text is 12 units).
        height: Height of the drawing.
        children: What is drawn.
        label: What a screen reader says.
        standalone: Whether the colours travel with it, for a file or a notebook; a page has them once.
        hover: Whether the page's script shows a read-out over it.
    """
    own: list[Child] = []
    if standalone:
        own = [
            tag("style", Html(asset("charts.css"))),
            tag("rect", class_="hc-paper", width=width, height=height),
        ]
    return tag(
        "svg",
        *own,
        *children,
        xmlns="http://www.w3.org/2000/svg" if standalone else None,
        class_="hansa-chart",
        viewBox=f"0 0 {short(width)} {short(height)}",
        role="img",
        aria_label=label,
        tabindex=0 if hover else None,
        data_hover="columns" if hover else None,
    ).text


def label_at(x: float, y: float, text: str, *, class_: str = "hc-tick", anchor: str = "start") -> Html:
    """Return one line of text; the anchor is ``start``, ``middle`` or ``end``."""
    return tag("text", text, class_=class_, x=x, y=y, text_anchor=None if anchor == "start" else anchor)


def nice_step(span: float, target: int) -> float:
    """Return the step of 1, 2, 2.5 or 5 times a power of ten that cuts a span in about `target` parts."""
    raw = span / max(target, 1)
    power = 10.0 ** math.floor(math.log10(raw))
    return next(power * factor for factor in (1, 2, 2.5, 5, 10) if power * factor >= raw * (1 - 1e-9))


def value_ticks(low: float, high: float, target: int = 5) -> list[float]:
    """Return round axis values that enclose a range.

    Example:
        >>> value_ticks(0.52, 0.81)
        [0.5, 0.6, 0.7, 0.8, 0.9]
    """
    low, high = (min(max(v, -LARGEST), LARGEST) for v in (low, high))
    if not high - low > max(1e-9 * max(abs(high), abs(low)), _SMALLEST):
        margin = max(abs(high), abs(low)) * 0.1
        low, high = (low - margin, high + margin) if margin > _SMALLEST else (low, low + 1.0)
    step = nice_step(high - low, target)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [float(f"{i * step:.12g}") for i in range(first, last + 1)]


def round_ticks(low: float, high: float, target: int = 4) -> list[int]:
    """Return whole round numbers for an axis: the first one, then multiples of a round step.

    Example:
        >>> round_ticks(1, 15), round_ticks(1, 4), round_ticks(3, 3)
        ([1, 5, 10, 15], [1, 2, 3, 4], [3])
    """
    if high <= low:
        return [round(low)]
    step = max(1, round(nice_step(high - low, target)))
    step = 5 if step in {3, 4} else step
    multiples = range(math.ceil(low / step) * step, math.floor(high) + 1, step)
    return [round(low), *(i for i in multiples if i - low > 0.6 * step)]


def tick_labels(ticks: Sequence[float]) -> list[str]:
    """Return the ticks as text, all with the same number of decimals."""
    largest = max(abs(t) for t in ticks)
    if largest >= 1e6 or largest < 1e-3:
        return [f"{t:.3g}".replace("e+0", "e").replace("e+", "e").replace("-", "−") for t in ticks]
    places = max(len(f"{t:.6f}".rstrip("0").partition(".")[2]) for t in ticks)
    return [f"{t:,.{places}f}".replace("-", "−") for t in ticks]


def thin(points: Sequence[tuple[float, float]], most: int) -> Sequence[tuple[float, float]]:
    """Return at most `most` of the points, keeping the first, the last, and every bucket's extremes."""
    if len(points) <= most:
        return points
    buckets = max((most - 2) // 2, 1)
    inner = points[1:-1]
    edges = [round(i * len(inner) / buckets) for i in range(buckets + 1)]
    kept = [points[0]]
    for start, stop in pairwise(edges):
        bucket = sorted(range(start, stop), key=lambda i: (inner[i][1], i))
        kept += [inner[i] for i in sorted({bucket[0], bucket[-1]})] if bucket else []
    return [*kept, points[-1]]


def even(items: Sequence, most: int) -> list:
    """Return at most `most` of the items, evenly spaced, with the first and the last."""
    if len(items) <= most:
        return list(items)
    return [items[round(i * (len(items) - 1) / (most - 1))] for i in range(most)]


def legend(marks: Sequence[Mark], *, left: float, width: float, top: float = 13) -> tuple[Html, float]:
    """Return a legend that flows over as many lines as it needs, and the y below it."""
    parts: list[Html] = []
    x, y = left, top
    for mark in marks:
        text = clip_text(mark.label, 34)
        needed = 22 + CHARACTER * (len(text) + len(mark.value) + (1 if mark.value else 0)) + 14
        if x > left and x + needed - 14 > left + width:
            x, y = left, y + 18
        parts.append(_swatch(mark, x, y))
        value = tag("tspan", mark.value, class_="hc-strong", dx=5) if mark.value else None
        parts.append(tag("text", text, value, class_="hc-key", x=x + 22, y=y))
        x += needed
    return join(parts), y


def _swatch(mark: Mark, x: float, y: float) -> Html:
    if mark.shape in {"line", "dash"}:
        style = "hc-line hc-dash" if mark.shape == "dash" else "hc-line"
        return tag("line", class_=f"{style} hc-{mark.tone}", x1=x, x2=x + 16, y1=y - 4, y2=y - 4)
    shape = "hc-band" if mark.shape == "band" else "hc-area"
    return tag("rect", class_=f"{shape} hc-{mark.tone}", x=x + 2, y=y - 9, width=11, height=11, rx=2)


@dataclass(frozen=True, kw_only=True)
class Plane:
    """Where data values lie on the drawing: the ranges of both axes, and the top of the plot."""

    x_low: float
    x_high: float
    y_low: float
    y_high: float
    top: float

    def x(self, value: float) -> float:
        """Return where a value of the x axis lies."""
        return LEFT + (WIDTH - LEFT - RIGHT) * (value - self.x_low) / (self.x_high - self.x_low)

    def y(self, value: float) -> float:
        """Return where a value of the y axis lies, far outside of the plot at most a few plots away."""
        part = (value - self.y_low) / (self.y_high - self.y_low)
        return self.top + HEIGHT * (1 - min(max(part, -4.0), 5.0))


def grid(plane: Plane, ticks: Sequence[float], labels: Sequence[str]) -> Html:
    """Return faint lines at the ticks of the y axis, with their labels."""
    parts: list[Child] = []
    for tick, label in zip(ticks, labels, strict=True):
        y = plane.y(tick)
        style = "hc-axis" if tick == ticks[0] else "hc-grid"
        parts.append(tag("line", class_=style, x1=LEFT, x2=WIDTH - RIGHT, y1=y, y2=y))
        parts.append(label_at(LEFT - 8, y + 4, label, anchor="end"))
    return join(parts)


def hit(plane: Plane, left: float, right: float, middle: float, *, text: str, dots: str = "") -> Html:
    """Return an invisible column over the plot, with the read-out that the script or the browser shows."""
    return tag(
        "rect",
        tag("title", text),
        class_="hc-hit",
        x=left,
        y=plane.top,
        width=max(right - left, 0.1),
        height=HEIGHT,
        data_x=middle,
        data_dots=dots or None,
    )

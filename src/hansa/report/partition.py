"""How the labels are spread over the clients, as a picture that suits their number."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from hansa.report.canvas import CHARACTER, Mark, frame, label_at, legend, round_ticks
from hansa.report.markup import Child, Html, join, short, tag
from hansa.report.wording import clip_text, count, counted, finite, share

_TONES = ("blue", "orange", "teal", "violet", "gold", "rose")
_LEVELS = (0.01, 0.05, 0.1, 0.2, 0.4, 0.7, 1.0)
_MOST_COLUMNS, _MOST_LABELS = 200, 40


@dataclass(frozen=True, kw_only=True)
class _Table:
    """Counts as a dense table: one row for each client, one column for each label."""

    clients: tuple[str, ...]
    labels: tuple[str, ...]
    rows: tuple[tuple[int, ...], ...]

    @property
    def totals(self) -> list[int]:
        return [sum(row) for row in self.rows]


def partition_svg(
    counts: Mapping[str, Mapping[str, int]],
    *,
    title: str = "Examples by client and label",
    standalone: bool = True,
) -> str:
    """Return a picture of who holds how many examples of which label.

    Few labels give stacked bars, more give bubbles whose area is the count, and many clients
    give a heat map of each client's mix under a strip of sizes. Beyond 200 clients neighbours
    share a column; beyond 40 labels the rarest share a row.

    Args:
        counts: Number of examples by client and label. A count that is not a finite number
            above 0 is drawn as none.
        title: Heading, also what a screen reader says.
        standalone: Whether the colours travel with the drawing, for a file or a notebook.

    Returns:
        An ``<svg>`` element. The same counts in the same order give the same text.

    Example:
        >>> partition_svg({"north": {"0": 8, "1": 2}, "south": {"0": 1, "1": 9}})[:4]
        '<svg'
    """
    table = _table(counts)
    clients, labels = len(table.clients), len(table.labels)
    if not clients or not labels:
        note = label_at(0, 20, "No label counts.", class_="hc-key")
        return frame(440, 32, note, label=title, standalone=standalone)
    if labels <= len(_TONES) and clients <= 30:
        return _stacks(table, title, standalone)
    if labels <= 24 and clients <= 30:
        return _bubbles(table, title, standalone)
    return _heat(table, title, standalone)


def _table(counts: Mapping[str, Mapping[str, int]]) -> _Table:
    clean = {
        str(client): {str(label): int(max(finite(n) or 0, 0)) for label, n in by_label.items()}
        for client, by_label in counts.items()
    }
    labels = sorted({label for by_label in clean.values() for label in by_label}, key=_label_order)
    if len(labels) > _MOST_LABELS:
        sums = {label: sum(row.get(label, 0) for row in clean.values()) for label in labels}
        common = set(sorted(labels, key=lambda label: -sums[label])[: _MOST_LABELS - 1])
        rest = [label for label in labels if label not in common]
        name = f"{count(len(rest))} others"
        clean = {
            client: {**{k: n for k, n in row.items() if k in common}, name: sum(row.get(k, 0) for k in rest)}
            for client, row in clean.items()
        }
        labels = [*(label for label in labels if label in common), name]
    rows = tuple(tuple(row.get(label, 0) for label in labels) for row in clean.values())
    return _Table(clients=tuple(clean), labels=tuple(labels), rows=rows)


def _label_order(label: str) -> tuple[int, float, str]:
    number = finite(label)
    return (1, 0.0, label) if number is None else (0, number, label)


def _heading(title: str, standalone: bool) -> tuple[Html | None, float]:
    """The title is drawn only where no page around the chart says it."""
    return (label_at(0, 16, title, class_="hc-title"), 28.0) if standalone else (None, 0.0)


def _name_width(names: Sequence[str]) -> float:
    return min(max(len(name) for name in names), 20) * CHARACTER + 12


def _stacks(table: _Table, title: str, standalone: bool) -> str:
    width, pad = (24.0, 12.0) if standalone else (0.0, 0.0)
    head, top = _heading(title, standalone)
    left = _name_width(table.clients)
    keys, below = legend(
        [
            Mark(label=f"label {label}" if len(label) < 3 else label, tone=tone)
            for label, tone in zip(table.labels, _TONES, strict=False)
        ],
        left=left,
        width=440 - left,
        top=top + 13,
    )
    totals = table.totals
    room = 440 - left - max(len(count(t)) for t in totals) * CHARACTER - 12
    scale = room / max([*totals, 1])
    rows = [
        _stack(table, i, left=left, y=below + 14 + 27 * i, scale=scale) for i in range(len(table.clients))
    ]
    body = tag("g", head, keys, *rows, transform=f"translate({short(pad)} {short(pad)})" if pad else None)
    height = below + 14 + 27 * len(rows) + 2 * pad
    return frame(440 + width, height, body, label=_spoken(table, title), standalone=standalone)


def _stack(table: _Table, i: int, *, left: float, y: float, scale: float) -> Html:
    total = table.totals[i]
    boxes: list[Child] = [
        label_at(0, y + 14, clip_text(table.clients[i], 20), class_="hc-name"),
    ]
    x = left
    for n, tone in zip(table.rows[i], _TONES, strict=False):
        if n:
            boxes.append(
                tag("rect", class_=f"hc-area hc-seam hc-{tone}", x=x, y=y, width=n * scale, height=19.0)
            )
        x += n * scale
    boxes.append(label_at(x + 7, y + 14, count(total), class_="hc-key"))
    return tag("g", tag("title", _mix(table, i)), *boxes, class_="hc-bar")


def _bubbles(table: _Table, title: str, standalone: bool) -> str:
    pad = 12.0 if standalone else 0.0
    head, top = _heading(title, standalone)
    left = _name_width(table.clients)
    across = max(min((440 - left - 44) / len(table.labels), 44.0), 20.0)
    down = min(max(across, 22.0), 30.0)
    width = left + across * len(table.labels) + 44
    biggest = max(max(row) for row in table.rows) or 1
    radius = min(across, down) / 2 - 0.5
    letters = max(int(across / CHARACTER), 2)
    parts: list[Child] = [
        label_at(left + across * (j + 0.5), top + 12, clip_text(label, letters), anchor="middle")
        for j, label in enumerate(table.labels)
    ]
    for i, row in enumerate(table.rows):
        y = top + 22 + down * (i + 0.5)
        parts.append(tag("line", class_="hc-grid", x1=left, x2=left + across * len(row), y1=y, y2=y))
        parts.append(label_at(0, y + 4, clip_text(table.clients[i], 20), class_="hc-name"))
        parts.append(label_at(width, y + 4, count(sum(row)), class_="hc-key", anchor="end"))
        for j, n in enumerate(row):
            if n:
                about = tag("title", f"{table.clients[i]}, label {table.labels[j]}: {count(n)}")
                r = max(radius * (n / biggest) ** 0.5, 1.0)
                x = left + across * (j + 0.5)
                parts.append(tag("circle", about, class_="hc-area hc-blue", cx=x, cy=y, r=r))
    bottom = top + 22 + down * len(table.rows)
    parts.append(
        label_at(
            0, bottom + 20, f"Area of a circle is the number of examples; the largest is {count(biggest)}."
        )
    )
    body = tag("g", head, *parts, transform=f"translate({short(pad)} {short(pad)})" if pad else None)
    return frame(
        width + 2 * pad, bottom + 28 + 2 * pad, body, label=_spoken(table, title), standalone=standalone
    )


def _heat(table: _Table, title: str, standalone: bool) -> str:
    pad = 12.0 if standalone else 0.0
    head, top = _heading(title, standalone)
    together = -(-len(table.clients) // _MOST_COLUMNS)
    columns = _joined(table, together)
    left = max(_name_width(table.labels) + 4, 74.0)
    wide = (886 - left) / len(columns.rows)
    tall = min(22.0, max(11.0, 260.0 / len(table.labels)))
    strip = 54.0
    heat_top = top + strip + 8
    parts: list[Child] = [
        _strip(columns, left=left, top=top, wide=wide, height=strip),
        *(_heat_paths(columns, left=left, top=heat_top, wide=wide, tall=tall)),
    ]
    parts += [
        label_at(left - 8, heat_top + tall * (j + 0.5) + 4, clip_text(label, 20), anchor="end")
        for j, label in enumerate(table.labels)
    ]
    base = heat_top + tall * len(table.labels)
    parts += [
        label_at(left + wide * ((mark - 0.5) / together), base + 17, count(mark), anchor="middle")
        for mark in round_ticks(1, len(table.clients), 6)
    ]
    group = f"Client, {counted(together, 'client')} in each column" if together > 1 else "Client, in order"
    parts.append(label_at(left, base + 47, group))
    parts.append(_scale(886, base + 38))
    parts += [
        tag(
            "rect",
            tag("title", _mix(columns, i)),
            class_="hc-hit",
            x=left + wide * i,
            y=top,
            width=wide,
            height=base - top,
        )
        for i in range(len(columns.rows))
    ]
    body = tag("g", head, *parts, transform=f"translate({short(pad)} {short(pad)})" if pad else None)
    return frame(900 + 2 * pad, base + 68 + 2 * pad, body, label=_spoken(table, title), standalone=standalone)


def _joined(table: _Table, together: int) -> _Table:
    """The table with this many neighbouring clients in each row."""
    if together == 1:
        return table
    starts = range(0, len(table.rows), together)
    rows = tuple(tuple(map(sum, zip(*table.rows[s : s + together], strict=True))) for s in starts)
    ends = [min(s + together, len(table.clients)) for s in starts]
    names = tuple(f"{table.clients[s]} … {table.clients[e - 1]}" for s, e in zip(starts, ends, strict=True))
    return _Table(clients=names, labels=table.labels, rows=rows)


def _strip(columns: _Table, *, left: float, top: float, wide: float, height: float) -> Html:
    largest = max([*columns.totals, 1])
    gap = 0.12 * wide
    bars = "".join(
        f"M{short(left + wide * i + gap, 2)} {short(top + height)}h{short(wide - 2 * gap, 2)}"
        f"v-{short(height * n / largest)}h-{short(wide - 2 * gap, 2)}z"
        for i, n in enumerate(columns.totals)
        if n
    )
    return join(
        [
            tag("path", class_="hc-area hc-grey", d=bars),
            label_at(left - 8, top + 10, count(largest), anchor="end"),
            label_at(left - 8, top + height, "examples", anchor="end"),
        ]
    )


def _heat_paths(columns: _Table, *, left: float, top: float, wide: float, tall: float) -> list[Html]:
    """One path for each shade: thousands of cells stay small."""
    cells: list[list[str]] = [[] for _ in _LEVELS]
    for i, row in enumerate(columns.rows):
        total = sum(row)
        for j, n in enumerate(row):
            if n:
                level = next(k for k, limit in enumerate(_LEVELS) if n / total <= limit + 1e-9)
                corner = f"M{short(left + wide * i, 2)} {short(top + tall * j)}"
                cells[level].append(f"{corner}h{short(wide, 2)}v{short(tall)}h-{short(wide, 2)}z")
    return [
        tag("path", class_="hc-area hc-blue", fill_opacity=_shade(k), d="".join(steps))
        for k, steps in enumerate(cells)
        if steps
    ]


def _scale(right: float, y: float) -> Html:
    box = 34.0
    start = right - box * len(_LEVELS)
    parts: list[Child] = [label_at(start - 8, y + 9, "share of the client's examples, up to", anchor="end")]
    for k, limit in enumerate(_LEVELS):
        x = start + box * k
        parts.append(
            tag("rect", class_="hc-area hc-blue", fill_opacity=_shade(k), x=x, y=y, width=box, height=9.0)
        )
        parts.append(label_at(x + box / 2, y + 23, f"{100 * limit:.0f}%", anchor="middle"))
    return join(parts)


def _shade(level: int) -> str:
    return short(0.06 + 0.94 * ((level + 1) / len(_LEVELS)) ** 1.2, 2)


def _mix(table: _Table, i: int) -> str:
    row = table.rows[i]
    ranked = sorted(range(len(row)), key=lambda j: (-row[j], j))[:12]
    parts = [f"{table.labels[j]}: {count(row[j])} ({share(row[j], sum(row))})" for j in ranked if row[j]]
    return "\n".join([f"{table.clients[i]}: {counted(sum(row), 'example')}", *parts])


def _spoken(table: _Table, title: str) -> str:
    clients, labels = counted(len(table.clients), "client"), counted(len(table.labels), "label")
    return f"{title}: {count(sum(table.totals))} examples of {labels} at {clients}"

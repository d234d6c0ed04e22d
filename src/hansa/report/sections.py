"""The sections with numbers: curves, data, time, and updates that were not used."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence

from hansa.record import RoundRecord
from hansa.report.charts import TONES, Band, Line, line_chart, partition_svg, stacked_bars
from hansa.report.data import ReportData
from hansa.report.facts import (
    central,
    logged,
    metric_names,
)
from hansa.report.markup import Child, Html, tag
from hansa.report.tables import MOST_ROWS, Column, capped, table
from hansa.report.wording import (
    count,
    counted,
    decimal,
    duration,
    finite,
    metric_title,
    share,
)

_PHASE_TONES = {
    **{"draw": "violet", "gather": "sky", "train": "blue", "encode": "gold", "sum": "orange"},
    **{"step": "rose", "evaluate": "teal", "other": "grey"},
}
_MOST_METRICS, _MOST_THIN, _MOST_BARS = 12, 40, 60


def curves(data: ReportData) -> Html | None:
    """Return one chart for each metric over the rounds, loss first; one round gives a table instead."""
    if len(data.records) == 1:
        return _only_round(data.records[0])
    charts = []
    for metric in metric_names(data.records)[:_MOST_METRICS]:
        lines, band = _lines(data.records, metric)
        if lines:
            chart = line_chart(lines, title=f"{metric_title(metric)} by round", band=band)
            heading = tag("figcaption", tag("h3", metric_title(metric)))
            charts.append(tag("figure", heading, Html(chart), _gaps(lines)))
    return tag("div", *charts, class_="grid") if charts else None


def _only_round(record: RoundRecord) -> Html | None:
    """A curve needs two points; a single round is told as numbers."""
    metrics = metric_names([record])[:_MOST_METRICS]
    ways = [("", "Training"), ("clients_val_", "Clients’ mean")]
    ways += [("val_", "Central validation")] if any(central([record], m) for m in metrics) else []
    known = [(prefix, title) for prefix, title in ways if any(prefix + m in record.logs for m in metrics)]
    if not known:
        return None
    columns = [Column(title="Metric", numeric=False), *(Column(title=title) for _, title in known)]
    rows: list[list[Child]] = [
        [metric_title(m), *(decimal(record.logs.get(prefix + m)) for prefix, _ in known)] for m in metrics
    ]
    return table(columns, rows, caption="After one round", class_="slim")


def _lines(records: Sequence[RoundRecord], metric: str) -> tuple[list[Line], Band | None]:
    training, mean = logged(records, metric), logged(records, f"clients_val_{metric}")
    lines = [Line(name="Training", points=training, tone="grey", dashed=True)] if training else []
    if mean:
        lines.append(Line(name="Clients’ mean", points=mean, tone="teal"))
    val = logged(records, f"val_{metric}")
    if val and (not mean or central(records, metric)):
        lines.append(Line(name="Central validation" if mean else "Validation", points=val, tone="blue"))
    lines = [line for line in lines if any(math.isfinite(y) for _, y in line.points)]
    return lines, _spread(records, metric)


def _spread(records: Sequence[RoundRecord], metric: str) -> Band | None:
    """Lowest and highest of the clients in each round, and single clients while they are few."""
    low, high = [], []
    members: dict[str, list[tuple[float, float]]] = {}
    for record in records:
        x = float(record.round + 1)
        seen = {
            name: value
            for name, client in record.clients.items()
            if (value := finite(client.validation.get(metric))) is not None
        }
        if len(seen) > 1:
            low.append((x, min(seen.values())))
            high.append((x, max(seen.values())))
        for name, value in seen.items():
            if name in members or len(members) <= _MOST_THIN:
                members.setdefault(name, []).append((x, value))
    if not low:
        return None
    shown = list(members.items()) if len(members) <= _MOST_THIN else []
    return Band(name="clients, low to high", low=low, high=high, members=shown)


def _gaps(lines: Sequence[Line]) -> Html | None:
    gaps = sum(not math.isfinite(y) for line in lines for _, y in line.points)
    if not gaps:
        return None
    verb = "is" if gaps == 1 else "are"
    return tag("p", f"{counted(gaps, 'value')} {verb} not finite and {verb} not drawn.", class_="note")


def partition(data: ReportData) -> Html | None:
    """Return who holds which labels, with the imbalance in words."""
    counts = {name: card.labels for name, card in data.cards.items() if card.labels}
    facts = _balance(data, counts)
    if not counts:
        return tag("ul", *(tag("li", f) for f in facts), class_="facts") if facts else None
    wide = len(counts) > 30 or len({label for row in counts.values() for label in row}) > 24
    picture = partition_svg(counts, title="Training examples by client and label", standalone=False)
    chart = tag(
        "figure",
        tag("figcaption", tag("h3", "Training examples by client and label")),
        tag("div", Html(picture), class_="scroll wide", tabindex=0) if wide else Html(picture),
    )
    listed = tag("ul", *(tag("li", f) for f in facts), class_="facts")
    return tag("div", chart, listed, class_="stack" if wide else "pair")


def _balance(data: ReportData, counts: Mapping[str, Mapping[str, int]]) -> list[str]:
    sizes = {name: card.examples["train"] for name, card in data.cards.items() if card.examples.get("train")}
    if not sizes:
        return []
    small, large = min(sizes, key=lambda n: sizes[n]), max(sizes, key=lambda n: sizes[n])
    facts = [f"{count(sum(sizes.values()))} training examples at {counted(len(sizes), 'client')}."]
    if sizes[large] > sizes[small]:
        times = sizes[large] / sizes[small]
        facts.append(
            f"The largest, {large}, holds {count(sizes[large])}: {times:,.1f} times as many as the "
            f"smallest, {small}, with {count(sizes[small])}."
        )
    labels = sorted({label for row in counts.values() for label in row})
    if labels and len(labels) <= 3 and len(counts) > 1:
        label = labels[-1]
        parts = {n: row.get(label, 0) / sum(row.values()) for n, row in counts.items() if sum(row.values())}
        if parts:
            low, high = min(parts, key=lambda n: parts[n]), max(parts, key=lambda n: parts[n])
            facts.append(
                f"Label {label} makes up {share(parts[low], 1)} of the rows at {low} "
                f"and {share(parts[high], 1)} at {high}."
            )
    elif labels and len(counts) > 1:
        held = sorted(sum(1 for n in row.values() if n) for row in counts.values())
        facts.append(
            f"A client holds {held[0]} to {held[-1]} of the {len(labels)} labels, "
            f"{held[len(held) // 2]} at the median."
        )
    return facts


def timings(data: ReportData) -> Html | None:
    """Return where the time went: stacked bars over the rounds and totals by phase."""
    phases: dict[str, float] = {}
    for record in data.records:
        for phase, seconds in record.timings_s.items():
            phases[phase] = phases.get(phase, 0.0) + max(finite(seconds) or 0.0, 0.0)
    whole = sum(phases.values())
    if not whole:
        return None
    known = [name for name in _PHASE_TONES if name in phases]
    names = [*known, *(name for name in phases if name not in _PHASE_TONES)]
    tones = [_PHASE_TONES.get(name, TONES[(i + 3) % len(TONES)]) for i, name in enumerate(names)]
    together = -(-len(data.records) // _MOST_BARS)
    bars = [_bin(data.records[i : i + together], names) for i in range(0, len(data.records), together)]
    label = "Round" if together == 1 else f"Round (each bar is the mean of {together} rounds)"
    chart = stacked_bars(
        bars, names, title="Seconds by round and phase", tones=tones, write=duration, x_label=label
    )
    columns = [
        Column(title="Phase", numeric=False),
        *(Column(title=t) for t in ("Total", "Share", "A round")),
    ]
    rows: list[list[Child]] = [
        [
            tag("span", tag("i", class_=f"dot hc-{tones[i]}"), name),
            duration(phases[name]),
            share(phases[name], whole),
            duration(phases[name] / len(data.records)),
        ]
        for i, name in enumerate(names)
    ]
    foot: list[Child] = ["All phases", duration(whole), share(1, 1), duration(whole / len(data.records))]
    totals = table(columns, rows, caption="Time by phase, all rounds", foot=foot)
    figure = tag("figure", tag("figcaption", tag("h3", "Time of each round")), Html(chart))
    return tag("div", figure, totals, class_="pair")


def dropped(data: ReportData) -> Html | None:
    """Return the updates that were not used, with reasons; None when all were."""
    lost = [(r.round + 1, name, reason) for r in data.records for name, reason in r.dropped.items()]
    if not lost:
        return None
    reasons = Counter(reason for _, _, reason in lost)
    ranked = sorted(reasons.items(), key=lambda item: (-item[1], item[0]))
    why = "; ".join(f"{reason} ({count(n)})" for reason, n in ranked[:5]) + ("; …" if len(ranked) > 5 else "")
    asked = sum(len(r.cohort) for r in data.records)
    were = "was" if len(lost) == 1 else "were"
    lead = f"{counted(len(lost), 'update')} of {count(asked)} {were} not used: {why}."
    columns = [Column(title=title, numeric=False) for title in ("Round", "Client", "Reason")]
    rows = [[str(x), name, reason] for x, name, reason in lost[:MOST_ROWS]]
    left_out = capped(len(lost), MOST_ROWS, "updates not used")
    return tag(
        "div",
        tag("p", lead, class_="first"),
        table(
            columns, rows, caption="Updates that were not used", left_out=left_out, class_="slim", quiet=True
        ),
    )


def _bin(records: Sequence[RoundRecord], names: Sequence[str]) -> tuple[str, list[float]]:
    parts = [sum(finite(r.timings_s.get(n)) or 0.0 for r in records) / len(records) for n in names]
    return str(records[0].round + 1), parts

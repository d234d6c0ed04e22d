"""The clients side by side: examples, final metric, and what they gain from training together."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from hansa.report.data import WAYS, Comparison, ReportData
from hansa.report.facts import best_ways, client_names, comparison_averages, last_client_values, outcome
from hansa.report.markup import Child, Html, tag
from hansa.report.tables import MOST_ROWS, Column, capped, fold, table
from hansa.report.wording import ABSENT, count, decimal, finite, metric_title, metric_words

WAY_TITLES = {"local": "Alone", "federated": "Together", "pooled": "Pooled"}
_MOST_OPEN, _FIRST = 24, 12


def clients_table(data: ReportData) -> Html:
    """Return every client's examples, final metric, and alone / together / pooled side by side."""
    names, comparison, metric = client_names(data), data.comparison, outcome(data).metric
    if not names:
        return tag("p", "No client is known.", class_="note")
    finals, where = last_client_values(data, metric)
    splits = [s for s in ("train", "validation", "test") if any(s in c.examples for c in data.cards.values())]
    splits += ["test"] if comparison and comparison.test_examples and "test" not in splits else []
    columns = [Column(title="Client", numeric=False)]
    columns += [Column(title=WAY_TITLES[way]) for way in WAYS] if comparison else []
    columns += [Column(title=_measured(metric, where))] if finals else []
    columns += [Column(title=s.capitalize()) for s in splits]
    rows = [_row(data, name, splits, finals) for name in names[:MOST_ROWS]]
    look = "clients versus" if comparison else "clients"
    shown = len(rows) if len(rows) <= _MOST_OPEN else _FIRST
    caption = f"Examples by split and last {metric_words(metric)} of each client"
    foot = _foot(data, names, splits, finals) if len(names) > 1 else None
    first = table(columns, rows[:shown], caption=caption, foot=foot, class_=look, quiet=True)
    if shown == len(rows):
        return first
    left_out = capped(len(names), MOST_ROWS, "clients", "The totals above cover all of them.")
    rest = table(columns, rows[shown:], caption=caption, left_out=left_out, class_=look, quiet=True)
    title = f"Clients {shown + 1} to {len(rows)}"
    return tag("div", first, fold(title, rest, about="the totals above cover all clients"), class_="stack")


def _row(data: ReportData, name: str, splits: Sequence[str], finals: Mapping[str, float]) -> list[Child]:
    row: list[Child] = [name]
    if data.comparison:
        values = data.comparison.rows.get(name, {})
        best = best_ways(values, data.comparison.higher_is_better)
        row += [_bar(values.get(way), way, _top(data.comparison), way in best) for way in WAYS]
    row += [decimal(finals.get(name))] if finals else []
    row += [_examples(data, name, split) for split in splits]
    return row


def _foot(
    data: ReportData, names: Sequence[str], splits: Sequence[str], finals: Mapping[str, float]
) -> list[Child]:
    foot: list[Child] = ["All clients"]
    if data.comparison:
        averages = comparison_averages(data.comparison)
        foot += [_bar(averages.get(way), way, _top(data.comparison), False) for way in WAYS]
    foot += [_mean(data, finals)] if finals else []
    foot += [_total_examples(data, names, split) for split in splits]
    return foot


def clients_note(data: ReportData) -> Html | None:
    """Return how to read the table of clients."""
    result, comparison = outcome(data), data.comparison
    finals, where = last_client_values(data, result.metric)
    parts = []
    if finals:
        final = f"{_measured(result.metric, where)}: the last value each client reported ({where})"
        parts.append(f"{final}; the last row is their mean, weighted by these rows.")
    if comparison:
        better = "greater" if comparison.higher_is_better else "smaller"
        parts.append(
            f"Alone, together, pooled: {metric_words(comparison.metric)} on the client’s test rows "
            "after training on its own rows only, in the federation, and on all rows in one place; "
            f"{better} is better. The better of alone and together is in bold."
        )
        if comparison.note:
            parts.append(comparison.note)
    return tag("p", " ".join(parts), class_="note") if parts else None


def contest(comparison: Comparison | None) -> Html | None:
    """Return the averages of the three ways as three large bars."""
    averages = comparison_averages(comparison) if comparison else {}
    if comparison is None or len(averages) < 2:
        return None
    top = max([abs(v) for v in averages.values()] + ([1.0] if _is_share(comparison) else []))
    rows = [
        tag(
            "div",
            tag("span", WAY_TITLES[way], class_="who"),
            tag("b", decimal(averages[way])),
            tag("span", tag("i", style=_width(averages[way], top)), class_="track"),
            class_=f"way {way}",
        )
        for way in WAYS
        if way in averages
    ]
    better = "greater" if comparison.higher_is_better else "smaller"
    caption = f"{metric_title(comparison.metric)} on test rows, average of the clients; {better} is better"
    return tag("figure", tag("figcaption", caption), *rows, class_="contest")


def _examples(data: ReportData, name: str, split: str) -> str:
    card = data.cards.get(name)
    number = card.examples.get(split) if card else None
    if number is None and split == "test" and data.comparison:
        number = data.comparison.test_examples.get(name)
    return ABSENT if number is None else count(number)


def _total_examples(data: ReportData, names: Sequence[str], split: str) -> str:
    numbers = [_examples(data, name, split).replace(",", "") for name in names]
    return count(sum(int(n) for n in numbers if n.isdigit()))


def _measured(metric: str, where: str) -> str:
    """Return the title of the clients' last values, by the rows they were measured on."""
    return f"{'Validation' if 'validation' in where else 'Training'} {metric_words(metric)}"


def _mean(data: ReportData, values: Mapping[str, float]) -> str:
    """Return the mean of the clients' values as logged: weighted by validation (or training) rows."""
    sizes = {name: card.examples for name, card in data.cards.items()}
    rows = {name: sizes.get(name, {}) for name, v in values.items() if math.isfinite(v)}
    split = "validation" if any(r.get("validation") for r in rows.values()) else "train"
    weights = {name: r.get(split, 0) for name, r in rows.items()}
    total = sum(weights.values())
    return decimal(sum(weights[n] * values[n] for n in weights) / total) if total else ABSENT


def _is_share(comparison: Comparison) -> bool:
    """Whether all values lie between 0 and 1, as an accuracy's do."""
    values = [n for row in comparison.rows.values() for v in row.values() if (n := finite(v)) is not None]
    return comparison.higher_is_better and all(0 <= v <= 1 for v in values)


def _top(comparison: Comparison | None) -> float:
    if comparison is None or _is_share(comparison):
        return 1.0
    values = [finite(v) or 0.0 for row in comparison.rows.values() for v in row.values()]
    return max([abs(v) for v in values] + [1e-12])


def _width(value: float, top: float) -> str:
    return f"width:{100 * min(max(value / top, 0.0), 1.0):.1f}%"


def _bar(value: float | None, way: str, top: float, best: bool) -> Html:
    number = finite(value)
    text = decimal(value)
    bar = None if number is None else tag("span", tag("i", style=_width(number, top)), class_="track")
    mark = tag("b", text) if best else tag("span", text)
    return tag("td", mark, bar, class_=f"n way {way}")

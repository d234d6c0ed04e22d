"""The fold-out parts: what is not protected, data cards, rounds, configuration, model, versions."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from hansa.report.canvas import even
from hansa.report.data import ReportData
from hansa.report.facts import is_set, named
from hansa.report.markup import Child, Html, tag
from hansa.report.secure_sum import is_secure
from hansa.report.tables import MOST_ROWS, Column, capped, fold, table
from hansa.report.wording import (
    ABSENT,
    clip_text,
    count,
    counted,
    decimal,
    duration,
    finite,
    metric_title,
    size,
)
from hansa.types import DataCard

_MOST_CARDS, _MOST_ROUNDS, _MOST_ENTRIES, _DEEPEST, _LONGEST = 60, 200, 400, 12, 2000


def protection(data: ReportData) -> Html:
    """Return what this run did not protect, as its configuration says."""
    secure, private = is_set(data.config.get("secure_sum")), is_set(data.config.get("privacy"))
    points: list[tuple[str, str]] = []
    if is_secure(data):
        points.append(
            (
                "Sums are visible.",
                "Updates are hidden in their sum, and the sum itself is not: with few clients, or from "
                "two sums that differ by one client, much can be told about one of them.",
            )
        )
    elif secure:
        name = named(data.config["secure_sum"], "as configured")
        points.append(("Updates", f"A secure sum is configured ({name}). This report does not check it."))
    else:
        points.append(
            (
                "Updates are visible to the coordinator.",
                "Sums are plain: whoever runs the server sees each client’s model update, and an update can "
                "give away parts of the rows that it was trained on"
                + (", up to what the plan of privacy above allows." if data.guarantee else "."),
            )
        )
    if data.guarantee is not None:
        open_ = list(data.guarantee.not_covered)
        if data.comparison is not None:
            open_.append("the comparison, whose other figures are of models that were trained without noise")
        points += [("Differential privacy does not cover", f"{what}.") for what in open_]
    elif private:
        name = named(data.config["privacy"], "as configured")
        points.append(("Privacy", f"Privacy is configured ({name}). This report does not check it."))
    else:
        points.append(
            (
                "There is no differential privacy.",
                "Nothing bounds how much the final model, or any model in between, remembers of a "
                "single person.",
            )
        )
    seen = "row counts and label counts"
    seen = seen if is_secure(data) else "row counts, label counts, losses and metrics"
    points.append(
        (
            "Numbers about clients are visible.",
            f"The coordinator sees each client’s {seen}, and this page repeats them. Mind this before "
            "passing it on.",
        )
    )
    items = [tag("li", tag("b", head), " ", body) for head, body in points]
    lead = "Raw rows are not part of what clients send. That alone is not privacy:"
    return tag("div", tag("p", lead), tag("ul", *items), class_="caution", role="note")


def data_cards(data: ReportData) -> Html | None:
    """Return what each client told about its data."""
    if not data.cards:
        return None
    schemas = {_schema(card) for card in data.cards.values()}
    shared = tag("p", f"All clients: {next(iter(schemas))}.") if len(schemas) == 1 else None
    columns = [Column(title="Client", numeric=False), Column(title="Rows")]
    columns += [Column(title="By label", numeric=False), Column(title="Label range")]
    columns += [] if shared else [Column(title="Features", numeric=False)]
    rows: list[list[Child]] = []
    for name, card in list(data.cards.items())[:_MOST_CARDS]:
        row: list[Child] = [name, count(sum(card.examples.values())), _labels(card), _range(card)]
        rows.append(row if shared else [*row, _schema(card)])
    left_out = capped(len(data.cards), _MOST_CARDS, "clients")
    return fold(
        "Data cards",
        shared,
        table(
            columns, rows, caption="What each client told about its data", left_out=left_out, class_="prose"
        ),
        about=f"{counted(len(data.cards), 'client')}, sizes and schema, never a row",
    )


def rounds_table(data: ReportData) -> Html | None:
    """Return the numbers of every round, thinned evenly when there are very many."""
    records = even(data.records, _MOST_ROUNDS)
    if not records:
        return None
    keys = list(dict.fromkeys(key for record in records for key in record.logs))[:12]
    columns = [
        Column(title="Round", numeric=False),
        Column(title="Clients"),
        *(Column(title=metric_title(k)) for k in keys),
    ]
    columns += [Column(title=t) for t in ("Update norm", "Time", "Bytes")]
    columns += [Column(title="Model hash", numeric=False)]
    rows: list[list[Child]] = [
        [
            str(r.round + 1),
            count(len(r.cohort) - len(r.dropped)),
            *(decimal(r.logs.get(key)) for key in keys),
            decimal(r.update_norm),
            duration(sum(finite(s) or 0.0 for s in r.timings_s.values())),
            size(r.bytes_down + r.bytes_up),
            tag("code", r.model_hash[:12], title=r.model_hash) if r.model_hash else ABSENT,
        ]
        for r in records
    ]
    total = len(data.records)
    left_out = f"{len(rows)} of {total:,} rounds are shown, evenly spaced." if total > len(rows) else ""
    return fold(
        "All rounds",
        table(columns, rows, caption="Numbers of each round", left_out=left_out),
        about=f"{counted(total, 'round')}, the numbers behind the charts",
    )


def configuration(data: ReportData) -> Html:
    """Return the resolved configuration as a nested list."""
    budget = [_MOST_ENTRIES]
    tree = _nested(data.config, budget, 0)
    note = tag("p", "Further entries are left out.", class_="note") if budget[0] <= 0 else None
    return fold("Configuration", tree, note, about=f"Seed {data.seed}, all values as resolved")


def model(data: ReportData) -> Html | None:
    """Return the layers of the model."""
    layers = data.model_summary.get("layers") or []
    layers = list(layers) if isinstance(layers, Sequence) and not isinstance(layers, str) else [layers]
    name, parameters = data.model_summary.get("name"), data.model_summary.get("parameters")
    if not layers and not name:
        return None
    known = [layer for layer in layers[:MOST_ROWS] if isinstance(layer, Mapping)]
    if known and len(known) == len(layers[:MOST_ROWS]):
        keys = list(dict.fromkeys(str(key) for layer in known for key in layer))
        columns = [
            Column(title=metric_title(k), numeric=i > 0 and _numeric([layer.get(k) for layer in known]))
            for i, k in enumerate(keys)
        ]
        rows = [[_cell(layer.get(key)) for key in keys] for layer in known]
    else:
        columns = [Column(title="Layer", numeric=False)]
        rows = [[_cell(layer)] for layer in layers[:MOST_ROWS]]
    about = ", ".join(
        [str(name)] * bool(name) + [f"{count(parameters)} parameters"] * (finite(parameters) is not None)
    )
    left_out = capped(len(layers), MOST_ROWS, "layers")
    body = table(columns, rows, caption="Layers of the model", left_out=left_out) if rows else None
    return fold("Model", body, about=about)


def provenance(data: ReportData, config_note: str = "") -> Html:
    """Return versions, seed, times, the run folder and the hash of the final model."""
    entries: list[tuple[str, Child]] = list(data.environment.items())
    entries.append(("Seed", str(data.seed)))
    entries += [(k, v) for k, v in (("Started", data.started), ("Finished", data.finished)) if v]
    entries += [("Run folder", data.run_folder)] if data.run_folder else []
    final = data.records[-1].model_hash if data.records else ""
    entries += [("Final model, SHA-256", tag("code", final))] if final else []
    pairs = [tag("div", tag("dt", key), tag("dd", value)) for key, value in entries]
    return fold(
        "Versions and provenance", tag("dl", *pairs, class_="pairs"), about=config_note or _versions(data)
    )


def _versions(data: ReportData) -> str:
    return ", ".join(f"{k} {v}" for k, v in list(data.environment.items())[:4])


def _schema(card: DataCard) -> str:
    shape = _plain(card.features)
    if not card.columns:
        return f"features {shape}"
    shown = ", ".join(card.columns[:40]) + (
        f" and {len(card.columns) - 40} more" if len(card.columns) > 40 else ""
    )
    return f"{counted(len(card.columns), 'feature')}: {shown}"


def _labels(card: DataCard) -> str:
    if not card.labels:
        return ABSENT
    ranked = list(card.labels.items())
    shown = ", ".join(f"{label}: {count(n)}" for label, n in ranked[:12])
    return f"{shown}, …" if len(ranked) > 12 else shown


def _range(card: DataCard) -> str:
    if card.label_range is None:
        return ABSENT
    low, high = card.label_range
    return f"{_plain(low)} to {_plain(high)}"


def _nested(value: Any, budget: list[int], depth: int) -> Html:
    """A mapping as a definition list, a list of mappings as numbered ones; everything else as text."""
    budget[0] -= 1
    listed = isinstance(value, (list, tuple)) and any(isinstance(v, (Mapping, list, tuple)) for v in value)
    if depth < _DEEPEST and value and (isinstance(value, Mapping) or listed):
        items = value.items() if isinstance(value, Mapping) else enumerate(value, 1)
        pairs = []
        for key, inner in items:
            if budget[0] <= 0:
                break
            pairs.append(
                tag("div", tag("dt", clip_text(str(key), 200)), tag("dd", _nested(inner, budget, depth + 1)))
            )
        return tag("dl", *pairs, class_="tree")
    return tag("code", clip_text(_plain(value), _LONGEST))


def _plain(value: Any) -> str:
    if value is None:
        return "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:g}" if math.isfinite(value) else decimal(value)
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{k}: {_plain(v)}" for k, v in value.items()) + "}"
    if isinstance(value, (list, tuple)):
        return "[" + ", ".join(_plain(v) for v in value[:100]) + (", …]" if len(value) > 100 else "]")
    return str(value)


def _numeric(values: Sequence[Any]) -> bool:
    return all(v is None or (isinstance(v, (int, float)) and not isinstance(v, bool)) for v in values)


def _cell(value: Any) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{k}: {_plain(v)}" for k, v in value.items())
    return count(value) if isinstance(value, int) and not isinstance(value, bool) else _plain(value)

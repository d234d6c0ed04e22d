"""Tables for people: what federation is worth, client by client."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich import box
from rich.console import Group
from rich.table import Table
from rich.text import Text

from hansa.report.data import WAYS, Comparison
from hansa.ui.words import short

_TITLES = {"local": "local only", "federated": "federated", "pooled": "pooled"}
_MOST_ROWS = 20


def plain_table() -> Table:
    """Return an empty table in the style that all of Hansa's tables share."""
    return Table(
        box=box.SIMPLE_HEAD,
        header_style="dim",
        pad_edge=False,
        show_edge=False,
    )


def comparison_table(comparison: Comparison) -> Group:
    """Return a title and a table of each client's metric after training alone, together, and on pooled rows.

    The best value of a row is bold. Of many clients the first 20 are shown, and the average of all.

    Args:
        comparison: What `hansa.compare` returned.
    """
    ways = [way for way in WAYS if any(way in row for row in comparison.rows.values())]
    better = "higher is better" if comparison.higher_is_better else "lower is better"
    title = Text(f"{short(comparison.metric)} on each client's own test rows", style="bold")
    title.append(f" ({better})", style="not bold dim")
    table = plain_table()
    table.add_column("client", no_wrap=True, overflow="ellipsis", max_width=24)
    table.add_column("test rows", justify="right")
    for way in ways:
        table.add_column(_TITLES[way], justify="right", no_wrap=True)
    rows = list(comparison.rows.items())
    for name, row in rows[:_MOST_ROWS]:
        tested = comparison.test_examples.get(name)
        table.add_row(Text(name), "" if tested is None else f"{tested:,}", *_cells(row, ways, comparison))
    if len(rows) > _MOST_ROWS:
        table.add_row(Text(f"… and {len(rows) - _MOST_ROWS} more", style="dim"))
    if comparison.average:
        table.add_section()
        total = sum(comparison.test_examples.values())
        table.add_row(
            Text("average", style="bold"),
            f"{total:,}" if total else "",
            *_cells(comparison.average, ways, comparison),
        )
    parts: list[Any] = [title, "", table]
    if any(row.get(way) is None for _, row in rows for way in ways):
        parts.append(Text("– not measured: the client has no rows held out", style="dim"))
    return Group(*parts)


def _cells(row: Mapping[str, float | None], ways: list[str], comparison: Comparison) -> list[Text]:
    values = {way: row.get(way) for way in ways}
    known = [value for value in values.values() if value is not None]
    best = None
    if known:
        best = max(known) if comparison.higher_is_better else min(known)
    return [
        Text("–" if v is None else f"{v:.3f}", style="bold green" if v is not None and v == best else "")
        for v in values.values()
    ]

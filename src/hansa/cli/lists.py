"""``hansa datasets`` and ``hansa recipes``."""

from __future__ import annotations

import json as json_module
import sys
from typing import Any

from rich.console import Console
from rich.text import Text

from hansa.datasets.catalogue import CATALOGUE, Entry, is_cached
from hansa.ui.tables import plain_table


def tell_datasets(*, json: bool) -> None:
    """Write what data there are."""
    if json:
        _tell_json([_dataset(entry) for entry in CATALOGUE])
        return
    table = plain_table()
    table.add_column("name")
    table.add_column("field", no_wrap=True)
    table.add_column("rows", justify="right", no_wrap=True)
    table.add_column("clients", justify="right")
    table.add_column("licence", max_width=16)
    table.add_column("where", no_wrap=True)
    for entry in CATALOGUE:
        name = Text(entry.name, style="bold")
        name.append(f"\n{entry.title}", style="not bold dim")
        place = where(entry)
        style = "green" if place in ("shipped", "cached", "installed") else "yellow"
        clients = "–" if entry.clients is None else str(entry.clients)
        licence = entry.licence.split(";")[0].split(" according")[0]
        table.add_row(name, entry.field, f"{entry.rows:,}", clients, licence, Text(place, style=style))
    console = Console(file=sys.stdout, highlight=False)
    console.print(table)
    console.print()
    console.print(
        Text(
            "– is one set of rows, to be divided among clients. Sources: hansa datasets --json",
            style="dim",
        )
    )


def where(entry: Entry) -> str:
    """Return whether a dataset is there: shipped, cached, installed, fetched on demand, or needs an extra."""
    if entry.shipped:
        return "shipped"
    bundled = "scikit-learn" in entry.source
    if is_cached(entry.name):
        return "installed" if bundled else "cached"
    return "needs sklearn" if bundled else "on demand"


def tell_recipes(*, json: bool) -> None:
    """Write what recipes there are."""
    from hansa.recipes import RECIPES

    if json:
        _tell_json(
            [
                {
                    "name": r.name,
                    "title": r.title,
                    "field": r.field,
                    "summary": r.summary,
                    "models": list(r.models),
                    "rounds": r.rounds,
                    "metric": r.metric,
                }
                for r in RECIPES.values()
            ]
        )
        return
    table = plain_table()
    for title in ("name", "field", "what", "models", "rounds"):
        table.add_column(title, no_wrap=title in ("name", "rounds"))
    for recipe in RECIPES.values():
        table.add_row(
            Text(recipe.name, style="bold"),
            recipe.field,
            Text(recipe.summary),
            ", ".join(recipe.models),
            str(recipe.rounds),
        )
    console = Console(file=sys.stdout, highlight=False)
    console.print(table)
    console.print()
    console.print(Text(f"Run one: hansa run {next(iter(RECIPES))}", style="dim"))


def _dataset(entry: Entry) -> dict[str, Any]:
    values = {name: getattr(entry, name) for name in entry.__dataclass_fields__}
    return {**values, "where": where(entry)}


def _tell_json(values: list[dict[str, Any]]) -> None:
    sys.stdout.write(json_module.dumps(values, ensure_ascii=False, indent=2) + "\n")

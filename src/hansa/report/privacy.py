"""What differential privacy promises in a run: the statement in words, and what was spent round by round."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from hansa.report.charts import Line, line_chart
from hansa.report.data import ReportData
from hansa.report.markup import Child, Html, tag
from hansa.report.tables import MOST_ROWS, Column, capped, table
from hansa.report.wording import count, decimal


def promised(data: ReportData) -> Html | None:
    """Return the promise of a run's plan of privacy; None without one."""
    told = data.guarantee
    if told is None:
        return None
    first, *rest = told.statement.replace(" = ", "\u00a0=\u00a0").split("\n")
    rows: list[list[Child]] = [[name, value] for name, value in _numbers(data)]
    columns = [Column(title="", numeric=False), Column(title="In this run")]
    numbers = table(columns, rows, caption="The promise in numbers", class_="slim", quiet=True)
    course = _course(data)
    return tag(
        "div",
        tag("p", tag("b", first)),
        tag("ul", *(tag("li", line) for line in rest), class_="facts"),
        numbers if course is None else tag("div", course, numbers, class_="grid"),
        _silos(data),
        class_="stack",
    )


def _numbers(data: ReportData) -> list[tuple[str, str]]:
    told = data.guarantee
    if told is None:
        return []
    lines = [
        ("Spent so far (ε)", decimal(told.epsilon)),
        ("Chance of more (δ)", f"{told.delta:.2g}"),
        ("Who is protected", told.protects),
        ("Neighbouring relation", told.neighbours),
        ("Noise multiplier", decimal(told.noise_multiplier)),
        ("Rounds done", f"{count(told.rounds_spent)} of {count(told.rounds_spent + told.rounds_left)}"),
        ("Status", told.status),
    ]
    if told.budget is not None:
        left = max(0.0, told.budget - told.epsilon)
        lines.insert(1, ("Budget (ε)", f"{told.budget:g}"))
        lines.insert(2, ("Left of the budget (ε)", "nothing" if left < told.budget / 1000 else decimal(left)))
    return lines


def _course(data: ReportData) -> Html | None:
    """Return ε against the round, with the budget."""
    spent = [(r.round + 1.0, r.privacy["epsilon"]) for r in data.records if "epsilon" in r.privacy]
    told = data.guarantee
    if len(spent) < 2 or told is None:
        return None
    lines = [Line(name="Spent", points=spent, tone="blue")]
    if told.budget is not None:
        ends = [(spent[0][0], told.budget), (spent[-1][0], told.budget)]
        lines.append(Line(name="Budget", points=ends, tone="grey", dashed=True))
    chart = line_chart(lines, title="Privacy loss (ε) by round")
    return tag("figure", tag("figcaption", tag("h3", "Privacy loss (ε)")), Html(chart))


def _silos(data: ReportData) -> Html | None:
    """Return what each silo spent, where single records are protected."""
    told: Any = data.config.get("privacy")
    noises = told.get("noise_multiplier") if isinstance(told, Mapping) else None
    if not isinstance(noises, Mapping) or not data.silos:
        return None
    columns = [
        Column(title="Silo", numeric=False),
        Column(title="Noise multiplier"),
        Column(title="Spent (ε)"),
    ]
    silos = list(data.silos.items())
    rows: list[list[Child]] = [
        [name, decimal(noises.get(name)), decimal(epsilon)] for name, epsilon in silos[:MOST_ROWS]
    ]
    left_out = capped(len(silos), MOST_ROWS, "silos")
    return table(
        columns, rows, caption="The ledger of each silo", left_out=left_out, class_="slim", quiet=True
    )

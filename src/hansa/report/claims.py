"""What every client proved of its data before the first round, in words; and what that does not show."""

from __future__ import annotations

from collections.abc import Mapping

from hansa.claims.terms import Terms
from hansa.errors import ConfigurationError
from hansa.report.data import ReportData
from hansa.report.markup import Child, Html, tag
from hansa.report.tables import Column, capped, table
from hansa.report.wording import count

_SHOWN = 40


def explained(data: ReportData) -> Html | None:
    """Return what clients proved of their data; None where nothing was claimed."""
    told = data.config.get("claims")
    if not isinstance(told, Mapping):
        return None
    try:
        terms = Terms.from_description(dict(told))
    except ConfigurationError:
        return None  # of another version, whose claims this page cannot put into words
    lines: list[tuple[str, str]] = [
        ("Records of each client, at least", count(terms.records)),
        ("Number of records", "told" if terms.exact else "not told"),
    ]
    lines += [
        (f"Records of class {label}, at least", count(fewest)) for label, fewest in terms.classes[:_SHOWN]
    ]
    unit = [2.0**-column.scale for column in terms.numbers]
    lines += [
        (f"Range of {column.name}", f"{column.low * one:g} to {column.high * one:g}")
        for column, one in zip(terms.numbers[:_SHOWN], unit, strict=False)
    ]
    rows: list[list[Child]] = [list(line) for line in lines]
    shown = table(
        [Column(title="", numeric=False), Column(title="Claimed")],
        rows,
        caption="What is claimed, and was proven",
        left_out=capped(len(terms.numbers), _SHOWN, "columns"),
        class_="slim",
        quiet=True,
    )
    return tag("div", tag("p", terms.explain(), class_="first"), shown)

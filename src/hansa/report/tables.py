"""Tables of the report: one shape for all, capped so that a large federation stays readable."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from hansa.report.markup import Child, Html, tag
from hansa.report.wording import count

MOST_ROWS = 100
"""Rows of a table before the rest is left out, with a note that says so."""


@dataclass(frozen=True, kw_only=True)
class Column:
    """One column of a table.

    Attributes:
        title: Its heading.
        numeric: Whether its cells are numbers, set flush right.
    """

    title: str
    numeric: bool = True


def table(
    columns: Sequence[Column],
    rows: Iterable[Sequence[Child]],
    *,
    caption: str,
    foot: Sequence[Child] | None = None,
    left_out: str = "",
    class_: str = "",
    quiet: bool = False,
) -> Html:
    """Return a table whose first column heads its rows.

    Args:
        columns: The columns; a cell is text, a number, or markup.
        rows: The cells, row by row. A cell that is a ``<td>`` of its own is kept as it is.
        caption: What the table shows; every table has one.
        foot: A last row of totals.
        left_out: A note on rows that are not shown, or empty.
        class_: A class for the table.
        quiet: Whether the caption is only spoken, where a heading above says the same.
    """
    head = tag("tr", *(tag("th", c.title, scope="col", class_=_align(c)) for c in columns))
    body = [_row(columns, row) for row in rows]
    whole = tag(
        "table",
        tag("caption", caption, class_="spoken" if quiet else None),
        tag("thead", head),
        tag("tbody", *body),
        tag("tfoot", _row(columns, foot)) if foot else None,
        class_=class_ or None,
    )
    note = tag("p", left_out, class_="note") if left_out else None
    # A region that scrolls sideways must be reachable by keyboard.
    return tag("div", tag("div", whole, class_="scroll", tabindex=0, role="region", aria_label=caption), note)


def fold(title: str, *children: Child, about: str = "") -> Html:
    """Return a part that is folded until it is opened; printing opens it."""
    note = tag("span", about, class_="about") if about else None
    return tag("details", tag("summary", tag("h3", title), note), *children)


def capped(total: int, shown: int, what: str, also: str = "") -> str:
    """Return the note on rows left out, or an empty text when all are shown.

    Example:
        >>> capped(1000, 100, "clients")
        'The first 100 of 1,000 clients are shown.'
        >>> capped(3, 100, "clients")
        ''
    """
    if total <= shown:
        return ""
    return f"The first {count(shown)} of {count(total)} {what} are shown." + (f" {also}" if also else "")


def _row(columns: Sequence[Column], cells: Sequence[Child]) -> Html:
    parts = []
    for i, (column, cell) in enumerate(zip(columns, cells, strict=True)):
        if isinstance(cell, Html) and cell.text.startswith("<td"):
            parts.append(cell)
        elif i == 0:
            parts.append(tag("th", cell, scope="row", class_=_align(column)))
        else:
            parts.append(tag("td", cell, class_=_align(column)))
    return tag("tr", *parts)


def _align(column: Column) -> str | None:
    return "n" if column.numeric else None

"""HTML and SVG that is safe by construction: plain text is escaped, only `Html` is not."""

from __future__ import annotations

import html
import re
from collections.abc import Iterable
from dataclasses import dataclass

# Characters that neither XML 1.0 nor UTF-8 can carry: C0 controls, surrogates, U+FFFE and U+FFFF.
_UNPRINTABLE = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\ud800-\udfff\ufffe\uffff]")


@dataclass(frozen=True)
class Html:
    """Markup that is already escaped.

    Attributes:
        text: The markup.
    """

    text: str


Child = Html | str | int | float | None
Attribute = str | int | float | bool | None


def escape(text: object) -> str:
    """Return a text that is safe between tags and inside double-quoted attributes, in HTML and XML.

    Example:
        >>> escape('<b title="x">')
        '&lt;b title=&quot;x&quot;&gt;'
    """
    return html.escape(_UNPRINTABLE.sub("\ufffd", str(text)), quote=True)


def tag(name: str, /, *children: Child, **attributes: Attribute) -> Html:
    """Return an element; children that are not `Html` are escaped, None is left out.

    Args:
        name: Name of the element.
        children: Content, in order.
        attributes: Attributes; a trailing underscore is dropped and others become hyphens.
            None and False are left out, True gives an empty attribute.

    Example:
        >>> tag("p", "1 < 2", class_="note", data_row=3).text
        '<p class="note" data-row="3">1 &lt; 2</p>'
    """
    head = "".join(
        f' {key.rstrip("_").replace("_", "-")}="{_value(value)}"'
        for key, value in attributes.items()
        if value is not None and value is not False
    )
    return Html(f"<{name}{head}>{join(children).text}</{name}>")


def join(children: Iterable[Child]) -> Html:
    """Return children one after the other, each escaped unless it is `Html`."""
    return Html(
        "".join(
            child.text if isinstance(child, Html) else escape(child)
            for child in children
            if child is not None
        )
    )


def short(value: float, digits: int = 1) -> str:
    """Return a coordinate with few digits, so that a page with many points stays small.

    Example:
        >>> short(12.0), short(0.25, 2), short(-0.01)
        ('12', '0.25', '0')
    """
    text = f"{value:.{digits}f}"
    text = text.rstrip("0").rstrip(".") if "." in text else text
    return "0" if text == "-0" else text


def _value(value: Attribute) -> str:
    if value is True:
        return ""
    return short(value) if isinstance(value, float) else escape(value)

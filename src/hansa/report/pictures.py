"""Small greyscale pictures as SVG text, and tables of them: what was there, and what was rebuilt."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby

import numpy as np

from hansa.errors import ConfigurationError
from hansa.report.canvas import frame
from hansa.report.markup import Html, join, short, tag
from hansa.report.tables import Column, table
from hansa.types import Array

LARGEST = 64
"""Pixels along a side, at most: each run of equal ones is an element of the page."""
_SHADES = 64


@dataclass(frozen=True, kw_only=True, eq=False)
class Picture:
    """A picture with what is said below it.

    Attributes:
        pixels: Ink, from 0 (paper) to 1, shape ``(height, width)``; what is beyond is cut, NaN is paper.
        about: A few words below, for example how near it is to the original.
        warns: Whether these words are in the colour of bad news.
    """

    pixels: Array
    about: str = ""
    warns: bool = False


def picture_svg(pixels: Array, *, title: str, standalone: bool = False) -> str:
    """Return a picture in the ink of the page, light or dark.

    Args:
        pixels: Ink, from 0 (paper) to 1, shape ``(height, width)``, 64 by 64 at most; what is beyond is cut.
        title: What it shows; said by screen readers, not drawn.
        standalone: Whether the colours travel with the drawing, for use outside a report.

    Raises:
        ConfigurationError: If it is not such a picture.

    Example:
        >>> picture_svg(np.eye(2), title="a diagonal").count("<rect")
        3
    """
    pixels = np.asarray(pixels)
    if pixels.ndim != 2 or not 0 < max(pixels.shape) <= LARGEST or 0 in pixels.shape:
        raise ConfigurationError(
            f"a picture has shape (height, width), {LARGEST} by {LARGEST} at most, got {pixels.shape}."
        )
    shades = np.rint(np.nan_to_num(pixels.astype(np.float64), nan=0.0).clip(0, 1) * _SHADES).astype(int)
    height, width = shades.shape
    paper = tag("rect", class_="hc-sheet", width=width, height=height)
    ink = join([run for y, row in enumerate(shades.tolist()) for run in _runs(row, y)])
    return frame(width, height, paper, ink, label=title, standalone=standalone)


def picture_table(
    columns: Sequence[str], rows: Sequence[tuple[str, Sequence[Picture]]], *, caption: str
) -> Html:
    """Return pictures side by side, a row for each thing that they show.

    Args:
        columns: What is above each column.
        rows: What is at the left of each row, and a picture for each column.
        caption: What the table shows, for screen readers.
    """
    heads = [Column(title="", numeric=False), *(Column(title=title, numeric=False) for title in columns)]
    cells = [
        [name, *(_cell(picture, f"{name}: {title}") for title, picture in zip(columns, row, strict=True))]
        for name, row in rows
    ]
    return table(heads, cells, caption=caption, class_="pictures", quiet=True)


def _cell(picture: Picture, title: str) -> Html:
    drawn = Html(picture_svg(picture.pixels, title=f"{title}, {picture.about}".rstrip(", ")))
    return tag("td", drawn, tag("span", picture.about, class_="bad" if picture.warns else None))


def _runs(row: list[int], y: int) -> list[Html]:
    runs, x = [], 0
    for shade, group in groupby(row):
        width = len(list(group))
        if shade:
            ink = short(shade / _SHADES, 2)
            runs.append(tag("rect", class_="hc-ink", x=x, y=y, width=width, height=1, fill_opacity=ink))
        x += width
    return runs

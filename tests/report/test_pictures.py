"""Pictures are faithful to their pixels and safe; pages made of them are as closed as a report."""

from __future__ import annotations

import xml.etree.ElementTree as ET

import numpy as np
import pytest

from hansa.errors import ConfigurationError
from hansa.report import Picture, hero, picture_svg, picture_table, section, sheet, write_page


def drawn(svg: str, shape: tuple[int, int]) -> np.ndarray:
    pixels = np.zeros(shape)
    for run in ET.fromstring(svg).iter("rect"):  # noqa: S314 - our own drawing
        if run.get("class") == "hc-ink":
            x, y, width = (int(run.attrib[k]) for k in ("x", "y", "width"))
            pixels[y, x : x + width] = float(run.attrib["fill-opacity"])
    return pixels


def test_a_picture_has_the_ink_of_its_pixels():
    pixels = np.random.default_rng(0).random((5, 7))
    np.testing.assert_allclose(drawn(picture_svg(pixels, title="a"), (5, 7)), pixels, atol=0.014)


def test_what_is_beyond_is_cut_and_nan_is_paper():
    pixels = np.array([[-1.0, 2.0, np.nan, np.inf]])
    assert drawn(picture_svg(pixels, title="a"), (1, 4)).tolist() == [[0, 1, 0, 1]]


@pytest.mark.parametrize("shape", [(4,), (0, 4), (65, 4), (2, 2, 3)])
def test_what_is_no_picture_is_refused(shape):
    with pytest.raises(ConfigurationError, match=r"\(height, width\)"):
        picture_svg(np.zeros(shape), title="a")


def test_a_page_of_pictures_escapes_and_loads_nothing(tmp_path):
    attack = "<script>alert(1)</script>"
    shown = Picture(pixels=np.eye(3), about=attack, warns=True)
    pictures = picture_table([attack], [(attack, [shown])], caption=attack)
    text = sheet(attack, attack, hero(attack, attack, attack, pictures), section(attack, attack, attack))
    assert attack not in text
    assert text.count("&lt;script&gt;") >= 10
    assert "default-src 'none'" in text
    assert text.count("<h1>") == 1
    assert not any(word in text for word in ("http://", "https://", "<img", "url("))
    assert write_page(text, tmp_path / "page.html").read_text() == text


def test_each_column_needs_its_picture():
    with pytest.raises(ValueError, match="zip"):
        picture_table(["a", "b"], [("c", [Picture(pixels=np.eye(2))])], caption="d")

"""The picture of a partition: the right kind for its size, and every example in it."""

from __future__ import annotations

import math
import xml.etree.ElementTree as ET

import pytest

from hansa.report import partition_svg

NS = "{http://www.w3.org/2000/svg}"


def parse(svg: str) -> ET.Element:
    return ET.fromstring(svg)  # noqa: S314 - our own drawing


def counts(clients: int, labels: int) -> dict[str, dict[str, int]]:
    return {f"client {i}": {str(k): (3 * i + 5 * k) % 11 for k in range(labels)} for i in range(clients)}


def boxes(svg: str, kind: str) -> list[ET.Element]:
    return [e for e in parse(svg).iter(NS + kind) if "hc-area" in e.get("class", "")]


def test_few_labels_give_bars_as_long_as_their_counts():
    svg = partition_svg({"a": {"0": 10, "1": 30}, "b": {"1": 20}})
    widths = [float(e.get("width", 0)) for e in boxes(svg, "rect") if "hc-seam" in e.get("class", "")]
    assert widths[1] == pytest.approx(3 * widths[0], rel=0.01)
    assert widths[2] == pytest.approx(2 * widths[0], rel=0.01)


def test_more_labels_give_circles_with_the_count_as_area():
    svg = partition_svg({"a": {str(k): 4 for k in range(9)} | {"9": 16}})
    radii = sorted(float(e.get("r", 0)) for e in boxes(svg, "circle"))
    assert len(radii) == 10
    assert radii[-1] == pytest.approx(2 * radii[0], rel=0.05)


@pytest.mark.parametrize(("clients", "labels"), [(1, 1), (4, 2), (30, 24), (31, 10), (200, 10), (1001, 100)])
def test_any_size_is_well_formed_and_counts_everything(clients, labels):
    table = counts(clients, labels)
    svg = partition_svg(table)
    root = parse(svg)
    total = sum(n for row in table.values() for n in row.values())
    assert f"{total:,} examples" in (root.get("aria-label") or "")
    assert len(svg) < 400_000
    assert svg == partition_svg(table)


def test_many_clients_share_columns():
    svg = partition_svg(counts(1000, 10))
    columns = [e for e in parse(svg).iter(NS + "rect") if e.get("class") == "hc-hit"]
    assert len(columns) == 200
    assert "5 clients in each column" in svg


def test_labels_are_in_the_order_of_numbers():
    svg = partition_svg({"a": {"10": 1, "9": 1, "-1": 1}})
    keys = [e.text for e in parse(svg).iter(NS + "text") if e.get("class") == "hc-key"]
    assert keys[:3] == ["label -1", "label 9", "label 10"]


def test_odd_counts_and_names_are_drawn_as_none():
    odd = {ATTACK: {"<b>": math.nan, "x": -3, "y": math.inf, "z": 2} for ATTACK in ("</svg><script>", "b")}
    svg = partition_svg(odd)
    parse(svg)
    assert "<script>" not in svg
    assert "4 examples" in svg
    parse(partition_svg({}))
    parse(partition_svg({"a": {}}))
    parse(partition_svg({"a": {"0": 0}}))


def test_a_drawing_for_a_page_brings_no_styles():
    assert "<style" in partition_svg(counts(2, 2))
    assert "<style" not in partition_svg(counts(2, 2), standalone=False)

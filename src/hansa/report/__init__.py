"""The report of a run: one HTML page that needs no network, and charts as SVG text."""

from hansa.report.charts import Band, Line, line_chart, stacked_bars
from hansa.report.data import Comparison, ReportData
from hansa.report.page import render, write_report
from hansa.report.partition import partition_svg

__all__ = [
    "Band",
    "Comparison",
    "Line",
    "ReportData",
    "line_chart",
    "partition_svg",
    "render",
    "stacked_bars",
    "write_report",
]

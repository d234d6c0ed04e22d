"""The report of a run: one HTML page that needs no network, and charts as SVG text."""

from hansa.report.charts import Band, Line, line_chart, stacked_bars
from hansa.report.data import Comparison, ReportData
from hansa.report.page import hero, render, section, sheet, write_page, write_report
from hansa.report.partition import partition_svg
from hansa.report.pictures import Picture, picture_svg, picture_table

__all__ = [
    "Band",
    "Comparison",
    "Line",
    "Picture",
    "ReportData",
    "hero",
    "line_chart",
    "partition_svg",
    "picture_svg",
    "picture_table",
    "render",
    "section",
    "sheet",
    "stacked_bars",
    "write_page",
    "write_report",
]

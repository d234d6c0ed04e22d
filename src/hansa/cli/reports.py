"""``hansa report``: the report of a run, written again from its folder."""

from __future__ import annotations

from pathlib import Path

from hansa.api.facts import read_report
from hansa.cli.declaration import declare, read_toml
from hansa.cli.job import RUN_TOML
from hansa.report.page import write_report


def rewrite_report(folder: Path) -> Path:
    """Write ``report.html`` into a run's folder again and return its path.

    Raises:
        RunError: There is no run, or it cannot be read or written.
    """
    declared = folder / RUN_TOML
    summary = declare(read_toml(declared)).run.summary if declared.is_file() else ""
    return write_report(read_report(folder, summary=summary), folder / "report.html")

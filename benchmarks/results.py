"""Keeping a benchmark's figures: ``benchmarks/results/NAME.json`` with the machine they were measured on."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from hansa.api.environment import environment


def processor() -> str:
    """Return the processor's name, where the system tells it."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


def report(name: str, figures: Mapping[str, Any], *, save: bool) -> None:
    """Print the figures as the last line, one JSON object, and keep them if asked to."""
    if save:
        path = Path(__file__).parent / "results" / f"{name}.json"
        path.parent.mkdir(exist_ok=True)
        machine = {"processor": processor(), "cores": os.cpu_count(), **environment()}
        facts = {"date": datetime.now(UTC).date().isoformat(), "machine": machine, "figures": dict(figures)}
        path.write_text(json.dumps(facts, indent=2) + "\n")
    print(json.dumps(figures))

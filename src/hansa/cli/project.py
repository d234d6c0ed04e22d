"""``hansa new``: a small project that runs at once, with synthetic data. Needs no network."""

from __future__ import annotations

import re
import shutil
import sys
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.text import Text

from hansa.errors import ConfigurationError
from hansa.rng import Seeds

_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,63}")
_FILES = {
    "run.toml.txt": "run.toml",
    "model.py.txt": "model.py",
    "train.py.txt": "train.py",
    "README.md.txt": "README.md",
    "gitignore.txt": ".gitignore",
}
_COLUMNS = ("distance_km", "weight_kg", "stops", "rain_mm", "late")
# Rows, mean distance, mean rain: the depots see different days, as parties do, of the same world.
_DEPOTS = {"north": (160, 35.0, 6.0), "south": (110, 14.0, 1.5), "west": (80, 55.0, 3.0)}


def make_project(name: str) -> Path:
    """Make a project in a new (or empty) folder and say how to go on.

    Raises:
        ConfigurationError: The name cannot be a folder's, the folder holds something, or cannot be written.
    """
    if not _NAME.fullmatch(name):
        raise ConfigurationError(
            f"{name!r} is not a project name. Names have 1 to 64 letters, digits, '-', '_' and '.', and "
            "begin with a letter, a digit or '_': for example my-federation."
        )
    folder = Path(name)
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise ConfigurationError(f"{name} exists already and is not an empty folder. Choose another name.")
    try:
        _write(folder, name)
    except OSError as error:
        shutil.rmtree(folder, ignore_errors=True)  # all in it was written here, and half a project is none
        raise ConfigurationError(f"{folder.absolute()} cannot be written: {error}.") from error
    _tell(name)
    return folder


def depot_rows(depot: str) -> list[tuple[Any, ...]]:
    """Return the synthetic rows of a depot, the same every time."""
    count, distance, rain = _DEPOTS[depot]
    stream = Seeds(2024).stream("project", depot)
    km = np.round(stream.gamma(4.0, distance / 4, count), 1)
    kg = np.round(stream.lognormal(0.8, 0.7, count), 2)
    stops = stream.poisson(5, count)
    mm = np.round(stream.exponential(rain, count), 1)
    score = 0.08 * (km - 32) + 0.6 * (stops - 5) + 0.3 * (mm - 3) + 0.3 * (kg - 2.5)
    late = stream.random(count) < 1 / (1 + np.exp(-1.5 * score))
    return list(
        zip(km.tolist(), kg.tolist(), stops.tolist(), mm.tolist(), late.astype(int).tolist(), strict=True)
    )


def _write(folder: Path, name: str) -> None:
    (folder / "data").mkdir(parents=True, exist_ok=True)
    for source, target in _FILES.items():
        text = resources.files("hansa.cli").joinpath("template", source).read_text(encoding="utf-8")
        (folder / target).write_text(text.replace("$NAME", name), encoding="utf-8")
    for depot in _DEPOTS:
        lines = [",".join(_COLUMNS), *(",".join(map(str, row)) for row in depot_rows(depot))]
        (folder / "data" / f"{depot}.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")


def _tell(name: str) -> None:
    console = Console(file=sys.stdout, highlight=False)
    console.print(Text(f"{name}: a federation of three depots with synthetic data", style="bold"))
    console.print()
    for line in (f"cd {name}", "hansa run run.toml"):
        console.print(Text(f"  {line}", style="cyan"))
    console.print()
    console.print(
        Text("Then look into run.toml and model.py, and put your own files into data/.", style="dim")
    )

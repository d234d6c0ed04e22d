"""``hansa doctor``: what is installed, what will be used and why, and whether it trains."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import json as json_module
import os
import platform
import shutil
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.text import Text

from hansa import bridge
from hansa._version import __version__
from hansa.cache import cache_folder
from hansa.cli import backend
from hansa.errors import HansaError
from hansa.ui.words import bytes_of

EXTRAS = {
    "tensorflow": ("tensorflow", "the TensorFlow backend and the TensorBoard callback"),
    "torch": ("torch", "the PyTorch backend"),
    "parquet": ("pyarrow", "Parquet files"),
    "sklearn": ("sklearn", "scikit-learn's datasets and models"),
    "ray": ("ray", "simulation on a cluster"),
    "secure": ("numba", "secure sums"),
    "privacy": ("dp_accounting", "differential privacy"),
}


def examine() -> dict[str, Any]:
    """Return what is there, by name; ``"healthy"`` is False if something needed is broken."""
    found: dict[str, Any] = {
        "hansa": __version__,
        "python": platform.python_version(),
        "keras": _version("keras"),
        "backends": {name: bridge.backend_version(name) for name in bridge.BACKENDS if _installed(name)},
        "backend": _backend(),
        "extras": {name: _installed(package) for name, (package, _) in EXTRAS.items()},
        "cache": _cache(),
        "cores": _cores(),
        "memory_bytes": _memory(),
        "disk_free_bytes": shutil.disk_usage(Path.cwd()).free,
    }
    found["training"] = _training()
    needed = (found["keras"], found["backend"]["name"], found["training"]["works"])
    found["healthy"] = all(needed) and sys.version_info >= (3, 11)
    return found


def tell_findings(found: dict[str, Any], *, json: bool) -> None:
    """Write the findings for people or for programs."""
    if json:
        sys.stdout.write(json_module.dumps(found, indent=2) + "\n")
        return
    console = Console(file=sys.stdout, highlight=False)
    for mark, name, value in _lines(found):
        style = {"✓": "green", "✗": "bold red", "–": "dim"}.get(mark, "")
        line = Text(f"{mark} ", style=style)
        line.append(f"{name:14}", style="dim")
        line.append(value)
        console.print(line, soft_wrap=True)
    console.print()
    good = found["healthy"]
    text = "Everything needed is there." if good else "Something needed is broken: see ✗ above."
    console.print(Text(text, style="green" if good else "bold red"))


def _lines(found: dict[str, Any]) -> list[tuple[str, str, str]]:
    used, trained, cache = found["backend"], found["training"], found["cache"]
    lines = [
        ("✓" if sys.version_info >= (3, 11) else "✗", "Python", found["python"]),
        ("✓", "Hansa", found["hansa"]),
        ("✓" if found["keras"] else "✗", "Keras", found["keras"] or "not installed: pip install keras"),
    ]
    for name, title in bridge.BACKENDS.items():
        there = found["backends"].get(name)
        chosen = f"  ← used: {used['why']}" if name == used["name"] else ""
        hint = f"not installed: {_pip(name)}"
        lines.append(("✓" if there else "–", title, f"{there}{chosen}" if there else hint))
    if not used["name"]:
        lines.append(("✗", "Backend", used["why"]))
    for name in (extra for extra in EXTRAS if extra not in bridge.BACKENDS):
        there = found["extras"][name]
        package, what = EXTRAS[name]
        lines.append(("✓" if there else "–", package, f"for {what}" + ("" if there else f": {_pip(name)}")))
    lines.append(
        (
            "✓" if cache["writable"] else "–",
            "Cache",
            cache["folder"] + ("" if cache["writable"] else f": {cache['why']}"),
        )
    )
    memory = "" if found["memory_bytes"] is None else f", {bytes_of(found['memory_bytes'])} memory"
    free = bytes_of(found["disk_free_bytes"])
    lines.append(("✓", "Machine", f"{found['cores']} cores{memory}, {free} free on this disk"))
    result = f"two rounds in {trained['seconds']:.1f} s" if trained["works"] else trained["why"]
    lines.append(("✓" if trained["works"] else "✗", "Training", result))
    return lines


def _pip(extra: str) -> str:
    return "pip install jax" if extra == "jax" else f"pip install '.[{extra}]' in your clone of Hansa"


def _version(distribution: str) -> str | None:
    try:
        return importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        return None


def _installed(package: str) -> bool:
    return importlib.util.find_spec(package) is not None


def _backend() -> dict[str, Any]:
    try:
        return {"name": bridge.choose_backend(), "why": backend.why()}
    except HansaError as error:
        return {"name": None, "why": str(error)}


def _cache() -> dict[str, Any]:
    """Return the cache folder and whether it, or the folder in which it would be made, can be written."""
    folder = Path()
    try:
        folder = cache_folder()
        existing = next(path for path in (folder, *folder.parents) if path.exists())
        with tempfile.TemporaryFile(dir=existing):
            return {"folder": str(folder), "writable": True, "why": None}
    except (HansaError, OSError) as error:
        return {
            "folder": str(folder),
            "writable": False,
            "why": f"{error}; set HANSA_CACHE to another folder",
        }


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _memory() -> int | None:
    try:
        total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
        limit = Path("/sys/fs/cgroup/memory.max")  # a container's own limit
        text = limit.read_text().strip() if limit.is_file() else ""
        return min(total, int(text)) if text.isdecimal() else total
    except (OSError, ValueError):
        return None


def _training() -> dict[str, Any]:
    """Train a tiny federation, to see that Keras and the backend work together here."""
    began = time.perf_counter()
    try:
        _train()
    except Exception as error:
        return {
            "works": False,
            "seconds": time.perf_counter() - began,
            "why": f"{type(error).__name__}: {error}",
        }
    return {"works": True, "seconds": time.perf_counter() - began, "why": None}


def _train() -> None:
    import numpy as np

    from hansa.api import Federation

    def build() -> Any:
        import keras

        model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1, activation="sigmoid")])
        model.compile(keras.optimizers.SGD(0.5), "binary_crossentropy", metrics=["accuracy"])
        return model

    x = np.linspace(-1, 1, 64, dtype=np.float32).reshape(32, 2)
    y = (x[:, 0] > 0).astype(np.int64)
    federation = Federation(build, {"a": (x[::2], y[::2]), "b": (x[1::2], y[1::2])})
    federation.fit(rounds=2)
    if not np.isfinite(federation.weights).all():
        raise ArithmeticError("the trained weights are not finite")

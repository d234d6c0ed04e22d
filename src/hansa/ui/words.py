"""Numbers and names in the words that progress lines use."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from hansa.types import Metrics


def number(value: float | None, *, places: int = 4) -> str:
    """Return a metric with a fixed number of decimals, in powers of ten where it is far from 1.

    Example:
        >>> number(0.51234), number(12345.6), number(0.00001), number(None), number(float("nan"))
        ('0.5123', '1.2e+04', '1.0e-05', '–', 'NaN')
    """
    if value is None:
        return "–"
    if not math.isfinite(value):
        return "NaN" if math.isnan(value) else "∞" if value > 0 else "-∞"
    size = abs(value)
    return f"{value:.1e}" if size and (size >= 1e4 or size < 0.5 * 10**-places) else f"{value:.{places}f}"


def clock(seconds: float) -> str:
    """Return a length of time as minutes and begun seconds, with hours where there are any.

    Example:
        >>> clock(0.4), clock(75), clock(7325)
        ('0:01', '1:15', '2:02:05')
    """
    minutes, rest = divmod(max(0, math.ceil(seconds)), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"


def bytes_of(amount: float) -> str:
    """Return a number of bytes in decimal units.

    Example:
        >>> bytes_of(512), bytes_of(4_200_000)
        ('512 B', '4.2 MB')
    """
    value, unit = float(amount), "B"
    for unit in ("B", "kB", "MB", "GB", "TB", "PB"):
        if value < 999.5 or unit == "PB":
            break
        value /= 1000
    return f"{value:.0f} {unit}" if unit == "B" else f"{value:.1f} {unit}"


def counted(amount: int, noun: str) -> str:
    """Return a number with its noun, as in ``1 client`` and ``4 clients``."""
    return f"{amount:,} {noun}{'' if amount == 1 else 's'}"


def main_metric(logs: Metrics, wanted: str = "") -> str:
    """Return the training metric to show beside the loss: the wanted one, else the first, else none.

    Example:
        >>> main_metric({"accuracy": 0.9, "loss": 0.3, "val_accuracy": 0.8})
        'accuracy'
    """
    names = [name for name in logs if name != "loss" and not name.startswith(("val_", "clients_val_"))]
    return wanted if wanted in names else names[0] if names else ""


def shown_logs(logs: Metrics, wanted: str = "") -> dict[str, float | None]:
    """Return the logs of a round that a line has room for: loss, the metric, and the metric in validation."""
    metric = main_metric(logs, wanted)
    names = ["loss", metric, f"val_{metric}"] if metric else ["loss", "val_loss"]
    return {name: logs.get(name) for name in names}


def short(name: str) -> str:
    """Return a log name that fits over a narrow column.

    Example:
        >>> short("val_sparse_categorical_accuracy"), short("mean_absolute_error"), short("loss")
        ('val accuracy', 'mae', 'loss')
    """
    known: Mapping[str, str] = {
        "binary_accuracy": "accuracy",
        "categorical_accuracy": "accuracy",
        "sparse_categorical_accuracy": "accuracy",
        "mean_absolute_error": "mae",
        "mean_squared_error": "mse",
        "root_mean_squared_error": "rmse",
    }
    prefix = "val " if name.startswith("val_") else ""
    bare = name.removeprefix("val_")
    return prefix + known.get(bare, bare.replace("_", " "))


def who(cohort: int, clients: int, dropped: Sequence[str], void: str = "") -> str:
    """Return how many clients took part: ``4``, ``10/100``, ``4, 1 dropped``; ``void`` for a void round."""
    if void:
        return "void"
    part = (
        f"{cohort - len(dropped)}"
        if cohort == clients and not dropped
        else f"{cohort - len(dropped)}/{clients}"
    )
    return f"{part}, {len(dropped)} dropped" if dropped else part


class Eta:
    """Estimates how long a run still takes, from the pace of its later rounds."""

    def __init__(self, *, rounds: int, done: int, now: float) -> None:
        """Begin at a time, with some rounds done already."""
        self.rounds, self.done, self._start, self._last = rounds, done, now, now
        self._pace: float | None = None
        self._seen = 0

    def round(self, now: float) -> None:
        """A round has ended. The first one, which compiles, counts only until there is another."""
        took, self._last = now - self._last, now
        self.done += 1
        self._seen += 1
        old = self._pace if self._seen > 2 else None
        self._pace = took if old is None else 0.7 * old + 0.3 * took

    def left_s(self) -> float | None:
        """Return the seconds that are left, or None before the first round."""
        return None if self._pace is None else self._pace * (self.rounds - self.done)

    def elapsed_s(self, now: float) -> float:
        """Return the seconds since the beginning."""
        return now - self._start

"""Numbers and names as people read them."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any

ABSENT = "–"
_LOWER_WORDS = ("loss", "error", "mae", "mse", "rmse", "mape", "entropy", "divergence", "perplexity", "brier")
_NOUNS = {
    "hospital": "hospitals",
    "clinic": "clinics",
    "ward": "wards",
    "practice": "practices",
    "bank": "banks",
    "factory": "factories",
    "plant": "plants",
    "phone": "phones",
    "device": "devices",
    "school": "schools",
    "city": "cities",
    "country": "countries",
    "station": "stations",
    "site": "sites",
    "party": "parties",
    "writer": "writers",
}


def finite(value: Any) -> float | None:
    """Return a number as a float, or None where it is absent, not a number, or not finite."""
    try:
        number = float(value)
    except (TypeError, ValueError, OverflowError):
        return None
    return number if math.isfinite(number) else None


def decimal(value: Any, places: int = 3) -> str:
    """Return a metric with a fixed number of decimals, or in powers of ten when far from 1.

    Example:
        >>> decimal(0.8125), decimal(-2), decimal(None), decimal(float("nan")), decimal(2.5e9)
        ('0.812', '−2.000', '–', 'NaN', '2.50e9')
    """
    number = finite(value)
    if number is None:
        return _not_finite(value)
    size = abs(number)
    if number and (size >= 1e5 or size < 0.5 * 10**-places):
        mantissa, exponent = f"{number:.2e}".split("e")
        return f"{mantissa}e{int(exponent)}".replace("-", "−")
    return f"{number:.{places}f}".replace("-", "−")


def decimals(values: Iterable[Any], *, least: int = 2, most: int = 4) -> int:
    """Return the fewest decimals at which values that differ also look different."""
    numbers = {n for n in map(finite, values) if n is not None}
    for places in range(least, most):
        if len({round(n, places) for n in numbers}) == len(numbers):
            return places
    return most


def count(value: Any) -> str:
    """Return a whole number with thousands separated, as in ``12,345``."""
    number = finite(value)
    return _not_finite(value) if number is None else f"{round(number):,}".replace("-", "−")


def counted(number: int, singular: str, plural: str = "") -> str:
    """Return a number with its noun, as in ``1 round`` and ``3 rounds``."""
    return f"{count(number)} {singular if number == 1 else plural or singular + 's'}"


def size(number: float) -> str:
    """Return a number of bytes in decimal units.

    Example:
        >>> size(512), size(4_200_000)
        ('512 B', '4.2 MB')
    """
    value, unit = float(number), "B"
    for unit in ("B", "kB", "MB", "GB", "TB", "PB"):
        if abs(value) < 999.5 or unit == "PB":
            break
        value /= 1000
    return f"{value:.0f} {unit}" if unit == "B" or value >= 99.95 else f"{value:.1f} {unit}"


def duration(seconds: float) -> str:
    """Return a length of time in the units that suit it.

    Example:
        >>> duration(0.0421), duration(12.34), duration(75), duration(7325)
        ('42 ms', '12.3 s', '1 min 15 s', '2 h 2 min')
    """
    if seconds < 0.9995:
        return f"{seconds * 1000:.0f} ms" if seconds >= 0.001 or not seconds else "under 1 ms"
    if seconds < 59.95:
        return f"{seconds:.1f} s"
    if seconds >= 1e10:
        return f"{decimal(seconds)} s"
    whole = round(seconds)
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600:,} h {whole % 3600 // 60} min"


def share(part: float, whole: float) -> str:
    """Return a part of a whole in percent, without decimals."""
    return f"{100 * part / whole:.0f}%" if whole > 0 else ABSENT


def metric_title(name: str) -> str:
    """Return a metric's log name as a title: ``binary_accuracy`` becomes ``Binary accuracy``."""
    words = name.replace("_", " ").strip()
    if words.lower() in {"auc", "mae", "mse", "rmse", "iou", "f1"}:
        return words.upper()
    return words[:1].upper() + words[1:]


def metric_words(name: str) -> str:
    """Return a metric's log name inside a sentence."""
    title = metric_title(name)
    return title if title.isupper() else title[:1].lower() + title[1:]


def higher_is_better(metric: str) -> bool:
    """Guess from its name whether a metric is better when greater; losses and errors are not."""
    words = metric.lower().split("_")
    return not any(word.startswith(low) for word in words for low in _LOWER_WORDS)


def clients_noun(names: Sequence[str]) -> tuple[str, str]:
    """Return what to call the clients, singular and plural, from a word that all names begin with.

    Example:
        >>> clients_noun(["hospital-a", "Hospital B"]), clients_noun(["a", "b"])
        (('hospital', 'hospitals'), ('client', 'clients'))
    """
    for noun, plural in _NOUNS.items():
        if names and all(_begins_with(name.lower(), noun) for name in names):
            return noun, plural
    return "client", "clients"


def clip_text(text: str, characters: int) -> str:
    """Return a text cut to a length, with an ellipsis where something was cut."""
    return text if len(text) <= characters else text[: max(characters - 1, 1)].rstrip() + "…"


def _begins_with(name: str, noun: str) -> bool:
    return name.startswith(noun) and not name[len(noun) : len(noun) + 1].isalpha()


def _not_finite(value: Any) -> str:
    if isinstance(value, float):
        return "NaN" if math.isnan(value) else ("∞" if value > 0 else "−∞")
    return ABSENT

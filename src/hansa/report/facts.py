"""What the report says in words and key numbers, derived from its data alone."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from hansa.record import RoundRecord
from hansa.report.data import Comparison, ReportData
from hansa.report.wording import (
    clients_noun,
    counted,
    decimal,
    decimals,
    finite,
    higher_is_better,
    metric_words,
)

PREFIXES = ("val_", "clients_val_")


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """The metric that tells how the run went.

    Attributes:
        metric: Its name without prefix.
        key: Its log name, or empty where no round logged it.
        where: On which rows it was measured, as words before the metric's name.
        values: Round number from 1 and finite value, in order.
        higher: Whether greater is better.
    """

    metric: str
    key: str
    where: str
    values: tuple[tuple[int, float], ...]
    higher: bool

    @property
    def final(self) -> float | None:
        """The last value."""
        return self.values[-1][1] if self.values else None

    @property
    def best(self) -> tuple[int, float] | None:
        """Round and value of the best round, the earliest of equals."""
        sign = 1 if self.higher else -1
        return max(self.values, key=lambda v: (sign * v[1], -v[0])) if self.values else None


def client_names(data: ReportData) -> list[str]:
    """Return every client that the data mentions, in the order first mentioned."""
    names: dict[str, None] = dict.fromkeys(data.cards)
    if data.comparison:
        names |= dict.fromkeys(data.comparison.rows)
    for record in data.records:
        names |= dict.fromkeys(record.cohort) | dict.fromkeys(record.clients) | dict.fromkeys(record.dropped)
    return list(names)


def metric_names(records: Iterable[RoundRecord]) -> list[str]:
    """Return the metrics that were logged, without prefixes, loss first."""
    names: dict[str, None] = {}
    for record in records:
        names |= dict.fromkeys(key.removeprefix("clients_").removeprefix("val_") for key in record.logs)
    return sorted(names, key=lambda name: name != "loss")


def logged(records: Sequence[RoundRecord], key: str) -> list[tuple[float, float]]:
    """Return the rounds (from 1) and values of a log key; not-a-number stays, absent rounds do not."""
    return [(record.round + 1, _float(record.logs[key])) for record in records if key in record.logs]


def central(records: Sequence[RoundRecord], metric: str) -> bool:
    """Return whether ``val_`` of a metric is a central set's, not just the clients' own mean again."""
    return any(
        f"val_{metric}" in r.logs and r.logs[f"val_{metric}"] != r.logs.get(f"clients_val_{metric}")
        for r in records
    )


def outcome(data: ReportData) -> Outcome:
    """Return the metric to judge the run by: the comparison's, else the first that is no loss."""
    names = metric_names(data.records)
    metric = next((name for name in names if name != "loss"), "loss")
    higher = higher_is_better(metric)
    if data.comparison:
        metric, higher = data.comparison.metric, data.comparison.higher_is_better
    own = not central(data.records, metric)
    for key, where in (
        (f"val_{metric}", "the clients’ own validation" if own else "central validation"),
        (f"clients_val_{metric}", "the clients’ own validation"),
        (metric, "training"),
    ):
        values = tuple((round(x), y) for x, y in logged(data.records, key) if finite(y) is not None)
        if values:
            return Outcome(metric=metric, key=key, where=where, values=values, higher=higher)
    return Outcome(metric=metric, key="", where="", values=(), higher=higher)


def headline(data: ReportData) -> str:
    """Return the result of the run in one sentence."""
    names = client_names(data)
    who = f"Federated training of {counted(len(names), *clients_noun(names))}"
    rounds = counted(len(data.records), "round")
    averages = comparison_averages(data.comparison) if data.comparison else {}
    together = averages.get("federated")
    if data.comparison and together is not None:
        places = decimals(averages.values(), least=3)
        sentence = (
            f"{who} reached {metric_words(data.comparison.metric)} {decimal(together, places)} "
            f"on average after {rounds}"
        )
        others = [
            f"{words} {decimal(averages[way], places)}"
            for way, words in (("local", "alone they reach"), ("pooled", "pooled data"))
            if way in averages
        ]
        return f"{sentence}; {', '.join(others)}." if others else f"{sentence}."
    result = outcome(data)
    if not data.records:
        return f"{who} ended before a round was finished."
    if result.final is None:
        return f"{who} ran for {rounds}."
    value = f"{metric_words(result.metric)} of {decimal(result.final)}"
    return f"{who} reached a {result.where.replace('the clients’ own ', '')} {value} after {rounds}."


def verdict(data: ReportData) -> str:
    """Return a second sentence: for how many clients it paid to train together."""
    comparison = data.comparison
    if comparison is None:
        return ""
    sign = 1 if comparison.higher_is_better else -1
    pairs = [(finite(row.get("local")), finite(row.get("federated"))) for row in comparison.rows.values()]
    gains = [sign * (b - a) for a, b in pairs if a is not None and b is not None]
    if not gains:
        return ""
    noun = clients_noun(list(comparison.rows))
    better, worse = sum(g > 0 for g in gains), sum(g < 0 for g in gains)
    parts = [f"Together is better than alone at {better:,} of {counted(len(gains), *noun)}"]
    if worse:
        parts.append(f"worse at {worse:,}")
    if len(gains) - better - worse:
        parts.append(f"equal at {len(gains) - better - worse:,}")
    return ", ".join(parts) + "."


def comparison_averages(comparison: Comparison) -> dict[str, float]:
    """Return the finite averages by way; where none was given, the plain mean over the clients."""
    averages: dict[str, float] = {}
    for way in ("local", "federated", "pooled"):
        values = [n for row in comparison.rows.values() if (n := finite(row.get(way))) is not None]
        average = finite(comparison.average.get(way))
        if average is None and values and way not in comparison.average:
            average = sum(values) / len(values)
        if average is not None:
            averages[way] = average
    return averages


def best_ways(row: Mapping[str, float | None], higher: bool) -> set[str]:
    """Return which of the local and federated values of a client is the better, both if equal.

    Pooled data is the reference that a federation does without, so it never wins here.
    """
    values = {way: n for way in ("local", "federated") if (n := finite(row.get(way))) is not None}
    if len(values) < 2:
        return set()
    best = max(values.values()) if higher else min(values.values())
    return {way for way, n in values.items() if n == best}


def total_seconds(data: ReportData) -> float:
    """Return how long the rounds took, all phases added up."""
    return sum(finite(s) or 0.0 for r in data.records for s in r.timings_s.values())


def last_client_values(data: ReportData, metric: str) -> tuple[dict[str, float], str]:
    """Return the last value that each client reported of a metric, and on which rows."""
    for part, where in (
        ("validation", "own validation rows"),
        ("after", "own rows, local model"),
        ("training", "training rows"),
    ):
        values = {
            name: _float(values[metric])
            for record in data.records
            for name, client in record.clients.items()
            if metric in (values := getattr(client, part))
        }
        if values:
            return values, where
    return {}, ""


def setting(config: Mapping[str, Any], *names: str) -> Any:
    """Return the first of these keys found anywhere in a nested configuration, shallow ones first."""
    level: list[Mapping[str, Any]] = [config]
    for _ in range(6):
        for name in names:
            for mapping in level:
                if mapping.get(name) is not None:
                    return mapping[name]
        level = [v for mapping in level for v in mapping.values() if isinstance(v, Mapping)]
    return None


def named(value: Any, default: str = "") -> str:
    """Return the name of a configured thing: itself if it is text, else its name, kind or type."""
    if isinstance(value, Mapping):
        return next((str(value[k]) for k in ("name", "kind", "type", "class_name") if value.get(k)), default)
    return default if value is None or isinstance(value, bool) else str(value)


def is_set(value: Any) -> bool:
    """Return whether a configured protection is on: absent, false, ``"none"`` and ``"plain"`` are off."""
    words = {"", "none", "plain", "plainsum", "plain_sum", "off", "false", "no"}
    return bool(value) and named(value, "set").lower() not in words


def _float(value: Any) -> float:
    number = finite(value)
    return float("nan") if number is None else number

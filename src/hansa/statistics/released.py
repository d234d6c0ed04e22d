"""Statistics with noise: differential privacy for single rows, told with each result.

    account = hansa.privacy.Account(budget=hansa.privacy.Budget(epsilon=1.0, delta=1e-6))
    noise = hansa.privacy.Noise(epsilon=0.2)
    age = hansa.statistics.mean(clients, columns="age", bounds=(0, 100), privacy=noise, ledger=account)
    print(age["age"], age.released)

Clients clamp their values to bounds that the user states; the secure sum adds what they hold, exactly; the
server rounds the total to a grid and adds noise of whole numbers once. A call costs its epsilon once for all
columns and cells together, so that each of many gets more noise.

How far one row moves what is released, by relation (*other row*: replace):

    statistic      released, by column                       there or not            other row
    count          values and missing ones                   1                       1 (values alone)
    total          the sum                                   max(|low|, |high|)      max(high,0) - min(low,0)
    mean           sum(x - low) and sum(high - x)            high - low, of both     2 (high - low)
    variance       as mean, and sum((x - middle)^2)          and (high-low)^2 / 4    twice as much
    histogram      all buckets, and what is outside of them  1                       2
    class_counts   all classes                               1                       2
    quantiles      two histograms: 32 parts, 1,024 buckets   1, of each              2, of each

A mean is ``low`` and ``high``, weighted with the two sums. A row moves both together by ``high - low``; a sum
and a count, each scaled to that, it would move by up to twice as much. How many rows there are is told by
*replace* and *zero-out*, which hold it to be known; so under *replace* what a row adds can be taken from the
middle of what it can add, and its event, which is stated for half of the change, is about that.

Leaks:
    To the server: what it learns without noise too (each client's part with a plain sum, else the total), for
    it draws the noise. To everyone: the result, which is noisy; clients' names and schema; which rows or
    columns cannot be used (infinite values, labels that are not classes, no rows or too few for delta).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sized
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hansa.errors import ConfigurationError
from hansa.privacy import Account, Ledger, Noise
from hansa.privacy.account import charge
from hansa.privacy.budget import check_delta_for, is_real
from hansa.privacy.events import Event
from hansa.secure_sum import SecureSum
from hansa.statistics.columns import Tables

STEPS = 1 << 20
"""Steps of the grid in the sensitivity of a sum: rounding is far below any noise."""

Paid = Ledger | Account | None
Bounds = tuple[tuple[float, float], ...]


@dataclass(frozen=True, kw_only=True, eq=False)
class Released:
    """What a statistic with noise promises, and how noisy it is.

    Attributes:
        noise: Which noise: epsilon, delta, who is protected, and the relation.
        what: What was released, in words.
        sensitivity: Most that one row moves it, by column, float64 (L1 of all cells of a column).
        deviation: Standard deviation of the noise, by column, in the same unit: of each number released.
        trust: Who sees what without noise, in words.
    """

    noise: Noise
    what: str
    sensitivity: NDArray[np.float64]
    deviation: NDArray[np.float64]
    trust: str

    @property
    def event(self) -> Event:
        """What was charged."""
        return self.noise.event

    @property
    def status(self) -> str:
        """``"enforced"``; ``"hypothetical"`` where noise follows a seed, which takes it off again."""
        return "enforced" if self.noise.seed is None else "hypothetical"

    def __str__(self) -> str:
        noise, (low, high) = self.noise, (self.deviation.min(), self.deviation.max())
        deviation = f"{low:.3g}" if low == high else f"{low:.3g} to {high:.3g}"
        return (
            f"ε = {noise.epsilon:g} at δ = {noise.delta:g} for each {noise.protects} ({noise.neighbours}), "
            f"{self.status}: {noise.law} noise of standard deviation {deviation} on {self.what}, of which a "
            f"row moves {self.sensitivity.max():.4g} at most. {self.trust}"
        )

    def describe(self) -> dict[str, Any]:
        """Return it as plain JSON values."""
        return {
            **self.noise.describe(),
            "what": self.what,
            "sensitivity": self.sensitivity.tolist(),
            "deviation": self.deviation.tolist(),
            "trust": self.trust,
            "status": self.status,
            "event": self.event.describe(),
        }


def noise_of(privacy: Any, **others: Any) -> Noise | None:
    """Return the noise that a statistic is asked for with, or None.

    Raises:
        ConfigurationError: ``privacy`` is no `Noise`, or an argument was given that goes with one.
    """
    if privacy is None:
        for name, value in others.items():
            if value is not None:
                raise ConfigurationError(f"{name} goes with noise: add privacy=Noise(epsilon=...).")
        return None
    if not isinstance(privacy, Noise):
        raise ConfigurationError(
            f"privacy must be hansa.privacy.Noise(epsilon=...) or None, got {type(privacy).__name__}."
        )
    return privacy


def refuse(privacy: Any, what: str, instead: str) -> None:
    """Raise `ConfigurationError` if noise is asked for where there can be no statement of sensitivity."""
    if privacy is not None:
        raise ConfigurationError(
            f"{what} cannot have noise that protects a row: one row can move it by any amount. {instead}"
        )


def pay(noise: Noise, ledger: Paid, held: Mapping[str, Sized]) -> None:
    """Charge one release, before anything is summed.

    Args:
        noise: The noise.
        ledger: What is charged.
        held: The rows that each client has.

    Raises:
        BudgetError: It would exceed the budget.
        ConfigurationError: A delta that says nothing about so many rows, or the ledger is none.
    """
    if noise.delta:
        check_delta_for(noise.delta, sum(map(len, held.values())), of="the rows of all clients")
    charge(ledger, noise.event, neighbours=noise.neighbours)


def released(
    noise: Noise,
    secure_sum: SecureSum,
    *,
    what: str,
    sensitivity: int,
    parts: int,
    units: NDArray[np.float64],
) -> Released:
    """Return what a release promises, for steps of the grid that are worth ``units`` by column."""
    seen = "each client's part" if secure_sum.sends_update else "the total over all clients"
    return Released(
        noise=noise,
        what=what,
        sensitivity=sensitivity * units,
        deviation=noise.deviation(sensitivity, parts) * units,
        trust=f"The server sees {seen} without noise, and adds it; the promise is to those who see results.",
    )


def noisy(
    noise: Noise, values: list[int], *, sensitivity: int, parts: int, label: str
) -> NDArray[np.float64]:
    """Return whole numbers with fresh noise, as float64: all below 2^53 in what is summed here."""
    drawn = noise.draw(sensitivity, parts, len(values), label).tolist()
    return np.array([value + more for value, more in zip(values, drawn, strict=True)], np.float64)


def bounds_of(bounds: Any, columns: tuple[str, ...]) -> Bounds:
    """Return lower and upper bound of each column's values, as float32 numbers.

    Raises:
        ConfigurationError: They are missing, not finite, or reversed; or not there for a column.
    """
    if bounds is None:
        raise ConfigurationError(
            "noise needs bounds=(low, high), which values are clamped to: without bounds one row can move a "
            "sum by any amount. They are public: take what is known of the columns, not what data say. "
            "By column: bounds={'age': (0, 100), ...}."
        )
    if isinstance(bounds, Mapping):
        lacking = [name for name in columns if name not in bounds]
        if lacking:
            raise ConfigurationError(f"bounds lack {', '.join(map(repr, lacking))}: give (low, high) for it.")
        return tuple(_pair(bounds[name]) for name in columns)
    return (_pair(bounds),) * len(columns)


def _pair(given: Any) -> tuple[float, float]:
    try:
        low, high = given
        fits = is_real(low) and is_real(high) and math.isfinite(low) and math.isfinite(high)
    except (TypeError, ValueError):
        fits, low, high = False, 0.0, 0.0
    with np.errstate(over="ignore"):
        ends = (float(np.float32(low)), float(np.float32(high))) if fits else (0.0, 0.0)
    if not ends[0] < ends[1] or not all(map(math.isfinite, ends)):
        raise ConfigurationError(
            f"bounds must be two finite float32 numbers, the lower one first, got {given!r}."
        )
    return ends


def clamped(tables: Tables, bounds: Bounds) -> Tables:
    """Return the clients' rows with values moved to the bounds where they are beyond; each client's step."""
    low, high = (np.array(ends, np.float32) for ends in zip(*bounds, strict=True))
    return Tables(
        columns=tables.columns,
        by_client={name: np.clip(table, low, high) for name, table in tables.by_client.items()},
    )

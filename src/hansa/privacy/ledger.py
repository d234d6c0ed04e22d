"""The account of a run: what was released so far, what that promises, and whether more may be released."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import suppress
from typing import Any

from hansa.errors import ConfigurationError
from hansa.privacy import losses, upstream
from hansa.privacy.accountant import Spent, spent
from hansa.privacy.budget import check_delta, check_epsilon
from hansa.privacy.events import Event, Repeated, Several, read_event
from hansa.privacy.terms import Neighbours, UnaccountableError, terms_of

_TAIL = 1e-8  # of delta, for each release: what rounding may cost
_MOST_EPSILON = 50.0  # beyond it, a tighter bound says the same: no protection


class Ledger:
    """The releases of a run, in order. It only grows.

    It keeps events, not an epsilon, so that any accountant, delta and relation can be asked afterwards. Equal
    releases in a row are one entry with a count, and a run of any length is cheap to account for.

    Which figure is shown where:

    - `running` is for the progress line: some hundredths of a second a round, and epsilon up to about 0.001
      too high in a run of 1,000 rounds;
    - `spent` is for reports and guarantees: up to some seconds, exact to about 1e-4;
    - `would_exceed` decides on the latter, and asks for it only where cheaper bounds do not say yes.

    Example:
        >>> from hansa.privacy.events import Gaussian
        >>> ledger = Ledger()
        >>> for _ in range(10):
        ...     ledger.charge(Gaussian(noise_multiplier=1.0))
        >>> round(ledger.spent(delta=1e-5, neighbours="zero-out").epsilon, 4)
        17.8566
        >>> Ledger.read(ledger.describe()) == ledger
        True
    """

    def __init__(self, events: Iterable[Event] = ()) -> None:
        """Begin with some events charged."""
        self._entries: list[tuple[Event, int]] = []
        self._courses: dict[tuple[Neighbours, float], _Course] = {}
        for event in events:
            self.charge(event)

    def charge(self, event: Event) -> None:
        """Add an event, whether or not it was within a budget."""
        one, count = (event.event, event.count) if isinstance(event, Repeated) else (event, 1)
        if self._entries and self._entries[-1][0] == one:
            count += self._entries.pop()[1]
        self._entries.append((one, count))

    @property
    def event(self) -> Event:
        """Everything so far as one event."""
        return _as_event(self._entries)

    def __len__(self) -> int:
        """Return how many events were charged."""
        return sum(count for _, count in self._entries)

    def __eq__(self, other: object) -> bool:
        """Return whether the same was charged in the same order."""
        return isinstance(other, Ledger) and self._entries == other._entries

    __hash__ = None  # type: ignore[assignment]  # it changes

    def spent(self, *, delta: float, neighbours: Neighbours) -> Spent:
        """Return what everything so far promises, as exactly as is known. May take seconds."""
        return spent(self.event, delta=delta, neighbours=neighbours)

    def running(self, *, delta: float, neighbours: Neighbours) -> Spent:
        """Return the same on a coarse grid: never too low, and quick enough for each round."""
        return self._course(delta, neighbours).at(self._entries)

    def would_exceed(self, event: Event, *, epsilon: float, delta: float, neighbours: Neighbours) -> bool:
        """Return whether one more event would be more than a budget.

        The budget was fixed before the run, and so was the noise of each event: what is released must not
        decide how much noise the next release gets.
        """
        check_epsilon(epsilon)
        after = Ledger(_times(one, count) for one, count in self._entries)
        after.charge(event)
        if self._course(delta, neighbours).at(after._entries).epsilon <= epsilon:
            return False
        return after.spent(delta=delta, neighbours=neighbours).epsilon > epsilon

    def describe(self) -> list[dict[str, Any]]:
        """Return the entries as data that JSON can hold."""
        return [_times(one, count).describe() for one, count in self._entries]

    @classmethod
    def read(cls, described: object) -> Ledger:
        """Read what `describe` returned.

        Raises:
            ConfigurationError: If it is not such a list.
        """
        if not isinstance(described, list) or not all(isinstance(entry, Mapping) for entry in described):
            raise ConfigurationError("a ledger is a list of events.")
        return cls(read_event(entry) for entry in described)

    def _course(self, delta: float, neighbours: Neighbours) -> _Course:
        check_delta(delta)
        return self._courses.setdefault((neighbours, delta), _Course(neighbours, delta))


class _Course:
    """The bounds along a run for one delta and relation. One more round is one more convolution."""

    def __init__(self, neighbours: Neighbours, delta: float) -> None:
        self._neighbours: Neighbours = neighbours
        self._delta = delta
        self._entries: list[tuple[Event, int]] = []
        self._losses: Any = None
        self._last: Spent | None = None

    def at(self, entries: list[tuple[Event, int]]) -> Spent:
        """Return the least of the quick bounds on all entries."""
        if self._last is None or entries != self._entries:
            self._last = self._least(entries)
        return self._last

    def _least(self, entries: list[tuple[Event, int]]) -> Spent:
        event = _as_event(entries)
        found: list[Spent] = []
        for how in ("exact", "sum", "rdp"):
            with suppress(UnaccountableError):
                found.append(spent(event, delta=self._delta, neighbours=self._neighbours, accountant=how))
            if found and found[-1].accountant == "exact":
                return found[-1]
        if not found or found[-1].epsilon < _MOST_EPSILON:
            with suppress(UnaccountableError):
                found.append(self._by_losses(entries))
        return min(found, key=lambda bound: bound.epsilon) if found else self._slowly(event)

    def _by_losses(self, entries: list[tuple[Event, int]]) -> Spent:
        new = _beyond(self._entries, entries)
        before = self._losses
        if new is None:
            before, new = None, entries
        self._entries, self._losses = [], None  # in case this one has no losses
        terms = terms_of(_as_event(new))
        if self._delta < losses.least_delta(terms_of(_as_event(entries))) or len(terms) > losses.MOST_TERMS:
            raise UnaccountableError("privacy losses are too costly or too inexact here.")
        after = losses.extended(before, terms, self._neighbours, self._delta * _TAIL)
        self._entries, self._losses = list(entries), after
        return Spent(
            epsilon=float(after.get_epsilon_for_delta(self._delta)),
            delta=self._delta,
            neighbours=self._neighbours,
            accountant="pld",
            version=upstream.version(),
        )

    def _slowly(self, event: Event) -> Spent:
        return spent(event, delta=self._delta, neighbours=self._neighbours, interval=losses.COARSE)


def _beyond(
    before: list[tuple[Event, int]], after: list[tuple[Event, int]]
) -> list[tuple[Event, int]] | None:
    """Return what was charged since, or None if the one is not the beginning of the other."""
    if not before:
        return after
    last = len(before) - 1
    event, count = before[last]
    if len(after) <= last or after[:last] != before[:last] or after[last][0] != event:
        return None
    more = after[last][1] - count
    if more < 0:
        return None
    return [*([(event, more)] if more else []), *after[last + 1 :]]


def _as_event(entries: list[tuple[Event, int]]) -> Event:
    parts = [_times(event, count) for event, count in entries]
    return parts[0] if len(parts) == 1 else Several(events=tuple(parts))


def _times(event: Event, count: int) -> Event:
    return Repeated(event=event, count=count) if count > 1 else event

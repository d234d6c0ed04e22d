"""What was released about people, as data: which noise, on which sample, how often.

An event says nothing of epsilon. `hansa.privacy.accountant` interprets it, so that a better accountant later
gives a better figure for the same log. Events are written to the run log as JSON and read back strictly.

Every event is stated for the neighbouring relation *zero-out*: one unit (client, silo or record) contributes
zero instead of its own clipped contribution. *Add/remove* costs the same. *Replace*, where one contribution
becomes any other, has twice the sensitivity; the accountant sees to that, and the event stays the same.

Example:
    >>> round_ = PoissonSampled(rate=0.01, event=Gaussian(noise_multiplier=1.0))
    >>> run = Repeated(event=round_, count=1000)
    >>> read_event(run.describe()) == run
    True
    >>> round_.describe()["kind"]
    'poisson-sampled'
"""

from __future__ import annotations

import dataclasses
import math
from abc import ABC
from collections.abc import Mapping
from dataclasses import MISSING, dataclass
from typing import Any, ClassVar, final

from hansa.errors import ConfigurationError, UnknownNameError

_DEEPEST = 16


@dataclass(frozen=True, kw_only=True)
class Event(ABC):
    """Something that was computed from private contributions and seen by somebody."""

    NAME: ClassVar[str]

    def describe(self) -> dict[str, Any]:
        """Return the event as data that JSON can hold; `read_event` reads it back."""
        values = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        return {
            "kind": self.NAME,
            **{name: _plain(value) for name, value in values.items() if value is not None},
        }


def _plain(value: Any) -> Any:
    if isinstance(value, Event):
        return value.describe()
    return [_plain(item) for item in value] if isinstance(value, tuple) else value


@final
@dataclass(frozen=True, kw_only=True)
class Gaussian(Event):
    """Gaussian noise on a sum of vectors, the same variance in each coordinate.

    Args:
        noise_multiplier: Standard deviation of the noise on the sum, divided by the largest L2 norm of one
            contribution (the clip). No unit; greater than 0.
    """

    NAME: ClassVar[str] = "gaussian"
    noise_multiplier: float

    def __post_init__(self) -> None:
        """Check the values."""
        _positive(self, "noise_multiplier")


@final
@dataclass(frozen=True, kw_only=True)
class Laplace(Event):
    """Laplace noise on a sum of vectors, drawn for each coordinate.

    Args:
        noise_multiplier: Scale *b* of the noise, with density exp(-abs(x)/b)/2b, divided by the largest
            L1 norm of one contribution. No unit; greater than 0. Used once it is
            1/noise_multiplier-DP with delta 0.
    """

    NAME: ClassVar[str] = "laplace"
    noise_multiplier: float

    def __post_init__(self) -> None:
        """Check the values."""
        _positive(self, "noise_multiplier")


@final
@dataclass(frozen=True, kw_only=True)
class DiscreteLaplace(Event):
    """Discrete Laplace noise on a sum of integer vectors, drawn for each coordinate.

    It is charged as the worst that is epsilon-DP. `Laplace` would say too little of several releases: a count
    with discrete noise tells a bit with odds of e^epsilon, and no continuous noise does so always.

    Args:
        epsilon: The largest L1 norm of one contribution divided by the noise's scale, both in steps of the
            grid. Used once it is epsilon-DP with delta 0; under *replace* 2 epsilon. Greater than 0.
    """

    NAME: ClassVar[str] = "discrete-laplace"
    epsilon: float

    def __post_init__(self) -> None:
        """Check the values."""
        _positive(self, "epsilon")


@final
@dataclass(frozen=True, kw_only=True)
class Pure(Event):
    """A mechanism that is epsilon-DP with delta 0, and of which nothing else is known.

    Args:
        epsilon: The greatest log-ratio of probabilities of one output under *any* two contributions of one
            unit, as in randomised response. It is therefore used as it is under all three relations.
            Greater than 0.
    """

    NAME: ClassVar[str] = "pure"
    epsilon: float

    def __post_init__(self) -> None:
        """Check the values."""
        _positive(self, "epsilon")


@final
@dataclass(frozen=True, kw_only=True)
class Skellam(Event):
    """Symmetric Skellam noise on a sum of integer vectors (Agarwal, Kairouz and Liu, 2021).

    A sum of independent Skellam variables is Skellam, so that the shares of clients add up to this noise
    exactly. All three values are in units of the integer grid.

    Args:
        variance: Variance of the total noise in each coordinate: what the shares that are certain to be in
            the sum add up to.
        l2: Largest L2 norm of one contribution after rounding to integers.
        l1: Largest L1 norm of one contribution after rounding; at most min(sqrt(dimension) * l2, l2**2).
    """

    NAME: ClassVar[str] = "skellam"
    variance: float
    l2: float
    l1: float

    def __post_init__(self) -> None:
        """Check the values."""
        for name in ("variance", "l2", "l1"):
            _positive(self, name)
        if self.l1 < self.l2 * (1 - 1e-9):
            raise ConfigurationError(
                f"l1 must be at least l2, for no vector has an L1 norm below its L2 norm; got "
                f"l1={self.l1} and l2={self.l2}."
            )

    @property
    def noise_multiplier(self) -> float:
        """The noise multiplier of Gaussian noise with the same variance, for comparison."""
        return math.sqrt(self.variance) / self.l2


@final
@dataclass(frozen=True, kw_only=True)
class PoissonSampled(Event):
    """An event on a random sample in which each unit is independently, and nobody sees who is in it.

    Args:
        rate: Probability with which each unit is in the sample, greater than 0, at most 1.
        event: What happened to the sample.
        population: Number of units from which the sample is drawn; needed with `cap`.
        cap: Greatest size of the sample. Of a larger one, `cap` units are kept at random ("truncated
            Poisson"). The accountant charges for it. None: no cap.
    """

    NAME: ClassVar[str] = "poisson-sampled"
    rate: float
    event: Event
    population: int | None = None
    cap: int | None = None

    def __post_init__(self) -> None:
        """Check the values."""
        if not _is_number(self.rate) or not 0 < self.rate <= 1:
            raise ConfigurationError(
                f"rate must be a probability greater than 0 and at most 1, got {self.rate!r}."
            )
        _event(self.event)
        if self.population is not None:
            _whole(self, "population")
        if self.cap is not None:
            _whole(self, "cap")
            if self.population is None:
                raise ConfigurationError(
                    f"cap={self.cap} needs population, the number of units from which the sample is drawn."
                )


@final
@dataclass(frozen=True, kw_only=True)
class FixedSampled(Event):
    """An event on a sample of a fixed size, drawn at random without replacement; nobody sees who is in it.

    The relation is zero-out or replace: with a cohort of fixed size the population is public, and a unit that
    is in the sample takes another's place, so that both relations are charged for a change of twice the clip.

    Args:
        population: Number of units, at least 1.
        size: Number of units in the sample, 1 to `population`.
        event: What happened to the sample.
    """

    NAME: ClassVar[str] = "fixed-sampled"
    population: int
    size: int
    event: Event

    def __post_init__(self) -> None:
        """Check the values."""
        _whole(self, "population")
        _whole(self, "size")
        if self.size > self.population:
            raise ConfigurationError(
                f"size must be at most the population of {self.population}, got {self.size}."
            )
        _event(self.event)


@final
@dataclass(frozen=True, kw_only=True)
class Repeated(Event):
    """The same event again and again, each with fresh noise; later ones may depend on earlier ones."""

    NAME: ClassVar[str] = "repeated"
    event: Event
    count: int

    def __post_init__(self) -> None:
        """Check the values."""
        _event(self.event)
        _whole(self, "count")


@final
@dataclass(frozen=True, kw_only=True)
class Several(Event):
    """Different events one after another, each with its own noise. No events at all reveal nothing."""

    NAME: ClassVar[str] = "several"
    events: tuple[Event, ...] = ()

    def __post_init__(self) -> None:
        """Check the values."""
        object.__setattr__(self, "events", tuple(self.events))
        for event in self.events:
            _event(event)


@final
@dataclass(frozen=True, kw_only=True)
class NotPrivate(Event):
    """Something was released without protection; epsilon is infinite from here on."""

    NAME: ClassVar[str] = "not-private"


_KINDS: dict[str, type[Event]] = {
    kind.NAME: kind
    for kind in (
        Gaussian,
        Laplace,
        DiscreteLaplace,
        Pure,
        Skellam,
        PoissonSampled,
        FixedSampled,
        Repeated,
        Several,
        NotPrivate,
    )
}


def read_event(described: Mapping[str, Any]) -> Event:
    """Read what `Event.describe` returned.

    Raises:
        ConfigurationError: If it is not such a description, to the last key and type.
    """
    return _read(described, depth=0)


def _read(described: Any, *, depth: int) -> Event:
    if depth > _DEEPEST:
        raise ConfigurationError(f"an event is nested more than {_DEEPEST} deep.")
    if not isinstance(described, Mapping) or not isinstance(described.get("kind"), str):
        raise ConfigurationError(f"an event is an object with the key 'kind', got {_short(described)}.")
    name = described["kind"]
    if name not in _KINDS:
        raise UnknownNameError("kind of event", name, _KINDS)
    kind = _KINDS[name]
    known = {field.name: field for field in dataclasses.fields(kind)}
    values = {key: value for key, value in described.items() if key != "kind"}
    for key in values:
        if key not in known:
            raise UnknownNameError(f"key of the event {name!r}", str(key), known)
    missing = [key for key, field in known.items() if key not in values and field.default is MISSING]
    if missing:
        raise ConfigurationError(f"the event {name!r} lacks {', '.join(missing)}.")
    if "event" in values:
        values["event"] = _read(values["event"], depth=depth + 1)
    if "events" in values:
        if not isinstance(values["events"], (list, tuple)):
            raise ConfigurationError(f"events must be a list of events, got {_short(values['events'])}.")
        values["events"] = tuple(_read(item, depth=depth + 1) for item in values["events"])
    return kind(**values)


def _positive(event: Event, name: str) -> None:
    value = getattr(event, name)
    if not _is_number(value) or not 0 < value < math.inf:
        hint = " For a release without noise write NotPrivate()." if value == 0 else ""
        raise ConfigurationError(f"{name} must be a number greater than 0, got {value!r}.{hint}")
    object.__setattr__(event, name, float(value))


def _whole(event: Event, name: str) -> None:
    value = getattr(event, name)
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise ConfigurationError(f"{name} must be a whole number of 1 or more, got {value!r}.")


def _event(value: Any) -> None:
    if not isinstance(value, Event):
        raise ConfigurationError(
            f"expected an event such as Gaussian(noise_multiplier=1.0), got {_short(value)}."
        )


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:77]}..."

"""What every plan of differential privacy is: what it protects, what it spends, and what it promises.

Privacy       any plan: whom it protects, over how many rounds, for what budget.
ClientLevel   one that protects whole clients: it owns cohort, clip, weights and denominator of the run.
Facts         what a plan has to know of the run that it belongs to.
"""

from __future__ import annotations

import abc
import dataclasses
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, ClassVar, Literal, cast

from hansa.cohort import AllClients, AtMost, Cohort, FixedSize, Poisson
from hansa.errors import ConfigurationError
from hansa.privacy import accountant, calibrate, losses, upstream
from hansa.privacy.bounds import AdaptiveClip, Capped, Clip
from hansa.privacy.budget import (
    Budget,
    Person,
    Unit,
    check_delta,
    check_delta_for,
    check_unit,
    describe_unit,
    group_of,
    is_real,
    is_whole,
    relation,
    unit_words,
)
from hansa.privacy.events import Event, FixedSampled, Gaussian, PoissonSampled, Repeated
from hansa.privacy.guarantee import Guarantee, Status
from hansa.privacy.matrix.participation import most_participations
from hansa.privacy.terms import Neighbours

Tell = Callable[[str], None]
How = Literal["best", "coarse", "rdp"]
TAIL = 13
"""Deviations beyond which noise is cut: a Gaussian is that far out with a chance of ``2**-125``."""


@dataclass(frozen=True, kw_only=True)
class Facts:
    """What a plan must know of the run that it belongs to.

    Attributes:
        population: Number of clients.
        records: Training rows by client.
        taken: In how many rounds one client has taken part, at most, after each round; empty where cohorts
            are drawn in secret.
        taken_by: The same of each client, where that matters (record level).
        steps: Minibatches of a client's local training in a round, by client (record level).
        batch_size: Expected rows of a minibatch (record level).
        size: Numbers in an update.
        bound: Largest norm of an update in steps of the grid, where updates are integers.
        fewest: Fewest clients in a sum that is opened.
        sums: Who sees what of single updates, in words.
    """

    population: int
    records: Mapping[str, int] = field(default_factory=dict)
    taken: tuple[int, ...] = ()
    taken_by: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    steps: Mapping[str, int] = field(default_factory=dict)
    batch_size: int = 0
    size: int = 0
    bound: int = 0
    fewest: int = 0
    sums: str = ""


@dataclass(frozen=True, kw_only=True)
class Privacy(abc.ABC):
    """A plan of differential privacy for a run. Exactly one of ``budget`` and ``noise_multiplier`` is given.

    Attributes:
        rounds: Rounds that the plan is for. A run of more is refused; one of fewer spends less.
        budget: What may be spent over all rounds; the noise follows from it.
        noise_multiplier: Standard deviation of the noise divided by the clip; what is spent follows from it.
        delta: With ``noise_multiplier``, at which delta epsilon is told. None takes a tenth of one over the
            number of those who are protected, 1e-5 at most.
        seed: For simulations that are to be repeated bit for bit: noise and draws follow it, and who knows it
            can take the noise off again. The guarantee says so. None takes the operating system's generator.
        facts: What the federation tells the plan of the run; not for users.
    """

    rounds: int
    budget: Budget | None = None
    noise_multiplier: float | None = None
    delta: float | None = None
    seed: int | None = None
    facts: Facts | None = field(default=None, repr=False)

    units: ClassVar[tuple[str, ...]] = ()
    """Whom it can protect."""

    def __post_init__(self) -> None:
        name = type(self).__name__
        if not is_whole(self.rounds) or self.rounds < 1:
            raise ConfigurationError(
                f"{name}.rounds must be a whole number of 1 or more, got {self.rounds!r}."
            )
        if (self.budget is None) == (self.noise_multiplier is None):
            given = "both" if self.budget is not None else "neither"
            raise ConfigurationError(
                f"{name} takes exactly one of budget=Budget(epsilon=..., delta=...) and "
                "noise_multiplier=..., "
                f"got {given}."
            )
        if self.budget is not None and not isinstance(self.budget, Budget):
            raise ConfigurationError(
                f"{name}.budget must be Budget(epsilon=..., delta=...), got {self.budget!r}."
            )
        z = self.noise_multiplier
        if z is not None and (not is_real(z) or not 0 < z < float("inf")):
            raise ConfigurationError(f"{name}.noise_multiplier must be a finite number above 0, got {z!r}.")
        if self.delta is not None:
            if self.budget is not None:
                raise ConfigurationError(f"{name}.delta goes with noise_multiplier; the budget has its own.")
            check_delta(self.delta)
        if self.seed is not None and (not is_whole(self.seed) or self.seed < 0):
            raise ConfigurationError(f"{name}.seed must be a whole number of 0 or more, got {self.seed!r}.")
        upstream.dp_accounting()

    # ------------------------------------------------------------------ what a user asks

    @property
    @abc.abstractmethod
    def noise(self) -> float:
        """The noise multiplier in use: the given one, or the least that keeps the budget."""

    @property
    @abc.abstractmethod
    def spends_delta(self) -> float:
        """The delta at which epsilon is told."""

    @abc.abstractmethod
    def spent(self, rounds: int, *, how: How = "best") -> accountant.Spent:
        """Return what so many rounds spend.

        Args:
            rounds: Number of rounds, 1 or more.
            how: ``"best"`` is the tightest bound and takes a second or so, ``"coarse"`` is a little above it
                and takes a tenth of that, ``"rdp"`` is well above and takes a millisecond.
        """

    @abc.abstractmethod
    def guarantee(self, rounds_done: int | None = None) -> Guarantee:
        """Return what is promised after so many rounds; after all that are planned if None."""

    @abc.abstractmethod
    def explain(self) -> str:
        """Return in words what is done, what is promised to whom, and what is not."""

    # ------------------------------------------------------------------ what the federation asks

    @abc.abstractmethod
    def bound(self, facts: Facts) -> Privacy:
        """Return the plan with what it has to know of its run.

        Raises:
            ConfigurationError: If it does not fit the run; with the numbers.
        """

    @abc.abstractmethod
    def describe(self) -> dict[str, Any]:
        """Return kind, settings and the noise in use, for the run's configuration."""

    @abc.abstractmethod
    def charged(self, number: int, cohort: tuple[str, ...]) -> dict[str, Any]:
        """Return what a round is charged for, as plain JSON values, for its record."""

    @abc.abstractmethod
    def settle(self, tell: Tell | None = None) -> None:
        """Find the noise that keeps the budget, which may take seconds, and tell how it goes on."""


@dataclass(frozen=True, kw_only=True)
class ClientLevel(Privacy):
    """A plan that protects whole clients. It owns cohort, clip, weights and denominator of the run.

    Attributes:
        protects: ``"client"``, ``"silo"`` or `Person`.
        neighbours: ``"zero-out"`` (a client's update is replaced by zero), ``"add/remove"`` (it is there or
            not), or ``"replace"`` (by any other). None takes the first, or ``"replace"`` where cohorts have
            a fixed size, of which nothing else can be said.
        clip: What updates are shortened to.
        participation: Who takes part in a round: None for everyone, or `Poisson`, `FixedSize`, `AtMost`.
        population: Number of clients; None takes that of the federation.
        weights: ``"uniform"``, or `Capped`: by training rows up to a cap.
    """

    protects: Unit = "client"
    neighbours: str | None = None
    clip: Clip | AdaptiveClip | float = 1.0
    participation: Cohort | None = None
    population: int | None = None
    weights: Capped | str = "uniform"

    units: ClassVar[tuple[str, ...]] = ("client", "silo")
    integers: ClassVar[bool] = False
    """Whether clients must send integers."""
    adapts: ClassVar[bool] = False
    """Whether the clip may adapt."""
    amplified: ClassVar[bool] = True
    """Whether a secret draw of the cohort makes a client's part less visible."""

    def __post_init__(self) -> None:
        super().__post_init__()
        name = type(self).__name__
        check_unit(self.protects, self.units)
        object.__setattr__(self, "participation", self.participation or AllClients())
        if is_real(self.clip):
            object.__setattr__(self, "clip", Clip(float(self.clip)))  # type: ignore[arg-type]
        if not isinstance(self.clip, (Clip, AdaptiveClip)):
            raise ConfigurationError(
                f"{name}.clip must be Clip(norm) or AdaptiveClip(...), got {self.clip!r}."
            )
        if isinstance(self.clip, AdaptiveClip) and not self.adapts:
            raise ConfigurationError(f"{name} works with a fixed clip, Clip(norm); CentralDP can adapt one.")
        if not isinstance(self.participation, Cohort):
            raise ConfigurationError(
                f"{name}.participation must be None (everyone), Poisson(rate, cap), FixedSize(n) or "
                f"AtMost(times=, min_gap=), got {self.participation!r}."
            )
        if self.weights != "uniform" and not isinstance(self.weights, Capped):
            raise ConfigurationError(
                f"{name}.weights must be 'uniform' or Capped(rows), got {self.weights!r}: the number of rows "
                "of a client is its secret too, and without a cap one client can be most of the mean."
            )
        if self.neighbours is not None:
            relation(self.neighbours)
        self._check_participation()

    def _check_participation(self) -> None:
        name, who = type(self).__name__, self.participation
        if isinstance(who, AtMost) and who.times * who.min_gap < self.rounds:
            raise ConfigurationError(
                f"AtMost(times={who.times}, min_gap={who.min_gap}) is for {who.times * who.min_gap} "
                "rounds, but "
                f"{name} is for {self.rounds}. Take times={most_participations(self.rounds, who.min_gap)}."
            )
        if isinstance(who, (FixedSize, AtMost)) and self.neighbours == "add/remove":
            raise ConfigurationError(
                f"{who} draws all anew where there is one client more, so that nobody can be added or "
                "removed alone: take neighbours='zero-out' or 'replace', or participation=Poisson(rate)."
            )
        if self.population is None:
            return
        if not is_whole(self.population) or self.population < 1:
            raise ConfigurationError(
                f"{name}.population must be a whole number of 1 or more, got {self.population!r}."
            )
        self._cohort.check(self.population)
        if isinstance(self._cohort, Poisson) and self._cohort.rate * self.population < 1:
            raise ConfigurationError(
                f"a rate of {self._cohort.rate:g} draws {self._cohort.rate * self.population:g} of "
                f"{self.population} clients on average, fewer than one. Take a higher rate."
            )
        of = "the population of clients"
        check_delta_for(self.budget.delta if self.budget else self.delta or 1e-300, self.population, of=of)

    # ------------------------------------------------------------------ what follows

    @property
    def _cohort(self) -> Cohort:
        return self.participation or AllClients()

    @property
    def _members(self) -> int:
        if self.population is None:
            raise ConfigurationError(
                f"{type(self).__name__} needs population=..., the number of clients, before there is "
                "a federation."
            )
        return self.population

    @cached_property
    def expected(self) -> float:
        """Clients of a round: the fixed number, or the expected one. The denominator of the mean."""
        who, population = self._cohort, self._members
        if isinstance(who, Poisson):
            return who.rate * population
        if isinstance(who, FixedSize):
            return float(who.size)
        return population / who.min_gap if isinstance(who, AtMost) else float(population)

    @property
    def compared(self) -> Neighbours:
        """The neighbouring relation in use."""
        fixed = self.secret_cohort and isinstance(self._cohort, FixedSize)
        return relation(self.neighbours or ("replace" if fixed else "zero-out"))

    @property
    def secret_cohort(self) -> bool:
        """Whether who takes part is drawn in secret, so that it makes a client's part less visible."""
        drawn = isinstance(self._cohort, (Poisson, FixedSize)) and self.amplified
        return drawn and not (self.facts is not None and self.facts.taken)

    @property
    def spends_delta(self) -> float:
        """The delta at which epsilon is told."""
        if self.budget is not None:
            return self.budget.delta
        return min(1e-5, 1 / (10 * self._members)) if self.delta is None else self.delta

    @property
    def noise(self) -> float:
        """The noise multiplier in use: the given one, or the least that keeps the budget."""
        return self._settled(None)

    def settle(self, tell: Tell | None = None) -> None:
        """Find the noise that keeps the budget, which may take seconds, and tell how it goes on."""
        self._settled(tell)

    def _settled(self, tell: Tell | None) -> float:
        if self.budget is None:
            return float(self.noise_multiplier or 0.0)
        found = getattr(self, "_found", None)
        if found is None:
            found = calibrate.noise_multiplier(
                lambda z: self.event(self.rounds, z),
                epsilon=self.budget.epsilon,
                delta=self.budget.delta,
                neighbours=self.compared,
                progress=tell,
            )
            object.__setattr__(self, "_found", found)
        return found

    def norm(self, adapted: float | None = None) -> float:
        """Return the norm that updates are shortened to: the adapted one of a round, where there is one."""
        return cast("Clip", self.clip).norm if adapted is None else adapted

    @property
    def largest_noise(self) -> int:
        """The most noise that a client adds to one of its integers; more has a chance below ``2**-100``."""
        return 0

    @property
    def noise_norm(self) -> int:
        """The most that the norm of a client's noise may be; more has a chance below ``2**-72``."""
        return 0

    def step(self, noise: float) -> Event:
        """Return what one release spends on one who is in it, with a noise multiplier."""
        return Gaussian(noise_multiplier=noise / group_of(self.protects))

    def event(self, rounds: int, noise: float | None = None) -> Event:
        """Return what so many rounds spend.

        Args:
            rounds: Number of rounds, 1 or more.
            noise: The noise multiplier; None takes the one in use.
        """
        step, who = self.step(self.noise if noise is None else noise), self._cohort
        if self.secret_cohort and isinstance(who, Poisson):
            one: Event = PoissonSampled(rate=who.rate, event=step, population=self._members, cap=who.cap)
            if who.cap is None:
                one = PoissonSampled(rate=who.rate, event=step)
            return Repeated(event=one, count=rounds)
        if self.secret_cohort and isinstance(who, FixedSize):
            one = FixedSampled(population=self._members, size=who.size, event=step)
            return Repeated(event=one, count=rounds)
        return Repeated(event=step, count=max(1, self.taken(rounds)))

    def taken(self, rounds: int) -> int:
        """Return in how many of the first rounds one client takes part, at most."""
        if self.facts is not None and self.facts.taken:
            return self.facts.taken[rounds - 1]
        gap = self._cohort.min_gap if isinstance(self._cohort, AtMost) else 1
        return most_participations(rounds, gap)

    def spent(self, rounds: int, *, how: How = "best") -> accountant.Spent:
        """Return what so many rounds spend."""
        return spent_on(self.event(rounds), self.spends_delta, self.compared, how)

    def bound(self, facts: Facts) -> ClientLevel:
        """Return the plan with what it has to know of its run."""
        if self.population is not None and self.population != facts.population:
            raise ConfigurationError(
                f"{type(self).__name__} is for a population of {self.population}, but there are "
                f"{facts.population} clients. Say population={facts.population}, or leave it out; for a plan "
                "of another population use its guarantee() without a federation."
            )
        return dataclasses.replace(self, population=facts.population, facts=facts)

    def describe(self) -> dict[str, Any]:
        """Return kind, settings and the noise in use, for the run's configuration."""
        budget = None if self.budget is None else dataclasses.asdict(self.budget)
        return {
            "kind": type(self).__name__,
            "protects": describe_unit(self.protects),
            "neighbours": self.compared,
            "rounds": self.rounds,
            "population": self.population,
            "budget": budget,
            "noise_multiplier": self.noise,
            "delta": self.spends_delta,
            "clip": cast("Clip", self.clip).describe(),
            "weights": self.weights if isinstance(self.weights, str) else self.weights.describe(),
            "participation": self._cohort.describe(),
            "secret_cohort": self.secret_cohort,
            "seeded": self.seed is not None,
        }

    def charged(self, number: int, cohort: tuple[str, ...]) -> dict[str, Any]:  # noqa: ARG002
        """Return what a round is charged for, as plain JSON values, for its record."""
        return {"event": self.event(number + 1).describe(), "rounds": number + 1}

    def trust(self) -> str:
        """Return who sees what without noise, in words: here where the server adds it."""
        sums = self.facts.sums if self.facts is not None else ""
        seen = "The server sees what is under the noise, which it adds itself."
        return f"{seen} {sums} The promise is to those who see the model.".replace("  ", " ")

    def notes(self) -> tuple[str, ...]:
        """Return what else a reader should know: of the draw of cohorts, and when noise drowns the update."""
        lines = []
        if self.secret_cohort:
            lines.append(
                "Who takes part is drawn in secret; the loss is told for those who do not know the draw."
            )
        elif self.facts is not None and isinstance(self._cohort, (FixedSize, Poisson)) and self.amplified:
            lines.append(
                "Who takes part follows the run's public seed, which clients check; so the draw "
                "hides nobody, "
                f"and each is charged for the {self.taken(self.rounds)} rounds at most that it takes part in."
            )
        share = self.noise / self.expected
        if share >= 0.1:
            lines.append(
                f"The noise in a mean is {share:.2g} times the clip in every coordinate. With so few clients "
                "protection of whole clients costs much: RecordDP protects single records at less cost."
            )
        return tuple(lines)

    def guarantee(self, rounds_done: int | None = None) -> Guarantee:
        """Return what is promised after so many rounds; after all that are planned if None."""
        return _promise(self, rounds_of(self, rounds_done))

    def explain(self) -> str:
        """Return in words what is done, what is promised to whom, and what is not."""
        return self.guarantee().statement


METRICS = (
    "metrics that clients measure (losses, accuracies), which are told as they are, and what follows from "
    "them: when a run stops (target, EarlyStopping), which weights it goes back to, its learning rates"
)
PREPARED = "statistics of features that preprocessing took from the rows"
CARDS = "the data cards: numbers of rows, schema and label counts of each client"
TUNING = "choices that were made by looking at results of other runs on the same data"


def rounds_of(plan: Privacy, done: int | None) -> int:
    """Return how many rounds of a plan are done: all if None.

    Raises:
        ConfigurationError: If the plan has no such number of rounds.
    """
    if done is None:
        return plan.rounds
    if not is_whole(done) or not 0 <= done <= plan.rounds:
        raise ConfigurationError(f"rounds that are done are 0 to {plan.rounds}, as planned; got {done!r}.")
    return done


def _promise(plan: ClientLevel, done: int) -> Guarantee:
    """Return what a plan promises after so many rounds."""
    spent = plan.spent(done) if done else None
    status, reasons = status_of(plan)
    return Guarantee(
        epsilon=0.0 if spent is None else spent.epsilon,
        delta=plan.spends_delta,
        protects=unit_words(plan.protects),
        neighbours=plan.compared,
        trust=plan.trust(),
        accountant="exact" if spent is None else spent.accountant,
        version=upstream.version(),
        noise_multiplier=plan.noise,
        rounds_spent=done,
        rounds_left=plan.rounds - done,
        status=status,
        reasons=reasons,
        budget=None if plan.budget is None else plan.budget.epsilon,
        notes=plan.notes(),
        not_covered=(METRICS, CARDS, PREPARED, TUNING),
    )


def status_of(plan: Privacy) -> tuple[Status, tuple[str, ...]]:
    """Return the status of a plan's promise, and why it is not better."""
    if plan.facts is None:
        return "hypothetical", ("This is a plan alone; no federation has run it.",)
    if plan.seed is not None:
        why = (
            f"Noise and draws follow the seed {plan.seed}: who knows it takes them off. For simulations only."
        )
        return "hypothetical", (why,)
    if hasattr(plan, "sharers") and not plan.facts.fewest:
        return "assumed", ("The server adds in the clear, and does not look at single updates.",)
    unit = getattr(plan, "protects", None)
    if isinstance(unit, Person):
        return "assumed", (f"Nobody's data are at more than {unit.max_clients} clients, says the plan.",)
    return "enforced", ()


def spent_on(event: Event, delta: float, neighbours: Neighbours, how: How) -> accountant.Spent:
    """Return what an event spends; ``how`` as in `Privacy.spent`."""
    which, width = ("rdp", losses.FINE) if how == "rdp" else ("best", losses.FINE)
    if how == "coarse":
        width = losses.COARSE
    return accountant.spent(event, delta=delta, neighbours=neighbours, accountant=which, interval=width)

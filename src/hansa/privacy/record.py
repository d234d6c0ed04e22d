"""RecordDP: single records are protected, by noise in every step of local training."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, final

from hansa.errors import ConfigurationError
from hansa.privacy import accountant, calibrate, upstream
from hansa.privacy.budget import (
    check_delta_for,
    check_unit,
    is_real,
    is_whole,
    relation,
)
from hansa.privacy.events import Event, Gaussian, PoissonSampled, Repeated, Several
from hansa.privacy.guarantee import Guarantee
from hansa.privacy.interface import (
    CARDS,
    METRICS,
    PREPARED,
    TUNING,
    Facts,
    How,
    Privacy,
    Tell,
    rounds_of,
    spent_on,
    status_of,
)

MOST_CALIBRATED = 6
"""Groups of silos that are accounted for apart, at most: each takes seconds."""


@final
@dataclass(frozen=True, kw_only=True)
class RecordDP(Privacy):
    """DP-SGD inside local training: each silo protects its own records, from the server and all others too.

    A minibatch is drawn anew for each step, each record with the same chance; each record's gradient is
    clipped, and noise is added before the step is taken. Each silo has a ledger of its own, for its records
    are in no other; the loss that is told is that of the worst.

    With a budget each silo adds as little noise as keeps it, so that large ones add less; with a noise
    multiplier all add the same, and large ones lose less.

    Attributes:
        protects: ``"record"``.
        neighbours: ``"zero-out"`` (a record's gradients become zero; the number of records is known),
            or ``"replace"`` (it is this record or any other). Not ``"add/remove"``: rates and steps follow
            from the number of records, which would be a secret then.
        clip: Norm that the gradient of each record is shortened to.
        microbatch: Records whose gradients are held at once; None lets the backend choose.

    Guarantees:
        Every step of a silo is a Gaussian mechanism on a Poisson sample of its records, so that all that it
        sends or keeps follows from such. What is done with updates afterwards costs nothing.

    Assumes:
        Each silo draws its secret from a good generator and keeps it. Noise in local training is float32 from
        the backend's counter-based generator under a secret key, not on a grid of integers; only what many
        steps gave together is seen.

    Source:
        Abadi et al. 2016, Deep Learning with Differential Privacy, algorithm 1.

    Example:
        >>> RecordDP(rounds=5, noise_multiplier=1.0, delta=1e-5).clip
        1.0
    """

    protects: str = "record"
    neighbours: str = "zero-out"
    clip: float = 1.0
    microbatch: int | None = None

    units: ClassVar[tuple[str, ...]] = ("record",)

    def __post_init__(self) -> None:
        super().__post_init__()
        check_unit(self.protects, self.units)
        if relation(self.neighbours) == "add/remove":
            raise ConfigurationError(
                "RecordDP takes rates and steps from the number of records, so that none can be added or "
                "removed alone: take neighbours='zero-out' (the same noise) or 'replace'."
            )
        if not is_real(self.clip) or not 0 < self.clip < math.inf:
            raise ConfigurationError(f"RecordDP.clip must be a finite number above 0, got {self.clip!r}.")
        if self.microbatch is not None and (not is_whole(self.microbatch) or self.microbatch < 1):
            raise ConfigurationError(f"RecordDP.microbatch must be 1 or more, got {self.microbatch!r}.")

    # ------------------------------------------------------------------ silos

    @property
    def _facts(self) -> Facts:
        if self.facts is None:
            raise ConfigurationError(
                "what RecordDP spends depends on the silos' numbers of records and steps: give it to a "
                "Federation, or ask `hansa privacy epsilon --records N --batch-size B --epochs E`."
            )
        return self.facts

    def rate(self, silo: str) -> float:
        """Return the chance with which a record of a silo is in a minibatch."""
        return min(1.0, self._facts.batch_size / self._facts.records[silo])

    def steps_a_round(self, silo: str) -> int:
        """Return how many steps a silo takes in a round that it takes part in."""
        return self._facts.steps[silo]

    def steps(self, silo: str, rounds: int) -> int:
        """Return how many steps a silo takes in the first rounds."""
        return self._facts.taken_by[silo][rounds - 1] * self._facts.steps[silo] if rounds else 0

    @property
    def noises(self) -> Mapping[str, float]:
        """The noise multiplier of each silo."""
        return self._settled(None)

    def settle(self, tell: Tell | None = None) -> None:
        """Find the noise that keeps the budget, which may take seconds, and tell how it goes on."""
        self._settled(tell)

    def _settled(self, tell: Tell | None) -> Mapping[str, float]:
        silos, budget = self._facts.records, self.budget
        if budget is None:
            return dict.fromkeys(silos, float(self.noise_multiplier or 0.0))
        held = getattr(self, "_found", None)
        if held is not None:
            return held
        kinds = self._kinds(self.rounds)
        found = {
            (rate, steps): calibrate.noise_multiplier(
                lambda z, rate=rate, steps=steps: _event(rate, z, steps),
                epsilon=budget.epsilon,
                delta=budget.delta,
                neighbours=relation(self.neighbours),
                progress=tell,
            )
            for rate, steps in sorted(set(kinds.values()))
            if steps
        }
        noises = {silo: found.get(kind, 1.0) for silo, kind in kinds.items()}
        object.__setattr__(self, "_found", noises)
        return noises

    def _kinds(self, rounds: int) -> dict[str, tuple[float, int]]:
        """Return rate and steps that each silo is charged for: its own, or the most of a group of silos.

        Where silos are of many sizes, those of about one size are accounted for as the one that loses most.
        """
        exact = {s: (self.rate(s), self.steps(s, rounds)) for s in self._facts.records}
        if len(set(exact.values())) <= MOST_CALIBRATED:
            return exact
        rates = [rate for rate, _ in exact.values()]
        width = math.log(max(rates) / min(rates)) / (MOST_CALIBRATED - 1) or 1.0
        group = {silo: round(math.log(rate / min(rates)) / width) for silo, (rate, _) in exact.items()}
        members = {number: [s for s in exact if group[s] == number] for number in set(group.values())}
        most = {
            number: (max(exact[s][0] for s in silos), max(exact[s][1] for s in silos))
            for number, silos in members.items()
        }
        return {silo: most[number] for silo, number in group.items()}

    @property
    def noise(self) -> float:
        """The noise multiplier in use; where silos differ, the largest."""
        return max(self.noises.values())

    @property
    def spends_delta(self) -> float:
        """The delta at which epsilon is told."""
        if self.budget is not None:
            return self.budget.delta
        if self.delta is not None:
            return self.delta
        return min(1e-5, 1 / (10 * max(self._facts.records.values())))

    def spent_by(self, rounds: int, *, how: How = "best") -> dict[str, accountant.Spent]:
        """Return what each silo has spent after so many rounds."""
        kinds = self._charged(rounds)
        told = {kind: self._spent_on(kind, how) for kind in set(kinds.values())}
        return {silo: told[kind] for silo, kind in kinds.items()}

    def spent(self, rounds: int, *, how: How = "best") -> accountant.Spent:
        """Return what the silo that has spent most has spent."""
        quick = {kind: self._spent_on(kind, "rdp") for kind in set(self._charged(rounds).values())}
        most: accountant.Spent | None = None
        for kind in sorted(quick, key=lambda kind: -quick[kind].epsilon):
            if most is not None and quick[kind].epsilon <= most.epsilon:
                break  # not even the looser bound of those that follow is above
            found = quick[kind] if how == "rdp" else self._spent_on(kind, how)
            most = found if most is None else max(most, found, key=lambda spent: spent.epsilon)
        return most or accountant.spent(
            Several(), delta=self.spends_delta, neighbours=relation(self.neighbours)
        )

    def _charged(self, rounds: int) -> dict[str, tuple[float, int, float]]:
        """Return rate, steps and noise multiplier that each silo is charged for."""
        return {silo: (*kind, self.noises[silo]) for silo, kind in self._kinds(rounds).items()}

    def _spent_on(self, kind: tuple[float, int, float], how: How) -> accountant.Spent:
        rate, steps, noise = kind
        return spent_on(_event(rate, noise, steps), self.spends_delta, relation(self.neighbours), how)

    # ------------------------------------------------------------------ the run

    def bound(self, facts: Facts) -> RecordDP:
        """Return the plan with what it has to know of its run."""
        plan = dataclasses.replace(self, facts=facts)
        most = max(facts.records.values())
        check_delta_for(plan.spends_delta, most, of="the records of the largest silo")
        return plan

    def describe(self) -> dict[str, Any]:
        """Return kind, settings and the noise in use, for the run's configuration."""
        return {
            "kind": "RecordDP",
            "protects": self.protects,
            "neighbours": self.neighbours,
            "rounds": self.rounds,
            "budget": None if self.budget is None else dataclasses.asdict(self.budget),
            "noise_multiplier": dict(self.noises),
            "delta": self.spends_delta,
            "clip": self.clip,
            "microbatch": self.microbatch,
            "seeded": self.seed is not None,
        }

    def charged(self, number: int, cohort: tuple[str, ...]) -> dict[str, Any]:
        """Return what a round is charged for, as plain JSON values: by silo that took part."""
        return {
            "silos": {
                silo: _event(self.rate(silo), self.noises[silo], self._facts.steps[silo]).describe()
                for silo in cohort
            },
            "rounds": number + 1,
        }

    def guarantee(self, rounds_done: int | None = None) -> Guarantee:
        """Return what is promised after so many rounds; after all that are planned if None."""
        done = rounds_of(self, rounds_done)
        spent = self.spent(done) if done else None
        status, reasons = status_of(self)
        return Guarantee(
            epsilon=0.0 if spent is None else spent.epsilon,
            delta=self.spends_delta,
            protects="each record of each silo",
            neighbours=self.neighbours,
            trust="The noise is added before anything leaves a silo; no server or other silo is trusted.",
            accountant="exact" if spent is None else spent.accountant,
            version=upstream.version(),
            noise_multiplier=self.noise,
            rounds_spent=done,
            rounds_left=self.rounds - done,
            status=status,
            reasons=reasons,
            budget=None if self.budget is None else self.budget.epsilon,
            notes=(
                "Each silo's records are its own; the loss told is that of the silo that has lost most. "
                "A person with records at several silos, or with several records, loses more.",
            ),
            not_covered=(METRICS, CARDS, PREPARED, TUNING),
        )

    def explain(self) -> str:
        """Return in words what is done, what is promised to whom, and what is not."""
        return self.guarantee().statement


def _event(rate: float, noise: float, steps: int) -> Event:
    if not steps:
        return Several()
    step = Gaussian(noise_multiplier=noise)
    return Repeated(event=PoissonSampled(rate=rate, event=step) if rate < 1 else step, count=steps)

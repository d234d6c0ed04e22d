"""What ``hansa privacy`` computes and says: a release from options, and its price in a plain sentence."""

from __future__ import annotations

import json as json_module
import math
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rich.console import Console
from rich.text import Text

from hansa.errors import ConfigurationError
from hansa.privacy import calibrate
from hansa.privacy.accountant import Spent, spent
from hansa.privacy.budget import check_delta
from hansa.privacy.events import Event, FixedSampled, Gaussian, PoissonSampled, Repeated
from hansa.privacy.terms import Neighbours

_CHANGE = {
    "zero-out": "whether one {unit} contributed or sent zero",
    "add/remove": "whether one {unit} took part at all",
    "replace": "which of any two contributions one {unit} made",
}


@dataclass(frozen=True, kw_only=True)
class Setting:
    """Who is sampled how, how often, and what is asked. Names are those of the options."""

    delta: float | None = None
    neighbours: Neighbours = "zero-out"
    unit: str | None = None
    rate: float | None = None
    population: int | None = None
    fixed_cohort: int | None = None
    cap: int | None = None
    rounds: int | None = None
    records: int | None = None
    batch_size: int | None = None
    epochs: float | None = None

    def __post_init__(self) -> None:
        """Check what can be checked without knowing the noise."""
        _check_sampling(self)
        if self.rounds is not None and self.rounds < 1:
            raise ConfigurationError(f"--rounds must be a whole number of 1 or more, got {self.rounds}.")
        if self.delta is None:
            raise ConfigurationError("state --delta, a probability below 1/population, as in --delta 1e-5.")
        check_delta(self.delta)
        people = self.records or self.population
        if people is not None and self.delta > 1 / people * (1 + 1e-9):
            raise ConfigurationError(
                f"--delta {self.delta:g} is above 1/{people} = {1 / people:.3g}: with such a delta, "
                f"publishing one {self.who} outright counts as private. State {0.1 / people:.0e} or less."
            )

    @property
    def who(self) -> str:
        """What is protected."""
        return self.unit or ("record" if self.records else "client")

    @property
    def steps(self) -> int:
        """How many noisy sums are released."""
        if self.rounds is not None:
            return self.rounds
        if self.epochs is not None and self.records and self.batch_size:
            return math.ceil(self.epochs * self.records / self.batch_size - 1e-9)
        raise ConfigurationError(
            "state --rounds, how many noisy sums are released (or --epochs for records)."
        )

    def release(self, noise_multiplier: float) -> Event:
        """Return one round as an event."""
        gaussian = Gaussian(noise_multiplier=noise_multiplier)
        if self.records and self.batch_size:
            return PoissonSampled(rate=self.batch_size / self.records, event=gaussian)
        if self.fixed_cohort and self.population:
            return FixedSampled(population=self.population, size=self.fixed_cohort, event=gaussian)
        if self.rate is not None:
            return PoissonSampled(rate=self.rate, event=gaussian, population=self.population, cap=self.cap)
        return gaussian

    def run(self, noise_multiplier: float, steps: int) -> Event:
        """Return so many rounds as an event."""
        return Repeated(event=self.release(noise_multiplier), count=steps)

    def sampling(self) -> str:
        """Return in words who takes part in a round."""
        if self.records and self.batch_size:
            return f"Poisson batches of about {self.batch_size:,} of {self.records:,} records"
        if self.fixed_cohort:
            return f"{self.fixed_cohort:,} of {self.population:,} {self.who}s, drawn without replacement"
        if self.rate is None:
            return f"every {self.who} in every round"
        cap = f", at most {self.cap:,} of {self.population:,} {self.who}s" if self.cap else ""
        return f"each {self.who} with probability {self.rate:g} (Poisson){cap}"


def _check_sampling(setting: Setting) -> None:
    by_record = [setting.records, setting.batch_size]
    ways = {
        "--rate": setting.rate,
        "--fixed-cohort": setting.fixed_cohort,
        "--records with --batch-size": setting.records or setting.batch_size,
    }
    given = [name for name, value in ways.items() if value is not None]
    if len(given) > 1:
        raise ConfigurationError(f"{' and '.join(given)} say different things of who is sampled; state one.")
    for name in ("population", "fixed_cohort", "cap", "records", "batch_size"):
        value = getattr(setting, name)
        if value is not None and value < 1:
            raise ConfigurationError(f"--{name.replace('_', '-')} must be 1 or more, got {value}.")
    if any(by_record) and not all(by_record):
        raise ConfigurationError("--records and --batch-size go together: the sampling rate is their ratio.")
    if setting.records and setting.batch_size and setting.batch_size > setting.records:
        raise ConfigurationError(
            f"--batch-size {setting.batch_size} is more than the {setting.records} records there are."
        )
    if setting.epochs is not None and (not setting.records or setting.rounds is not None):
        raise ConfigurationError("--epochs goes with --records and --batch-size, and instead of --rounds.")
    if setting.epochs is not None and not setting.epochs > 0:
        raise ConfigurationError(f"--epochs must be greater than 0, got {setting.epochs:g}.")
    if setting.fixed_cohort and not setting.population:
        raise ConfigurationError(
            f"--fixed-cohort {setting.fixed_cohort} needs --population: out of how many is it drawn?"
        )
    _check_cap(setting)


def _check_cap(setting: Setting) -> None:
    if setting.cap is None:
        return
    if setting.rate is None or not setting.population:
        raise ConfigurationError(f"--cap {setting.cap} goes with --rate and --population (Poisson sampling).")
    expected = setting.rate * setting.population
    if setting.cap < expected * (1 - 1e-9):
        enough = math.ceil(expected + 5 * math.sqrt(expected))
        raise ConfigurationError(
            f"--cap {setting.cap} is below the expected cohort of {expected:.4g}, so that most rounds would "
            f"be truncated, which costs privacy. From {enough} on a cap costs next to nothing."
        )


def tell_epsilon(setting: Setting, noise_multiplier: float, *, json: bool) -> None:
    """Write the epsilon of a run."""
    steps = setting.steps
    price = _spent(setting, noise_multiplier, steps)
    if json:
        _tell_json(_facts(setting, price, noise_multiplier, steps))
        return
    _tell(_sentence(setting, price, steps), _lines(setting, price, noise_multiplier, steps))


def tell_noise(setting: Setting, epsilon: float, *, json: bool) -> None:
    """Write the noise multiplier that a budget asks for."""
    steps = setting.steps
    z = calibrate.noise_multiplier(
        lambda z: setting.run(z, steps),
        epsilon=epsilon,
        delta=setting.delta or 0.0,
        neighbours=setting.neighbours,
        progress=_progress(json),
    )
    price = _spent(setting, z, steps)
    if json:
        _tell_json(
            {**_facts(setting, price, z, steps), "budget": {"epsilon": epsilon, "delta": setting.delta}}
        )
        return
    say = f"A noise multiplier of {z:g} is enough: noise with a standard deviation of {z:g} times the clip. "
    _tell(say + _sentence(setting, price, steps), _lines(setting, price, z, steps))


def tell_rounds(setting: Setting, epsilon: float, noise_multiplier: float, *, json: bool) -> None:
    """Write how many rounds fit into a budget."""
    count = calibrate.rounds(
        lambda count: setting.run(noise_multiplier, count),
        epsilon=epsilon,
        delta=setting.delta or 0.0,
        neighbours=setting.neighbours,
        progress=_progress(json),
    )
    price = _spent(setting, noise_multiplier, max(count, 1))
    budget = {"epsilon": epsilon, "delta": setting.delta}
    if json:
        _tell_json(
            {**_facts(setting, price, noise_multiplier, max(count, 1)), "rounds": count, "budget": budget}
        )
        return
    if count == 0:
        _tell(
            f"Not even one round fits into a budget of ε = {epsilon:g}: it costs ε = {_up(price.epsilon)} "
            f"(δ = {price.delta:g}, per {setting.who}, {price.neighbours}). Take more noise.",
            _lines(setting, price, noise_multiplier, 1),
        )
        return
    say = f"{count:,} rounds fit into a budget of ε = {epsilon:g}. "
    _tell(say + _sentence(setting, price, count), _lines(setting, price, noise_multiplier, count))


def tell_table(setting: Setting, noise: Sequence[float], counts: Sequence[int], *, json: bool) -> None:
    """Write epsilon for several noise multipliers and numbers of rounds."""
    rows = [[_spent(setting, z, count) for count in counts] for z in noise]
    if json:
        flat = [
            {
                "noise_multiplier": z,
                "rounds": count,
                "epsilon": _finite(price.epsilon),
                "accountant": price.accountant,
            }
            for z, row in zip(noise, rows, strict=True)
            for count, price in zip(counts, row, strict=True)
        ]
        _tell_json({**_frame(setting), "rows": flat})
        return
    from hansa.ui.tables import plain_table

    table = plain_table()
    table.add_column("noise multiplier", justify="right")
    for count in counts:
        table.add_column(f"{count:,} rounds", justify="right", no_wrap=True)
    for z, row in zip(noise, rows, strict=True):
        table.add_row(f"{z:g}", *(_up(price.epsilon) for price in row))
    console = Console(file=sys.stdout, highlight=False)
    title = f"ε at δ = {setting.delta:g} for each {setting.who}, {setting.neighbours}; {setting.sampling()}"
    console.print(Text(title, style="bold"))
    console.print()
    console.print(table)


def _spent(setting: Setting, noise_multiplier: float, steps: int) -> Spent:
    return spent(
        setting.run(noise_multiplier, steps), delta=setting.delta or 0.0, neighbours=setting.neighbours
    )


def _sentence(setting: Setting, price: Spent, steps: int) -> str:
    rounds = "one round" if steps == 1 else f"{steps:,} rounds"
    change = _CHANGE[price.neighbours].format(unit=setting.who)
    odds = f"{math.exp(price.epsilon):,.3g}" if price.epsilon < 700 else "any number"
    bound = f"ε\u00a0=\u00a0{_up(price.epsilon)} at δ\u00a0=\u00a0{price.delta:g}"
    return (
        f"After {rounds}, each {setting.who} has differential privacy with {bound} under {price.neighbours}. "
        f"That is: whoever sees every noisy sum and guesses {change} finds the odds changed by a factor of "
        f"at most {odds}, except with a probability of about {price.delta:g}."
    )


def _lines(setting: Setting, price: Spent, noise_multiplier: float, steps: int) -> list[tuple[str, str]]:
    names = {
        "exact": "closed form of the Gaussian mechanism",
        "pld": "privacy loss distributions (PLD)",
        "rdp": "Rényi differential privacy (RDP), an upper bound",
        "sum": "sum of epsilons",
    }
    return [
        ("protects", f"one {setting.who}, {price.neighbours}"),
        ("takes part", setting.sampling()),
        ("noise", f"Gaussian, {noise_multiplier:g} times the clip, on each sum"),
        ("rounds", f"{steps:,}"),
        ("accountant", f"{names[price.accountant]}, {price.version}"),
        ("holds if", "noise, clip and sampling are really like that; a calculator cannot see to it"),
    ]


def _frame(setting: Setting) -> dict[str, Any]:
    return {"delta": setting.delta, "neighbours": setting.neighbours, "unit": setting.who}


def _facts(setting: Setting, price: Spent, noise_multiplier: float, steps: int) -> dict[str, Any]:
    return {
        "epsilon": _finite(price.epsilon),
        **_frame(setting),
        "accountant": price.accountant,
        "version": price.version,
        "noise_multiplier": noise_multiplier,
        "rounds": steps,
        "event": setting.run(noise_multiplier, steps).describe(),
    }


def _finite(epsilon: float) -> float | None:
    return epsilon if math.isfinite(epsilon) else None


def _up(epsilon: float) -> str:
    """Return an epsilon with three decimals, rounded up so that what is written holds."""
    return f"{math.ceil(epsilon * 1000 - 1e-9) / 1000:.3f}" if math.isfinite(epsilon) else "∞"


def _progress(json: bool) -> Callable[[str], None] | None:
    console = Console(stderr=True, highlight=False)
    return None if json or not console.is_terminal else lambda line: console.print(Text(line, style="dim"))


def _tell(sentence: str, lines: Sequence[tuple[str, str]]) -> None:
    console = Console(file=sys.stdout, highlight=False)
    console.print(Text(sentence))
    console.print()
    for name, value in lines:
        line = Text(f"{name:12}", style="dim")
        line.append(value, style="not dim")
        console.print(line, soft_wrap=True)


def _tell_json(facts: Mapping[str, Any]) -> None:
    sys.stdout.write(json_module.dumps(facts) + "\n")

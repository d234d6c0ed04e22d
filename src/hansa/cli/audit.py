"""``hansa audit``: does the code do what a plan of privacy says?"""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Iterator
from pathlib import Path

from rich.console import Console
from rich.text import Text

from hansa.audit import BUILT_IN, Audit, Finding, Settings, audit
from hansa.cli.declaration import read_toml
from hansa.cli.job import assemble, from_target
from hansa.cli.privacy_section import privacy_of
from hansa.cli.resolve import Options
from hansa.encode import Quantise
from hansa.errors import ConfigurationError
from hansa.privacy import Privacy
from hansa.secure_sum import as_secure_sum
from hansa.ui import JsonProgress
from hansa.ui.tables import plain_table


def audits(target: str | None, settings: Settings) -> Iterator[Audit]:
    """Audit the plan of a TOML file or a recipe, or all plans that Hansa brings, one after another.

    Args:
        target: The file or recipe, or None.
        settings: How audits are made.

    Raises:
        ConfigurationError: The file has no plan of privacy, or one that cannot be.
    """
    if target is None:
        for name, plan in BUILT_IN.items():
            yield audit(plan, settings, name=name)
        return
    plan, quantise = _planned(target)
    yield audit(plan, dataclasses.replace(settings, quantise=quantise), name=Path(target).name)


def _planned(target: str) -> tuple[Privacy, Quantise | None]:
    """Return the plan of a file, and how updates become integers there.

    Where the file declares a whole run, the plan is bound to it, so that noise for a budget is the run's.
    """
    raw = {} if Path(target).suffix != ".toml" else read_toml(Path(target))
    if raw and set(raw) <= {"run", "privacy"} and "privacy" in raw:
        return privacy_of(raw["privacy"], raw.get("run", {}).get("rounds", 1)), None
    if raw and "privacy" not in raw:
        raise ConfigurationError(
            f"{target} has no section [privacy], so that there is nothing to audit. Leave the file out to "
            "audit the plans that Hansa brings."
        )
    federation = assemble(from_target(target, Options())).federation
    if federation.privacy is None:
        raise ConfigurationError(f"{target} has no plan of privacy, so that there is nothing to audit.")
    integers = federation.quantise
    if integers is None and not federation.secure_sum.sends_update:
        integers = Quantise()
    return federation.plan().private, integers


def settings_of(*, canaries: int, rounds: int, seed: int | None, secure_sum: str) -> Settings:
    """Return how audits are made, for what the command line says."""
    if seed is not None and seed < 0:
        raise ConfigurationError(f"--seed must be 0 or more, got {seed}.")
    return Settings(canaries=canaries, rounds=rounds, seed=seed, secure_sum=as_secure_sum(secure_sum))


def tell(made: Iterator[Audit], *, json: bool, full: bool) -> bool:
    """Write audits, and return whether all are green.

    Args:
        made: The audits, made as they are asked for.
        json: Whether to write JSON, else tables for people.
        full: Whether to write the table of a green one too, else a line.
    """
    if json:
        failed = 0
        for each in made:
            JsonProgress().write({"event": "audit", **each.describe()})
            failed += not each.passed
        return not failed
    console = Console(file=sys.stdout, highlight=False)
    passed = [_tell_one(console, each, full=full or not each.passed) for each in made]
    wrong = passed.count(False)
    told = (
        "nothing contradicts the plans" if not wrong else f"{wrong} of {len(passed)} do not do what they say"
    )
    console.print(Text(told, style="bold red" if wrong else "green"))
    return not wrong


def _tell_one(console: Console, made: Audit, *, full: bool) -> bool:
    mark, style = ("✓", "green") if made.passed else ("✗", "bold red")
    title = Text(f"{mark} {made.plan}", style=style)
    asked = sum(not finding.skipped for finding in made.findings)
    told = (
        f"  {asked} questions; claimed ε {made.claimed:.3g}, proven ε {made.proven:.3g} at δ {made.delta:.2g}"
    )
    title.append(told, style="not bold dim")
    console.print(title)
    if not full:
        return made.passed
    table = plain_table()
    for name in ("", "question", "found", "allowed"):
        table.add_column(name, no_wrap=name in ("", "allowed"))
    for finding in made.findings:
        table.add_row(*_row(finding))
    console.print(table)
    console.print()
    return made.passed


def _row(finding: Finding) -> tuple[Text, str, Text, str]:
    if finding.skipped:
        return Text("–", style="dim"), finding.name, Text(f"not asked: {finding.skipped}", style="dim"), ""
    good = finding.passed
    mark = Text("✓" if good else "✗", style="green" if good else "bold red")
    return mark, finding.name, Text(finding.words, style="" if good else "bold red"), finding.allowed

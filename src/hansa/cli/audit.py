"""``hansa audit``: does the code do what a plan of privacy says?"""

from __future__ import annotations

import dataclasses
import json as json_module
import sys
from collections.abc import Iterator
from pathlib import Path

from rich.console import Console
from rich.text import Text

from hansa.audit import BUILT_IN, Audit, Finding, Settings, audit
from hansa.cli.job import assemble, from_target
from hansa.cli.resolve import Options
from hansa.encode import Quantise
from hansa.errors import ConfigurationError
from hansa.privacy import Privacy
from hansa.secure_sum import as_secure_sum
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
    """Return the plan of a file, bound to its run, and how updates become integers there."""
    federation = assemble(from_target(target, Options())).federation
    if federation.privacy is None:
        raise ConfigurationError(
            f"{target} declares no plan of privacy, so there is nothing to audit. Add one, for example\n\n"
            '[privacy]\nkind = "central"\nepsilon = 8.0\ndelta = 1e-5\n\n'
            "or run hansa audit without a file for the plans that Hansa brings."
        )
    plan = federation.plan().private
    integers = federation.quantise
    if integers is None and not federation.secure_sum.sends_update:
        integers = Quantise()
    return plan, integers


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
        told = [each.describe() for each in made]
        passed = all(each["passed"] for each in told)
        sys.stdout.write(json_module.dumps({"passed": passed, "audits": told}, indent=2) + "\n")
        return passed
    console = Console(file=sys.stdout, highlight=False)
    failed = []
    for each in made:
        _tell_one(console, each, full=full or not each.passed)
        failed += [each.plan] * (not each.passed)
    text = "The code does what the plan says, as far as canaries can see."
    if failed:
        text = f"The code does NOT do what the plan says: {'; '.join(failed)}. See ✗ above."
    console.print()
    console.print(Text(text, style="bold red" if failed else "green"))
    return not failed


def _tell_one(console: Console, made: Audit, *, full: bool) -> None:
    mark, style = ("✓", "green") if made.passed else ("✗", "bold red")
    title = Text(f"{mark} {made.plan}", style=style)
    asked = sum(not finding.skipped for finding in made.findings)
    told = f"  {asked} questions, ε = {made.claimed:.2f} told, {made.proven:.2f} proven"
    title.append(told, style="not bold dim")
    console.print(title)
    if not full:
        return
    table = plain_table()
    for name in ("", "question", "found", "allowed"):
        table.add_column(name, no_wrap=name in ("", "allowed"))
    for finding in made.findings:
        table.add_row(*_row(finding))
    console.print(table)


def _row(finding: Finding) -> tuple[Text, str, Text, str]:
    if finding.skipped:
        return Text("–", style="dim"), finding.name, Text(f"not asked: {finding.skipped}", style="dim"), ""
    good = finding.passed
    mark = Text("✓" if good else "✗", style="green" if good else "bold red")
    return mark, finding.name, Text(finding.words, style="" if good else "bold red"), finding.allowed

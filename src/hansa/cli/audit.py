"""``hansa audit``: does the code do what a plan of privacy says?"""

from __future__ import annotations

from pathlib import Path

from rich.console import Console
from rich.table import Table
from rich.text import Text

from hansa.audit import BUILT_IN, Audit, Settings, audit
from hansa.cli.declaration import read_toml
from hansa.cli.privacy_section import privacy_of
from hansa.errors import ConfigurationError
from hansa.privacy import ClientLevel, Privacy
from hansa.ui import JsonProgress


def audits(target: str, *, canaries: int, rounds: int, seed: int | None) -> list[Audit]:
    """Audit the plan of a TOML file, or all plans that Hansa brings.

    Args:
        target: The file; empty for all plans.
        canaries: Clients that send a canary, or not.
        rounds: Rounds of each audit.
        seed: Makes it repeatable; None does not.

    Raises:
        ConfigurationError: The file has no plan, or one of single records.
    """
    settings = Settings(canaries=canaries, rounds=rounds, seed=seed)
    plans = BUILT_IN if not target else {Path(target).name: _plan_of(Path(target), rounds)}
    return [audit(plan, settings, name=name) for name, plan in plans.items()]


def _plan_of(path: Path, rounds: int) -> Privacy:
    raw = read_toml(path)
    if "privacy" not in raw:
        raise ConfigurationError(
            f"{path} has no section [privacy], so that there is nothing to audit. Leave the file out to "
            "audit the plans that Hansa brings."
        )
    plan = privacy_of(raw["privacy"], raw.get("run", {}).get("rounds", rounds))
    if not isinstance(plan, ClientLevel):
        raise ConfigurationError(
            f"{path} protects single records, in the steps of local training; an audit sends whole updates "
            "as canaries, and can look at plans that protect clients."
        )
    return plan


def tell_audits(done: list[Audit], *, json: bool) -> None:
    """Write audits for people or for programs."""
    if json:
        for each in done:
            JsonProgress().write({"event": "audit", **each.describe()})
        return
    console = Console(highlight=False)
    for each in done:
        mark, style = ("✓", "green") if each.passed else ("✗", "red")
        console.print(Text(f"{mark} {each.plan}", style=f"bold {style}"))
        console.print(
            Text(f"  claimed ε {each.claimed:.3g}, proven ε {each.proven:.3g} at δ {each.delta:.2g}", "dim")
        )
        console.print(_findings(each))
        console.print()
    wrong = sum(not each.passed for each in done)
    told = "nothing contradicts the plans" if not wrong else f"{wrong} of {len(done)} do not do what they say"
    console.print(Text(told, style="green" if not wrong else "red"))


def _findings(told: Audit) -> Table:
    table = Table.grid(padding=(0, 1))
    table.add_column(width=3)
    table.add_column(no_wrap=True)
    for finding in told.findings:
        mark = "-" if finding.skipped else "✓" if finding.passed else "✗"
        style = "dim" if finding.skipped else "green" if finding.passed else "red"
        allowed = f" (allowed: {finding.allowed})" if finding.allowed and not finding.skipped else ""
        words = Text(finding.skipped or finding.words, "dim" if finding.skipped else "")
        table.add_row(Text(f"  {mark}", style), finding.name, words.append(allowed, "dim"))
    return table

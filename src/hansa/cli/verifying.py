"""``hansa verify`` and ``hansa export``: what a verification has shown, for people and for programs."""

from __future__ import annotations

import json as json_module
import sys
from pathlib import Path

from rich.console import Console
from rich.table import Table
from rich.text import Text

from hansa.ui.tables import plain_table
from hansa.ui.words import counted
from hansa.verification import RoundCheck, Verification, verify

MOST_ROWS = 40
_STYLES = {"verified": "bold green", "intact": "bold yellow", "failed": "bold red"}
_STEPS = {"exact": "bit for bit", "close": "to 1e-4", "": "–"}
_ENDS = {
    "verified": "every signature, proof, sum and server step holds",
    "intact": "nothing is at odds, but not all could be checked",
    "failed": "the log is at odds with itself",
}


def check(run: Path, *, head: str, roster: str, json: bool) -> Verification:
    """Verify a run and tell what it has shown."""
    if json:
        found = verify(run, head=head, roster=roster)
        json_module.dump(found.to_json(), sys.stdout, indent=1)
        sys.stdout.write("\n")
        return found
    with Console(stderr=True).status("reading the log") as status:
        found = verify(
            run,
            head=head,
            roster=roster,
            progress=lambda done, of: status.update(f"checked round {done} of {of}"),
        )
    tell(found)
    return found


def tell(found: Verification, console: Console | None = None) -> None:
    """Write what a verification has shown."""
    console = Console(file=sys.stdout, highlight=False) if console is None else console
    if found.title:
        console.print(Text(printable(found.title), style="bold"))
    if found.rounds:
        console.print()
        console.print(_table(found.rounds))
    for line in left_out(found.rounds):
        console.print(Text(printable(line), style="yellow"), soft_wrap=True)
    console.print()
    for name, value in _facts(found):
        line = Text(f"{name:9}", style="dim")
        line.append(printable(value))
        console.print(line, soft_wrap=True)
    for text in (*(f"Not checked: {why}." for why in found.unchecked), *found.notes):
        console.print(Text(printable(text.replace("..", ".")), style="dim"), soft_wrap=True)
    console.print()
    verdict = Text(found.verdict.upper(), style=_STYLES[found.verdict])
    verdict.append(f"  {_ENDS[found.verdict]} ({found.seconds:.1f} s)", style="not bold")
    console.print(verdict, soft_wrap=True)
    if found.failure:
        console.print(Text(printable(found.failure), style="red"), soft_wrap=True)


def printable(text: str) -> str:
    """Return a text of a log without what would steer a terminal: whoever wrote it may be hostile."""
    return "".join(
        letter if letter.isprintable() or letter == "\n" else "\N{REPLACEMENT CHARACTER}" for letter in text
    )


def left_out(rounds: tuple[RoundCheck, ...]) -> list[str]:
    """Return a line for each client that was left out of a sum, and for each void round."""
    lines = []
    for check in rounds:
        if check.void:
            lines.append(f"round {check.round} is void: {check.void}")
            continue
        lines += [f"round {check.round}: {name} is left out: {why}" for name, why in check.left_out.items()]
    return lines if len(lines) <= MOST_ROWS else [*lines[:MOST_ROWS], f"… and {len(lines) - MOST_ROWS} more"]


def _table(rounds: tuple[RoundCheck, ...]) -> Table:
    table = plain_table()
    table.add_column("round", justify="right")
    table.add_column("in the sum", justify="right")
    table.add_column("proofs", justify="right")
    table.add_column("sums")
    table.add_column("server step")
    private = any(check.epsilon is not None for check in rounds)
    if private:
        table.add_column("ε so far", justify="right")
    table.add_column("model")
    shown = rounds if len(rounds) <= MOST_ROWS else (*rounds[: MOST_ROWS // 2], *rounds[-MOST_ROWS // 2 :])
    for number, check in enumerate(shown):
        if len(shown) < len(rounds) and number == MOST_ROWS // 2:
            table.add_row("…", *[""] * (5 + private))
        summed = "–" if check.summed is None else f"{check.summed} of {check.clients}"
        sums = Text("void", style="yellow") if check.void else Text("added up" if check.sums else "–")
        step = "unchanged" if check.void and check.step else _STEPS[check.step]
        row = [str(check.round), summed, str(check.proofs or "–"), sums, step]
        row += ["–" if check.epsilon is None else f"{check.epsilon:.3f}"] if private else []
        table.add_row(*row, Text(printable(check.model_hash[:12]), style="dim"))
    return table


def _facts(found: Verification) -> list[tuple[str, str]]:
    facts = [("Rounds", _ended(found))]
    if found.proves:
        facts.append(("Proven", found.proves.strip()))
    if found.claims:
        facts.append(("Claims", found.claims))
    if found.head:
        facts.append(("Log", f"head {found.head}"))
    if found.roster:
        facts.append(("Roster", f"{found.roster}  (compare both with what a party tells you)"))
    return facts


def _ended(found: Verification) -> str:
    rounds = counted(len(found.rounds), "round")
    if not found.ok:
        return f"{rounds} hold; then the check stopped"
    return (
        f"{rounds}, {found.finished}" if found.finished else f"{rounds}; the log has no end: more may follow"
    )

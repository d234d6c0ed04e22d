"""Progress on a terminal: a line for each round, and a live line below with what is left."""

from __future__ import annotations

import math
import time

from rich.console import Console
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.spinner import Spinner
from rich.table import Table
from rich.text import Text

from hansa.record import RoundRecord
from hansa.ui.words import Eta, clock, counted, number, short, shown_logs, who

_MOST_LINES = 40
_GOOD, _SOFT, _MAIN = "green", "dim", "bold"


class TerminalProgress:
    """Shows rounds as aligned lines, and one live line with a bar, the latest values and the time left.

    Runs of more than 40 rounds keep a line for every second, fifth, tenth ... round; the live line
    shows each.
    """

    def __init__(self, console: Console | None = None, *, metric: str = "", why: str = "") -> None:
        """Set it up.

        Args:
            console: Where to draw; a console on standard output if None.
            metric: The metric to show; the first of the logs if empty.
            why: Why this backend is used, told in the first line.
        """
        self._console = Console(highlight=False) if console is None else console
        self._metric, self._why = metric, why
        self._eta = Eta(rounds=0, done=0, now=time.monotonic())
        self._clients, self._every = 0, 1
        self._live: Live | None = None
        self._last: RoundRecord | None = None
        self._printed = -1

    def begin(self, *, title: str, rounds: int, done: int, clients: int, backend: str) -> None:
        """Print the title, the clients and the backend, and show the live line."""
        self._eta = Eta(rounds=rounds, done=done, now=time.monotonic())
        self._clients, self._every = clients, thinning(rounds - done)
        self._last, self._printed = None, -1
        self.close()
        self._console.print(Text(title, style=_MAIN))
        about = Text(f"{counted(clients, 'client')} · {counted(rounds, 'round')} · {backend}", style=_SOFT)
        if self._why:
            about.append(f" ({self._why})")
        self._console.print(about)
        if done:
            self._console.print(Text(f"going on after round {done} of {rounds}", style=_SOFT))
        self._console.print()
        self._live = Live(
            self._waiting("preparing the first round"),
            console=self._console,
            refresh_per_second=10,
            transient=True,
        )
        self._live.start()

    def round(self, record: RoundRecord) -> None:
        """Print the round's line and move the live line on."""
        self._eta.round(time.monotonic())
        if self._last is None:
            self._console.print(self._head(record))
        self._last = record
        number_ = record.round + 1
        if self._eta.done == self._eta.rounds or self._printed < 0 or number_ % self._every == 0:
            self._print_last()
        if self._live is not None:
            self._live.update(self._bar(record), refresh=True)

    def end(self, status: str) -> None:
        """Remove the live line and print how the run ended."""
        if self._last is not None and self._printed != self._last.round:
            self._print_last()
        self.close()
        took = clock(self._eta.elapsed_s(time.monotonic()))
        mark, style = ("✓", _GOOD) if status != "interrupted" else ("■", "yellow")
        line = Text(f"{mark} {status}", style=style)
        line.append(f" after {counted(self._eta.done, 'round')}, {took}", style=_SOFT)
        self._console.print()
        self._console.print(line)

    def note(self, text: str) -> None:
        """Show what is being prepared, before the first round, as a live line."""
        self.step(text)

    def step(self, text: str) -> None:
        """Show what comes next, after the rounds, as a live line."""
        if self._live is None:
            self._live = Live(console=self._console, refresh_per_second=10, transient=True)
            self._live.start()
        self._live.update(self._waiting(text), refresh=True)

    def close(self) -> None:
        """Remove the live line."""
        if self._live is not None:
            self._live.stop()
            self._live = None

    def _print_last(self) -> None:
        if self._last is not None:
            self._console.print(self._row(self._last))
            self._printed = self._last.round

    def _waiting(self, text: str) -> Spinner:
        return Spinner("dots", Text(text, style=_SOFT), style=_GOOD)

    def _columns(self, record: RoundRecord) -> list[tuple[str, str, int]]:
        """Return title, value and width of the columns that fit the terminal."""
        logs, privacy = record.logs, record.privacy
        columns = [
            (short(name), number(value), max(9, len(short(name)) + 2))
            for name, value in shown_logs(logs, self._metric).items()
        ]
        if "epsilon" in privacy:
            columns.append(("ε", f"{privacy['epsilon']:.3g}", 8))
        room = self._console.width - self._round_width()
        return [column for i, column in enumerate(columns) if sum(c[2] for c in columns[: i + 1]) <= room]

    def _round_width(self) -> int:
        return max(5, 2 * len(str(self._eta.rounds)) + 1)

    def _head(self, record: RoundRecord) -> Text:
        line = Text("round".rjust(self._round_width()), style=_SOFT)
        for title, _, width in self._columns(record):
            line.append(title.rjust(width))
        if line.cell_len + 11 <= self._console.width:
            line.append("clients".rjust(11))
        return line

    def _row(self, record: RoundRecord) -> Text:
        total = str(self._eta.rounds)
        place = Text(f"{record.round + 1}".rjust(self._round_width() - len(total) - 1))
        place.append(f"/{total}", style=_SOFT)
        for _, value, width in self._columns(record):
            place.append(value.rjust(width))
        cohort = who(len(record.cohort), self._clients, list(record.dropped), record.void)
        if place.cell_len + max(11, len(cohort) + 2) <= self._console.width:
            place.append(cohort.rjust(11) if len(cohort) < 11 else f"  {cohort}")
            if record.dropped:
                place.stylize("yellow", place.cell_len - len(cohort))
        return place

    def _bar(self, record: RoundRecord) -> Table:
        left = self._eta.left_s()
        grid = Table.grid(padding=(0, 2))
        bar = ProgressBar(
            total=self._eta.rounds,
            completed=self._eta.done,
            width=max(10, min(30, self._console.width // 5)),
            complete_style=_GOOD,
            finished_style=_GOOD,
        )
        values = [
            f"{short(name)} {number(value)}"
            for name, value in shown_logs(record.logs, self._metric).items()
            if value is not None
        ]
        cells: list[ProgressBar | Text] = [bar, Text(f"{self._eta.done}/{self._eta.rounds}", style=_MAIN)]
        tail = Text("" if left is None else f"ETA {clock(left)}", style=_SOFT)
        used = bar.width or 0
        used += sum(cell.cell_len + 2 for cell in (*cells[1:], tail) if isinstance(cell, Text))
        for value in values:
            used += len(value) + 2
            if used <= self._console.width:
                cells.append(Text(value))
        grid.add_row(*cells, tail)
        return grid


def thinning(rounds: int) -> int:
    """Return of how many rounds one keeps its line, so that a run fills at most 40 lines: 1, 2, 5, 10 ...

    Example:
        >>> thinning(40), thinning(41), thinning(200), thinning(1000)
        (1, 2, 5, 50)
    """
    least = max(1, math.ceil(rounds / _MOST_LINES))
    power = 10 ** (len(str(least)) - 1)
    return next(step * power for step in (1, 2, 5, 10) if step * power >= least)

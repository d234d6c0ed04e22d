"""``hansa run``: train, compare, and say where everything is."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import typer
from rich.console import Console
from rich.text import Text

from hansa.api import compare
from hansa.api.facts import COMPARISON, read_comparison, write_comparison
from hansa.cli import backend
from hansa.cli.errors import INTERRUPTED
from hansa.cli.job import RUN_TOML, Assembled, Job, assemble
from hansa.errors import ConfigurationError, UnknownNameError
from hansa.record import RoundRecord
from hansa.report.data import Comparison
from hansa.store.run import Run
from hansa.ui import JsonProgress, PlainProgress, TerminalProgress, comparison_table
from hansa.ui.words import counted, main_metric, number, shown_logs


class Display(Protocol):
    """What `hansa.ui`'s progress classes have in common beyond `hansa.Progress`."""

    def begin(self, *, title: str, rounds: int, done: int, clients: int, backend: str) -> None:
        """A run begins."""
        ...

    def round(self, record: RoundRecord) -> None:
        """A round is finished."""
        ...

    def end(self, status: str) -> None:
        """The run has ended."""
        ...

    def step(self, text: str) -> None:
        """Something after the rounds begins."""
        ...

    def close(self) -> None:
        """Leave the terminal as it was."""
        ...


@dataclass(frozen=True, kw_only=True)
class Ways:
    """How a run is to be made and shown.

    Attributes:
        folder: The run's folder.
        resume: Whether it is there already.
        compares: Whether to compare with training alone and pooled.
        json: Whether to write JSON lines.
        quiet: Whether to write the final lines only.
    """

    folder: Path
    resume: bool
    compares: bool
    json: bool
    quiet: bool


def run(job: Job, ways: Ways) -> None:
    """Make a run and show how it goes.

    Raises:
        typer.Exit: With code 130, after Ctrl-C.
        HansaError: The run cannot be made.
    """
    out = sys.stdout
    backend.hush()
    with contextlib.redirect_stdout(sys.stderr) if ways.json else contextlib.nullcontext():
        made = assemble(job)
        display = _display(ways, job, out)
        with _interruptible(made, ways, out):
            _check_measured(job, made, ways)
            before = _rounds_done(ways)
            _fit(job, made, ways, display)
            trained = len(made.federation.records) > before
            comparison = _compare(job, made, ways, display, trained=trained)
            _keep(job, made, ways, comparison)
        _tell_end(job, made, ways, comparison, out)


def _display(ways: Ways, job: Job, out: Any) -> Display | None:
    if ways.json:
        return JsonProgress(out)
    if ways.quiet:
        return None
    if out.isatty():
        return TerminalProgress(metric=job.metric, why=backend.why())
    return PlainProgress(out, metric=job.metric, why=backend.why())


def _fit(job: Job, made: Assembled, ways: Ways, display: Display | None) -> None:
    keys = job.declaration.run
    made.federation.fit(
        keys.rounds,
        validation=made.validation,
        target=keys.target,
        run=ways.folder,
        resume=ways.resume,
        progress=display,
        clients_validate=keys.clients_validate,
        validation_freq=keys.validation_freq,
        local_metrics=keys.local_metrics,
        verifiable=keys.verifiable,
        keep={RUN_TOML: job.text(made.federation.backend)},
    )


def _check_measured(job: Job, made: Assembled, ways: Ways) -> None:
    """Raise before the training where the comparison after it could not be made."""
    federation = made.federation
    sites = list(federation.prepare().sites.values())
    held_out = any(data.test or data.validation for data in (site.data.read() for site in sites))
    if ways.compares and not held_out:
        raise ConfigurationError(
            "the comparison needs rows that are not trained on, and no client has any. Give the clients some "
            "with [split], as in train = 0.8 and test = 0.2, or run with --no-compare."
        )
    if job.metric:
        rows = sites[0].data.train.take(np.arange(1))
        known = federation.learner.evaluate(federation.learner.initial_weights(), rows, 256)
        if job.metric not in known:
            raise UnknownNameError("metric in [run]", job.metric, known)


def _rounds_done(ways: Ways) -> int:
    if not ways.resume:
        return 0
    with Run.open(ways.folder, write=False) as run:
        return run.rounds


def _compare(
    job: Job, made: Assembled, ways: Ways, display: Display | None, *, trained: bool
) -> Comparison | None:
    federation = made.federation
    known = None if trained else read_comparison(ways.folder)
    if not ways.compares or known is not None:
        return known
    metric = job.metric or main_metric(federation.records[-1].logs) or "loss"
    try:
        return compare(
            federation,
            len(federation.records),
            metric=metric,
            higher_is_better=job.higher_is_better(metric),
            on_step=None if display is None else lambda name: display.step(_step(name)),
        )
    finally:
        if display is not None:
            display.close()


def _step(name: str) -> str:
    kind, _, client = name.partition(": ")
    return f"for comparison: {client} alone" if kind == "alone" else "for comparison: all rows pooled"


def _keep(job: Job, made: Assembled, ways: Ways, comparison: Comparison | None) -> None:
    if comparison is None:
        (ways.folder / COMPARISON).unlink(missing_ok=True)  # of fewer rounds
    else:
        write_comparison(ways.folder, comparison)
    report = ways.folder / "report.html"
    made.federation.report(report, comparison=comparison, summary=job.declaration.run.summary)


@contextlib.contextmanager
def _interruptible(made: Assembled, ways: Ways, out: Any) -> Iterator[None]:
    """Turn Ctrl-C into a message that says what is kept and how to go on."""
    try:
        yield
    except KeyboardInterrupt:
        if ways.json:
            JsonProgress(out).write(_summary(made, ways, None))
        Console(stderr=True, highlight=False).print(
            Text(_interrupted(made, ways), style="yellow"), soft_wrap=True
        )
        raise typer.Exit(INTERRUPTED) from None


def _interrupted(made: Assembled, ways: Ways) -> str:
    done = len(made.federation.records)
    again = f"Go on with: hansa run --resume {ways.folder}"
    if not (ways.folder / RUN_TOML).is_file():
        return "Interrupted before the training began; nothing was kept."
    if made.federation.status != "interrupted":
        return f"Interrupted while comparing; the training itself is done and kept.\n{again}"
    if not done:
        return f"Interrupted before the first round was finished.\n{again}"
    rounds = "1 finished round is" if done == 1 else f"{done} finished rounds are"
    return f"Interrupted; {rounds} kept, with a report.\n{again}"


def _tell_end(job: Job, made: Assembled, ways: Ways, comparison: Comparison | None, out: Any) -> None:
    if ways.json:
        JsonProgress(out).write(_summary(made, ways, comparison))
        return
    console = Console(file=out, highlight=False)
    if comparison is not None and not ways.quiet:
        console.print()
        console.print(comparison_table(comparison))
        console.print()
    for name, value in _last_lines(job, made, ways):
        line = Text(f"{name:8}", style="dim")
        line.append(value)
        console.print(line, soft_wrap=True)


def _last_lines(job: Job, made: Assembled, ways: Ways) -> list[tuple[str, str]]:
    federation = made.federation
    logs = shown_logs(federation.records[-1].logs, job.metric)
    values = ", ".join(f"{name} {number(value)}" for name, value in logs.items() if value is not None)
    lines = [("Result", f"{federation.status} after {counted(len(federation.records), 'round')}: {values}")]
    if federation.privacy is not None:
        lines.append(("Privacy", str(federation.guarantee())))
    if (ways.folder / "model.keras").is_file():
        lines.append(("Model", f"{ways.folder / 'model.keras'}  (hash {federation.model_hash[:12]})"))
    lines.append(("Report", str(ways.folder / "report.html")))
    if job.declaration.run.verifiable and federation.verifiable:
        lines.append(("Verify", f"hansa verify {ways.folder}"))
    return lines


def _summary(made: Assembled, ways: Ways, comparison: Comparison | None) -> Mapping[str, Any]:
    federation = made.federation
    model, report = ways.folder / "model.keras", ways.folder / "report.html"
    return {
        "event": "end",
        "status": federation.status,
        "rounds": len(federation.records),
        "metrics": dict(federation.records[-1].logs) if federation.records else {},
        "comparison": None
        if comparison is None
        else {"metric": comparison.metric, "average": comparison.average, "clients": comparison.rows},
        "guarantee": None if federation.privacy is None else federation.guarantee().describe(),
        "model_hash": federation.model_hash if federation.records else None,
        "run": str(ways.folder),
        "model": str(model) if model.is_file() else None,
        "report": str(report) if report.is_file() else None,
    }

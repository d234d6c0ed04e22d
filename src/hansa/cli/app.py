"""The commands and their options. What a command does is imported when it is called."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from hansa.cli import privacy
from hansa.cli.errors import FAILED, INTERRUPTED, exit_code, tell_error
from hansa.errors import ConfigurationError, HansaError, RunError, UnknownNameError


class Commands(TyperGroup):
    """Turns Hansa's errors into one message and an exit code; ``--debug`` may stand anywhere."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Take ``--debug`` out of the arguments."""
        ctx.obj = {"debug": "--debug" in args}
        return super().parse_args(ctx, [arg for arg in args if arg != "--debug"])

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """Find the command; one that does not exist is told with the nearest that does."""
        if args and self.get_command(ctx, args[0]) is None and not args[0].startswith("-"):
            raise UnknownNameError("command", args[0], self.list_commands(ctx))
        return super().resolve_command(ctx, args)

    def invoke(self, ctx: Any) -> Any:
        """Run the command."""
        try:
            return super().invoke(ctx)
        except HansaError as error:
            if ctx.obj["debug"]:
                raise
            tell_error("\n".join([str(error), *getattr(error, "__notes__", [])]))
            raise typer.Exit(exit_code(error)) from error
        except OSError as error:
            if ctx.obj["debug"] or isinstance(error, BrokenPipeError):  # typer knows what a closed pipe means
                raise
            tell_error(f"the system reports: {error}. --debug shows where.")
            raise typer.Exit(FAILED) from error
        except KeyboardInterrupt:
            if ctx.obj["debug"]:
                raise
            tell_error("interrupted.")
            raise typer.Exit(INTERRUPTED) from None


app = typer.Typer(
    cls=Commands,
    add_completion=False,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

app.add_typer(
    privacy.app, name="privacy", epilog="Example: [cyan]hansa privacy table --rate 0.01 --delta 1e-5[/cyan]"
)

_MAIN_HELP = """Federated learning of Keras models.

Several parties train one model, and their rows stay with them.
What the coordinator sees of them: docs/threat-model.md.

[bold]Begin with[/bold]

  [cyan]hansa run heart-disease[/cyan]     four hospitals train one model
  [cyan]hansa new my-federation[/cyan]     a small project of your own, ready to run
  [cyan]hansa doctor[/cyan]                is everything there, and which backend?
"""

_EXIT_CODES = "[dim]Exit codes: 0 done, 1 the run failed, 2 what was asked for cannot work, 130 Ctrl-C.[/dim]"


def _show_version(value: bool) -> None:
    if value:
        from hansa._version import __version__

        typer.echo(f"hansa {__version__}")
        raise typer.Exit


@app.callback(invoke_without_command=True, help=_MAIN_HELP, epilog=_EXIT_CODES)
def hansa(
    ctx: typer.Context,
    version: Annotated[  # noqa: ARG001 - its callback does the work
        bool,
        typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version and stop."),
    ] = False,
    debug: Annotated[  # noqa: ARG001 - taken out by Commands.parse_args
        bool, typer.Option("--debug", help="Show the whole traceback of an error. May stand anywhere.")
    ] = False,
) -> None:
    """Show the help where no command is given."""
    if ctx.invoked_subcommand is None:
        typer.echo(ctx.get_help())


_RUN_HELP = """Train a recipe, or a federation that a TOML file declares.

Each run has a folder: configuration, log, checkpoints, model, report.
Ctrl-C or a crash loses no finished round.

[bold]Examples[/bold]

  [cyan]hansa run heart-disease[/cyan]                  four hospitals
  [cyan]hansa run heart-disease --model mlp[/cyan]      with a neural network
  [cyan]hansa run heart-disease --proof --epsilon 3[/cyan]   sealed, proven, private
  [cyan]hansa run my.toml --rounds 50[/cyan]            your own (see: hansa new)
  [cyan]hansa run my.toml --engine vector[/cyan]        on all cores, compiled
  [cyan]hansa run my.toml --dry-run[/cyan]              what it would send and keep
  [cyan]hansa run --resume runs/my-1[/cyan]             go on after Ctrl-C
  [cyan]hansa run my.toml --json > rounds.txt[/cyan]    a JSON object per round

[bold]Beware[/bold]: a TOML file may name a Python file beside it as its model,
as in [cyan]file = "model.py:build"[/cyan]. That file is executed, so run only
TOML files that you trust.
"""


@app.command(help=_RUN_HELP, epilog=_EXIT_CODES)
def run(  # noqa: PLR0917 - typer passes options by name
    target: Annotated[
        str | None, typer.Argument(help="A recipe (see hansa recipes) or a TOML file.", show_default=False)
    ] = None,
    model: Annotated[
        str | None, typer.Option(help="Model of the recipe, or a built-in model: logistic, mlp, cnn.")
    ] = None,
    algorithm: Annotated[
        str | None,
        typer.Option(help="fedavg, fedsgd, fedprox, scaffold, fedadam, fedyogi, fedadagrad or fedbn."),
    ] = None,
    rounds: Annotated[int | None, typer.Option(help="Number of rounds.")] = None,
    seed: Annotated[int | None, typer.Option(help="Root of all randomness, 0 or greater.")] = None,
    out: Annotated[
        Path | None, typer.Option(help="The run's folder, new or empty. Default: runs/NAME-1, -2, ...")
    ] = None,
    resume: Annotated[
        Path | None, typer.Option(help="Go on with the run in this folder. Needs no other option.")
    ] = None,
    secure_sum: Annotated[
        str | None,
        typer.Option(
            help="What the server sees: plain (each update), sealed or masking (sums of updates only).",
            show_default="plain",
        ),
    ] = None,
    proof: Annotated[
        bool,
        typer.Option("--proof", help="Each client proves that its sealed update is within the norm."),
    ] = False,
    epsilon: Annotated[
        float | None,
        typer.Option(
            help="Protect each single record: private local steps (DP-SGD) until this budget is spent.",
            show_default=False,
        ),
    ] = None,
    delta: Annotated[
        float | None, typer.Option(help="The other half of the budget.", show_default="1e-5")
    ] = None,
    engine: Annotated[
        str | None,
        typer.Option(
            help="Where clients run: local (one by one), vector (all cores, compiled) or ray (a cluster).",
            show_default="local",
        ),
    ] = None,
    workers: Annotated[
        int | None,
        typer.Option(help="Workers of the engine. Default: one for each core.", show_default=False),
    ] = None,
    address: Annotated[
        str | None,
        typer.Option(help="Ray cluster to join: auto, or HOST:PORT. Default: Ray on this machine."),
    ] = None,
    compare: Annotated[
        bool | None,
        typer.Option(
            "--compare/--no-compare",
            help="Also train each client alone, and once on all rows pooled. Default: recipes only.",
            show_default=False,
        ),
    ] = None,
    json: Annotated[
        bool, typer.Option("--json", help="One JSON object per round on standard output.")
    ] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Only the final lines.")] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what would be sent and kept; train nothing.")
    ] = False,
) -> None:
    """Train a recipe, or a federation that a TOML file declares."""
    from hansa.cli import job as jobs
    from hansa.cli.resolve import Options

    where = {"engine": engine, "workers": workers, "address": address}
    asked = {"secure_sum": secure_sum, "proof": proof, "epsilon": epsilon, "delta": delta}
    options = Options(model=model, algorithm=algorithm, rounds=rounds, seed=seed, **asked, **where)
    if rounds is not None and rounds < 1:
        raise ConfigurationError(f"--rounds must be a whole number of 1 or more, got {rounds}.")
    if resume is not None:
        from hansa.cli import backend

        if out is not None and out.resolve() != resume.resolve():
            raise ConfigurationError(f"--resume {resume} goes on in its own folder; leave --out {out} out.")
        job, folder = jobs.from_run(resume, target, options), resume
        backend.prefer(job.declaration.origin.backend)
    elif target is None:
        raise ConfigurationError(
            "name a recipe or a TOML file, as in: hansa run heart-disease (see hansa recipes)."
        )
    else:
        job = jobs.from_target(target, options)
        output = job.declaration.output.folder
        parent = (
            job.folder / output
            if job.declaration.recipe is None and "output" in job.declaration.raw
            else Path(output)
        )
        folder = out or jobs.free_folder(parent, job.name)
    _run(job, folder, resume=resume is not None, compare=compare, json=json, quiet=quiet, dry_run=dry_run)


def _run(
    job: Any, folder: Path, *, resume: bool, compare: bool | None, json: bool, quiet: bool, dry_run: bool
) -> None:
    if dry_run:
        from hansa.cli.dry_run import estimate, tell_estimate

        tell_estimate(estimate(job), json=json)
        return
    from hansa.cli import running

    compares = job.compares if compare is None else compare
    running.run(job, running.Ways(folder=folder, resume=resume, compares=compares, json=json, quiet=quiet))


@app.command(epilog="Example: [cyan]hansa new my-federation && cd my-federation && hansa run run.toml[/cyan]")
def new(
    name: Annotated[str, typer.Argument(help="Name of the new folder: letters, digits, - and _.")],
) -> None:
    """Make a small project that runs at once: a TOML file, a model, and synthetic data of three clients."""
    from hansa.cli.project import make_project

    make_project(name)


@app.command(epilog="Example: [cyan]hansa report runs/heart-disease-1 --open[/cyan]")
def report(
    run: Annotated[Path, typer.Argument(help="The run's folder.")],
    open_: Annotated[bool, typer.Option("--open", help="Open the report in a browser.")] = False,
) -> None:
    """Write the report of a run again, from its folder alone: no data and no training are needed."""
    from hansa.cli.reports import rewrite_report

    path = rewrite_report(run)
    typer.echo(path)
    if open_:
        import webbrowser

        webbrowser.open(path.resolve().as_uri())


_Json = Annotated[bool, typer.Option("--json", help="Write JSON instead of a table.")]

_VERIFY_HELP = """Check a run from its log alone, as anyone can, without any secret.

Every round is done again: hash chain, signatures, rosters, every proof,
every sealed sum added up and opened within its bounds, every server step
from the sum to the next model (bit for bit, or to 1e-4 with a Keras optimizer),
the ledger of privacy. A changed byte is found, and located.

[bold green]VERIFIED[/bold green]  all of that holds
[bold yellow]INTACT[/bold yellow]    nothing is at odds, but sums were in the clear, masked, or are not public
[bold red]FAILED[/bold red]    something is at odds; says what, and in which round

Verified does not mean that data were true or a model is good: it means that
each model is what the signed, sealed updates of its round make of the one before.

[bold]Examples[/bold]

  [cyan]hansa verify runs/heart-disease-1[/cyan]
  [cyan]hansa export runs/heart-disease-1 && hansa verify runs/heart-disease-1.hansa.zip[/cyan]
  [cyan]hansa verify runs/heart-disease-1 --head 3f2a...[/cyan]   the log that you noted
"""


@app.command(
    help=_VERIFY_HELP,
    epilog="[dim]Exit codes: 0 verified, or intact; 1 failed; 2 what was asked for cannot work.[/dim]",
)
def verify(
    run: Annotated[Path, typer.Argument(help="The run's folder, or the bundle that hansa export wrote.")],
    head: Annotated[
        str, typer.Option(help="Hash of the log's last entry, if you know it.", show_default=False)
    ] = "",
    roster: Annotated[str, typer.Option(help="Hash of the roster, if you know it.", show_default=False)] = "",
    strict: Annotated[bool, typer.Option("--strict", help="Exit with 1 unless all is verified.")] = False,
    json: _Json = False,
) -> None:
    """Check a run from its log alone."""
    from hansa.cli.verifying import check

    try:
        found = check(run, head=head, roster=roster, json=json)
    except RunError as error:  # there is nothing to check, which is no verdict
        raise ConfigurationError(str(error)) from error
    if not found.ok or (strict and found.verdict != "verified"):
        raise typer.Exit(1)


@app.command(
    epilog="Example: [cyan]hansa export runs/heart-disease-1[/cyan], which an auditor gives to hansa verify"
)
def export(
    run: Annotated[Path, typer.Argument(help="The run's folder.")],
    to: Annotated[
        Path | None, typer.Option(help="The file to write. Default: RUN.hansa.zip", show_default=False)
    ] = None,
) -> None:
    """Write the bundle that an auditor gets: all of a run that is public, in one file."""
    from hansa.ui.words import bytes_of
    from hansa.verification import export as write_bundle

    path = write_bundle(run, to)
    typer.echo(f"{path} ({bytes_of(path.stat().st_size)})")


@app.command(epilog="Example: [cyan]hansa datasets --json[/cyan]")
def datasets(json: _Json = False) -> None:
    """List the data that Hansa brings or fetches, with their licences."""
    from hansa.cli.lists import tell_datasets

    tell_datasets(json=json)


@app.command(
    epilog="Example: [cyan]hansa recipes[/cyan], then [cyan]hansa run process-faults --rounds 20[/cyan]"
)
def recipes(json: _Json = False) -> None:
    """List the runs that Hansa brings, one for each field."""
    from hansa.cli.lists import tell_recipes

    tell_recipes(json=json)


_AUDIT_HELP = """Does the code do what the plan of privacy says?

Made-up clients, [bold]canaries[/bold], go through the real pipeline: clip, sum, noise, ledger.
Half of them, by the toss of a coin, send a direction that nobody else sends.
How much of each comes out shows what was done to it; directions that nobody
sent show the noise. No data of yours are used but their numbers of rows.

Is each contribution clipped, that of a client with 90 % of the data too?
Is the noise as large as the plan says in every round, and never used twice?
Is the denominator the same when clients fall silent? Are cohorts drawn as told?
Does a guesser prove a larger epsilon than the plan tells?

[bold]Examples[/bold]

  [cyan]hansa audit[/cyan]                        all plans that Hansa brings
  [cyan]hansa audit my.toml[/cyan]                the plan of a file, with its noise
  [cyan]hansa audit my.toml --canaries 800[/cyan] sees smaller faults
  [cyan]hansa audit --json --seed 1[/cyan]        the same each time, for CI

Green is not a proof: canaries see faults of the code, not of the mathematics,
and epsilons that they prove stay below log(canaries). Red is one.
"""


@app.command(
    help=_AUDIT_HELP,
    epilog="[dim]Exit codes: 0 green, 1 red, 2 what was asked for cannot work.[/dim]",
)
def audit(  # noqa: PLR0917 - typer passes options by name
    target: Annotated[
        str | None,
        typer.Argument(help="A TOML file with \\[privacy]. Default: all built-in plans.", show_default=False),
    ] = None,
    canaries: Annotated[int, typer.Option(help="Clients, or records, that are made up; 8 or more.")] = 200,
    rounds: Annotated[int, typer.Option(help="Rounds; clients are silent in the last two. 3 or more.")] = 6,
    seed: Annotated[
        int | None, typer.Option(help="Makes it repeatable, noise included.", show_default=False)
    ] = None,
    secure_sum: Annotated[
        str, typer.Option(help="The sum: plain, or masking and sealed with few canaries.")
    ] = "plain",
    json: _Json = False,
) -> None:
    """Check that the code does what the plan of privacy says."""
    from hansa.cli import audit as auditing

    settings = auditing.settings_of(canaries=canaries, rounds=rounds, seed=seed, secure_sum=secure_sum)
    full = target is not None
    if not auditing.tell(auditing.audits(target, settings), json=json, full=full):
        raise typer.Exit(1)


@app.command(
    epilog="Example: [cyan]KERAS_BACKEND=torch hansa doctor[/cyan]. Exit code 1 if something is broken."
)
def doctor(json: _Json = False) -> None:
    """Check the installation: versions, backends, extras, folders, and a short training."""
    from hansa.cli.doctor import examine, tell_findings

    findings = examine()
    tell_findings(findings, json=json)
    if not findings["healthy"]:
        raise typer.Exit(1)

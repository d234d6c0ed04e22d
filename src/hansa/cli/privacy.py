"""``hansa privacy``: a calculator of differential privacy, usable without any run."""

from __future__ import annotations

from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from hansa.errors import ConfigurationError, UnknownNameError

_HELP = """Calculate with differential privacy, without any run.

A run releases noisy sums, round by round. Its price is epsilon at a delta:
smaller is more private; below 1 is strong, above 10 says little.

[bold]Examples[/bold]

  what does this run cost?
    [cyan]hansa privacy epsilon --rate 0.01 --rounds 1000 --delta 1e-5 \\
        --noise-multiplier 1[/cyan]
  how much noise does this budget ask for?
    [cyan]hansa privacy noise --rate 0.01 --rounds 1000 --delta 1e-5 \\
        --epsilon 2[/cyan]
  how many rounds fit into it?
    [cyan]hansa privacy rounds --rate 0.01 --noise-multiplier 1 \\
        --delta 1e-5 --epsilon 2[/cyan]
  what do other choices cost?
    [cyan]hansa privacy table --rate 0.01 --delta 1e-5[/cyan]

[bold]Who takes part[/bold] in a round, without the others seeing it:

  [cyan]--rate 0.01[/cyan]                         each with this probability
  [cyan]--rate .01 --population 3500 --cap 70[/cyan]   the same, at most 70
  [cyan]--fixed-cohort 35 --population 3500[/cyan]     so many, not independently
  [cyan]--records 1437 --batch-size 144[/cyan]         rows of one silo, in batches
  none of these                       everybody, always

[bold]Noise multiplier[/bold]: standard deviation of the noise on the sum, divided by
the clip, the largest L2 norm of one contribution.
"""


class _Known(TyperGroup):
    """Tells a command that does not exist with the nearest that does."""

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """Find the command."""
        if args and self.get_command(ctx, args[0]) is None and not args[0].startswith("-"):
            raise UnknownNameError("command of hansa privacy", args[0], self.list_commands(ctx))
        return super().resolve_command(ctx, args)


app = typer.Typer(cls=_Known, help=_HELP, rich_markup_mode="rich", no_args_is_help=True)

_Delta = Annotated[
    float | None, typer.Option(help="Probability with which the bound may fail; below 1/population.")
]
_Neighbours = Annotated[
    str,
    typer.Option(
        help="What must be hard to tell apart: zero-out (one contribution becomes zero), add/remove, or "
        "replace (it becomes any other, which costs more)."
    ),
]
_Unit = Annotated[
    str | None,
    typer.Option(help="What one contribution belongs to: client, silo, record.", show_default="client"),
]
_Rate = Annotated[float | None, typer.Option(help="Probability with which each takes part in a round.")]
_Population = Annotated[int | None, typer.Option(help="How many there are to sample from.")]
_Fixed = Annotated[int | None, typer.Option(help="Cohorts of exactly this size. Needs --population.")]
_Cap = Annotated[int | None, typer.Option(help="Greatest cohort. Needs --rate and --population.")]
_Rounds = Annotated[int | None, typer.Option(help="How many noisy sums are released.")]
_Noise = Annotated[float | None, typer.Option(help="Standard deviation of the noise divided by the clip.")]
_Epsilon = Annotated[float | None, typer.Option(help="The budget, greater than 0.")]
_Records = Annotated[int | None, typer.Option(help="Rows of one silo, for privacy of records.")]
_Batch = Annotated[int | None, typer.Option(help="Expected size of a batch; the rate is batch/records.")]
_Epochs = Annotated[float | None, typer.Option(help="Passes over the records, instead of --rounds.")]
_Json = Annotated[bool, typer.Option("--json", help="One JSON object on standard output.")]


@app.command(
    epilog="Example: [cyan]hansa privacy epsilon --rate .01 --rounds 99 --noise-multiplier 1 --delta 1e-5[/]"
)
def epsilon(  # noqa: PLR0917 - typer passes options by name
    noise_multiplier: _Noise = None,
    rounds: _Rounds = None,
    delta: _Delta = None,
    neighbours: _Neighbours = "zero-out",
    rate: _Rate = None,
    population: _Population = None,
    cap: _Cap = None,
    fixed_cohort: _Fixed = None,
    records: _Records = None,
    batch_size: _Batch = None,
    epochs: _Epochs = None,
    unit: _Unit = None,
    json: _Json = False,
) -> None:
    """Say what a run with this noise costs."""
    from hansa.cli.calculator import tell_epsilon

    setting = _setting(locals())
    tell_epsilon(setting, _needed("--noise-multiplier", noise_multiplier), json=json)


@app.command(
    epilog="Example: [cyan]hansa privacy noise --rate 0.01 --rounds 1000 --epsilon 2 --delta 1e-5[/cyan]"
)
def noise(  # noqa: PLR0917 - typer passes options by name
    epsilon: _Epsilon = None,
    rounds: _Rounds = None,
    delta: _Delta = None,
    neighbours: _Neighbours = "zero-out",
    rate: _Rate = None,
    population: _Population = None,
    cap: _Cap = None,
    fixed_cohort: _Fixed = None,
    records: _Records = None,
    batch_size: _Batch = None,
    epochs: _Epochs = None,
    unit: _Unit = None,
    json: _Json = False,
) -> None:
    """Say how much noise a budget asks for. Takes some seconds."""
    from hansa.cli.calculator import tell_noise

    tell_noise(_setting(locals()), _needed("--epsilon", epsilon), json=json)


@app.command(
    epilog="Example: [cyan]hansa privacy rounds --rate .01 --noise-multiplier 1 --epsilon 2 --delta 1e-5[/]"
)
def rounds(  # noqa: PLR0917 - typer passes options by name
    epsilon: _Epsilon = None,
    noise_multiplier: _Noise = None,
    delta: _Delta = None,
    neighbours: _Neighbours = "zero-out",
    rate: _Rate = None,
    population: _Population = None,
    cap: _Cap = None,
    fixed_cohort: _Fixed = None,
    records: _Records = None,
    batch_size: _Batch = None,
    unit: _Unit = None,
    json: _Json = False,
) -> None:
    """Say how many rounds fit into a budget."""
    from hansa.cli.calculator import tell_rounds

    setting = _setting(locals())
    budget = _needed("--epsilon", epsilon)
    tell_rounds(setting, budget, _needed("--noise-multiplier", noise_multiplier), json=json)


@app.command(
    epilog="Example: [cyan]hansa privacy table --rate 0.01 --noise 0.5,1 --rounds 100,999 --delta 1e-5[/]"
)
def table(  # noqa: PLR0917 - typer passes options by name
    noise: Annotated[str, typer.Option(help="Noise multipliers, with commas between them.")] = "0.5,1,2,4",
    rounds: Annotated[str, typer.Option(help="Numbers of rounds, with commas between them.")] = "10,100,1000",
    delta: _Delta = None,
    neighbours: _Neighbours = "zero-out",
    rate: _Rate = None,
    population: _Population = None,
    cap: _Cap = None,
    fixed_cohort: _Fixed = None,
    records: _Records = None,
    batch_size: _Batch = None,
    unit: _Unit = None,
    json: _Json = False,
) -> None:
    """Show epsilon for several amounts of noise and numbers of rounds. Takes some seconds."""
    from hansa.cli.calculator import tell_table

    given = {name: value for name, value in locals().items() if name != "rounds"}
    noises, counts = _list("--noise", noise, float), _list("--rounds", rounds, int)
    if min(counts) < 1:
        raise ConfigurationError(f"--rounds must be whole numbers of 1 or more, got {rounds}.")
    tell_table(_setting(given), noises, counts, json=json)


def _setting(given: dict[str, Any]) -> Any:
    from hansa.cli.calculator import Setting

    return Setting(**{name: given[name] for name in Setting.__dataclass_fields__ if name in given})


def _needed(option: str, value: float | None) -> float:
    if value is None:
        raise ConfigurationError(f"state {option}; hansa privacy --help shows examples.")
    return value


def _list(option: str, text: str, kind: type) -> list[Any]:
    try:
        return [kind(part) for part in text.split(",")]
    except ValueError:
        raise ConfigurationError(f"{option} takes numbers with commas between them, got {text!r}.") from None

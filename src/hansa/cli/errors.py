"""What an error means for whoever called ``hansa``: an exit code and one clear message."""

from __future__ import annotations

import sys

from rich.console import Console
from rich.text import Text

from hansa.errors import ConfigurationError, DataError, HansaError, MissingExtraError

OK = 0
"""Done as asked."""
FAILED = 1
"""The run failed, or something needed is broken: a round, a full disk, a damaged run folder."""
WRONG_INPUT = 2
"""What was asked for cannot work: options, names, a TOML file, data, a package that is missing."""
INTERRUPTED = 130
"""Ctrl-C. Finished rounds are kept."""


def exit_code(error: HansaError) -> int:
    """Return the exit code for an error.

    Example:
        >>> from hansa.errors import RunError
        >>> exit_code(ConfigurationError("x")), exit_code(RunError("x"))
        (2, 1)
    """
    wrong = isinstance(error, (ConfigurationError, DataError, MissingExtraError))
    return WRONG_INPUT if wrong else FAILED


def tell_error(message: str, *, hint: str = "") -> None:
    """Write an error to standard error, red where it is a terminal."""
    console = Console(file=sys.stderr, highlight=False)
    line = Text("error: ", style="bold red")
    line.append(message, style="red" if console.is_terminal else "")
    console.print(line, soft_wrap=not console.is_terminal)
    if hint:
        console.print(Text(hint, style="dim"), soft_wrap=not console.is_terminal)

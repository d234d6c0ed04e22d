"""The command ``hansa``."""

from __future__ import annotations

import io
import os
import sys
from pathlib import Path


def main() -> None:
    """Run the command line. Exit codes: see `hansa.cli.errors`."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")  # TensorFlow's start-up notices are not ours
    _open_streams()
    from hansa.cli.app import app

    app(prog_name="hansa")


def _open_streams() -> None:
    """Let every text be written: where a stream is closed, or its encoding lacks a character of a name."""
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None:
            setattr(sys, name, Path(os.devnull).open("w", encoding="utf-8"))  # noqa: SIM115 - for good
        elif isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")

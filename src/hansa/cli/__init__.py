"""The command ``hansa``."""

from __future__ import annotations

import os


def main() -> None:
    """Run the command line. Exit codes: see `hansa.cli.errors`."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")  # TensorFlow's start-up notices are not ours
    from hansa.cli.app import app

    app(prog_name="hansa")

"""Where the files lie that Hansa ships."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from hansa.errors import DatasetError

FILES = Path(__file__).parent / "files"


def shipped_files(dataset: str, parties: Iterable[str]) -> dict[str, Path]:
    """Return the path of each party's CSV file of a shipped dataset.

    Raises:
        DatasetError: A file is missing from the installation.
    """
    paths = {party: FILES / dataset / f"{party}.csv" for party in parties}
    for path in paths.values():
        if not path.is_file():
            raise DatasetError(f"{path} is missing, which Hansa ships. Install Hansa again.")
    return paths

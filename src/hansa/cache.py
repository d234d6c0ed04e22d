"""The folder in which Hansa keeps what it fetched or measured once: data, compiled programs, timings."""

from __future__ import annotations

import os
from pathlib import Path

from hansa.errors import DatasetError


def cache_folder() -> Path:
    """Return the folder that keeps data fetched and programs compiled; it need not exist.

    It is ``$HANSA_CACHE``, else ``$XDG_CACHE_HOME/hansa``, else ``~/.cache/hansa``.
    """
    try:
        if own := os.environ.get("HANSA_CACHE"):
            return Path(own).expanduser().absolute()
        base = Path(os.environ.get("XDG_CACHE_HOME", ""))
        # The XDG specification says to ignore a relative path.
        return (base if base.is_absolute() else Path.home() / ".cache") / "hansa"
    except RuntimeError as error:
        raise DatasetError(
            f"there is no home folder to keep datasets in ({error}). Set HANSA_CACHE."
        ) from error

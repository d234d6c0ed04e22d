"""What a run was made with: versions and machine, for the report and the log."""

from __future__ import annotations

import importlib.metadata
import os
import platform

from hansa import bridge
from hansa._version import __version__


def environment() -> dict[str, str]:
    """Return the versions and the machine by name."""
    return {
        "Hansa": __version__,
        "Backend": bridge.backend_version(bridge.choose_backend()),
        "Keras": importlib.metadata.version("keras"),
        "NumPy": importlib.metadata.version("numpy"),
        "Python": platform.python_version(),
        "Platform": f"{platform.system()} {platform.machine()}",
        "CPU cores": str(os.cpu_count()),
    }

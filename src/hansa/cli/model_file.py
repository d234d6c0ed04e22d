"""Imports a model function from a Python file beside the TOML file. This executes the file."""

from __future__ import annotations

import hashlib
import importlib.util
import traceback
from collections.abc import Callable
from pathlib import Path, PurePosixPath
from typing import Any

from hansa.errors import ConfigurationError, HansaError, UnknownNameError


def model_path(file: str, folder: Path) -> Path:
    """Return the path of a model file, which must lie beside the TOML file or in a folder below.

    Raises:
        ConfigurationError: It is not a Python file, lies elsewhere, or does not exist.
    """
    pure = PurePosixPath(file)
    if pure.is_absolute() or ".." in pure.parts or "\\" in file:
        raise ConfigurationError(
            f"[model] file is {file!r}; the file is executed, so it must lie beside the TOML file: give a "
            "relative path without '..', for example \"model.py\"."
        )
    path = folder / pure
    if pure.suffix != ".py":
        raise ConfigurationError(f'[model] file is {file!r}; expected a Python file, for example "model.py".')
    if not path.resolve().is_relative_to(folder.resolve()):
        raise ConfigurationError(
            f"[model] file {file!r} is a link out of {folder}; copy the file beside the TOML file."
        )
    if not path.is_file():
        others = ", ".join(sorted(p.name for p in folder.glob("*.py"))[:5])
        raise ConfigurationError(f"{path} does not exist." + (f" There is {others}." if others else ""))
    return path


def file_hash(path: Path) -> str:
    """Return the SHA-256 of a file, hexadecimal."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def load_function(path: Path, name: str) -> Callable[[], Any]:
    """Execute a Python file and return the function of this name.

    Raises:
        ConfigurationError: The file raises when it is executed; says in which line.
        UnknownNameError: It has no such function.
    """
    spec = importlib.util.spec_from_file_location(f"hansa_model_{path.stem}", path)
    if spec is None or spec.loader is None:
        raise ConfigurationError(f"{path} cannot be imported as Python.")
    module = importlib.util.module_from_spec(spec)
    _told(path, "importing it", lambda: spec.loader.exec_module(module))  # pyright: ignore[reportOptionalMemberAccess]
    function = getattr(module, name, None)
    if function is None:
        own = [
            k
            for k, v in vars(module).items()
            if callable(v) and getattr(v, "__module__", "") == module.__name__
        ]
        raise UnknownNameError(f"function of {path.name}", name, own)
    if not callable(function):
        raise ConfigurationError(
            f"{name} in {path.name} is a {type(function).__name__}; expected a function."
        )
    return lambda: _told(path, f"{name}()", function)


def _told(path: Path, what: str, call: Callable[[], Any]) -> Any:
    """Call something of the user's; what it raises becomes an error that names the line."""
    try:
        return call()
    except HansaError:
        raise
    except (
        Exception,
        SystemExit,
    ) as error:  # a script's sys.exit() would end the command as if all were well
        lines = [f.lineno for f in traceback.extract_tb(error.__traceback__) if f.filename == str(path)]
        line = error.lineno if isinstance(error, SyntaxError) else lines[-1] if lines else None
        place = f"line {line}: " if line else ""
        raise ConfigurationError(
            f"{path}: {what} raised {type(error).__name__}: {place}{str(error).strip() or 'no message'}. "
            "Correct the file (--debug shows the whole traceback)."
        ) from error

"""This process' connection to a Ray cluster."""

from __future__ import annotations

import contextlib
import os
import socket
import sys
import threading
import traceback
import warnings
from pathlib import Path
from typing import Any

from hansa.errors import ConfigurationError, MissingExtraError


class Session:
    """This process' connection to Ray.

    The last engine that uses a connection which Hansa made ends it; one that was there before stays.
    """

    def __init__(self) -> None:
        """Know of no connection."""
        self._lock = threading.Lock()
        self._users = 0
        self._made = False

    def join(self, address: str | None, cpus: int) -> None:
        """Connect, unless this process is connected.

        Args:
            address: Where the cluster is: ``"auto"``, ``"host:port"``, or None for RAY_ADDRESS or else for
                a Ray of this machine alone, which is started.
            cpus: Number of workers that such a Ray has room for.

        Raises:
            MissingExtraError: If Ray is not installed.
            ConfigurationError: If there is no such cluster, or it does not let us in.
        """
        ray = load_ray()
        with self._lock:
            if ray.is_initialized():
                _check_same(ray, address)
            else:
                _connect(ray, address, cpus)
                self._made, self._users = True, 0
            self._users += 1

    def leave(self) -> None:
        """Disconnect, if nobody else needs the connection and Hansa made it."""
        with self._lock:
            self._users = max(0, self._users - 1)
            if self._made and self._users == 0:
                self._made = False
                load_ray().shutdown()


SESSION = Session()


def load_ray() -> Any:
    """Import Ray with token authentication and without telemetry, unless the user decided otherwise."""
    loaded: Any = sys.modules.get("ray")
    decided = "RAY_AUTH_MODE" in os.environ
    if loaded is None or not loaded.is_initialized():
        os.environ.setdefault("RAY_AUTH_MODE", "token")
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    try:
        import ray
    except ImportError as error:
        raise MissingExtraError("engine='ray'", "ray", "ray") from error
    if loaded is not None and not decided and not loaded.is_initialized():
        with contextlib.suppress(ImportError, AttributeError):  # it read the environment when it was imported
            loaded._raylet.Config.initialize("")
    return ray


def _connect(ray: Any, address: str | None, cpus: int) -> None:
    wanted = address or os.environ.get("RAY_ADDRESS") or "local"
    if "://" in wanted:
        raise ConfigurationError(
            f"address={wanted!r} is Ray's client protocol, which Hansa does not use: rows go into the object "
            "store of the machine it runs on. Let that machine join the cluster (ray start --address=...), "
            "and give address='auto'."
        )
    settings: dict[str, Any] = {"include_dashboard": False, "num_cpus": cpus}
    if wanted == "local":
        with contextlib.suppress(OSError, RuntimeError):
            (Path.home() / ".ray").mkdir(
                mode=0o700, exist_ok=True
            )  # Ray writes its token there, readable for all
    else:
        settings = {}
        _check_reachable(wanted)
    try:
        with warnings.catch_warnings():
            # Ray's processes are started by a fork that at once becomes another program.
            warnings.filterwarnings("ignore", r"os\.fork\(\) was called", RuntimeWarning)
            ray.init(address=wanted, log_to_driver=False, logging_level="ERROR", **settings)
    except Exception as error:
        ray.shutdown()
        raise _unreachable(wanted, error) from error


def _check_reachable(address: str) -> None:
    """Raise at once where nothing listens; Ray itself tries for minutes."""
    host, _, port = address.rpartition(":")
    if not host or not port.isdigit():
        return
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=10).close()
    except OSError as error:
        raise _unreachable(address, error) from error


def _unreachable(address: str, error: Exception) -> ConfigurationError:
    if address == "local":
        return ConfigurationError(f"Ray could not be started on this machine: {first_line(error)}")
    if "AuthenticationError" in "".join(
        traceback.format_exception(error)
    ):  # Ray tells it in causes of causes
        return ConfigurationError(
            f"the Ray cluster at {address} does not let this process in: its token is missing or wrong. Give "
            "the cluster's token in RAY_AUTH_TOKEN, in the file that RAY_AUTH_TOKEN_PATH names, or in "
            "~/.ray/auth_token; `ray get-auth-token` prints it on the head node. For a cluster without "
            "authentication set RAY_AUTH_MODE=disabled."
        )
    return ConfigurationError(
        f"there is no Ray cluster at {address} that this machine can join ({first_line(error)}). Start one "
        "(RAY_AUTH_MODE=token ray start --head), let this machine join it (ray start --address=HOST:6379) "
        "and give address='auto'; or leave address out to start Ray here. The cluster must have the "
        "same token (~/.ray/auth_token), and the same versions of Python and Ray."
    )


def _check_same(ray: Any, address: str | None) -> None:
    here = ray.get_runtime_context().gcs_address
    if address not in (None, "auto", here):
        raise ConfigurationError(
            f"this process is connected to the Ray cluster at {here}, not to {address}. Leave address out to "
            "use it, or call ray.shutdown() first."
        )


def first_line(error: BaseException) -> str:
    """Return what an error says, without what follows it."""
    return str(error).strip().split("\n")[0].rstrip(".") or type(error).__name__

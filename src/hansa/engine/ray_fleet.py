"""Ray itself: the connection to a cluster, and the actors that do a run's work, of which any may die."""

from __future__ import annotations

import contextlib
import os
import socket
import sys
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from hansa.engine.ray_worker import Failure, Worker, versions
from hansa.errors import ConfigurationError, MissingExtraError, RoundError

T = TypeVar("T")

START_S = 180.0
"""How long to wait for the first worker, and for another one once all are lost."""
DEPTH = 2  # units that a worker has in hand, so that it need not wait for the driver
LOSSES = 4  # so many workers may die of one and the same unit
PAUSE_S = 30.0  # at most so long between attempts to start a worker that does not come up


# ---------------------------------------------------------------------- the connection


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
    fresh = "ray" not in sys.modules
    decided = "RAY_AUTH_MODE" in os.environ
    if fresh or not sys.modules["ray"].is_initialized():
        os.environ.setdefault("RAY_AUTH_MODE", "token")
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    try:
        import ray
    except ImportError as error:
        raise MissingExtraError("engine='ray'", "ray", "ray") from error
    if not fresh and not decided and not ray.is_initialized():
        with contextlib.suppress(ImportError, AttributeError):  # it read the environment when it was imported
            from ray._raylet import Config

            Config.initialize("")
    return ray


def _connect(ray: Any, address: str | None, cpus: int) -> None:
    wanted = address or os.environ.get("RAY_ADDRESS") or "local"
    if "://" in wanted:
        raise ConfigurationError(
            f"address={wanted!r} is Ray's client protocol, which Hansa does not use: rows go into the object "
            "store of the machine it runs on. Let that machine join the cluster (ray start --address=...) and "
            "give address='auto'."
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
        return ConfigurationError(f"Ray could not be started on this machine: {_first_line(error)}")
    if type(error).__name__ == "AuthenticationError" or "authenticat" in str(error).lower():
        return ConfigurationError(
            f"the Ray cluster at {address} does not accept this process' token ({_first_line(error)}). Give the "
            "cluster's token in RAY_AUTH_TOKEN, in the file that RAY_AUTH_TOKEN_PATH names, or in "
            "~/.ray/auth_token; `ray get-auth-token` prints it on the head node. For a cluster without "
            "authentication set RAY_AUTH_MODE=disabled."
        )
    return ConfigurationError(
        f"there is no Ray cluster at {address} that this machine can join ({_first_line(error)}). Start one "
        "(RAY_AUTH_MODE=token ray start --head), let this machine join it (ray start --address=HOST:6379) and "
        "give address='auto'; or leave address out to start Ray here. The cluster must have the same token "
        "(~/.ray/auth_token), and the same versions of Python and Ray."
    )


def _check_same(ray: Any, address: str | None) -> None:
    here = ray.get_runtime_context().gcs_address
    if address not in (None, "auto", here):
        raise ConfigurationError(
            f"this process is connected to the Ray cluster at {here}, not to {address}. Leave address out to "
            "use it, or call ray.shutdown() first."
        )


def _first_line(error: BaseException) -> str:
    return str(error).strip().split("\n")[0].rstrip(".") or type(error).__name__


# ---------------------------------------------------------------------- actors


@dataclass(eq=False)
class Hand:
    """An actor that is ready.

    Attributes:
        actor: Ray's handle of it.
        node: The node that it is on.
        compilations: Number of programs that it has compiled.
    """

    actor: Any
    node: str
    compilations: int = 0


class Fleet:
    """The actors of a run.

    Guarantees:
        A unit's result is taken once, however many actors die of or beside it; one that dies is replaced,
        where the cluster has room, and the new one works as soon as it is ready.

    Attributes:
        hands: The actors that are ready.
        wanted: Number of actors to have.
    """

    def __init__(self, setup: Any, *, workers: int, environment: Mapping[str, str]) -> None:
        """Start the actors, and wait until those are ready that the cluster has room for.

        Args:
            setup: Reference of the `Setup` in the object store.
            workers: Number of actors.
            environment: Environment variables of their processes.

        Raises:
            ConfigurationError: If none comes up, or one cannot build the model.
        """
        self._ray = ray = load_ray()
        self.hands: list[Hand] = []
        self.wanted = workers
        self._setup = setup
        errors = ray.exceptions
        self._lost = (
            *(errors.RayActorError, errors.NodeDiedError, errors.WorkerCrashedError),
            *(errors.ObjectLostError, errors.OutOfMemoryError),
        )
        # What is on a node that dies is done again elsewhere by the driver, which knows more than Ray.
        options = {"num_cpus": 1, "max_restarts": 0, "max_task_retries": 0, "scheduling_strategy": "SPREAD"}
        self._class = ray.remote(Worker).options(runtime_env={"env_vars": dict(environment)}, **options)
        self._starting: dict[Any, Any] = {}
        self._trouble = ""  # why the last actor did not come up
        self._pause, self._again = 0.0, 0.0
        try:
            self._begin()
        except BaseException:
            self.close()
            raise

    def run(self, units: Iterable[T], give: Callable[[Any, T], Any], take: Callable[[T, Any], None]) -> None:
        """Have all units done.

        Args:
            units: The units.
            give: Gives a unit to an actor and returns the reference of its result.
            take: Takes a unit's result in.

        Raises:
            RoundError: If no actor is left and none can be started, or a unit is the death of each.
            Exception: What the model's or the algorithm's code raised in an actor.
        """
        waiting = deque(enumerate(units))
        flight: dict[Any, tuple[Hand, tuple[int, T]]] = {}
        losses: Counter[int] = Counter()
        alive = time.monotonic()
        while waiting or flight:
            self._welcome()
            self._feed(waiting, flight, give)
            if self.hands:
                alive = time.monotonic()
            elif time.monotonic() - alive > START_S:
                raise RoundError(self._nobody())
            ready, _ = self._ray.wait([*flight, *self._starting] or [self._setup], timeout=1.0)
            if not flight and not self._starting:
                time.sleep(0.1)  # until the next attempt to start an actor
            for ref in ready:
                if ref not in flight:
                    continue
                hand, item = flight.pop(ref)
                done = self._result(ref, hand)
                if done is not None:
                    take(item[1], done)
                    continue
                back = [item, *(flight.pop(r)[1] for r in [r for r, (h, _) in flight.items() if h is hand])]
                waiting.extendleft(reversed(back))
                losses.update([item[0]])
                if losses[item[0]] >= LOSSES:
                    raise RoundError(self._deadly(item[1]))

    def close(self) -> None:
        """Kill the actors."""
        for actor in (*(hand.actor for hand in self.hands), *self._starting.values()):
            self._kill(actor)
        self.hands, self._starting, self._setup = [], {}, None

    # ------------------------------------------------------------------ units

    def _feed(self, waiting: deque[Any], flight: dict[Any, Any], give: Callable[[Any, Any], Any]) -> None:
        """Give units to those who have the fewest in hand; the last ones only to those who have none."""
        busy = Counter(hand for hand, _ in flight.values())
        while waiting and self.hands:
            hand = min(self.hands, key=lambda h: busy[h])
            if busy[hand] >= (DEPTH if len(waiting) > len(self.hands) else 1):
                return
            item = waiting.popleft()
            flight[give(hand.actor, item[1])] = (hand, item)
            busy[hand] += 1

    def _result(self, ref: Any, hand: Hand) -> Any:
        """Return the result of a unit, or None if it is lost together with the actor."""
        try:
            done = self._ray.get(ref)
            if isinstance(done, Failure):
                raise done.raised()
        except self._lost as error:
            self._trouble = _first_line(error)
            self.hands.remove(hand)
            self._kill(hand.actor)
            return None
        except self._ray.exceptions.RayError as error:
            raise RoundError(f"Ray could not hand a worker's result over: {error}") from error
        hand.compilations = done.compilations
        return done.result

    def _deadly(self, unit: Any) -> str:
        names = ", ".join(unit.names[:5]) + (" ..." if len(unit.names) > 5 else "")
        return (
            f"{LOSSES} workers died one after another while they worked on the clients {names}; the last: "
            f"{self._trouble}. If memory ran out, give Ray fewer workers a machine."
        )

    def _nobody(self) -> str:
        total, free = (
            f().get("CPU", 0.0) for f in (self._ray.cluster_resources, self._ray.available_resources)
        )
        return (
            f"no worker of {self.wanted} is left or could be started within {START_S:g} s; the cluster has "
            f"{total:g} CPUs, {free:g} of them free, and a worker needs one. "
            f"{f'What happened last: {self._trouble}. ' if self._trouble else ''}"
            "Add nodes, or wait until other work on the cluster is done, and go on with the run."
        )

    # ------------------------------------------------------------------ actors

    def _begin(self) -> None:
        room = int(self._ray.cluster_resources().get("CPU", 0.0))
        enough = max(1, min(self.wanted, room))
        deadline = time.monotonic() + START_S
        while len(self.hands) < enough:
            self._welcome(strict=True)
            if time.monotonic() > deadline and self.hands:
                return
            if time.monotonic() > deadline:
                raise ConfigurationError(self._nobody())
            if self._starting:
                self._ray.wait(list(self._starting), timeout=1.0)

    def _welcome(self, *, strict: bool = False) -> None:
        """Take in the actors that have become ready, and start others in place of those that are gone."""
        now = time.monotonic()
        while len(self.hands) + len(self._starting) < self.wanted and now >= self._again:
            actor = self._class.remote()
            self._starting[actor.begin.remote(self._setup)] = actor
        if not self._starting:
            return
        ready, _ = self._ray.wait(list(self._starting), num_returns=len(self._starting), timeout=0)
        for ref in ready:
            actor = self._starting.pop(ref)
            try:
                self._take_in(ref, actor)
            except self._ray.exceptions.RayError as error:
                fault = ConfigurationError(
                    f"a worker could not be started: {_first_line(error)}. All nodes need the same versions of "
                    "Python, Ray and Hansa."
                )
                fault.__cause__ = error
                self._fail(actor, fault, strict=strict and not isinstance(error, self._lost))
            except Exception as error:
                self._fail(actor, error, strict=strict)

    def _take_in(self, ref: Any, actor: Any) -> None:
        facts = self._ray.get(ref)
        if isinstance(facts, Failure):
            error = facts.raised()
            if isinstance(error, ModuleNotFoundError):
                raise ConfigurationError(
                    f"a worker cannot load what the run is made of: {error}. Define the model function in the "
                    "script itself, or install the module on every node."
                ) from error
            raise error
        here = versions()
        other = {name: facts["versions"][name] for name in here if facts["versions"][name] != here[name]}
        if other:
            mine = {name: here[name] for name in other}
            raise ConfigurationError(
                f"a node has other versions, with which results would differ: {other}, here {mine}. Install the "
                "same on every node."
            )
        self.hands.append(Hand(actor, facts["node"]))
        self._pause = 0.0

    def _fail(self, actor: Any, error: Exception, *, strict: bool) -> None:
        self._kill(actor)
        if strict:
            raise error
        self._trouble = _first_line(error)
        self._pause = min(PAUSE_S, 2 * self._pause + 1)
        self._again = time.monotonic() + self._pause

    def _kill(self, actor: Any) -> None:
        with contextlib.suppress(Exception):  # it is dead already, or Ray is gone
            self._ray.kill(actor, no_restart=True)

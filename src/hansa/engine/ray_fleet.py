"""The actors that do a run's work, of which any may die."""

from __future__ import annotations

import contextlib
import time
from collections import Counter, deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from hansa.engine.ray_session import first_line, load_ray
from hansa.engine.ray_setup import versions
from hansa.engine.ray_worker import Failure, Unit, Worker
from hansa.errors import ConfigurationError, RoundError

START_S = 180.0
"""How long to wait for the first worker, and for another one once all are lost."""
DEPTH = 2  # units that a worker has in hand, so that it need not wait for the driver
LOSSES = 4  # so many workers may die of one and the same unit
PATIENCE_S = 3.0  # with this pause three have failed, and a run does not begin
PAUSE_S = 30.0  # at most so long between attempts to start a worker that does not come up


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

    def run(
        self, units: Sequence[Unit], give: Callable[[Any, Unit], Any], take: Callable[[Unit, Any], None]
    ) -> None:
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
        flight: dict[Any, tuple[Hand, tuple[int, Unit]]] = {}
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
            self._trouble = first_line(error)
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
                    f"a worker could not be started: {first_line(error)}. All nodes need the same versions "
                    "of Python, Ray and Hansa."
                )
                fault.__cause__ = error
                often = self._pause >= PATIENCE_S or not isinstance(error, self._lost)
                self._fail(actor, fault, strict=strict and often)
            except Exception as error:
                self._fail(actor, error, strict=strict)

    def _take_in(self, ref: Any, actor: Any) -> None:
        facts = self._ray.get(ref)
        if isinstance(facts, Failure):
            error = facts.raised()
            if isinstance(error, ModuleNotFoundError):
                raise ConfigurationError(
                    f"a worker cannot load what the run is made of: {error}. Define the model function in "
                    "the script itself, or install the module on every node."
                ) from error
            raise error
        here = versions()
        other = {name: facts["versions"][name] for name in here if facts["versions"][name] != here[name]}
        if other:
            mine = {name: here[name] for name in other}
            raise ConfigurationError(
                f"a node has other versions, with which results would differ: {other}, here {mine}. Install "
                "the same on every node."
            )
        self.hands.append(Hand(actor, facts["node"]))
        self._pause = 0.0

    def _fail(self, actor: Any, error: Exception, *, strict: bool) -> None:
        self._kill(actor)
        if strict:
            raise error
        self._trouble = first_line(error)
        self._pause = min(PAUSE_S, 2 * self._pause + 1)
        self._again = time.monotonic() + self._pause

    def _kill(self, actor: Any) -> None:
        with contextlib.suppress(Exception):  # it is dead already, or Ray is gone
            self._ray.kill(actor, no_restart=True)

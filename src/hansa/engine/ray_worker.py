"""What runs inside a Ray actor: one worker with its own model, that gets its clients' rows as it needs them.

It does for a unit of work exactly what a thread of the vector engine does, by the same code (`Crew`).
"""

from __future__ import annotations

import functools
import pickle
import time
import traceback
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np

from hansa.client import Site
from hansa.engine.crew import Crew, Part
from hansa.engine.ray_rows import Block, Place, arrays_of
from hansa.engine.ray_session import load_ray
from hansa.engine.ray_setup import Setup, versions
from hansa.errors import ConfigurationError
from hansa.plan import Plan
from hansa.rng import Seeds
from hansa.train.cohort import CohortTrainer
from hansa.train.keras_learner import KerasLearner
from hansa.train.population import Population
from hansa.types import Batches, ClientData, Examples, LocalTask, Memory, Reply, Start, View, map_arrays

KEPT = 32  # blocks of rows (at most 256 MiB) that a worker keeps at hand
ROOM = 4  # a program is used again for so many times fewer rows than it was compiled for


@dataclass(frozen=True, kw_only=True)
class Unit:
    """Part of an Ask, for one worker.

    Attributes:
        work: What to do (see `Crew`).
        first: Position of the first client.
        names: The clients.
        rows: Number of training rows of each.
        train: Where the training rows of each are.
        held_out: Where the rows to measure each on are, or None.
        memories: What the clients remember.
        leaf: Clients in a leaf of the sum.
        room: How many clients the round's units have at most.
    """

    work: Literal["add", "send", "evaluate"]
    first: int
    names: tuple[str, ...]
    rows: tuple[int, ...]
    train: tuple[Place, ...]
    held_out: tuple[Place | None, ...]
    memories: Mapping[str, Memory]
    leaf: int = 1
    room: int = 1


@dataclass(frozen=True)
class Done:
    """What came of a unit, and how many programs the worker has compiled so far."""

    result: Part | dict[str, Reply]
    compilations: int


@dataclass(frozen=True)
class Failure:
    """An error of the model's or the algorithm's own code, to be raised in the driver.

    Attributes:
        error: The error, pickled, with its notes.
        text: The error in words.
        trace: Where it arose.
    """

    error: bytes
    text: str
    trace: str

    @classmethod
    def of(cls, error: Exception) -> Failure:
        """Take an error along; one that cannot be pickled becomes the nearest base class that can."""
        cloudpickle: Any = load_ray().cloudpickle
        text = f"{type(error).__name__}: {error}"
        trace = "".join(traceback.format_exception(error))
        told = cloudpickle.dumps(RuntimeError(text))
        for kind in type(error).__mro__:
            try:
                copy = error if kind is type(error) else kind(str(error))
                copy.__dict__.setdefault("__notes__", getattr(error, "__notes__", []))
                pickled = cloudpickle.dumps(copy)
                if str(pickle.loads(pickled)) == str(error):  # noqa: S301 - made one line above
                    told = pickled
                    break
            except Exception:  # noqa: S112 - whatever an exception's own code does
                continue
        return cls(told, text, trace)

    def raised(self) -> Exception:
        """Return the error, ready to be raised."""
        try:
            error = pickle.loads(self.error)  # noqa: S301 - the cluster is one trust domain
        except Exception:
            error = RuntimeError(self.text)
        error.__cause__ = RemoteTraceback(f"\n{self.trace}")
        return error


class RemoteTraceback(Exception):  # noqa: N818 - it is no error of its own
    """Where an error arose in a worker; the cause of the one that is raised."""


class Worker:
    """An actor's side. Its methods return what went wrong instead of raising it.

    Ray's own errors then mean one thing alone: that an actor, or what it held, is lost.
    """

    def begin(self, setup: Setup) -> dict[str, Any] | Failure:
        """Build the model; return where this runs, and the versions that bits depend on."""
        try:
            return self._begin(setup)
        except Exception as error:
            return Failure.of(error)

    def work(self, unit: Unit, ask: int, payload: Any) -> Done | Failure:
        """Do a unit.

        Args:
            unit: What to do.
            ask: Number of the Ask that it is part of; its payload is taken once.
            payload: What the server sends.
        """
        try:
            if self._ask[0] != ask:
                self._ask = (ask, _own(payload))
            result = self._do(unit, self._ask[1])
            return Done(result, self._trainer.compilations)
        except Exception as error:
            return Failure.of(error)

    # ------------------------------------------------------------------ the beginning

    def _begin(self, setup: Setup) -> dict[str, Any]:
        import keras

        ray = load_ray()

        for name, value in setup.keras.items():
            getattr(keras.config, f"set_{name}")(value)
        function, sample, seed, plan, seeds = pickle.loads(setup.recipe)  # noqa: S301
        learner = KerasLearner(function)
        learner.build(sample, seed)
        if learner.layout().hash != setup.layout:
            raise ConfigurationError(
                "the model function returned another model on a worker than in the driver's process. Make it "
                "return the same layers everywhere, or use engine='vector'."
            )
        self._plan: Plan = plan
        self._seeds: Seeds = seeds
        self._first = setup.first
        self._ask: tuple[int, Any] = (-1, None)
        self._sizes: set[int] = set()
        self._train, self._held_out = _blocks(setup.train), _blocks(setup.held_out)
        nothing = LocalTask(
            start=plan.initial, batches=Batches.from_arrays([]), batch_size=plan.algorithm.batch_size
        )
        self._trainer = CohortTrainer(
            learner, {"": setup.first}, sample=nothing, workers=1, strategy=setup.strategy
        )
        return {"node": ray.get_runtime_context().get_node_id(), "versions": versions()}

    # ------------------------------------------------------------------ a unit

    def _do(self, unit: Unit, payload: Any) -> Part | dict[str, Reply]:
        begun = time.perf_counter()
        crew = self._crew(unit)
        spent = time.perf_counter() - begun
        memories = unit.memories
        if unit.work == "evaluate":
            return {name: crew.evaluate(0, name, payload, memories.get(name, {})) for name in unit.names}
        if unit.work == "add":
            part = crew.add(0, unit.names, payload, memories, leaf=unit.leaf, room=unit.room)
        else:
            part = Part()
            for name in unit.names:
                sent = crew.send(0, name, payload, memories)
                part.replies.update(sent.replies)
                part.learned.update(sent.learned)
                for phase, seconds in sent.spent_s.items():
                    part.spent_s[phase] = part.spent_s.get(phase, 0.0) + seconds
        part.spent_s["gather"] = part.spent_s.get("gather", 0.0) + spent
        return part

    def _crew(self, unit: Unit) -> Crew:
        """Return a crew for the clients of a unit, with their rows in place."""
        held: list[Examples | None] = [None] * len(unit.names)
        if unit.work == "evaluate" or self._plan.local_metrics:
            held = [None if at is None else self._held_out(at[0]).of(at[1]) for at in unit.held_out]
        if unit.work == "evaluate":
            views = [View(base=self._first, index=np.zeros(0, np.int64)) for _ in unit.names]
        else:
            people = self._population(unit)
            self._trainer.place(people)
            views = [View(base=people.rows, index=people.index[name]) for name in unit.names]
        sites = {
            name: Site(name=name, data=ClientData(train=view, validation=rows))
            for name, view, rows in zip(unit.names, views, held, strict=True)
        }
        return Crew(plan=self._plan, sites=sites, seeds=self._seeds, trainer=self._trainer)

    def _population(self, unit: Unit) -> Population:
        """Return the rows of a unit's clients.

        Row 0 is the first of the whole population, as it is on the vector engine: that is the row which
        programs read (with weight 0) where a minibatch is short. At the end there are rows of zeros, so that
        units of different sizes share programs.
        """
        room = self._room(1 + sum(unit.rows))
        rows = Examples(
            x=map_arrays(self._first.x, lambda a: _zeros(a, room)),
            y=map_arrays(self._first.y, lambda a: _zeros(a, room)),
            sample_weight=None
            if self._first.sample_weight is None
            else _zeros(self._first.sample_weight, room),
            columns=self._first.columns,
        )
        into = arrays_of(rows)
        for array, first in zip(into, arrays_of(self._first), strict=True):
            array[0] = first[0]
        index, begin = {}, 1
        for name, count, (number, place) in zip(unit.names, unit.rows, unit.train, strict=True):
            part = self._train(number).of(place)
            if rows.sample_weight is not None and part.sample_weight is None:
                part = replace(part, sample_weight=np.ones(count, np.float32))
            for array, values in zip(into, arrays_of(part), strict=True):
                array[begin : begin + count] = values
            index[name] = np.arange(begin, begin + count)
            begin += count
        return Population(rows=rows, index=index)

    def _room(self, rows: int) -> int:
        """Return the number of rows to fill up to: one that programs are compiled for, or a power of two."""
        fits = [size for size in self._sizes if rows <= size <= ROOM * rows]
        size = min(fits, default=1 << (rows - 1).bit_length())
        self._sizes.add(size)
        return size


def _blocks(references: Sequence[Any]) -> Callable[[int], Block]:
    """Return what gets a block by its number; a few are kept at hand."""
    get: Any = load_ray().get
    return functools.lru_cache(KEPT)(lambda number: get(references[number]))


def _zeros(like: Any, rows: int) -> Any:
    return np.zeros((rows, *like.shape[1:]), like.dtype)


def _own(payload: Any) -> Any:
    """Return what the server sends as arrays of the worker's own, which may be written to."""
    if isinstance(payload, Start):
        extra = {name: np.array(array) for name, array in payload.extra.items()}
        return replace(payload, weights=payload.weights.copy(), extra=extra)
    return np.array(payload)

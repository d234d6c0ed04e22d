"""The Ray engine: the vector engine's work on the machines of a cluster, with the same bytes."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar, final

import numpy as np

from hansa import client
from hansa.engine.cohort import Cohort
from hansa.engine.crew import CALL_BYTES, CALLS, Part, leaves_by_call
from hansa.engine.engine import Declared, Staging, check_workers
from hansa.engine.parties import Parties, answer_of
from hansa.engine.ray_fleet import Fleet
from hansa.engine.ray_rows import Packer
from hansa.engine.ray_session import SESSION, load_ray
from hansa.engine.ray_setup import Setup, environment, keras_settings, recipe
from hansa.engine.ray_worker import Unit
from hansa.errors import ConfigurationError
from hansa.plan import PERSONAL, Plan
from hansa.rng import Seeds
from hansa.round import first_state
from hansa.secure_sum.tree import leaf_size
from hansa.train.cohort import CohortTrainer, cores
from hansa.train.keras_learner import KerasLearner
from hansa.train.learner import Learner, class_weighted
from hansa.train.population import population
from hansa.types import Answer, Ask, Examples, Memory, Reply, Start, TrainRows, Unread, View


@final
@dataclass(frozen=True)
class RayCluster(Declared):
    """The machines of a Ray cluster, each CPU training clients in compiled programs (Keras models only).

    What a run gives is what `Vector` gives, bit for bit, so that it may be resumed on either. That holds on
    nodes with like processors and the same versions (these are checked); workers train on CPUs.

    Assumes:
        A Ray cluster is one trust domain: whoever may use it can run code on all of its machines, and sees
        the rows. Model function, algorithm and rows are sent to its workers (Ray pickles them). Access
        needs Ray's token, which a Ray that is started here makes by itself (``~/.ray/auth_token``). Ray does
        not encrypt: use it within a network that you trust.

    Attributes:
        address: ``"auto"`` joins the cluster that this machine is part of, ``"host:port"`` the one there.
            None takes RAY_ADDRESS if it is set, and else starts Ray on this machine alone. Where this
            process is connected to Ray already, that connection is used.
        workers: Number of actors that train; None takes one for each CPU of the cluster. The result does
            not depend on it.
        strategy: How a client's minibatches are compiled, as in `Vector`.
    """

    keeps_rows: ClassVar[bool] = False

    address: str | None = None
    workers: int | None = None
    strategy: str | None = None

    def __post_init__(self) -> None:
        check_workers(self.workers)
        if self.address is not None and (not isinstance(self.address, str) or not self.address):
            raise ConfigurationError(f"address must be 'auto' or 'host:port', got {self.address!r}.")

    def start(
        self,
        plan: Plan,
        sites: Mapping[str, client.Site],
        learner: Learner,
        seeds: Seeds,
        *,
        server: Examples | None,
        known: Mapping[str, Any],
    ) -> RayEngine:
        """Return the engine, with the rows in the object store and the workers ready.

        Raises:
            MissingExtraError: If Ray is not installed.
            ConfigurationError: If the cluster cannot be reached, or its workers cannot build the model.
        """
        if not isinstance(learner, KerasLearner):
            raise ConfigurationError(
                f"the Ray engine compiles Keras models; {type(learner).__name__} is none. Use engine='local'."
            )
        load_ray()
        return RayEngine(
            plan,
            sites,
            learner,
            seeds,
            server=server,
            address=self.address,
            workers=self.workers,
            strategy=self.strategy or known.get("strategy"),
        )


class RayEngine(Staging):
    """Gives the calls of the vector engine to actors of a Ray cluster, and adds up what they return.

    All rows lie in the object store of this machine (which spills to its disk), and clients' memories in this
    process, so that no other machine's end loses anything: what was under way there is done again elsewhere.
    Rows are read client by client and put there block by block: this process holds a block at a time.

    Guarantees:
        The result depends on plan, seeds and strategy, and is that of `VectorEngine`, whatever the number of
        workers, the timing, and the actors and nodes that are lost.
    """

    def __init__(
        self,
        plan: Plan,
        sites: Mapping[str, client.Site],
        learner: KerasLearner,
        seeds: Seeds,
        *,
        server: Examples | None,
        address: str | None = None,
        workers: int | None = None,
        strategy: str | None = None,
    ) -> None:
        """Connect to Ray, hand the population over and start the workers.

        Args:
            plan: The plan of the run.
            sites: Each client's name and rows.
            learner: The model, built.
            seeds: The run's seeds.
            server: The server's validation rows, or None.
            address: Where the cluster is (see `RayCluster`).
            workers: Number of actors, or None for one a CPU.
            strategy: How to compile, or None to choose.
        """
        super().__init__()
        self._plan, self._learner, self._server = plan, learner, server
        self._parties = Parties.of(plan, sites, seeds)
        self._strategy, self._adds = _strategy(plan, sites, learner, seeds, strategy)
        self._asked = 0
        SESSION.join(address, workers or cores())
        self._open = True
        self._ray = load_ray()
        try:
            self._begin(sites, seeds, workers)
        except BaseException:
            SESSION.leave()
            raise

    def answer(self, ask: Ask) -> Answer:
        """Let the clients do what is asked."""
        if ask.phase == "train":
            return self._train(ask)
        if ask.phase == "tell":
            return self._tell(ask)
        if ask.place is not None:
            return answer_of(ask, {name: self._parties.reply(name, ask) for name in ask.clients})
        if ask.phase == "evaluate":
            return self._evaluate(ask)
        if ask.phase == "validate" and self._server is not None:
            reply = client.validate(self._plan, self._server, self._learner, weights=ask.payload)
            return Answer(replies={"@server": reply})
        raise ConfigurationError(f"the Ray engine cannot answer the phase {ask.phase!r}.")

    def describe(self) -> dict[str, Any]:
        """Return kind and strategy: those of the vector engine, whose result this is."""
        return {"kind": "vector", "strategy": self._strategy}

    def facts(self) -> dict[str, Any]:
        """Return kind, strategy, number of workers, of nodes and of compiled programs."""
        if not self._open:
            return self._last
        hands = self._fleet.hands
        return {
            "kind": "ray",
            "strategy": self._strategy,
            "workers": len(hands),
            "nodes": len({hand.node for hand in hands}),
            "compilations": sum(hand.compilations for hand in hands),
        }

    def close(self) -> None:
        """Kill the workers; and shut Ray down, if it was started for them."""
        if self._open:
            self._last = self.facts()
            self._open = False
            self._fleet.close()
            self._blocks = []
            SESSION.leave()

    # ------------------------------------------------------------------ the beginning

    def _begin(self, sites: Mapping[str, client.Site], seeds: Seeds, workers: int | None) -> None:
        plan, learner = self._plan, self._learner
        train, held_out, first = self._put(sites)
        self._train_at, self._held_at = train.places, held_out.places
        self._blocks = [*train.blocks, *held_out.blocks]
        setup = Setup(
            recipe=recipe(plan, learner, seeds),
            keras=keras_settings(),
            strategy=self._strategy,
            layout=learner.layout().hash,
            first=first,
            train=train.blocks,
            held_out=held_out.blocks,
        )
        if workers is None:
            workers = max(1, int(self._ray.cluster_resources().get("CPU", 1)))
        self._fleet = Fleet(self._ray.put(setup), workers=workers, environment=environment())

    def _put(self, sites: Mapping[str, client.Site]) -> tuple[Packer, Packer, Examples]:
        """Put clients' rows into the object store, reading one client at a time.

        Returns:
            Where the training rows are, where those to measure on are, and the first row of the population,
            of the dtypes that all clients' rows have together.
        """
        plan = self._plan
        train, held_out = Packer(self._ray.put), Packer(self._ray.put)
        self._rows: dict[str, int] = {}
        self._validating: set[str] = set()
        base = _shared(sites)
        base = None if base is None else class_weighted(base, plan.class_weight)
        first = None if base is None else base.take(np.zeros(1, np.int64))
        for name, site in sites.items():
            data = site.data.read()
            if base is not None and isinstance(data.train, View):
                rows: TrainRows = View(base=base, index=data.train.index)
            else:
                rows = class_weighted(data.train.whole(), plan.class_weight)
            first = rows.take(np.zeros(1, np.int64)) if first is None else first
            self._rows[name] = len(rows)
            train.add(name, rows)
            if data.validation is not None and len(data.validation):
                self._validating.add(name)
                held_out.add(name, data.validation)
            elif plan.local_metrics:
                held_out.add(name, data.train)
        train.close()
        held_out.close()
        forms = {str(number): form for number, form in enumerate(train.forms)}
        return train, held_out, population(forms if first is None else {"": first, **forms}).rows

    # ------------------------------------------------------------------ work

    def _train(self, ask: Ask) -> Answer:
        cohort = Cohort(ask, self._plan)
        self._staged = cohort.learned
        leaf, count = cohort.total.leaf, len(ask.clients)
        if ask.reduce == "sum" and self._adds and self._plan.adds_changes:
            calls = leaves_by_call(count, leaf, self._plan.layout.size)
            spans = [range(call.start * leaf, min(call.stop * leaf, count)) for call in calls]
            leaves = {call.start * leaf: call for call in calls}
            room = leaf * max(map(len, calls), default=1)
            units = [self._unit("add", ask, span, leaf=leaf, room=room) for span in spans]
        else:
            leaves = {}
            units = [self._unit("send", ask, span) for span in _spans(count, self._plan.update_bytes)]

        def take(unit: Unit, part: Part) -> None:
            sent = self._parties.sent(_owned(part), ask)
            cohort.take(sent, first=unit.first, leaves=leaves.get(unit.first))

        self._run(ask, units, take)
        return cohort.answer()

    def _tell(self, ask: Ask) -> Answer:
        """Let workers measure, and clients tell metrics through a secure sum."""
        measured: Mapping[str, Reply] = {}
        if ask.payload is not None:
            measured = self._evaluate(replace(ask, phase="evaluate")).replies
        told = {name: self._parties.told(name, measured.get(name), ask) for name in ask.clients}
        return answer_of(ask, told)

    def _evaluate(self, ask: Ask) -> Answer:
        replies: dict[str, Reply] = {}
        units = [self._unit("evaluate", ask, span) for span in _spans(len(ask.clients), 1)]
        self._run(ask, units, lambda _, told: replies.update(told))
        ordered = {name: replies[name] for name in ask.clients}
        return Answer(replies=ordered, bytes_down=ask.payload.nbytes * len(ask.clients))

    def _run(self, ask: Ask, units: Sequence[Unit], take: Callable[[Unit, Any], None]) -> None:
        self._asked += 1
        number, payload = self._asked, self._ray.put(ask.payload)
        self._fleet.run(units, lambda actor, unit: actor.work.remote(unit, number, payload), take)

    def _unit(self, work: Any, ask: Ask, span: range, leaf: int = 1, room: int = 1) -> Unit:
        names = ask.clients[span.start : span.stop]
        measured = self._validating if work == "evaluate" else self._held_at
        return Unit(
            work=work,
            first=span.start,
            names=names,
            rows=tuple(self._rows[name] for name in names),
            train=tuple(self._train_at[name] for name in names),
            held_out=tuple(self._held_at[name] if name in measured else None for name in names),
            memories=self._memories(work, names),
            leaf=leaf,
            room=room,
        )

    def _memories(self, work: str, names: Sequence[str]) -> dict[str, Memory]:
        """Return what the work needs of what clients remember."""
        if work != "evaluate":
            return {name: self.memories[name] for name in names if name in self.memories}
        known = {name: self.remembered(name) for name in names}
        return {name: {PERSONAL: memory[PERSONAL]} for name, memory in known.items() if PERSONAL in memory}


def _shared(sites: Mapping[str, client.Site]) -> Examples | None:
    """Return the arrays that all clients share, or None where they have rows of their own."""
    bases: list[Examples] = []
    for site in sites.values():
        if isinstance(site.data, Unread) or not isinstance(site.data.train, View):
            return None
        bases.append(site.data.train.base)
    return bases[0] if all(base is bases[0] for base in bases) else None


def _strategy(
    plan: Plan, sites: Mapping[str, client.Site], learner: KerasLearner, seeds: Seeds, given: str | None
) -> tuple[str, bool]:
    """Return the strategy, chosen here as the vector engine does, and whether workers add changes up."""
    name, site = next(iter(sites.items()))
    site = replace(site, data=site.data.read())
    state = first_state(plan)
    start = Start(round=0, weights=state.weights, extra=plan.algorithm.broadcast(state))
    sample = client.begin(plan, site, start=start, memory={}, seeds=seeds)
    size = len(plan.draw(0, seeds)) or 1
    leaf = leaf_size(size)
    trainer = CohortTrainer(
        learner,
        {name: site.data.train.whole()},
        sample=sample,
        class_weight=plan.class_weight,
        workers=1,
        strategy=given,
        leaf=leaf,
        room=len(leaves_by_call(size, leaf, plan.layout.size)[0]) * leaf if plan.adds_changes else 1,
    )
    return trainer.strategy, trainer.adds


def _spans(count: int, each: int) -> list[range]:
    """Return ranges of positions: so many that workers end together, and with results of bounded size."""
    size = min(max(1, count // CALLS), max(1, CALL_BYTES // each))
    return [range(first, min(first + size, count)) for first in range(0, count, size)]


def _owned(part: Part) -> Part:
    """Copy what outlives the round out of the object store, which else could not let go of it."""
    copied = {
        name: reply if reply.delta is None else replace(reply, delta=_copied(reply.delta))
        for name, reply in part.replies.items()
    }
    learned = {n: {key: np.array(value) for key, value in m.items()} for n, m in part.learned.items()}
    return replace(part, replies=copied, learned=learned)


def _copied(delta: Any) -> Any:
    return replace(delta, vector=delta.vector.copy())

"""What federation is worth: each client alone, all of them together, and all rows pooled in one place.

Pooling is what a federation is there to avoid; it is possible in simulation only, and says how much
is lost by not pooling.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from hansa.algorithms.fedavg import FedAvg
from hansa.api.federation import Federation
from hansa.api.inputs import check_rounds
from hansa.api.loop import drive
from hansa.client import Site
from hansa.cohort import AllClients
from hansa.engine.local import LocalEngine
from hansa.errors import ConfigurationError, DataError
from hansa.plan import Plan
from hansa.report.data import Comparison
from hansa.round import first_state, round_steps
from hansa.types import Array, ClientData, DataCard, Examples, FloatVector, View

Step = Callable[[str], None]


def compare(
    federation: Federation,
    rounds: int,
    *,
    metric: str = "accuracy",
    higher_is_better: bool = True,
    pooled: bool = True,
    on_step: Step | None = None,
) -> Comparison:
    """Train every client alone, and once on the pooled rows, and set them beside the fitted federation.

    All start from the same weights and do as many rounds of the same local work: a client alone, and
    all rows pooled, are federated averaging of one (with `FedSGD` a gradient step of one). The pooled
    model sees each row as its client preprocessed it. Each is measured on every client's own test rows
    (its validation rows, if it has no test rows); a client with neither takes part and is not measured.

    Args:
        federation: A fitted federation. Its own state is not changed.
        rounds: Number of rounds for the trainings alone and pooled.
        metric: Name of the metric to set side by side, or ``"loss"``.
        higher_is_better: Whether a greater value is better.
        pooled: Whether to train on the pooled rows as well.
        on_step: Is told the name of each training before it begins.

    Raises:
        ConfigurationError: If the federation is not fitted or has no such metric, or there are no rounds.
        DataError: If no client has rows to test on.
    """
    check_rounds(rounds)
    together, memories = federation.weights, federation.memories
    sites = federation.prepare().sites
    plan = federation.plan(clients_validate="none")
    tests = {name: _test_rows(site) for name, site in sites.items()}
    if not any(len(rows) for rows in tests.values()):
        raise DataError(
            "no client has test or validation rows to compare on; give clients a Split with test rows."
        )

    def measured(weights: FloatVector, name: str) -> float | None:
        if not len(tests[name]):
            return None
        metrics = federation.learner.evaluate(weights, tests[name], plan.evaluation_batch_size)
        if metric not in metrics:
            raise ConfigurationError(
                f"there is no metric {metric!r}; the model reports {', '.join(metrics)}."
            )
        return metrics[metric]

    shared = plan.shared_part(together)
    federated = {name: measured(plan.full(shared, memories.get(name)), name) for name in sites}
    rows: dict[str, dict[str, float | None]] = {}
    for name, site in sites.items():
        tell(on_step, f"alone: {name}")
        alone = _train_one(federation, plan, site, rounds)
        rows[name] = {"local": measured(alone, name), "federated": federated[name]}
    if pooled:
        tell(on_step, "pooled")
        everyone = _train_one(
            federation, plan, Site(name="pooled", data=ClientData(train=_pool(sites))), rounds
        )
        for name, row in rows.items():
            row["pooled"] = measured(everyone, name)
    ways = ("local", "federated", "pooled") if pooled else ("local", "federated")
    means = {way: _mean([row[way] for row in rows.values()]) for way in ways}
    return Comparison(
        metric=metric,
        higher_is_better=higher_is_better,
        rows=rows,
        test_examples={name: len(r) for name, r in tests.items()},
        average=means,
        note=_note(sites, rounds),
    )


def tell(on_step: Step | None, name: str) -> None:
    """Say what comes next, if anybody listens."""
    if on_step is not None:
        on_step(name)


def _train_one(federation: Federation, plan: Plan, site: Site, rounds: int) -> FloatVector:
    """Train one client alone with the federation's local work and learner."""
    work = federation.algorithm
    algorithm = work
    if work.work == "train":
        algorithm = FedAvg(
            epochs=work.epochs,
            steps=work.steps,
            batch_size=work.batch_size,
            shuffle=work.shuffle,
            carry_over=work.carry_over,
        )
    card = DataCard(
        examples={"train": len(site.data.train)}, features=None, labels=next(iter(plan.cards.values())).labels
    )
    alone = Plan(
        clients=(site.name,),
        cards={site.name: card},
        layout=plan.layout,
        initial=plan.initial,
        algorithm=algorithm,
        cohort=AllClients(),
        class_weight=plan.class_weight,
        clients_validate="none",
    )
    engine = LocalEngine(alone, {site.name: site}, federation.learner, federation.seeds, server=None)
    state = first_state(alone)
    for _ in range(rounds):
        state, _ = drive(round_steps(alone, state, federation.seeds), engine)
        engine.commit()
    return state.weights


def _test_rows(site: Site) -> Examples:
    data = site.data
    for rows in (data.test, data.validation):
        if rows is not None and len(rows):
            return rows
    return data.train.take(np.arange(0))


def _note(sites: Mapping[str, Site], rounds: int) -> str:
    note = f"Every training starts from the same weights and does {rounds} rounds of the same local work. "
    without = [name for name, site in sites.items() if not len(_test_rows(site))]
    if without:
        note += f"No rows to measure on: {', '.join(without)}. "
    return note + "The average is over the clients that were measured, each counting the same."


def _pool(sites: Mapping[str, Site]) -> Examples:
    rows = [site.data.train for site in sites.values()]
    views = [part for part in rows if isinstance(part, View)]
    if len(views) == len(rows) and len({id(view.base) for view in views}) == 1:
        return views[0].base.take(np.concatenate([view.index for view in views]))
    parts = [part.whole() for part in rows]
    weights = None
    if any(p.sample_weight is not None for p in parts):
        weights = np.concatenate(
            [np.ones(len(p), np.float32) if p.sample_weight is None else p.sample_weight for p in parts]
        )
    return Examples(
        x=_join([p.x for p in parts]),
        y=_join([p.y for p in parts]),
        sample_weight=weights,
        columns=parts[0].columns,
    )


def _join(trees: list[Any]) -> Any:
    if isinstance(trees[0], dict):
        return {key: _join([tree[key] for tree in trees]) for key in trees[0]}
    if isinstance(trees[0], tuple):
        return tuple(_join([tree[i] for tree in trees]) for i in range(len(trees[0])))
    joined: Array = np.concatenate(trees)
    return joined


def _mean(values: list[float | None]) -> float:
    known = [v for v in values if v is not None]
    return float(np.mean(known)) if known else float("nan")

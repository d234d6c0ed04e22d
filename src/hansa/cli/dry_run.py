"""``hansa run --dry-run``: what a run would send and keep. Nothing is trained or written."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np
from rich.console import Console
from rich.text import Text

from hansa.algorithms import Scaffold
from hansa.cli.job import Job, assemble
from hansa.cohort import FixedSize, Poisson
from hansa.encode import compress
from hansa.plan import Plan
from hansa.round import first_state
from hansa.secure_sum.interface import Planned
from hansa.ui import JsonProgress
from hansa.ui.words import bytes_of, counted


def estimate(job: Job) -> dict[str, Any]:
    """Return the numbers of a run: clients, rows, parameters, bytes of a round, bytes on disk.

    The data are read and the model is built, so that what cannot work is told here as well.
    """
    made = assemble(job)
    keys, federation = job.declaration.run, made.federation
    plan: Plan = federation.plan(
        server_validates=made.validation is not None,
        clients_validate=keys.clients_validate,
        validation_freq=keys.validation_freq,
        local_metrics=keys.local_metrics,
    )
    state, cohort = first_state(plan), expected_cohort(plan)
    extra = sum(array.nbytes for array in plan.algorithm.broadcast(state).values())
    down, up = plan.shared.size * 4 + extra, _sent(plan)
    each_round = cohort * (down + up) + _measuring(plan, cohort)
    # What a client remembers: its personal layers, and SCAFFOLD's control variate.
    memory = 4 * (plan.layout.size - plan.shared.size)
    memory += 4 * plan.shared.size if isinstance(plan.algorithm, Scaffold) else 0
    kept = state.weights.nbytes + sum(array.nbytes for array in state.slots.values()) + round(cohort * memory)
    evidence = round(_to_verify(plan, cohort)) if keys.verifiable else 0
    return {
        "title": federation.title,
        "backend": federation.backend,
        "algorithm": plan.algorithm.describe()["kind"],
        "clients": len(plan.clients),
        "training_rows": sum(card.examples.get("train", 0) for card in plan.cards.values()),
        "parameters": plan.layout.size,
        "rounds": keys.rounds,
        "cohort": cohort,
        "secure_sum": plan.sums.describe()["kind"],
        "secure_sum_explained": plan.sums.explain(),
        "claims_explained": None
        if (claimed := federation.prepare().claimed) is None
        else claimed.terms.explain(),
        "guarantee": None if plan.private is None else plan.private.guarantee().describe(),
        "privacy": None if plan.private is None else str(plan.private.guarantee()),
        "bytes_down_per_client": down,
        "bytes_up_per_client": up,
        "bytes_per_round": round(each_round),
        "bytes_total": round(each_round * keys.rounds),
        "checkpoint_bytes_per_round": kept,
        "verification_bytes_per_round": evidence,
        "disk_bytes": (kept + evidence) * keys.rounds,
    }


def _sent(plan: Plan) -> int:
    """Return the bytes that a client sends for its update; signatures, hashes and names are not in it."""
    if plan.compress is not None:
        ones = np.ones(plan.update_size, np.float32)
        return len(compress(plan.compress, ones, None, np.random.default_rng(0))[0])
    if plan.secure_sum.sends_update:
        return plan.update_bytes
    return _through(plan.sums)


def _to_verify(plan: Plan, cohort: float) -> float:
    """Return the bytes of a round that are kept for whoever verifies it: all but what holders are dealt."""
    if not plan.sums.verifiable:
        return 0.0
    asked = 0 if plan.telling is None else len(plan.clients) if plan.clients_validate == "all" else cohort
    told = 0.0 if plan.telling is None else asked * (_through(plan.telling) - _shares(plan.telling))
    return cohort * (_through(plan.sums) - _shares(plan.sums)) + told


def _through(sums: Planned) -> int:
    """Return the bytes that a client sends through a secure sum."""
    told = sums.describe()
    parts = ("share_bytes", "opening_bytes", "proof_bytes")
    return told["bytes"] + sum(told.get(part, 0) for part in parts)


def _measuring(plan: Plan, cohort: float) -> float:
    """Return the bytes that measuring takes in a round: new models to clients, and sums of metrics back."""
    if plan.telling is None:
        return evaluated(plan, cohort) * plan.shared.size * 4
    asked = len(plan.clients) if plan.clients_validate == "all" else cohort
    models = 0.0 if plan.clients_validate == "none" else asked * plan.shared.size * 4 / plan.validation_freq
    # What is shared travels twice: to the server, and from it to the holders.
    return models + asked * _through(plan.telling) + sum(map(_shares, (plan.sums, plan.telling))) * asked


def _shares(sums: Planned) -> int:
    return sums.describe().get("share_bytes", 0)


def expected_cohort(plan: Plan) -> float:
    """Return how many clients take part in a round, on average."""
    if isinstance(plan.cohort, FixedSize):
        return plan.cohort.size
    return plan.cohort.rate * len(plan.clients) if isinstance(plan.cohort, Poisson) else len(plan.clients)


def evaluated(plan: Plan, cohort: float) -> float:
    """Return how many clients are sent the new model to measure it, on average over the rounds."""
    holders = sum(card.examples.get("validation", 0) > 0 for card in plan.cards.values())
    shares = {"all": 1.0, "cohort": cohort / len(plan.clients), "none": 0.0}
    return holders * shares[plan.clients_validate] / plan.validation_freq


def tell_estimate(values: dict[str, Any], *, json: bool) -> None:
    """Write an estimate for people or for programs."""
    if json:
        JsonProgress().write({"event": "dry-run", **values})
        return
    console = Console(file=sys.stdout, highlight=False)
    console.print(Text(str(values["title"]), style="bold"))
    console.print(Text("dry run: nothing is trained, nothing is written", style="dim"))
    console.print()
    kept = bytes_of(values["checkpoint_bytes_per_round"])
    evidence = values["verification_bytes_per_round"]
    to_verify = f", {bytes_of(evidence)} of sealed sums, for hansa verify" if evidence else ""
    down, up = bytes_of(values["bytes_down_per_client"]), bytes_of(values["bytes_up_per_client"])
    lines = [
        ("clients", f"{counted(values['clients'], 'client')} with {values['training_rows']:,} training rows"),
        (
            "model",
            f"{counted(values['parameters'], 'parameter')}, {values['algorithm']}, on {values['backend']}",
        ),
        ("rounds", f"{counted(values['rounds'], 'round')} of {values['cohort']:g} clients each"),
        ("a client", f"receives {down} and sends {up} for each training"),
        ("a round", f"{bytes_of(values['bytes_per_round'])} of payload, evaluation included"),
        ("the run", f"{bytes_of(values['bytes_total'])} of payload"),
        ("sums", str(values["secure_sum"])),
        ("disk", f"{bytes_of(values['disk_bytes'])}: {kept} a round of checkpoints{to_verify}"),
    ]
    if values["privacy"]:
        lines.append(("privacy", str(values["privacy"])))
    for name, value in lines:
        line = Text(f"{name:10}", style="dim")
        line.append(value)
        console.print(line)
    console.print()
    console.print(Text(str(values["secure_sum_explained"])))
    if values["claims_explained"]:
        console.print(Text(str(values["claims_explained"])))

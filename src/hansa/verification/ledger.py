"""The ledger of privacy in a run's log: what was charged, added up again."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, Literal

from hansa.errors import ConfigurationError, LogError, MissingExtraError
from hansa.privacy import accountant
from hansa.privacy.accountant import Accountant
from hansa.privacy.budget import relation
from hansa.privacy.events import Event, Gaussian, Repeated, Several, read_event
from hansa.privacy.terms import Neighbours
from hansa.store.canonical import canonical_json, parse_json

_SLACK = 1e-6
"""Relative: two machines' accountants differ by less."""
_MOST_SEARCHED = 100
"""Silos of which the tightest bound, which takes a second, is looked for."""


def check_ledger(config: Mapping[str, Any], charged: Sequence[Mapping[str, Any]]) -> str:
    """Add up what rounds were charged for; return what of it could not be, in words; empty where all was.

    Args:
        config: The configuration, with the plan of privacy.
        charged: What each round's record says of privacy, in order.

    Raises:
        LogError: If less was told than was spent, more than the budget was spent, or an entry is not one of
            this plan.
    """
    plan = config["privacy"]
    for number, entry in enumerate(charged):
        _check_entry(plan, number, entry, charged[number - 1] if number else None)
    silos = [entry.get("silos") for entry in charged]
    if not all("event" in entry for entry in charged) and any(silo is None for silo in silos):
        return "what each silo was charged for is in the coordinator's private log: epsilon was not added up"
    last = charged[-1]
    try:
        return _added_up(_events(plan, charged), last, relation(plan["neighbours"]))
    except MissingExtraError:
        return "epsilon was not added up: dp-accounting is not installed"


def _added_up(events: Sequence[Event], last: Mapping[str, Any], neighbours: Neighbours) -> str:
    """Return why not all was added up, if so.

    Raises:
        LogError: If one of these events spends more than the log tells.
    """
    most, delta = last["epsilon"] * (1 + _SLACK) + _SLACK, last["delta"]

    def spent(event: Event, how: Accountant | Literal["best"]) -> float:
        return accountant.spent(event, delta=delta, neighbours=neighbours, accountant=how).epsilon

    # A bound that takes a millisecond clears most; the tightest is for the others.
    doubtful = [event for event in dict.fromkeys(events) if not spent(event, "rdp") <= most]
    for event in doubtful[:_MOST_SEARCHED]:
        if not (found := spent(event, "best")) <= most:
            raise LogError(f"an epsilon of {found:.6g} was spent, and the log tells {last['epsilon']:.6g}.")
    return f"epsilon was added up for {_MOST_SEARCHED} silos only" if doubtful[_MOST_SEARCHED:] else ""


def _check_entry(
    plan: Mapping[str, Any], number: int, entry: Mapping[str, Any], before: Mapping[str, Any] | None
) -> None:
    where = f"round {number}: the ledger of privacy"
    try:
        epsilon, rounds, delta = float(entry["epsilon"]), entry["rounds"], float(entry["delta"])
    except (KeyError, TypeError, ValueError) as error:
        raise LogError(f"{where} has no entry: {error!r}.") from error
    if rounds != number + 1 or rounds > plan["rounds"] or delta != plan["delta"]:
        raise LogError(
            f"{where} tells {rounds!r:.20} rounds and a delta of {delta:g}; that is not the plan's."
        )
    if not epsilon >= 0 or (before is not None and epsilon < before["epsilon"] * (1 - _SLACK)):
        raise LogError(f"{where} tells an epsilon of {epsilon:g}, less than the round before.")
    budget = plan.get("budget")
    if budget is not None and epsilon > budget["epsilon"] * (1 + _SLACK):
        raise LogError(f"{where} tells an epsilon of {epsilon:g}; the budget is {budget['epsilon']:g}.")


def _events(plan: Mapping[str, Any], charged: Sequence[Mapping[str, Any]]) -> list[Event]:
    """Return all that each silo was charged for; or the one event of whole clients, of all rounds."""
    try:
        if "event" in charged[-1]:
            # Of plans whose noise is in what clients seal, rounds done again have compared the whole event.
            if plan["kind"] == "CentralDP":
                _check_noise("a round", plan["noise_multiplier"] / _group(plan), charged[-1]["event"])
            return [read_event(charged[-1]["event"])]
        counts: dict[str, Counter[bytes]] = {}
        for entry in charged:
            for silo, event in entry["silos"].items():
                counts.setdefault(silo, Counter())[canonical_json(event)] += 1
        for silo, own in counts.items():
            for event in own:
                _check_noise(silo, plan["noise_multiplier"][silo], parse_json(event))
        return [
            Several(events=tuple(_repeated(read_event(parse_json(e)), n) for e, n in own.items()))
            for own in counts.values()
        ]
    except (ConfigurationError, KeyError, TypeError, AttributeError) as error:
        raise LogError(f"the ledger of privacy has an entry that is none: {error!r}.") from error


def _repeated(event: Event, count: int) -> Event:
    if isinstance(event, Repeated):
        return Repeated(event=event.event, count=event.count * count)
    return Repeated(event=event, count=count)


def _check_noise(silo: str, noise: float, event: Any) -> None:
    """Raise `LogError` unless a silo was charged for the noise that the configuration gives it."""
    while isinstance(event, dict) and "event" in event:
        event = event["event"]
    if event == Several().describe():
        return  # it took no step
    if event != Gaussian(noise_multiplier=noise).describe():
        raise LogError(f"{silo!r:.60} was charged for {event!r:.100}; the plan says a noise of {noise:g}.")


def _group(plan: Mapping[str, Any]) -> int:
    """Return how many clients may hold the data of one who is protected."""
    return plan["protects"]["person"] if isinstance(plan["protects"], dict) else 1

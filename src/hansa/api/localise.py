"""The step before the first round: every party reads, checks, splits and preprocesses its own rows."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from hansa.api.certify import Claimed, claimed_of, terms_of
from hansa.claims.claims import Claims
from hansa.client import Site
from hansa.data.cards import card, cards, check_cards
from hansa.data.client import Client
from hansa.data.prepare import Federated, Reading, load_all, prepare
from hansa.data.table import Table
from hansa.data.transform import Summary
from hansa.data.vocabulary import Vocabulary
from hansa.errors import DataError
from hansa.secure_sum import SecureSum
from hansa.statistics.sums import PLAIN
from hansa.statistics.transforms import fit_federated
from hansa.statistics.vocabulary import TextCounts, with_vocabularies
from hansa.train.learner import Learner
from hansa.types import ClientData, DataCard, Examples, Unread


@dataclass(frozen=True, kw_only=True)
class Localised:
    """What localising the data gave.

    Attributes:
        sites: Each client with its rows.
        cards: What each client tells about them.
        preprocessing: Vocabularies of text columns, with their categories, then the transforms in order. A
            federated one has its numbers, the same for all clients; a
            local one has none, since every client has its own.
        claimed: What clients claim of their rows before preprocessing, where something is claimed.
    """

    sites: Mapping[str, Site]
    cards: Mapping[str, DataCard]
    preprocessing: tuple[Mapping[str, Any], ...] = ()
    claimed: Claimed | None = None


def localise(
    clients: tuple[Client, ...],
    secure_sum: SecureSum = PLAIN,
    *,
    keep: bool = True,
    claims: Claims | None = None,
) -> Localised:
    """Let every client prepare its rows; federated statistics are summed over all of them.

    Args:
        clients: The clients.
        secure_sum: How sums for federated preprocessing come about.
        keep: Whether rows stay in memory. Else a site's rows are read again whenever they are looked at,
            and no more than one client's are in memory at a time; parts of shared arrays are where they are.
        claims: What is claimed of every client's training rows, or None.

    Raises:
        ConfigurationError: If such sums do not fit or would not protect (one or two clients).
        DataError: If a client's rows are missing, malformed, or unlike those of the others.
    """
    clients, found = with_vocabularies(clients, secure_sum)
    loaded = load_all(clients) if keep else Reading(clients)
    told = cards(loaded)
    check_cards(told)
    claimed = None
    if claims is not None:
        terms = terms_of(claims, clients, next(iter(told.values())))
        records = {client.name: claimed_of(client, loaded[client.name], terms) for client in clients}
        claimed = Claimed(terms=terms, records=records)
    known = fit_federated(clients, loaded, secure_sum)
    sites: dict[str, Site] = {}
    for client in clients:
        unread = isinstance(loaded, Reading) and client.name not in loaded.shared
        data = Unread(_reader(client, known)) if unread else loaded[client.name]
        if client.preprocess:
            made = data.read() if unread else prepare(client, known, loaded=data.read())
            told[client.name] = card(made)
            data = data if unread else made
        sites[client.name] = Site(name=client.name, data=data)
        if isinstance(loaded, dict):
            del loaded[client.name]
    check_cards(told)
    _check_classes(told)
    return Localised(
        sites=sites,
        cards=told,
        preprocessing=(*_vocabularies(clients[0], found), *_told(clients[0], known)),
        claimed=claimed,
    )


def _reader(client: Client, known: Federated) -> Callable[[], ClientData]:
    return lambda: prepare(client, known)


def _check_classes(cards: Mapping[str, DataCard]) -> None:
    """Raise where all clients' labels are classes and there is only one of them."""
    counts = [c.labels for c in cards.values()]
    found: set[str] = set().union(*(labels for labels in counts if labels is not None))
    if all(labels is not None for labels in counts) and len(found) == 1:
        raise DataError(
            f"every training row of every client has the label {found.pop()!r}: there is nothing to learn. "
            "Look at the label column, and at positive= where a label is told from a text or a comparison."
        )


def _vocabularies(client: Client, found: Mapping[str, TextCounts]) -> tuple[Mapping[str, Any], ...]:
    declared = client.source.categorical or {} if isinstance(client.source, Table) else {}
    return tuple(
        {"kind": "vocabulary", "scope": "federated", "column": column, **one.describe()}
        for column, one in declared.items()
        if isinstance(one, Vocabulary) and column in found
    )


def _told(client: Client, known: Mapping[int, Summary]) -> tuple[Mapping[str, Any], ...]:
    fitted = {position: client.preprocess[position].fit(summary) for position, summary in known.items()}
    return tuple(
        {**step.describe(), **(fitted[position].describe() if position in fitted else {})}
        for position, step in enumerate(client.preprocess)
    )


def check_learner(learner: Learner, cards: Mapping[str, DataCard]) -> None:
    """Raise `DataError` naming every client whose rows the model cannot be trained on."""
    wrong = {name: learner.check_data(c) for name, c in cards.items()}
    lines = [f"client {name!r} has {why}" for name, why in wrong.items() if why]
    if lines:
        more = f"; and {len(lines) - 3} more clients" if len(lines) > 3 else ""
        raise DataError("; ".join(lines[:3]) + more + ". Correct the labels or the model's output layer.")


def check_validation(rows: Examples, learner: Learner, cards: Mapping[str, DataCard]) -> None:
    """Raise `DataError` unless the server's rows are like the clients' and the model can take them."""
    if not len(rows):
        raise DataError("the validation rows are empty; leave validation out, or give rows.")
    own, (name, client) = card(ClientData(train=rows)), next(iter(cards.items()))
    if own.features != client.features:
        raise DataError(
            f"the validation rows have features of shape {own.features}, those of client {name!r} have "
            f"{client.features}. Preprocess them as the clients do."
        )
    if own.columns is not None and client.columns is not None and own.columns != client.columns:
        raise DataError(
            f"the validation rows have the columns {own.columns}, client {name!r} has {client.columns}; "
            "give the same columns in the same order."
        )
    why = learner.check_data(own)
    if why:
        raise DataError(f"the validation rows have {why}. Correct the labels or the model's output layer.")

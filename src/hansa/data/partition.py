"""Partition one dataset among simulated clients. Each row goes to exactly one client.

The clients share the arrays in memory; a client's rows are copied only when they are used.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from hansa.data.cards import cards
from hansa.data.client import Client
from hansa.data.declared import (
    Declared,
    check_alpha,
    check_count,
    check_whole,
    classes_of,
    dealt,
    even_sizes,
    numbered_keys,
)
from hansa.data.sources import Rows, as_examples
from hansa.data.split import Split
from hansa.data.table import Table
from hansa.data.transform import Transform
from hansa.errors import ConfigurationError, DataError
from hansa.rng import Seeds
from hansa.types import ClientData, Examples, View

_WHOLE = Split()
_ATTEMPTS = 1000


def iid(
    x: Any,
    y: Any,
    *,
    clients: int,
    seed: int = 0,
    split: Split = _WHOLE,
    preprocess: Sequence[Transform] = (),
    sample_weight: ArrayLike | None = None,
    names: Sequence[str] | None = None,
) -> tuple[Client, ...]:
    """Deal the rows at random, in parts whose sizes differ by one at most.

    Args:
        x: Features, shape ``(n, ...)``, as in `hansa.data.Arrays`.
        y: Labels, shape ``(n, ...)``.
        clients: Number of clients, 1 to n.
        seed: Seed of the partition.
        split: How each client divides its rows.
        preprocess: Transforms of each client.
        sample_weight: Weight of each row, shape ``(n,)``.
        names: Names of the clients; None names them ``client-0``, ``client-1`` and so on.

    Raises:
        ConfigurationError: There are more clients than rows, or names do not fit.

    Example:
        >>> [len(c.source.load()) for c in iid([[0.0]] * 5, [0] * 5, clients=2)]
        [3, 2]
    """
    rows = as_examples(x, y, sample_weight=sample_weight)
    check_count(clients, len(rows))
    order = Seeds(seed).stream("partition", "iid").permutation(len(rows))
    owners = dealt(order, even_sizes(len(rows), clients))
    return Declared(names=names, split=split, preprocess=preprocess).clients(rows, owners, clients)


def dirichlet(
    x: Any,
    y: Any,
    *,
    clients: int,
    alpha: float,
    min_examples: int = 1,
    seed: int = 0,
    split: Split = _WHOLE,
    preprocess: Sequence[Transform] = (),
    sample_weight: ArrayLike | None = None,
    names: Sequence[str] | None = None,
) -> tuple[Client, ...]:
    """Skew the labels: divide each class among the clients in proportions from Dirichlet(alpha).

    Args:
        x: Features, as in `iid`.
        y: Labels that are classes: integers, 0/1, or one-hot rows.
        clients: Number of clients.
        alpha: Concentration, greater than 0: 0.1 is very skewed, 100 nearly even.
        min_examples: Draw again until each client has this many rows.
        seed: Seed of the partition.
        split: How each client divides its rows.
        preprocess: Transforms of each client.
        sample_weight: Weight of each row.
        names: Names of the clients.

    Raises:
        ConfigurationError: 1,000 draws gave no partition in which every client has ``min_examples``.

    Source:
        Yurochkin et al. 2019, Bayesian Nonparametric Federated Learning of Neural Networks, section 4
        (proportions over clients for each class). Hsu et al. 2019, Measuring the Effects of
        Non-Identical Data Distribution, section 3, draw a mixture of classes for each client instead.
    """
    rows = as_examples(x, y, sample_weight=sample_weight)
    check_count(clients, len(rows), min_examples=min_examples)
    check_alpha(alpha)
    classes = classes_of(rows, "dirichlet")
    members = [np.flatnonzero(classes == label) for label in np.unique(classes)]
    sizes = np.array([len(member) for member in members])
    stream = Seeds(seed).stream("partition", "dirichlet")
    best = 0
    for _ in range(_ATTEMPTS):
        shares = stream.dirichlet(np.full(clients, float(alpha)), size=len(members))
        ends = np.minimum(np.floor(np.cumsum(shares, axis=1)[:, :-1] * sizes[:, None]), sizes[:, None])
        ends = ends.astype(np.int64)
        counts = np.diff(ends, prepend=0, append=sizes[:, None], axis=1)
        smallest = int(counts.sum(axis=0).min())
        if smallest >= min_examples:
            break
        best = max(best, smallest)
    else:
        raise ConfigurationError(
            f"dirichlet(alpha={alpha}, clients={clients}) of {len(rows)} rows: in {_ATTEMPTS} draws "
            f"some client always had fewer than min_examples={min_examples} rows (at best {best}). "
            "Use fewer clients or a larger alpha."
        )
    owners = np.empty(len(rows), dtype=np.int64)
    for member, count in zip(members, counts, strict=True):
        owners[stream.permutation(member)] = np.repeat(np.arange(clients), count)
    return Declared(names=names, split=split, preprocess=preprocess).clients(rows, owners, clients)


def shards(
    x: Any,
    y: Any,
    *,
    clients: int,
    shards_per_client: int = 2,
    seed: int = 0,
    split: Split = _WHOLE,
    preprocess: Sequence[Transform] = (),
    sample_weight: ArrayLike | None = None,
    names: Sequence[str] | None = None,
) -> tuple[Client, ...]:
    """Skew the labels: sort the rows by label, cut them into shards, deal each client a few.

    Args:
        x: Features, as in `iid`.
        y: Labels that are classes.
        clients: Number of clients.
        shards_per_client: Number of shards of each client; about the number of classes it sees.
        seed: Seed of the partition.
        split: How each client divides its rows.
        preprocess: Transforms of each client.
        sample_weight: Weight of each row.
        names: Names of the clients.

    Raises:
        ConfigurationError: There are more shards than rows.

    Source:
        McMahan et al. 2017, Communication-Efficient Learning of Deep Networks from Decentralized Data,
        section 3 (100 clients, 2 shards of 300 MNIST digits each).
    """
    rows = as_examples(x, y, sample_weight=sample_weight)
    check_count(clients, len(rows))
    check_whole("shards_per_client", shards_per_client)
    count = clients * shards_per_client
    if count > len(rows):
        raise ConfigurationError(
            f"{clients} clients with {shards_per_client} shards each need {count} rows or more; "
            f"there are {len(rows)}. Use fewer clients or shards."
        )
    by_label = np.argsort(classes_of(rows, "shards"), kind="stable")
    order = Seeds(seed).stream("partition", "shards").permutation(count)
    of_shard = dealt(order, np.full(clients, shards_per_client))
    owners = np.empty(len(rows), dtype=np.int64)
    owners[by_label] = np.repeat(of_shard, even_sizes(len(rows), count))
    return Declared(names=names, split=split, preprocess=preprocess).clients(rows, owners, clients)


def quantity_skew(
    x: Any,
    y: Any,
    *,
    clients: int,
    alpha: float,
    min_examples: int = 1,
    seed: int = 0,
    split: Split = _WHOLE,
    preprocess: Sequence[Transform] = (),
    sample_weight: ArrayLike | None = None,
    names: Sequence[str] | None = None,
) -> tuple[Client, ...]:
    """Skew the sizes: each client has ``min_examples`` rows and a Dirichlet(alpha) share of the rest.

    Args:
        x: Features, as in `iid`.
        y: Labels.
        clients: Number of clients.
        alpha: Concentration, greater than 0: 0.1 is very uneven, 100 nearly even.
        min_examples: Rows that every client has at least.
        seed: Seed of the partition.
        split: How each client divides its rows.
        preprocess: Transforms of each client.
        sample_weight: Weight of each row.
        names: Names of the clients.

    Raises:
        ConfigurationError: There are too few rows, or ``alpha`` is not greater than 0.
    """
    rows = as_examples(x, y, sample_weight=sample_weight)
    check_count(clients, len(rows), min_examples=min_examples)
    check_alpha(alpha)
    stream = Seeds(seed).stream("partition", "quantity_skew")
    rest = len(rows) - clients * min_examples
    shares = np.cumsum(stream.dirichlet(np.full(clients, float(alpha))))[:-1]
    ends = np.minimum(np.floor(shares * rest), rest).astype(np.int64)
    ends += min_examples * np.arange(1, clients)
    owners = dealt(stream.permutation(len(rows)), np.diff(ends, prepend=0, append=len(rows)))
    return Declared(names=names, split=split, preprocess=preprocess).clients(rows, owners, clients)


def by_key(
    x: Any,
    y: Any,
    *,
    keys: ArrayLike,
    min_examples: int = 1,
    merge_small_into: str | None = None,
    split: Split = _WHOLE,
    preprocess: Sequence[Transform] = (),
    sample_weight: ArrayLike | None = None,
) -> tuple[Client, ...]:
    """Partition by a natural key (hospital, writer, device): one client for each value, sorted by name.

    Args:
        x: Features, as in `iid`.
        y: Labels.
        keys: Key of each row, shape ``(n,)``: texts or integers. The key is the client's name.
        min_examples: Rows that every client must have.
        merge_small_into: Name of a client that takes the rows of all smaller ones; None refuses them.
        split: How each client divides its rows.
        preprocess: Transforms of each client.
        sample_weight: Weight of each row.

    Raises:
        DataError: Keys do not fit the rows, or a client has fewer than ``min_examples`` rows.

    Example:
        >>> [c.name for c in by_key([[0.0], [1.0]], [0, 1], keys=["b", "a"])]
        ['a', 'b']
    """
    rows = as_examples(x, y, sample_weight=sample_weight)
    check_whole("min_examples", min_examples)
    texts, numbers = numbered_keys(keys, len(rows))
    if merge_small_into is not None:
        small = np.bincount(numbers, minlength=len(texts)) < min_examples
        texts = [str(merge_small_into) if few else text for few, text in zip(small, texts, strict=True)]
    found = sorted(set(texts))
    place = {name: i for i, name in enumerate(found)}
    owners = np.array([place[text] for text in texts], dtype=np.int64)[numbers]
    counts = np.bincount(owners, minlength=len(found)).tolist()
    small = [f"{name!r} has {n}" for name, n in zip(found, counts, strict=True) if n < min_examples]
    if small:
        raise DataError(
            f"by_key: {len(small)} clients have fewer than min_examples={min_examples} rows "
            f"({', '.join(small)[:500]}). "
            "Gather them with merge_small_into='others', or lower min_examples."
        )
    return Declared(names=found, split=split, preprocess=preprocess).clients(rows, owners, len(found))


def label_counts(clients: Sequence[Client]) -> dict[str, dict[str, int]]:
    """Return the number of rows by client and label, over all splits, for a plot of the partition.

    Raises:
        DataError: A client's labels are not classes.
    """
    bases: dict[int, Examples] = {}
    population: dict[str, ClientData] = {}
    for client in clients:
        source = client.source
        if isinstance(source, Rows):
            base = bases.setdefault(id(source.examples), _only_labels(source.examples))
            population[client.name] = ClientData(train=View(base=base, index=source.index))
        else:
            if isinstance(source, Table):  # labels do not depend on categories that are still to be found
                source = source.with_categories(dict.fromkeys(source.vocabularies, ("",)))
            population[client.name] = ClientData(train=_only_labels(source.load()))
    result: dict[str, dict[str, int]] = {}
    for name, told in cards(population).items():
        if told.labels is None:
            raise DataError(f"client {name!r}: its labels are not classes, so that they cannot be counted.")
        result[name] = dict(told.labels)
    return result


def _only_labels(examples: Examples) -> Examples:
    return Examples(x=np.empty((len(examples), 0), dtype=np.float32), y=examples.y)

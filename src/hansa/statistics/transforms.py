"""What federated preprocessing is fitted on, through any secure sum."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from hansa.data.client import Client
from hansa.data.columns import column_names
from hansa.data.prepare import federated_positions, local_summary, rows_before
from hansa.data.preprocess import add_summaries
from hansa.data.transform import Ordered, Summary
from hansa.errors import DataError
from hansa.secure_sum import SecureSum
from hansa.statistics.columns import feature_table
from hansa.statistics.limbs import SQUARES
from hansa.statistics.refine import ROUNDS, find
from hansa.statistics.sums import add
from hansa.types import ClientData, Examples


def fit_federated(
    clients: Sequence[Client], loaded: Mapping[str, ClientData], secure_sum: SecureSum
) -> dict[int, Summary]:
    """Return what each federated transform is fitted on, by its position, for `hansa.data.prepare.prepare`.

    Args:
        clients: The clients, of the same federated preprocessing.
        loaded: Their rows by name, as `hansa.data.prepare.load` returns them.
        secure_sum: How sums over clients come about.

    Raises:
        ConfigurationError: If the secure sum does not fit or would not protect: few clients, or too many.
        DataError: If sums of rows are beyond 2^294 or finer than 2^-298, with a secure sum that adds
            integers; for `MinMax` and `Bucketize`, if features are integers beyond 2^24, or infinite.

    Guarantees:
        The same numbers bit for bit through every secure sum: the clients' float64 sums, added without error
        and rounded once; for `MinMax` and `Bucketize` the very values of all clients' sorted rows.

    Leaks:
        To the server: with a plain sum each client's sums, else the sum over all (`hansa.statistics.limbs`).
        For `MinMax` and `Bucketize`, what `hansa.statistics.order` says. To everyone: what is fitted.
    """
    known: dict[int, Summary] = {}
    for at in federated_positions(clients):
        step = clients[0].preprocess[at]
        label = f"preprocess[{at}], {type(step).__name__}"
        if isinstance(step, Ordered):
            rows = {c.name: rows_before(c, at, known, loaded=loaded[c.name]) for c in clients}
            known[at] = _ordered(step, rows, secure_sum, label)
        else:
            own = {c.name: local_summary(c, at, known, loaded=loaded[c.name]) for c in clients}
            known[at] = sum_summaries(own, secure_sum, label)
    return known


def sum_summaries(summaries: Mapping[str, Summary], secure_sum: SecureSum, label: str) -> Summary:
    """Return the sum of the clients' summaries, added without error and rounded once.

    Args:
        summaries: Summary by client.
        secure_sum: How the sum comes about.
        label: What is summed, for messages.
    """
    if secure_sum.sends_update:
        return add_summaries(list(summaries.values()))
    shapes = {part: array.shape for part, array in next(iter(summaries.values())).items()}
    vectors: dict[str, NDArray[np.int64]] = {}
    for name, summary in summaries.items():
        if {part: array.shape for part, array in summary.items()} != shapes:
            raise DataError(f"client {name!r} has other features than the first client.")
        vectors[name] = encode_summary(summary, name)
    return decode_summary(add(vectors, secure_sum, label), shapes)


def _ordered(step: Ordered, rows: Mapping[str, Examples], secure_sum: SecureSum, label: str) -> Summary:
    """Return what a transform is fitted on that takes values at places of all clients' sorted rows."""
    tables = {name: feature_table(own, name, step.chosen(own)) for name, own in rows.items()}
    found = find(tables, step.places, ROUNDS, secure_sum, label)
    return step.ordered_summary(found.middle, next(iter(rows.values())).x.shape[1:])


# client half
def encode_summary(summary: Summary, client: str) -> NDArray[np.int64]:
    """Return limbs of all numbers of a summary."""
    limbs: list[NDArray[np.int64]] = []
    for part, array in summary.items():
        for name, value in zip(column_names(array.shape, None), array.reshape(-1).tolist(), strict=True):
            try:
                limbs.append(SQUARES.encode([SQUARES.units(value)]))
            except DataError as error:
                raise DataError(f"client {client!r}: {part} of feature {name}: {error}") from None
    return np.concatenate(limbs).reshape(-1)


# server half
def decode_summary(total: NDArray[np.int64], shapes: Mapping[str, tuple[int, ...]]) -> Summary:
    """Return the summary that sums of limbs of `encode_summary` are."""
    numbers = iter(SQUARES.decode(total))
    return {
        part: np.array([SQUARES.number(next(numbers)) for _ in range(int(np.prod(shape)))]).reshape(shape)
        for part, shape in shapes.items()
    }

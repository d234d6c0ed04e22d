"""The order in which one client's rows are seen: seeded permutations cut into minibatches."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from hansa.rng import Seeds
from hansa.types import Array


def batches_per_pass(rows: int, batch_size: int) -> int:
    """Return the number of minibatches in one pass over the rows; the short last one counts."""
    return -(-rows // batch_size)


def fresh_batches(
    rows: int,
    *,
    batch_size: int,
    epochs: int | None,
    steps: int | None,
    shuffle: bool,
    seeds: Seeds,
    client: str,
    round: int,  # noqa: A002
) -> Iterator[Array]:
    """Yield the minibatches of one round that starts a new pass over the data.

    Args:
        rows: Number of training rows.
        batch_size: Rows per minibatch; the last of a pass holds what is left.
        epochs: Number of passes, or None if ``steps`` is given.
        steps: Number of minibatches (passes are begun anew as needed), or None.
        shuffle: Whether each pass is a new random permutation.
        seeds: The run's seeds.
        client: Name of the client.
        round: Number of the round.

    Yields:
        Row indices, int64, shape ``(b,)`` with ``1 <= b <= batch_size``.
    """
    total = steps if steps is not None else (epochs or 1) * batches_per_pass(rows, batch_size)
    orders = _Orders(rows, shuffle, seeds, ("shuffle", client, round))
    yield from _cut(orders, batch_size, first=0, count=total)


def carried_batches(
    rows: int, *, batch_size: int, steps: int, shuffle: bool, seeds: Seeds, client: str, position: int
) -> Iterator[Array]:
    """Yield the minibatches of one round that goes on where the client's last round stopped.

    Args:
        rows: Number of training rows.
        batch_size: Rows per minibatch; the last of a pass holds what is left.
        steps: Number of minibatches.
        shuffle: Whether each pass is a new random permutation.
        seeds: The run's seeds.
        client: Name of the client.
        position: Number of minibatches that the client has seen so far.
    """
    orders = _Orders(rows, shuffle, seeds, ("shuffle", client))
    yield from _cut(orders, batch_size, first=position, count=steps)


@dataclass(frozen=True)
class _Orders:
    """The order of the rows in each pass over them."""

    rows: int
    shuffle: bool
    seeds: Seeds
    labels: tuple[str | int, ...]

    def of_pass(self, number: int) -> Array:
        if not self.shuffle:
            return np.arange(self.rows)
        return self.seeds.stream(*self.labels, number).permutation(self.rows)


def _cut(orders: _Orders, size: int, *, first: int, count: int) -> Iterator[Array]:
    length = batches_per_pass(orders.rows, size)
    order, current = np.arange(0), -1
    for index in range(first, first + count):
        number, place = divmod(index, length)
        if number != current:
            order, current = orders.of_pass(number), number
        yield order[place * size : (place + 1) * size]

"""The order in which one client's rows are seen: seeded permutations cut into minibatches."""

from __future__ import annotations

import functools
from dataclasses import dataclass

import numpy as np

from hansa.rng import Seeds
from hansa.types import Array, Batches


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
) -> Batches:
    """Return the minibatches of one round that starts a new pass over the data.

    Args:
        rows: Number of training rows.
        batch_size: Rows per minibatch; the last of a pass holds what is left.
        epochs: Number of passes, or None if ``steps`` is given.
        steps: Number of minibatches (passes are begun anew as needed), or None.
        shuffle: Whether each pass is a new random permutation.
        seeds: The run's seeds.
        client: Name of the client.
        round: Number of the round.

    Returns:
        Minibatches of 1 to ``batch_size`` rows.
    """
    total = steps if steps is not None else (epochs or 1) * batches_per_pass(rows, batch_size)
    orders = _Orders(rows, shuffle, seeds, ("shuffle", client, round))
    return _cut(orders, batch_size, first=0, count=total)


def sampled_batches(rows: int, *, rate: float, steps: int, stream: np.random.Generator) -> Batches:
    """Return minibatches of which each holds every row with the same chance, independently of all else.

    Args:
        rows: Number of training rows.
        rate: The chance, above 0 and at most 1.
        steps: Number of minibatches.
        stream: Where the draws come from; a secret one where they must not be known.

    Returns:
        Minibatches of 0 to ``rows`` rows, in row order.
    """
    sizes = stream.binomial(rows, rate, size=steps) if rate < 1 else np.full(steps, rows)
    each = [np.sort(stream.choice(rows, size=size, replace=False)) for size in sizes.tolist()]
    order = np.concatenate(each) if each else np.zeros(0)
    return Batches(order.astype(np.int64), sizes.astype(np.int64))


def carried_batches(
    rows: int, *, batch_size: int, steps: int, shuffle: bool, seeds: Seeds, client: str, position: int
) -> Batches:
    """Return the minibatches of one round that goes on where the client's last round stopped.

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
    return _cut(orders, batch_size, first=position, count=steps)


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
        return self.seeds.permutation(self.rows, *self.labels, number)


def _cut(orders: _Orders, size: int, *, first: int, count: int) -> Batches:
    length = batches_per_pass(orders.rows, size)
    begun, start = divmod(first, length)
    sizes, passes, total = _sizes(orders.rows, size, start, count)
    if passes == 1:
        order = orders.of_pass(begun)
    else:
        order = np.concatenate([orders.of_pass(begun + number) for number in range(passes)])
    return Batches(order[start * size : start * size + total], sizes)


@functools.lru_cache(maxsize=4096)
def _sizes(rows: int, size: int, start: int, count: int) -> tuple[Array, int, int]:
    """Return the sizes of minibatches from number ``start`` of a pass, how many passes, and how many rows."""
    length = batches_per_pass(rows, size)
    whole = np.full(length, size)
    whole[-1] = rows - size * (length - 1)
    passes = (start + count - 1) // length + 1
    sizes = np.tile(whole, passes)[start : start + count]
    sizes.flags.writeable = False
    return sizes, passes, int(sizes.sum())

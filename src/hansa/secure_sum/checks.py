"""What may enter a sum of updates."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from hansa.errors import UpdateError
from hansa.secure_sum.blocks import Doubles, count_bad
from hansa.types import Array, Delta


def check_delta(delta: Delta, size: int, client: str) -> None:
    """Raise `UpdateError` unless it is a float32 or int64 vector of this size, with a weight of 0 or more."""
    vector = delta.vector
    if not isinstance(vector, np.ndarray) or vector.ndim != 1 or vector.shape[0] != size:
        shape = getattr(vector, "shape", type(vector).__name__)
        raise UpdateError(
            f"client {client!r} sent an update of shape {shape}; this model's updates are flat vectors of "
            f"{size} scalars. All clients must build the same model."
        )
    if vector.dtype not in (np.float32, np.int64):
        raise UpdateError(
            f"client {client!r} sent an update of dtype {vector.dtype}; updates are float32, or "
            "int64 where they are quantised. Convert it with update.astype('float32')."
        )
    if not math.isfinite(delta.weight) or delta.weight < 0:
        raise UpdateError(
            f"client {client!r} sent the weight {delta.weight}; weights are finite and 0 or more "
            "(number of training examples, or 1)."
        )


def unusable(delta: Delta) -> str | None:
    """Return why an update must not enter a sum (NaN, infinity), or None."""
    bad = count_bad(delta.vector)
    return not_finite(bad, delta.vector.size) if bad else None


def not_finite(bad: int, size: int) -> str:
    """Say that so many values of an update are NaN or infinite."""
    return f"{bad} of {size} values of the update are NaN or infinite"


def check_leaf(
    number: int,
    vector: Array | Sequence[Array] | None,
    weights: Mapping[int, float],
    *,
    positions: range,
    size: int,
) -> list[Doubles] | None:
    """Return the flat parts of a leaf's sum, or None for an empty leaf; see `TreeSum.add_leaf`."""
    for position, weight in weights.items():
        if position not in positions:
            raise UpdateError(
                f"leaf {number} has a weight for position {position}; its positions are {positions.start} to "
                f"{positions.stop - 1}. Give weights by cohort position."
            )
        if not math.isfinite(weight) or weight < 0:
            raise UpdateError(
                f"leaf {number} has the weight {weight} at position {position}; weights are finite and 0 or "
                "more (number of training examples, or 1)."
            )
    if (vector is None) != (not weights):
        raise UpdateError(
            f"leaf {number} has {'no' if vector is None else 'a'} vector and {len(weights)} weights; a leaf "
            "with no update has None and no weights, any other a vector and the weight of each update."
        )
    return None if vector is None else _flat(number, vector, size)


def _flat(number: int, vector: Array | Sequence[Array], size: int) -> list[Doubles]:
    whole = isinstance(vector, np.ndarray)
    pieces: list[Any] = [vector] if whole else [np.asarray(piece) for piece in vector]
    found = sum(piece.size for piece in pieces)
    if found != size or (whole and pieces[0].ndim != 1):
        shape = pieces[0].shape if whole else f"{[piece.shape for piece in pieces]} ({found} scalars)"
        raise UpdateError(
            f"leaf {number} has the shape {shape}; this model's sums are flat vectors of {size} scalars, or "
            "arrays that are one when raveled and joined."
        )
    wrong = [piece.dtype for piece in pieces if piece.dtype != np.float64]
    if wrong:
        raise UpdateError(f"leaf {number} has the dtype {wrong[0]}; sums of updates are float64.")
    flat = [piece.reshape(-1) for piece in pieces]
    bad = sum(count_bad(piece) for piece in flat)
    if bad:
        raise UpdateError(
            f"{bad} of {size} values of leaf {number} are NaN or infinite. Whoever sums a leaf leaves such "
            "updates out, and names their clients."
        )
    return flat


def sum_weights(weights: Iterable[float]) -> float:
    """Return the sum of the weights, correctly rounded, so that it does not depend on their order."""
    try:
        return math.fsum(weights)
    except OverflowError as error:
        raise UpdateError(
            "the weights of the updates sum to more than a float64 holds; weights are numbers of training "
            "examples, or 1."
        ) from error


def check_finite(vector: Doubles) -> None:
    """Raise `UpdateError` where a sum of finite updates is not finite itself."""
    bad = count_bad(vector)
    if bad:
        raise UpdateError(
            f"{bad} of {vector.size} values of the sum of the updates are more than a float64 holds. A "
            "client sent an absurd weight; weights are numbers of training examples, or 1."
        )

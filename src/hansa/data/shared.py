"""A simulated population: clients whose rows are parts of the same arrays, checked once and not copied.

What a client is told about its own rows must not depend on how they are stored. So nothing is told
here: a client whose rows give no cause for complaint gets a `View`, and every other one goes the way
of a client with rows of its own (`hansa.data.prepare.load`), which says what is wrong and with whom.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from hansa.data.client import Client
from hansa.data.parts import Parts, parts_of
from hansa.data.sources import Rows, as_examples, named_arrays
from hansa.errors import HansaError
from hansa.types import Array, Examples, View

_VALUES_AT_ONCE = 1 << 20  # checked at once, so that what the checks allocate stays small

Mask = NDArray[np.bool_]


def shared_rows(clients: Sequence[Client]) -> dict[str, View]:
    """Return the training rows of those clients that can use their part of shared arrays as it lies.

    They have a part of shared arrays as their source, no preprocessing, and all their rows to train on;
    and `hansa.data.prepare.load` would give the same rows without an error.

    Args:
        clients: Clients whose names differ.
    """
    unfit: dict[int, Mask | None] = {}
    views: dict[str, View] = {}
    for client in clients:
        source = client.source
        if not isinstance(source, Rows) or client.preprocess or not client.split.trains_on_all:
            continue
        base = source.examples
        if id(base) not in unfit:
            unfit[id(base)] = _unfit_rows(base) if _is_converted(base) and len(base) else None
        if unfit[id(base)] is not None and _is_index(source.index):
            views[client.name] = View(base=base, index=source.index)
    refused: list[str] = []
    for parts in parts_of(views):
        mask = unfit[id(parts.base)]
        if mask is not None:
            fit = _fit_to_train(parts, mask)
            refused += [] if fit.all() else [parts.names[i] for i in np.flatnonzero(~fit)]
    for name in refused:
        del views[name]
    return views


def _is_converted(base: Examples) -> bool:
    """Tell whether `as_examples` would take these arrays as they are."""
    try:
        made = as_examples(base.x, base.y, sample_weight=base.sample_weight, columns=base.columns)
    except HansaError:
        return False
    trees = [(base.x, made.x), (base.y, made.y), (base.sample_weight, made.sample_weight)]
    pairs = [
        (given[1], converted[1])
        for old, new in trees
        for given, converted in zip(named_arrays(old, ""), named_arrays(new, ""), strict=True)
    ]
    return all(given is converted for given, converted in pairs) and base.columns == made.columns


def _is_index(index: Array) -> bool:
    return isinstance(index, np.ndarray) and index.ndim == 1 and index.dtype == np.int64 and len(index) > 0


def _unfit_rows(base: Examples) -> Mask:
    """Return which rows hold a value that `load` refuses."""
    unfit = np.zeros(len(base), dtype=bool)
    arrays = named_arrays(base.x, "x") + named_arrays(base.y, "y")
    if base.sample_weight is not None:
        arrays.append(("sample_weight", base.sample_weight))
        unfit |= ~(base.sample_weight >= 0)
    for _, array in arrays:
        if array.dtype.kind != "f" or not array.size:
            continue
        step = max(1, _VALUES_AT_ONCE // (array.size // len(array)))
        for low in range(0, len(array), step):
            finite = np.isfinite(array[low : low + step])
            if not finite.all():
                unfit[low : low + step] |= ~finite.reshape(len(finite), -1).all(axis=1)
    return unfit


def _fit_to_train(parts: Parts, unfit: Mask) -> Mask:
    """Tell for each client whether its rows exist, can be trained on, and do not all weigh nothing."""
    fit = (parts.reduce(np.minimum, parts.index) >= 0) & (parts.reduce(np.maximum, parts.index) < len(unfit))
    index = parts.index if fit.all() else np.clip(parts.index, 0, len(unfit) - 1)
    if unfit.any():
        fit &= ~parts.reduce(np.logical_or, unfit[index])
    weight = parts.base.sample_weight
    if weight is not None:
        fit &= parts.reduce(np.logical_or, weight[index] != 0)
    return fit

"""Many clients' rows of the same shared arrays, read together rather than client by client."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hansa.types import Array, Examples, View

_ROWS_AT_ONCE = 1 << 18  # bounds what is copied at once


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Parts:
    """The rows of several clients, one client after another.

    Attributes:
        base: The shared rows.
        names: The clients, ``m`` of them.
        index: Their rows of ``base``, client after client.
        sizes: Number of rows of each client, shape ``(m,)``, 1 or more.
    """

    base: Examples
    names: list[str]
    index: NDArray[np.int64]
    sizes: NDArray[np.int64]

    def owners(self) -> NDArray[np.int64]:
        """Return the position in ``names`` of the client of each row of ``index``."""
        return np.repeat(np.arange(len(self.sizes)), self.sizes)

    def reduce(self, function: np.ufunc, values: Array) -> Array:
        """Return ``function`` over each client's values, shape ``(m,)``.

        Args:
            function: Such as ``np.minimum``.
            values: One value for each row of ``index``.
        """
        return function.reduceat(values, np.cumsum(self.sizes) - self.sizes)


def parts_of(views: Mapping[str, View]) -> Iterator[Parts]:
    """Yield clients together that share their arrays, some hundred thousand rows at a time.

    Args:
        views: Rows by client; none is empty.

    Guarantees:
        Each client is in one of the parts. Parts of the same arrays follow one another.
    """
    by_base: dict[int, list[str]] = {}
    for name, view in views.items():
        by_base.setdefault(id(view.base), []).append(name)
    for names in by_base.values():
        sizes = np.fromiter((len(views[name].index) for name in names), np.int64, len(names))
        cuts = np.flatnonzero(np.diff(np.cumsum(sizes) // _ROWS_AT_ONCE)) + 1
        for low, high in zip([0, *cuts], [*cuts, len(names)], strict=True):
            chosen = names[low:high]
            yield Parts(
                base=views[chosen[0]].base,
                names=chosen,
                index=np.concatenate([views[name].index for name in chosen]),
                sizes=sizes[low:high],
            )

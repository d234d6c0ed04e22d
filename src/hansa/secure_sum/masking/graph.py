"""Who masks with whom, and holds whose shares: a ring in random order, each joined to the nearest.

The order is a hash of the place and of every key that was advertised, so that nobody knows it before all keys
are there, and everybody computes it.

Source:
    Bell, Bonawitz, Gascón, Lepoint and Raykova, "Secure Single-Server Aggregation with (Poly)Logarithmic
    Overhead", 2020, section 3: a Harary graph with its nodes in random order.
"""

from __future__ import annotations

import functools
from collections.abc import Collection
from dataclasses import dataclass

from hansa.crypto.encoding import digest


@dataclass(frozen=True)
class Graph:
    """The graph of one attempt at a sum.

    Guarantees:
        Neighbours are mutual. The neighbours of a client are a uniform choice of the others, for whoever
        cannot choose the root.

    Attributes:
        names: Whose keys were advertised, in order of the cohort.
        neighbours: Of each client; all others, where there are no more.
        root: Hash of place and keys, which the order comes from.

    Example:
        >>> Graph(("a", "b", "c"), 2, bytes(32)).holders["b"]
        ('a', 'b', 'c')
    """

    names: tuple[str, ...]
    neighbours: int
    root: bytes

    @functools.cached_property
    def order(self) -> tuple[str, ...]:
        """The clients around the ring."""
        return tuple(sorted(self.names, key=lambda name: digest("masking.ring", self.root, name)))

    @functools.cached_property
    def holders(self) -> dict[str, tuple[str, ...]]:
        """Who holds shares of each client's secrets: its neighbours and itself, in order of the cohort."""
        count, reach = len(self.names), self.neighbours // 2
        if self.neighbours >= count - 1:
            return dict.fromkeys(self.names, self.names)
        rank = {name: number for number, name in enumerate(self.names)}
        found = {}
        for at, name in enumerate(self.order):
            near = (self.order[(at + step) % count] for step in range(-reach, reach + 1))
            found[name] = tuple(sorted(near, key=rank.__getitem__))
        return found

    def near(self, name: str, among: Collection[str]) -> tuple[str, ...]:
        """Return the neighbours of a client among others, in order of the cohort."""
        return tuple(other for other in self.holders[name] if other != name and other in among)

    def alone(self, dealers: Collection[str], left: Collection[str], threshold: int) -> tuple[str, ...]:
        """Return the dealers of whose holders fewer than the threshold are left."""
        left = frozenset(left)
        return tuple(name for name in dealers if len(left.intersection(self.holders[name])) < threshold)

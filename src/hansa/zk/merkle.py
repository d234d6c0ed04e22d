"""Merkle trees over salted leaves, with openings of many leaves at once.

Leaves and nodes are hashed under different tags, so that neither can be passed off as the other; the salt
of 32 random bytes keeps a leaf that is not opened from confirming a guess. SHA-256 is used because it is two
to three times faster than BLAKE2b on processors with its instructions (columns of 4 KB: 3.2 µs against 7.5).

Source:
    Merkle, "A digital signature based on a conventional encryption function", CRYPTO 1987.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

HASH = 32
"""Bytes of a node."""
SALT = 32
"""Bytes of a leaf's salt."""

_LEAF = b"hansa.zk.leaf"
_NODE = b"hansa.zk.node"
_leaf = hashlib.sha256(_LEAF)


def leaf(salt: bytes | memoryview, data: bytes | memoryview) -> bytes:
    """Return the hash of a leaf."""
    state = _leaf.copy()
    state.update(salt)
    state.update(data)
    return state.digest()


def node(left: bytes, right: bytes) -> bytes:
    """Return the hash of a node's two children."""
    return hashlib.sha256(_NODE + left + right).digest()


class Tree:
    """All nodes of a tree over a power of two of leaves."""

    def __init__(self, leaves: Sequence[bytes]) -> None:
        """Hash the leaves together, in their order."""
        if not leaves or len(leaves) & (len(leaves) - 1):
            raise ValueError(f"a tree has a power of two of leaves, got {len(leaves)}")
        level = list(leaves)
        self._levels = [level]
        while len(level) > 1:
            level = [node(level[i], level[i + 1]) for i in range(0, len(level), 2)]
            self._levels.append(level)

    @property
    def root(self) -> bytes:
        """The hash that stands for all leaves."""
        return self._levels[-1][0]

    def siblings(self, positions: Sequence[int]) -> bytes:
        """Return the nodes that complete the leaves at these places (increasing), each once."""
        return b"".join(
            self._levels[height][place] for height, place in missing(len(self._levels[0]), positions)
        )


def missing(leaves: int, positions: Sequence[int]) -> list[tuple[int, int]]:
    """Return height and place of each node that must be given with the leaves at these places."""
    out, known = [], list(positions)
    for height in range(leaves.bit_length() - 1):
        there = set(known)
        out += [(height, place ^ 1) for place in known if place ^ 1 not in there]
        known = sorted({place >> 1 for place in known})
    return out


def most_missing(leaves: int, count: int) -> int:
    """Return the largest number of nodes that `missing` gives for so many leaves, at least one.

    With k_h nodes known at height h, of L, the level lacks 2·k_(h+1) − k_h siblings: together
    k_1 + … + k_(L−1) + 2 − count, and k_h is at most the count and the size of the level.
    """
    height = leaves.bit_length() - 1
    return sum(min(count, leaves >> h) for h in range(1, height)) + 2 - count if height else 0


def root_of(leaves: int, positions: Sequence[int], hashes: Sequence[bytes], siblings: bytes) -> bytes | None:
    """Return the root that opened leaves lead to, or nothing if the siblings are not as many as it takes.

    Args:
        leaves: Number of leaves of the tree.
        positions: Places of the opened leaves, increasing and distinct.
        hashes: Their hashes.
        siblings: The other nodes, as `Tree.siblings` gives them.
    """
    if len(siblings) != HASH * len(missing(leaves, positions)):
        return None
    given = iter([siblings[i : i + HASH] for i in range(0, len(siblings), HASH)])
    known = dict(zip(positions, hashes, strict=True))
    for _ in range(leaves.bit_length() - 1):
        level: dict[int, bytes] = {}
        for place, value in known.items():
            if place >> 1 in level:
                continue
            other = known[place ^ 1] if place ^ 1 in known else next(given)
            level[place >> 1] = node(value, other) if place % 2 == 0 else node(other, value)
        known = level
    return known[0]

"""The plain sum: the server receives every update and adds them. No secrecy towards the server."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from hansa.errors import UpdateError
from hansa.types import Answer, Ask, Delta, Start, Total

LEAF = 8


@dataclass(frozen=True, kw_only=True)
class Plain:
    """Updates travel as they are.

    Leaks:
        The server sees each client's update, weight and metrics. Use it where the server may see them.
    """

    def describe(self) -> dict[str, Any]:
        """Return the settings for the run's configuration."""
        return {"kind": "plain"}

    # server half
    def collect(
        self, start: Start, cohort: tuple[str, ...], *, reduce: Literal["keep", "sum"]
    ) -> Generator[Ask, Answer, Answer]:
        """Ask the cohort for its updates; an engine adds them up with `TreeSum`, or keeps them."""
        return (yield Ask(phase="train", clients=cohort, payload=start, reduce=reduce))

    # client half
    def send(self, delta: Delta) -> Delta:
        """Return what a client sends for its update: the update."""
        return delta


class TreeSum:
    """A weighted sum in float64 over a fixed tree of cohort positions.

    Positions are grouped in leaves of 8, added in order, and leaves are joined pairwise.

    Guarantees:
        The result depends on positions, vectors and weights alone, bit for bit: not on the order
        of arrival nor on how the cohort was cut among workers. Where updates arrive in order,
        memory is one leaf sum and one vector per level of the tree.
    """

    def __init__(self, size: int, cohort: int) -> None:
        """Begin a sum.

        Args:
            size: Length of the vectors.
            cohort: Number of positions, those that will stay empty included.
        """
        self.size = size
        self.cohort = cohort
        self.count = 0
        self._weights: dict[int, float] = {}
        self._waiting: dict[int, Delta | None] = {}
        self._leaf: dict[int, np.ndarray | None] = {}
        self._nodes: dict[tuple[int, int], np.ndarray | None] = {}
        self._seen: set[int] = set()
        self._next: dict[int, int] = {}

    def add(self, position: int, delta: Delta | None, *, client: str = "") -> str | None:
        """Add the update at a cohort position, or None for one that does not come.

        Returns:
            Why the update was left out, or None if it is in the sum.

        Raises:
            UpdateError: If it does not fit the model, its weight is negative or not finite, or the position
                was filled before or does not exist.
        """
        if not 0 <= position < self.cohort:
            raise UpdateError(
                f"client {client!r} answered for position {position} of a cohort of {self.cohort}; positions "
                "go from 0. Send each answer once, for the position that was asked."
            )
        if position in self._seen:
            raise UpdateError(
                f"client {client!r} answered twice for position {position} of {self.cohort}. "
                "Only its first answer counts."
            )
        self._seen.add(position)
        reason = None
        if delta is not None:
            check_delta(delta, self.size, client)
            reason = unusable(delta)
        kept = None if reason else delta
        if kept is not None:
            self._weights[position] = float(kept.weight)
            self.count += 1
        leaf = position // LEAF
        self._waiting[position] = kept
        self._drain(leaf)
        return reason

    def result(self) -> Total:
        """Close the sum; positions that were never filled count as zero."""
        for position in range(self.cohort):
            if position not in self._seen:
                self.add(position, None)
        levels = max(1, -(-self.cohort // LEAF))
        top = (levels - 1).bit_length()
        vector = self._nodes.get((top, 0))
        weight = float(np.sum([self._weights[p] for p in sorted(self._weights)], dtype=np.float64))
        return Total(
            vector=np.zeros(self.size) if vector is None else vector, weight=weight, count=self.count
        )

    def _drain(self, leaf: int) -> None:
        last = min((leaf + 1) * LEAF, self.cohort)
        position = self._next.get(leaf, leaf * LEAF)
        while position < last and position in self._waiting:
            delta = self._waiting.pop(position)
            if delta is not None:
                term = delta.vector.astype(np.float64)
                term *= delta.weight
                held = self._leaf.get(leaf)
                if held is None:
                    self._leaf[leaf] = term
                else:
                    held += term
            position += 1
        self._next[leaf] = position
        if position == last:
            self._join(0, leaf, self._leaf.pop(leaf, None))

    def _join(self, level: int, index: int, vector: np.ndarray | None) -> None:
        """Put a finished node in place, and join it with its sibling as far up as possible."""
        leaves = max(1, -(-self.cohort // LEAF))
        while True:
            width = -(-leaves // (1 << level))
            if width == 1:
                self._nodes[level, 0] = vector
                return
            sibling = index ^ 1
            if sibling < width:
                if (level, sibling) not in self._nodes:
                    self._nodes[level, index] = vector
                    return
                other = self._nodes.pop((level, sibling))
                left, right = (vector, other) if index < sibling else (other, vector)
                if left is not None and right is not None:
                    left += right
                    vector = left
                else:
                    vector = left if right is None else right
            level, index = level + 1, index // 2


def check_delta(delta: Delta, size: int, client: str) -> None:
    """Raise `UpdateError` unless the update is a float32 vector of this size with a weight of 0 or more."""
    vector = delta.vector
    if not isinstance(vector, np.ndarray) or vector.ndim != 1 or vector.shape[0] != size:
        shape = getattr(vector, "shape", type(vector).__name__)
        raise UpdateError(
            f"client {client!r} sent an update of shape {shape}; this model's updates are flat vectors of "
            f"{size} scalars. All clients must build the same model."
        )
    if vector.dtype != np.float32:
        raise UpdateError(
            f"client {client!r} sent an update of dtype {vector.dtype}; updates are float32. "
            "Convert it with update.astype('float32')."
        )
    if not np.isfinite(delta.weight) or delta.weight < 0:
        raise UpdateError(
            f"client {client!r} sent the weight {delta.weight}; weights are finite and 0 or more "
            "(number of training examples, or 1)."
        )


def unusable(delta: Delta) -> str | None:
    """Return why an update must not enter a sum (NaN, infinity), or None."""
    bad = int(np.size(delta.vector) - np.count_nonzero(np.isfinite(delta.vector)))
    return f"{bad} of {delta.vector.size} values of the update are NaN or infinite" if bad else None

"""What a proof is about: groups of cells, and the constraints that they satisfy.

A statement is anything with the attributes of `Statement`. Its constraints may depend on challenges: the
cells of stage 0 are committed, a seed is drawn, the cells of stage 1 (which may depend on it) are committed,
and so on. `hansa.zk.equations` makes small statements from lists of equations.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from hansa.crypto.encoding import digest
from hansa.crypto.field import Field
from hansa.zk.parameters import Parameters

Weights = Mapping[str, Field]
"""By segment: weights of its cells, elements of F2, shape ``(cells, 2)``, to be added to in place."""

_MOST_CELLS = 1 << 32


@dataclass(frozen=True, kw_only=True)
class Segment:
    """A group of cells that fills whole rows of its own.

    Attributes:
        name: By which constraints and witnesses know it.
        cells: How many. The cells between the last and the end of the row are zero, and the proof says so:
            they add nothing to a sum of squares.
        stage: In which it is committed.
        boolean: Every cell is 0 or 1.
    """

    name: str
    cells: int
    stage: int = 0
    boolean: bool = False


class Linear(Protocol):
    """A block of linear constraints: for each, the sum of weights times cells is a constant.

    Attributes:
        count: Number of constraints.
    """

    @property
    def count(self) -> int:
        """Number of constraints."""
        ...

    def add_to(self, weights: Weights, coefficients: Field) -> Field:
        """Add the combination of the constraints to the weights, and return that of the constants.

        Args:
            weights: Elements of F2 by segment; constraint k adds coefficient k times its weights, in place.
            coefficients: One for each constraint, shape ``(count, 2)``. The map must be linear in them and
                depend on nothing that the prover chose after the last commitment.

        Returns:
            Σ coefficient k · constant k: shape ``(2,)``.
        """
        ...


@dataclass(frozen=True, kw_only=True)
class QuadraticSum:
    """The sum of weighted squares and of weighted cells is a constant, in F.

    Whether it holds in the integers too is the statement's business: its bounds must keep the sum below p.

    Attributes:
        squares: By segment: the weight of the squares of its cells, one number for all rows or one for each.
        linear: Segments, indices of cells and weights.
        constant: What the sum is.
    """

    squares: Mapping[str, int | Sequence[int]]
    linear: Sequence[tuple[str, Sequence[int], Sequence[int]]] = ()
    constant: int = 0


@dataclass(frozen=True, kw_only=True)
class Constraints:
    """All constraints but the boolean ones, which segments carry."""

    linear: Sequence[Linear] = ()
    sums: Sequence[QuadraticSum] = ()


class Statement(Protocol):
    """What is proven.

    Attributes:
        parameters: Sizes; the verifier's own, never the prover's.
        segments: The groups of cells.
        messages: By stage, how many bytes the prover sends in the clear with the commitment (most often 0).
            Its length is the number of stages.
        digest: A hash of everything public that the constraints depend on, besides challenges and messages.
    """

    @property
    def parameters(self) -> Parameters:
        """Sizes."""
        ...

    @property
    def segments(self) -> Sequence[Segment]:
        """The groups of cells."""
        ...

    @property
    def messages(self) -> Sequence[int]:
        """Bytes sent in the clear, by stage."""
        ...

    @property
    def digest(self) -> bytes:
        """A hash of everything public."""
        ...

    def constraints(self, seeds: Sequence[bytes], messages: Sequence[bytes]) -> Constraints:
        """Return the constraints, given the seed drawn after each stage but the last, and all messages.

        Raises:
            ValueError: If a message is not one the statement allows: the proof is rejected.
        """
        ...


@dataclass(frozen=True, kw_only=True)
class Cells:
    """What a prover commits to in one stage.

    Attributes:
        cells: By segment of the stage, field elements, shape ``(cells,)``.
        message: What is sent in the clear.
    """

    cells: Mapping[str, Any]
    message: bytes = b""

    def __repr__(self) -> str:
        return "Cells(not shown)"


Witness = Callable[[int, Sequence[bytes]], Cells]
"""Returns the cells of a stage, given the seeds drawn after the stages before it."""


class Layout:
    """Where the rows of segments lie: by stage, and in a stage in the statement's order.

    Attributes:
        stages: Number of stages.
        rows: By segment, the slice of its rows among all.
        stage_rows: By stage, the slice of its rows.
    """

    def __init__(self, statement: Statement) -> None:
        """Lay the segments out.

        Raises:
            ValueError: If they cannot be: no cells, too many, a stage without any, a name that occurs twice.
        """
        self.parameters, self.messages = statement.parameters, tuple(statement.messages)
        self.stages = len(self.messages)
        self.segments = tuple(sorted(statement.segments, key=lambda segment: segment.stage))
        names = [segment.name for segment in self.segments]
        stages = {segment.stage for segment in self.segments}
        if not names or len(set(names)) != len(names) or stages != set(range(self.stages)):
            raise ValueError(
                f"segments need names of their own, and each of the {self.stages} stages a segment: got "
                f"names {names} in stages {sorted(stages)}"
            )
        total = sum(segment.cells for segment in self.segments)
        if (
            min(segment.cells for segment in self.segments) < 1
            or total > _MOST_CELLS
            or min(self.messages) < 0
        ):
            raise ValueError(
                f"a segment has at least one cell, all together up to {_MOST_CELLS}; got {total}"
            )
        self.rows: dict[str, slice] = {}
        self.stage_rows: list[slice] = []
        place = 0
        for stage in range(self.stages):
            first = place
            for segment in self.segments:
                if segment.stage == stage:
                    count = -(-segment.cells // self.parameters.row)
                    self.rows[segment.name] = slice(place, place + count)
                    place += count
            self.stage_rows.append(slice(first, place))
        self.count = place
        self._statement_digest = bytes(statement.digest)

    @property
    def digest(self) -> bytes:
        """A hash of the statement, its sizes and its layout."""
        parameters = self.parameters
        described = [(s.name, s.cells, s.stage, int(s.boolean)) for s in self.segments]
        return digest(
            "hansa.zk.statement",
            self._statement_digest,
            *(parameters.row, parameters.columns, int(parameters.toy)),
            *(self.stages, *self.messages, len(described)),
            *(part for parts in described for part in parts),
        )

    def padding(self, segment: Segment) -> int:
        """Return the number of cells between the end of a segment and the end of its last row."""
        return -segment.cells % self.parameters.row

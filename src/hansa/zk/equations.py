"""Statements and blocks made of lists: for small statements, and the small parts of large ones."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from hansa.crypto import field
from hansa.crypto.encoding import digest
from hansa.crypto.field import Field
from hansa.zk.kernels import scatter
from hansa.zk.parameters import Parameters
from hansa.zk.statement import Cells, Constraints, QuadraticSum, Segment, Weights, Witness


@dataclass(frozen=True, kw_only=True)
class Equation:
    """A linear constraint: the sum of weights times cells is a constant, in F.

    Attributes:
        terms: Segment, index of the cell and weight; a cell may occur more than once.
        constant: What the sum is.
    """

    terms: Sequence[tuple[str, int, int]]
    constant: int = 0


class Equations:
    """A block of linear constraints given one by one."""

    def __init__(self, equations: Sequence[Equation]) -> None:
        """Sort the terms by segment."""
        self.count = len(equations)
        self._constants = field.from_ints([equation.constant for equation in equations])
        terms: dict[str, list[tuple[int, int, int]]] = {}
        for k, equation in enumerate(equations):
            for name, cell, weight in equation.terms:
                terms.setdefault(name, []).append((k, cell, weight))
        self._terms: dict[str, tuple[Any, Any, Field]] = {}
        for name, entries in terms.items():
            constraint, cell, weight = zip(*entries, strict=True)
            self._terms[name] = np.array(constraint), np.array(cell), field.from_ints(weight)

    def add_to(self, weights: Weights, coefficients: Field) -> Field:
        """Add the combination to the weights, and return that of the constants."""
        for name, (constraint, cell, weight) in self._terms.items():
            scatter(weights[name], cell, field.mul(coefficients[constraint], weight[:, None]))
        return field.combine(self._constants, coefficients)


@dataclass(frozen=True, kw_only=True)
class ListedStatement:
    """A statement without challenges of its own, whose constraints are listed.

    Example:
        >>> from hansa.zk import parameters, prover, transcript, verifier
        >>> statement = ListedStatement(
        ...     parameters=parameters.choose(3),
        ...     segments=[Segment(name="x", cells=3)],
        ...     equations=[Equation(terms=[("x", 0, 1), ("x", 1, 1)], constant=7)],
        ...     sums=[QuadraticSum(squares={"x": 1}, constant=50)],
        ... )
        >>> said = transcript.Transcript("example")
        >>> proof = prover.prove(statement, fixed({"x": [3, 4, -5]}), said)
        >>> verifier.verify(statement, proof, transcript.Transcript("example"))
        (b'',)
    """

    parameters: Parameters
    segments: Sequence[Segment]
    equations: Sequence[Equation] = ()
    sums: Sequence[QuadraticSum] = ()

    @property
    def messages(self) -> tuple[int, ...]:
        """No message in any stage."""
        return (0,) * (1 + max(segment.stage for segment in self.segments))

    @property
    def digest(self) -> bytes:
        """A hash of all equations."""
        listed = [(list(map(tuple, equation.terms)), equation.constant) for equation in self.equations]
        sums = [(sorted(s.squares.items()), [tuple(t) for t in s.linear], s.constant) for s in self.sums]
        return digest("hansa.zk.equations", repr(listed), repr(sums))

    def constraints(self, seeds: Sequence[bytes], messages: Sequence[bytes]) -> Constraints:  # noqa: ARG002
        """Return the constraints."""
        return Constraints(linear=[Equations(self.equations)], sums=self.sums)


def fixed(cells: Mapping[str, Any], *later: Mapping[str, Any]) -> Witness:
    """Return the witness with these cells by stage, integers of any sign, whatever the challenges."""
    stages = [
        {name: field.from_ints([int(value) for value in values]) for name, values in stage.items()}
        for stage in (cells, *later)
    ]
    return lambda stage, _: Cells(cells=stages[stage])

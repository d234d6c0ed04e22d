"""Small statements for tests of `hansa.zk`, each for the fast code and for the reference at once."""

from __future__ import annotations

import hashlib

from hypothesis import strategies as st

from hansa.crypto import field
from hansa.crypto.arithmetic import P
from hansa.zk.equations import Equation, Equations
from hansa.zk.parameters import Parameters
from hansa.zk.statement import Cells, Constraints, QuadraticSum, Segment
from zk_reference import Spec


class Randomness:
    """The same bytes for the same seed and calls."""

    def __init__(self, seed=0):
        self.seed, self.calls = seed, 0

    def __call__(self, size):
        self.calls += 1
        return hashlib.shake_256(f"{self.seed} {self.calls}".encode()).digest(size)


class Fast:
    """A reference's statement for the fast code."""

    def __init__(self, spec):
        self.spec = spec
        self.parameters = Parameters(row=spec.row, columns=spec.columns, toy=spec.toy)
        self.segments = [Segment(name=n, cells=c, stage=s, boolean=b) for n, c, s, b in spec.segments]
        self.messages, self.digest = tuple(spec.messages), spec.digest

    def constraints(self, seeds, messages):
        linear, sums = self.spec.constraints(seeds, messages)
        return Constraints(
            linear=[Equations([Equation(terms=t, constant=c)]) for t, c in linear],
            sums=[
                QuadraticSum(
                    squares=dict(squares),
                    linear=[(name, [cell], [weight]) for name, cell, weight in terms],
                    constant=constant,
                )
                for squares, terms, constant in sums
            ],
        )


def spec_of(segments, linear=(), sums=(), *, row=16, columns=4, messages=None):
    stages = 1 + max(s[2] for s in segments)
    return Spec(
        row,
        columns,
        True,
        segments,
        messages or (0,) * stages,
        b"listed",
        lambda *_: (list(linear), list(sums)),
    )


def witness_of(*stages, messages=None):
    """For the fast code: fixed cells by stage, integers of any sign."""

    def cells(stage, seeds):
        own = {name: field.from_ints([int(v) for v in values]) for name, values in stages[stage].items()}
        return Cells(cells=own, message=(messages or [b""] * len(stages))[stage])

    return cells


def slow(witness):
    """The same witness for the reference."""

    def cells(stage, seeds):
        given = witness(stage, seeds)
        return {name: values.tolist() for name, values in given.cells.items()}, given.message

    return cells


# A statement in two stages: |x|² + slack = 60, a projection of x drawn after x was committed lies in
# [−16, 16) by its bits, and a sum of x with weights drawn then is told in the clear.
def _projection(seed):
    return [seed[j] % 3 - 1 for j in range(5)], [1 + seed[8 + j] for j in range(5)]


def _two_stages(seeds, messages):
    rows, weights = _projection(seeds[0])
    told = int.from_bytes(messages[1], "little")
    linear = [
        ([("x", j, r) for j, r in enumerate(rows)] + [("v", k, -(2**k)) for k in range(5)], -16),
        ([("x", j, w) for j, w in enumerate(weights)], told),
    ]
    sums = [([("x", [1])], [("slack", k, 2**k) for k in range(6)], 60)]
    return linear, sums


TWO_STAGES = Spec(
    16,
    4,
    True,
    [("x", 5, 0, False), ("v", 5, 1, True), ("slack", 6, 1, True)],
    (3, 8),
    b"two stages",
    _two_stages,
)


def two_stages(x):
    """The honest prover's cells."""

    def cells(stage, seeds):
        if stage == 0:
            return Cells(cells={"x": field.from_ints(x)}, message=b"abc")
        rows, weights = _projection(seeds[0])
        v = sum(r * value for r, value in zip(rows, x, strict=True)) + 16
        slack = 60 - sum(value * value for value in x)
        told = sum(w * value for w, value in zip(weights, x, strict=True)) % P
        bits = {"v": [v >> k & 1 for k in range(5)], "slack": [slack >> k & 1 for k in range(6)]}
        own = {name: field.from_ints(values) for name, values in bits.items()}
        return Cells(cells=own, message=told.to_bytes(8, "little"))

    return cells


@st.composite
def statements(draw, max_cells=40):
    """A statement that is true, with its cells by stage."""
    row = draw(st.sampled_from([8, 16]))
    columns = draw(st.integers(1, row // 2))
    count = draw(st.integers(1, 4))
    stages = sorted(draw(st.integers(0, 1)) for _ in range(count))
    stages = [s - stages[0] for s in stages]
    segments, cells = [], {}
    for i in range(count):
        size, boolean = draw(st.integers(1, max_cells)), draw(st.booleans())
        segments.append((f"s{i}", size, stages[i], boolean))
        numbers = st.integers(0, 1) if boolean else st.integers(-(P // 2), P // 2) | st.integers(-2, 2)
        cells[f"s{i}"] = draw(st.lists(numbers, min_size=size, max_size=size))
    weight = st.integers(-3, 3) | st.integers(0, P - 1)

    def terms(most):
        out = []
        for _ in range(draw(st.integers(0, most))):
            name, size, _, _ = draw(st.sampled_from(segments))
            out.append((name, draw(st.integers(0, size - 1)), draw(weight)))
        return out

    linear, sums = [], []
    for _ in range(draw(st.integers(0, 3))):
        listed = terms(6)
        linear.append((listed, sum(w * cells[n][c] for n, c, w in listed) % P))
    for _ in range(draw(st.integers(0, 2))):
        squares, constant = [], 0
        for name, size, _, _ in segments:
            if draw(st.booleans()):
                squares.append((name, [draw(weight) for _ in range(-(-size // row))]))
                constant += sum(squares[-1][1][j // row] * v * v for j, v in enumerate(cells[name]))
        listed = terms(3)
        constant += sum(w * cells[n][c] for n, c, w in listed)
        sums.append((squares, listed, constant % P))
    spec = spec_of(segments, linear, sums, row=row, columns=columns)
    by_stage = [
        {n: cells[n] for n, _, at, _ in segments if at == stage} for stage in range(len(spec.messages))
    ]
    return spec, by_stage

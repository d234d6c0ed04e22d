"""A proof leaves open which witness it is of: every one gives every transcript, by one choice of randomness.

The challenges are fixed, as by an honest verifier. What is sent is then a function of the random words; it is
linear but for the squares of rows, so that its derivative is exact from differences, and two steps lead from
any witness to the transcript of any other. That takes as many random words as accepted transcripts have
degrees of freedom: one fewer, and there are transcripts that tell witnesses apart.
"""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from hansa.crypto.arithmetic import P
from hansa.zk import prover
from hansa.zk.proof import degrees, read_head, widths
from hansa.zk.prover import prove
from hansa.zk.statement import Layout
from hansa.zk.transcript import Transcript
from hansa.zk.verifier import verify
from zk_statements import Fast, spec_of, witness_of

# x² + y² + z² + slack = 3, the slack being a number of two bits: 27 witnesses
SLACK = [("bits", i, 1 << i) for i in range(2)]
STATEMENT = Fast(
    spec_of([("x", 3, 0, False), ("bits", 2, 0, True)], [], [([("x", [1])], SLACK, 3)], row=4, columns=2)
)
LAYOUT = Layout(STATEMENT)
ROW, COLUMNS = 4, 2
WIDTH = widths(LAYOUT)[0]
COUNTS = [2 * ROW, 2 * (2 * (ROW + COLUMNS) - 1), 2 * (ROW + 2 * COLUMNS - 1), (LAYOUT.count + 2) * COLUMNS]
WORDS = sum(COUNTS)
EQUATIONS = 2 * sum(degrees(LAYOUT)) + COLUMNS * WIDTH
FREE = EQUATIONS - 6 * COLUMNS - 2  # less the verifier's equations: three over F2 a column, and the total
OPENED = [EQUATIONS - COLUMNS * WIDTH + c * WIDTH + i for c in range(COLUMNS) for i in range(LAYOUT.count)]
WITNESSES = list(itertools.product((-1, 0, 1), repeat=3))


class Fixed(Transcript):
    """Challenges that do not depend on what was said."""

    def absorb(self, label, data):
        pass


class Given:
    """Random words that were chosen; the salts of hashes are all zero."""

    def __init__(self, words):
        self.words, self.counts = list(words), iter(COUNTS)

    def __call__(self, size):
        count = next(self.counts, None)
        if count is None:
            return bytes(size)
        own, self.words = self.words[:count], self.words[count:]
        return np.array(own, "<u8").tobytes() + bytes(size - 8 * count)


def sent(x, words):
    """The coefficients of the three polynomials and the opened columns, as an honest verifier sees them."""
    slack = 3 - sum(v * v for v in x)
    cells = witness_of({"x": x, "bits": [slack >> i & 1 for i in range(2)]})
    proof = prove(STATEMENT, cells, Fixed("t"), random=Given(words))
    head, place = read_head(LAYOUT, proof)
    columns = np.frombuffer(proof[place : place + 8 * COLUMNS * WIDTH], "<u8")
    return [int(v) for part in (*head.polynomials, columns) for v in part.reshape(-1)], proof


def derivative(x, words):
    """By random word, what it changes. Blinds are linear; for tails (T(ω + u) − T(ω − u)) / 2 is exact."""

    def moved(i, by):
        return sent(x, [(v + by) % P if i == k else v for k, v in enumerate(words)])[0]

    half, here = pow(2, -1, P), sent(x, words)[0]
    out = []
    for i in range(WORDS):
        below, factor = (here, 1) if i < WORDS - COUNTS[3] else (moved(i, -1), half)
        out.append([(a - b) * factor % P for a, b in zip(moved(i, 1), below, strict=True)])
    return out


def solved(columns, targets):
    """The rank of a matrix given by columns, and for each target what gives it, or None (Gauss)."""
    rows = [list(row) for row in zip(*columns, *targets, strict=True)]
    pivots, unknowns = [], len(columns)
    for k in range(unknowns):
        rank = len(pivots)
        found = next((i for i in range(rank, len(rows)) if rows[i][k]), None)
        if found is None:
            continue
        rows[rank], rows[found] = rows[found], rows[rank]
        scale = pow(rows[rank][k], -1, P)
        rows[rank] = [v * scale % P for v in rows[rank]]
        for i, row in enumerate(rows):
            if i != rank and row[k]:
                factor = row[k]
                rows[i] = [(a - factor * b) % P for a, b in zip(row, rows[rank], strict=True)]
        pivots.append(k)
    out = []
    for j in range(unknowns, unknowns + len(targets)):
        solution = [0] * unknowns
        for row, k in zip(rows, pivots, strict=False):
            solution[k] = row[j]
        out.append(None if any(row[j] for row in rows[len(pivots) :]) else solution)
    return len(pivots), out


def random_words(seed):
    return [int(v) for v in np.random.default_rng(seed).integers(P, size=WORDS, dtype=np.uint64)]


def explained():
    """The rank at one proof, and how many of all witnesses explain what was sent in it."""
    words = random_words(0)
    target, proof = sent((1, 0, -1), words)
    verify(STATEMENT, proof, Fixed("t"))
    columns, others = derivative((1, 0, -1), words), {x: random_words(1) for x in WITNESSES}
    for places in (OPENED, range(EQUATIONS)):  # tails first; then, squares being right, blinds
        missing = []
        for x, own in others.items():
            found, _ = sent(x, own)
            missing.append([(target[i] - found[i]) % P for i in places])
        rank, steps = solved([[column[i] for i in places] for column in columns], missing)
        others = {
            x: [(a + b) % P for a, b in zip(own, step, strict=True)]
            for (x, own), step in zip(others.items(), steps, strict=True)
            if step is not None
        }
    return rank, sum(sent(x, own)[0] == target for x, own in others.items())


def test_every_witness_explains_what_was_sent():
    assert explained() == (FREE, len(WITNESSES))


def test_each_by_one_choice_of_randomness():
    """The rank is that of all accepted transcripts; two words of a blind follow from its others."""
    rank, _ = solved(derivative((0, 0, 0), random_words(2)), [])
    assert rank == FREE == WORDS - 2


PARTS = [
    "blind of rows",
    "blind of sums",
    "blind of booleans",
    "tails",
]  # in the order in which they are drawn


def without(part):
    """Words are taken to be 0: those of a blind, or the last random coefficient of every row."""
    calls, real = itertools.cycle(PARTS), prover.secret_elements

    def wrong(count, random):
        drawn, called = real(count, random).copy(), next(calls)
        if called == part:
            drawn.reshape(-1, COLUMNS)[:, -1 if part == "tails" else slice(None)] = 0
        if called == "tails" and part == "blind of rows":
            drawn[-2 * COLUMNS :] = 0
        return drawn

    return wrong


@pytest.mark.parametrize("part", PARTS)
def test_with_less_randomness_few_do(monkeypatch, part):
    monkeypatch.setattr(prover, "secret_elements", without(part))
    rank, witnesses = explained()
    assert rank < FREE
    assert witnesses < len(WITNESSES) / 2

"""The proof system of `hansa.zk` in slow, plain Python on big integers: an executable specification.

With the same randomness it makes the same bytes as the fast code, and it accepts them. The transcript, trees
and polynomials are in `zk_reference_parts`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from crypto_reference import P, encoded
from zk_reference_parts import (
    ZERO,
    Pair,
    Transcript,
    at,
    at2,
    bytes_of,
    code_points,
    divided,
    interpolated,
    leaf,
    levels,
    masked,
    needed,
    plus,
    product,
    root_from,
    subgroup,
    summed,
    times,
    total,
    words_of,
)


@dataclass(frozen=True)
class Spec:
    """What is proven.

    segments: (name, cells, stage, boolean); messages: bytes by stage; digest: of what is public;
    constraints: from seeds and messages to [(terms, constant)], [(squares, linear, constant)], where terms
    and linear are (name, cell, weight) and squares (name, weight, for each row). Instead of (terms, constant)
    there may be (count, combined): so many constraints, of which `combined` gives the terms and the constant
    of a combination, elements of F2, from its coefficients.
    """

    row: int
    columns: int
    toy: bool
    segments: Sequence[tuple[str, int, int, bool]]
    messages: Sequence[int]
    digest: bytes
    constraints: Callable

    @property
    def degree(self) -> int:
        return self.row + self.columns

    @property
    def ordered(self) -> list:
        return sorted(self.segments, key=lambda segment: segment[2])

    def rows_of(self, cells: int) -> int:
        return -(-cells // self.row)


def statement_digest(spec: Spec) -> bytes:
    parts: list = [spec.digest, spec.row, spec.columns, int(spec.toy), len(spec.messages), *spec.messages]
    parts.append(len(spec.segments))
    for name, cells, stage, boolean in spec.ordered:
        parts += [name, cells, stage, int(boolean)]
    return hashlib.sha256(encoded("hansa.zk.statement", *parts)).digest()


# ---------------------------------------------------------------- combination


@dataclass
class Combination:
    proximity: list[Pair]
    weights: list[list[Pair]]
    squares: list[Pair]
    booleans: list[Pair]
    constant: Pair


def draw(
    spec: Spec, transcript: Transcript, seeds: Sequence[bytes], messages: Sequence[bytes]
) -> Combination:
    linear, sums = spec.constraints(tuple(seeds), tuple(messages))
    first, count = {}, 0
    for name, cells, _, _ in spec.ordered:
        first[name], count = count, count + spec.rows_of(cells)
    padding = [
        (first[name] + spec.rows_of(cells) - 1, place)
        for name, cells, _, _ in spec.ordered
        for place in range((cells - 1) % spec.row + 1, spec.row)
    ]
    boolean = [
        first[name] + i
        for name, cells, _, is_boolean in spec.ordered
        if is_boolean
        for i in range(spec.rows_of(cells))
    ]
    counts = [item[0] if isinstance(item[0], int) else 1 for item in linear]
    proximity = transcript.elements("rows", count)
    drawn = iter(transcript.elements("constraints", sum(counts) + len(sums) + len(padding) + len(boolean)))
    weights = [[ZERO] * spec.row for _ in range(count)]
    squares, booleans, constant = [ZERO] * count, [ZERO] * count, ZERO

    def add(name: str, cell: int, value: Pair) -> None:
        row = weights[first[name] + cell // spec.row]
        row[cell % spec.row] = plus(row[cell % spec.row], value)

    for size, (first_part, second) in zip(counts, linear, strict=True):
        if isinstance(first_part, int):
            terms, right = second([next(drawn) for _ in range(size)])
        else:
            coefficient = next(drawn)
            terms = [(name, cell, times(coefficient, weight)) for name, cell, weight in first_part]
            right = times(coefficient, second)
        constant = plus(constant, right)
        for name, cell, weight in terms:
            add(name, cell, weight)
    for squared, terms, right in sums:
        coefficient = next(drawn)
        constant = plus(constant, times(coefficient, right))
        for name, listed in squared:
            for i, weight in enumerate(listed):
                squares[first[name] + i] = plus(squares[first[name] + i], times(coefficient, weight))
        for name, cell, weight in terms:
            add(name, cell, times(coefficient, weight))
    for row, place in padding:
        weights[row][place] = next(drawn)
    for row in boolean:
        booleans[row] = next(drawn)
    return Combination(proximity, weights, squares, booleans, constant)


# ---------------------------------------------------------------- prover


def secret_elements(count: int, random: Callable[[int], bytes]) -> list[int]:
    out: list[int] = []
    while len(out) < count:
        words = [w for w in words_of(random(8 * (count - len(out) + 8))) if w < P]
        out += words[: count - len(out)]
    return out


def prove(spec: Spec, witness: Callable, transcript: Transcript, random: Callable[[int], bytes]) -> bytes:
    """witness: from stage and seeds to ({name: cells}, message)."""
    row, columns, degree, stages = spec.row, spec.columns, spec.degree, len(spec.messages)
    points, out = code_points(row), b""
    transcript.absorb("statement", statement_digest(spec))
    seeds, messages, rows, trees, tables, salts = [], [], [], [], [], []
    for stage in range(stages):
        cells, message = witness(stage, tuple(seeds))
        own = []
        for name, size, at_stage, _ in spec.ordered:
            if at_stage == stage:
                padded = [v % P for v in cells[name]] + [0] * (-size % row)
                own += [padded[i : i + row] for i in range(0, len(padded), row)]
        wide: list[list[int]] = []
        if stage == stages - 1:
            blind = secret_elements(2 * row, random)
            own += [blind[:row], blind[row:]]
            for size in (2 * degree - 1, row + 2 * columns - 1):
                drawn = secret_elements(2 * size, random)
                wide += [drawn[:size], drawn[size:]]
            for polynomial in wide[:2]:
                polynomial[0] = -(polynomial[row] + polynomial[2 * row]) % P
        tails = secret_elements(len(own) * columns, random)
        coded = [masked(c, tails[columns * i : columns * (i + 1)], row) for i, c in enumerate(own)]
        table = [[at(polynomial, x) for polynomial in coded + wide] for x in points]
        salt = random(32 * len(points))
        salts.append([salt[32 * i : 32 * (i + 1)] for i in range(len(points))])
        tables.append(table)
        trees.append(levels([leaf(s, bytes_of(column)) for s, column in zip(salts[-1], table, strict=True)]))
        root = trees[-1][-1][0]
        transcript.absorb("root", root)
        transcript.absorb("message", message)
        messages.append(message)
        out += root + message
        if stage < stages - 1:
            seeds.append(transcript.seed("stage"))
            rows += coded
        else:
            rows += coded[:-2]
            row_blind, (sum_blind, quotient_blind) = coded[-2:], (wide[:2], wide[2:])
    combination = draw(spec, transcript, seeds, messages)

    spoken = b""
    combined = [list(zip(*row_blind, strict=True))]
    combined += [[times(c, v) for v in f] for c, f in zip(combination.proximity, rows, strict=True)]
    sums = [list(zip(*sum_blind, strict=True))]
    booleans = []
    for f, weights, square, boolean in zip(
        rows, combination.weights, combination.squares, combination.booleans, strict=True
    ):
        low = interpolated([w[0] for w in weights], row)
        high = interpolated([w[1] for w in weights], row)
        sums.append(product(list(zip(low, high, strict=True)), f))
        if square != ZERO:
            sums.append(product([times(square, v) for v in f], f))
        if boolean != ZERO:
            booleans.append(product([times(boolean, v) for v in f], f))
            booleans.append([times(boolean, -v) for v in f])
    quotient = divided(summed(booleans, 2 * degree - 1), row)
    for polynomial in (
        summed(combined, degree),
        summed(sums, 2 * degree - 1),
        summed([quotient, list(zip(*quotient_blind, strict=True))], row + 2 * columns - 1),
    ):
        spoken += bytes_of([word for pair in polynomial for word in pair])
    transcript.absorb("polynomials", spoken)
    positions = transcript.distinct("columns", columns, len(points))
    out += spoken
    for stage in range(stages):
        opened = b"".join(bytes_of(tables[stage][p]) for p in positions)
        opened += b"".join(salts[stage][p] for p in positions)
        opened += b"".join(trees[stage][h][p] for h, p in needed(len(points), positions))
        transcript.absorb("opened", opened)
        out += opened
    return out


# ---------------------------------------------------------------- verifier


def verify(spec: Spec, proof: bytes, transcript: Transcript) -> str:
    """Returns "accepted" or the check that failed."""
    row, columns, degree, stages = spec.row, spec.columns, spec.degree, len(spec.messages)
    points, place = code_points(row), 0

    def take(size: int) -> bytes:
        nonlocal place
        place += size
        return proof[place - size : place]

    transcript.absorb("statement", statement_digest(spec))
    roots, messages, seeds = [], [], []
    for stage in range(stages):
        roots.append(take(32))
        messages.append(take(spec.messages[stage]))
        transcript.absorb("root", roots[-1])
        transcript.absorb("message", messages[-1])
        if stage < stages - 1:
            seeds.append(transcript.seed("stage"))
    sizes = [degree, 2 * degree - 1, row + 2 * columns - 1]
    spoken = take(16 * sum(sizes))
    words = words_of(spoken)
    if len(words) != 2 * sum(sizes):
        return "length"
    if any(word >= P for word in words):
        return "decoding"
    pairs = list(zip(words[::2], words[1::2], strict=True))
    combined, sums, quotient = pairs[:degree], pairs[degree : degree + sizes[1]], pairs[degree + sizes[1] :]

    try:
        combination = draw(spec, transcript, seeds, messages)
    except ValueError:
        return "message"
    if total(at2(sums, x) for x in subgroup(row)) != combination.constant:
        return "total"
    transcript.absorb("polynomials", spoken)
    positions = transcript.distinct("columns", columns, len(points))
    opened: list[list[int]] = [[] for _ in positions]
    for stage in range(stages):
        own = sum(spec.rows_of(cells) for _, cells, at_stage, _ in spec.segments if at_stage == stage)
        width = own + (6 if stage == stages - 1 else 0)
        data = [take(8 * width) for _ in positions]
        salts = [take(32) for _ in positions]
        siblings = [take(32) for _ in needed(len(points), positions)]
        if len(data[-1]) != 8 * width or any(len(s) != 32 for s in salts + siblings):
            return "length"
        if any(word >= P for column in data for word in words_of(column)):
            return "decoding"
        hashes = {p: leaf(s, c) for p, s, c in zip(positions, salts, data, strict=True)}
        if root_from(len(points), hashes, siblings) != roots[stage]:
            return "merkle"
        for column, more in zip(opened, data, strict=True):
            column.extend(words_of(more))
    if place != len(proof):
        return "length"

    polynomials = [
        [interpolated([w[part] for w in weights], row) for part in range(2)]
        for weights in combination.weights
    ]
    for p, column in zip(positions, opened, strict=True):
        x, f, blind = points[p], column[:-6], column[-6:]
        expected = total(
            [tuple(blind[:2])] + [times(c, v) for c, v in zip(combination.proximity, f, strict=True)]
        )
        if at2(combined, x) != expected:
            return "proximity"
        expected = tuple(blind[2:4])
        for v, (low, high), square in zip(f, polynomials, combination.squares, strict=True):
            weight = at(low, x), at(high, x)
            expected = plus(expected, plus(times(weight, v), times(square, v * v)))
        if at2(sums, x) != expected:
            return "sums"
        expected = total(times(c, v * v - v) for c, v in zip(combination.booleans, f, strict=True))
        zero = (pow(x, row, P) - 1) % P
        if times(plus(at2(quotient, x), times(tuple(blind[4:]), -1)), zero) != expected:
            return "boolean"
    return "accepted"


__all__ = [
    "Combination",
    "Spec",
    "Transcript",
    "at",
    "code_points",
    "levels",
    "masked",
    "needed",
    "prove",
    "secret_elements",
    "verify",
]

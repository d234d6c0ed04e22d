"""The proof system of `hansa.zk` in slow, plain Python on big integers: an executable specification.

With the same randomness it makes the same bytes as the fast code, and it accepts them. Elements of F2 are pairs;
polynomials are lists of coefficients, lowest first.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from crypto_reference import P, encoded, mul2

ZERO = (0, 0)
Pair = tuple[int, int]


@dataclass(frozen=True)
class Spec:
    """What is proven.

    segments: (name, cells, stage, boolean); messages: bytes by stage; digest: of what is public;
    constraints: from seeds and messages to [(terms, constant)], [(squares, linear, constant)], where terms
    and linear are (name, cell, weight) and squares (name, weight, for each row).
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


# ---------------------------------------------------------------- transcript


class Transcript:
    """Everything said so far, and challenges from it."""

    def __init__(self, label: str) -> None:
        self.said = b""
        self.frame(b"d", label, b"hansa.zk.transcript.v1")

    def frame(self, kind: bytes, label: str, data: bytes) -> None:
        name = label.encode()
        self.said += kind + len(name).to_bytes(8, "little") + name + len(data).to_bytes(8, "little") + data

    def absorb(self, label: str, data: bytes) -> None:
        self.frame(b"m", label, data)

    def stream(self, label: str, count: int, size: int) -> bytes:
        self.frame(b"c", label, count.to_bytes(8, "little"))
        return hashlib.shake_256(self.said).digest(size)

    def seed(self, label: str) -> bytes:
        return self.stream(label, 32, 32)

    def elements(self, label: str, count: int) -> list[Pair]:
        data = self.stream(label, count, 32 * count + 1024)
        words = [w for w in words_of(data) if w < P]
        return [(words[2 * i], words[2 * i + 1]) for i in range(count)]

    def distinct(self, label: str, count: int, below: int) -> list[int]:
        data = self.stream(label, count, 1 << 16)
        found: list[int] = []
        for i in range(0, len(data), 4):
            value = int.from_bytes(data[i : i + 4], "little") % below
            if value not in found and len(found) < count:
                found.append(value)
        return sorted(found)


def words_of(data: bytes) -> list[int]:
    return [int.from_bytes(data[i : i + 8], "little") for i in range(0, len(data), 8)]


def bytes_of(values: Sequence[int]) -> bytes:
    return b"".join(value.to_bytes(8, "little") for value in values)


def statement_digest(spec: Spec) -> bytes:
    parts: list = [spec.digest, spec.row, spec.columns, int(spec.toy), len(spec.messages), *spec.messages]
    parts.append(len(spec.segments))
    for name, cells, stage, boolean in spec.ordered:
        parts += [name, cells, stage, int(boolean)]
    return hashlib.sha256(encoded("hansa.zk.statement", *parts)).digest()


# ---------------------------------------------------------------- trees


def leaf(salt: bytes, column: bytes) -> bytes:
    return hashlib.sha256(b"hansa.zk.leaf" + salt + column).digest()


def node(left: bytes, right: bytes) -> bytes:
    return hashlib.sha256(b"hansa.zk.node" + left + right).digest()


def levels(leaves: list[bytes]) -> list[list[bytes]]:
    out = [leaves]
    while len(out[-1]) > 1:
        below = out[-1]
        out.append([node(below[2 * i], below[2 * i + 1]) for i in range(len(below) // 2)])
    return out


def needed(size: int, positions: Sequence[int]) -> list[tuple[int, int]]:
    out, height, known = [], 0, set(positions)
    while size > 1:
        out += [(height, place ^ 1) for place in sorted(known) if place ^ 1 not in known]
        known, size, height = {place // 2 for place in known}, size // 2, height + 1
    return out


def root_from(size: int, hashes: dict[int, bytes], siblings: list[bytes]) -> bytes:
    where = dict(zip(needed(size, list(hashes)), siblings, strict=True))
    known, height = dict(hashes), 0
    while size > 1:
        for (level, place), value in where.items():
            if level == height:
                known[place] = value
        known = {place // 2: node(known[place & ~1], known[place | 1]) for place in known}
        size, height = size // 2, height + 1
    return known[0]


# ---------------------------------------------------------------- polynomials


def root_of_unity(order: int) -> int:
    return pow(7, (P - 1) // order, P)


def reverse(place: int, size: int) -> int:
    bits = size.bit_length() - 1
    return int(format(place, f"0{bits}b")[::-1], 2)


def subgroup(row: int) -> list[int]:
    """The points of H in the order of cells."""
    return [pow(root_of_unity(row), reverse(place, row), P) for place in range(row)]


def code_points(row: int) -> list[int]:
    """The points of the code in the order of columns."""
    return [
        7 * pow(root_of_unity(8 * row), coset, P) * point % P for coset in range(8) for point in subgroup(row)
    ]


def interpolated(cells: Sequence[int], row: int) -> list[int]:
    """Coefficients of the polynomial of degree < row with these values on H."""
    inverse, points = pow(row, -1, P), subgroup(row)
    return [
        inverse * sum(value * pow(x, -k, P) for value, x in zip(cells, points, strict=True)) % P
        for k in range(row)
    ]


def masked(cells: Sequence[int], tail: Sequence[int], row: int) -> list[int]:
    """Interpolation + (X^row − 1) · tail."""
    out = interpolated(cells, row) + [0] * len(tail)
    for j, value in enumerate(tail):
        out[j] = (out[j] - value) % P
        out[row + j] = (out[row + j] + value) % P
    return out


def at(polynomial: Sequence[int], x: int) -> int:
    return sum(c * pow(x, k, P) for k, c in enumerate(polynomial)) % P


def at2(polynomial: Sequence[Pair], x: int) -> Pair:
    return at([c[0] for c in polynomial], x), at([c[1] for c in polynomial], x)


def plus(a: Pair, b: Pair) -> Pair:
    return (a[0] + b[0]) % P, (a[1] + b[1]) % P


def times(a: Pair, b: int) -> Pair:
    return a[0] * b % P, a[1] * b % P


def total(pairs) -> Pair:
    out = ZERO
    for pair in pairs:
        out = plus(out, pair)
    return out


def product(a: Sequence[Pair], b: Sequence[int]) -> list[Pair]:
    out = [ZERO] * (len(a) + len(b) - 1)
    for i, x in enumerate(a):
        for j, y in enumerate(b):
            out[i + j] = plus(out[i + j], times(x, y))
    return out


def summed(polynomials, size: int) -> list[Pair]:
    out = [ZERO] * size
    for polynomial in polynomials:
        for k, value in enumerate(polynomial):
            out[k] = plus(out[k], value)
    return out


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
    proximity = transcript.elements("rows", count)
    drawn = iter(transcript.elements("constraints", len(linear) + len(sums) + len(padding) + len(boolean)))
    weights = [[ZERO] * spec.row for _ in range(count)]
    squares, booleans, constant = [ZERO] * count, [ZERO] * count, ZERO

    def add(name: str, cell: int, value: Pair) -> None:
        row = weights[first[name] + cell // spec.row]
        row[cell % spec.row] = plus(row[cell % spec.row], value)

    for terms, right in linear:
        coefficient = next(drawn)
        constant = plus(constant, times(coefficient, right))
        for name, cell, weight in terms:
            add(name, cell, times(coefficient, weight))
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
        sums.append(product([times(square, v) for v in f], f))
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


def divided(polynomial: list[Pair], row: int) -> list[Pair]:
    """The quotient by X^row − 1."""
    rest, quotient = list(polynomial), [ZERO] * (len(polynomial) - row)
    for k in range(len(polynomial) - 1, row - 1, -1):
        quotient[k - row] = rest[k]
        rest[k - row], rest[k] = plus(rest[k - row], rest[k]), ZERO
    return quotient


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

    combination = draw(spec, transcript, seeds, messages)
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
            column += words_of(more)
    if place != len(proof):
        return "length"

    for p, column in zip(positions, opened, strict=True):
        x, f, blind = points[p], column[:-6], column[-6:]
        expected = total(
            [tuple(blind[:2])] + [times(c, v) for c, v in zip(combination.proximity, f, strict=True)]
        )
        if at2(combined, x) != expected:
            return "proximity"
        expected = tuple(blind[2:4])
        for v, weights, square in zip(f, combination.weights, combination.squares, strict=True):
            low = at(interpolated([w[0] for w in weights], row), x)
            high = at(interpolated([w[1] for w in weights], row), x)
            expected = plus(expected, plus(times((low, high), v), times(square, v * v)))
        if at2(sums, x) != expected:
            return "sums"
        expected = total(times(c, v * v - v) for c, v in zip(combination.booleans, f, strict=True))
        zero = (pow(x, row, P) - 1) % P
        if times(plus(at2(quotient, x), times(tuple(blind[4:]), -1)), zero) != expected:
            return "boolean"
    return "accepted"


__all__ = ["Combination", "Spec", "Transcript", "mul2", "prove", "verify"]

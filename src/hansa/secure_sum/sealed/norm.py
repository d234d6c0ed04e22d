"""What a client proves of its seal: the vector in it is within its norm, and the key is the one it shared.

There are x and s such that, with e = b − a · s − Δ · x: ‖x‖ ≤ B in the integers, exactly (with weights:
x = (w · u, w), ‖w · u‖ ≤ C · w and 0 ≤ w ≤ w_max, and w is the client's certified number of rows where that
is known); ‖(e, s)‖ is below β; and the shares that were dealt are of this s. Where clients add noise η, what
is sealed is x + η, and ‖η‖ ≤ T in the integers, exactly.

How. x, s and a random mask g₀ are committed, with hashes of all shares. Then 256 random projections of x and
of (e, s) are drawn, and γ. Bits of the projections and of the slack B² − ‖x‖² are committed, and the
polynomial h(Y) = g(Y) + Σ_k γ^(k+1) f_k(Y) is told, g and f_k being the polynomials by which g₀ and s are
shared. e is never committed: it is substituted. Every holder checks h at its own place.

Source:
    Gentry, Halevi and Lyubashevsky (ePrint 2021/1397, lemma 3.1 and 3.3) for projections modulo a prime: with
    projections of absolute value up to W, coordinates are below 2 W but for 2^-256, and the norm is below
    16 W / √26 but for 2^-128. The statement as a whole is ours, and has not been reviewed by outsiders.

Not shown:
    Anything of the direction of x, or of the data that it was learned from. Nor that η is noise: who lies
    takes any η of norm T, and adds up to B + T to a sum, in a direction of its choice. A bound of B + T on
    x + η alone would leave it no more: but for rounding, each such vector is a sum of two.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hansa.crypto import field, ntt
from hansa.crypto.arithmetic import P
from hansa.crypto.encoding import digest
from hansa.crypto.field import Field
from hansa.crypto.ring import N, from_ntt, to_ntt
from hansa.secure_sum.sealed.bounds import Bounds
from hansa.secure_sum.sealed.projections import ROWS, combine
from hansa.zk.statement import Constraints, QuadraticSum, Segment, Weights
from hansa.zk.transcript import Transcript

Integers = NDArray[np.int64]

LEAF = 32
"""Bytes of the hash of a share."""


class NormStatement:
    """The statement about one seal, for `hansa.zk`.

    Attributes:
        parameters: Rows and columns.
        segments: Cells, by group.
        messages: Bytes in the clear: hashes of the shares; the polynomial h.
        digest: Of the seal, the public elements, and all numbers.
    """

    def __init__(
        self,
        bounds: Bounds,
        *,
        seal: Field | None,
        seal_hash: bytes,
        public: Any,
        place: bytes,
        scale: int,
        threshold: int,
        holders: int,
        weight: int | None = None,
    ) -> None:
        """Take what is public.

        Args:
            bounds: What is proven.
            seal: b, shape ``(elements, 4096)``; None where only the digest is wanted.
            seal_hash: Its hash.
            public: Returns the k-th public ring element, transformed.
            place: What public elements are derived from.
            scale: Δ.
            threshold: Shares that restore the key.
            holders: How many hold shares.
            weight: What the weight has to be, where that is known of the client; else None.
        """
        self.bounds, self._seal, self._public = bounds, seal, public
        self._scale, self._threshold, self._weight = scale, threshold, weight
        self.parameters = bounds.sizes
        whole = bounds.max_weight is None
        segments = [
            Segment(name="vector", cells=bounds.dimension - (not whole)),
            Segment(name="key", cells=N),
            Segment(name="mask", cells=2),
            Segment(name="bits", cells=bounds.bit_cells, stage=1, boolean=True),
        ]
        self.segments = segments if whole else [*segments, Segment(name="weight", cells=1)]
        if bounds.noise is not None:
            self.segments.append(Segment(name="noise", cells=bounds.dimension))
        self.messages = (LEAF * holders, 16 * threshold)
        numbers = sorted((name, str(value)) for name, value in bounds.describe().items())
        self.digest = digest(
            "norm",
            seal_hash,
            place,
            scale,
            threshold,
            holders,
            bounds.dimension,
            *(n for pair in numbers for n in pair),
            *(() if weight is None else ("weight", weight)),
        )

    def constraints(self, seeds: Sequence[bytes], messages: Sequence[bytes]) -> Constraints:
        """Return what holds of the cells."""
        polynomial = np.frombuffer(messages[1], "<u8").astype(np.uint64)
        if not field.is_canonical(polynomial):
            raise ValueError("the polynomial of the shares is not made of field elements")
        bounds = self.bounds
        each, error, slack, weight = bounds.places
        first = ROWS * (each + error)
        cells = list(range(first, first + slack))
        powers = [1 << i for i in range(slack)]
        if bounds.max_weight is None:
            squares, constant = {"vector": 1}, bounds.norm**2
        else:
            squares, constant = {"vector": 1, "weight": -(bounds.norm**2)}, 0
        total = QuadraticSum(squares=squares, linear=[("bits", cells, powers)], constant=constant)
        projections, gammas = challenges(seeds[0])
        blocks = [_Block(self, projections, gammas, polynomial.reshape(-1, 2)[0])]
        weights = [_WeightBits(bounds, first + slack)] if weight else []
        weights += [] if self._weight is None else [_WeightIs(self._weight)]
        if bounds.noise is None:
            return Constraints(linear=[*blocks, *weights], sums=[total])
        first, slack = bounds.noise_bits + ROWS * bounds.noise_places[0], bounds.noise_places[1]
        cells, powers = list(range(first, first + slack)), [1 << i for i in range(slack)]
        loud = QuadraticSum(squares={"noise": 1}, linear=[("bits", cells, powers)], constant=bounds.noise**2)
        return Constraints(linear=[*blocks, *weights, _Noise(bounds, projections)], sums=[total, loud])


def challenges(seed: bytes) -> tuple[bytes, Field]:
    """Return the seed of the projections, and γ, γ², … γ^4096: shape ``(4096, 2)``."""
    said = Transcript("hansa.norm")
    said.absorb("stage", seed)
    projections = said.seed("projections")
    return projections, powers_of(said.elements("shares", 1)[0])


def powers_of(gamma: Field) -> Field:
    """Return γ, γ², … γ^4096 in F2: shape ``(4096, 2)``."""
    powers = gamma[None]
    while len(powers) < N:
        powers = np.concatenate([powers, field.mul2(powers, powers[-1][None])])
    return powers


class _Block:
    """Both sets of projections, and the check of the shares: 2 · 256 + 2 linear constraints."""

    count = 2 * ROWS + 2

    def __init__(self, statement: NormStatement, seed: bytes, powers: Field, at_zero: Field) -> None:
        self._of, self._seed, self._powers, self._at_zero = statement, seed, powers, at_zero

    def add_to(self, weights: Weights, coefficients: Field) -> Field:
        of, bounds = self._of, self._of.bounds
        own, short, share = coefficients[:ROWS], coefficients[ROWS : 2 * ROWS], coefficients[2 * ROWS :]
        size = bounds.elements * N
        rows = combine(self._seed, np.stack([own, short]), bounds.coordinates)
        # The errors are b − a · s − Δ · x: what multiplies them falls on s, on x and on the constant.
        scaled = field.mul(rows[1, : bounds.dimension], np.array(of._scale, np.uint64))
        of_vector = field.sub(rows[0, : bounds.dimension], scaled)
        cells = len(weights["vector"])
        _plus(weights["vector"], of_vector[:cells])
        if bounds.max_weight is not None:
            _plus(weights["weight"], of_vector[cells:])
        if bounds.noise is not None:  # x + η is in the seal
            _plus(weights["noise"], field.sub(np.zeros(2, np.uint64), scaled))
        on_errors = np.ascontiguousarray(rows[1, :size].T).reshape(2, bounds.elements, N)
        seal = np.ascontiguousarray(of._seal).reshape(-1)
        constant = np.empty(2, np.uint64)
        for part in range(2):
            _plus_at(
                weights["key"],
                part,
                field.sub(rows[1, size:, part], _transposed(of._public, on_errors[part])),
            )
            constant[part] = field.inner(seal, on_errors[part].reshape(1, -1))[0]
        for k in range(2):  # g₀ + Σ γ^(k+1) s_k is h(0), in both components
            _plus(weights["key"], field.mul(self._powers[:, k, None], share[k][None]))
            _plus(weights["mask"][k : k + 1], share[k][None])
        each, error, *_ = bounds.places
        place = 0
        for challenge, places in ((own, each), (short, error)):
            place = _on_bits(weights, place, challenge, places)
        total = field.sub(np.zeros(2, np.uint64), constant)
        for challenge, width in ((own, bounds.width), (short, bounds.error_width)):
            total = field.sub(total, field.mul(_sum(challenge), np.array(width, np.uint64)))
        for k in range(2):
            total = field.add(total, field.mul(share[k], self._at_zero[k]))
        return total


class _Noise:
    """The projections of the noise are those that its bits say: 256 linear constraints."""

    count = ROWS

    def __init__(self, bounds: Bounds, seed: bytes) -> None:
        self._bounds, self._seed = bounds, seed

    def add_to(self, weights: Weights, coefficients: Field) -> Field:
        bounds = self._bounds
        twice = np.stack([coefficients, np.zeros_like(coefficients)])  # `combine` takes two
        _plus(weights["noise"], combine(self._seed, twice, bounds.dimension)[0])
        _on_bits(weights, bounds.noise_bits, coefficients, bounds.noise_places[0])
        return field.mul(_sum(coefficients), np.array(P - bounds.noise_width, np.uint64))


class _WeightBits:
    """The weight is the number of its bits, and so is what is left of the largest."""

    count = 2

    def __init__(self, bounds: Bounds, first: int) -> None:
        self._places, self._most, self._first = bounds.places[3], int(bounds.max_weight or 0), first

    def add_to(self, weights: Weights, coefficients: Field) -> Field:
        for k in range(2):
            powers = field.from_ints([-(1 << i) for i in range(self._places)])
            first = self._first + k * self._places
            _plus(
                weights["bits"][first : first + self._places],
                field.mul(powers[:, None], coefficients[k][None]),
            )
        # w − Σ bits = 0, and −w − Σ bits = −w_max.
        _plus(weights["weight"], field.sub(coefficients[0], coefficients[1])[None])
        return field.mul(coefficients[1], np.array(P - self._most, np.uint64))


class _WeightIs:
    """The weight is the number that is known of the client."""

    count = 1

    def __init__(self, weight: int) -> None:
        self._weight = weight

    def add_to(self, weights: Weights, coefficients: Field) -> Field:
        _plus(weights["weight"], coefficients)
        return field.mul(coefficients[0], np.array(self._weight, np.uint64))


@functools.lru_cache(maxsize=1)
def _inverted() -> NDArray[np.int64]:
    """Return at which place of a transformed element the value at the inverse of each point is."""
    points = [int(v) for v in ntt.points(N, ntt.root_of_unity(2 * N))]
    where = {point: place for place, point in enumerate(points)}
    return np.array([where[pow(point, -1, P)] for point in points])


def _transposed(public: Any, weights: Field) -> Field:
    """Return Σ_k a_k(1/X) · u_k: what multiplies s in Σ_k ⟨u_k, a_k · s⟩. One transform for each element."""
    total = np.zeros(N, np.uint64)
    for k, row in enumerate(to_ntt(weights)):
        field.add_into(total, field.mul(public(k)[_inverted()], row))
    return from_ntt(total)


def _on_bits(weights: Weights, place: int, coefficients: Field, places: int) -> int:
    """Subtract the numbers that bits are of, so many bits each, from this place on; return what is next."""
    powers = field.from_ints([-(1 << i) for i in range(places)])
    part = field.mul(coefficients[:, None, :], powers[None, :, None]).reshape(-1, 2)
    _plus(weights["bits"][place : place + len(part)], part)
    return place + len(part)


def _plus(weights: Field, more: Field) -> None:
    weights[...] = field.add(weights, more)


def _plus_at(weights: Field, part: int, more: Field) -> None:
    weights[:, part] = field.add(weights[:, part], more)


def _sum(elements: Field) -> Field:
    return np.array([sum(map(int, elements[:, k])) % P for k in range(2)], np.uint64)

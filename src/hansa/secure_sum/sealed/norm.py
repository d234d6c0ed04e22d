"""What a client proves of its seal: the vector in it is within its norm, and the key is the one it shared.

There are x and s such that, with e = b − a · s − Δ · x: ‖x‖ ≤ B in the integers, exactly (with weights: x = (w · u,
w), ‖w · u‖ ≤ C · w and 0 ≤ w ≤ w_max); ‖(e, s)‖ is below β; and the shares that were dealt are of this s.

How. x, s and a random mask g₀ are committed, with hashes of all shares. Then 256 random projections of x and of
(e, s) are drawn, and γ. Bits of the projections and of the slack B² − ‖x‖² are committed, and the polynomial
h(Y) = g(Y) + Σ_k γ^(k+1) f_k(Y) is told, g and f_k being the polynomials by which g₀ and s are shared. e is
never committed: it is substituted. Every holder checks h at its own place.

Source:
    Gentry, Halevi and Lyubashevsky (ePrint 2021/1397, lemma 3.1 and 3.3) for projections modulo a prime: with
    projections of absolute value up to W, coordinates are below 2 W but for 2^-256, and the norm is below
    16 W / √26 but for 2^-128. The statement as a whole is ours, and has not been reviewed by outsiders.

Not shown:
    Anything of the direction of x, or of the data that it was learned from.
"""

from __future__ import annotations

import functools
import hashlib
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hansa.crypto import field, ntt
from hansa.crypto.arithmetic import P
from hansa.crypto.encoding import digest
from hansa.crypto.field import Field
from hansa.crypto.ring import N, from_ntt, to_ntt
from hansa.secure_sum.sealed.projections import ROWS, combine, project
from hansa.zk import parameters as zk_parameters
from hansa.zk.statement import Cells, Constraints, QuadraticSum, Segment, Weights
from hansa.zk.transcript import Transcript

Integers = NDArray[np.int64]

LARGEST_NORM = 1 << 26
"""Above it the sum of squares could wrap around the field."""
LEAF = 32
"""Bytes of the hash of a share."""


@dataclass(frozen=True, kw_only=True)
class Bounds:
    """What is proven of every vector of a run.

    Attributes:
        norm: B, or C where there are weights: of the vector without its weight, divided by the weight.
        max_weight: Largest weight, the last coordinate of each vector; None where there are none.
        dimension: Coordinates of a vector, the weight included.
        elements: Ring elements of a seal.
        bits: Of soundness.
    """

    norm: int
    max_weight: int | None
    dimension: int
    elements: int
    bits: int = 100

    @property
    def vector_norm(self) -> int:
        """B: the most that the norm of the whole vector can be."""
        if self.max_weight is None:
            return self.norm
        return math.isqrt(self.max_weight**2 * (self.norm**2 + 1)) + 1

    @property
    def coordinates(self) -> int:
        """Coordinates of (e, s)."""
        return self.elements * N + N

    @property
    def error_norm(self) -> int:
        """What ‖(e, s)‖ is of an honest client; it draws again where it is more."""
        return math.ceil(1.05 * math.sqrt(20 * self.coordinates))

    @property
    def width(self) -> int:
        """W: projections of x are from −W to W − 1."""
        return _width(self.vector_norm)

    @property
    def error_width(self) -> int:
        """The same of projections of (e, s)."""
        return _width(self.error_norm)

    @property
    def error_radius(self) -> float:
        """β: the norm of (e, s) that the proof leaves a cheater."""
        return 16 * self.error_width / math.sqrt(26)

    @property
    def slack_bits(self) -> int:
        """Bits of the slack of the sum of squares."""
        return (self.vector_norm**2).bit_length()

    @functools.cached_property
    def places(self) -> tuple[int, int, int, int]:
        """How many bits each projection of x and of (e, s), the slack, and the weight take."""
        weight = 0 if self.max_weight is None else self.max_weight.bit_length()
        return self.width.bit_length(), self.error_width.bit_length(), self.slack_bits, weight

    @property
    def bit_cells(self) -> int:
        """Bits that are committed."""
        each, error, slack, weight = self.places
        return ROWS * (each + error) + slack + 2 * weight

    @functools.cached_property
    def sizes(self) -> zk_parameters.Parameters:
        """Rows and columns of the proof."""
        return zk_parameters.choose(self.dimension + N + self.bit_cells + 4, bits=self.bits)

    def fault(self) -> str:
        """Return why such a bound cannot be proven; empty where it can."""
        for width, count in ((self.width, self.dimension), (self.error_width, self.coordinates)):
            if 4 * width * count >= P:
                return f"projections of {count} coordinates could wrap around the field"
        if self.vector_norm > LARGEST_NORM or (16 * self.width) ** 2 // 26 + 2**self.slack_bits >= P:
            return f"norms up to {LARGEST_NORM} can be proven, and a vector's may be {self.vector_norm}"
        return ""

    def describe(self) -> dict[str, Any]:
        """Return the numbers for the run's configuration."""
        return {
            "norm": self.norm,
            "max_weight": self.max_weight,
            "width": self.width,
            "error_width": self.error_width,
            "bits": self.bits,
            "row": self.sizes.row,
            "columns": self.sizes.columns,
        }


def _width(norm: int) -> int:
    return 1 << max(1, (8 * norm).bit_length())


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
        """
        self.bounds, self._seal, self._public = bounds, seal, public
        self._scale, self._threshold = scale, threshold
        self.parameters = bounds.sizes
        whole = bounds.max_weight is None
        segments = [
            Segment(name="vector", cells=bounds.dimension - (not whole)),
            Segment(name="key", cells=N),
            Segment(name="mask", cells=2),
            Segment(name="bits", cells=bounds.bit_cells, stage=1, boolean=True),
        ]
        self.segments = segments if whole else [*segments, Segment(name="weight", cells=1)]
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
        blocks = [_Block(self, *challenges(seeds[0]), polynomial.reshape(-1, 2)[0])]
        return Constraints(
            linear=[*blocks, *([_WeightBits(bounds, first + slack)] if weight else [])], sums=[total]
        )


class NormWitness:
    """What the prover of a `NormStatement` knows. It does not print."""

    def __init__(
        self,
        bounds: Bounds,
        *,
        vector: Integers,
        key: Any,
        errors: Any,
        mask: Field,
        leaves: bytes,
        blended: Any,
    ) -> None:
        """Take what is secret.

        Args:
            bounds: What is proven.
            vector: x, int64, shape ``(dimension,)``.
            key: s, int8, shape ``(4096,)``.
            errors: e, int8, shape ``(elements · 4096,)``.
            mask: g₀, shape ``(2,)``.
            leaves: Hashes of the shares.
            blended: Returns the polynomial h, shape ``(threshold, 2)``, for γ's powers, shape ``(4096, 2)``.
        """
        self._bounds, self._vector, self._key, self._errors = bounds, vector, key, errors
        self._mask, self._leaves, self._blended = mask, leaves, blended

    def __call__(self, stage: int, seeds: Sequence[bytes]) -> Cells:
        """Return the cells of a stage."""
        bounds, weighs = self._bounds, self._bounds.max_weight is not None
        if stage == 0:
            cells = field.from_ints(self._vector)
            known = {
                "vector": cells[:-1] if weighs else cells,
                "key": field.from_ints(self._key),
                "mask": self._mask,
            }
            return Cells(cells={**known, "weight": cells[-1:]} if weighs else known, message=self._leaves)
        seed, powers = challenges(seeds[0])
        short = np.concatenate([self._errors, self._key]).astype(np.int64)
        each, error, slack, weight = bounds.places
        own = self._vector[:-1] if weighs else self._vector
        left = bounds.norm**2 * (int(self._vector[-1]) ** 2 if weighs else 1) - int(_squares(own))
        numbers = [
            (project(seed, self._vector) + bounds.width, each),
            (project(seed, short) + bounds.error_width, error),
        ]
        parts = [_bits(values, places).reshape(-1) for values, places in numbers]
        parts.append(_bits_of(left, slack))
        if weighs:
            last, most = int(self._vector[-1]), int(bounds.max_weight or 0)
            parts += [_bits_of(last, weight), _bits_of(most - last, weight)]
        message = np.ascontiguousarray(self._blended(powers), "<u8").tobytes()
        return Cells(cells={"bits": np.concatenate(parts).astype(np.uint64)}, message=message)


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
        of_vector = field.sub(
            rows[0, : bounds.dimension], field.mul(rows[1, : bounds.dimension], np.uint64(of._scale))
        )
        cells = len(weights["vector"])
        _plus(weights["vector"], of_vector[:cells])
        if bounds.max_weight is not None:
            _plus(weights["weight"], of_vector[cells:])
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
            powers = field.from_ints([-(1 << i) for i in range(places)])
            part = field.mul(challenge[:, None, :], powers[None, :, None]).reshape(-1, 2)
            _plus(weights["bits"][place : place + len(part)], part)
            place += len(part)
        total = field.sub(np.zeros(2, np.uint64), constant)
        for challenge, width in ((own, bounds.width), (short, bounds.error_width)):
            total = field.sub(total, field.mul(_sum(challenge), np.uint64(width)))
        for k in range(2):
            total = field.add(total, field.mul(share[k], self._at_zero[k]))
        return total


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
        return field.mul(coefficients[1], np.uint64(P - self._most))


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


def _plus(weights: Field, more: Field) -> None:
    weights[...] = field.add(weights, more)


def _plus_at(weights: Field, part: int, more: Field) -> None:
    weights[:, part] = field.add(weights[:, part], more)


def _sum(elements: Field) -> Field:
    return np.array([sum(map(int, elements[:, k])) % P for k in range(2)], np.uint64)


def _squares(values: Integers) -> int:
    return sum(int(part @ part) for part in np.array_split(values, max(1, len(values) // 512)))


def _bits(values: Integers, places: int) -> NDArray[np.int64]:
    return (values[:, None] >> np.arange(places)) & 1


def _bits_of(value: int, places: int) -> NDArray[np.int64]:
    return np.array([(value >> i) & 1 for i in range(places)], np.int64)


def leaf(salt: bytes, share: bytes) -> bytes:
    """Return the hash of what a holder is dealt: its salt keeps anyone from confirming a guess."""
    return hashlib.sha256(b"hansa.share.leaf" + salt + share).digest()

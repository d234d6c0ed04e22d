"""The statement of norms over seals in slow, plain Python on big integers: an executable specification.

Written from the design page (docs/adr/0014 and 0015), on `zk_reference` for the proof system. With the same
randomness a dealer deals the same bytes as the fast code, and each accepts what the other proves.

Attributes of a `Run` are what everyone knows; x and the key are what a dealer knows.
"""

from __future__ import annotations

import functools
import hashlib
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import compress

from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.ciphers.modes import CTR

import zk_reference as zk
from crypto_reference import P, binomial, encoded, mul2, public_elements, share
from zk_reference_parts import bytes_of, words_of

N = 4096
ROWS = 256

# ---------------------------------------------------------------- the ring


def coefficients_of(values: Sequence[int]) -> list[int]:
    """The polynomial with these values at the roots of X^N + 1, in the order of the butterflies."""
    size = len(values)
    psi, half = pow(7, (P - 1) // (2 * size), P), pow(2, -1, P)

    def polynomial(own: Sequence[int], exponent: int) -> list[int]:
        # modulo X^len − ψ^exponent, from the remainders by its two factors
        if len(own) == 1:
            return [own[0]]
        middle, root = len(own) // 2, pow(psi, -(exponent // 2), P)
        low = polynomial(own[:middle], exponent // 2)
        high = polynomial(own[middle:], exponent // 2 + size)
        return [(a + b) * half % P for a, b in zip(low, high, strict=True)] + [
            (a - b) * half * root % P for a, b in zip(low, high, strict=True)
        ]

    return polynomial(values, size)


def ring_product(a: Sequence[int], b: Sequence[int]) -> list[int]:
    """Product where X^N is −1: as numbers with a digit of 20 bytes for each coefficient, all in [0, p)."""
    size, digit = len(a), 20
    numbers = [int.from_bytes(b"".join(v.to_bytes(digit, "little") for v in c), "little") for c in (a, b)]
    data = (numbers[0] * numbers[1]).to_bytes(2 * size * digit, "little")
    digits = [int.from_bytes(data[i : i + digit], "little") for i in range(0, len(data), digit)]
    return [(low - high) % P for low, high in zip(digits[:size], digits[size:], strict=True)]


def reversed_element(a: Sequence[int]) -> list[int]:
    """a(1/X), 1/X being −X^(N − 1)."""
    return [a[0], *(-v % P for v in a[:0:-1])]


# ---------------------------------------------------------------- what everyone knows


@dataclass(frozen=True)
class Run:
    """One attempt at a sum.

    norm: B, or C with weights; most_weight: w_max or None; place: the parts of the place; row, columns: of
    the proof; noise: T or None. With noise a vector is two rows, x and η, and the seal has their sum.
    """

    dimension: int
    norm: int
    most_weight: int | None
    scale: int
    threshold: int
    holders: int
    place: tuple
    row: int
    columns: int
    soundness: int = 100
    noise: int | None = None

    @property
    def elements(self) -> int:
        return -(-self.dimension // N)

    @functools.cached_property
    def whole_norm(self) -> int:
        """‖(w u, w)‖² ≤ w² (C² + 1)."""
        if self.most_weight is None:
            return self.norm
        return math.isqrt(self.most_weight**2 * (self.norm**2 + 1)) + 1

    @property
    def short_norm(self) -> int:
        """Of (e, s), of variance 20."""
        return math.ceil(1.05 * math.sqrt(20 * N * (self.elements + 1)))

    @functools.cached_property
    def widths(self) -> tuple[int, int]:
        """The next powers of two above eight norms: of x, and of (e, s)."""
        return tuple(1 << (8 * norm).bit_length() for norm in (self.whole_norm, self.short_norm))

    @property
    def slack(self) -> int:
        return (self.whole_norm**2).bit_length()

    @property
    def noise_width(self) -> int:
        return 1 << (8 * self.noise).bit_length()

    @functools.cached_property
    def public(self) -> list[list[int]]:
        """The coefficients of a_k."""
        return [
            coefficients_of(public_elements(encoded("sealed.element", "sealed sum", *self.place, k), N))
            for k in range(self.elements)
        ]

    def transcript(self, name: str, exchange: bytes, signing: bytes) -> zk.Transcript:
        said = zk.Transcript("hansa.sealed.norm")
        said.absorb("place", encoded("place", *self.place))
        said.absorb("sender", encoded("member", name, exchange, signing))
        return said


def bits_of(value: int, places: int) -> list[int]:
    assert 0 <= value < 1 << places
    return [value >> i & 1 for i in range(places)]


def seal_of(
    run: Run, vector: Sequence[int], random: Callable[[int], bytes]
) -> tuple[list[list[int]], list[int], list[int]]:
    """b = a s + e + Δ x, with s and e: shapes (elements, N), (N), (elements · N)."""
    while True:
        key = binomial(random(10 * N))
        errors = [value for _ in range(run.elements) for value in binomial(random(10 * N))]
        if sum(v * v for v in key + errors) <= run.short_norm**2:
            break
    vector = [sum(both) for both in zip(*vector, strict=True)] if run.noise is not None else list(vector)
    values = vector + [0] * (run.elements * N - len(vector))
    sealed = []
    for k, a in enumerate(run.public):
        product = ring_product(a, [v % P for v in key])
        rest = zip(product, errors[k * N :], values[k * N : (k + 1) * N], strict=False)
        sealed.append([(p + e + run.scale * x) % P for p, e, x in rest])
    return sealed, key, errors


# ---------------------------------------------------------------- challenges


@functools.lru_cache(maxsize=4)
def challenges(seed: bytes, count: int) -> tuple[list, list]:
    """For each coordinate the rows with a +1 and those with a −1, as 0 and 1; and γ, γ² … γ^N."""
    said = zk.Transcript("hansa.norm")
    said.absorb("stage", seed)
    key = said.seed("projections")
    gamma = said.elements("shares", 1)[0]
    stream = Cipher(AES(key), CTR(bytes(16))).encryptor().update(bytes(2 * ROWS * -(-count // 8)))
    tables = [bytes(byte >> bit & 1 for byte in range(256)) for bit in range(8)]
    signs = []
    for j in range(count):
        place = 2 * ROWS * (j // 8)
        bits = stream[place : place + 2 * ROWS].translate(tables[j % 8])
        signs.append((bits[:ROWS], bits[ROWS:]))
    powers = [gamma]
    while len(powers) < N:
        powers.append(mul2(powers[-1], gamma))
    return signs, powers


def projected(signs: Sequence, values: Sequence[int]) -> list[int]:
    """⟨r_t, w⟩ for every t."""
    by_row = [zip(*own, strict=True) for own in zip(*signs[: len(values)], strict=True)]
    return [
        sum(compress(values, plus)) - sum(compress(values, minus))
        for plus, minus in zip(*by_row, strict=True)
    ]


# ---------------------------------------------------------------- the statement


def spec_of(run: Run, sealed: Sequence[Sequence[int]]) -> zk.Spec:
    weighs = run.most_weight is not None
    each, error = (width.bit_length() for width in run.widths)  # 2 W values
    weight = run.most_weight.bit_length() if weighs else 0
    of_update = ROWS * (each + error) + run.slack + 2 * weight
    noisy = run.noise is not None
    loud, room = (run.noise_width.bit_length(), (run.noise**2).bit_length()) if noisy else (0, 0)
    segments = [
        ("vector", run.dimension - weighs, 0, False),
        ("key", N, 0, False),
        ("mask", 2, 0, False),
        ("bits", of_update + ROWS * loud + room, 1, True),
    ]
    if weighs:
        segments.append(("weight", 1, 0, False))
    if noisy:
        segments.append(("noise", run.dimension, 0, False))
    # x as it is projected and lifted into the seal: the weight is its last coordinate
    cells = [("vector", j) for j in range(run.dimension - weighs)] + [("weight", 0)] * weighs

    def constraints(seeds: Sequence[bytes], messages: Sequence[bytes]) -> tuple[list, list]:
        signs, powers = challenges(seeds[0], N * (run.elements + 1))
        blended = words_of(messages[1])
        if any(word >= P for word in blended):
            raise ValueError("a word of h is not below p")
        linear = [
            (ROWS, lambda c: of_vector(combined(signs[: run.dimension], c), c)),
            (ROWS, lambda c: of_errors(combined(signs, c), c)),
        ]
        for part in range(2):  # g_0 + Σ γ^(k+1) s_k = h(0)
            terms = [("key", k, power[part]) for k, power in enumerate(powers)]
            linear.append(([*terms, ("mask", part, 1)], blended[part]))
        first = ROWS * (each + error)
        left = [("bits", first + i, 1 << i) for i in range(run.slack)]
        update = [("vector", ones("vector"))], left, run.norm**2
        if noisy:
            linear.append((ROWS, lambda c: of_noise(combined(signs[: run.dimension], c), c)))
            left = [("bits", of_update + ROWS * loud + i, 1 << i) for i in range(room)]
            return linear, [update, ([("noise", ones("noise"))], left, run.noise**2)]
        if not weighs:
            return linear, [update]
        for sign, constant in ((1, 0), (-1, -run.most_weight)):  # w, and w_max − w, are numbers of such bits
            first += run.slack if sign == 1 else weight
            bits = [("bits", first + i, -(1 << i)) for i in range(weight)]
            linear.append(([("weight", 0, sign), *bits], constant))
        squares = [("vector", ones("vector")), ("weight", [-(run.norm**2)])]
        return linear, [(squares, left, 0)]

    def ones(name: str) -> list[int]:
        return [1] * next(-(-size // run.row) for own, size, _, _ in segments if own == name)

    def of_vector(rows: Sequence, c: Sequence) -> tuple[list, tuple]:
        """⟨r_t, x⟩ − Σ 2^k bit = −W."""
        terms = [(name, cell, rows[j]) for j, (name, cell) in enumerate(cells)]
        return terms + in_bits(c, 0, each), scaled(summed(c), -run.widths[0])

    def of_errors(rows: Sequence, c: Sequence) -> tuple[list, tuple]:
        """⟨r_t, (b − a s − Δ x, s)⟩ − Σ 2^k bit = −W; with noise x + η in place of x."""
        size = run.elements * N
        terms = [(name, cell, scaled(rows[j], -run.scale)) for j, (name, cell) in enumerate(cells)]
        terms += [("noise", j, scaled(rows[j], -run.scale)) for j in range(run.dimension) if noisy]
        terms += [("key", k, rows[size + k]) for k in range(N)]
        known = (0, 0)
        for k, (a, b) in enumerate(zip(run.public, sealed, strict=True)):
            own = rows[k * N : (k + 1) * N]
            turned = [ring_product(reversed_element(a), [r[part] for r in own]) for part in range(2)]
            terms += [
                ("key", j, (-low % P, -high % P)) for j, (low, high) in enumerate(zip(*turned, strict=True))
            ]
            known = tuple(
                (v + sum(r[part] * x for r, x in zip(own, b, strict=True))) % P
                for part, v in enumerate(known)
            )
        width = scaled(summed(c), -run.widths[1])
        return terms + in_bits(c, ROWS * each, error), tuple(
            (w - v) % P for w, v in zip(width, known, strict=True)
        )

    def of_noise(rows: Sequence, c: Sequence) -> tuple[list, tuple]:
        """⟨r_t, η⟩ − Σ 2^k bit = −W, this being the noise's."""
        terms = [("noise", j, rows[j]) for j in range(run.dimension)]
        return terms + in_bits(c, of_update, loud), scaled(summed(c), -run.noise_width)

    def in_bits(c: Sequence, first: int, places: int) -> list:
        return [
            ("bits", first + t * places + i, scaled(own, -(1 << i)))
            for t, own in enumerate(c)
            for i in range(places)
        ]

    described = {
        "norm": run.norm,
        "max_weight": run.most_weight,
        "width": run.widths[0],
        "error_width": run.widths[1],
        "bits": run.soundness,
        "row": run.row,
        "columns": run.columns,
    }
    if noisy:
        described |= {"noise": run.noise, "noise_width": run.noise_width}
    numbers = [part for name in sorted(described) for part in (name, str(described[name]))]
    shape = len(sealed), N
    hashed = hashlib.sha256(encoded("seal", *shape, b"".join(map(bytes_of, sealed)))).digest()
    place = encoded("sealed sum", *run.place)
    head = hashed, place, run.scale, run.threshold, run.holders, run.dimension
    digest = hashlib.sha256(encoded("norm", *head, *numbers)).digest()
    messages = 32 * run.holders, 16 * run.threshold
    return zk.Spec(run.row, run.columns, True, segments, messages, digest, constraints)


def combined(signs: Sequence, coefficients: Sequence) -> list:
    """Σ_t c_t r_t, for every coordinate. Both words of an element are in one number, 80 bits apart."""
    words = [low | high << 80 for low, high in coefficients]
    sums = [[sum(compress(words, own)) for own in both] for both in signs]
    return [((a % 2**80 - b % 2**80) % P, ((a >> 80) - (b >> 80)) % P) for a, b in sums]


def summed(pairs: Sequence) -> tuple:
    return sum(a for a, _ in pairs) % P, sum(b for _, b in pairs) % P


def scaled(pair: Sequence[int], by: int) -> tuple[int, int]:
    return pair[0] * by % P, pair[1] * by % P


# ---------------------------------------------------------------- dealing


def deal(
    run: Run,
    vector: Sequence[int],
    sealed: Sequence[Sequence[int]],
    key: Sequence[int],
    errors: Sequence[int],
    transcript: zk.Transcript,
    random: Callable[[int], bytes],
) -> tuple[list[bytes], bytes]:
    """What each holder gets (shares of key and mask, and a salt), and the proof."""
    mask = zk.secret_elements(2, random)
    secret = [v % P for v in key] + mask
    drawn = zk.secret_elements((run.threshold - 1) * len(secret), random)
    upper = [drawn[i : i + len(secret)] for i in range(0, len(drawn), len(secret))]
    shares = [bytes_of(own) for own in share(secret, upper, range(1, run.holders + 1))]
    salts = [random(32) for _ in shares]
    hashes = b"".join(
        hashlib.sha256(b"hansa.share.leaf" + salt + own).digest()
        for salt, own in zip(salts, shares, strict=True)
    )

    vector, noise = (vector, None) if run.noise is None else vector

    def witness(stage: int, seeds: Sequence[bytes]) -> tuple[dict, bytes]:
        if stage == 0:
            known = {"vector": list(vector), "key": list(key), "mask": mask}
            if run.most_weight is not None:
                known["vector"], known["weight"] = list(vector[:-1]), [vector[-1]]
            if noise is not None:
                known["noise"] = list(noise)
            return known, hashes
        signs, powers = challenges(seeds[0], N * (run.elements + 1))
        bits = []
        for width, values in zip(run.widths, (vector, [*errors, *key]), strict=True):
            for value in projected(signs, values):
                bits += bits_of(value + width, width.bit_length())
        weight = 1 if run.most_weight is None else vector[-1]
        rest = vector if run.most_weight is None else vector[:-1]
        bits += bits_of(run.norm**2 * weight**2 - sum(v * v for v in rest), run.slack)
        if run.most_weight is not None:
            for value in (weight, run.most_weight - weight):
                bits += bits_of(value, run.most_weight.bit_length())
        if noise is not None:
            for value in projected(signs, noise):
                bits += bits_of(value + run.noise_width, run.noise_width.bit_length())
            bits += bits_of(run.noise**2 - sum(v * v for v in noise), (run.noise**2).bit_length())
        blended = []
        for row in [secret, *upper]:  # h = g + Σ γ^(k+1) f_k, coefficient by coefficient
            for part in range(2):
                own = sum(power[part] * f for power, f in zip(powers, row[:N], strict=True))
                blended.append((row[N + part] + own) % P)
        return {"bits": bits}, bytes_of(blended)

    proof = zk.prove(spec_of(run, sealed), witness, transcript, random)
    return [own + salt for own, salt in zip(shares, salts, strict=True)], proof

"""What the prover of a norm commits to, stage by stage."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hansa.crypto import field
from hansa.crypto.field import Field
from hansa.secure_sum.sealed.bounds import Bounds
from hansa.secure_sum.sealed.norm import challenges
from hansa.secure_sum.sealed.projections import project
from hansa.zk.statement import Cells

Integers = NDArray[np.int64]


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
            vector: x, int64, shape ``(dimension,)``; with noise x and η, shape ``(2, dimension)``.
            key: s, int8, shape ``(4096,)``.
            errors: e, int8, shape ``(elements · 4096,)``.
            mask: g₀, shape ``(2,)``.
            leaves: Hashes of the shares.
            blended: Returns the polynomial h, shape ``(threshold, 2)``, for γ's powers, shape ``(4096, 2)``.
        """
        self._noise = None if bounds.noise is None else vector[1]
        self._vector = vector if self._noise is None else vector[0]
        self._bounds, self._key, self._errors = bounds, key, errors
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
            if weighs:
                known["weight"] = cells[-1:]
            if self._noise is not None:
                known["noise"] = field.from_ints(self._noise)
            return Cells(cells=known, message=self._leaves)
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
        if self._noise is not None:
            places, room = bounds.noise_places
            parts.append(_bits(project(seed, self._noise) + bounds.noise_width, places).reshape(-1))
            parts.append(_bits_of(int(bounds.noise or 0) ** 2 - _squares(self._noise), room))
        message = np.ascontiguousarray(self._blended(powers), "<u8").tobytes()
        return Cells(cells={"bits": np.concatenate(parts).astype(np.uint64)}, message=message)


def leaf(salt: bytes, share: bytes) -> bytes:
    """Return the hash of what a holder is dealt: its salt keeps anyone from confirming a guess."""
    return hashlib.sha256(b"hansa.share.leaf" + salt + share).digest()


def _squares(values: Integers) -> int:
    return sum(int(part @ part) for part in np.array_split(values, max(1, len(values) // 512)))


def _bits(values: Integers, places: int) -> NDArray[np.int64]:
    return (values[:, None] >> np.arange(places)) & 1


def _bits_of(value: int, places: int) -> NDArray[np.int64]:
    return np.array([(value >> i) & 1 for i in range(places)], np.int64)

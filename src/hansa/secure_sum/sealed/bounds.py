"""What is proven of every vector of a run, and the numbers that follow: widths of projections, bits, rows."""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass
from typing import Any

from hansa.crypto.arithmetic import P
from hansa.crypto.ring import N
from hansa.secure_sum.sealed.projections import ROWS
from hansa.zk import parameters as zk_parameters

LARGEST_NORM = 1 << 26
"""Above it the sum of squares could wrap around the field."""


@dataclass(frozen=True, kw_only=True)
class Bounds:
    """What is proven of every vector of a run.

    Attributes:
        norm: B, or C where there are weights: of the vector without its weight, divided by the weight.
        max_weight: Largest weight, the last coordinate of each vector; None where there are none.
        dimension: Coordinates of a vector, the weight included.
        elements: Ring elements of a seal.
        bits: Of soundness.
        noise: T, the norm of the noise that a client adds to its vector, proven apart; None where none does.
    """

    norm: int
    max_weight: int | None
    dimension: int
    elements: int
    bits: int = 100
    noise: int | None = None

    @property
    def vector_norm(self) -> int:
        """B: the most that the norm of the whole vector can be, without noise."""
        if self.max_weight is None:
            return self.norm
        return math.isqrt(self.max_weight**2 * (self.norm**2 + 1)) + 1

    @property
    def sealed_norm(self) -> int:
        """B + T: the most that the norm of what is in a seal can be."""
        return self.vector_norm + (self.noise or 0)

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

    @property
    def noise_width(self) -> int:
        """The same of projections of the noise; 0 where there is none."""
        return 0 if self.noise is None else _width(self.noise)

    @property
    def noise_places(self) -> tuple[int, int]:
        """How many bits each projection of the noise takes, and the slack of its sum of squares."""
        return (0, 0) if self.noise is None else (self.noise_width.bit_length(), (self.noise**2).bit_length())

    @functools.cached_property
    def places(self) -> tuple[int, int, int, int]:
        """How many bits each projection of x and of (e, s), the slack, and the weight take."""
        weight = 0 if self.max_weight is None else self.max_weight.bit_length()
        return self.width.bit_length(), self.error_width.bit_length(), self.slack_bits, weight

    @property
    def bit_cells(self) -> int:
        """Bits that are committed."""
        each, error, slack, weight = self.places
        noise, noise_slack = self.noise_places
        return ROWS * (each + error) + slack + 2 * weight + ROWS * noise + noise_slack

    @property
    def noise_bits(self) -> int:
        """The first of the bits about the noise, behind all others."""
        noise, noise_slack = self.noise_places
        return self.bit_cells - ROWS * noise - noise_slack

    @functools.cached_property
    def sizes(self) -> zk_parameters.Parameters:
        """Rows and columns of the proof."""
        return zk_parameters.choose(self._cells, bits=self.bits)

    @property
    def _cells(self) -> int:
        vectors = self.dimension * (1 if self.noise is None else 2)
        return vectors + N + self.bit_cells + 4

    @property
    def bytes(self) -> int:
        """Bytes of a proof, about, without the hashes of shares."""
        return self.sizes.proof_bytes(self._cells)

    def fault(self) -> str:
        """Return why such a bound cannot be proven; empty where it can."""
        of_vectors = [(self.width, self.dimension), (self.noise_width, self.dimension)]
        for width, count in (*of_vectors, (self.error_width, self.coordinates)):
            if 4 * width * count >= P:
                return f"projections of {count} coordinates could wrap around the field"
        if self.vector_norm > LARGEST_NORM or (16 * self.width) ** 2 // 26 + 2**self.slack_bits >= P:
            return f"norms up to {LARGEST_NORM} can be proven, and a vector's may be {self.vector_norm}"
        noise = self.noise or 0
        if noise > LARGEST_NORM or (16 * self.noise_width) ** 2 // 26 + 2 ** self.noise_places[1] >= P:
            return f"norms up to {LARGEST_NORM} can be proven, and that of a client's noise may be {noise}"
        return ""

    def explain(self) -> str:
        """Return in words what is proven."""
        weighed = "" if self.max_weight is None else f" times a weight of up to {self.max_weight}"
        noise = ""
        if self.noise is not None:
            noise = (
                f" without its noise, whose norm is at most {self.noise} (so that who lies adds up to "
                f"{self.sealed_norm} to a sum)"
            )
        return (
            f" Every client proves that its vector's norm is at most {self.norm}{weighed}{noise}, exactly, "
            f"and that the shares that it dealt are of its key; to forge that takes 2^{self.bits} tries."
        )

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
            **({} if self.noise is None else {"noise": self.noise, "noise_width": self.noise_width}),
        }


def _width(norm: int) -> int:
    return 1 << max(1, (8 * norm).bit_length())

"""Randomness that is always explicit: named streams derived from one root seed.

Simulation randomness only (shuffles, cohort draws, initial weights). Keys, shares and
privacy noise come from the operating system's CSPRNG, never from here.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import numpy as np

from hansa.errors import ConfigurationError

Label = str | int


@dataclass(frozen=True)
class Seeds:
    """A tree of independent random streams, each named by a path of labels.

    Guarantees:
        The same root and labels give the same stream on any machine and in any order of
        asking; different labels give streams that are independent for all practical purposes.

    Example:
        >>> Seeds(0).stream("shuffle", "hospital-a", 3).integers(10, size=3).tolist()
        [4, 3, 8]

    Attributes:
        root: The seed of the run, 0 or greater.
    """

    root: int

    def __post_init__(self) -> None:
        if isinstance(self.root, bool) or not isinstance(self.root, (int, np.integer)) or self.root < 0:
            raise ConfigurationError(f"seed must be an integer of 0 or more, got {self.root!r}.")

    def stream(self, *labels: Label) -> np.random.Generator:
        """Return the generator of the stream with these labels (Philox, counter-based)."""
        key = np.frombuffer(self._digest(labels)[:16], dtype=np.uint64)
        return np.random.Generator(np.random.Philox(key=key))

    def integer(self, *labels: Label, bits: int = 31) -> int:
        """Return one integer in ``[0, 2**bits)``, ``bits`` at most 64, for libraries that want a seed."""
        return int.from_bytes(self._digest(labels)[16:24], "little") >> (64 - bits)

    def _digest(self, labels: tuple[Label, ...]) -> bytes:
        # Length-prefixed and typed, so that no two paths of labels share an encoding.
        h = hashlib.sha256(b"hansa.rng.v1")
        for label in (int(self.root), *labels):
            kind, text = (b"i", str(int(label))) if not isinstance(label, str) else (b"s", label)
            data = text.encode()
            h.update(kind + len(data).to_bytes(8, "little") + data)
        return h.digest()

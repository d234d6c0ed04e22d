"""Randomness that is always explicit: named streams derived from one root.

From the public seed comes what anyone may know beforehand: shuffles, public cohort draws, initial weights.
What must stay hidden (privacy noise, secret draws) comes from `Seeds.hidden`, whose root is drawn from the
operating system's generator once a run. Keys and shares come from that generator directly.
"""

from __future__ import annotations

import functools
import hashlib
import struct
import threading
from dataclasses import dataclass, field
from typing import Any

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
        secret: 32 bytes from which what must stay hidden is derived; empty where nothing must.
    """

    root: int
    secret: bytes = field(default=b"", repr=False)

    def __post_init__(self) -> None:
        if isinstance(self.root, bool) or not isinstance(self.root, (int, np.integer)) or self.root < 0:
            raise ConfigurationError(f"seed must be an integer of 0 or more, got {self.root!r}.")

    @functools.cached_property
    def hidden(self) -> Hidden:
        """The streams of the secret.

        Raises:
            ConfigurationError: If there is no secret.
        """
        return Hidden(self.secret)

    def stream(self, *labels: Label) -> np.random.Generator:
        """Return the generator of the stream with these labels (Philox, counter-based)."""
        key = np.frombuffer(self._digest(labels)[:16], dtype=np.uint64)
        return np.random.Generator(np.random.Philox(key=key))

    def permutation(self, size: int, *labels: Label) -> np.ndarray:
        """Return the permutation of ``size`` numbers that the stream with these labels begins with.

        The same as ``stream(*labels).permutation(size)``, without the cost of a new generator.
        """
        generator = _REUSED.__dict__.get("generator")
        if generator is None:
            generator = _REUSED.generator = np.random.Generator(np.random.Philox(0))
        key = _KEY.unpack_from(self._digest(labels))
        generator.bit_generator.state = {**_FRESH, "state": {"counter": _ZEROS, "key": key}}
        return generator.permutation(size)

    def integer(self, *labels: Label, bits: int = 31) -> int:
        """Return one integer in ``[0, 2**bits)``, ``bits`` at most 64, for libraries that want a seed."""
        return int.from_bytes(self._digest(labels)[16:24], "little") >> (64 - bits)

    def _digest(self, labels: tuple[Label, ...]) -> bytes:
        # Length-prefixed and typed, so that no two paths of labels share an encoding.
        h = _begun(int(self.root)).copy()
        h.update(b"".join([_encoded(label) for label in labels]))
        return h.digest()


class Hidden(Seeds):
    """The streams of a secret. It does not print.

    Assumes:
        The secret is 32 bytes from the operating system's generator; SHA-256 is a pseudorandom function.

    Example:
        >>> Hidden(bytes(32))
        Hidden(32 bytes)
    """

    def __init__(self, secret: bytes) -> None:
        """Take the secret.

        Raises:
            ConfigurationError: If it is not 32 bytes.
        """
        if len(secret) != 32:
            raise ConfigurationError(
                "something that must stay hidden was to be drawn, and there is no secret to draw it from: "
                f"32 bytes are needed, there are {len(secret)}. Use Seeds(seed, os.urandom(32))."
            )
        super().__init__(int.from_bytes(b"\1" + secret))  # far above any seed that a person writes

    def __repr__(self) -> str:
        return "Hidden(32 bytes)"

    def key(self, *labels: Label) -> bytes:
        """Return 32 bytes for one use, from which nothing of the secret or of other keys can be told."""
        return self._digest(("key", *labels))


_REUSED = threading.local()
_KEY = struct.Struct("=QQ")
_ZEROS = (0, 0, 0, 0)
_FRESH = {"bit_generator": "Philox", "buffer": _ZEROS, "buffer_pos": 4, "has_uint32": 0, "uinteger": 0}


@functools.lru_cache(maxsize=64)
def _begun(root: int) -> Any:
    return hashlib.sha256(b"hansa.rng.v1" + _encoded(root))


def _encoded(label: Label) -> bytes:
    kind, data = (b"s", label.encode()) if isinstance(label, str) else (b"i", str(int(label)).encode())
    return kind + len(data).to_bytes(8, "little") + data

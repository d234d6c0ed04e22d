"""Stage: from an update to the bounded integers that are summed, and from their sum back to an update.

    rotate → clip → quantise → (weigh) → sum → check → decode → unrotate

Floats end at `hansa.encode.quantise.quantise` and begin again at `hansa.encode.quantise.decode`; between
them integers are exact. Each file holds both halves of one step. `hansa.encode.compress` is apart from this
line: it makes updates smaller for a plain sum of floats. `hansa.encode.encoder` puts
the line together for a run.
"""

from hansa.encode.clip import Clipped, clip, shortening
from hansa.encode.compress import (
    COMPRESSIONS,
    EightBits,
    TopK,
    compress,
    decode_eight,
    decode_top,
    decompress,
)
from hansa.encode.encoder import Encoder, Quantise
from hansa.encode.grid import Grid
from hansa.encode.integers import GOLDILOCKS, MODULUS_32, MODULUS_64, check_room, check_total
from hansa.encode.quantise import Quantised, decode, quantise
from hansa.encode.randomness import system_source
from hansa.encode.rotate import Rotation, rotate, unrotate
from hansa.encode.weigh import Weighted, check_weighted_total, decode_weighted, weigh

__all__ = [
    "COMPRESSIONS",
    "GOLDILOCKS",
    "MODULUS_32",
    "MODULUS_64",
    "Clipped",
    "EightBits",
    "Encoder",
    "Grid",
    "Quantise",
    "Quantised",
    "Rotation",
    "TopK",
    "Weighted",
    "check_room",
    "check_total",
    "check_weighted_total",
    "clip",
    "compress",
    "decode",
    "decode_eight",
    "decode_top",
    "decode_weighted",
    "decompress",
    "quantise",
    "rotate",
    "shortening",
    "system_source",
    "unrotate",
    "weigh",
]

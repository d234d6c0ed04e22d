"""Stage: from an update to the bounded integers that are summed, and from their sum back to an update.

    rotate → clip → quantise → (weigh) → (pack) → sum → (unpack) → check → decode → unrotate

Floats end at `hansa.encode.quantise.quantise` and begin again at `hansa.encode.quantise.decode`; between
them integers are exact. Each file holds both halves of one step. `hansa.encode.compress` is apart from this
line: it makes updates smaller for a plain sum of floats.
"""

from hansa.encode.clip import Clipped, clip
from hansa.encode.compress import EightBits, TopK, decode_eight, decode_top
from hansa.encode.encoder import Encoder, Quantise
from hansa.encode.grid import Grid
from hansa.encode.integers import GOLDILOCKS, MODULUS_32, MODULUS_64, check_room, check_total
from hansa.encode.pack import Packing, pack, unpack
from hansa.encode.quantise import Quantised, decode, quantise
from hansa.encode.randomness import system_source
from hansa.encode.rotate import Rotation, rotate, unrotate
from hansa.encode.weigh import Weighted, check_weighted_total, decode_weighted, weigh

__all__ = [
    "GOLDILOCKS",
    "MODULUS_32",
    "MODULUS_64",
    "Clipped",
    "EightBits",
    "Encoder",
    "Grid",
    "Packing",
    "Quantise",
    "Quantised",
    "Rotation",
    "TopK",
    "Weighted",
    "check_room",
    "check_total",
    "check_weighted_total",
    "clip",
    "decode",
    "decode_eight",
    "decode_top",
    "decode_weighted",
    "pack",
    "quantise",
    "rotate",
    "system_source",
    "unpack",
    "unrotate",
    "weigh",
]

"""Stage: from an update to the bounded integers that are summed, and from their sum back to an update.

    rotate → clip → quantise → (weigh) → (pack) → sum → (unpack) → check → decode → rotate back

Floats end at `hansa.encode.quantise.quantise` and begin again at `hansa.encode.quantise.decode`; between them
integers are exact. Each file holds both halves of one step. `hansa.encode.compress` is apart from this line:
it makes updates smaller for a plain sum of floats.
"""

from hansa.encode.clip import Clipped, clip
from hansa.encode.grid import Grid
from hansa.encode.quantise import Quantised, decode, quantise
from hansa.encode.randomness import system_source
from hansa.encode.weigh import Weighted, decode_weighted, weigh

__all__ = [
    "Clipped",
    "Grid",
    "Quantised",
    "Weighted",
    "clip",
    "decode",
    "decode_weighted",
    "quantise",
    "system_source",
    "weigh",
]

"""Fixed vectors: what the stage gave once, it gives on every machine and in every later version.

`python tests/encode/test_vectors.py` writes the file anew: right only where a format changes on purpose.
"""

import json
from pathlib import Path

import numpy as np

from hansa.encode import (
    EightBits,
    Grid,
    Rotation,
    TopK,
    clip,
    decode,
    decode_eight,
    decode_top,
    decode_weighted,
    quantise,
    rotate,
    weigh,
)
from hansa.encode.randomness import Expanded

FILE = Path(__file__).parents[1] / "vectors" / "encode.json"
KEY = bytes(range(32))
UPDATE = np.array([0.75, -1.5, 0.1, 0.0, -0.30000001, 2.0**-149, 1.0], np.float32)


def line(source):
    grid = Grid.fitting(2.5, 7, bound_l2=2**12)
    parts = [quantise(clip(sign * UPDATE, 2.5), grid, randomness=source) for sign in (1, -1, 1)]
    weighted = [weigh(part, weight, max_weight=10) for part, weight in zip(parts, (3, 0, 10), strict=True)]
    total = np.sum([part.vector for part in parts], axis=0)
    return {
        "grid": grid.describe(),
        "quantised": [part.vector.tolist() for part in parts],
        "weighted": [part.vector.tolist() for part in weighted],
        "total": total.tolist(),
        "mean": decode(total, grid.scale, 3).tolist(),
        "weighted_mean": decode_weighted(np.sum([w.vector for w in weighted], axis=0), grid.scale)[
            0
        ].tolist(),
    }


def compute():
    rotation = Rotation(size=7, seed=KEY)
    top, residual = TopK(keep=0.3).encode(UPDATE, None)
    eight = EightBits(block=3).encode(UPDATE, Expanded(KEY))
    return {
        "key": KEY.hex(),
        "stream": Expanded(KEY)(16).hex(),
        "update": [value.hex() for value in UPDATE.tolist()],
        "clipped_to_2.5": [v.hex() for v in clip(np.array([3, -4], np.float32), 2.5).vector.tolist()],
        "bounds": [
            [c, s, d, bits, Grid(clip_l2=c, scale=2.0**s, size=d, redraw_bits=bits).bound_l2]
            for c, s, d, bits in [
                (1.0, -10, 100, 40),
                (1.0, -23, 10**6, 40),
                (0.3, -20, 10**7, 1),
                (8.0, 0, 5, 256),
            ]
        ],
        "line": line(Expanded(KEY)),
        "rotation": rotation.describe(),
        "signs": rotation.signs().tolist(),
        "rotated": [value.hex() for value in rotate(UPDATE, rotation).tolist()],
        "top_k": top.hex(),
        "top_k_decoded": [value.hex() for value in decode_top(top, 7).tolist()],
        "top_k_residual": [value.hex() for value in residual.tolist()],
        "eight_bits": eight.hex(),
        "eight_bits_decoded": [value.hex() for value in decode_eight(eight, 7).tolist()],
    }


def test_the_fixed_vectors_come_out_again():
    expected, got = json.loads(FILE.read_text()), json.loads(json.dumps(compute()))
    assert got.keys() == expected.keys()
    for name, value in expected.items():
        assert got[name] == value, name


def test_the_fixed_bytes_decode():
    expected = json.loads(FILE.read_text())
    for decoder, name in ((decode_top, "top_k"), (decode_eight, "eight_bits")):
        decoded = decoder(bytes.fromhex(expected[name]), 7)
        assert [value.hex() for value in decoded.tolist()] == expected[f"{name}_decoded"]


if __name__ == "__main__":
    FILE.write_text(json.dumps(compute(), indent=1) + "\n")

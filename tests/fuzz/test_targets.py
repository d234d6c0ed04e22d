"""A few mutations for each target of `make fuzz`: that targets work, and that nothing shallow is wrong."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fuzz_targets import TARGETS, seeds

SLOW = {"norm": 10, "share": 20}


@pytest.mark.parametrize("name", TARGETS)
def test_what_honest_parties_made(name):
    for seed in seeds(name):
        TARGETS[name](seed)


@st.composite
def mutated(draw, name):
    """A seed with bits flipped, bytes cut out, put in, repeated or overwritten, in up to four places."""
    data = draw(st.sampled_from(seeds(name)))
    for _ in range(draw(st.integers(1, 4))):
        start = draw(st.integers(0, len(data)))
        stop = draw(st.integers(start, min(len(data), start + 40)))
        again = data[start:stop] * draw(st.integers(0, 3))
        flipped = bytes(byte ^ draw(st.integers(0, 255)) for byte in data[start : min(stop, start + 8)])
        number = draw(st.integers(0, 2**64 - 1)).to_bytes(8, "little")  # where a length or a word is
        filling = draw(st.sampled_from([again, flipped, number, bytes(8), b"\xff" * 8]))
        data = data[:start] + filling + data[stop if filling is again else start + len(filling) :]
    return data


@pytest.mark.parametrize("name", TARGETS)
def test_what_others_may_send(name):
    @given(mutated(name) | st.binary(max_size=300))
    @settings(max_examples=SLOW.get(name, 60))
    def check(data):
        TARGETS[name](data)

    check()

"""What nobody should send: for attacks on messages of secure sums."""

import copy
import dataclasses
import itertools
from collections.abc import Hashable

import numpy as np

from hansa.crypto.arithmetic import P
from hansa.crypto.ring import N


class Text(str):
    """Text that is equal to all."""

    __slots__ = ()

    def __eq__(self, other):
        return True

    def __ne__(self, other):
        return False

    __hash__ = str.__hash__


class Names(tuple):
    """Names that are many and one at once."""

    __slots__ = ()

    def __len__(self):
        return 5

    def __eq__(self, other):
        return True

    def __ne__(self, other):
        return False

    __hash__ = tuple.__hash__


class Raising(dict):
    """A mapping that cannot be read."""

    def __iter__(self):
        raise RuntimeError

    items = keys = values = get = __contains__ = __getitem__ = __iter__


JUNK = [
    None,
    0,
    -1,
    10**5000,
    True,
    1.5,
    float("nan"),
    "",
    "c\ud800",
    "x" * 10**6,
    b"",
    bytes(64),
    bytearray(64),
    memoryview(bytes(64)),
    (),
    [],
    {},
    (None,),
    ("c0", None),
    (b"",),
    {"c0": None},
    {None: b""},
    {1: "x"},
    np.zeros(3),
    np.zeros((1, N)),
    np.zeros((1, N), np.int64),
    np.zeros((1, N), ">u8"),
    np.zeros((1, N), object),
    np.full((1, N), "2020-01-01", "datetime64[D]"),
    np.full((1, N), P, np.uint64),
    np.full(N, 2**64 - 1, np.uint64),
    np.full((1, N), np.nan),
    np.zeros((N, 1), np.uint64),
    np.broadcast_to(np.uint64(1), (1 << 40, N)),
    np.ma.masked_array(np.zeros((1, N), np.uint64), mask=True),
    object(),
    Text("c0"),
    Names(("c1",)),
    Raising({"c1": b""}),
    type,
]


def inside(message, well_formed=()):
    """A message with one item of each tuple, and one value or key of each dict, replaced by junk.

    Values of the types that are well formed there are left out.
    """
    for each, junk in itertools.product(dataclasses.fields(message), JUNK):
        value = getattr(message, each.name)
        if type(value) is tuple:
            yield dataclasses.replace(message, **{each.name: (junk, *value[1:])})
        if type(value) is dict:
            (key, first), *rest = value.items()
            if type(junk) not in well_formed:
                yield dataclasses.replace(message, **{each.name: {key: junk, **dict(rest)}})
            if isinstance(junk, Hashable):
                yield dataclasses.replace(message, **{each.name: {junk: first, **dict(rest)}})


def variants(message):
    """A message with each of its fields replaced by junk or left out; and junk in its place."""
    kind = type(message)
    for each, junk in itertools.product(dataclasses.fields(message), JUNK):
        known = getattr(message, each.name)
        if type(known) is not type(junk) or isinstance(known, np.ndarray) or known != junk:
            yield dataclasses.replace(message, **{each.name: junk})
    for each in dataclasses.fields(message):
        if hasattr(kind, each.name):
            continue  # what has a default is not missed
        less = object.__new__(kind)
        less.__dict__.update({k: v for k, v in vars(message).items() if k != each.name})
        yield less
    yield object.__new__(kind)
    yield object.__new__(type("Sub", (kind,), {}))


def places(value, path=()):
    """Every place in a JSON value, with what is there."""
    yield path, value
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, one in inner:
        yield from places(one, (*path, key))


def changed(value, path, new):
    """A JSON value with something else at a place."""
    if not path:
        return new
    out = copy.deepcopy(value)
    at = out
    for key in path[:-1]:
        at = at[key]
    at[path[-1]] = new
    return out

"""The search for texts that many rows have: counts of ever longer beginnings of hashes, then the texts.

The first sum counts the rows of each of 256 parts of the hashes, each next sum those of 256 parts of each
part that had enough rows. After seven sums a part is one hash of 56 bits. Then the clients that have a text
of such a hash add it up as numbers: all add the same ones, so that the sum divided by how many clients they
are is the text.

Why hashes, and not the letters one by one: of rare texts that begin like frequent ones, the letters would be
seen up to the first that differs.

Leaks:
    To everyone who sees the results of sums: of each column how many rows have hashes that begin with each
    byte, and so on after each beginning that enough rows have; where ``holders`` is above 1, of clients as
    well. Of a rare text that is how many rows share the first byte of its hash, and the next byte too where
    a frequent text, or many rare ones together, begin alike. A text cannot be read from that; whoever
    guesses one can find out that no row has it, or that some row may. Of a text that is found: the text, its
    rows, and how many clients have it. With a plain sum the server sees each client's counts and texts found.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hansa.data.vocabulary import MOST_CATEGORIES, UNKNOWN, Vocabulary
from hansa.errors import DataError, UpdateError
from hansa.secure_sum import SecureSum
from hansa.statistics.limbs import COUNT_LIMBS, decode_counts, encode_counts
from hansa.statistics.sums import add

ROUNDS = 7
"""Rounds after which a part is one hash."""

_WIDTH = 8  # bits of a round
_PARTS = 1 << _WIDTH
_BITS = ROUNDS * _WIDTH
_AT_ONCE = 1 << 16  # integers in a sum, so that vectors stay small
_HEAD = 2  # numbers before a text: how many clients have it, and its bytes

Integers = NDArray[np.int64]


def hash_of(text: bytes) -> int:
    """Return the hash of a text, 56 bits."""
    return int.from_bytes(hashlib.sha256(b"hansa vocabulary\0" + text).digest()[: _BITS // 8], "big")


@dataclass(frozen=True, kw_only=True, eq=False)
class Frequent:
    """Hashes that are frequent enough.

    Attributes:
        column: Number of the column of each, int64, shape ``(k,)``.
        hash: The hashes.
        rows: Rows that have it.
        total: Rows of each column that have a text, shape ``(d,)``.
    """

    column: Integers
    hash: Integers
    rows: Integers
    total: Integers


# client half
@dataclass(frozen=True, kw_only=True, eq=False)
class OwnTexts:
    """A client's texts of one column.

    Attributes:
        hashes: The hashes, increasing, int64, shape ``(t,)``.
        before: Rows with hashes before each, and of all, shape ``(t + 1,)``.
        texts: The texts by hash, UTF-8.
    """

    hashes: Integers
    before: Integers
    texts: Mapping[int, bytes]

    @classmethod
    def of(cls, values: Iterable[str | None], longest: int, where: str) -> OwnTexts:
        """Return the texts of a column; missing ones and ``[UNK]`` do not count.

        Raises:
            DataError: A text is too long or not Unicode; ``where`` says whose.
        """
        rows: Counter[int] = Counter()
        texts: dict[int, bytes] = {}
        for text, count in Counter(v for v in values if v is not None and v != UNKNOWN).items():
            try:
                raw = text.encode()
            except UnicodeEncodeError:
                raise DataError(f"{where} holds {text!r}, which is not Unicode. Correct it.") from None
            if len(raw) > longest:
                raise DataError(
                    f"{where} holds {text[:20] + '...'!r} of {len(raw)} bytes; at most {longest} are counted "
                    "(longest). Shorten it, give a larger longest, or leave the column out."
                )
            own = hash_of(raw)
            if texts.setdefault(own, raw) != raw:
                raise DataError(
                    f"{where} holds {text!r} and {texts[own].decode()!r}, of one hash. Rename one."
                )
            rows[own] = count
        hashes = np.array(sorted(rows), np.int64)
        before = np.cumsum([0, *(rows[own] for own in hashes.tolist())], dtype=np.int64)
        return cls(hashes=hashes, before=before, texts=texts)


def encode_parts(own: Sequence[OwnTexts], asked: Integers, depth: int, *, holders: bool) -> Integers:
    """Return limbs of how many rows are in each of 256 parts of the parts asked for.

    Args:
        own: The client's texts by column.
        asked: Column and number of each part, shape ``(b, 2)``.
        depth: Rounds before this one.
        holders: Whether to say as well that there are such rows, as 0 or 1.
    """
    shift = _BITS - _WIDTH * (depth + 1)
    fences = ((asked[:, 1:] << _WIDTH) + np.arange(_PARTS + 1)) << shift
    columns = [own[column] for column in asked[:, 0].tolist()]
    rows = [
        texts.before[np.searchsorted(texts.hashes, fence)]
        for texts, fence in zip(columns, fences, strict=True)
    ]
    counts = np.diff(np.array(rows, np.int64), axis=1)
    limbs = encode_counts(counts)
    return (
        np.concatenate([limbs, (counts > 0).astype(np.int64)[..., None]], axis=-1) if holders else limbs
    ).reshape(-1)


def encode_texts(own: Sequence[OwnTexts], asked: Integers, longest: int) -> Integers:
    """Return the texts of hashes, as far as the client has them: 1, its bytes, and numbers of two letters."""
    limbs = np.zeros((len(asked), _HEAD + (longest + 1) // 2), np.int64)
    for row, (column, own_hash) in zip(limbs, asked.tolist(), strict=True):
        raw = own[column].texts.get(own_hash)
        if raw is not None:
            row[:_HEAD] = 1, len(raw)
            row[_HEAD:] = np.frombuffer(raw.ljust(2 * (len(row) - _HEAD), b"\0"), "<u2")
    return limbs.reshape(-1)


# server half
def find_frequent(
    halves: Mapping[str, Sequence[OwnTexts]],
    declared: Mapping[str, Vocabulary],
    secure_sum: SecureSum,
    label: str,
) -> Frequent:
    """Return the hashes of texts that enough rows, and enough clients, have.

    Args:
        halves: Each client's texts by column, in the order of ``declared``.
        declared: What is wanted, by name of the column.
        secure_sum: How sums come about.
        label: What is found, for messages.

    Raises:
        DataError: Too many hashes are frequent enough.
    """
    minimum = np.array([one.minimum or 1 for one in declared.values()])
    holders = np.array([one.holders for one in declared.values()])
    asked = np.stack([np.arange(len(declared)), np.zeros(len(declared), np.int64)], axis=1)
    rows = total = np.zeros(len(declared), np.int64)
    for depth in range(ROUNDS):
        told, having = _counted(halves, asked, depth, secure_sum, label, holders=bool((holders > 1).any()))
        if depth == 0:
            rows = total = told.sum(axis=1)
        if (told < 0).any() or (told.sum(axis=1) != rows).any():
            raise UpdateError("counts of one round do not fit those of the round before: a client is wrong.")
        column = asked[:, 0]
        enough = (told >= minimum[column][:, None]) & (having >= holders[column][:, None])
        part, at = np.nonzero(enough)
        rows = told[part, at]
        asked = np.stack([column[part], (asked[part, 1] << _WIDTH) + at], axis=1)
        _check_few(asked[:, 0], list(declared), total)
        if not len(asked):
            break
    return _most(Frequent(column=asked[:, 0], hash=asked[:, 1], rows=rows, total=total), declared)


def read_texts(
    halves: Mapping[str, Sequence[OwnTexts]],
    found: Frequent,
    longest: int,
    secure_sum: SecureSum,
    label: str,
) -> tuple[list[str], Integers]:
    """Return the texts of hashes, and how many clients have each.

    Raises:
        UpdateError: What clients say of one hash is not one text, or one of another hash.
    """
    width = _HEAD + (longest + 1) // 2
    asked, texts, having = np.stack([found.column, found.hash], axis=1), [], []
    for first in range(0, len(asked), max(1, _AT_ONCE // width)):
        some = asked[first : first + max(1, _AT_ONCE // width)]
        vectors = {name: encode_texts(own, some, longest) for name, own in halves.items()}
        for row, wanted in zip(
            add(vectors, secure_sum, f"{label}, texts").reshape(-1, width), some[:, 1].tolist(), strict=True
        ):
            texts.append(decode_text(row, wanted))
            having.append(row[0])
    return texts, np.array(having, np.int64)


def decode_text(row: Integers, wanted: int) -> str:
    """Return the text of a hash from the sum of what clients say of it."""
    each, rest = np.divmod(row, max(1, int(row[0])))
    size, numbers = int(each[1]), each[_HEAD:]
    raw = numbers.astype("<u2").tobytes()
    right = row[0] > 0 and not rest.any() and ((numbers >= 0) & (numbers < 1 << 16)).all()
    if not right or not 0 <= size <= len(raw) or any(raw[size:]) or hash_of(raw[:size]) != wanted:
        raise UpdateError(
            "what clients say of one hash is not one text of it: a client is wrong, or, once in many "
            "millions, two texts have one hash."
        )
    return raw[:size].decode()


def _counted(
    halves: Mapping[str, Sequence[OwnTexts]],
    asked: Integers,
    depth: int,
    secure_sum: SecureSum,
    label: str,
    *,
    holders: bool,
) -> tuple[Integers, Integers]:
    """Return rows in 256 parts of each part asked for, and clients that have such (1, where not counted)."""
    limbs = COUNT_LIMBS + holders
    step = _AT_ONCE // (_PARTS * limbs)
    told: list[Integers] = []
    for first in range(0, len(asked), step):
        some = asked[first : first + step]
        vectors = {name: encode_parts(own, some, depth, holders=holders) for name, own in halves.items()}
        total = add(vectors, secure_sum, f"{label}, round {depth + 1}")
        told.append(total.reshape(len(some), _PARTS, limbs))
    sums = np.concatenate(told)
    rows = decode_counts(sums[..., :COUNT_LIMBS])
    return rows, sums[..., COUNT_LIMBS] if holders else np.ones_like(rows)


def _check_few(column: Integers, names: Sequence[str], total: Integers) -> None:
    kept = np.bincount(column, minlength=len(names))
    if (kept > MOST_CATEGORIES).any():
        at = int(kept.argmax())
        raise DataError(
            f"column {names[at]!r} has too many different texts for so small a minimum: more than "
            f"{MOST_CATEGORIES:,} groups of them are in enough rows. Raise minimum towards "
            f"{int(total[at]) // MOST_CATEGORIES + 1:,}, or leave the column out."
        )


def _most(found: Frequent, declared: Mapping[str, Vocabulary]) -> Frequent:
    """Return the most frequent of each column, as many as wanted; of equally frequent ones by hash."""
    order = np.lexsort([found.hash, -found.rows, found.column])
    column = found.column[order]
    place = np.arange(len(order)) - np.searchsorted(column, column)
    most = np.array([one.most or MOST_CATEGORIES for one in declared.values()])
    kept = order[place < most[column]]
    return Frequent(
        column=found.column[kept], hash=found.hash[kept], rows=found.rows[kept], total=found.total
    )

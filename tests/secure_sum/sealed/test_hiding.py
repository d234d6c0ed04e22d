"""What a client sends of a zero vector looks like what it sends of one at the norm bound.

Everything is from fixed seeds, so that a test passes always or never. With fresh ones each of 66 comparisons
would be above its limit by chance once in 4 · 10^6 (χ² with 15 degrees of freedom above 60): together once in
60,000. What each kind of word shows is compared with the other's, and with uniform words.
"""

from __future__ import annotations

import functools

import numpy as np

from hansa.crypto import field, shamir
from hansa.crypto.arithmetic import P
from hansa.crypto.ring import N
from hansa.crypto.sampling import secret_elements
from hansa.secure_sum.sealed import seal as seal_module
from hansa.secure_sum.sealed.dealing import _blended
from hansa.secure_sum.sealed.norm import powers_of
from hansa.secure_sum.sealed.seal import seal
from hansa.zk import prover
from hansa.zk.proof import read_head, widths
from hansa.zk.statement import Layout
from norm_both import PLACE, Both
from zk_statements import Randomness

LIMIT = 60
NORM, MOST = 100, 50
NOTHING = [0] * 6  # weight 0
EVERYTHING = [NORM * MOST, 0, 0, 0, 0, MOST]
PROOFS, SEALS = 6, 320


@functools.cache
def run():
    return Both(NORM, MOST, row=None)  # the rows and columns that are used, not a toy's


def layout():
    bounds = run().parameters.proof
    return Layout(run().dealer._statement(bounds, b""))


def sent(vector, seed):
    """By kind, the words of some proofs: polynomials, and opened columns by group of rows."""
    shape, out = layout(), {}
    for number in range(PROOFS):
        _, _, proof = run().dealt(vector, Randomness(f"{seed} {number}"))
        head, place = read_head(shape, proof)
        parts = dict(zip(("rows", "sums", "quotient"), head.polynomials, strict=True))
        parts["shares"] = np.frombuffer(head.messages[1], "<u8")
        count = shape.parameters.columns
        first, second = (8 * count * width for width in widths(shape))
        nodes = (len(proof) - place - first - second - 2 * 32 * count) // 2
        start = place + first + 32 * count + nodes  # both trees are opened at the same columns
        columns = [
            np.frombuffer(proof[at : at + size], "<u8").reshape(count, -1)
            for at, size in ((place, first), (start, second))
        ]
        columns = np.concatenate(columns, axis=1)
        for name, rows in shape.rows.items():
            parts["columns of " + name] = columns[:, rows]
        parts["columns of blinds"] = columns[:, shape.count :]
        for name, words in parts.items():
            out.setdefault(name, []).append(words.reshape(-1).astype(np.uint64))
    return {name: np.concatenate(words) for name, words in out.items()}


def counts(words, shift):
    return np.bincount((words >> np.uint64(shift)).astype(np.int64) & 15, minlength=16)


def distances(first, second):
    """Of the highest and of the lowest four bits: from one another, and each from uniform ones."""
    out = []
    for shift in (60, 0):
        a, b = counts(first, shift), counts(second, shift)
        scale = np.sqrt(b.sum() / a.sum())
        out.append(((a * scale - b / scale) ** 2 / np.maximum(a + b, 1)).sum())
        out += [((c - c.sum() / 16) ** 2 / (c.sum() / 16)).sum() for c in (a, b)]
    return out


def seals(vector):
    """The words of many seals, and those of the coordinate in which the vectors differ most."""
    given = run().parameters
    values = np.array(vector, np.int64)
    made = [seal(values, given, *PLACE.parts, random=Randomness(f"{vector} {i}"))[0] for i in range(SEALS)]
    return {"seal": np.concatenate(made[:50]).reshape(-1), "coordinate": np.array([b[0, 0] for b in made])}


def test_proofs_of_nothing_and_of_the_most_look_alike():
    first, second = sent(NOTHING, "first"), sent(EVERYTHING, "second")
    assert set(first) == {
        *("rows", "sums", "quotient", "shares"),
        *(f"columns of {name}" for name in ("vector", "key", "mask", "bits", "weight", "blinds")),
    }
    for name, words in first.items():
        if name != "shares":  # too few for a distribution
            assert max(distances(words, second[name])) < LIMIT, name
    assert len(np.unique(np.concatenate([first["shares"], second["shares"]]))) == 2 * PROOFS * 6


def test_seals_of_nothing_and_of_the_most_look_alike():
    first, second = seals(NOTHING), seals(EVERYTHING)
    for name, words in first.items():
        assert max(distances(words, second[name])) < LIMIT, name


def test_the_comparison_sees_rows_without_random_coefficients(monkeypatch):
    real, columns = prover.secret_elements, layout().parameters.columns

    def wrong(count, random):
        drawn = real(count, random)
        return drawn * np.uint64(0) if count % columns == 0 else drawn

    monkeypatch.setattr(prover, "secret_elements", wrong)
    first, second = sent(NOTHING, "first"), sent(EVERYTHING, "second")
    found = {name for name, words in first.items() if max(distances(words, second[name])) > LIMIT}
    assert found >= {"columns of vector", "columns of weight"}


def test_the_comparison_sees_seals_without_a_key(monkeypatch):
    monkeypatch.setattr(seal_module, "to_ntt", np.zeros_like)
    first, second = seals(NOTHING), seals(EVERYTHING)
    assert all(max(distances(words, second[name])) > LIMIT for name, words in first.items())


# ------------------------------------------------------------------ shares


THRESHOLD, HOLDERS, CORRUPT = 3, (1, 2, 3, 4), 2
POWERS = powers_of(np.array([123, 456], np.uint64))


def shares_of(rows):
    """Of polynomials by coefficient, shape (3, 4098)."""
    return shamir.share(rows[0], HOLDERS, THRESHOLD, lambda _: rows[1:].reshape(-1))


def moved(rows, change, corrupt):
    """The polynomials of another key and mask that are the same at the corrupt holders' places, and so is h.

    To each is added its part of the change times Π (1 − Y / j), which is 1 at 0.
    """
    factor = [1]
    for place in range(1, corrupt + 1):
        scaled = [-v * pow(place, -1, P) for v in factor]
        factor = [(a + b) % P for a, b in zip([*factor, 0], [0, *scaled], strict=True)]
    told = _blended(np.concatenate([change, np.zeros(2, np.uint64)])[None], POWERS)[0]
    added = np.concatenate([change, field.sub(np.zeros(2, np.uint64), told)])
    parts = np.array([*factor, *[0] * (len(rows) - len(factor))], np.uint64)
    return field.add(rows, field.mul(parts[:, None], added[None]))


def test_shares_and_their_check_fit_every_key_given_the_sum():
    """Of two honest dealers the corrupt have a share too few, h, and all shares of the sum."""
    first, second = (secret_elements(THRESHOLD * (N + 2)).reshape(THRESHOLD, -1) for _ in range(2))
    change = secret_elements(N)
    others = moved(first, change, CORRUPT), moved(second, field.sub(np.zeros(N, np.uint64), change), CORRUPT)
    for before, after in zip((first, second), others, strict=True):
        assert (before[0, :N] != after[0, :N]).all()
        assert (shares_of(before)[:CORRUPT] == shares_of(after)[:CORRUPT]).all()
        assert (_blended(before, POWERS) == _blended(after, POWERS)).all()
    opened = [field.add(shares_of(a), shares_of(b)) for a, b in ((first, second), others)]
    assert (opened[0] == opened[1]).all()


def test_without_a_mask_the_check_of_shares_would_tell():
    rows = secret_elements(THRESHOLD * (N + 2)).reshape(THRESHOLD, -1)
    after = moved(rows, secret_elements(N), CORRUPT)
    after[:, N:] = rows[:, N:]
    assert (_blended(after, POWERS) != _blended(rows, POWERS)).all()

import concurrent.futures

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hansa.errors import UpdateError
from hansa.secure_sum import blocks, tree
from hansa.secure_sum.tree import TreeSum, check_delta, leaf_size, unusable, weighted_sum
from hansa.types import Delta

SIZE = 5
COHORTS = st.one_of(st.integers(1, 140), st.sampled_from((255, 256, 257, 300)))


def delta(seed, size=SIZE, weight=None):
    stream = np.random.default_rng(seed)
    vector = (stream.normal(size=size) * 10.0 ** stream.integers(-6, 6)).astype(np.float32)
    return Delta(vector=vector, weight=float(stream.uniform(0, 50)) if weight is None else weight)


def in_order(terms):
    return sum(terms[1:], start=terms[0]) if terms else np.zeros(SIZE)


def reference(deltas):
    """The tree as it is defined: leaves in order of position, the total in order of the leaves."""
    leaf = min(8, max(1, len(deltas) // 32))
    terms = [None if d is None else d.weight * d.vector.astype(np.float64) for d in deltas]
    leaves = [[t for t in terms[k : k + leaf] if t is not None] for k in range(0, len(terms), leaf)]
    return in_order([np.zeros(SIZE), *(in_order(terms) for terms in leaves)])


def same(a, b):
    return a.vector.tobytes() == b.vector.tobytes() and (a.weight, a.count) == (b.weight, b.count)


@settings(max_examples=150, deadline=None)
@given(st.data(), COHORTS)
def test_any_order_any_gaps_and_leaves_from_anywhere_give_the_fixed_tree_bit_for_bit(data, cohort):
    seed = data.draw(st.integers(0, 10**6))
    stream = np.random.default_rng(seed)
    missing = set(stream.choice(cohort, size=stream.integers(0, cohort + 1), replace=False).tolist())
    deltas = [None if p in missing else delta(seed + p) for p in range(cohort)]
    silent = {p for p in missing if stream.random() < 0.5}
    total = TreeSum(SIZE, cohort)
    leaves = [range(k, min(k + total.leaf, cohort)) for k in range(0, cohort, total.leaf)]
    # What arrives: whole leaves summed elsewhere, and single positions of the others, in any order.
    elsewhere = {k for k in range(len(leaves)) if stream.random() < 0.5}
    arrivals = [("leaf", k) for k in elsewhere]
    arrivals += [("one", p) for k, ps in enumerate(leaves) if k not in elsewhere for p in ps]
    reused = np.empty(SIZE)
    for kind, number in data.draw(st.permutations(arrivals)):
        if kind == "one":
            if number not in silent:
                total.add(number, deltas[number])
            continue
        present = {p: d for p in leaves[number] if (d := deltas[p]) is not None}
        reused[:] = in_order([d.vector.astype(np.float64) * d.weight for d in present.values()])
        weights = {p: d.weight for p, d in present.items()}
        pieces = (reused[:2].reshape(2, 1), reused[2:]) if number % 2 else reused
        total.add_leaf(number, pieces if present else None, weights)
        reused[:] = np.nan
    result = total.result()
    assert result.vector.dtype == np.float64
    assert result.vector.tobytes() == reference(deltas).tobytes()
    assert result.weight == pytest.approx(sum(d.weight for d in deltas if d))
    assert result.count == cohort - len(missing)
    assert not total.refused
    assert same(result, weighted_sum(deltas, SIZE))
    assert same(result, total.result())


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10**6), st.integers(1, 100), st.integers(0, 70), st.integers(1, 4), st.integers(1, 9))
def test_blocks_spans_threads_and_waiting_do_not_change_a_bit(seed, cohort, size, cores, held):
    deltas = [delta(seed + p, size) for p in range(cohort)]
    if cohort > 2:
        deltas[cohort // 2] = None
    whole = weighted_sum(deltas, size)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(blocks, "THREADED", 20)
        patch.setattr(blocks, "NARROW", 10)
        patch.setattr(blocks, "SPAN", 16)
        patch.setattr(blocks, "BLOCK", 7)
        patch.setattr(tree, "HELD", held)
        patch.setattr(blocks, "cores", lambda: cores)
        cut, streamed = weighted_sum(deltas, size), TreeSum(size, cohort)
        leafwise = TreeSum(size, cohort)
        for position in reversed(range(cohort)):
            streamed.add(position, deltas[position])
        for first in range(0, cohort, leafwise.leaf):
            leaf = deltas[first : first + leafwise.leaf]
            weights = {first + k: d.weight for k, d in enumerate(leaf) if d}
            vector = weighted_sum(leaf, size).vector if weights else None
            leafwise.add_leaf(first // leafwise.leaf, vector, weights)
        assert same(whole, cut)
        assert same(whole, streamed.result())
        assert same(whole, leafwise.result())


def test_a_large_vector_is_summed_the_same_by_real_threads():
    size = blocks.THREADED + 12_345
    deltas = [delta(p, size) for p in range(3)]
    expected = sum(
        (d.weight * d.vector.astype(np.float64) for d in deltas[1:]),
        deltas[0].weight * deltas[0].vector.astype(np.float64),
    )
    total = TreeSum(size, 3)
    for position, d in enumerate(deltas):
        total.add(position, d)
    assert np.array_equal(total.result().vector, expected)
    assert np.array_equal(weighted_sum(deltas, size).vector, expected)
    spoiled = deltas[1].vector.copy()
    spoiled[[0, -1]] = np.inf, np.nan
    assert (
        unusable(Delta(vector=spoiled, weight=1)) == f"2 of {size} values of the update are NaN or infinite"
    )


def test_the_size_of_a_leaf():
    assert [leaf_size(n) for n in (0, 1, 63, 64, 95, 96, 255, 256, 10_000)] == [1, 1, 1, 2, 2, 3, 7, 8, 8]
    assert TreeSum(1, 100).leaf == 3


def test_strided_and_read_only_updates_are_fine_and_inputs_are_not_changed():
    base = np.arange(10, dtype=np.float32)
    base.flags.writeable = False
    total = TreeSum(SIZE, 2)
    total.add(0, Delta(vector=base[::2], weight=2))
    total.add(1, Delta(vector=base[::-2], weight=np.float32(0.5)))
    assert total.result().vector.tolist() == (2.0 * base[::2] + 0.5 * base[::-2]).tolist()
    assert base.tolist() == list(range(10))


@pytest.mark.parametrize("weight", [2.0, 0.0])
@pytest.mark.parametrize("cohort", [20, 70, 300])
@pytest.mark.parametrize("order", [1, -1, 11])
def test_an_unusable_update_counts_as_missing_and_is_told(weight, cohort, order):
    with_bad, without, deltas = TreeSum(SIZE, cohort), TreeSum(SIZE, cohort), []
    bad = {3, 8, 16, 17, 18, cohort - 1, *range(40, min(48, cohort))}
    for position in range(cohort):
        vector = delta(position).vector.copy()
        if position in bad:
            vector[2] = np.nan if position == 3 else np.inf
        deltas.append(Delta(vector=vector, weight=weight))
    for position in (order * p % cohort for p in range(cohort)):
        with_bad.add(position, deltas[position], client=f"c{position}")
        without.add(position, None if position in bad else deltas[position])
    result = with_bad.result()
    told = "1 of 5 values of the update are NaN or infinite"
    assert with_bad.refused == dict.fromkeys(bad, told)
    assert same(result, without.result())
    assert same(result, weighted_sum(deltas, SIZE))
    assert (result.count, result.weight) == (cohort - len(bad), (cohort - len(bad)) * weight)


def test_updates_as_large_as_a_float32_are_finite():
    largest = np.full(SIZE, np.finfo(np.float32).max)
    deltas = [Delta(vector=largest, weight=1000.0)] * 3
    assert unusable(deltas[0]) is None
    assert weighted_sum(deltas, SIZE).vector.tolist() == (3000 * largest.astype(float)).tolist()


def test_a_sum_beyond_float64_is_an_error():
    deltas = [Delta(vector=np.full(SIZE, 1e30, np.float32), weight=1e300)] * 2
    total = TreeSum(SIZE, 2)
    for position, d in enumerate(deltas):
        total.add(position, d)
    with pytest.raises(UpdateError, match=r"5 of 5 values of the sum.*absurd weight"):
        total.result()
    with pytest.raises(UpdateError, match="5 of 5 values of the sum"):
        weighted_sum(deltas, SIZE)


def test_weights_that_sum_beyond_float64_are_an_error():
    deltas = [Delta(vector=np.zeros(SIZE, np.float32), weight=1.7e308)] * 2
    with pytest.raises(UpdateError, match="weights of the updates sum to more"):
        weighted_sum(deltas, SIZE)


def vectors_held(total):
    """How many float64 vectors and how many updates a sum holds."""
    leaves = [*total._ready, *total._closed.values()]
    deltas = [d for leaf in leaves if isinstance(leaf, dict) for d in leaf.values()]
    deltas += [d for d in total._waiting.values() if d is not None]
    vectors = [total._total, total._spare, *(leaf for leaf in leaves if isinstance(leaf, np.ndarray))]
    return sum(v is not None for v in vectors), len(deltas)


@pytest.mark.parametrize(("cohort", "most"), [(50, 7), (100, 5), (200, 5), (1000, 7), (100_000, 7)])
def test_arrivals_in_order_hold_two_sums_and_a_few_updates(cohort, most):
    total, one = TreeSum(11, cohort), Delta(vector=np.ones(11, np.float32), weight=1.0)
    held = set()
    for position in range(cohort):
        total.add(position, one)
        held.add(vectors_held(total))
    assert max(held) == (2, most)
    assert total.result().vector[0] == cohort
    assert vectors_held(total) == (1, 0)


def test_a_long_leaf_that_comes_before_its_turn_waits_as_one_vector():
    total, one = TreeSum(11, 256), Delta(vector=np.ones(11, np.float32), weight=1.0)
    for position in range(8, 256):
        total.add(position, one)
    assert vectors_held(total) == (1 + 31, 0)
    assert total.result().vector[0] == 248


def test_leaves_in_order_hold_the_total_alone():
    total = TreeSum(11, 1000)
    for number in range(125):
        total.add_leaf(number, np.ones(11), {8 * number: 1.0})
        assert vectors_held(total) == (1, 0)
    assert total.result().vector[0] == 125


def test_an_empty_cohort_gives_zero():
    for total in (TreeSum(3, 0).result(), weighted_sum([], 3), weighted_sum([None], 3)):
        assert total.vector.tolist() == [0, 0, 0]
        assert (total.weight, total.count) == (0, 0)


BAD_UPDATES = [
    (Delta(vector=np.ones(4, np.float32), weight=1), r"shape \(4,\).*5 scalars.*same model"),
    (Delta(vector=np.ones((5, 1), np.float32), weight=1), r"shape \(5, 1\).*flat vectors of 5"),
    (Delta(vector=[1.0] * 5, weight=1), "shape list"),  # type: ignore[arg-type]
    (Delta(vector=np.ones(5), weight=1), "dtype float64.*float32.*astype"),  # type: ignore[arg-type]
    (Delta(vector=np.ones(5, np.float32), weight=-1), "weight -1.*0 or more"),
    (Delta(vector=np.ones(5, np.float32), weight=float("nan")), "weight nan.*finite"),
    (Delta(vector=np.ones(5, np.float32), weight=float("inf")), "weight inf.*finite"),
]


@pytest.mark.parametrize(("bad", "message"), BAD_UPDATES)
def test_updates_that_do_not_fit_are_errors_that_name_the_client(bad, message):
    total = TreeSum(SIZE, 3)
    with pytest.raises(UpdateError, match=f"(?s)'hospital'.*{message}"):
        total.add(0, bad, client="hospital")
    with pytest.raises(UpdateError, match=f"(?s)'hospital'.*{message}"):
        check_delta(bad, SIZE, "hospital")
    with pytest.raises(UpdateError, match=f"(?s)at position 1.*{message}"):
        weighted_sum([None, bad], SIZE)
    # The refused update has left no trace: the position is free.
    total.add(0, delta(0))
    assert same(total.result(), weighted_sum([delta(0), None, None], SIZE))


def test_positions_are_filled_once_and_exist():
    total = TreeSum(SIZE, 3)
    total.add(1, delta(0))
    with pytest.raises(UpdateError, match="'x' answered twice for position 1"):
        total.add(1, delta(0), client="x")
    for position in (-1, 3):
        with pytest.raises(UpdateError, match=f"position {position} of a cohort of 3"):
            total.add(position, delta(0), client="x")
    total.result()
    with pytest.raises(UpdateError, match="'x' answered twice for position 0"):
        total.add(0, delta(0), client="x")


LEAF = np.ones(SIZE)


@pytest.mark.parametrize(
    ("number", "vector", "weights", "message"),
    [
        (-1, LEAF, {0: 1}, "leaf -1 does not exist.*cohort of 64 has 32 leaves of 2"),
        (32, LEAF, {64: 1}, "leaf 32 does not exist"),
        (0, LEAF, {0: 1}, "leaf 0 was sent, and position 1 of it had answered before"),
        (1, LEAF, {2: 1}, "leaf 1 was sent, and position 2"),
        (2, LEAF, {3: 1}, "leaf 2 has a weight for position 3; its positions are 4 to 5"),
        (2, LEAF, {4: float("nan")}, "leaf 2 has the weight nan at position 4"),
        (2, LEAF, {4: float("inf")}, "leaf 2 has the weight inf"),
        (2, LEAF, {4: 1.0, 5: -2.0}, "leaf 2 has the weight -2.0 at position 5"),
        (2, None, {4: 1.0}, "leaf 2 has no vector and 1 weights"),
        (2, LEAF, {}, "leaf 2 has a vector and 0 weights"),
        (2, np.ones(4), {4: 1}, r"leaf 2 has the shape \(4,\).*5 scalars"),
        (2, np.ones((5, 1)), {4: 1}, r"leaf 2 has the shape \(5, 1\)"),
        (
            2,
            [np.ones((2, 2)), np.ones(2)],
            {4: 1},
            r"leaf 2 has the shape \[\(2, 2\), \(2,\)\] \(6 scalars\)",
        ),
        (2, np.ones(5, np.float32), {4: 1}, "leaf 2 has the dtype float32"),
        (2, [np.ones(4), np.ones(1, np.float32)], {4: 1}, "leaf 2 has the dtype float32"),
        (2, np.array([1, 2, 3, np.nan, np.inf]), {4: 1}, "2 of 5 values of leaf 2 are NaN or infinite"),
    ],
)
def test_leaves_that_do_not_fit_are_errors_and_leave_the_sum_as_it_was(number, vector, weights, message):
    total = TreeSum(SIZE, 64)
    total.add(1, delta(1))
    total.add_leaf(1, None, {})
    with pytest.raises(UpdateError, match=f"(?s){message}"):
        total.add_leaf(number, vector, weights)
    total.add_leaf(2, LEAF, {5: 1.0})
    result = total.result()
    assert (result.count, result.weight) == (2, delta(1).weight + 1)
    assert result.vector.tolist() == (delta(1).weight * delta(1).vector.astype(float) + LEAF).tolist()


def test_small_vectors_start_no_threads(monkeypatch):
    def refuse(*_):
        raise AssertionError("a thread pool was started")

    monkeypatch.setattr(concurrent.futures.ThreadPoolExecutor, "__init__", refuse)
    total = TreeSum(SIZE, 2)
    total.add(0, delta(0))
    total.add_leaf(1, LEAF, {1: 1})
    total.result()
    weighted_sum([delta(0)], SIZE)

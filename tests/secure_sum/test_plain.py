import gc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hansa.errors import UpdateError
from hansa.secure_sum.plain import LEAF, Plain, TreeSum
from hansa.types import Answer, Ask, Delta, Start


def delta(seed, size=5, weight=None):
    stream = np.random.default_rng(seed)
    vector = (stream.normal(size=size) * 10.0 ** stream.integers(-6, 6)).astype(np.float32)
    return Delta(vector=vector, weight=float(stream.integers(1, 50)) if weight is None else weight)


def tree(vectors):
    """The tree as it is defined, recursively: leaves of 8 in order, then pairs, an odd one goes up."""
    nodes = []
    for first in range(0, len(vectors), LEAF):
        node = None
        for vector in vectors[first : first + LEAF]:
            if vector is not None:
                node = vector if node is None else node + vector
        nodes.append(node)
    while len(nodes) > 1:
        pairs = [(*nodes[i : i + 2], None)[:2] for i in range(0, len(nodes), 2)]
        nodes = [b if a is None else a if b is None else a + b for a, b in pairs]
    return nodes[0]


@settings(max_examples=150, deadline=None)
@given(st.data(), st.integers(1, 70))
def test_any_order_and_any_gaps_give_the_fixed_tree_bit_for_bit(data, cohort):
    missing = data.draw(st.sets(st.integers(0, cohort - 1)))
    silent = data.draw(st.sets(st.sampled_from(sorted(missing)))) if missing else set()
    order = data.draw(st.permutations([p for p in range(cohort) if p not in silent]))
    total = TreeSum(5, cohort)
    for position in order:
        assert total.add(position, None if position in missing else delta(position)) is None
    result = total.result()
    deltas = [None if p in missing else delta(p) for p in range(cohort)]
    expected = tree([None if d is None else d.vector.astype(np.float64) * d.weight for d in deltas])
    expected = np.zeros(5) if expected is None else expected
    assert result.vector.dtype == np.float64
    assert result.vector.tobytes() == expected.tobytes()
    assert result.weight == sum(d.weight for d in deltas if d)
    assert result.count == cohort - len(missing)


def test_an_unusable_update_counts_as_missing_and_is_told():
    with_bad, without = TreeSum(5, 20), TreeSum(5, 20)
    for position in range(20):
        bad = position in (3, 8)
        vector = delta(position).vector.copy()
        if bad:
            vector[2] = np.nan if position == 3 else np.inf
        reason = with_bad.add(position, Delta(vector=vector, weight=2.0), client=f"c{position}")
        without.add(position, None if bad else Delta(vector=vector, weight=2.0))
        assert (reason is None) != bad
        if bad:
            assert reason == "1 of 5 values of the update are NaN or infinite"
    assert with_bad.result().vector.tobytes() == without.result().vector.tobytes()
    assert with_bad.result().count == 18
    assert with_bad.result().weight == 36


def test_arrivals_in_order_hold_a_logarithmic_number_of_vectors():
    size, cohort, most = 10_007, 1000, 0
    total = TreeSum(size, cohort)
    for position in range(cohort):
        total.add(position, Delta(vector=np.ones(size, np.float32), weight=1.0))
        # Arrays are no containers, so the collector does not list them: look where the sum keeps them.
        held = [x for part in vars(total).values() if isinstance(part, dict) for x in part.values()]
        most = max(most, sum(1 for x in held if isinstance(x, (np.ndarray, Delta))))
    gc.collect()
    assert most <= (cohort // LEAF).bit_length() + 2
    assert total.result().vector[0] == cohort


def test_result_may_be_asked_twice_and_an_empty_cohort_gives_zero():
    total = TreeSum(3, 0)
    assert total.result().vector.tolist() == [0, 0, 0]
    assert (total.result().weight, total.result().count) == (0, 0)


def test_inputs_are_not_changed():
    first = delta(1)
    before = first.vector.copy()
    total = TreeSum(5, 2)
    total.add(0, first)
    total.add(1, delta(2))
    total.result()
    assert np.array_equal(first.vector, before)


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        (Delta(vector=np.ones(4, np.float32), weight=1), r"shape \(4,\).*5 scalars.*same model"),
        (Delta(vector=np.ones((5, 1), np.float32), weight=1), r"shape \(5, 1\).*flat vectors of 5"),
        (Delta(vector=[1.0] * 5, weight=1), "shape list"),  # type: ignore[arg-type]
        (Delta(vector=np.ones(5), weight=1), "dtype float64.*float32.*astype"),  # type: ignore[arg-type]
        (Delta(vector=np.ones(5, np.float32), weight=-1), "weight -1.*0 or more"),
        (Delta(vector=np.ones(5, np.float32), weight=float("nan")), "weight nan.*finite"),
        (Delta(vector=np.ones(5, np.float32), weight=float("inf")), "weight inf.*finite"),
    ],
)
def test_updates_that_do_not_fit_are_errors_that_name_the_client(bad, message):
    total = TreeSum(5, 3)
    with pytest.raises(UpdateError, match=f"(?s)'hospital'.*{message}"):
        total.add(0, bad, client="hospital")


def test_positions_are_filled_once_and_exist():
    total = TreeSum(5, 3)
    total.add(1, delta(0))
    with pytest.raises(UpdateError, match="'x' answered twice for position 1"):
        total.add(1, delta(0), client="x")
    for position in (-1, 3):
        with pytest.raises(UpdateError, match=f"position {position} of a cohort of 3"):
            total.add(position, delta(0), client="x")


def test_plain_asks_once_and_sends_the_update_as_it_is():
    start = Start(round=0, weights=np.zeros(2, np.float32))
    steps = Plain().collect(start, ("a", "b"), reduce="sum")
    assert next(steps) == Ask(phase="train", clients=("a", "b"), payload=start, reduce="sum")
    answer = Answer(replies={})
    with pytest.raises(StopIteration) as end:
        steps.send(answer)
    assert end.value.value is answer
    assert Plain().send(delta(0)).vector.tolist() == delta(0).vector.tolist()

import math
import pickle

import numpy as np
import pytest

import hansa
from hansa.data import Arrays, Client
from hansa.errors import BudgetError, ConfigurationError, DataError
from hansa.privacy import Account, Budget, Ledger, RandomisedLabels, debias, randomised_response
from hansa.privacy.events import Pure

KEY = bytes(range(32))


def test_a_label_is_kept_with_the_stated_probability_and_others_are_alike():
    given = np.full(60_000, 5)
    drawn = randomised_response(given, classes=[9, 5, -1, 7], epsilon=1.0, seed=3)
    keep = math.e / (math.e + 3)
    shares = {label: float((drawn == label).mean()) for label in (9, 5, -1, 7)}
    assert shares[5] == pytest.approx(keep, abs=0.01)
    for other in (9, -1, 7):
        assert shares[other] == pytest.approx((1 - keep) / 3, abs=0.01)


def test_no_output_is_more_likely_under_one_label_than_e_to_the_epsilon_times_that_under_another():
    n, epsilon = 60_000, 0.7
    counts = [
        np.bincount(randomised_response(np.full(n, label), classes=3, epsilon=epsilon, seed=label)) / n
        for label in range(3)
    ]
    ratios = [a / b for a in counts for b in counts]
    assert np.max(ratios) == pytest.approx(math.exp(epsilon), rel=0.05)


@pytest.mark.parametrize("dtype", [np.int8, np.int64, np.float32])
@pytest.mark.parametrize("shape", [(-1,), (-1, 1)])
def test_shape_and_type_stay(dtype, shape):
    given = np.array([0, 1, 1, 0], dtype).reshape(shape)
    drawn = randomised_response(given, classes=2, epsilon=30.0)
    assert (drawn.dtype, drawn.shape) == (given.dtype, given.shape)
    assert drawn.tolist() == given.tolist()  # kept but for a chance of e^-30


def test_debiased_counts_have_no_bias_and_the_same_sum():
    given = np.repeat([0, 1, 2], [700, 250, 50])
    told = [
        np.bincount(randomised_response(given, classes=3, epsilon=1.0, seed=seed), minlength=3)
        for seed in range(400)
    ]
    found = np.array([debias(counts, epsilon=1.0) for counts in told])
    np.testing.assert_allclose(found.sum(axis=1), 1000)
    bound = math.sqrt(1000) * (math.e + 2) / (2 * (math.e - 1))
    assert (found.std(axis=0) <= bound * 1.1).all()
    assert (np.abs(found.mean(axis=0) - [700, 250, 50]) < 4 * bound / 20).all()
    assert debias([100, 0], epsilon=0.5)[1] < 0


def test_it_is_charged_once_before_it_is_done():
    ledger = Ledger()
    randomised_response([0, 1], classes=2, epsilon=0.5, ledger=ledger)
    assert ledger.event == Pure(epsilon=0.5)
    poor = Account(budget=Budget(epsilon=0.4, delta=1e-9), neighbours="replace")
    with pytest.raises(BudgetError):
        randomised_response([0, 1], classes=2, epsilon=0.5, ledger=poor)
    with pytest.raises(ConfigurationError, match="zero-out"):  # how many labels there are is seen
        randomised_response([0], classes=2, epsilon=0.5, ledger=Account(budget=Budget(epsilon=1, delta=1e-9)))


@pytest.mark.parametrize("epsilon", [0, -1.0, math.nan, math.inf, "1", None, True])
def test_bad_epsilons_are_refused(epsilon):
    with pytest.raises(ConfigurationError, match="epsilon"):
        randomised_response([0], classes=2, epsilon=epsilon)
    with pytest.raises(ConfigurationError, match="epsilon"):
        debias([1, 2], epsilon=epsilon)


@pytest.mark.parametrize("classes", [0, 1, True, 1 << 17, [0], [0, 0], [0.5, 1.0], None, "ab", [[0, 1]]])
def test_bad_classes_are_refused(classes):
    with pytest.raises(ConfigurationError, match="classes"):
        randomised_response([0], classes=classes, epsilon=1.0)


@pytest.mark.parametrize("labels", [[2], [0.5], [np.nan], ["a"], np.eye(2), [-1]])
def test_labels_that_are_no_classes_are_refused(labels):
    with pytest.raises(DataError):
        randomised_response(labels, classes=2, epsilon=1.0)


@pytest.mark.parametrize("counts", [[1], [[1, 2]], ["a", "b"], [np.nan, 1]])
def test_bad_counts_are_refused(counts):
    with pytest.raises(ConfigurationError, match="counts"):
        debias(counts, epsilon=1.0)


def test_no_labels_at_all_are_fine():
    assert randomised_response(np.zeros(0, int), classes=2, epsilon=1.0).shape == (0,)


def source(labels, key=KEY):
    x = np.arange(len(labels), dtype=np.float32)[:, None]
    return RandomisedLabels(Arrays(x, labels), classes=3, epsilon=0.5, key=key)


def test_a_source_has_the_same_noise_whenever_it_is_loaded():
    labels = np.arange(300) % 3
    one = source(labels)
    drawn = one.load().y
    assert 0 < (drawn != labels).mean() < 1
    assert one.load().y.tolist() == drawn.tolist()
    assert pickle.loads(pickle.dumps(one)).load().y.tolist() == drawn.tolist()  # noqa: S301 - our own
    assert source(labels).load().y.tolist() == drawn.tolist()
    assert source(labels, None).load().y.tolist() != drawn.tolist()


def test_other_rows_get_unrelated_noise():
    labels = np.arange(3000) % 3
    other = labels.copy()
    other[0] = 1
    moved = [(source(rows).load().y - rows) % 3 for rows in (labels, other)]
    assert (moved[0] == moved[1]).mean() < 0.5


def test_a_source_tells_nothing_of_true_labels_or_its_key():
    labels = np.arange(300) % 3
    told = source(labels).describe()
    assert told == source(labels).describe() != source(labels[::-1].copy()).describe()
    inner = Arrays(np.arange(300, dtype=np.float32)[:, None], labels).describe()
    assert not set(map(str, inner.values())) & set(map(str, told.values()))
    assert KEY.hex() not in repr(source(labels)) + str(told)
    with pytest.raises(ConfigurationError, match="32 bytes"):
        source(labels, b"short")


def test_class_counts_of_randomised_labels_are_debiased():
    labels = np.repeat([0, 1, 2], [900, 600, 1500])
    clients = [Client(name=str(i), source=source(labels[i::3], bytes([i]) * 32)) for i in range(3)]
    counted = hansa.statistics.class_counts(clients, classes=range(3)).counts
    assert np.abs(debias(counted, epsilon=0.5) - [900, 600, 1500]).max() < 4 * math.sqrt(3000) * 3.65 / 1.3

import itertools
import json
import math

import numpy as np
import pytest

from hansa import statistics
from hansa.data import CSV, Arrays, Vocabulary
from hansa.errors import BudgetError, ConfigurationError, DataError, MissingExtraError
from hansa.privacy import Account, Budget, Ledger, Noise
from hansa.privacy.accountant import spent
from hansa.statistics import noisy_counts, noisy_moments

RELATIONS = ("add/remove", "zero-out", "replace")
BOUNDS = {"a": (-1.0, 3.0), "b": (2.0, 5.0)}
EDGES = {"a": [-1, 0, 3], "b": [2, 4, 5]}
VALUES = (-1e30, -1.0, 0.3, 3.0, 4.0, 7.0, math.nan)  # below, within and above both bounds, and missing
ASK = {
    "count": statistics.count,
    "total": lambda clients, **more: statistics.total(clients, bounds=BOUNDS, **more),
    "mean": lambda clients, **more: statistics.mean(clients, bounds=BOUNDS, **more),
    "variance": lambda clients, **more: statistics.variance(clients, bounds=BOUNDS, **more),
    "deviation": lambda clients, **more: statistics.deviation(clients, bounds=BOUNDS, **more),
    "histogram": lambda clients, **more: statistics.histogram(clients, EDGES, **more),
    "quantiles": lambda clients, **more: statistics.quantiles(clients, bounds=BOUNDS, **more),
    "class_counts": lambda clients, **more: statistics.class_counts(clients, classes=(0, 1), **more),
}
ALL = pytest.mark.parametrize("what", list(ASK))


def clients(rows, labels=None):
    """Two clients with these rows; the second may have none but one that is the same everywhere."""
    x = np.array(rows, np.float32).reshape(-1, 2)
    y = np.zeros(len(x), np.int64) if labels is None else np.array(labels)
    extra = Arrays(np.array([[0.5, 2.5]], np.float32), np.array([0]), columns=("a", "b"))
    cut = len(x) // 2
    parts = {"one": (x[:cut], y[:cut]), "two": (x[cut:], y[cut:])}
    held = {name: Arrays(px, py, columns=("a", "b")) for name, (px, py) in parts.items() if len(px)}
    return {**held, "three": extra}


@pytest.fixture
def exact(monkeypatch):
    """Return a function that asks, and returns the whole numbers before noise, sensitivity and parts."""
    caught = []

    def caught_noisy(noise, values, *, sensitivity, parts, label):
        caught.append((np.array(values, object), sensitivity, parts))
        return np.array(values, np.float64)

    monkeypatch.setattr(noisy_moments, "noisy", caught_noisy)
    monkeypatch.setattr(noisy_counts, "noisy", caught_noisy)

    def ask(what, held, neighbours):
        result = ASK[what](held, privacy=Noise(epsilon=1.0, neighbours=neighbours))
        return (*caught.pop(), result)

    return ask


def neighbours_of(rows, labels, relation, rng, values=True):
    """Yield what differs in one row: under zero-out without values, or not there where these count too."""
    for i in range(len(rows)):
        others = [list(row) for row in rows]
        if relation == "add/remove" or not values:
            yield others[:i] + others[i + 1 :], labels[:i] + labels[i + 1 :]
            continue
        ways = (
            [(math.nan, math.nan)]
            if relation == "zero-out"
            else rng.permutation(list(itertools.product(VALUES, VALUES)))[:12].tolist()
        )
        for way in ways:
            others[i] = list(way)
            yield others, [*labels[:i], int(rng.integers(0, 3)), *labels[i + 1 :]]


@pytest.mark.parametrize("relation", RELATIONS)
@ALL
def test_one_row_moves_what_is_summed_by_the_stated_sensitivity_at_most(what, relation, exact):
    rng, furthest = np.random.default_rng(1), 0.0
    rows, labels = [(-5.0, 2.0), (3.0, 5.0), (0.2, 9.0)], [0, 1, 2]
    before, sensitivity, parts, _ = exact(what, clients(rows, labels), relation)
    values = relation != "zero-out" or what not in ("histogram", "class_counts")  # which count missing ones
    for other, of_other in neighbours_of(rows, labels, relation, rng, values):
        moved = np.abs(exact(what, clients(other, of_other), relation)[0] - before)
        assert moved.sum() <= sensitivity * parts
        assert math.sqrt(sum(int(m) ** 2 for m in moved)) <= sensitivity * math.sqrt(parts) * (1 + 1e-12)
        furthest = max(furthest, float(moved.sum()) / (sensitivity * parts))
    loose = what in ("variance", "deviation") and relation == "replace"
    assert furthest > (0.5 if loose else 0.7)  # and not by much less


@pytest.mark.parametrize("relation", RELATIONS)
def test_sensitivities_of_many_random_rows(relation, exact):
    rng = np.random.default_rng(2)
    for _ in range(6):
        rows = rng.normal(2, 4, (5, 2)).astype(np.float32)
        rows[rng.random(rows.shape) < 0.2] = np.nan
        for what in ("total", "mean", "variance"):
            before, sensitivity, parts, _ = exact(what, clients(rows), relation)
            for other, _ in itertools.islice(neighbours_of(rows.tolist(), [0] * 5, relation, rng), 6):
                moved = np.abs(exact(what, clients(other), relation)[0] - before)
                assert moved.sum() <= sensitivity * parts


def test_stated_sensitivities():
    held, noise = clients([(0.0, 3.0)]), Noise(epsilon=1.0)
    other = Noise(epsilon=1.0, neighbours="replace")
    assert statistics.count(held, privacy=noise).released.sensitivity.tolist() == [1, 1]
    for privacy, expected in ((noise, [3, 5]), (other, [4, 5])):
        total = statistics.total(held, bounds=BOUNDS, privacy=privacy)
        assert total.released.sensitivity.tolist() == expected
    for privacy, expected in ((noise, [4, 3]), (other, [8, 6])):
        mean = statistics.mean(held, bounds=BOUNDS, privacy=privacy)
        assert mean.released.sensitivity.tolist() == expected
    variance = statistics.variance(held, bounds=BOUNDS, privacy=noise)
    assert variance.released.sensitivity.tolist() == [4, 2.25]
    for privacy, expected in ((noise, 1), (other, 2)):
        histogram = statistics.histogram(held, EDGES, privacy=privacy)
        classes = statistics.class_counts(held, classes=(0, 1), privacy=privacy)
        assert histogram.released.sensitivity.tolist() == [expected, expected]
        assert classes.released.sensitivity.tolist() == [expected]


@pytest.mark.parametrize("relation", RELATIONS)
@pytest.mark.parametrize("delta", [0.0, 1e-6])
@ALL
def test_the_charged_event_costs_what_was_asked(what, delta, relation):
    ledger, noise = Ledger(), Noise(epsilon=0.7, delta=delta, neighbours=relation)
    result = ASK[what](clients([(0.0, 3.0)]), privacy=noise, ledger=ledger)
    assert len(ledger) == 1
    assert ledger.event == result.released.event == noise.event
    how = "exact" if delta else "sum"
    price = spent(ledger.event, delta=delta or 1e-9, neighbours=relation, accountant=how)
    assert price.epsilon == pytest.approx(0.7, rel=1e-3)
    assert price.epsilon <= 0.7 * (1 + 1e-12)


@ALL
def test_nothing_is_summed_that_the_budget_does_not_pay_for(what, monkeypatch):
    account = Account(budget=Budget(epsilon=1.0, delta=1e-9))
    ASK[what](clients([(0.0, 3.0)]), privacy=Noise(epsilon=0.6), ledger=account)

    def summed(*_, **__):
        raise AssertionError("something was summed")

    for module in ("moments", "buckets", "classes", "noisy_counts"):
        monkeypatch.setattr(f"hansa.statistics.{module}.add", summed)
    with pytest.raises(BudgetError, match="Nothing was released"):
        ASK[what](clients([(0.0, 3.0)]), privacy=Noise(epsilon=0.6), ledger=account)
    assert len(account.ledger) == 1


def test_what_is_wrong_is_not_charged():
    ledger, noise = Ledger(), Noise(epsilon=1.0)
    for wrong in ({"columns": "c"}, {"bounds": None}, {"splits": "test"}):
        with pytest.raises((ConfigurationError, DataError)):
            statistics.mean(clients([]), **{"bounds": (0, 1), **wrong}, privacy=noise, ledger=ledger)
    assert len(ledger) == 0


@pytest.mark.parametrize("kind", ["plain", "masking", "sealed"])
@ALL
def test_through_every_sum_the_same_with_the_same_seed(what, kind):
    rng = np.random.default_rng(3)
    held = clients(rng.normal(2, 2, (40, 2)), rng.integers(0, 2, 40))
    noise = Noise(epsilon=0.5, seed=4)
    found = ASK[what](held, secure_sum=kind, privacy=noise)
    assert found.to_json() == ASK[what](held, privacy=noise).to_json()
    assert ("each client's part" if kind == "plain" else "total over all clients") in found.released.trust
    told = json.dumps(found.released.describe())
    assert "hypothetical" in told
    assert "seed 4" not in told


def test_the_promise_is_never_told_without_unit_relation_and_trust():
    found = statistics.total(clients([]), bounds=(0, 10), privacy=Noise(epsilon=0.5, delta=1e-6))
    for part in (
        "ε = 0.5",
        "δ = 1e-06",
        "each record",
        "add/remove",
        "enforced",
        "Gaussian",
        "moves 10",
        "server",
    ):
        assert part in str(found.released)
    assert np.allclose(
        found.released.deviation, 10 * math.sqrt(2) * Noise(epsilon=0.5, delta=1e-6).deviation(1), rtol=0.01
    )


@pytest.mark.parametrize(
    "bounds",
    [
        None,
        (1, 0),
        (1, 1),
        (0, math.nan),
        (-math.inf, 0),
        (0, 1e300),
        5,
        (1,),
        "ab",
        ("0", "1"),
        {"a": (0, 1)},
    ],
)
@pytest.mark.parametrize(
    "what", [statistics.total, statistics.mean, statistics.variance, statistics.quantiles]
)
def test_bad_bounds_are_refused(what, bounds):
    with pytest.raises(ConfigurationError, match="bounds"):
        what(clients([]), bounds=bounds, privacy=Noise(epsilon=1.0))


def test_what_goes_with_noise_is_refused_without_it():
    for more in ({"bounds": (0, 1)}, {"ledger": Ledger()}):
        with pytest.raises(ConfigurationError, match="goes with noise"):
            statistics.mean(clients([]), **more)
    with pytest.raises(ConfigurationError, match=r"Noise\(epsilon"):
        statistics.count(clients([]), privacy=1.0)
    with pytest.raises(ConfigurationError, match="Account"):
        statistics.count(clients([]), privacy=Noise(epsilon=1.0), ledger=[])
    with pytest.raises(ConfigurationError, match="classes"):
        statistics.class_counts(clients([]), privacy=Noise(epsilon=1.0))


def test_what_one_row_can_move_by_any_amount_names_the_way_out():
    with pytest.raises(ConfigurationError, match=r"quantiles\(clients, \(0.01, 0.99\)"):
        statistics.minimum_maximum(clients([]), privacy=Noise(epsilon=1.0))
    with pytest.raises(ConfigurationError, match="mean, variance and quantiles"):
        statistics.describe(clients([]), privacy=Noise(epsilon=1.0))
    with pytest.raises(ConfigurationError, match="65,536 buckets"):
        statistics.histogram(clients([]), np.arange(1 << 17), privacy=Noise(epsilon=1.0))


@ALL
def test_a_delta_that_would_let_a_row_be_published_is_refused(what):
    ledger = Ledger()
    with pytest.raises(ConfigurationError, match=r"delta=0.4 is larger than 1/3, one over the rows"):
        ASK[what](clients([(0, 3), (1, 4)]), privacy=Noise(epsilon=1.0, delta=0.4), ledger=ledger)
    assert len(ledger) == 0


@ALL
def test_categories_that_exact_counts_would_find_are_refused(what, tmp_path):
    path = tmp_path / "rows.csv"
    path.write_text("a,b,job,y\n" + "1,2,nurse,0\n2,3,cook,1\n" * 3)
    source = CSV(path, target="y", categorical={"job": Vocabulary(minimum=1)})
    with pytest.raises(ConfigurationError, match="'job' would be found by exact counts"):
        ASK[what]({"one": source, "two": source}, privacy=Noise(epsilon=1.0))


def test_noise_beyond_what_a_sampler_draws_is_refused():
    with pytest.raises(ConfigurationError, match="scale of noise"):
        statistics.total(clients([]), bounds=(0, 1), privacy=Noise(epsilon=1e-12))


def test_a_missing_accountant_is_named(monkeypatch):
    import sys

    monkeypatch.setitem(sys.modules, "dp_accounting", None)
    with pytest.raises(MissingExtraError, match="dp-accounting"):
        statistics.count(clients([]), privacy=Noise(epsilon=0.4321, delta=1e-6))

"""Every algorithm against the pseudocode of its paper, written down once more in NumPy float64."""

import numpy as np
import pytest

import hansa
from hansa.cohort import FixedSize
from hansa.rng import Seeds
from least_squares import RATE, LeastSquares, federation, gradient, population, rows

SIZES = (5, 8, 13, 21)
DATA = [tuple(np.asarray(a, np.float64) for a in rows(n, seed=i)) for i, n in enumerate(SIZES)]
START = np.linspace(-0.1, 0.1, 4).astype(np.float32).astype(np.float64)
BATCH, EPOCHS, ROUNDS = 4, 2, 4
LOCAL = {"epochs": EPOCHS, "batch_size": BATCH, "shuffle": False}


def local(weights, client, correct=lambda change, weights: change):
    """Return the weights after the local epochs, and the number of steps."""
    x, y = DATA[client]
    steps = 0
    for _ in range(EPOCHS):
        for first in range(0, len(y), BATCH):
            change = gradient(weights, x[first : first + BATCH], y[first : first + BATCH])
            weights, steps = weights - RATE * correct(change, weights), steps + 1
    return weights, steps


def mean_change(weights, clients, correct=None):
    changes = []
    for k in clients:
        changes.append(local(weights, k, *(() if correct is None else (correct,)))[0] - weights)
    return np.average(changes, axis=0, weights=[SIZES[k] for k in clients])


def fitted(algorithm, rounds=ROUNDS, **settings):
    fed = federation(population(SIZES), algorithm=algorithm, **settings)
    fed.fit(rounds)
    return fed


def close(actual, expected):
    np.testing.assert_allclose(actual, expected, rtol=3e-5, atol=3e-6)


def cohorts(size, seed=0):
    names = tuple(f"c{i}" for i in range(len(SIZES)))
    return [[int(n[1:]) for n in FixedSize(size).draw(names, r, Seeds(seed))] for r in range(ROUNDS)]


def test_fedavg():
    weights = START
    for _ in range(ROUNDS):
        weights = weights + mean_change(weights, range(4))
    close(fitted(hansa.FedAvg(**LOCAL)).weights, weights)


def test_fedavg_with_some_clients_averages_over_these():
    weights = START
    for chosen in cohorts(2):
        weights = weights + mean_change(weights, chosen)
    close(fitted(hansa.FedAvg(**LOCAL), cohort=2).weights, weights)


def test_fedavg_uniform():
    weights = START
    for _ in range(ROUNDS):
        weights = np.mean([local(weights, k)[0] for k in range(4)], axis=0)
    close(fitted(hansa.FedAvg(**LOCAL), aggregate="uniform").weights, weights)


def test_fedavg_of_a_users_median():
    weights = START
    for _ in range(ROUNDS):
        weights = np.median([local(weights, k)[0] for k in range(4)], axis=0)
    close(
        fitted(hansa.FedAvg(**LOCAL), aggregate=lambda updates, _: np.median(updates, axis=0)).weights,
        weights,
    )


def test_fedsgd_is_gradient_descent_on_the_pooled_rows():
    x, y = (np.concatenate(parts) for parts in zip(*DATA, strict=True))
    weights = START
    for _ in range(ROUNDS):
        weights = weights - 0.2 * gradient(weights, x, y)
    for batch_size in (3, 100):
        close(fitted(hansa.FedSGD(learning_rate=0.2, batch_size=batch_size)).weights, weights)


def test_fedprox():
    mu, weights = 0.7, START
    for _ in range(ROUNDS):
        start = weights
        weights = weights + mean_change(weights, range(4), lambda g, w, start=start: g + mu * (w - start))
    close(fitted(hansa.FedProx(mu=mu, **LOCAL)).weights, weights)
    assert not np.allclose(weights, fitted(hansa.FedAvg(**LOCAL)).weights, atol=1e-3)


def test_fedprox_without_pull_is_fedavg():
    assert fitted(hansa.FedProx(mu=0, **LOCAL)).model_hash == fitted(hansa.FedAvg(**LOCAL)).model_hash


@pytest.mark.parametrize("size", [2, 4])
@pytest.mark.parametrize("rate", [1.0, 0.5])
def test_scaffold(size, rate):
    """Algorithm 1 with option II; clients that are not drawn keep their variate."""
    x, c, own = START, np.zeros(4), np.zeros((4, 4))
    for chosen in cohorts(size):
        changes, drifts = [], []
        for i in chosen:
            y, steps = local(x, i, lambda g, w, i=i, c=c: g - own[i] + c)
            new = own[i] - c + (x - y) / (steps * RATE)
            changes.append(y - x)
            drifts.append(new - own[i])
            own[i] = new
        x = x + rate * np.mean(changes, axis=0)
        c = c + len(chosen) / 4 * np.mean(drifts, axis=0)
    fed = fitted(hansa.Scaffold(learning_rate=rate, **LOCAL), cohort=size, aggregate="uniform")
    close(fed.weights, x)
    for i in range(4):
        close(fed.memories.get(f"c{i}", {}).get("control", np.zeros(4)), own[i])
    close(fed._outcome.state.slots["control"], c)
    if size == 4:  # then c is the mean of the variates
        close(c, own.mean(0))


def second_moment(name, v, square, beta):
    if name == "FedAdagrad":
        return v + square
    if name == "FedYogi":
        return v - (1 - beta) * square * np.sign(v - square)
    return beta * v + (1 - beta) * square


@pytest.mark.parametrize("name", ["FedAdam", "FedYogi", "FedAdagrad"])
@pytest.mark.parametrize(("m0", "v0"), [(0.0, 0.0), (0.02, 1e-4)])
def test_adaptive(name, m0, v0):
    """Algorithm 2 of Reddi et al.: no bias correction."""
    eta, beta_1, beta_2, tau = 0.03, 0.8, 0.95, 1e-3
    weights, m, v = START, np.full(4, m0), np.full(4, v0)
    for _ in range(ROUNDS):
        change = mean_change(weights, range(4))
        m = beta_1 * m + (1 - beta_1) * change
        v = second_moment(name, v, change**2, beta_2)
        weights = weights + eta * m / (np.sqrt(v) + tau)
    settings = {"learning_rate": eta, "beta_1": beta_1, "beta_2": beta_2, "tau": tau, "m0": m0, "v0": v0}
    fed = fitted(getattr(hansa, name)(**settings, **LOCAL))
    close(fed.weights, weights)
    slots = fed._outcome.state.slots
    np.testing.assert_allclose(slots["m"], m, rtol=1e-3, atol=1e-7)
    np.testing.assert_allclose(slots["v"], v, rtol=1e-3, atol=1e-9)
    assert slots["m"].dtype == slots["v"].dtype == np.float64


@pytest.mark.parametrize("algorithm", [hansa.FedAdam, hansa.FedYogi, hansa.FedAdagrad, hansa.FedSGD])
def test_moving_statistics_take_the_mean_whatever_the_server_step(algorithm):
    settings = {} if algorithm is hansa.FedSGD else LOCAL
    fed = fitted(algorithm(**settings), rounds=1, learner=LeastSquares(statistic=True))
    expected = np.average([x.mean() for x, _ in DATA], weights=SIZES)
    np.testing.assert_allclose(fed.weights[4], expected, rtol=1e-5)


def test_scaffold_has_no_variate_for_moving_statistics():
    fed = fitted(hansa.Scaffold(**LOCAL), rounds=2, learner=LeastSquares(statistic=True))
    assert all(memory["control"][4] == 0 for memory in fed.memories.values())
    assert fed._outcome.state.slots["control"][4] == 0
    expected = np.average([x.mean() for x, _ in DATA], weights=SIZES)
    np.testing.assert_allclose(fed.weights[4], expected, rtol=1e-5)


def test_fedbn_keeps_batch_normalization_at_the_client():
    asked = []
    learner = LeastSquares(personal=True, hook=lambda examples, task: asked.append(task.start.copy()))
    split = hansa.data.Split(train=0.8, validation=0.2)
    fed = federation(population(SIZES, split=split), algorithm=hansa.FedBN(**LOCAL), learner=learner)
    fed.fit(3)
    start = learner.initial_weights()[4]
    trained = [card.examples["train"] for card in fed.prepare().cards.values()]
    for i, rows_seen in enumerate(trained):
        # The learner adds the rows it has seen: three rounds of two epochs, in this client's memory alone.
        expected = start + 3 * EPOCHS * rows_seen
        assert fed.memories[f"c{i}"]["personal"].tolist() == [np.float32(expected)]
        # It is evaluated with its own, and starts each round from its own.
        assert fed.records[-1].clients[f"c{i}"].validation["gamma"] == pytest.approx(expected)
        assert asked[8 + i][4] == pytest.approx(start + 2 * EPOCHS * rows_seen)
    assert fed.weights[4] == start  # the global model has the initial one
    assert fed._outcome.state.weights.shape == (4,)  # and it never travels
    assert fed.records[0].bytes_up == 4 * 4 * 4


def test_fedbn_of_a_model_without_batch_normalization_is_fedavg():
    assert fitted(hansa.FedBN(**LOCAL)).model_hash == fitted(hansa.FedAvg(**LOCAL)).model_hash


def test_carried_batches_go_on_where_the_last_round_stopped():
    seen = {}

    def hook(examples, task):
        task_rows = [b.tolist() for b in task.batches]
        seen.setdefault(len(examples.y), []).append(task_rows)
        object.__setattr__(task, "batches", iter([np.array(b) for b in task_rows]))

    fed = fitted(
        hansa.FedAvg(steps=2, batch_size=2, carry_over=True), rounds=5, learner=LeastSquares(hook=hook)
    )
    batches = [batch for turn in seen[5] for batch in turn]  # 10 batches over 5 rows: 3 a pass
    for first in (0, 3, 6):
        passed = batches[first : first + 3]
        assert [len(b) for b in passed] == [2, 2, 1]
        assert sorted(i for b in passed for i in b) == list(range(5))
    assert int(fed.memories["c0"]["position"]) == 10

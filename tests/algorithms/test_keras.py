"""Every algorithm on a Keras model against the same on the NumPy learner: same batches, same steps."""

import keras
import numpy as np
import pytest

import hansa
from least_squares import RATE, federation, population

LOCAL = {"epochs": 2, "batch_size": 4}
START = [np.linspace(-0.1, 0.1, 4)[:3].reshape(3, 1), np.linspace(-0.1, 0.1, 4)[3:]]


def half_square(y, y_pred):
    return keras.ops.mean(keras.ops.square(keras.ops.reshape(y, (-1, 1)) - y_pred), axis=-1) / 2


def build():
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(1)])
    model.compile(keras.optimizers.SGD(RATE), half_square)
    return model


@pytest.mark.backends
@pytest.mark.parametrize(
    "algorithm",
    [
        hansa.FedAvg(**LOCAL),
        hansa.FedAvg(steps=3, batch_size=4, carry_over=True),
        hansa.FedSGD(learning_rate=0.2),
        hansa.FedProx(mu=0.8, **LOCAL),
        hansa.Scaffold(learning_rate=0.7, **LOCAL),
        hansa.FedAdam(**LOCAL),
        hansa.FedYogi(**LOCAL),
        hansa.FedAdagrad(**LOCAL),
    ],
    ids=lambda a: type(a).__name__,
)
def test_a_keras_model_learns_what_numpy_learns(algorithm):
    settings = {"algorithm": algorithm, "seed": 3, "cohort": 3}
    exact = federation(**settings)
    exact.fit(4)
    fed = hansa.Federation(build, population(), initial_weights=START, **settings)
    fed.fit(4)
    np.testing.assert_allclose(fed.weights, exact.weights, rtol=2e-4, atol=2e-5)
    assert [r.cohort for r in fed.records] == [r.cohort for r in exact.records]
    assert fed.memories.keys() == exact.memories.keys()
    for name, memory in exact.memories.items():
        for key, value in memory.items():
            np.testing.assert_allclose(fed.memories[name][key], value, rtol=2e-3, atol=2e-4)


def normalized():
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(4), keras.layers.BatchNormalization()])
    model.add(keras.layers.Dense(1))
    model.compile(keras.optimizers.SGD(0.05), "mse")
    return model


@pytest.mark.backends
def test_fedbn_of_a_keras_model_shares_all_but_batch_normalization():
    split = hansa.data.Split(train=0.7, validation=0.3)
    fed = hansa.Federation(normalized, population(split=split), algorithm=hansa.FedBN(batch_size=4), seed=1)
    fed.fit(3)
    plan = fed.plan()
    assert plan.shared.size == 3 * 4 + 4 + 4 + 1
    own = {name: memory["personal"] for name, memory in fed.memories.items()}
    assert all(vector.shape == (16,) for vector in own.values())
    assert len({vector.tobytes() for vector in own.values()}) == 4
    initial = fed.learner.initial_weights()
    assert np.array_equal(
        plan.personal_part(fed.weights)["personal"], plan.personal_part(initial)["personal"]
    )
    # A client is evaluated with the shared weights and its own batch normalization.
    shared = plan.shared_part(fed.weights)
    for name, site in fed.prepare().sites.items():
        measured = fed.learner.evaluate(plan.full(shared, fed.memories[name]), site.data.validation, 64)
        assert fed.records[-1].clients[name].validation["loss"] == pytest.approx(measured["loss"], rel=1e-5)


def test_moving_statistics_travel_unless_the_algorithm_says_otherwise():
    fed = hansa.Federation(normalized, population(), algorithm=hansa.FedAvg(batch_size=4), seed=1)
    fed.fit(1)
    moved = fed.weights != fed.plan().initial
    statistics = fed.plan().layout.mask(lambda entry: not entry.trainable)
    assert moved[statistics].all()

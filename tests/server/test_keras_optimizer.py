import keras
import numpy as np
import pytest

from hansa.server.keras_optimizer import optimizer_step
from hansa.tree import Entry, Layout

LAYOUT = Layout(
    (
        Entry(name="0/Dense/kernel", shape=(3, 2)),
        Entry(name="1/BatchNormalization/moving_mean", shape=(2,), trainable=False),
        Entry(name="2/Dense/bias", shape=(2,)),
    )
)
MEANS = np.random.default_rng(1).normal(size=(4, 10))
START = np.random.default_rng(2).normal(size=10).astype(np.float32)


def run(optimizer, means=MEANS):
    weights, slots = START, {}
    for mean in means:
        weights, slots = optimizer_step(optimizer, LAYOUT, weights=weights, mean=mean, slots=slots)
    return weights, slots


def test_sgd_of_rate_1_takes_the_mean():
    weights, _ = run(keras.optimizers.SGD(1.0))
    np.testing.assert_allclose(weights, START + MEANS.sum(0), atol=2e-6)
    assert weights.dtype == np.float32


@pytest.mark.parametrize(
    "optimizer",
    [
        keras.optimizers.SGD(0.1, momentum=0.9),
        keras.optimizers.Adam(0.05),
        keras.optimizers.Adagrad(keras.optimizers.schedules.ExponentialDecay(0.1, 2, 0.5)),
    ],
    ids=["momentum", "adam", "schedule"],
)
def test_any_optimizer_keeps_its_state_as_if_it_had_trained_variables(optimizer):
    trainable = LAYOUT.mask(lambda entry: entry.trainable)
    variables = [keras.Variable(a) for a in (START[:6].reshape(3, 2), START[8:])]
    same = optimizer.from_config(optimizer.get_config())
    for mean in MEANS.astype(np.float32):
        same.apply([keras.ops.array(-mean[:6].reshape(3, 2)), keras.ops.array(-mean[8:])], variables)
    weights, slots = run(optimizer)
    expected = np.concatenate([np.asarray(keras.ops.convert_to_numpy(v)).ravel() for v in variables])
    np.testing.assert_allclose(weights[trainable], expected, rtol=1e-6)
    # Moving statistics take the mean, whatever the optimizer does.
    np.testing.assert_allclose(weights[6:8], START[6:8] + MEANS.sum(0)[6:8], rtol=1e-5)
    assert all(isinstance(a, np.ndarray) for a in slots.values())


def test_the_given_optimizer_is_left_alone_and_two_runs_are_equal():
    optimizer = keras.optimizers.Adam(0.05)
    first, _ = run(optimizer)
    assert not optimizer.built
    assert np.array_equal(first, run(optimizer)[0])


def test_state_in_the_slots_is_all_there_is():
    optimizer = keras.optimizers.Adam(0.05)
    weights, slots = run(optimizer, MEANS[:2])
    for mean in MEANS[2:]:
        copy = keras.optimizers.Adam(0.05)
        weights, slots = optimizer_step(copy, LAYOUT, weights=weights, mean=mean, slots=dict(slots))
    assert np.array_equal(weights, run(optimizer)[0])

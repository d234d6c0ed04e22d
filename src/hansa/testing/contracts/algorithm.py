"""What both halves of every algorithm must do."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np

from hansa.algorithms.algorithm import Algorithm
from hansa.testing.contracts.values import check_description, check_weights
from hansa.tree import Entry, Layout
from hansa.types import Array, ServerState, Start, Trained

LAYOUT = Layout(
    (
        Entry(name="0/Dense/kernel", shape=(3, 2), layer="Dense"),
        Entry(name="1/Dense/bias", shape=(2,), layer="Dense"),
        Entry(name="2/BatchNormalization/gamma", shape=(2,), layer="BatchNormalization"),
        Entry(
            name="3/BatchNormalization/moving_mean", shape=(2,), trainable=False, layer="BatchNormalization"
        ),
        Entry(name="4/Norm/moving_scale", shape=(2,), trainable=False, layer="Norm"),
    )
)


def check_algorithm(algorithm: Algorithm, *, rests: bool = True) -> None:
    """Check both halves of an algorithm.

    Guarantees:
        Updates have ``parts`` times the layout's size; the server's arrays keep names, shapes and
        dtypes; both halves are deterministic, change no argument and stay finite.

    Args:
        algorithm: The algorithm.
        rests: Whether a mean of zero leaves the first state's weights as they are.
    """
    check_description(algorithm.describe())
    assert dataclasses.replace(algorithm) == algorithm, "a copy of the algorithm is not equal to it"
    layout = LAYOUT.select(algorithm.travels)
    assert layout.size, "the algorithm shares nothing of a layout with dense layers"
    rng = np.random.default_rng(4)
    weights = rng.normal(size=layout.size).astype(np.float32)
    state = ServerState(round=0, weights=weights, slots=algorithm.server_slots(layout))
    for number in range(3):
        mean = _check_client_half(algorithm, layout, state, rng)
        state = _check_server_half(algorithm, layout, state, mean, rests=rests and number == 0)


def _check_client_half(algorithm: Algorithm, layout: Layout, state: ServerState, rng: Any) -> Array:
    start = Start(round=state.round, weights=state.weights, extra=algorithm.broadcast(state))
    trained = Trained(
        weights=state.weights + rng.normal(size=layout.size).astype(np.float32),
        steps=3,
        learning_rate=0.1,
        metrics={"loss": 1.0},
    )
    before = state.weights.copy()
    memory: Any = {}
    vector = np.zeros(0)
    for _ in range(2):  # first without, then with a memory
        control = algorithm.control(start, memory, layout)
        assert control is None or control.shape == (layout.size,), "control has not the size of the layout"
        vector, remembered = algorithm.client_update(start, memory, trained, layout)
        assert np.array_equal(start.weights, before), "client_update changed the start weights"
        again, _ = algorithm.client_update(start, memory, trained, layout)
        expected = (algorithm.parts * layout.size,)
        assert vector.shape == expected, f"the update has shape {vector.shape}, expected {expected}"
        assert np.isfinite(vector).all(), "the update is not finite"
        assert np.array_equal(vector, again), "client_update is not deterministic"
        for name, value in remembered.items():
            assert isinstance(value, np.ndarray), f"memory {name!r} is not an array"
        memory = remembered
    if algorithm.corrects:
        ones = np.ones((3, 2), np.float32)
        assert np.shape(algorithm.correct(ones, ones, ones, ones)) == (3, 2), (
            "correct changes a gradient's shape"
        )
    return np.asarray(vector, np.float64)


def _check_server_half(
    algorithm: Algorithm, layout: Layout, state: ServerState, mean: Array, *, rests: bool
) -> ServerState:
    before = state.weights.copy()
    slots = {name: np.array(value) for name, value in state.slots.items()}
    new = algorithm.server_step(state, mean.copy(), layout, share=0.5)
    again = algorithm.server_step(state, mean.copy(), layout, share=0.5)
    assert np.array_equal(new.weights, again.weights), "server_step is not deterministic"
    check_weights("server_step", new.weights, layout)
    assert np.array_equal(state.weights, before), "server_step changed the old state's weights"
    for name, value in slots.items():
        assert np.array_equal(state.slots[name], value), f"server_step changed the old state's {name!r}"
        assert name in new.slots, f"server_step lost {name!r}"
        now = new.slots[name]
        assert (now.shape, now.dtype) == (value.shape, value.dtype), f"{name!r} changed its shape or dtype"
        assert np.isfinite(now).all(), f"{name!r} is not finite"
    assert set(new.slots) == set(slots), f"server_step added {set(new.slots) - set(slots)}"
    if rests:
        still = algorithm.server_step(state, np.zeros_like(mean), layout, share=0.5)
        assert np.array_equal(still.weights, before), "a mean of zero moves the weights"
    return dataclasses.replace(new, round=state.round + 1)

"""What every learner must do."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np

from hansa.data.cards import card
from hansa.errors import ConfigurationError
from hansa.testing.contracts.values import check_weights
from hansa.train.learner import Learner
from hansa.types import Batches, ClientData, Examples, LocalTask


def check_learner(
    learner_factory: Callable[[], Learner],
    examples: Examples,
    *,
    batch_size: int = 4,
    rows_independent: bool = True,
) -> None:
    """Check a learner.

    Guarantees:
        Two learners built alike begin alike. Training and evaluation depend on their arguments alone
        (not on what was called before), change none of them, and give finite float32 weights.

    Args:
        learner_factory: Returns a new learner, not yet built.
        examples: At least ``2 * batch_size`` rows that it can be trained on.
        batch_size: Rows per minibatch.
        rows_independent: Whether loss and gradient are means over rows, however these are cut into
            minibatches. Not so with batch normalization, or a loss on whole batches.
    """
    assert len(examples) >= 2 * batch_size, f"give at least {2 * batch_size} rows, got {len(examples)}"
    learner, twin = learner_factory(), learner_factory()
    for one in (learner, twin):
        one.build(examples, 3)
    assert isinstance(learner, Learner), f"{type(learner).__name__} lacks a method of hansa.Learner"
    layout = learner.layout()
    names = [entry.name for entry in layout.entries]
    assert len(set(names)) == len(names), f"names in the layout are not unique: {names}"
    assert layout.hash == twin.layout().hash, "two learners built alike have different layouts"
    start = learner.initial_weights()
    check_weights("initial_weights", start, layout)
    assert np.array_equal(start, twin.initial_weights()), "the same seed gave different initial weights"
    start += 1
    assert not np.array_equal(start, learner.initial_weights()), "initial_weights must return a copy"
    told = learner.check_data(card(ClientData(train=examples)))
    assert told is None, f"check_data refuses the examples: {told}"
    _check_training(learner, twin, examples, batch_size)
    if rows_independent:
        _check_means(learner, examples, batch_size)
    _check_corrections(learner, examples, batch_size)


def _check_training(learner: Learner, twin: Learner, examples: Examples, batch_size: int) -> None:
    layout, start = learner.layout(), learner.initial_weights()
    order = np.random.default_rng(1).permutation(len(examples))
    batches = [order[i : i + batch_size] for i in range(0, len(order), batch_size)]
    task = LocalTask(start=start.copy(), batches=Batches.from_arrays(batches), batch_size=batch_size, seed=5)
    trained = learner.train(examples, task)
    check_weights("train", trained.weights, layout)
    assert not np.array_equal(trained.weights, start), "training changed nothing"
    assert np.array_equal(task.start, start), "train changed its start weights"
    assert trained.steps == len(batches), f"{len(batches)} minibatches, but {trained.steps} steps"
    assert np.isfinite(trained.learning_rate), f"learning rate {trained.learning_rate}"
    _check_metrics("train", trained.metrics)

    before = learner.evaluate(trained.weights, examples, batch_size)
    _check_metrics("evaluate", before)
    # Something else in between, then the same again; and the same on a learner that saw nothing else.
    other = Batches.from_arrays(batches[::-1])
    learner.train(examples, dataclasses.replace(task, start=trained.weights, batches=other, seed=6))
    for one in (learner, twin):
        again = one.train(examples, task)
        assert np.array_equal(again.weights, trained.weights), "the same task gave different weights"
        assert dict(again.metrics) == dict(trained.metrics), "the same task gave different metrics"
        assert dict(one.evaluate(trained.weights, examples, batch_size)) == dict(before), (
            "the same evaluation gave different metrics"
        )


def _check_means(learner: Learner, examples: Examples, batch_size: int) -> None:
    """Check that loss and gradient (if the learner gives gradients) do not depend on the batch size."""
    layout, start = learner.layout(), learner.initial_weights()
    parts, whole = (learner.evaluate(start, examples, size)["loss"] for size in (batch_size, len(examples)))
    assert np.isclose(parts, whole, rtol=1e-3, atol=1e-5), (
        f"the loss depends on the batch size: {parts} and {whole}"
    )
    order = np.arange(2 * batch_size)
    once = LocalTask(
        start=start, batches=Batches.from_arrays([order]), batch_size=len(order), kind="gradient"
    )
    halves = dataclasses.replace(
        once,
        batches=Batches.from_arrays([order[:batch_size], order[batch_size:]]),
        batch_size=batch_size,
    )
    try:
        found, expected = (learner.train(examples, task).weights for task in (halves, once))
    except ConfigurationError:
        return  # refusing to give gradients is allowed
    trainable = layout.mask(lambda entry: entry.trainable)
    assert np.allclose(found[trainable], expected[trainable], rtol=1e-3, atol=1e-4), (
        "the mean gradient depends on how rows are cut into minibatches"
    )


def _check_corrections(learner: Learner, examples: Examples, batch_size: int) -> None:
    """Check that a step follows the corrected gradient, where the learner says so."""
    if not (learner.corrects_gradients and learner.plain_sgd):
        return
    layout, start = learner.layout(), learner.initial_weights()
    task = LocalTask(
        start=start,
        batches=Batches.from_arrays([np.arange(batch_size)]),
        batch_size=batch_size,
        correct=_only_control,
        control=np.ones(layout.size, np.float32),
        learning_rate=0.25,
    )
    moved = (learner.train(examples, task).weights - start)[layout.mask(lambda entry: entry.trainable)]
    assert np.allclose(moved, -0.25, atol=1e-4), (
        "a step is not start - learning_rate * corrected gradient, as plain_sgd says"
    )


def _only_control(gradient: Any, weight: Any, start: Any, control: Any) -> Any:
    return 0 * gradient + 0 * weight + 0 * start + control


def _check_metrics(where: str, metrics: Any) -> None:
    assert "loss" in metrics, f"{where} returned no loss, only {sorted(metrics)}"
    for name, value in metrics.items():
        assert np.isfinite(value), f"{where} returned {name}={value}"

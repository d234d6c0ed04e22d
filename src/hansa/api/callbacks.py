"""Keras callbacks around rounds: a round is an epoch of one batch to them."""

from __future__ import annotations

import dataclasses
import importlib.util
import math
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np

from hansa.errors import ConfigurationError, MissingExtraError, RoundError
from hansa.plan import Plan
from hansa.train.keras_learner import KerasLearner
from hansa.train.learner import Learner
from hansa.tree import Layout
from hansa.types import FloatVector, ServerState


class Callbacks:
    """Runs Keras callbacks on a model that holds the global weights.

    The weights are written before each event and read back after it, so that a callback may look at
    the model or change it. The model optimizer's learning rate is the clients', and goes back to
    the compiled one after each event: what a callback has set is kept in the server's state.

    Attributes:
        history: The `keras.callbacks.History` of the run.
        looks: Whether there are callbacks that may look at the model, beside the history.
        model: The model that they see.
    """

    def __init__(self, callbacks: Iterable[Any], *, learner: Learner, plan: Plan, rounds: int) -> None:
        """Set the callbacks up.

        Args:
            callbacks: Keras callbacks.
            learner: The learner; where it is not Keras, callbacks see a `keras.Model` that has its
                weights and nothing else.
            plan: The plan of the run.
            rounds: Number of rounds in all.

        Raises:
            ConfigurationError: If something is not a Keras callback.
            MissingExtraError: If TensorBoard is asked for without TensorFlow.
        """
        import keras

        self._callbacks = list(callbacks)
        for callback in self._callbacks:
            _check(callback, keras)
        histories = [c for c in self._callbacks if isinstance(c, keras.callbacks.History)]
        self.looks = len(self._callbacks) > len(histories)
        self.history = histories[0] if histories else keras.callbacks.History()
        if not histories:
            self._callbacks.append(self.history)
        self._learner, self._plan = learner, plan
        self.model = learner.model if isinstance(learner, KerasLearner) else _bare_model(plan.layout, keras)
        self.model.stop_training = False
        for callback in self._callbacks:
            callback.set_params({"epochs": rounds, "steps": 1, "verbose": 0})
            callback.set_model(self.model)

    @property
    def stop(self) -> bool:
        """Whether a callback asked to stop."""
        return bool(self.model.stop_training)

    def begin(self, state: ServerState) -> ServerState:
        """Tell the callbacks that training begins."""
        return self._events(state, ("on_train_begin",))

    def round_begin(self, state: ServerState) -> ServerState:
        """Tell them that a round begins. A changed learning rate is taken into the state."""
        return self._events(state, ("on_epoch_begin", state.round), ("on_train_batch_begin", 0))

    def round_end(self, state: ServerState, logs: Mapping[str, float]) -> ServerState:
        """Tell them that a round has ended."""
        training = {name: value for name, value in logs.items() if not name.startswith(("val_", "clients_"))}
        events = ("on_train_batch_end", 0, training), ("on_epoch_end", state.round - 1, dict(logs))
        return self._events(state, *events)

    def end(self, state: ServerState, logs: Mapping[str, float]) -> ServerState:
        """Tell them that training has ended."""
        return self._events(state, ("on_train_end", dict(logs)))

    def _events(self, state: ServerState, *events: tuple[Any, ...]) -> ServerState:
        if not self.looks:
            self._tell(events)
            return state
        self._load(self._plan.full(state.weights))
        weights = self._read()
        with _learning_rate(self.model.optimizer, state.learning_rate) as rate:
            self._tell(events)
            new_rate = _rate(self.model.optimizer)
        if new_rate != rate:
            if new_rate is not None and not math.isfinite(new_rate):
                raise RoundError(
                    f"a callback set the clients' learning rate to {new_rate} ({events[-1][0]}). The model "
                    "is left as it was. Correct the callback, or remove it."
                )
            state = dataclasses.replace(state, learning_rate=new_rate)
        changed = self._read()
        if np.array_equal(weights, changed):
            return state
        if not np.isfinite(changed).all():
            raise RoundError(
                f"a callback set the global weights to NaN or infinity ({events[-1][0]}). The model is left "
                "as it was. Correct the callback, or remove it."
            )
        return dataclasses.replace(state, weights=self._plan.shared_part(changed))

    def _tell(self, events: Iterable[tuple[Any, ...]]) -> None:
        for event, *arguments in events:
            for callback in self._callbacks:
                getattr(callback, event)(*arguments)

    def _load(self, weights: FloatVector) -> None:
        if isinstance(self._learner, KerasLearner):
            self._learner.load(weights)
        else:
            self.model.set_weights(self._plan.layout.unflatten(weights))

    def _read(self) -> FloatVector:
        if isinstance(self._learner, KerasLearner):
            return self._learner.read()
        return self._plan.layout.flatten(self.model.get_weights())


def check_callbacks(callbacks: Any) -> tuple[Any, ...]:
    """Return the callbacks as a tuple; None is no callback, and one alone is accepted."""
    if callbacks is None:
        return ()
    return tuple(callbacks) if isinstance(callbacks, Iterable) else (callbacks,)


def _check(callback: Any, keras: Any) -> None:
    if not isinstance(callback, keras.callbacks.Callback):
        raise ConfigurationError(
            f"callbacks must be keras.callbacks.Callback objects, got {callback!r}. Give a list of them."
        )
    if isinstance(callback, keras.callbacks.TensorBoard) and importlib.util.find_spec("tensorflow") is None:
        raise MissingExtraError("the TensorBoard callback", "tensorflow", "tensorflow")


def _bare_model(layout: Layout, keras: Any) -> Any:
    """Return a model that has weights of this layout, and no layers or optimizer."""
    model = keras.Model()
    for entry in layout.entries:
        model.add_weight(shape=entry.shape, trainable=entry.trainable, name=entry.name.replace("/", "_"))
    model.built, model.optimizer = True, None
    return model


@contextmanager
def _learning_rate(optimizer: Any, rate: float | None) -> Iterator[float | None]:
    """Let an optimizer have a learning rate inside the block, and yield the rate that it has."""
    compiled = _rate(optimizer)
    if rate is not None:
        optimizer.learning_rate = rate
    try:
        yield _rate(optimizer)
    finally:
        if compiled is not None:
            optimizer.learning_rate = compiled


def _rate(optimizer: Any) -> float | None:
    """Return the optimizer's learning rate, or None if there is none or a schedule sets it."""
    import keras

    from hansa.bridge.model import learning_rate_variable

    variable = learning_rate_variable(optimizer)
    return None if variable is None else float(np.asarray(keras.ops.convert_to_numpy(variable)))

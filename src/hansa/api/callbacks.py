"""Keras callbacks around rounds: a round is an epoch to them."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from hansa.errors import ConfigurationError, MissingExtraError
from hansa.plan import Plan
from hansa.train.keras_learner import KerasLearner
from hansa.train.learner import Learner
from hansa.types import FloatVector, ServerState


class Callbacks:
    """Runs Keras callbacks on a model that holds the global weights.

    The weights are written before each event and read back after it, so that a callback may look at
    the model or change it. The clients' learning rate is the model optimizer's.
    """

    def __init__(self, callbacks: Iterable[Any], *, learner: Learner, plan: Plan, rounds: int) -> None:
        """Set the callbacks up.

        Args:
            callbacks: Keras callbacks.
            learner: The learner; where it is not Keras, callbacks see a bare `keras.Model`.
            plan: The plan of the run.
            rounds: Number of rounds in all.

        Raises:
            ConfigurationError: If something is not a Keras callback.
            MissingExtraError: If TensorBoard is asked for without TensorFlow.
        """
        import keras

        given = list(callbacks)
        for callback in given:
            _check(callback, keras)
        self.history = next((c for c in given if isinstance(c, keras.callbacks.History)), keras.callbacks.History())
        if self.history not in given:
            given.append(self.history)
        self._quiet = len(given) == 1
        self._learner, self._plan = learner, plan
        self.model = learner.model if isinstance(learner, KerasLearner) else keras.Model()
        self.model.stop_training = False
        self._list = keras.callbacks.CallbackList(
            given, add_history=False, add_progbar=False, model=self.model, epochs=rounds, steps=None, verbose=0
        )

    @property
    def stop(self) -> bool:
        """Whether a callback asked to stop."""
        return bool(self.model.stop_training)

    def begin(self, state: ServerState) -> ServerState:
        """Tell the callbacks that training begins."""
        return self._event(state, "on_train_begin")

    def round_begin(self, state: ServerState) -> ServerState:
        """Tell them that a round begins. A changed learning rate is taken into the state."""
        return self._event(state, "on_epoch_begin", state.round)

    def round_end(self, state: ServerState, logs: Mapping[str, float]) -> ServerState:
        """Tell them that a round has ended."""
        return self._event(state, "on_epoch_end", state.round - 1, dict(logs))

    def end(self, state: ServerState, logs: Mapping[str, float]) -> ServerState:
        """Tell them that training has ended."""
        return self._event(state, "on_train_end", dict(logs))

    def _event(self, state: ServerState, event: str, *arguments: Any) -> ServerState:
        if self._quiet or not isinstance(self._learner, KerasLearner):
            getattr(self._list, event)(*arguments)
            return state
        written = self._plan.full(state.weights)
        self._learner.load(written)
        rate = _set_rate(self.model.optimizer, state.learning_rate)
        getattr(self._list, event)(*arguments)
        return _changed(state, self._plan, before=written, after=self._learner.read(), rate=rate, model=self.model)


def _changed(
    state: ServerState, plan: Plan, *, before: FloatVector, after: FloatVector, rate: float | None, model: Any
) -> ServerState:
    weights = state.weights
    if not np.array_equal(before, after):
        weights = plan.shared_part(after)
    new = _rate(model.optimizer)
    learning_rate = state.learning_rate if new == rate else new
    return ServerState(round=state.round, weights=weights, slots=state.slots, learning_rate=learning_rate)


def _rate(optimizer: Any) -> float | None:
    """Return the optimizer's learning rate, or None if a schedule sets it."""
    from hansa.bridge.model import learning_rate_variable

    variable = learning_rate_variable(optimizer)
    return None if variable is None else float(np.asarray(variable.numpy()))


def _set_rate(optimizer: Any, rate: float | None) -> float | None:
    if rate is not None:
        optimizer.learning_rate = rate
    return _rate(optimizer)


def _check(callback: Any, keras: Any) -> None:
    if not isinstance(callback, keras.callbacks.Callback):
        raise ConfigurationError(f"callbacks must be keras.callbacks.Callback objects, got {callback!r}.")
    if isinstance(callback, keras.callbacks.TensorBoard) and importlib.util.find_spec("tensorflow") is None:
        raise MissingExtraError("the TensorBoard callback", "tensorflow", "tensorflow")


def check_callbacks(callbacks: Sequence[Any] | None) -> tuple[Any, ...]:
    """Return the callbacks as a tuple; one alone is accepted."""
    if callbacks is None:
        return ()
    return tuple(callbacks) if isinstance(callbacks, (list, tuple)) else (callbacks,)

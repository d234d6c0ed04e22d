"""A Keras model as a learner, on whichever backend Keras uses."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from hansa import bridge
from hansa.errors import ConfigurationError
from hansa.tree import Layout
from hansa.types import DataCard, Examples, FloatVector, LocalTask, Metrics, Trained, map_arrays

NOT_BUILT = "the model is not built yet; call Federation.fit or Federation.prepare first."


class KerasLearner:
    """Trains the compiled `keras.Model` that a function returns.

    The optimizer, loss and metrics are those the model was compiled with. Each client starts a
    round with a fresh optimizer, as in McMahan et al. 2017.
    """

    corrects_gradients = True
    private_steps = True

    def __init__(self, model_function: Callable[[], Any]) -> None:
        """Remember the model function; it is called by `build`.

        Args:
            model_function: Takes nothing and returns a compiled `keras.Model`.
        """
        self._function = model_function
        self._model: Any = None
        self._shapes: Any = None
        self._program: Any = None
        self._layout: Layout | None = None
        self._initial: FloatVector = np.zeros(0, np.float32)
        self._outputs: list[tuple[int, ...]] = []
        self._checked: dict[Any, str | None] = {}
        self._built_from: tuple[Examples, int] | None = None

    @property
    def model(self) -> Any:
        """The model object. Its weights are scratch space; the global weights are the federation's."""
        if self._model is None:
            raise ConfigurationError(NOT_BUILT)
        return self._model

    @property
    def program(self) -> Any:
        """The compiled steps of the model, as the backend's file in `hansa.bridge` makes them."""
        if self._program is None:
            raise ConfigurationError(NOT_BUILT)
        return self._program

    @property
    def plain_sgd(self) -> bool:
        """Whether a step of the client optimizer is the weight minus its learning rate times the gradient."""
        from hansa.bridge import model as inside

        return inside.is_plain_sgd(self.model)

    def build(self, examples: Examples, seed: int) -> None:
        """Call the model function and create all variables. Does nothing the second time.

        Raises:
            ConfigurationError: If the model cannot take such rows, or was built for others.
        """
        shapes = map_arrays(examples.x, lambda a: a.shape[1:])
        if self._model is not None:
            if shapes != self._shapes:
                raise ConfigurationError(
                    f"this learner was built for features of shape {self._shapes} and cannot take {shapes}. "
                    "Give each federation the model function itself, or a learner of its own."
                )
            return
        bridge.choose_backend()
        from hansa.bridge import model as inside

        model = inside.build(self._function, seed)
        self._outputs = inside.complete(model, examples, seed)
        self._layout = inside.layout_of(model)
        self._program = bridge.load_program()(model, outputs=self._outputs)
        self._initial = self._layout.flatten(self._program.initial())
        self._model, self._shapes = model, shapes
        self._built_from = (examples.take(np.arange(min(len(examples), 8))), seed)

    def another(self) -> KerasLearner:
        """Return a learner of the same model with variables of its own, for another thread.

        Raises:
            ConfigurationError: If the model function does not return the same model each time.
        """
        if self._built_from is None:
            raise ConfigurationError(NOT_BUILT)
        other = KerasLearner(self._function)
        other.build(*self._built_from)
        if other.layout().hash != self.layout().hash:
            raise ConfigurationError(
                "the model function returned another model the second time it was called; workers need a "
                "model each. Make it return the same layers every time, or use engine='local'."
            )
        return other

    @property
    def recipe(self) -> tuple[Callable[[], Any], Examples, int]:
        """What another process builds the same model of: the model function, sample rows, and the seed."""
        if self._built_from is None:
            raise ConfigurationError(NOT_BUILT)
        return (self._function, *self._built_from)

    def layout(self) -> Layout:
        """Return the layout of the model's floating-point weights."""
        if self._layout is None:
            raise ConfigurationError(NOT_BUILT)
        return self._layout

    def initial_weights(self) -> FloatVector:
        """Return the weights that the model function gave."""
        self.layout()
        return self._initial.copy()

    def check_data(self, card: DataCard) -> str | None:
        """Return what is wrong with these labels for the compiled loss, or None."""
        if card.label_range not in self._checked:
            from hansa.bridge import model as inside

            self._checked[card.label_range] = inside.check_labels(self.model, self._outputs, card.label_range)
        return self._checked[card.label_range]

    def check_private(self) -> None:
        """Raise `ConfigurationError` if the model cannot be trained in private steps, and say why."""
        from hansa.bridge import private

        private.check_private(self.model)

    def train(self, examples: Examples, task: LocalTask) -> Trained:
        """Run the task's minibatches with the compiled optimizer, loss and metrics."""
        layout = self.layout()
        control = [] if task.control is None else layout.unflatten(task.control)
        start = layout.unflatten(task.start)
        arrays, steps, rate, metrics = self._program.train(start, control, examples, task)
        return Trained(weights=layout.flatten(arrays), steps=steps, learning_rate=rate, metrics=metrics)

    def evaluate(self, weights: FloatVector, examples: Examples, batch_size: int) -> Metrics:
        """Return loss and metrics in inference mode."""
        return self._program.evaluate(self.layout().unflatten(weights), examples, batch_size)

    def load(self, weights: FloatVector) -> Any:
        """Write these weights into the model object and return it, its optimizer as it was compiled.

        Else the optimizer would hold what the last client trained in this process left in it: moments of bare
        gradients, which no noise covers.
        """
        from hansa.bridge import model as inside

        arrays = self.layout().unflatten(weights)
        for variable, array in zip(inside.weight_variables(self.model), arrays, strict=True):
            variable.assign(array.copy())
        self._program.restart()
        return self.model

    def read(self) -> FloatVector:
        """Return the weights that the model object holds now."""
        return self.layout().flatten(self._program.initial())
